import re
from typing import Any

import pytest
from pydantic import ValidationError

from nvsx.core.aliases import alias_of
from nvsx.core.runbook import schema
from nvsx.core.runbook.schema import Prerequisite, Runbook, Stage, Trigger
from nvsx.core.runbook.stage_order import STAGE_ORDER
from nvsx.core.watches.kinds import AnyOf


def runbook(**changes: Any) -> Runbook:
    """The least runbook, with some of its top keys changed."""
    data: dict[str, Any] = {
        "apiVersion": "nvsx/v1",
        "kind": "Runbook",
        "metadata": {"name": "gpu-off-bus"},
        "stages": [{"id": "detect"}],
    }
    return Runbook.model_validate({**data, **changes}, by_alias=True, by_name=False)


def test_the_least_runbook_has_all_defaults() -> None:
    """Name and stages with ids are enough; the rest has defaults."""
    least = runbook()
    assert least.metadata.title == "GPU off bus"
    assert least.nickname == alias_of("gpu-off-bus")
    assert least.stages[0].title == "Detect"
    assert (least.metadata.summary, least.metadata.tags, least.triggers) == ("", (), ())
    assert (least.prerequisites, least.hooks(), least.scripts()) == ((), (), ())


def test_default_limits_follow_the_stage() -> None:
    """Every stage has the documented hard limit, and drain a soft one."""
    limits = {s: Stage(id=s).effective_timeout for s in STAGE_ORDER}
    assert limits == {
        "preflight": 120,
        "baseline": 300,
        "inject": 600,
        "detect": None,
        "quarantine": 900,
        "drain": None,
        "remediate": 2700,
        "recover": 2700,
        "postmortem": 600,
    }
    assert Stage(id="drain").effective_budget == 3600
    assert Stage(id="recover").effective_budget is None


def test_limits_as_written_win() -> None:
    """A limit in the file replaces the default, and `none` lifts it."""
    stage = Stage.model_validate({"id": "recover", "timeout": "none", "budget": "5m"})
    assert (stage.effective_timeout, stage.effective_budget) == (None, 300)
    assert Stage.model_validate({"id": "detect", "timeout": "1h"}).effective_timeout == 3600


def test_an_empty_limit_in_a_file_is_not_no_limit() -> None:
    """`timeout:` without a value is a slip, not a wish for no limit."""
    with pytest.raises(ValidationError, match='"none" for no limit'):
        Stage.model_validate({"id": "detect", "timeout": None}, context={"file": True})


@pytest.mark.parametrize(
    ("ids", "problems"),
    [
        (["preflight", "detect", "postmortem"], []),
        (["detect", "detect"], [(1, "stage 'detect' is there twice")]),
        (["recover", "detect"], [(1, "stage 'detect' comes before 'recover', not after")]),
        (["detekt"], [(0, "unknown stage 'detekt'; did you mean detect?")]),
        (["detect", 3], [(1, f"unknown stage '3'; use {', '.join(STAGE_ORDER)}")]),
    ],
)
def test_stage_ids_are_known_unique_and_in_order(
    ids: list[object], problems: list[tuple[int, str]]
) -> None:
    """Unknown, repeated and misordered stages are each named by their index."""
    assert schema.find_stage_problems(ids) == problems


def test_models_refuse_a_wrong_order_too() -> None:
    """A runbook made in code obeys the same order as one in a file."""
    with pytest.raises(ValidationError, match="comes before 'recover'"):
        runbook(stages=[{"id": "recover"}, {"id": "detect"}])


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/etc/passwd", "is absolute"),
        ("~/x.sh", "is absolute"),
        ("C:/x.sh", "is absolute"),
        ("../../x.sh", "leaves the project"),
        ("hooks/../../../x.sh", "leaves the project"),
        ("", "path is empty"),
        ("hooks/", "is a folder"),
        ("..\\x.sh", "backslash"),
        ("a\0b", "path is empty"),
    ],
)
def test_paths_stay_inside_the_project(path: str, says: str) -> None:
    """Hook and script paths that are absolute or leave the project are refused."""
    with pytest.raises(ValidationError, match=says):
        runbook(onFailure=path)
    with pytest.raises(ValidationError):
        runbook(stages=[{"id": "detect", "action": {"script": path and f"../{path}"}}])


