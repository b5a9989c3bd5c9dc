"""What the keeper holds of one node that it follows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from nvsx.core.incident.deciding import WatchMemory
from nvsx.core.incident.incident_state import IncidentState, NodeStory
from nvsx.core.incident.incident_store import StoredStory
from nvsx.core.incident.sight import SeenAlert
from nvsx.core.ports import NodeFeed
from nvsx.core.watches.snapshot import Snapshot


class NodeDesk:
    """One node. Whoever steps its story holds `lock`; `users` are those that hold or want it.
    `is_behind`: another process has appended to the story, and `stored` is without it."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.lock = asyncio.Lock()
        self.users = 0
        self.stored = StoredStory(NodeStory(node))
        self.is_behind = False
        self.memory = WatchMemory()
        self.feed: NodeFeed | None = None
        self.looked_at: Snapshot | None = None
        self.alerts: dict[tuple[str, float], SeenAlert] = {}
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


def find_unanswered_alerts(incident: IncidentState | None) -> dict[tuple[str, float], SeenAlert]:
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


def find_left_alerts(story: NodeStory) -> dict[tuple[str, float], SeenAlert]:
    """An alert that an incident has answered may fire on: told after its time."""
    left = [over for over in story.left_overs if over.kind == "alert"]
    return {(over.name, over.started): SeenAlert(over.name, over.started) for over in left}
