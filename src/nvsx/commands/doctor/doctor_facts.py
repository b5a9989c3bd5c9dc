"""What doctor and setup are told: plain values, gathered elsewhere.

`survey` fills a `Survey` from the machine, the project and the cluster; the checks judge it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nvsx.lint.coverage import Coverage
from nvsx.nvsentinel.installation import Installation


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
class ChosenCluster:
    """Which cluster is meant. `server` is its address without user-info, "" when unknown."""

    context: str = ""
    server: str = ""
    others: tuple[str, ...] = ()
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class TriedRight:
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
    attempts: tuple[TriedRight, ...] = ()
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
    guard: TriedRight = field(default=TriedRight("kubectl guard", "", None))


@dataclass(frozen=True, slots=True)
class TargetSeen:
    """One target of notify: what its least harmful call `proved`, or why it did not."""

    name: str
    kind: str
    proved: str = ""
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class TellingSeen:
    """Who is told of what, by the names of targets. `missing`: variables of Jira that are not set
    while others are."""

    pages: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    posts: tuple[str, ...] = ()
    tickets: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    targets: tuple[TargetSeen, ...] = ()


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything the checks judge."""

    machine: Machine
    target: ChosenCluster
    cluster: ClusterSeen
    project: ProjectSeen
    telling: TellingSeen = TellingSeen()