def test_a_hook_may_use_the_projects_scripts() -> None:
    """`..` is fine as long as the path ends inside the project."""
    refs = runbook(stages=[{"id": "detect", "hook": "../scripts/collect.sh"}]).hooks()
    assert [r.project_path for r in refs] == ["scripts/collect.sh"]


def test_hooks_lists_every_role() -> None:
    """Hook, overdue and failure hooks are listed stage by stage, the runbook's own last."""
    book = runbook(
        stages=[{"id": "drain", "hook": "a", "onOverdue": "b", "onFailure": "c"}], onFailure="d"
    )
    assert [(h.stage, h.role, h.project_path) for h in book.hooks()] == [
        ("drain", "hook", "runbooks/a"),
        ("drain", "onOverdue", "runbooks/b"),
        ("drain", "onFailure", "runbooks/c"),
        (None, "onFailure", "runbooks/d"),
    ]


def test_groups_and_single_watches_mix() -> None:
    """A stage's watch list holds watches and anyOf groups; `watches` flattens them."""
    stage = Stage.model_validate(
        {
            "id": "recover",
            "watch": [
                {"kind": "node", "field": "ready"},
                {"anyOf": [{"kind": "node", "field": "exists"}, {"kind": "crd", "resource": "x"}]},
            ],
        }
    )
    assert isinstance(stage.watch[1], AnyOf)
    assert [w.kind for w in stage.watches] == ["node", "node", "crd"]


@pytest.mark.parametrize(
    ("expect", "output", "holds"),
    [
        (None, "", True),
        ("Active", "Active\n", True),
        ("Active", "Terminating", False),
        (">=2", "3\n", True),
        (">=2", "1", False),
        (">= 2", " 2 ", True),
        (">=2.5", "2.5", True),
        (">=2.5", "2.4", False),
        (">=0", "-1", False),
        (">=2", "", False),
        (">=2", "3 nodes", False),
        (">=x", "a >=x b", True),
    ],
)
def test_prerequisite_expectations(expect: str | None, output: str, holds: bool) -> None:
    """`>=N` compares numbers and is never satisfied by text; the rest is a part of the output."""
    assert Prerequisite(check="true", expect=expect).satisfied_by(output) is holds


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"check": "x", "crd": "y"},
        {"crd": "x", "namespace": "y"},
        {"check": "x", "namespace": "y"},
    ],
)
def test_a_prerequisite_asks_one_question(fields: dict[str, str]) -> None:
    """None or two questions, or a namespace where it has no meaning, are refused."""
    with pytest.raises(ValidationError):
        Prerequisite(**fields)


def test_prerequisites_name_themselves() -> None:
    """Without a name, people see what is asked."""
    asked = Prerequisite(deployment="fault-quarantine")
    assert (asked.kind, asked.subject) == ("deployment", "fault-quarantine")
    assert asked.label == "deployment fault-quarantine"


def test_triggers_need_a_criterion() -> None:
    """An entry that only widens would match every event."""
    with pytest.raises(ValidationError, match="at least one of"):
        Trigger.model_validate({"fatal": "any"})


@pytest.mark.parametrize("beside", [{"check": "X"}, {"fatal": "any"}, {"strategy": "STORE_ONLY"}])
def test_the_catch_all_stands_alone(beside: dict[str, Any]) -> None:
    """`default: true` takes what is left, so a key that narrows or widens it is refused; with
    false it is no criterion."""
    assert Trigger.model_validate({"default": True}).default
    with pytest.raises(ValidationError, match="no other key can stand beside it"):
        Trigger.model_validate({"default": True, **beside})
    with pytest.raises(ValidationError, match="or `default: true`"):
        Trigger.model_validate({"default": False})


def test_triggers_are_narrow_by_default() -> None:
    """Only fatal events to be remediated fire, unless the entry says otherwise."""
    trigger = Trigger.model_validate({"check": "X", "errorCode": 79})
    assert (trigger.fatal, trigger.strategy) == (True, ("EXECUTE_REMEDIATION",))
    assert (trigger.error_code, trigger.criteria) == (("79",), ("check", "error_code"))


def test_nicknames_lose_their_hash() -> None:
    """A nickname may be written the way it is spoken of."""
    assert runbook(metadata={"name": "x", "nickname": "#rogue-moose"}).nickname == "rogue-moose"


