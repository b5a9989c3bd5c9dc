"""`nvsx.yaml`: a project's settings, all optional, all with a default.

Command-line flags go over environment variables, and those over the file. The variables
are listed in `ENVIRONMENT`; the commands apply their own flags. Mistakes are reported as
for runbooks, with file, line and column, or with the name of the variable.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from nvsx.core import patterns
from nvsx.core.errors import InvalidRunbook, Problem, UsageError
from nvsx.core.fields import Duration, Model, Text, Texts
from nvsx.core.notify.notify_settings import NotifySettings, find_misdirected
from nvsx.core.notify.usual_variables import targets_of_environment
from nvsx.core.runbook.catalog import Positions, YamlPath
from nvsx.core.senders.message_fields import Extract
from nvsx.core.senders.registry import SENDERS
from nvsx.core.senders.sources import (
    OAuth,
    Source,
    Sources,
    Token,
    kind_of,
    misplaced_keys,
)
from nvsx.core.store_uris import why_credentials_unreadable
from nvsx.project import cel, yaml_tree
from nvsx.project.yaml_findings import collect_problems, find_nearest, locate_findings
from nvsx.project.yaml_tree import Tree

FILE = "nvsx.yaml"

Mode = Literal["webhook", "poll", "watch"]


def _as_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


class ClusterSettings(Model):
    names: Texts = Field((), description="Names by which events may call this cluster.")


class Nvsentinel(Model):
    namespace: Text = "nvsentinel"


class Credentials(Model):
    """Where the credentials for NVSentinel's store are: exactly one place."""

    file: Text | None = Field(
        None, description="A file with a URI, password or PEM, or a folder like a mounted Secret."
    )
    secret: Text | None = Field(None, description="A Kubernetes Secret, namespace/name.")
    env: Text | None = Field(None, description="Name of a variable with a URI or password.")

    @model_validator(mode="after")
    def _one_place(self) -> Credentials:
        if sum(v is not None for v in (self.file, self.secret, self.env)) != 1:
            raise ValueError("credentials has exactly one of file, secret, env")
        return self


class HealthEventSettings(Model):
    """NVSentinel's store. The URI may hold a password, so it is never shown."""

    uri: Annotated[str, Field(pattern=r"^(auto|none|mongodb(\+srv)?://.+|postgres(ql)?://.+)$")] = (
        Field("auto", repr=False)
    )
    credentials: Credentials | None = None

    @field_validator("uri")
    @classmethod
    def _refuse_unencoded_password(cls, uri: str) -> str:
        if wrong := why_credentials_unreadable(uri):
            raise ValueError(wrong)
        return uri


class Serve(Model):
    modes: Annotated[tuple[Mode, ...], BeforeValidator(_as_list)] = Field(
        ("webhook",), min_length=1
    )
    host: Text = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    poll_interval: Duration = Field(10.0, gt=0)
    require_auth: bool = False
    tls_cert: Text | None = None
    tls_key: Text | None = None
    token: Token | None = Field(None, description="Bearer token of /webhook; else nvsx makes one.")
    oauth: OAuth | None = Field(None, description="Token endpoint for NVSentinel's exporter.")
    sources: Sources = Field({}, description="Senders, by the name in /hooks/<name>.")


class Storm(Model):
    """So many nodes within the window are one storm, and three of one NVLink domain; `domain` is
    the node label that names it."""

    nodes: int = Field(8, ge=2)
    window: Duration = 120.0
    domain: str = "nvidia.com/gpu.clique"


class Throttle(Model):
    """At most so many runs of one runbook within the window."""

    runs: int = Field(20, ge=1)
    window: Duration = 3600.0


class LimitSettings(Model):
    max_concurrent_runs: int = Field(200, ge=1)
    max_event_age: Duration = 900.0
    unseen: Duration = Field(
        86400.0, gt=0, description="When an alert that nobody confirms or takes back is closed."
    )
    storm: Storm = Storm()
    throttle: Throttle | None = Field(None, description="Per runbook; none by default.")


