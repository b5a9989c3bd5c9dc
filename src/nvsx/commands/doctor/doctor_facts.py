"""What doctor and setup are told: plain values, gathered elsewhere.

`bootstrap.survey` fills a `Survey` from the machine, the project and the cluster; the checks
of `doctor_checks` judge it. What an installation of NVSentinel is like is described by the
few attributes that are read here, so that this package knows nothing of its origin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nvsx.lint.coverage import Coverage


class Known(Protocol):
    """A fact: `value` is None when it could not be read, `evidence` says where or why not."""

    @property
    def value(self) -> bool | str | None: ...
    @property
    def evidence(self) -> str: ...


class Module(Protocol):
    """A module of NVSentinel: its objects, and how many pods it wants and has."""

    @property
    def name(self) -> str: ...
    @property
    def desired(self) -> int: ...
    @property
    def ready(self) -> int: ...
    @property
    def version(self) -> str: ...
    @property
    def works(self) -> bool: ...
    @property
    def evidence(self) -> str: ...


class Repair(Protocol):
    """A recommended action and the kind of custom resource it becomes."""

    @property
    def action(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def kind(self) -> str: ...


class Installation(Protocol):
    """What was found of NVSentinel; `unread` says what could not be read, and why."""

    @property
    def namespace(self) -> str: ...
    @property
    def found(self) -> Known: ...
    @property
    def modules(self) -> Mapping[str, Module]: ...
    @property
    def provider(self) -> Known: ...
    @property
    def monitor_only(self) -> Known: ...
    @property
    def dry_run(self) -> Known: ...
    @property
    def breaker(self) -> Known: ...
    @property
    def drain_modes(self) -> Mapping[str, str]: ...
    @property
    def drain(self) -> Known: ...
    @property
    def repairs(self) -> Sequence[Repair]: ...
    @property
    def repair(self) -> Known: ...
    @property
    def manual(self) -> Known: ...
    @property
    def unread(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something could not be had, and what to do about it."""

    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where nvsx runs. `kubectl` is its version, "" when it is missing or broken, which
    `kubectl_trouble` explains. `extras` maps each optional extra to whether it is there."""

    python: str
    nvsx: str
    extras: Mapping[str, bool]
    kubectl: str = ""
    kubectl_path: str = ""
    kubectl_trouble: Trouble | None = None
    in_pod: bool = False
    state: str = ""
    state_trouble: Trouble | None = None
    convert_key: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster is meant. `server` is its address without user-info, "" when unknown."""

    context: str = ""
    server: str = ""
    others: tuple[str, ...] = ()
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One right that was tried. `allowed` is None when the answer was neither yes nor no."""

    what: str
    why: str
    allowed: bool | None
    served: bool = True
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A node, as far as readiness is concerned. `incident` is what is wrong, in words."""

    name: str
    gpu: bool = False
    opted_out: str = ""
    incident: str = ""


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """NVSentinel's datastore from the outside. `address` is host:port of what was tried or
    could be; `reached` is None when nothing was tried, and `detail` says why or how."""

    objects: tuple[str, ...] = ()
    address: str = ""
    reached: bool | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Nodes:
    """All nodes, or why they could not be read."""

    items: tuple[NodeSeen, ...] = ()
    trouble: Trouble | None = None

    @property
    def gpu(self) -> tuple[NodeSeen, ...]:
        return tuple(n for n in self.items if n.gpu)


@dataclass(frozen=True, slots=True)
class ClusterSeen:
    """The cluster. Without `version` nobody answered, and `trouble` says how."""

    version: str = ""
    uid: str = ""
    trouble: Trouble | None = None
    attempts: tuple[Attempt, ...] = ()
    installation: Installation | None = None
    nodes: Nodes = Nodes()
    store: StoreSeen = StoreSeen()


@dataclass(frozen=True, slots=True)
class Lint:
    """One finding about a runbook, as text; `about_hooks` when a script is what is wrong."""

    runbook: str
    severity: str
    text: str
    about_hooks: bool = False


@dataclass(frozen=True, slots=True)
class ProjectSeen:
    """The project folder. `kind` says why it was chosen (see project.locate)."""

    root: str
    kind: str
    runbooks: int = 0
    hooks: int = 0
    findings: tuple[Lint, ...] = ()
    coverage: tuple[Coverage, ...] = ()
    settings_trouble: Trouble | None = None
    trouble: Trouble | None = None
    modes: tuple[str, ...] = ("webhook",)
    store_uri: str = "auto"
    kubectl_writes: str = "deny"
    guard: Attempt = field(default=Attempt("kubectl guard", "", None))


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything the checks judge."""

    machine: Machine
    target: Target
    cluster: ClusterSeen
    project: ProjectSeen
