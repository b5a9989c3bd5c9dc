"""What of an incident concerns one of its runs: its fault, and the repairs made for that.

An incident can have several runs side by side, each for a fault of its own. XID 79 and its reboot
at 12:00 are the first run's; an NVLink fault and a second reboot at 18:00 are the second run's. To
the first, that reboot is no further attempt; and nobody is told that the old reboot repaired the
new fault.
"""

from __future__ import annotations

from nvsx.core.incident.incident_state import AttemptRecord, FaultRecord, IncidentState
from nvsx.core.incident.session import HealthEvent
from nvsx.core.incident.tolerances import NO_RULE


def find_fault_of_run(
    incident: IncidentState, run_id: str, trigger: HealthEvent | None
) -> FaultRecord | None:
    """The fault a run is for: that of its trigger, else the first that it was joined for, else
    the incident's first serious one, else its first."""
    if trigger is not None:
        for fault in incident.faults:
            if trigger.id and trigger.id in fault.latest.ids:
                return fault
        for fault in incident.faults:
            if _is_about(fault, trigger):
                return fault
        if incident.faults and not trigger.check:
            return incident.faults[0]
    mine = _faults_joined(incident, run_id)
    faults = [f for f in incident.faults if not mine or f.no in mine]
    return next((f for f in faults if f.is_serious), faults[0] if faults else None)


def _is_about(fault: FaultRecord, event: HealthEvent) -> bool:
    seen = fault.latest
    if seen.check != event.check:
        return False
    codes = not event.error_codes or bool(set(seen.error_codes) & set(event.error_codes))
    same = not (event.entities and seen.entities) or bool(set(seen.entities) & set(event.entities))
    return codes and same


def _faults_joined(incident: IncidentState, run_id: str) -> tuple[int, ...]:
    return next((joined.faults for joined, _ in incident.runs if joined.run_id == run_id), ())


def find_attempts_of_run(incident: IncidentState, run_id: str) -> tuple[AttemptRecord, ...]:
    """The repairs that concern a run: made for a fault of its own, or for one that no other run
    is at work for. A run that was joined for no fault in particular has them all."""
    mine = set(_faults_joined(incident, run_id))
    if not mine:
        return incident.attempts
    others = {
        no
        for joined, status in incident.runs
        if joined.run_id != run_id and not status
        for no in joined.faults
    }
    found = []
    for attempt in incident.attempts:
        served = set(incident.served_by(attempt))
        if served & mine or not served or served - others:
            found.append(attempt)
    return tuple(found)


#: Causes that are about the newest repair, and about nobody whom it does not serve.
_OF_A_REPAIR = frozenset(
    {
        "signal-refused",
        "repair-timed-out",
        "provider-poll-error",
        "repair-escalated",
        "repair-failed",
        "repair-taken-away",
    }
)


def waits_for_this_run(incident: IncidentState) -> bool:
    """Whether the incident is nothing but its run: a person began it for a node that NVSentinel
    left alone, and it is over with the run."""
    return incident.opened.by == "by hand" and not incident.sessions


#: Causes that hold only while a serious fault is there.
_OF_A_STANDING_FAULT = frozenset(
    {
        "dry-run",
        "monitor-only",
        "breaker-tripped",
        "module-missing",
        "module-not-ready",
        "opted-out",
        NO_RULE,
        "not-quarantined",
    }
)


def only_waits_for_quiet(incident: IncidentState) -> bool:
    """Whether people stay called for faults that are gone, where NVSentinel never took part.

    Monitor-only, the condition at 12:00: people are needed. It clears at 12:05: the incident keeps
    them until 12:15, since such conditions come and go, but nothing is wrong any more.
    """
    if incident.state != "needs people" or incident.sessions or incident.attempts:
        return False
    cleared = bool(incident.faults) and all(f.cleared is not None for f in incident.faults)
    return cleared and incident.cause.code in _OF_A_STANDING_FAULT


def needs_people_for_run(incident: IncidentState, run_id: str) -> bool:
    """Whether the incident needs people for something that concerns the run."""
    if incident.state != "needs people":
        return False
    if incident.cause.code not in _OF_A_REPAIR:
        return True
    return incident.attempt in find_attempts_of_run(incident, run_id)
