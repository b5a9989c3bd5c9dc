"""The fake of core.ports.Observer: a test says what the cluster looks like, step by step.

Engine and trigger tests use it. `FakeObserver.set(snapshot)` or a feed's `push` is one step;
waiters wake through asyncio alone, so it works under any virtual clock. It invents
nothing: sessions, verdicts and notes are what the test put in. The builders at the end
make the usual Kubernetes objects of one incident in a line each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from nvsx.core.errors import NotFound
from nvsx.core.incident.session import NO_SESSION, HealthEvent, Session
from nvsx.core.ports import Fault
from nvsx.core.watches.snapshot import (
    Condition,
    Event,
    Needs,
    Node,
    Note,
    Pod,
    Resource,
    Snapshot,
    Taint,
)

NODE = "gpu-node-a1"
EVENT_ID = "68a5f2e71c9d4b0012ab34cd"
AT = 1755706530.12
"""The moment the fault of the builders was generated."""


class FakeNodeFeed:
    """One followed node whose snapshots the test sets."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._current = snapshot
        self._news = asyncio.Event()
        self.closed = False

    @property
    def current(self) -> Snapshot:
        return self._current

    async def changed(self, seen: Snapshot) -> Snapshot:
        while self._current is seen:
            await self._news.wait()
        return self._current

    async def close(self) -> None:
        self.closed = True

    def push(self, snapshot: Snapshot) -> Snapshot:
        """Make `snapshot` the current one and wake everyone who waits."""
        self._current = snapshot
        self._news.set()
        self._news = asyncio.Event()
        return snapshot

    def update(self, **changes: Any) -> Snapshot:
        """Push the current snapshot with some fields replaced."""
        return self.push(msgspec.structs.replace(self._current, **changes))

    async def play(
        self,
        steps: Iterable[tuple[float, Mapping[str, Any]]],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Do each `(seconds to wait, changes)` in turn; `at` moves on by the wait."""
        for delay, changes in steps:
            await sleep(delay)
            self.update(**{"at": self._current.at + delay} | dict(changes))


class FakeFaults:
    """An iterator over the faults put in since it was made."""

    def __init__(self, listeners: list[FakeFaults]) -> None:
        self._queue: asyncio.Queue[Fault] = asyncio.Queue()
        self._listeners = listeners
        listeners.append(self)

    def put(self, fault: Fault) -> None:
        self._queue.put_nowait(fault)

    def __aiter__(self) -> FakeFaults:
        return self

    async def __anext__(self) -> Fault:
        return await self._queue.get()

    async def aclose(self) -> None:
        if self in self._listeners:
            self._listeners.remove(self)


class FakeObserver:
    """A scripted Observer.

    feeds          node → its one feed, shared by all who follow it
    incidents      what `nodes_in_incident` answers
    notes          stage → what `why` answers; `notes["*"]` for every other stage
    files          node → what `evidence` answers
    ready          (kind, name, namespace) or (kind, name) → what `prerequisite` answers
    errors         method name → the exception it raises
    followed       every call of `follow`, in order
    asked          (node, stage) of every call of `why`, in order
    """

    def __init__(self, *snapshots: Snapshot, cluster: str = "fake-cluster-uid") -> None:
        self.feeds = {s.node_name: FakeNodeFeed(s) for s in snapshots}
        self.incidents: list[Fault] = []
        self.notes: dict[str, Sequence[Note]] = {}
        self.files: dict[str, Mapping[str, bytes]] = {}
        self.ready: dict[tuple[str, ...], tuple[bool, str]] = {}
        self.errors: dict[str, Exception] = {}
        self.followed: list[tuple[str, Needs, Session | None]] = []
        self.asked: list[tuple[str, str]] = []
        self.cluster = cluster
        self.inspected: Any = None
        self._listeners: list[FakeFaults] = []
        self._listening = asyncio.Event()

    def _maybe_raise(self, method: str) -> None:
        if method in self.errors:
            raise self.errors[method]

    # --- what a test does --------------------------------------------------------------

    def set(self, snapshot: Snapshot) -> FakeNodeFeed:
        """Make `snapshot` the state of its node, which becomes known."""
        feed = self.feeds.get(snapshot.node_name)
        if feed is None:
            feed = self.feeds[snapshot.node_name] = FakeNodeFeed(snapshot)
        else:
            feed.push(snapshot)
        return feed

    def add_fault(self, fault: Fault) -> None:
        """Show `fault` to everyone who listens now; others never see it."""
        for listener in self._listeners:
            listener.put(fault)

    async def until_listening(self) -> None:
        """Wait until somebody asked for faults."""
        await self._listening.wait()

    # --- the port ----------------------------------------------------------------------

    async def follow(self, node: str, needs: Needs, session: Session | None = None) -> FakeNodeFeed:
        self._maybe_raise("follow")
        self.followed.append((node, needs, session))
        if node not in self.feeds:
            raise NotFound(f"the cluster has no node {node}", "see `kubectl get nodes`")
        feed = self.feeds[node]
        feed.closed = False
        if session is not None and not feed.current.session.known:
            feed.update(session=session)
        return feed

    async def nodes_in_incident(self) -> Sequence[Fault]:
        self._maybe_raise("nodes_in_incident")
        return list(self.incidents)

    async def node_names(self) -> Sequence[str]:
        self._maybe_raise("node_names")
        return sorted(self.feeds)

    async def nodes(self) -> Sequence[Node]:
        self._maybe_raise("nodes")
        return [feed.current.node or Node(name) for name, feed in sorted(self.feeds.items())]

    async def installation(self) -> Any:
        """What is known of NVSentinel here: nothing, unless a test says so."""
        return self.inspected

    async def count_gpu_nodes(self) -> int:
        self._maybe_raise("count_gpu_nodes")
        return len(self.feeds)

    def faults(self) -> AsyncIterator[Fault]:
        self._maybe_raise("faults")
        listener = FakeFaults(self._listeners)
        self._listening.set()
        return listener

    async def evidence(self, node: str) -> Mapping[str, bytes]:
        self._maybe_raise("evidence")
        if node in self.files:
            return self.files[node]
        return {"node.json": msgspec.json.encode({"name": node})}

    async def why(self, snapshot: Snapshot, stage: str) -> Sequence[Note]:
        self._maybe_raise("why")
        self.asked.append((snapshot.node_name, stage))
        return self.notes.get(stage, self.notes.get("*", ()))

    async def prerequisite(
        self, kind: Literal["deployment", "daemonset", "crd"], name: str, namespace: str
    ) -> tuple[bool, str]:
        self._maybe_raise("prerequisite")
        for key in ((kind, name, namespace), (kind, name)):
            if key in self.ready:
                return self.ready[key]
        return False, f"{kind} {name} not found in {namespace}"

    async def cluster_id(self) -> str:
        self._maybe_raise("cluster_id")
        return self.cluster


# --- builders: the usual objects of one XID 79 incident ---------------------------------


def health_event(node: str = NODE, **changes: Any) -> HealthEvent:
    """The fatal SysLogsXIDError of XID 79, with fields replaced."""
    fields: dict[str, Any] = {
        "check": "SysLogsXIDError",
        "id": EVENT_ID,
        "agent": "syslog-health-monitor",
        "component_class": "GPU",
        "error_codes": ("79",),
        "action": "RESTART_BM",
        "fatal": True,
        "message": "NVRM: Xid (PCI:0000:b3:00): 79, GPU has fallen off the bus.",
        "entities": (("PCI", "0000:b3:00"),),
        "generated_at": AT,
    }
    return HealthEvent(node=node, **fields | changes)


def fault(node: str = NODE, *, session_key: str = "", **changes: Any) -> Fault:
    return Fault(node, health_event(node, **changes), session_key)


def condition(
    *, healthy: bool = False, check: str = "SysLogsXIDError", at: float = AT, **changes: Any
) -> Condition:
    """NVSentinel's node condition of a check: True means unhealthy."""
    fields: dict[str, Any] = {
        "status": "False" if healthy else "True",
        "reason": f"{check}Is{'' if healthy else 'Not'}Healthy",
        "message": "No Health Failures"
        if healthy
        else "ErrorCode:79 PCI:0000:b3:00 fallen off the bus Recommended Action=RESTART_BM;",
        "heartbeat": at,
        "transition": at,
    }
    return Condition(type=check, **fields | changes)


def node(
    name: str = NODE,
    *,
    conditions: Iterable[Condition] = (),
    ready: bool = True,
    cordoned: bool = False,
    **changes: Any,
) -> Node:
    """A GPU node; `conditions` come after the kubelet's Ready."""
    kubelet = Condition("Ready", "True" if ready else "False", "KubeletReady" if ready else "")
    fields: dict[str, Any] = {
        "uid": f"uid-{name}",
        "labels": {"nvidia.com/gpu.present": "true", "kubernetes.io/hostname": name},
        "unschedulable": cordoned,
        "taints": (Taint("node.kubernetes.io/unschedulable", "", "NoSchedule"),) * cordoned,
        "conditions": (kubelet, *conditions),
        "boot_id": "boot-1",
    }
    return Node(name=name, **fields | changes)


def session(*states: str, node: str = NODE, at: float = AT + 2, **changes: Any) -> Session:
    """An open session that went through `states` (default: quarantined), a second apart."""
    seen = states or ("quarantined",)
    fields: dict[str, Any] = {
        "key": EVENT_ID,
        "open": True,
        "events": (health_event(node),),
        "state": seen[-1],
        "states": tuple((name, at + i) for i, name in enumerate(seen)),
        "generated_at": AT,
        "quarantined_at": at,
        "cordoned": True,
    }
    return Session(**fields | changes)


def ended(
    before: Session, at: float, *, ending: Literal["recovered", "cancelled", "terminated"]
) -> Session:
    """`before` after its end."""
    return msgspec.structs.replace(
        before, open=False, state="", ended_at=at, ending=ending, cordoned=False
    )


def resource(
    *conditions: tuple[str, str, str],
    kind: str = "RebootNode",
    node: str = NODE,
    created: float = AT + 96,
    **changes: Any,
) -> Resource:
    """A maintenance resource; `conditions` are (type, status, reason)."""
    fields: dict[str, Any] = {
        "group": "janitor.dgxc.nvidia.com",
        "version": "v1alpha1",
        "plural": f"{kind.lower()}s",
        "name": f"maintenance-{node}-{EVENT_ID}",
        "uid": f"uid-{kind}-{created}",
        "created": created,
        "started": created + 1,
        "conditions": tuple(Condition(t, s, r, transition=created) for t, s, r in conditions),
    }
    return Resource(kind=kind, node=node, **fields | changes)


def pod(name: str, *, namespace: str = "ml", node: str = NODE, **changes: Any) -> Pod:
    fields: dict[str, Any] = {"phase": "Running", "ready": True, "gpus": 8, "uid": f"uid-{name}"}
    return Pod(namespace=namespace, name=name, node=node, **fields | changes)


def node_event(
    type_: str, reason: str, message: str = "", *, at: float = AT, **changes: Any
) -> Event:
    """An Event about the node, as NVSentinel writes them into namespace default."""
    fields: dict[str, Any] = {"name": f"{NODE}.{reason}", "object_name": NODE, "first": at}
    return Event(
        namespace="default",
        kind="Node",
        type=type_,
        reason=reason,
        message=message,
        last=at,
        **fields | changes,
    )


def snapshot(at: float = AT, *, of: Node | None = None, **changes: Any) -> Snapshot:
    """A snapshot of `of` (a healthy node when not given) with everything read."""
    seen = of if of is not None else node()
    fields: dict[str, Any] = {"node_name": seen.name, "node": seen, "session": NO_SESSION}
    return Snapshot(at=at, **fields | changes)
