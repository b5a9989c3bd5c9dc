"""The runbook as written: `apiVersion: nvsx/v1`, `kind: Runbook`.

The models hold what a file says plus documented defaults, and nothing about a run. They
do no I/O: whether a hook exists, whether a link leaves the project, and where in the
file a mistake is, belong to `project.loader`. Early nvsx/v1 files need only a name and
stages with ids.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Literal, NamedTuple, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from nvsx.core.aliases import alias_of
from nvsx.core.durations import PATTERN
from nvsx.core.fields import LISTABLE, Duration, HookPath, Model, ScriptPath, Text, Texts, inside
from nvsx.core.runbook import narration
from nvsx.core.runbook.stage_order import (
    DEFAULT_BUDGETS,
    DEFAULT_TIMEOUTS,
    STAGE_ORDER,
    StageId,
)
from nvsx.core.watches.kinds import AnyOf, Watch

API_VERSION = "nvsx/v1"


NAME_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"
_SPELLED = {
    w.lower(): w for w in "GPU XID ECC NVLink NVSwitch InfoROM DCGM PCIe NIC GSP DBE RDMA".split()
}


def title_of(name: str) -> str:
    """A title from a name: `gpu-off-bus` gives `GPU off bus`."""
    words = [_SPELLED.get(word.lower(), word) for word in re.split(r"[-_.]+", name) if word]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def _drop_hash(value: object) -> object:
    return value.removeprefix("#") if isinstance(value, str) else value


def _make_list(value: object) -> object:
    """A scalar as a list of one; `[]` stays empty."""
    return value if isinstance(value, list | tuple) else (value,)


Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class Metadata(Model):
    """What the runbook is called and about."""

    name: Name = Field(description="Equals the file's stem.")
    nickname: Annotated[Name, BeforeValidator(_drop_hash)] = Field(
        default_factory=lambda data: alias_of(data["name"]),
        description="A memorable second name; the alias of the name by default.",
    )
    title: str = Field(
        default_factory=lambda data: title_of(data["name"]),
        min_length=1,
        description="From the name by default.",
    )
    summary: str = Field("", description="One line.")
    tags: tuple[Text, ...] = Field(
        (), description="For people; without triggers, a check name or `xid-79` also routes."
    )
    estimated_duration: Duration | None = Field(None, description="How long a run usually takes.")


Strategy = Literal["EXECUTE_REMEDIATION", "STORE_ONLY", "STORE_AND_ANALYSE"]


def _check_fatal(value: object) -> object:
    if value is True or value is False or value == "any":
        return value
    raise ValueError(f"fatal: '{value}' is not true, false or any")


class Trigger(Model):
    """What fires the runbook in serve mode. All keys of one entry must match."""

    check: Texts = Field((), description="Check name, such as SysLogsXIDError.")
    error_code: Texts = Field((), description='Bare error code, such as "79".')
    agent: Texts = Field((), description="Health monitor that saw it.")
    component_class: Texts = Field((), description="GPU, NIC, Node, …")
    recommended_action: Texts = Field((), description="By name, such as RESTART_BM.")
    labels: dict[str, Texts] = Field({}, description="Labels of the event: all of them.")
    when: str | None = Field(None, min_length=1, description="CEL expression over `event`.")
    fatal: Annotated[bool | Literal["any"], BeforeValidator(_check_fatal)] = Field(
        True, description="Only fatal events, only others, or any."
    )
    strategy: Annotated[tuple[Strategy, ...], BeforeValidator(_make_list), LISTABLE] = Field(
        ("EXECUTE_REMEDIATION",),
        min_length=1,
        description="EXECUTE_REMEDIATION, STORE_ONLY or STORE_AND_ANALYSE.",
    )
    default: bool = Field(
        False,
        description="The catch-all: takes what no other runbook matches. `true` stands alone.",
    )

    @model_validator(mode="after")
    def _require_criteria(self) -> Self:
        if self.default and len(self.model_fields_set) > 1:
            raise ValueError(
                "`default: true` takes what no other runbook matches, so no other key can "
                "stand beside it: give the other keys an entry of their own"
            )
        if not self.default and not self.criteria:
            raise ValueError(
                "a trigger needs at least one of check, errorCode, agent, componentClass, "
                "recommendedAction, labels, when, or `default: true`"
            )
        return self

    @property
    def criteria(self) -> tuple[str, ...]:
        """The attribute names that narrow this entry down."""
        names = ("check", "error_code", "agent", "component_class", "recommended_action")
        return tuple(n for n in (*names, "labels", "when") if getattr(self, n))


PrerequisiteKind = Literal["check", "deployment", "daemonset", "crd"]


class Prerequisite(Model):
    """Something that must hold before the first stage: a command, or an object nvsx reads."""

    name: str = Field("", description="What people see; the check itself by default.")
    check: str | None = Field(None, min_length=1, description="A shell command.")
    deployment: Text | None = Field(None, description="Ready, by name.")
    daemonset: Text | None = Field(None, description="Ready on the nodes it wants, by name.")
    crd: Text | None = Field(None, description="Installed: `plural.group`.")
    namespace: Text | None = Field(None, description="Default: NVSentinel's.")
    expect: Text | None = Field(
        None, description='">=N" compares a number; anything else is a part of the output.'
    )
    required: bool = Field(False, description="In serve: do not run at all without it.")

    @model_validator(mode="after")
    def _require_one_question(self) -> Self:
        asked = [k for k in get_args(PrerequisiteKind) if getattr(self, k)]
        if len(asked) != 1:
            said = " and ".join(asked) if asked else "none"
            raise ValueError(
                "a prerequisite has exactly one of check, deployment, daemonset, crd; "
                f"this has {said}"
            )
        if self.namespace and asked[0] in ("check", "crd"):
            raise ValueError(f"namespace has no meaning for {asked[0]}")
        return self

    @property
    def kind(self) -> PrerequisiteKind:
        kinds: tuple[PrerequisiteKind, ...] = get_args(PrerequisiteKind)
        return next(k for k in kinds if getattr(self, k))

    @property
    def subject(self) -> str:
        """The command, or the name of the object."""
        return str(getattr(self, self.kind))

    @property
    def label(self) -> str:
        return self.name or f"{self.kind} {self.subject}"

    def satisfied_by(self, output: str) -> bool:
        """Whether what a command printed is what `expect` asks for; anything, without one.

        `>=N` needs a number as the whole output: text that is no number never satisfies it.
        """
        if self.expect is None:
            return True
        numeric = re.fullmatch(r"\s*>=\s*(\d+(?:\.\d+)?)\s*", self.expect, re.ASCII)
        if numeric is None:
            return self.expect in output
        found = re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*", output, re.ASCII)
        return found is not None and float(found[1]) >= float(numeric[1])


class Action(Model):
    """The one place that may write to the cluster."""

    script: ScriptPath = Field(description="Path relative to the project.")
    args: tuple[Text, ...] = Field((), description="$NVSX_… is expanded by nvsx; no shell.")
    idempotent: bool = Field(False, description="May be repeated after a crash.")


def _tag_watch_item(value: object) -> str:
    if isinstance(value, AnyOf):
        return "(group)"
    is_group = isinstance(value, dict) and ("anyOf" in value or "any_of" in value)
    return "(group)" if is_group else "(watch)"


WatchItem = Annotated[
    Annotated[AnyOf, Tag("(group)")] | Annotated[Watch, Tag("(watch)")],
    Discriminator(_tag_watch_item),
]


def _read_limit(value: object, info: ValidationInfo) -> object:
    if value == "none":
        return None
    if value is None and info.context and info.context.get("file"):
        raise ValueError('the value is empty: write a duration, or "none" for no limit')
    return value


Limit = Annotated[
    Duration | None,
    BeforeValidator(_read_limit),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": PATTERN}, {"const": "none"}]}),
]


class Stage(Model):
    """One step of the chain: action, then watches, then hook."""

    id: StageId = Field(description="Each at most once, in this order.")
    title: str = Field(
        default_factory=lambda data: title_of(data["id"]),
        min_length=1,
        description="From the id by default.",
    )
    action: Action | None = Field(None, description="Runs first. The one place that may write.")
    watch: tuple[WatchItem, ...] = Field((), description="All must hold.")
    hook: HookPath | None = Field(None, description="Fires when the watches hold.")
    expect: Annotated[tuple[Text, ...], BeforeValidator(_make_list), LISTABLE] = Field(
        (), description="Texts the action must print."
    )
    budget: Limit = Field(None, description="Soft limit: overdue after it. Drain: 1h.")
    on_overdue: HookPath | None = Field(None, description="Fires once when overdue.")
    timeout: Limit = Field(None, description="Hard limit; the default depends on the stage.")
    on_timeout: Literal["fail", "continue"] = Field(
        "fail", description="What a passed hard limit means."
    )
    on_failure: HookPath | None = Field(None, description="Fires when this stage fails.")
    hook_timeout: Duration | None = Field(None, description="For each of its hooks; 30s.")
    hook_retries: int = Field(0, ge=0, le=10, description="How often a failed hook runs again.")
    on_hook_failure: Literal["warn", "fail"] = Field(
        "warn", description="warn: the run goes on and ends degraded."
    )
    late: Literal["fire", "skip"] = Field(
        "fire", description="skip: no hook when the stage was over before nvsx joined."
    )
    dwell: Duration = Field(0.0, description="Pause after the stage, on the flight deck only.")

    @property
    def effective_timeout(self) -> float | None:
        """The hard limit in seconds as written, else the stage's default; None: no limit."""
        return self.timeout if "timeout" in self.model_fields_set else DEFAULT_TIMEOUTS[self.id]

    @property
    def effective_budget(self) -> float | None:
        """The soft limit in seconds as written, else the stage's default; None: no limit."""
        return self.budget if "budget" in self.model_fields_set else DEFAULT_BUDGETS.get(self.id)

    @property
    def watches(self) -> tuple[Watch, ...]:
        """Every single watch, those inside groups too, in the order written."""
        return tuple(
            w for item in self.watch for w in (item.any_of if isinstance(item, AnyOf) else (item,))
        )


