"""The incident as a run sees it: what it is now, and when that changes.

A run reads and says, and decides nothing: whatever it does, the incident goes on and ends by the
cluster alone. The keeper (serve/incident_keeper) publishes one view for each incident; a run has
the view of its own until it ends, also when the incident is over before.

    run:  view.current is "repairing", attempt 1 · await view.changed(current)
          ... the keeper has seen attempt 2: the call returns the state with two attempts
          view.current.ended is set: the incident is over
"""

from __future__ import annotations

from typing import Protocol

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

    async def tell_run_ended(self, run_id: str, status: str) -> None:
        """Put on this incident's record that a run of it has ended, and how: once, and also when
        it is over and another one is open on its node. Raises StoreError, ClusterError.
        """
        ...
