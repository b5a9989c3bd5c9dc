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
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from msgspec.structs import replace

from nvsx.core.errors import ClusterError, StoreError
from nvsx.core.incident.incident_events import RunEnded, RunJoined
from nvsx.core.incident.incident_state import IncidentState, NodeStory
from nvsx.core.incident.incident_store import IncidentFilter, IncidentStore, StoredStory
from nvsx.core.incident.incident_view import IncidentView
from nvsx.core.incident.sight import SeenFault, Sight
from nvsx.core.incident.stepping import close_by_hand, join_by_hand
from nvsx.core.incident.tolerances import STILL_FIRING, IncidentLimits
from nvsx.core.masking import Masker
from nvsx.core.ports import Clock, Observer
from nvsx.nvsentinel.installation import Installation
from nvsx.serve.incident_publisher import IncidentNews, IncidentPublisher, Listener
from nvsx.serve.node_desk import find_left_alerts
from nvsx.serve.node_desks import Decided, FollowedCluster, NodeDesks

#: What is known of the installation is read again so often while an incident is open.
INSPECT_EVERY = 30.0
#: Followed at once after a start: each is a list of the node's pods and Events.
TOGETHER = 64

Inspect = Callable[[], Awaitable[Installation | None]]


async def inspect_nothing() -> Installation | None:
    """Where nothing is known of the installation."""
    return None


