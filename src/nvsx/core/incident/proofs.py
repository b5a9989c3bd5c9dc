"""What NVSentinel's marks prove for one fault of an incident, and for no other.

Inside a session a mark proves a stage only for faults that were seen before it. XID 79 at 12:00,
quarantined 12:00, rebooted 12:05; an NVLink fault at 18:00 in the same session: for it the node is
already quarantined since 12:00, and drain and repair are proven by marks and requests after 18:00
alone. A past incident proves nothing.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from nvsx.core.incident.incident_state import FaultRecord, IncidentState

#: State labels that say the drain lies behind.
_AFTER_DRAIN = ("drain-succeeded", "remediating", "remediation-succeeded")


class StageProof(NamedTuple):
    """`already`: it held before the fault came, which is true and not its own."""

    stage: str
    kind: Literal["own", "already"]
    at: float | None


def prove_stage(incident: IncidentState, fault: FaultRecord, stage: str) -> StageProof | None:
    """What is proven of `stage` (quarantine, drain, remediate, recover) for `fault`; None for
    nothing yet."""
    if stage == "quarantine":
        return _prove_quarantine(incident, fault)
    if stage == "drain":
        return _prove_drain(incident, fault)
    if stage == "remediate":
        for attempt in incident.attempts:
            if fault.no in incident.served_by(attempt) and attempt.has_worked:
                return StageProof(stage, "own", attempt.ready_at)
        return None
    ended = incident.ended
    if stage == "recover" and ended is not None and ended.how in ("recovered", "replaced"):
        return StageProof(stage, "own", ended.at)
    return None


def _prove_quarantine(incident: IncidentState, fault: FaultRecord) -> StageProof | None:
    for session in incident.sessions:
        if session.dry_run:
            continue
        if set(fault.latest.ids) & set(session.ids) or session.is_open:
            kind: Literal["own", "already"] = "own"
            if not set(fault.latest.ids) & set(session.began.ids) and session.order < fault.order:
                kind = "already"
            return StageProof("quarantine", kind, session.began.at)
    return None


def _prove_drain(incident: IncidentState, fault: FaultRecord) -> StageProof | None:
    for session in incident.sessions:
        if session.dry_run or not (set(fault.latest.ids) & set(session.ids)):
            continue
        for state, at, order in session.states:
            if state in _AFTER_DRAIN and order >= fault.order:
                return StageProof("drain", "own", at)
    return None