def test_narration_tokens_are_checked() -> None:
    """A token nobody fills is found when the file is read."""
    with pytest.raises(ValidationError, match=r"unknown narration token \{\{foo\}\}"):
        runbook(narration={"detect": "{{foo}}"})


@pytest.mark.parametrize("name", ["../evil", "a/b", "A", "-a", "a-", "", "a" * 64, "a b"])
def test_names_are_slugs(name: str) -> None:
    """A name is safe as a file's stem and as an argument."""
    with pytest.raises(ValidationError):
        runbook(metadata={"name": name})


@pytest.mark.parametrize("name", ["a", "a" * 63, "a.b_c-1"])
def test_names_may_be_as_long_as_a_label(name: str) -> None:
    """From one character to 63."""
    assert runbook(metadata={"name": name}).name == name


@pytest.mark.parametrize(
    ("name", "title"),
    [("gpu-xid_79.nvlink", "GPU XID 79 NVLink"), ("drain--slow", "Drain slow"), ("x", "X")],
)
def test_titles_are_made_from_names(name: str, title: str) -> None:
    """Words of the trade as they are spelled, the first letter large."""
    assert schema.title_of(name) == title


@pytest.mark.parametrize(("retries", "valid"), [(-1, False), (0, True), (10, True), (11, False)])
def test_hooks_are_tried_again_ten_times_at_most(retries: int, valid: bool) -> None:
    """And never less than not at all."""
    data = {"id": "drain", "hookRetries": retries}
    if valid:
        assert Stage.model_validate(data).hook_retries == retries
    else:
        with pytest.raises(ValidationError):
            Stage.model_validate(data)


@pytest.mark.parametrize(
    ("fatal", "valid"), [(True, True), (False, True), ("any", True), ("x", False), (1, False)]
)
def test_fatal_is_one_of_three(fatal: object, valid: bool) -> None:
    """A number or another word would be a guess."""
    data = {"check": "X", "fatal": fatal}
    if valid:
        assert Trigger.model_validate(data).fatal == fatal
    else:
        with pytest.raises(ValidationError, match="is not true, false or any"):
            Trigger.model_validate(data)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("{{elapse}}", "did you mean elapsed?"),
        ("{{zzz}}", "use targetNode, targetAlias, elapsed, artifactDir, artifactCount, runbook"),
    ],
)
def test_a_wrong_token_gets_a_hint(text: str, hint: str) -> None:
    """The nearest token, or all of them."""
    with pytest.raises(ValidationError, match=re.escape(hint)):
        runbook(narration={"detect": text})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "this has none"),
        ({"check": "x", "crd": "y"}, "this has check and crd"),
        ({"crd": "x", "namespace": "y"}, "namespace has no meaning for crd"),
        ({"check": "x", "namespace": "y"}, "namespace has no meaning for check"),
    ],
)
def test_a_prerequisite_says_what_is_wrong(fields: dict[str, str], says: str) -> None:
    """Which questions it asks, or for which a namespace means nothing."""
    with pytest.raises(ValidationError, match=says):
        Prerequisite(**fields)


@pytest.mark.parametrize("kind", ["deployment", "daemonset"])
def test_a_workload_may_be_in_a_namespace(kind: str) -> None:
    """By default it is in NVSentinel's."""
    asked = Prerequisite.model_validate({kind: "x", "namespace": "n", "name": "The x"})
    assert (asked.kind, asked.namespace, asked.label) == (kind, "n", "The x")


def test_a_runbook_finds_its_parts() -> None:
    """A stage by its id, the scripts of actions, single values as lists of one."""
    book = runbook(
        stages=[
            {"id": "inject", "action": {"script": "scripts/x.sh"}, "expect": "done"},
            {"id": "detect"},
        ]
    )
    stage = book.stage("inject")
    assert stage is not None
    assert (stage.expect, book.scripts(), book.stage("drain")) == (
        ("done",),
        ("scripts/x.sh",),
        None,
    )


def test_the_first_wrong_stage_is_told() -> None:
    """The others follow from it."""
    with pytest.raises(ValidationError, match="'drain' is there twice"):
        runbook(stages=[{"id": "drain"}, {"id": "drain"}, {"id": "detect"}])
