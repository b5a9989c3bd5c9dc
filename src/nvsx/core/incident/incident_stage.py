"""How far NVSentinel is with an incident, from its marks and requests.

12:00 quarantined: drain · 12:05 a RebootNode is there, whatever the label says: remediate
12:09 the node has booted: recover · 12:10 a second fault, not served yet: drain again
"""

from __future__ import annotations

from typing import Literal

from nvsx.core.incident.incident_state import IncidentState

IncidentStage = Literal["detect", "quarantine", "drain", "remediate", "recover"]
#: NVSentinel's own words on the node, as far as causes depend on them.
DRAIN_FAILED, REQUEST_FAILED, REQUESTING = "drain-failed", "remediation-failed", "remediating"
_DRAINING = ("", "quarantined", "draining", DRAIN_FAILED)


def is_in_flight(incident: IncidentState) -> bool:
    """Whether a repair is at work: asked for, not refused, not ended."""
    attempt = incident.attempt
    return (
        attempt is not None
        and attempt.ended is None
        and attempt.signal != "refused"
        and attempt.request != "manual"
    )


def stage_of_incident(incident: IncidentState) -> IncidentStage:
    """How far NVSentinel is, from its marks and requests."""
    session = incident.open_session
    if session is None:
        if incident.sessions:
            return "recover"
        return "quarantine" if any(f.is_serious for f in incident.faults) else "detect"
    if is_repaired(incident):
        return "recover"
    if incident.attempt is not None and not incident.attempt.has_worked:
        return "remediate"  # whatever the label says: a request was made
    return "drain" if session.state in _DRAINING else "remediate"


def is_repaired(incident: IncidentState) -> bool:
    """Every serious fault has had a repair that worked, the newest did: the release is awaited."""
    attempt = incident.attempt
    serious = [f for f in incident.faults if f.is_serious]
    if attempt is None:
        return bool(incident.sessions) and not serious
    worked = {no for a in incident.attempts if a.has_worked for no in incident.served_by(a)}
    return attempt.has_worked and all(f.no in worked for f in serious)
