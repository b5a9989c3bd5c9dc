"""One followed node: joins its sources into snapshots, the adapter of core.ports.NodeFeed.

The observer makes one for each run. Every update of the node goes through the session
tracker at once, so that a state which lasts a moment is not lost; the snapshot itself is
put together at most once a turn of the event loop, and only when something of this node
changed. A source that has not answered is unread: nothing is absent before it was looked
for.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

import msgspec

from nvsx.cluster.door import Cluster
from nvsx.cluster.pod_logs import LogFollower
from nvsx.cluster.reflector import Reflector
from nvsx.core.errors import NotFound, StoreError
from nvsx.core.incident.session import HealthEvent
from nvsx.core.patterns import TooSlow, search
from nvsx.core.ports import Clock, HealthEventStore
from nvsx.core.watches.snapshot import (
    NOT_INSTALLED,
    NOT_YET,
    Event,
    LogLine,
    LogSource,
    Needs,
    Node,
    Pod,
    PodBudget,
    PodSource,
    Resource,
    ResourceSource,
    Snapshot,
)
from nvsx.core.watches.watch_base import TOLERANCE
from nvsx.nvsentinel.sessions import SessionTracker

NO_STORE = "no store of health events is configured (healthEvents.uri in nvsx.yaml)"
#: Lines kept for each `log` watch; only those that match its pattern count.
#: Fifty are enough for a watch that counts, and for a person who reads them.
LOG_LINES = 50
#: Pods of the node remembered by name, the gone ones too: the oldest are forgotten first.
MOST_PODS = 500
#: Seconds between two reads of the store: each is a query of somebody else's database.
STORE_EVERY = 10.0
#: How far before the incident stored events are read: a joined fault can be older than the
#: one that opened the session, and node clocks differ.
STORE_REACH = 600.0
_log = logging.getLogger(__name__)


class Followed(Protocol):
    """What a feed needs of a reflector, a node view or a log follower."""

    @property
    def synced(self) -> bool: ...

    @property
    def error(self) -> str: ...

    def on_status(self, callback: Callable[[], None]) -> Callable[[], None]: ...


class Feed:
    """`start` begins to follow, once. `tracker` has what is known of the session already."""

    def __init__(
        self,
        cluster: Cluster,
        node: str,
        needs: Needs,
        *,
        nodes: Reflector[Node],
        tracker: SessionTracker,
        clock: Clock,
        store: HealthEventStore | None = None,
    ) -> None:
        self._cluster = cluster
        self._node = node
        self._needs = needs
        self._nodes = nodes
        self._tracker = tracker
        self._clock = clock
        self._store = store
        self._started = clock.now()
        self._sources: list[tuple[str, Followed]] = []
        self._pods: list[tuple[PodSource, Any]] = []
        self._events: list[Any] = []
        self._budgets: Reflector[PodBudget] | None = None
        self._resources: dict[tuple[ResourceSource, str], Resource] = {}
        self._logs: dict[LogSource, tuple[LogLine, ...]] = {}
        self._health: tuple[HealthEvent, ...] = ()
        self._health_why = NOT_YET if store is not None else NO_STORE
        self._seen_pods: dict[tuple[str, str], Pod] = {}
        self._undo: list[Callable[[], object]] = []
        self._ends: list[Callable[[], Coroutine[Any, Any, object]]] = []
        self._news = asyncio.Event()
        self._due = False
        self._closed = False
        self._current = Snapshot(at=self._started, node_name=node, unread={"node": NOT_YET})

    @property
    def current(self) -> Snapshot:
        return self._current

    async def changed(self, seen: Snapshot) -> Snapshot:
        while self._current is seen:
            await self._news.wait()
        return self._current

    @property
    def closed(self) -> bool:
        return self._closed

    async def start(self, maintenance: Iterable[ResourceSource]) -> None:
        """Begin to follow everything; `maintenance` are the kinds of repairs to look for."""
        self._undo.append(self._nodes.subscribe(self._node_changed, self._node))
        self._undo.append(self._nodes.on_status(self._mark_due))
        if self._nodes.synced:
            self._tracker.observe(self._nodes.get(self._node), self._clock.now())
        await self._follow_pods()
        await self._follow_events()
        for source in dict.fromkeys((*maintenance, *self._needs.resources)):
            await self._follow_resources(source)
        if self._needs.budgets:
            await self._follow_budgets()
        for logs in self._needs.logs:
            self._follow_logs(logs)
        if self._needs.health_events and self._store is not None:
            task = asyncio.create_task(self._poll_store(self._store), name=f"store {self._node}")
            self._ends.append(lambda: _stop_task(task))
        self._refresh_snapshot()

    async def close(self) -> None:
        """Give every source back; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        for undo in self._undo:
            undo()
        for end in self._ends:
            await end()

    # --- sources ------------------------------------------------------------------------------

    def _add_source(self, name: str, source: Followed) -> None:
        self._sources.append((name, source))
        self._undo.append(source.on_status(self._mark_due))

    async def _follow_pods(self) -> None:
        view = await self._cluster.pods_on(self._node)
        self._ends.append(view.close)
        self._undo.append(view.subscribe(lambda *_: self._mark_due()))
        self._add_source("pods", view)
        self._pods.append((PodSource(), view))
        for source in self._needs.pods:
            if source.on_node:
                continue  # those are among the node's own
            reflector = await self._cluster.pods(source)
            self._release_at_close(reflector)
            self._undo.append(reflector.subscribe(lambda *_: self._mark_due()))
            self._add_source("pods", reflector)
            self._pods.append((source, reflector))

    async def _follow_events(self) -> None:
        view = await self._cluster.events_for(self._node)
        self._ends.append(view.close)
        self._undo.append(view.subscribe(lambda *_: self._mark_due()))
        self._add_source("events", view)
        self._events.append(view)
        for namespace in self._needs.event_namespaces:
            reflector = await self._cluster.events_in(namespace)
            self._release_at_close(reflector)
            self._undo.append(reflector.subscribe(self._event_changed))
            self._add_source("events", reflector)
            self._events.append(reflector)

    async def _follow_budgets(self) -> None:
        """Whoever may not read them learns less, and is told so by doctor."""
        self._budgets = reflector = await self._cluster.budgets()
        self._release_at_close(reflector)

        def changed(_key: str, old: PodBudget | None, new: PodBudget | None) -> None:
            where = {b.namespace for b in (old, new) if b is not None}
            if any(namespace in where for namespace, _ in self._seen_pods):
                self._mark_due()

        self._undo.append(reflector.subscribe(changed))
        self._add_source("budgets", reflector)

    async def _follow_resources(self, source: ResourceSource) -> None:
        reflector = await self._cluster.resources(source)
        self._release_at_close(reflector)

        def changed(key: str, old: Resource | None, new: Resource | None) -> None:
            if self._node in (new.node if new else "", old.node if old else ""):
                self._place_resource(source, key, new)
                self._mark_due()

        self._undo.append(reflector.subscribe(changed))
        for key, resource in reflector.objects.items():
            self._place_resource(source, key, resource)
        self._add_source(f"resources/{source.plural}", reflector)

    def _place_resource(self, source: ResourceSource, key: str, resource: Resource | None) -> None:
        before = self._resources.get((source, key))
        if resource is None and before is not None and before.completed:
            return  # a request goes with its Node; that it was carried out stays true
        if resource is not None and resource.node == self._node:
            self._resources[source, key] = resource
        else:
            self._resources.pop((source, key), None)

    def _follow_logs(self, source: LogSource) -> None:
        """Read from where a watch counts: a program tells of a fault before nvsx looks at it.

        | time     | what happens                                              |
        |----------|-----------------------------------------------------------|
        | 03:00:00 | the GPU fails, and a job logs it                          |
        | 03:00:01 | NVSentinel's condition is seen: a run begins, and follows |
        | 03:00:03 | the session begins: lines count from 02:58:03 on          |
        """
        told_slow = False

        def on_line(line: LogLine) -> None:
            nonlocal told_slow
            try:
                counts = search(source.pattern, line.text) is not None
            except TooSlow:
                # One is kept, so that the watch looks at it and says what is wrong.
                counts, told_slow = not told_slow, True
            if counts:
                self._logs[source] = (*self._logs.get(source, ()), line)[-LOG_LINES:]
                self._mark_due()

        began = min(self._started, self._tracker.session.began or math.inf)
        follower: LogFollower = self._cluster.logs(
            source, self._node, on_line, since=began - TOLERANCE
        )
        self._ends.append(follower.close)
        self._add_source(f"logs/{source.namespace}/{source.selector or source.pod}", follower)

    async def _poll_store(self, store: HealthEventStore) -> None:
        while True:
            began = min(self._started, self._tracker.session.began or math.inf)
            try:
                self._health = tuple(await store.events(self._node, began - STORE_REACH))
                self._health_why = ""
            except StoreError as error:
                self._health_why = error.message
            self._mark_due()
            await self._clock.sleep(STORE_EVERY)

    def _release_at_close(self, reflector: Reflector[Any]) -> None:
        self._ends.append(lambda: self._cluster.release(reflector))

    # --- changes ------------------------------------------------------------------------------

    def _node_changed(self, _key: str, _old: Node | None, new: Node | None) -> None:
        self._tracker.observe(new, self._clock.now())
        self._mark_due()

    def _event_changed(self, _key: str, old: Event | None, new: Event | None) -> None:
        found = new or old
        if found is not None and self._concerns_node(found):
            self._mark_due()

    def _concerns_node(self, event: Event) -> bool:
        """Whether an Event is about this node, or about a pod that was seen on it."""
        if event.kind == "Node":
            return event.object_name == self._node
        place = event.object_namespace or event.namespace
        return event.kind == "Pod" and (place, event.object_name) in self._seen_pods

    def _mark_due(self) -> None:
        if not self._due and not self._closed:
            self._due = True
            asyncio.get_running_loop().call_soon(self._refresh_snapshot)

    def _refresh_snapshot(self) -> None:
        self._due = False
        if self._closed:
            return
        fresh = self._make_snapshot()
        if msgspec.structs.replace(fresh, at=self._current.at) == self._current:
            return
        self._current = fresh
        self._news.set()
        self._news = asyncio.Event()

    def _make_snapshot(self) -> Snapshot:
        pods = self._all_pods()
        here = {(p.namespace, p.name): p for p in pods if p.node == self._node}
        self._remember_pods(here)
        events = {
            (e.namespace, e.name): e
            for view in self._events
            for e in view.items()
            if self._concerns_node(e)
        }
        return Snapshot(
            at=self._clock.now(),
            node_name=self._node,
            node=self._nodes.get(self._node),
            pods=pods,
            departed=tuple(p for key, p in self._seen_pods.items() if key not in here),
            events=tuple(sorted(events.values(), key=lambda e: (e.last, e.namespace, e.name))),
            resources=tuple(sorted(self._resources.values(), key=lambda r: (r.created, r.name))),
            budgets=self._list_refusing_budgets(here.values()),
            logs=dict(self._logs),
            health_events=self._health,
            session=self._tracker.session,
            unread=self._list_unread(),
        )

    def _list_refusing_budgets(self, pods: Iterable[Pod]) -> tuple[PodBudget, ...]:
        strict = [b for b in self._budgets.items() if b.allowed < 1] if self._budgets else []
        found = {(b.namespace, b.name): b for b in strict for p in pods if b.covers(p)}
        return tuple(found[key] for key in sorted(found))

    def _remember_pods(self, here: dict[tuple[str, str], Pod]) -> None:
        """A pod that is evicted goes, often before anybody looks at the Event that says so."""
        for key, pod in here.items():
            self._seen_pods.pop(key, None)
            self._seen_pods[key] = pod
        while len(self._seen_pods) > max(MOST_PODS, len(here)):
            del self._seen_pods[next(iter(self._seen_pods))]

    def _all_pods(self) -> tuple[Pod, ...]:
        found = {(p.namespace, p.name): p for _, view in self._pods for p in view.items()}
        return tuple(found[key] for key in sorted(found))

    def _list_unread(self) -> dict[str, str]:
        unread = {} if self._nodes.synced else {"node": self._nodes.error or NOT_YET}
        if self._nodes.error:
            unread["node"] = self._nodes.error
        for name, source in self._sources:
            why = source.error or ("" if source.synced else NOT_YET)
            if why and isinstance(getattr(source, "failure", None), NotFound):
                why = f"{name.rpartition('/')[2]} is {NOT_INSTALLED}"
            if why:
                unread.setdefault(name, why)
        if self._health_why:
            unread["health-events"] = self._health_why
        return unread


async def _stop_task(task: asyncio.Task[None]) -> None:
    task.cancel()
    for outcome in await asyncio.gather(task, return_exceptions=True):
        if isinstance(outcome, Exception):
            _log.error("following ended with %r", outcome)
