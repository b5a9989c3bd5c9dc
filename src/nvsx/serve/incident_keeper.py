"""Keeps the incidents of a cluster: follows each node that has one, and tells what becomes of it.

For each such node it looks at every change of the node, and at each moment at which time alone
can change something; `step` says what is new, that is stored, and only then told to whoever
listens: runs, screens, messages. It follows an incident to its end whatever becomes of runs, in
every mode, since the cluster alone ends incidents.

    12:00:00 intake opens an incident on n1 and starts a run: the keeper follows n1
    12:05:00 a person cancels the run: RunEnded is on record, and n1 is followed on
    12:07:00 a second RebootNode: attempt 2 is stored and told
    12:09:00 nvsx is killed, and started at 12:09:20: the story is read, n1 is followed again
    12:10:00 released, all well · 12:10:30 over: the feed is closed

Others may append to the same stories (a run by hand, a second daemon): then this one reads the
story again and steps again; since `step` is asked what is true, it says nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from msgspec.structs import replace

from nvsx.core.errors import ClusterError, NotFound, StoreBusy, StoreError
from nvsx.core.incident.deciding import WatchMemory, is_same_fault
from nvsx.core.incident.incident_events import (
    IncidentEvent,
    RunEnded,
    RunJoined,
)
from nvsx.core.incident.incident_state import IncidentState, NodeStory, Stamp
from nvsx.core.incident.incident_store import (
    Appended,
    IncidentFilter,
    IncidentStore,
    StoredStory,
    StoryMoved,
)
from nvsx.core.incident.incident_view import IncidentView
from nvsx.core.incident.next_look import find_next_look
from nvsx.core.incident.node_look import NodeLook, StoryNews, mark_sandbox
from nvsx.core.incident.session import HealthEvent, Session
from nvsx.core.incident.sight import NO_MARKS, SeenAlert, SeenFault, Sight
from nvsx.core.incident.stepping import close_by_hand, join_by_hand, step
from nvsx.core.incident.tolerances import STILL_FIRING, IncidentLimits
from nvsx.core.ports import Clock, NodeFeed, Observer
from nvsx.core.watches.snapshot import NOT_YET, Needs, ResourceSource, Snapshot
from nvsx.nvsentinel.installation import Installation
from nvsx.nvsentinel.sights import VALIDATION_PLURAL, sight_of
from nvsx.serve.node_desk import IncidentNews, LiveIncident, NodeDesk

log = logging.getLogger(__name__)

#: A node that an event spoke of is followed for a while: what shows there next may open one.
LINGER = 120.0
#: What is known of the installation is read again so often while an incident is open.
INSPECT_EVERY = 30.0
#: After the store or the cluster refused; the next change of the node tries again too.
PAUSE = 2.0
#: A fault of the stream shows in its node's feed within one list of the node's Events.
SHOWN_SOON = 2.0
#: Another follower of the same node can be faster so often in a row before it is said.
MOVED_TRIES = 8
#: Followed at once after a start: each is a list of the node's pods and Events.
TOGETHER = 64
_SOURCES = frozenset({"node", "events", "resources"})
NEEDS = Needs(
    resources=(ResourceSource(VALIDATION_PLURAL, "nvsentinel.nvidia.com", "v1alpha1"),),
)

Inspect = Callable[[], Awaitable[Installation | None]]
Listener = Callable[[IncidentNews], None]


async def inspect_nothing() -> Installation | None:
    """Where nothing is known of the installation."""
    return None


class IncidentKeeper:
    """`begin` it; `at` is the way to a node for intake; `view_of` is what runs are given."""

    def __init__(
        self,
        *,
        incidents: IncidentStore,
        observer: Observer,
        clock: Clock,
        cluster: str,
        limits: IncidentLimits,
        sandbox: bool = False,
        inspect: Inspect = inspect_nothing,
        routes: Callable[[str, SeenFault], bool] = lambda _node, _fault: False,
    ) -> None:
        self._incidents = incidents
        self._observer = observer
        self._clock = clock
        self._cluster = cluster
        self._limits = limits
        self._sandbox = sandbox
        self._inspect = inspect
        self._routes = routes
        self._installation: Installation | None = None
        self._desks: dict[str, NodeDesk] = {}
        self._views: weakref.WeakValueDictionary[str, LiveIncident] = weakref.WeakValueDictionary()
        self._held: dict[str, LiveIncident] = {}
        self._listeners: list[Listener] = []
        self._inspecting: asyncio.Task[None] | None = None
        self._zero: tuple[float, float] | None = None
        self._began_at = clock.now()
        self._closed = False

    # --- beginning and ending -------------------------------------------------------------

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of all that is stored from now on. It must not wait."""
        self._listeners.append(listener)

    async def begin(self, *, known: bool = False) -> bool:
        """Follow what was open again, and open sessions that no story tells of.

        Whether the store knew this cluster: as the caller knows, or by what it holds. Where it did
        not, what is open is adopted. Raises StoreError and ClusterError.
        """
        self._installation = await self._inspect()
        known = known or await self._incidents.knows(self._cluster)
        stories = {s.story.node: s for s in await self._incidents.open_stories(self._cluster)}
        for row in await self._incidents.rows(IncidentFilter(cluster=self._cluster, limit=500)):
            recent = row.ended is not None and self._clock.now() - row.ended < STILL_FIRING
            if recent and row.node not in stories:
                stored = await self._incidents.story(self._cluster, row.node)
                if _left_alerts(stored.story):
                    stories[row.node] = stored
        nodes = {fault.node for fault in await self._observer.nodes_in_incident()}
        gate = asyncio.Semaphore(TOGETHER)

        async def take_up(node: str) -> None:
            async with gate, self.at(node) as desk:
                if desk.stored.position == 0 and not known:
                    desk.memory = replace(desk.memory, adopting=True)
                if desk.incident is None:
                    # An alert that an incident has answered may fire on: told after its time.
                    desk.alerts = _left_alerts(desk.stored.story)
                await self._look_once(desk)

        await asyncio.gather(*(take_up(node) for node in sorted(nodes | stories.keys())))
        self._inspecting = asyncio.create_task(self._keep_inspecting(), name="installation")
        return known

    async def begin_for_one(self) -> None:
        """Begin for a run by hand: only what that asks for is followed. Raises ClusterError."""
        self._installation = await self._inspect()
        self._inspecting = asyncio.create_task(self._keep_inspecting(), name="installation")

    async def end(self) -> None:
        """Follow nothing more; every story stays as it is stored."""
        self._closed = True
        tasks = [desk.task for desk in self._desks.values() if desk.task is not None]
        if self._inspecting is not None:
            tasks.append(self._inspecting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for desk in self._desks.values():
            if desk.feed is not None:
                await desk.feed.close()
        self._desks.clear()

    # --- what others see --------------------------------------------------------------------

    @property
    def open_incidents(self) -> Sequence[tuple[str, IncidentState]]:
        """All that are open now, with their ids."""
        desks = [desk for desk in self._desks.values() if desk.incident is not None]
        return [(d.stored.open_id, d.incident) for d in desks if d.incident is not None]

    def incident_on(self, node: str) -> tuple[str, IncidentState] | None:
        """The open incident of a node, with its id."""
        desk = self._desks.get(node)
        if desk is None or desk.incident is None:
            return None
        return desk.stored.open_id, desk.incident

    async def view_of(self, incident: str) -> IncidentView:
        """The incident as a run sees it, open or over. Raises StoreError, UsageError."""
        view = self._views.get(incident)
        if view is None:
            row = await self._incidents.row(incident)
            entries = await self._incidents.entries(incident)
            story = NodeStory(row.node).after_entries(entries)
            state = story.open or story.last
            if state is None:
                raise StoreError(f"the journal of incident {incident} does not begin")
            view = self._make_view(incident, state)
        return view

    async def view_of_run(self, run_id: str) -> IncidentView | None:
        """The view for a run; None for a run that belongs to no incident."""
        incident = await self._incidents.incident_of(run_id)
        return await self.view_of(incident) if incident else None

    def _make_view(self, incident: str, state: IncidentState) -> LiveIncident:
        view = self._views[incident] = LiveIncident(incident, state, self.tell_run_ended)
        return view

    # --- what others do ---------------------------------------------------------------------

    async def tell_run_ended(self, run_id: str, status: str) -> None:
        """A run has ended, and its incident goes on or is over. Whoever hears of it may say so: it
        is told here alone, to the run's own incident, and once.

        12:10 the incident i-1 of n1 is over while its run's postmortem works; 12:11 i-2 begins on
        n1; 12:12 the run ends: that is the last entry of i-1, and i-2 knows nothing of it.

        Raises StoreError, and ClusterError for an open one whose node is not followed yet.
        """
        incident = await self._incidents.incident_of(run_id)
        if not incident:
            return
        ended, row = RunEnded(run_id=run_id, status=status), await self._incidents.row(incident)
        if row.ended is None:
            async with self.at(row.node) as desk:

                def tell(
                    stored: StoredStory, sight: Sight
                ) -> tuple[WatchMemory, Sequence[IncidentEvent], Sight]:
                    here = stored.story.open if stored.open_id == incident else None
                    works = here is not None and run_id in here.working_runs
                    return desk.memory, [ended] if works else [], sight

                await self._append_decided(desk, tell)
                if desk.stored.open_id == incident:
                    return
        await self._append_after_end(incident, row.node, ended)

    async def _append_after_end(self, incident: str, node: str, ended: RunEnded) -> None:
        """The node need not be there any more for this."""
        if await self._incidents.append_to(incident, ended, self._clock.now()) is None:
            return
        entries = await self._incidents.entries(incident)
        before = NodeStory(node).after_entries(entries[:-1]).last
        after = NodeStory(node).after_entries(entries).last
        if after is not None:
            self._publish_news(IncidentNews(incident, node, before, after, (ended,)))

    async def join_by_hand(self, node: str, run: RunJoined) -> IncidentView:
        """A person's run joins the node's incident, or begins one. Raises StoreError, NotFound."""
        async with self.at(node) as desk:

            def join(
                stored: StoredStory, sight: Sight
            ) -> tuple[WatchMemory, Sequence[IncidentEvent], Sight]:
                made = join_by_hand(stored.story, desk.memory, sight, run, self._limits)
                return made.memory, made.events, sight

            await self._append_decided(desk, join)
            incident = desk.stored.open_id or desk.stored.last_id
        return await self.view_of(incident)

    async def close_by_hand(self, node: str, by: str, text: str = "") -> None:
        """A person closes the node's incident. Raises StoreError."""
        async with self.at(node) as desk:

            def close(
                stored: StoredStory, sight: Sight
            ) -> tuple[WatchMemory, Sequence[IncidentEvent], Sight]:
                made = close_by_hand(stored.story, desk.memory, sight, by, text, self._limits)
                return made.memory, made.events, sight

            await self._append_decided(desk, close)

    async def take_in_what_people_wrote(self) -> list[str]:
        """Read the incidents anew that somebody closed or adopted in another process; the nodes of
        those that were adopted. Raises StoreError.

        12:00:10 `nvsx incidents close n1` · 12:00:30 i-1 of n1 is not among the open ones of the
        store: its story is read, and that it is over is told. Asked each half minute, so only what
        one query can tell, and those that nobody has adopted yet, are looked at.
        """
        wanted = IncidentFilter(cluster=self._cluster, only_open=True, limit=None)
        still_open = {row.incident for row in await self._incidents.rows(wanted)}
        adopted = []
        for desk in tuple(self._desks.values()):
            async with desk.lock:
                state = desk.incident
                left_alone = state is not None and state.is_left_alone
                if state is None or (desk.stored.open_id in still_open and not left_alone):
                    continue
                await self._read_anew(desk, state)
                if left_alone and desk.incident is not None and not desk.incident.is_left_alone:
                    adopted.append(desk.node)
        return adopted

    async def _read_anew(self, desk: NodeDesk, before: IncidentState) -> None:
        """Take what another process appended, and tell of it."""
        incident = desk.stored.open_id
        stored = await self._incidents.story(self._cluster, desk.node)
        if stored.position == desk.stored.position:
            return
        desk.stored = stored
        after = stored.story.open if incident == stored.open_id else stored.story.last
        if after is not None:
            entries = await self._incidents.entries(incident)
            events = tuple(e.body for e in entries if e.seq > before.events)
            self._publish_news(IncidentNews(incident, desk.node, before, after, events))
        desk.nudge.set()

    # --- a node at hand -----------------------------------------------------------------------

    @asynccontextmanager
    async def at(self, node: str) -> AsyncIterator[NodeDesk]:
        """The desk of a node, for one at a time; the node is followed from now on.

        Raises ClusterError when the node cannot be read, StoreError.
        """
        if self._closed:
            raise StoreBusy("nvsx is shutting down", "send it again in a minute")
        desk = self._desks.get(node)
        if desk is None:
            desk = self._desks[node] = NodeDesk(node)
        desk.users += 1
        try:
            async with desk.lock:
                if desk.feed is None:
                    desk.stored = await self._incidents.story(self._cluster, node)
                    desk.feed = await self._follow_node(desk)
                    await _until_read(desk.feed)
                    desk.alerts = _unanswered_alerts(desk.incident)
                yield desk
        finally:
            desk.users -= 1
            if desk.feed is None and not desk.users:
                self._desks.pop(node, None)
            elif desk.task is None and not self._closed:
                desk.task = asyncio.create_task(self._keep_node(desk), name=f"incident {node}")
            desk.nudge.set()

    async def _follow_node(self, desk: NodeDesk) -> NodeFeed:
        """A node that is gone is followed too while its incident is open: it may come back."""
        state = desk.incident
        known = Session(key=state.key, node_uid=state.node.uid) if state is not None else None
        try:
            return await self._observer.follow(desk.node, NEEDS, known)
        except NotFound:
            if state is None:
                raise
            log.warning("node %s of incident %s is gone", desk.node, desk.stored.open_id)
            return _GoneNode(self._observer, self._clock, desk.node, known)

    def look_at(
        self,
        desk: NodeDesk,
        alerts: Sequence[SeenAlert] = (),
        *,
        news: SeenFault | None = None,
        news_at: float = 0.0,
    ) -> NodeLook:
        """The node now. `alerts` were just delivered; `news` is a fault that nvsx was watching
        for and has not seen before, `news_at` when it began, 0 for only now."""
        desk.stays_until = _read_monotonic() + LINGER
        held = desk.alerts | {(alert.key, alert.started): alert for alert in alerts}
        sight = self._see_node(desk, held.values())
        memory = desk.memory
        if memory.previous is None and news is not None:
            memory = replace(memory, previous=_sight_without(sight, news, news_at or sight.at))
        return NodeLook(self._cluster, desk.stored, memory, sight, self._limits, self._sandbox)

    async def until_seen(self, desk: NodeDesk, news: SeenFault) -> None:
        """Wait, not for long, until the node's own feed shows what the stream of faults has told:
        the two travel apart, and a feed that has just begun has not read everything."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SHOWN_SOON):
                while desk.feed is not None and not any(
                    is_same_fault(news, seen) for seen in self.faults_seen(desk)
                ):
                    await desk.feed.changed(desk.feed.current)

    def faults_seen(self, desk: NodeDesk) -> tuple[SeenFault, ...]:
        """What the node shows now."""
        return self._see_node(desk, ()).faults

    def health_event(self, node: str, ids: Sequence[str]) -> HealthEvent | None:
        """The event of these ids as NVSentinel's annotation has it, with all that it said."""
        desk = self._desks.get(node)
        session = desk.feed.current.session if desk is not None and desk.feed else None
        events = session.events if session is not None else ()
        return next((e for e in reversed(events) if e.id and e.id in ids), None)

    def watched_since(self) -> float:
        """Since when every node of the cluster is looked at."""
        return self._began_at

    def take_in(self, desk: NodeDesk, news: StoryNews, appended: Appended | None) -> None:
        """Go on from a step whose events were stored (None: it had none), and tell of them."""
        before = {desk.stored.open_id: desk.incident, desk.stored.last_id: desk.stored.story.last}
        for alert in news.sight.alerts:
            desk.alerts[alert.key, alert.started] = alert
        self._forget_alerts(desk)
        desk.memory = news.memory
        if appended is None:
            return
        stamp = Stamp(news.sight.at, news.sight.mono)
        story = news.stored.story
        for entry in appended.entries:
            # Folded here, so that ages of this life count on the monotonic clock.
            story = story.after(entry.body, stamp)
        desk.stored = replace(appended.stored, story=story)
        for incident in dict.fromkeys(entry.incident for entry in appended.entries):
            after = story.open if incident == desk.stored.open_id else story.last
            if after is None:
                continue
            events = tuple(e.body for e in appended.entries if e.incident == incident)
            self._publish_news(
                IncidentNews(incident, desk.node, before.get(incident), after, events)
            )

    def _forget_alerts(self, desk: NodeDesk) -> None:
        """What was taken back, and is known to be, needs no telling again."""
        for name, alert in tuple(desk.alerts.items()):
            if not alert.firing:
                del desk.alerts[name]

    def _publish_news(self, news: IncidentNews) -> None:
        view = self._views.get(news.incident)
        if view is None:
            view = self._make_view(news.incident, news.after)
        else:
            view.put(news.after)
        if news.after.ended is None:
            self._held[news.incident] = view
        else:
            self._held.pop(news.incident, None)
        for listener in self._listeners:
            try:
                listener(news)
            except Exception:
                log.exception("a listener to incidents failed; the incident goes on")

    # --- looking ------------------------------------------------------------------------------

    async def _keep_node(self, desk: NodeDesk) -> None:
        """Look at one node whenever something can be new, until there is nothing to follow."""
        try:
            while True:
                desk.nudge.clear()
                goes_on, wake = await self._look_safely(desk)
                if not goes_on:
                    return
                await _wait_for_news(desk, wake)
        finally:
            if desk.task is asyncio.current_task():
                desk.task = None

    async def _look_safely(self, desk: NodeDesk) -> tuple[bool, float | None]:
        """One look; whether there is another, and when for time's sake: None for only on news."""
        try:
            async with desk.lock:
                await self._look_once(desk)
                return await self._plan_next_look(desk)
        except (StoreError, ClusterError) as error:
            log.warning("the incident on %s waits: %s", desk.node, error)
        except Exception:
            log.exception("looking at %s failed; it goes on", desk.node)
        return True, _read_monotonic() + PAUSE

    async def _plan_next_look(self, desk: NodeDesk) -> tuple[bool, float | None]:
        story, sight, now = desk.stored.story, desk.memory.previous, _read_monotonic()
        wake = find_next_look(story, desk.memory, sight, self._limits) if sight else None
        if desk.incident is not None:
            return True, wake
        ended = story.last.ended_seen if story.last is not None else None
        if sight is None or ended is None or ended.age(sight) > STILL_FIRING:
            desk.alerts.clear()
        if desk.alerts:
            return True, wake
        if now < desk.stays_until or desk.users:
            return True, max(desk.stays_until, now + PAUSE)
        self._desks.pop(desk.node, None)
        if desk.feed is not None:
            await desk.feed.close()
        return False, None

    async def _look_once(self, desk: NodeDesk) -> None:
        def look(
            stored: StoredStory, sight: Sight
        ) -> tuple[WatchMemory, Sequence[IncidentEvent], Sight]:
            made = step(stored.story, desk.memory, sight, self._limits)
            return made.memory, made.events, sight

        await self._append_decided(desk, look)

    async def _append_decided(
        self,
        desk: NodeDesk,
        decide: Callable[[StoredStory, Sight], tuple[WatchMemory, Sequence[IncidentEvent], Sight]],
    ) -> None:
        """Decide and append; decide anew when somebody else was faster. Raises StoreError."""
        for _ in range(MOVED_TRIES):
            sight = self._see_node(desk, desk.alerts.values())
            memory, said, sight = decide(desk.stored, sight)
            events = mark_sandbox(said, sandbox=self._sandbox)
            news = StoryNews(self._cluster, desk.stored, desk.stored.story, memory, sight, events)
            if not events:
                self.take_in(desk, news, None)
                return
            try:
                appended = await self._incidents.append(
                    self._cluster, desk.node, desk.stored.position, events, sight.at
                )
            except StoryMoved:
                desk.stored = await self._incidents.story(self._cluster, desk.node)
                continue
            self.take_in(desk, news, appended)
            return
        raise StoreBusy(f"the incident on {desk.node} moves on all the time", "wait a moment")

    def _see_node(self, desk: NodeDesk, alerts: Iterable[SeenAlert]) -> Sight:
        if desk.feed is None:
            raise StoreError(f"node {desk.node} is not followed")
        mono = _read_monotonic()
        if self._zero is None:
            self._zero = (self._clock.now(), mono)
        now = self._zero[0] + mono - self._zero[1]
        desk.looked_at = desk.feed.current
        return sight_of(
            replace(desk.looked_at, at=now),
            mono,
            cluster_uid=self._cluster,
            installation=self._installation,
            alerts=tuple(alerts),
            routes=lambda fault: self._routes(desk.node, fault),
        )

    async def _keep_inspecting(self) -> None:
        """NVSentinel itself may change while it repairs: a breaker trips, a module goes."""
        while True:
            await self._clock.sleep(INSPECT_EVERY)
            if not self._desks:
                continue
            with suppress(ClusterError):
                found = await self._inspect()
                if found != self._installation:
                    self._installation = found
                    for desk in self._desks.values():
                        desk.nudge.set()


class _GoneNode:
    """The feed of a node that is gone, until one of its name is there again."""

    def __init__(
        self, observer: Observer, clock: Clock, node: str, session: Session | None
    ) -> None:
        self._observer, self._clock, self._node = observer, clock, node
        self._session = session
        self._feed: NodeFeed | None = None
        self._current = Snapshot(at=clock.now(), node_name=node)

    @property
    def current(self) -> Snapshot:
        return self._feed.current if self._feed is not None else self._current

    async def changed(self, seen: Snapshot) -> Snapshot:
        while self._feed is None:
            await self._clock.sleep(INSPECT_EVERY)
            with suppress(ClusterError):
                self._feed = await self._observer.follow(self._node, NEEDS, self._session)
        return await self._feed.changed(seen) if self._feed.current is seen else self.current

    async def close(self) -> None:
        if self._feed is not None:
            await self._feed.close()


def _unanswered_alerts(incident: IncidentState | None) -> dict[tuple[str, float], SeenAlert]:
    """After a restart: what its sender has not taken back fires on until it does."""
    known = incident.alerts if incident is not None else ()
    alerts = [
        SeenAlert(
            a.attached.key,
            a.attached.started,
            source=a.attached.source,
            check=a.attached.check,
            error_codes=a.attached.error_codes,
            names_fault=a.attached.names_fault,
        )
        for a in known
        if not a.resolved
    ]
    return {(a.key, a.started): a for a in alerts}


def _left_alerts(story: NodeStory) -> dict[tuple[str, float], SeenAlert]:
    left = [over for over in story.left_overs if over.kind == "alert"]
    return {(over.name, over.started): SeenAlert(over.name, over.started) for over in left}


def _read_monotonic() -> float:
    return asyncio.get_running_loop().time()


async def _until_read(feed: NodeFeed) -> None:
    """Wait, not for long, until a feed that has just begun has read what incidents are made of: a
    first look with half of it is true, and knows the order of nothing."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SHOWN_SOON):
            while any(
                why == NOT_YET and source.split("/")[0] in _SOURCES
                for source, why in feed.current.unread.items()
            ):
                await feed.changed(feed.current)


async def _wait_for_news(desk: NodeDesk, wake: float | None) -> None:
    """Until the node changes, somebody nudges, or it is time."""
    waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(desk.nudge.wait())]
    if desk.feed is not None and desk.looked_at is not None:
        waits.append(asyncio.ensure_future(desk.feed.changed(desk.looked_at)))
    try:
        async with asyncio.timeout_at(wake):
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        pass
    finally:
        for one in waits:
            one.cancel()


def _sight_without(sight: Sight, news: SeenFault, at: float) -> Sight:
    """The look before: the same node without what has just appeared on it.

    All nodes are watched, and only those with an incident are kept: for any other the look before
    a fault is known by the fault's being news.
    """
    faults = tuple(f for f in sight.faults if not is_same_fault(f, news))
    fresh = not sight.session.ids or set(sight.session.ids) <= set(news.ids)
    return replace(
        sight,
        at=min(at, sight.at),
        faults=faults,
        alerts=(),
        session=NO_MARKS if fresh else sight.session,
    )
