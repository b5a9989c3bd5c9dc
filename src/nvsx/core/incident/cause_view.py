"""What a cause of an incident's state is looked for in, and the words that are found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from nvsx.core.incident.incident_stage import IncidentStage
from nvsx.core.incident.incident_state import AttemptRecord, FaultRecord, IncidentState
from nvsx.core.incident.sight import SeenHold, Sight


class CauseView(NamedTuple):
    """What a cause is looked for in."""

    incident: IncidentState
    sight: Sight
    stage: IncidentStage

    @property
    def serious(self) -> list[FaultRecord]:
        return [f for f in self.incident.faults if f.is_serious]

    @property
    def unserved(self) -> list[FaultRecord]:
        """Serious faults for which no repair has been asked yet, planned work apart."""
        served = {no for a in self.incident.attempts for no in self.incident.served_by(a)}
        return [f for f in self.serious if f.no not in served and not f.latest.planned]

    @property
    def failed(self) -> AttemptRecord | None:
        """The newest repair, when it failed and the node has not come back from it."""
        attempt = self.incident.attempt
        held = self.incident.open_session is not None or bool(self.serious)
        return attempt if attempt and attempt.failed and not attempt.has_worked and held else None

    def logs_of(self, module: str) -> str:
        """The command that shows what a module of NVSentinel's says of the node."""
        where = self.sight.chain.namespace
        return f"kubectl -n {where} logs deploy/{module} | grep {self.sight.node}"

    def hold(self, kind: str, *, failed: bool = False) -> SeenHold | None:
        return next((h for h in self.sight.holds if h.kind == kind and h.failed == failed), None)

    def listed(self, faults: list[FaultRecord]) -> str:
        return ", ".join(f.short for f in faults)


class CauseWords(NamedTuple):
    """What people read: what holds, and what to do about it."""

    text: str
    remedy: str


CauseFound = CauseWords | None


def tell_clock(at: float, now: float) -> str:
    """A moment as people say it. Absolute, since a cause is told again when its text changes, and
    a text that counts seconds changes every time."""
    moment, today = (datetime.fromtimestamp(t, UTC) for t in (at, now))
    day = "" if moment.date() == today.date() else f"{moment:%Y-%m-%d} "
    return f"{day}{moment:%H:%M:%S} UTC"
