"""What was observed of one node: small immutable projections of Kubernetes objects.

The cluster package decodes API bytes into these; the engine, the conditions and the
renderers read nothing else. A projection keeps what a watch, a diagnosis or a report
asks for and drops the rest, so that ten thousand nodes fit in memory.
Times are Unix seconds; 0.0 stands for "not given".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from nvsx.core.incident.session import NO_SESSION, HealthEvent, Session
from nvsx.core.selectors import Requirement, matches

#: In the reason why a source is unread: there is nothing of the kind, and nothing to wait for.
NOT_INSTALLED = "not installed"
#: In the same place: it has not answered for the first time, which takes a moment.
NOT_YET = "not read yet"


class Condition(msgspec.Struct, frozen=True, gc=False):
    """A condition of a node or of a custom resource; `status` is True, False or Unknown."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    heartbeat: float = 0.0
    transition: float = 0.0


class Taint(msgspec.Struct, frozen=True, gc=False):
    key: str
    value: str = ""
    effect: str = ""


class Node(msgspec.Struct, frozen=True):
    """`cordoned_with` is the program that made the node unschedulable, as managedFields name it,
    "" where nothing does; `cordoned_at` when, 0 where that is not known. `addresses` are all of
    status.addresses, names of the host among them."""

    name: str
    uid: str = ""
    created: float = 0.0
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()
    conditions: tuple[Condition, ...] = ()
    boot_id: str = ""
    cordoned_with: str = ""
    cordoned_at: float = 0.0
    addresses: tuple[str, ...] = ()
    provider_id: str = ""

    def condition(self, type_: str) -> Condition | None:
        return next((c for c in self.conditions if c.type == type_), None)

    @property
    def ready(self) -> bool | None:
        """The kubelet's Ready condition; None when it is absent or Unknown."""
        found = self.condition("Ready")
        if found is None or found.status == "Unknown":
            return None
        return found.status == "True"


class Pod(msgspec.Struct, frozen=True):
    """`owner` is `Kind/name` of the controller, "" for a bare pod. `gpus` counts requests."""

    namespace: str
    name: str
    uid: str = ""
    node: str = ""
    labels: Mapping[str, str] = {}
    phase: str = ""
    ready: bool = False
    owner: str = ""
    gpus: int = 0
    created: float = 0.0
    deleting: float = 0.0


class Event(msgspec.Struct, frozen=True):
    """A core/v1 Event. NVSentinel reuses one object and bumps `count` and `last`."""

    namespace: str
    name: str
    kind: str
    object_name: str
    object_namespace: str = ""
    type: str = ""
    reason: str = ""
    message: str = ""
    source: str = ""
    count: int = 1
    first: float = 0.0
    last: float = 0.0


class Resource(msgspec.Struct, frozen=True):
    """A custom resource about a node: RebootNode, GPUReset, TerminateNode and others."""

    group: str
    version: str
    plural: str
    kind: str
    name: str
    node: str
    namespace: str = ""
    uid: str = ""
    created: float = 0.0
    started: float = 0.0
    completed: float = 0.0
    phase: str = ""
    conditions: tuple[Condition, ...] = ()
    labels: Mapping[str, str] = {}

    def condition(self, type_: str) -> Condition | None:
        return next((c for c in self.conditions if c.type == type_), None)


class PodBudget(msgspec.Struct, frozen=True):
    """A PodDisruptionBudget. `allowed`: disruptions that it allows now. A budget without a
    selector covers no pod, one with an empty selector every pod of its namespace."""

    namespace: str
    name: str
    allowed: int = 0
    selector: tuple[Requirement, ...] | None = None

    def covers(self, pod: Pod) -> bool:
        """Whether an eviction of `pod` asks it."""
        if self.selector is None or pod.namespace != self.namespace:
            return False
        return matches(self.selector, pod.labels)


class LogLine(msgspec.Struct, frozen=True):
    at: float
    namespace: str
    pod: str
    container: str
    text: str


class LogSource(msgspec.Struct, frozen=True):
    """Which logs a `log` watch reads: one pod by name, or all that a selector finds."""

    namespace: str
    selector: str = ""
    pod: str = ""
    container: str = ""
    pattern: str = ""


class ResourceSource(msgspec.Struct, frozen=True):
    """Which custom resources a `crd` watch reads. `plural` may be `maintenance`."""

    plural: str
    group: str = ""
    version: str = ""
    namespace: str = ""


class PodSource(msgspec.Struct, frozen=True):
    """Which pods a `pod` watch reads. `on_node` narrows to the target node."""

    namespace: str = ""
    selector: str = ""
    on_node: bool = True


class Needs(msgspec.Struct, frozen=True):
    """What must be followed for one run, besides the node and its own pods and Events."""

    pods: tuple[PodSource, ...] = ()
    resources: tuple[ResourceSource, ...] = ()
    logs: tuple[LogSource, ...] = ()
    event_namespaces: tuple[str, ...] = ()
    health_events: bool = False
    budgets: bool = False


class Snapshot(msgspec.Struct, frozen=True):
    """All that is known of one node at one moment.

    `unread` names the sources that cannot be read now and why, in words: `node`, `pods`,
    `events`, `resources/<plural>`, `budgets`, `logs/<namespace>/<selector or pod>`,
    `health-events`.
    A source that has not answered yet is unread, so that nothing is taken for absent
    before it was looked for. `pods` holds the node's pods and those that watches select;
    `departed` pods that were seen on the node and have gone: Events still speak of them.
    `budgets` are those that cover a pod of the node and allow no disruption now.
    """

    at: float
    node_name: str
    node: Node | None = None
    pods: tuple[Pod, ...] = ()
    departed: tuple[Pod, ...] = ()
    events: tuple[Event, ...] = ()
    resources: tuple[Resource, ...] = ()
    budgets: tuple[PodBudget, ...] = ()
    logs: Mapping[LogSource, tuple[LogLine, ...]] = {}
    health_events: tuple[HealthEvent, ...] = ()
    session: Session = NO_SESSION
    unread: Mapping[str, str] = {}

    def pods_on_node(self) -> tuple[Pod, ...]:
        return tuple(p for p in self.pods if p.node == self.node_name)


class Note(msgspec.Struct, frozen=True):
    """Why nothing is happening, and what to do about it.

    `code` is stable (`breaker-tripped`, `drain-waits`, …); a note is shown once for each
    new text. `remedy` is one sentence or command, "" when there is nothing to do.
    """

    code: str
    text: str
    remedy: str = ""


def raw_mapping(value: object) -> Mapping[str, Any]:
    """`value` when it is a mapping, else an empty one: absent and null read alike."""
    return value if isinstance(value, Mapping) else {}