def find_stage_problems(ids: list[object]) -> list[tuple[int, str]]:
    """What is wrong with a list of stage ids, as (index, message): unknown, twice, misordered."""
    problems: list[tuple[int, str]] = []
    seen: list[StageId] = []
    for index, stage_id in enumerate(ids):
        if stage_id not in STAGE_ORDER:
            near = get_close_matches(str(stage_id), STAGE_ORDER, n=1)
            hint = f"did you mean {near[0]}?" if near else f"use {', '.join(STAGE_ORDER)}"
            problems.append((index, f"unknown stage '{stage_id}'; {hint}"))
        elif stage_id in seen:
            problems.append((index, f"stage '{stage_id}' is there twice"))
        else:
            rank = STAGE_ORDER.index(stage_id)
            later = next((s for s in seen if STAGE_ORDER.index(s) > rank), None)
            if later:
                problems.append((index, f"stage '{stage_id}' comes before '{later}', not after"))
            seen.append(stage_id)
    return problems


class Drill(Model):
    """What the sandbox injects when the runbook is tried on it."""

    fault: Text = Field(description="Name of a fault: `nvsx sandbox faults`.")
    variant: Text | None = Field(None, description="A way it goes wrong.")


def _check_tokens(text: str) -> str:
    unknown = narration.find_unknown_tokens(text)
    if unknown:
        near = get_close_matches(unknown[0], narration.TOKENS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"use {', '.join(narration.TOKENS)}"
        raise ValueError(f"unknown narration token {{{{{unknown[0]}}}}}; {hint}")
    return text


class HookRef(NamedTuple):
    """A hook a runbook names: `stage` is None for the runbook's own."""

    stage: StageId | None
    role: Literal["hook", "onOverdue", "onFailure", "onAttempt"]
    path: str

    @property
    def project_path(self) -> str:
        """The path relative to the project."""
        return inside(self.path, "runbooks")


class Runbook(Model):
    """A runbook of nvsx: observable facts for each stage, and the scripts that fire there."""

    api_version: Literal["nvsx/v1"] = Field(description="Exactly nvsx/v1.")
    kind: Literal["Runbook"] = Field(description="Exactly Runbook.")
    metadata: Metadata = Field(description="Name, title, tags.")
    triggers: tuple[Trigger, ...] = Field((), description="What fires it in serve mode.")
    prerequisites: tuple[Prerequisite, ...] = Field(
        (), description="Checked before the first stage, 30 seconds each."
    )
    stages: tuple[Stage, ...] = Field(min_length=1, description="What happens, in order.")
    narration: dict[StageId, Annotated[str, AfterValidator(_check_tokens)]] = Field(
        {}, description="A sentence for each stage; tokens below."
    )
    on_failure: HookPath | None = Field(
        None, description="Hook that fires when a stage without its own onFailure fails."
    )
    on_attempt: HookPath | None = Field(
        None, description="Hook that fires for each further attempt of NVSentinel to repair."
    )
    drill: Drill | None = Field(None, description="What the sandbox injects to try it.")

    @field_validator("stages")
    @classmethod
    def _check_order(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        problems = find_stage_problems([s.id for s in stages])
        if problems:
            raise PydanticCustomError("stage_order", "{why}", {"why": problems[0][1]})
        return stages

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def nickname(self) -> str:
        return self.metadata.nickname

    def stage(self, stage_id: StageId) -> Stage | None:
        return next((s for s in self.stages if s.id == stage_id), None)

    def hooks(self) -> tuple[HookRef, ...]:
        """Every hook it names, in the order of the stages, its own last."""
        refs: list[HookRef] = []
        for stage in self.stages:
            if stage.hook:
                refs.append(HookRef(stage.id, "hook", stage.hook))
            if stage.on_overdue:
                refs.append(HookRef(stage.id, "onOverdue", stage.on_overdue))
            if stage.on_failure:
                refs.append(HookRef(stage.id, "onFailure", stage.on_failure))
        if self.on_failure:
            refs.append(HookRef(None, "onFailure", self.on_failure))
        if self.on_attempt:
            refs.append(HookRef(None, "onAttempt", self.on_attempt))
        return tuple(refs)

    def scripts(self) -> tuple[str, ...]:
        """The action scripts it names, relative to the project."""
        return tuple(inside(s.action.script) for s in self.stages if s.action)
