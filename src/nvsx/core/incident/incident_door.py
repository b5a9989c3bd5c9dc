"""The port through which runs come to their incidents."""

from __future__ import annotations

from typing import Protocol

from nvsx.core.incident.incident_events import RunJoined
from nvsx.core.incident.incident_view import IncidentView


class IncidentDoor(Protocol):
    """Where runs join the incidents of one cluster."""

    async def join(self, node: str, joined: RunJoined) -> IncidentView:
        """Join the node's open incident, or begin one.

        A run that has joined one before (it is resumed) gets that one, also when it is over.
        Raises StoreError, and ClusterError when the node cannot be looked at.
        """
        ...
