"""What an incident keeps of each fault, session, attempt and alert that it has seen."""

from __future__ import annotations

import msgspec

from nvsx.core.incident import incident_events as ev
from nvsx.core.incident.incident_keys import fault_name
from nvsx.core.incident.sight import Failure, Sight


class Stamp(msgspec.Struct, frozen=True):
    """When nvsx learnt something."""

    at: float
    mono: float | None = None

    def age(self, sight: Sight) -> float:
        """Seconds from then to the sight."""
        if self.mono is not None:
            return sight.mono - self.mono
        return max(0.0, sight.at - self.at)


class FaultRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`first` is the FaultSeen that began it, with its time; `latest` has all that is known now.
    `order` is its place among the incident's events, and so is that of attempts and sessions."""

    no: int
    first: ev.FaultSeen
    latest: ev.FaultSeen
    seen: Stamp
    renewed: Stamp
    order: int
    cleared: ev.FaultCleared | None = None
    outlived: bool = False

    @property
    def name(self) -> str:
        return fault_name(self.latest.check, self.latest.error_codes, self.latest.entities)

    @property
    def short(self) -> str:
        """As people say it: `SysLogsXIDError 79`."""
        return " ".join((self.latest.check, *self.latest.error_codes))

    @property
    def is_side_effect(self) -> bool:
        return bool(self.latest.side_effect_of) and not self.outlived

    @property
    def is_serious(self) -> bool:
        """It is fatal, it is there, and no reboot explains it."""
        return self.latest.fatal and self.cleared is None and not self.is_side_effect


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`states`: the state label's values as seen, each with when and its place in order."""

    no: int
    began: ev.SessionBegan
    seen: Stamp
    order: int
    ids: tuple[str, ...]
    state: str
    states: tuple[tuple[str, float, int], ...] = ()
    dry_run: bool = False
    planned: bool = False
    ended: ev.SessionEnded | None = None
    ended_seen: Stamp | None = None

    @property
    def is_open(self) -> bool:
        return self.ended is None


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    no: int
    began: ev.AttemptBegan
    seen: Stamp
    order: int
    signal: str = ""
    signal_at: float | None = None
    request: str = ""
    request_done: Stamp | None = None
    failure: Failure = ""
    detail: str = ""
    booted: bool = False
    ready: Stamp | None = None
    ready_at: float | None = None
    ended: ev.AttemptEnded | None = None
    ended_seen: Stamp | None = None

    @property
    def title(self) -> str:
        return f"{self.began.kind} {self.began.name}"

    @property
    def failed(self) -> bool:
        return self.ended is not None and self.ended.outcome == "failed"

    @property
    def has_worked(self) -> bool:
        """It succeeded, or the node came back from it whatever its request says."""
        succeeded = self.ended is not None and self.ended.outcome == "succeeded"
        return succeeded or (self.booted and self.ready is not None)


class AlertRecord(msgspec.Struct, frozen=True, kw_only=True):
    attached: ev.AlertAttached
    seen: Stamp
    resolved: bool = False