class IncidentKeeper:
    """`begin` it; `desks` has the way to a node for intake; `view_of` is what runs are given."""

    def __init__(  # noqa: PLR0913 - the ports, wired once
        self,
        *,
        incidents: IncidentStore,
        observer: Observer,
        clock: Clock,
        cluster: str,
        limits: IncidentLimits,
        masker: Masker | None = None,
        sandbox: bool = False,
        inspect: Inspect = inspect_nothing,
        routes: Callable[[str, SeenFault], bool] = lambda _node, _fault: False,
    ) -> None:
        self._incidents = incidents
        self._observer = observer
        self._clock = clock
        self._cluster = cluster
        self._limits = limits
        self._inspect = inspect
        self._publisher = IncidentPublisher(self.tell_run_ended)
        followed = FollowedCluster(cluster, limits, masker or Masker(), sandbox, routes)
        self.desks = NodeDesks(incidents, observer, clock, followed, self._publisher)
        self._inspecting: asyncio.Task[None] | None = None

    # --- beginning and ending -------------------------------------------------------------

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of all that is stored from now on. It must not wait."""
        self._publisher.listen(listener)

    async def begin(self, *, known: bool = False) -> bool:
        """Follow what was open again, and open sessions that no story tells of.

        Whether the store knew this cluster: as the caller knows, or by what it holds. Where it did
        not, what is open is adopted. Raises StoreError and ClusterError.
        """
        self.desks.installation = await self._inspect()
        known = known or await self._incidents.knows(self._cluster)
        stories = {s.story.node: s for s in await self._incidents.open_stories(self._cluster)}
        for row in await self._incidents.rows(IncidentFilter(cluster=self._cluster, limit=500)):
            recent = row.ended is not None and self._clock.now() - row.ended < STILL_FIRING
            if recent and row.node not in stories:
                stored = await self._incidents.story(self._cluster, row.node)
                if find_left_alerts(stored.story):
                    stories[row.node] = stored
        nodes = {fault.node for fault in await self._observer.nodes_in_incident()}
        gate = asyncio.Semaphore(TOGETHER)

        async def take_up(node: str) -> None:
            async with gate, self.desks.at(node) as desk:
                if desk.stored.position == 0 and not known:
                    desk.memory = replace(desk.memory, adopting=True)
                if desk.incident is None:
                    # An alert that an incident has answered may fire on: told after its time.
                    desk.alerts = find_left_alerts(desk.stored.story)
                await self.desks.look_once(desk)

        await asyncio.gather(*(take_up(node) for node in sorted(nodes | stories.keys())))
        self._inspecting = asyncio.create_task(self._keep_inspecting(), name="installation")
        return known

    async def begin_for_one(self) -> None:
        """Begin for a run by hand: only what that asks for is followed. Raises ClusterError."""
        self.desks.installation = await self._inspect()
        self._inspecting = asyncio.create_task(self._keep_inspecting(), name="installation")

    async def end(self) -> None:
        """Follow nothing more; every story stays as it is stored."""
        if self._inspecting is not None:
            self._inspecting.cancel()
            await asyncio.gather(self._inspecting, return_exceptions=True)
        await self.desks.close()

    async def _keep_inspecting(self) -> None:
        """NVSentinel itself may change while it repairs: a breaker trips, a module goes."""
        while True:
            await self._clock.sleep(INSPECT_EVERY)
            if self.desks.all:
                with suppress(ClusterError):
                    self.desks.take_up_installation(await self._inspect())

    # --- what others see --------------------------------------------------------------------

    @property
    def open_incidents(self) -> Sequence[tuple[str, IncidentState]]:
        """All that are open now, with their ids."""
        desks = [desk for desk in self.desks.all if desk.incident is not None]
        return [(d.stored.open_id, d.incident) for d in desks if d.incident is not None]

    def incident_on(self, node: str) -> tuple[str, IncidentState] | None:
        """The open incident of a node, with its id."""
        desk = self.desks.find_desk(node)
        if desk is None or desk.incident is None:
            return None
        return desk.stored.open_id, desk.incident

    async def view_of(self, incident: str) -> IncidentView:
        """The incident as a run sees it, open or over. Raises StoreError, UsageError."""
        view = self._publisher.find_view(incident)
        if view is None:
            row = await self._incidents.row(incident)
            entries = await self._incidents.entries(incident)
            story = NodeStory(row.node).after_entries(entries)
            state = story.open or story.last
            if state is None:
                raise StoreError(f"the journal of incident {incident} does not begin")
            # While that was read, the keeper may have made one, which is newer.
            view = self._publisher.find_view(incident) or self._publisher.make_view(incident, state)
        return view

    # --- what others do ---------------------------------------------------------------------

    async def tell_run_ended(self, run_id: str, status: str) -> None:
        """A run has ended, and its incident goes on or is over. Whoever hears of it may say so: it
        is told here alone, to the run's own incident, and once.

        12:10 the incident i-1 of n1 is over while its run's postmortem works; 12:11 i-2 begins on
        n1; 12:12 the run ends: that is the last entry of i-1, and i-2 knows nothing of it.

        Raises StoreError.
        """
        incident = await self._incidents.incident_of(run_id)
        if not incident:
            return
        ended, row = RunEnded(run_id=run_id, status=status), await self._incidents.row(incident)
        if row.ended is None:
            async with self.desks.at(row.node, follows=False) as desk:

                def tell(stored: StoredStory, sight: Sight) -> Decided:
                    here = stored.story.open if stored.open_id == incident else None
                    works = here is not None and run_id in here.working_runs
                    return desk.memory, [ended] if works else [], sight

                await self.desks.append_decided(desk, tell)
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
            self._publisher.publish(IncidentNews(incident, node, before, after, (ended,)))

    async def join_run(self, node: str, run: RunJoined) -> IncidentView:
        """A run joins the node's incident, or begins one; one that has joined before, or that
        intake has fired, gets its own. Raises StoreError, and ClusterError as `desks.at`."""
        async with self.desks.at(node) as desk:

            def join(stored: StoredStory, sight: Sight) -> Decided:
                made = join_by_hand(stored.story, desk.memory, sight, run, self._limits)
                return made.memory, made.events, sight

            incident = await self._incidents.incident_of(run.run_id)
            if not incident:
                await self.desks.append_decided(desk, join)
                incident = desk.stored.open_id or desk.stored.last_id
            return await self.view_of(incident)

    async def close_by_hand(self, node: str, by: str, text: str = "") -> None:
        """A person closes the node's incident. Raises StoreError."""
        async with self.desks.at(node) as desk:

            def close(stored: StoredStory, sight: Sight) -> Decided:
                made = close_by_hand(stored.story, desk.memory, sight, by, text, self._limits)
                return made.memory, made.events, sight

            await self.desks.append_decided(desk, close)

    async def take_in_what_people_wrote(self) -> list[str]:
        """Read the incidents anew that somebody closed or adopted in another process; the nodes of
        those that were adopted. Raises StoreError.

        12:00:10 `nvsx incidents close n1` · 12:00:30 i-1 of n1 is not among the open ones of the
        store: its story is read, and that it is over is told. Asked each half minute, so only what
        one query can tell, and those that nobody has adopted yet, are looked at.
        """
        desks, adopted = self.desks.all, []
        # A run by hand asks often and follows one node: the others' rows are nothing to it.
        node = desks[0].node if len(desks) == 1 else ""
        wanted = IncidentFilter(cluster=self._cluster, node=node, only_open=True, limit=None)
        still_open = {row.incident for row in await self._incidents.rows(wanted)} if desks else ()
        for desk in desks:
            async with desk.lock:
                state = desk.incident
                left_alone = state is not None and state.is_left_alone
                if state is None or (desk.stored.open_id in still_open and not left_alone):
                    continue
                await self.desks.read_anew(desk)
                desk.nudge.set()
                if left_alone and desk.incident is not None and not desk.incident.is_left_alone:
                    adopted.append(desk.node)
        return adopted
