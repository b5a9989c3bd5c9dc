"""New faults as they appear on any node, for arming and for watch mode.

A fault is new when a node condition gains a fragment, when the quarantine annotation gains
an event, or when an Event of a check appears or comes back after a pause. What is there
when listening begins is not new: `nodes_in_incident` lists that. One hub serves every
listener; a listener that is dropped costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Iterable

from nvsx.cluster.door import Cluster
from nvsx.cluster.reflector import Reflector
from nvsx.core.incident.session import HealthEvent
from nvsx.core.ports import Fault
from nvsx.core.watches.snapshot import Event, Node
from nvsx.nvsentinel import marks, messages, names, sessions

#: An Event that was silent for so long reports a new episode, not the same one again. A
#: monitor that looks every 15 s repeats itself within minutes while a fault lasts.
EPISODE = 600.0
_log = logging.getLogger(__name__)


def find_new_faults(old: Node | None, new: Node, key: Callable[[Node], str]) -> list[Fault]:
    """The faults `new` shows and `old` did not; `key` gives the node's session key.

    10:15:30  condition `79 …;`             new: 79
    10:15:32  annotation [79]               new: 79, with its session
    10:15:45  condition `79 …;` again       nothing: a newer heartbeat
    10:16:00  condition `79 …;48 …;`        new: 48
    10:29:30  condition healthy             nothing
    10:31:00  condition `79 …;`             new: 79, it came back
    """
    found = [Fault(new.name, event) for event in _find_new_fragments(old, new)]
    now = new.annotations.get(names.QUARANTINE_ANNOTATION)
    if now and (old is None or now != old.annotations.get(names.QUARANTINE_ANNOTATION)):
        seen = {sessions.event_identity(e) for e in marks.read(old).events} if old else set()
        joined = [e for e in marks.read(new).events if sessions.event_identity(e) not in seen]
        found.extend(Fault(new.name, event, key(new)) for event in joined)
    return found


def _find_new_fragments(old: Node | None, new: Node) -> Iterable[HealthEvent]:
    for condition in new.conditions:
        if not messages.is_unhealthy(condition):
            continue
        before = old.condition(condition.type) if old is not None else None
        if before == condition:
            continue
        known = (
            messages.parse_fragments(before.message)
            if before is not None and messages.is_unhealthy(before)
            else []
        )
        for fragment in messages.parse_fragments(condition.message):
            if not any(messages.same_fault(fragment, k) for k in known):
                yield messages.event_of_fragment(new.name, condition, fragment)


def find_existing_fault(node: Node) -> Fault | None:
    """The newest fault among a node's conditions, without a session; None when it has none
    or was given up on.

    After a manual uncordon the condition stays True: that is no incident any more.
    """
    if marks.read(node).by_hand:
        return None
    sick = [c for c in node.conditions if messages.is_unhealthy(c)]
    if not sick:
        return None
    newest = max(sick, key=lambda c: c.heartbeat or c.transition)
    fragments = messages.parse_fragments(newest.message) or [messages.Fragment()]
    event = messages.event_of_fragment(node.name, newest, fragments[-1])
    return Fault(node.name, event, since=newest.transition)


class FaultStream:
    """The faults since it was made, one after the other; it never ends by itself."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Fault] = asyncio.Queue()

    def put(self, fault: Fault) -> None:
        self._queue.put_nowait(fault)

    def __aiter__(self) -> FaultStream:
        return self

    async def __anext__(self) -> Fault:
        return await self._queue.get()


class FaultHub:
    """Listens to all nodes, and to the Events NVSentinel writes about them.

    `ready` is set once what was there before is known: all that comes after it is new.
    """

    def __init__(self, cluster: Cluster, key: Callable[[Node], str]) -> None:
        self._cluster = cluster
        self._key = key
        self._streams: weakref.WeakSet[FaultStream] = weakref.WeakSet()
        self._started: asyncio.Task[None] | None = None
        self._undo: list[Callable[[], object]] = []
        self._nodes: Reflector[Node] | None = None
        self._events: Reflector[Event] | None = None
        self._nodes_known = self._events_known = False
        self.ready = asyncio.Event()

    def listen(self) -> FaultStream:
        """A stream of what is new from now on."""
        stream = FaultStream()
        self._streams.add(stream)
        if self._started is None:
            self._started = asyncio.create_task(self._start_listening(), name="faults")
        return stream

    async def close(self) -> None:
        if self._started is not None:
            self._started.cancel()
            await asyncio.gather(self._started, return_exceptions=True)
        for undo in self._undo:
            undo()
        self._undo.clear()
        for reflector in (self._nodes, self._events):
            if reflector is not None:
                await self._cluster.release(reflector)

    async def _start_listening(self) -> None:
        self._nodes = nodes = await self._cluster.nodes()
        self._undo += [nodes.subscribe(self._node_changed), nodes.on_status(self._note_synced)]
        self._note_synced()
        self._events = events = await self._cluster.events_in(names.EVENT_NAMESPACE)
        self._undo += [events.subscribe(self._event_changed), events.on_status(self._note_synced)]
        self._note_synced()

    def _note_synced(self) -> None:
        # A first list tells its objects one by one before it says that it is complete.
        self._nodes_known = self._nodes is not None and self._nodes.synced
        self._events_known = self._events is not None and self._events.synced
        if self._nodes_known and self._events_known:
            self.ready.set()
        if self._events is not None and self._events.error:
            _log.warning("faults that only show as Events are missed: %s", self._events.error)

    def _node_changed(self, _key: str, old: Node | None, new: Node | None) -> None:
        if self._nodes_known and new is not None:
            for fault in find_new_faults(old, new, self._key):
                self._tell_fault(fault)

    def _event_changed(self, _key: str, old: Event | None, new: Event | None) -> None:
        if not self._events_known or new is None or not messages.is_check_event(new):
            return
        if old is None or new.last - old.last >= EPISODE:
            self._tell_fault(Fault(new.object_name, messages.event_of_kubernetes_event(new)))

    def _tell_fault(self, fault: Fault) -> None:
        for stream in tuple(self._streams):
            stream.put(fault)
