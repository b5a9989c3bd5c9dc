"""The desks of all followed nodes: each node is looked at on every change of it, and at each moment
at which time alone can change something.

    12:00:00 intake asks for n1's desk: its story is read and its feed begun
    12:00:00 the intake has the desk to itself, and opens an incident there
    12:00:01 the desk is free again: the loop looks at n1, and whenever n1 changes
    12:10:30 the incident is over · 12:12:30 nobody has asked for n1 since: its feed is closed
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from msgspec.structs import replace

from nvsx.core.errors import ClusterError, NotFound, StoreBusy, StoreError
from nvsx.core.incident.deciding import WatchMemory, is_same_fault
from nvsx.core.incident.incident_events import IncidentEvent
from nvsx.core.incident.incident_state import Stamp
from nvsx.core.incident.incident_store import Appended, IncidentStore, StoredStory, StoryMoved
from nvsx.core.incident.next_look import find_next_look
from nvsx.core.incident.node_look import NodeLook, StoryNews, mark_sandbox
from nvsx.core.incident.session import HealthEvent, Session
from nvsx.core.incident.sight import ALL_SOURCES, NO_MARKS, SeenAlert, SeenFault, Sight
from nvsx.core.incident.stepping import step
from nvsx.core.incident.tolerances import STILL_FIRING, IncidentLimits
from nvsx.core.incident.wrong_clock import hold_in_the_past
from nvsx.core.masking import Masker
from nvsx.core.ports import Clock, NodeFeed, Observer
from nvsx.nvsentinel.installation import Installation
from nvsx.nvsentinel.sights import sight_of
from nvsx.serve.incident_publisher import IncidentNews, IncidentPublisher
from nvsx.serve.node_desk import NodeDesk, find_unanswered_alerts
from nvsx.serve.node_feeds import NEEDS, GoneNode, read_monotonic, until_read, wait_for_news

log = logging.getLogger(__name__)

#: A node that an event spoke of is followed for a while: what shows there next may open one.
LINGER = 120.0
#: After the store or the cluster refused; the next change of the node tries again too.
PAUSE = 2.0
#: A fault of the stream shows in its node's feed within one list of the node's Events.
SHOWN_SOON = 2.0
#: Another follower of the same node can be faster so often in a row before it is said.
MOVED_TRIES = 8

#: What to remember, what to append, and the sight it was decided on.
Decided = tuple[WatchMemory, Sequence[IncidentEvent], Sight]


class FollowedCluster(NamedTuple):
    """Which cluster is followed, and by which rules. `routes` says whether a runbook wants a
    fault of a node that is not fatal."""

    uid: str
    limits: IncidentLimits
    masker: Masker
    sandbox: bool = False
    routes: Callable[[str, SeenFault], bool] = lambda _node, _fault: False


class NodeDesks:
    """`at` is the way to a node. `installation` is what is known of NVSentinel now."""

    def __init__(
        self,
        incidents: IncidentStore,
        observer: Observer,
        clock: Clock,
        cluster: FollowedCluster,
        publisher: IncidentPublisher,
    ) -> None:
        self._incidents = incidents
        self._observer = observer
        self._clock = clock
        self._cluster = cluster
        self._publisher = publisher
        self.installation: Installation | None = None
        self._desks: dict[str, NodeDesk] = {}
        self._zero: tuple[float, float] | None = None
        self._began_at = clock.now()
        self._closed = False

    @property
    def all(self) -> Sequence[NodeDesk]:
        """Those of all nodes that are followed now."""
        return tuple(self._desks.values())

    def find_desk(self, node: str) -> NodeDesk | None:
        """That of a node, when it is followed."""
        return self._desks.get(node)

    async def close(self) -> None:
        """Follow nothing more; every story stays as it is stored."""
        self._closed = True
        tasks = [desk.task for desk in self._desks.values() if desk.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for desk in self._desks.values():
            if desk.feed is not None:
                await desk.feed.close()
        self._desks.clear()

    def take_up_installation(self, found: Installation | None) -> None:
        """Look at every node again when NVSentinel itself has changed."""
        if found != self.installation:
            self.installation = found
            for desk in self._desks.values():
                desk.nudge.set()

    # --- a node at hand -----------------------------------------------------------------------

    @asynccontextmanager
    async def at(self, node: str, *, follows: bool = True) -> AsyncIterator[NodeDesk]:
        """The desk of a node, for one at a time; the node is followed from now on. Who only
        appends needs no look at it (`follows` false), nor a cluster that answers.

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
                    desk.stored = await self._read_story(node)
                if desk.feed is None and follows:
                    desk.feed = await self._follow_node(desk)
                    await until_read(desk.feed)
                    desk.alerts = find_unanswered_alerts(desk.incident)
                yield desk
        finally:
            desk.users -= 1
            if desk.feed is None:
                if not desk.users:
                    self._desks.pop(node, None)
            elif desk.task is None and not self._closed:
                desk.task = asyncio.create_task(self._keep_node(desk), name=f"incident {node}")
            desk.nudge.set()

    async def _read_story(self, node: str) -> StoredStory:
        stored = await self._incidents.story(self._cluster.uid, node)
        story = hold_in_the_past(stored.story, self._tell_time(), read_monotonic())
        return replace(stored, story=story)

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
            return GoneNode(self._observer, self._clock, desk.node, known)

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
        desk.stays_until = read_monotonic() + LINGER
        held = desk.alerts | {(alert.key, alert.started): alert for alert in alerts}
        sight = self._see_node(desk, held.values())
        memory = desk.memory
        if memory.previous is None and news is not None:
            memory = replace(memory, previous=_sight_without(sight, news, news_at or sight.at))
        return NodeLook(
            self._cluster.uid,
            desk.stored,
            memory,
            sight,
            self._cluster.limits,
            self._cluster.sandbox,
        )

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
        if news.stored.position != desk.stored.position:
            desk.is_behind = True  # another process was faster: the next look tells of all of it
            return
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
            self._publisher.publish(
                IncidentNews(incident, desk.node, before.get(incident), after, events)
            )

    def _forget_alerts(self, desk: NodeDesk) -> None:
        """What was taken back, and is known to be, needs no telling again."""
        for name, alert in tuple(desk.alerts.items()):
            if not alert.firing:
                del desk.alerts[name]

    # --- looking ------------------------------------------------------------------------------

    async def _keep_node(self, desk: NodeDesk) -> None:
        """Look at one node whenever something can be new, until there is nothing to follow."""
        try:
            while True:
                desk.nudge.clear()
                goes_on, wake = await self._look_safely(desk)
                if not goes_on:
                    return
                await wait_for_news(desk, wake)
        finally:
            if desk.task is asyncio.current_task():
                desk.task = None

    async def _look_safely(self, desk: NodeDesk) -> tuple[bool, float | None]:
        """One look; whether there is another, and when for time's sake: None for only on news."""
        try:
            async with desk.lock:
                await self.look_once(desk)
                return await self._plan_next_look(desk)
        except (StoreError, ClusterError) as error:
            log.warning("the incident on %s waits: %s", desk.node, error)
        except Exception:
            log.exception("looking at %s failed; it goes on", desk.node)
        return True, read_monotonic() + PAUSE

    async def _plan_next_look(self, desk: NodeDesk) -> tuple[bool, float | None]:
        story, sight, now = desk.stored.story, desk.memory.previous, read_monotonic()
        wake = find_next_look(story, desk.memory, sight, self._cluster.limits) if sight else None
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

    async def look_once(self, desk: NodeDesk) -> None:
        """Say what is new on the node now. Raises StoreError."""

        def look(stored: StoredStory, sight: Sight) -> Decided:
            made = step(stored.story, desk.memory, sight, self._cluster.limits)
            return made.memory, made.events, sight

        await self.append_decided(desk, look)

    async def read_anew(self, desk: NodeDesk) -> None:
        """Take what another process appended, and tell of it: who listens here hears it from
        nobody else. Raises StoreError.

        12:00:30 all has been well for long enough: the daemon and a run by hand both say that the
        incident is over. The daemon's word is stored, the other one is refused and read anew: over.
        """
        before = desk.stored
        desk.stored = await self._read_story(desk.node)
        desk.is_behind = False
        known = {before.last_id: before.story.last, before.open_id: before.story.open}
        now = {
            desk.stored.last_id: desk.stored.story.last,
            desk.stored.open_id: desk.stored.story.open,
        }
        for incident, after in now.items():
            then = known.get(incident)
            seen = then.events if then is not None else 0
            if after is not None and after.events > seen:
                entries = await self._incidents.entries(incident)
                events = tuple(e.body for e in entries if e.seq > seen)
                self._publisher.publish(IncidentNews(incident, desk.node, then, after, events))

    async def append_decided(
        self, desk: NodeDesk, decide: Callable[[StoredStory, Sight], Decided]
    ) -> None:
        """Decide and append; decide anew when somebody else was faster. Raises StoreError."""
        for _ in range(MOVED_TRIES):
            if desk.is_behind:
                await self.read_anew(desk)
            sight = self._see_node(desk, desk.alerts.values())
            memory, said, sight = decide(desk.stored, sight)
            events = self._cluster.masker.value(mark_sandbox(said, sandbox=self._cluster.sandbox))
            news = StoryNews(
                self._cluster.uid, desk.stored, desk.stored.story, memory, sight, events
            )
            if not events:
                self.take_in(desk, news, None)
                return
            try:
                appended = await self._incidents.append(
                    self._cluster.uid, desk.node, desk.stored.position, events, sight.at
                )
            except StoryMoved:
                desk.is_behind = True
                continue
            self.take_in(desk, news, appended)
            return
        raise StoreBusy(f"the incident on {desk.node} moves on all the time", "wait a moment")

    def _tell_time(self) -> float:
        """Wall time at the start, and the monotonic clock from then on."""
        mono = read_monotonic()
        if self._zero is None:
            self._zero = (self._clock.now(), mono)
        return self._zero[0] + mono - self._zero[1]

    def _see_node(self, desk: NodeDesk, alerts: Iterable[SeenAlert]) -> Sight:
        """The node now, without secrets: masked before anything is decided, and not only before
        it is stored, since what is seen next is compared with what is stored."""
        if desk.feed is None:
            now, mono = self._tell_time(), read_monotonic()
            return Sight(at=now, mono=mono, node=desk.node, unread=ALL_SOURCES)
        desk.looked_at = desk.feed.current
        sight = sight_of(
            replace(desk.looked_at, at=self._tell_time()),
            read_monotonic(),
            cluster_uid=self._cluster.uid,
            installation=self.installation,
            alerts=tuple(alerts),
            routes=lambda fault: self._cluster.routes(desk.node, fault),
        )
        return self._cluster.masker.value(sight)


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
