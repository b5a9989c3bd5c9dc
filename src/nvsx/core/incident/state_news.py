"""Which state an incident is in: decided for the incident, never for one of its faults."""

from __future__ import annotations

from nvsx.core.incident.cause_view import CauseView
from nvsx.core.incident.causes import FoundCause, find_cause
from nvsx.core.incident.deciding import Deciding
from nvsx.core.incident.incident_events import IncidentPhase, StateChanged
from nvsx.core.incident.incident_stage import is_in_flight, is_repaired, stage_of_incident
from nvsx.core.incident.incident_state import IncidentState
from nvsx.core.incident.tolerances import PATIENCE

#: Causes of the node itself, which call people only when they have stood for minutes.
_SLOW_TO_CALL = frozenset({"node-unreadable", "node-not-ready"})


def tell_state(d: Deciding, *, calm: bool) -> None:
    """Says state and cause when one of them changed, or the cause is told in other words.

    12:00 quarantined: repairing. 12:04 the RebootNode fails on a poll error: repairing, with that
    cause. 12:09 nothing has changed: needs people. 12:10 NVSentinel's next RebootNode: repairing.
    """
    incident = d.incident
    if incident is None:
        return
    cause = None
    if not calm:
        cause = find_cause(CauseView(incident, d.sight, stage_of_incident(incident)))
    if cause is None and _stays_with_people(incident):
        return
    state = _decide_state(incident, calm=calm)
    if cause is not None and _people_are_needed(d, incident, cause):
        state = "needs people"
    told = StateChanged(
        state=state,
        code=cause.code if cause else "",
        text=cause.text if cause else "",
        remedy=cause.remedy if cause else "",
    )
    if told != incident.cause:
        d.say(told)


def _stays_with_people(incident: IncidentState) -> bool:
    """A condition that comes and goes every few seconds, and nobody but people to look at it: they
    are needed once, until it has been quiet for ten minutes. What calls them only after minutes
    does not flap, and is over when it is seen no more.

    A run by hand at 12:00, the node not Ready from 12:01: people are needed from 12:06 on. Ready at
    12:09: needed no more. Else the run waited for its incident, which ends with the run.
    """
    if incident.cause.code in _SLOW_TO_CALL:
        return False
    return incident.state == "needs people" and not (incident.sessions or incident.attempts)


def _people_are_needed(d: Deciding, incident: IncidentState, cause: FoundCause) -> bool:
    if cause.people != "later":
        return cause.people == "now"
    before = incident.cause
    if before.code != cause.code:
        return False
    return before.state == "needs people" or incident.state_since.age(d.sight) >= PATIENCE


def _decide_state(incident: IncidentState, *, calm: bool) -> IncidentPhase:
    attempt = incident.attempt
    if not (incident.sessions or incident.attempts):
        return "observing"
    if calm:
        return "recovering"
    if is_in_flight(incident) and attempt is not None:
        return "recovering" if attempt.booted else "repairing"
    if incident.open_session is None and incident.sessions:
        return "recovering"
    return "recovering" if is_repaired(incident) else "repairing"
