"""What the keeper holds of one node that it follows, and an incident as others see it there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from nvsx.core.incident.deciding import WatchMemory
from nvsx.core.incident.incident_events import IncidentEvent
from nvsx.core.incident.incident_state import IncidentState, NodeStory
from nvsx.core.incident.incident_store import StoredStory
from nvsx.core.incident.sight import SeenAlert
from nvsx.core.ports import NodeFeed
from nvsx.core.watches.snapshot import Snapshot

TellRunEnded = Callable[[str, str], Awaitable[None]]


class IncidentNews(msgspec.Struct, frozen=True):
    """What an incident has become. `before` is None for one that has just begun."""

    incident: str
    node: str
    before: IncidentState | None
    after: IncidentState
    events: tuple[IncidentEvent, ...]


class LiveIncident:
    """Implements core.incident.incident_view.IncidentView; the keeper puts new states in."""

    def __init__(self, incident: str, state: IncidentState, tell: TellRunEnded) -> None:
        self.incident = incident
        self._state = state
        self._tell_run_ended = tell
        self._news = asyncio.Event()

    @property
    def current(self) -> IncidentState:
        return self._state

    async def changed(self, seen: IncidentState) -> IncidentState:
        while self._state is seen:
            await self._news.wait()
        return self._state

    async def tell_run_ended(self, run_id: str, status: str) -> None:
        await self._tell_run_ended(run_id, status)

    def put(self, state: IncidentState) -> None:
        self._state = state
        self._news.set()
        self._news = asyncio.Event()


class NodeDesk:
    """One node. Whoever steps its story holds `lock`; `users` are those that hold or want it."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.lock = asyncio.Lock()
        self.users = 0
        self.stored = StoredStory(NodeStory(node))
        self.memory = WatchMemory()
        self.feed: NodeFeed | None = None
        self.looked_at: Snapshot | None = None
        self.alerts: dict[tuple[str, float], SeenAlert] = {}
        self.offered: set[tuple[str, int]] = set()
        self.stays_until = 0.0
        self.nudge = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    @property
    def labels(self) -> Mapping[str, str]:
        """The node's, as it is now."""
        node = self.feed.current.node if self.feed is not None else None
        return node.labels if node is not None else {}

    @property
    def incident(self) -> IncidentState | None:
        return self.stored.story.open
