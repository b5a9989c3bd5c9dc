"""A fake of the ports `IncidentDoor` and `IncidentView`: one node's incidents, kept in memory.

It decides nothing itself: a test shows it sights (or whole snapshots), and `step`, the real one,
says what they mean, exactly as a keeper would. So a run under test never sees an incident that
could not be.
"""

from __future__ import annotations

import asyncio

from nvsx.core.incident import stepping
from nvsx.core.incident.deciding import WatchMemory
from nvsx.core.incident.incident_events import IncidentEvent, IncidentOpened, RunEnded, RunJoined
from nvsx.core.incident.incident_state import IncidentState, NodeStory, Stamp, fold_event
from nvsx.core.incident.sight import Sight
from nvsx.core.incident.tolerances import IncidentLimits


class FakeIncidentView:
    """One incident, as runs see it. `said` is what they added."""

    def __init__(self, door: FakeIncidentDoor, incident: str, state: IncidentState) -> None:
        self._door = door
        self._incident = incident
        self._current = state
        self._news = asyncio.Event()
        self.said: list[IncidentEvent] = []

    @property
    def incident(self) -> str:
        return self._incident

    @property
    def current(self) -> IncidentState:
        return self._current

    async def changed(self, seen: IncidentState) -> IncidentState:
        while self._current is seen:
            await self._news.wait()
        return self._current

    async def tell_run_ended(self, run_id: str, status: str) -> None:
        if run_id in self._current.working_runs:
            self.said.append(RunEnded(run_id=run_id, status=status))
            self._door.add(self, self.said[-1])

    def publish(self, state: IncidentState) -> None:
        """Make `state` the current one and wake everyone who waits."""
        if state is self._current:
            return
        self._current = state
        self._news.set()
        self._news = asyncio.Event()


class FakeIncidentDoor:
    """The incidents of one node. `see` is one look of the keeper; `views` are all so far."""

    def __init__(self, node: str, limits: IncidentLimits | None = None) -> None:
        self.limits = limits or IncidentLimits()
        self.story = NodeStory(node)
        self.memory = WatchMemory()
        self.sight: Sight | None = None
        self.views: list[FakeIncidentView] = []
        self.joined: dict[str, FakeIncidentView] = {}
        self.broken: Exception | None = None

    async def join(self, node: str, joined: RunJoined) -> FakeIncidentView:
        if self.broken is not None:
            raise self.broken
        if joined.run_id in self.joined:
            return self.joined[joined.run_id]
        assert self.sight is not None, f"show the node {node} first"
        self._take(stepping.join_by_hand(self.story, self.memory, self.sight, joined, self.limits))
        self.joined[joined.run_id] = self.views[-1]
        return self.views[-1]

    def see(self, sight: Sight) -> None:
        """A look at the node: what it means is decided and published."""
        self.sight = sight
        self._take(stepping.step(self.story, self.memory, sight, self.limits))

    def close_by(self, name: str) -> None:
        """A person closes the open incident."""
        assert self.sight is not None
        self._take(
            stepping.close_by_hand(self.story, self.memory, self.sight, name, limits=self.limits)
        )

    def add(self, view: FakeIncidentView, event: IncidentEvent) -> None:
        """What a run said."""
        assert self.sight is not None
        stamp = Stamp(self.sight.at, self.sight.mono)
        if self.story.open is not None and view is self.views[-1]:
            self.story = self.story.after(event, stamp)
            self._publish()
        else:
            view.publish(fold_event(view.current, event, stamp))

    def _take(self, done: stepping.Step) -> None:
        before = self.story
        self.memory = done.memory
        if any(isinstance(e, IncidentOpened) for e in done.events):
            if before.open is not None and done.story.last is not None:
                self.views[-1].publish(done.story.last)
            assert done.story.open is not None
            self.views.append(FakeIncidentView(self, f"i-{len(self.views) + 1}", done.story.open))
        self.story = done.story
        if done.events:
            self._publish()

    def _publish(self) -> None:
        state = self.story.open or self.story.last
        if self.views and state is not None:
            self.views[-1].publish(state)
