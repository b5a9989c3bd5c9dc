"""How long a stage of the chain took, between the incident's own marks and never by the clock of
somebody who watched.

    12:00:00 the fault · 12:00:01 quarantined · 12:00:02 drain begins · 12:40:02 drain ends
    12:40:05 RebootNode · 12:45:05 Ready after its boot · 12:45:35 released

quarantine took 1 s, drain 40 min, remediate 5 min, recover 30 s: also for a run that joined at
12:44. Where a mark was not seen the time is not known, and nothing stands in for it.
"""

from __future__ import annotations

from nvsx.core.incident.incident_state import FaultRecord, IncidentState
from nvsx.core.incident.incident_times import times_of, times_of_fault

#: Stages that are NVSentinel's work; the others are nvsx's own.
CHAIN_STAGES = ("detect", "quarantine", "drain", "remediate", "recover")


def find_stage_time(
    incident: IncidentState, fault: FaultRecord | None, stage: str, repair: int = 0
) -> float | None:
    """Seconds of one stage for one fault; None where they are not known. `repair` is the attempt
    that `remediate` is asked about, 0 for the newest."""
    marks = find_marks(incident, fault, stage, repair)
    begin, end = marks
    return None if begin is None or end is None else max(0.0, end - begin)


def find_marks(
    incident: IncidentState, fault: FaultRecord | None, stage: str, repair: int = 0
) -> tuple[float | None, float | None]:
    """When a stage began and ended, each None where it is not known."""
    times = times_of(incident)
    of_fault = times_of_fault(incident, fault) if fault is not None else None
    generated = of_fault.generated if of_fault is not None else times.began
    attempt = next((a for a in incident.attempts if a.no == repair), incident.attempt)
    if stage == "detect":
        return generated, of_fault.seen if of_fault is not None else None
    if stage == "quarantine":
        return generated, of_fault.quarantined if of_fault is not None else times.quarantined
    if stage == "drain":
        return times.drain_began, times.drained
    if stage == "remediate":
        return (attempt.began.at, attempt.ready_at) if attempt is not None else (None, None)
    if stage == "recover":
        return attempt.ready_at if attempt is not None else None, times.released
    return None, None