class Hooks(Model):
    timeout: Duration = Field(30.0, gt=0, description="Unless the stage says hookTimeout.")
    kubectl_writes: Literal["deny", "allow"] = "deny"
    kubeconfig: Text | None = Field(None, description="A read-only account for hooks.")


class History(Model):
    keep: Duration = Field(400 * 86400.0, description="How long finished runs are kept.")
    repeat_window: Duration = Field(
        72 * 3600.0, gt=0, description="How close two incidents are one thing that came back."
    )


class Settings(Model):
    """The whole file."""

    api_version: Literal["nvsx/v1"] = "nvsx/v1"
    kind: Literal["Project"] = "Project"
    cluster: ClusterSettings = ClusterSettings()
    nvsentinel: Nvsentinel = Nvsentinel()
    health_events: HealthEventSettings = HealthEventSettings()
    serve: Serve = Serve()
    limits: LimitSettings = LimitSettings()
    hooks: Hooks = Hooks()
    history: History = History()
    notify: NotifySettings | None = Field(
        None, description="Who is told; without it the variables that are set name the targets."
    )


#: Environment variable → the setting it replaces. Lists are separated by commas.
ENVIRONMENT: dict[str, YamlPath] = {
    "NVSX_CLUSTER_NAMES": ("cluster", "names"),
    "NVSX_NAMESPACE": ("nvsentinel", "namespace"),
    "NVSX_HEALTH_EVENTS_URI": ("healthEvents", "uri"),
    "NVSX_SERVE_MODES": ("serve", "modes"),
    "NVSX_SERVE_HOST": ("serve", "host"),
    "NVSX_SERVE_PORT": ("serve", "port"),
    "NVSX_POLL_INTERVAL": ("serve", "pollInterval"),
    "NVSX_REQUIRE_AUTH": ("serve", "requireAuth"),
    "NVSX_TLS_CERT": ("serve", "tlsCert"),
    "NVSX_TLS_KEY": ("serve", "tlsKey"),
    "NVSX_MAX_CONCURRENT_RUNS": ("limits", "maxConcurrentRuns"),
    "NVSX_MAX_EVENT_AGE": ("limits", "maxEventAge"),
    "NVSX_HOOK_TIMEOUT": ("hooks", "timeout"),
    "NVSX_KUBECTL_WRITES": ("hooks", "kubectlWrites"),
    "NVSX_HOOK_KUBECONFIG": ("hooks", "kubeconfig"),
    "NVSX_HISTORY_KEEP": ("history", "keep"),
}
_LISTS = {("cluster", "names"), ("serve", "modes")}


def load(root: Path, env: Mapping[str, str]) -> Settings:
    """The settings of the project at `root`, with the environment applied.

    Raises InvalidRunbook (as for any file of a project) with every problem.
    """
    tree = _read_file(root / FILE)
    try:
        from_file = Settings.model_validate(
            tree.data, by_alias=True, by_name=False, context={"file": True}
        )
    except ValidationError as exc:
        raise InvalidRunbook(FILE, collect_problems(Settings, tree, exc, FILE)) from None
    if problems := list(_source_problems(from_file, tree)):
        raise InvalidRunbook(FILE, problems)
    changes = {p: env[name] for name, p in ENVIRONMENT.items() if env.get(name)}
    return _with_environment(tree, changes) if changes else from_file


def choose_notify_settings(settings: Settings, env: Mapping[str, str]) -> NotifySettings:
    """`notify:` of the file, or the targets that the usual variables name."""
    return targets_of_environment(env) if settings.notify is None else settings.notify


USUAL_TARGETS = ("slack", "pagerduty", "opsgenie", "jira")
"""What targets are called that the usual variables name; which are set differs by machine."""


def find_target_names(root: Path, env: Mapping[str, str]) -> frozenset[str] | None:
    """The names that `nvsx notify --to` may have in a project; None where its settings are broken,
    which is said elsewhere."""
    try:
        settings = load(root, env)
    except UsageError:
        return None
    return frozenset(USUAL_TARGETS if settings.notify is None else settings.notify.targets)


