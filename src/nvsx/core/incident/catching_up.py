"""What somebody who joins late is told, once: what has happened so far, and what is awaited.

nvsx joined at 12:40:25, 25m after the fault. So far: SysLogsXIDError 79 at 12:15:00,
quarantined 12:15:02, drained 12:39:00, RebootNode maintenance-n1 asked for at 12:39:05 (at
work). Awaited: the node rebooted and Ready
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from nvsx.core import durations
from nvsx.core.incident.incident_stage import stage_of_incident
from nvsx.core.incident.incident_state import AttemptRecord, FaultRecord, IncidentState
from nvsx.core.incident.incident_times import times_of
from nvsx.core.incident.proofs import prove_stage

#: An incident is seen within a poll, and its run begins at once: later than that is late.
LATE_AFTER = 60.0

_AWAITED = {
    "detect": "NVSentinel says what it sees",
    "quarantine": "NVSentinel quarantines the node",
    "drain": "NVSentinel drains the node",
    "remediate": "NVSentinel's repair",
    "recover": "NVSentinel releases the node",
}


def joined_late(incident: IncidentState, now: float) -> bool:
    """Whether somebody who joins at `now` comes to an incident under way.

    Under way is one that nvsx did not see begin, that NVSentinel has begun to repair, or that has
    been quarantined for longer than it takes to start. A run that begins 2 s after its quarantine
    is not late: its page and its posts are news.
    """
    if incident.ended is not None:
        return True
    if incident.attempts or any(f.no for f in incident.faults if prove_stage(incident, f, "drain")):
        return True
    if not incident.sessions:
        return False
    began = times_of(incident).quarantined or incident.began.at
    return now - min(began, incident.began.at) > LATE_AFTER


def find_stages_over(incident: IncidentState, fault: FaultRecord | None) -> tuple[str, ...]:
    """The stages that lie behind for `fault`, in their order."""
    if fault is None:
        return ()
    found = [
        s
        for s in ("quarantine", "drain", "remediate", "recover")
        if prove_stage(incident, fault, s) is not None
    ]
    return ("detect", *found)


def tell_so_far(incident: IncidentState, now: float) -> str:
    """The catch-up note."""
    times = times_of(incident)
    since = f", {durations.format(now - times.began)} after its first fault" if times.began else ""
    so_far = "; ".join(_say_what_happened(incident)) or "nothing that was seen"
    text = f"joined late, at {_clock_of(now)}{since}. So far: {so_far}."
    if incident.ended is not None:
        return f"{text} It is over: {incident.ended.text or incident.ended.how}"
    awaited = _AWAITED[stage_of_incident(incident)]
    return f"{text} Awaited: {awaited}"


def _say_what_happened(incident: IncidentState) -> Iterator[str]:
    times = times_of(incident)
    for fault in incident.faults:
        if not fault.is_side_effect:
            yield f"{fault.short} at {_clock_of(fault.latest.at)}"
    if incident.sessions:
        if incident.was_quarantined:
            yield f"quarantined at {_clock_of(times.quarantined)}"
        else:
            yield "NVSentinel is in dry run and did nothing"
    if times.drained is not None:
        yield f"NVSentinel reports the drain as finished, seen at {_clock_of(times.drained)}"
    for attempt in incident.attempts:
        yield f"{attempt.title} asked for at {_clock_of(attempt.began.at)} ({_say_how(attempt)})"
    if times.released is not None:
        yield f"released at {_clock_of(times.released)}"


def _say_how(attempt: AttemptRecord) -> str:
    if attempt.ready_at is not None and attempt.has_worked:
        return f"node back at {_clock_of(attempt.ready_at)}"
    return attempt.ended.outcome if attempt.ended is not None else "at work"


def _clock_of(at: float | None) -> str:
    """UTC, as all of nvsx's times; "an unknown time" where it was not seen."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}Z" if at else "an unknown time"
