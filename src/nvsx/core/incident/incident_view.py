"""The incident as a run sees it: what it is now, and when that changes.

A run reads and says, and decides nothing: whatever it does, the incident goes on and ends by the
cluster alone. The keeper (serve/incident_keeper) publishes one view for each incident; a run has
the view of its own until it ends, also when the incident is over before.

    run:  view.current is "repairing", attempt 1 · await view.changed(current)
          ... the keeper has seen attempt 2: the call returns the state with two attempts
          view.current.ended is set: the incident is over
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nvsx.core.incident.incident_events import IncidentEvent
from nvsx.core.incident.incident_state import IncidentState


class IncidentView(Protocol):
    """One incident. Level-triggered: look at `current`, then wait."""

    @property
    def incident(self) -> str:
        """Its id."""
        ...

    @property
    def current(self) -> IncidentState: ...

    async def changed(self, seen: IncidentState) -> IncidentState:
        """The first state that is not `seen` (identity); returns at once when there is a newer."""
        ...

    async def say(self, events: Sequence[IncidentEvent]) -> None:
        """Add what a run knows alone: that people were told, notes, that the run ended.

        Raises StoreError.
        """
        ...
