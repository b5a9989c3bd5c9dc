"""The times of an incident and of each of its faults, from what the journal holds.

Times count from the fault: to detect is until nvsx saw it, to quarantine until NVSentinel held the
node for it, to repair until the node was released. A time that is not known stays None, and what
depends on it too; nothing is made up, and no time is less than nothing. Planned maintenance is no
failure and has no time to repair; a request that is 5 h old when XID 79 comes adds nothing to the
44 s that XID 79 took.
"""

from __future__ import annotations

import msgspec

from nvsx.core.incident.incident_state import FaultRecord, IncidentState, SessionRecord
from nvsx.core.incident.proofs import prove_stage
from nvsx.core.incident.session import Times


class FaultTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Unix times of one fault's marks, and what passed between them in seconds. `released` is when
    the node was back from it, by whomever."""

    fault: int
    generated: float | None = None
    seen: float | None = None
    quarantined: float | None = None
    cleared: float | None = None
    released: float | None = None
    to_detect_s: float | None = None
    to_quarantine_s: float | None = None
    to_repair_s: float | None = None


class IncidentTimes(msgspec.Struct, frozen=True, kw_only=True):
    """`began` is its first fault, `ended` the time that counts. `drained` is NVSentinel's word."""

    began: float | None = None
    seen: float | None = None
    quarantined: float | None = None
    drain_began: float | None = None
    drained: float | None = None
    requested: float | None = None
    signalled: float | None = None
    back: float | None = None
    released: float | None = None
    ended: float | None = None
    total_s: float | None = None
    faults: tuple[FaultTimes, ...] = ()


def times_of(incident: IncidentState) -> IncidentTimes:
    """All times of an incident as far as it has been seen."""
    held = [s for s in incident.sessions if not s.dry_run]
    states = [(state, at) for s in held for state, at, _ in s.states]
    began = _find_beginning(incident)
    ended = incident.ended.at if incident.ended is not None else None
    return IncidentTimes(
        began=began,
        seen=incident.began.at,
        quarantined=held[0].began.at if held else None,
        drain_began=next((at for state, at in states if state == "draining"), None),
        drained=next((at for state, at in states if state == "drain-succeeded"), None),
        requested=incident.attempts[0].began.at if incident.attempts else None,
        signalled=next((a.signal_at for a in incident.attempts if a.signal == "sent"), None),
        back=incident.attempts[-1].ready_at if incident.attempts else None,
        released=_find_last_release(held),
        ended=ended,
        total_s=_seconds_between(began, ended),
        faults=tuple(times_of_fault(incident, f) for f in incident.faults),
    )


def _find_last_release(held: list[SessionRecord]) -> float | None:
    """When NVSentinel released the node last: what somebody took out of its quarantine by hand, or
    what went with the Node, was never released."""
    last = held[-1].ended if held else None
    return last.at if last is not None and last.how == "released" else None


def _find_beginning(incident: IncidentState) -> float | None:
    """Planned work is not what broke. None as soon as one fault's time is not known."""
    broke = [f for f in incident.faults if not f.latest.planned] or list(incident.faults)
    if not broke:
        return min((a.attached.started for a in incident.alerts), default=incident.began.at)
    times = [f.latest.at for f in broke]
    known = [t for t in times if t is not None]
    return min(known) if len(known) == len(times) else None


def times_of_fault(incident: IncidentState, fault: FaultRecord) -> FaultTimes:
    """For a fault that came when the node was quarantined already there is no time to quarantine;
    for one that NVSentinel never held the node for, none to repair."""
    held = prove_stage(incident, fault, "quarantine")
    own = held.at if held is not None and held.kind == "own" else None
    released = None if fault.latest.planned else _find_release(incident, fault)
    return FaultTimes(
        fault=fault.no,
        generated=fault.latest.at,
        seen=fault.seen.at,
        quarantined=held.at if held is not None else None,
        cleared=fault.cleared.at if fault.cleared is not None else None,
        released=released,
        to_detect_s=_seconds_between(fault.latest.at, fault.seen.at),
        to_quarantine_s=_seconds_between(fault.latest.at, own),
        to_repair_s=_seconds_between(fault.latest.at, released),
    )


def put_into_marks(known: Times, incident: IncidentState, fault: FaultRecord) -> Times:
    """The marks of a run with what its incident knows better: one time for each thing, in figures,
    marks and messages alike.

    The run has seen the session's first fault at 12:00:00.3 and a drain label at 12:00:04.31, the
    incident the run's own fault at 12:00:02.1 and the same label at 12:00:04.30: the latter count.
    When the node was back is the incident's word once it is over.
    """
    whole, mine = times_of(incident), times_of_fault(incident, fault)
    return msgspec.structs.replace(
        known,
        generated=mine.generated,
        quarantined=mine.quarantined or known.quarantined,
        drain_began=whole.drain_began or known.drain_began,
        drain_finished=whole.drained or known.drain_finished,
        unquarantined=mine.released or known.unquarantined,
    )


def _find_release(incident: IncidentState, fault: FaultRecord) -> float | None:
    """When the node was back from this fault: the release of the last session that listed it, or
    the new node; nobody says that of a repair which did not end so."""
    if incident.ended is None or incident.ended.how not in ("recovered", "replaced"):
        return None
    listed = [s for s in incident.sessions if _lists_fault(s, fault) and not s.dry_run]
    if not listed:
        return None
    if incident.ended.how == "replaced":
        return incident.ended.at
    last = listed[-1].ended
    return last.at if last is not None and last.how == "released" else incident.ended.at


def _lists_fault(session: SessionRecord, fault: FaultRecord) -> bool:
    """By the id of its event. Annotations of 2025 have no ids, and list what they show.

    session [a, b]   fault a, of the annotation         listed
    session [a, b]   fault c, of a condition alone      not
    session []       fault without an id, of the annotation   listed
    session unseen   whatever was there before it             listed
    """
    if session.began.unseen:
        return fault.order < session.order
    if session.ids or fault.latest.ids:
        return bool(set(fault.latest.ids) & set(session.ids))
    return "annotation" in fault.latest.by


def _seconds_between(start: float | None, end: float | None) -> float | None:
    if start is None or end is None:
        return None
    return max(0.0, end - start)