def _source_problems(settings: Settings, tree: Tree) -> Iterator[Problem]:
    """What one source cannot know of itself: the kind its name implies, and CEL's verdict; and
    whether the targets that messages go to are there."""
    for name, source in settings.serve.sources.items():
        path: YamlPath = ("serve", "sources", name)
        kind = kind_of(name, source)
        for value, rules in source.rules().items():
            if value != "node" and any(rule.first for rule in rules):
                place = tree.positions.key((*path, value))
                yield Problem(f"`first` is for node rules; {value}'s go first anyway", FILE, *place)
        if kind is None:
            hint = find_nearest(name, SENDERS) or f"write kind: one of {', '.join(SENDERS)}"
            place = tree.positions.key(path)
            yield Problem(f"source '{name}' needs a kind", FILE, *place, hint)
            continue
        for key, why in misplaced_keys(kind, source).items():
            yield Problem(why, FILE, *tree.positions.key((*path, key)))
        for rule, rule_path in _rules_of(name, source, tree):
            boolean = rule_path[3] == "resolved"
            if rule.cel and (wrong := cel.check_value(rule.cel, boolean=boolean)):
                at = tree.positions.value((*rule_path, "cel"))
                yield Problem(f"cel: {wrong}", FILE, *at)
    yield from _notify_problems(settings, tree)


def _notify_problems(settings: Settings, tree: Tree) -> Iterator[Problem]:
    if settings.notify is None:
        return
    known = settings.notify.targets
    for key, name, why in find_misdirected(settings.notify):
        path: YamlPath = ("notify", "default", key)
        written = tree.data["notify"]["default"][key]
        if isinstance(written, list):
            path = (*path, written.index(name))
        hint = "" if name in known else find_nearest(name, known)
        hint = hint or ("" if name in known else f"targets: {', '.join(known) or 'none'}")
        yield Problem(f"default.{key}: {why}", FILE, *tree.positions.value(path), hint)


def _rules_of(name: str, source: Source, tree: Tree) -> Iterator[tuple[Extract, YamlPath]]:
    """The rules of one source, each with its path in the file."""
    for value, rules in source.rules().items():
        for index, rule in enumerate(rules):
            alone = isinstance(tree.data["serve"]["sources"][name][value], dict)
            path: YamlPath = ("serve", "sources", name, value)
            yield rule, path if alone else (*path, index)


def slow_patterns(root: Path, env: Mapping[str, str]) -> Iterator[Problem]:
    """Patterns of the rules of senders that take too long over some text, for lint.

    Raises InvalidRunbook for a file that is not valid.
    """
    tree = _read_file(root / FILE)
    for name, source in load(root, env).serve.sources.items():
        for rule, path in _rules_of(name, source, tree):
            if rule.pattern and (text := patterns.slow_text(rule.pattern)):
                at = tree.positions.value((*path, "pattern"))
                said = f"pattern /{rule.pattern}/ takes too long over {text}"
                yield Problem(said, FILE, *at, "such a message would find no value by it")


def _read_file(path: Path) -> Tree:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return Tree({}, Positions())
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror or exc}") from None
    return yaml_tree.load(raw, FILE, allow_empty=True)


def _with_environment(tree: Tree, changes: Mapping[YamlPath, str]) -> Settings:
    """The file is valid by now, so whatever is wrong after the change is the variable's."""
    data: dict[str, Any] = copy.deepcopy(tree.data)
    for (section, key), text in changes.items():
        words: object = [w.strip() for w in text.split(",")]
        group = data.get(str(section)) or {}
        data[str(section)] = {**group, str(key): words if (section, key) in _LISTS else text}
    try:
        return Settings.model_validate(data, by_alias=True, by_name=False, context={"file": True})
    except ValidationError as exc:
        variables = {path: name for name, path in ENVIRONMENT.items()}
        problems = [
            Problem(found.message, variables.get(found.path[:2], FILE), hint=found.hint)
            for found in locate_findings(Settings, data, exc)
        ]
        raise InvalidRunbook(FILE, problems) from None
