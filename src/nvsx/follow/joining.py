"""How a run comes to its incident: it joins, and where that is under way it says so, once."""

from __future__ import annotations

from nvsx.core.incident.catching_up import (
    LATE_AFTER,
    find_stages_over,
    joined_late,
    tell_so_far,
)
from nvsx.core.incident.incident_events import RunJoined
from nvsx.core.incident.incident_state import IncidentState
from nvsx.core.incident.run_share import find_attempts_of_run
from nvsx.core.journal import entries as j
from nvsx.follow.run_context import RunContext


async def join_incident(run: RunContext) -> None:
    """Join the incident of the run's node, once it has one.

    Raises StoreError, and ClusterError when the node cannot be looked at.
    """
    if run.incident is not None or not run.node:
        return
    joined = RunJoined(run_id=run.run_id, runbook=run.runbook.name)
    run.incident = await run.door.join(run.node, joined)


async def record_joining(run: RunContext) -> None:
    """Write down which incident it is and how far it was when the run came, or came back.

    13:02:20 a run joins an incident whose node was quarantined at 13:00 and rebooted at 13:01:
    late, detect to remediate are over. One note tells what has happened and what is awaited; the
    hooks of those stages fire in order, with NVSX_LATE=1, and their narration is left out. A run
    that nvsx takes up again after an hour has missed what came true in that hour: the same.
    """
    if run.incident is None:
        return
    incident, known = run.incident.current, run.state.incident
    run.seen_before_end = incident.ended is None or any(s.began for s in run.state.stages)
    mine = find_attempts_of_run(incident, run.run_id)
    run.repair_at_join = mine[-1].no if mine else 0
    late = _came_late(run, incident)
    missed = find_stages_over(incident, run.fault) if late else ()
    over = tuple(s for s in missed if not _has_passed(run, s))
    if known is not None and not set(over) - set(known.over):
        return
    events: list[j.RunEvent] = [
        j.IncidentJoined(incident=run.incident.incident, key=incident.key, late=late, over=over)
    ]
    if late:
        text = tell_so_far(incident, run.now)
        events.append(j.NoteMade(stage="", code="joined-late", text=text))
    await run.record(*events)


def _came_late(run: RunContext, incident: IncidentState) -> bool:
    """Also who was here before and was away: for longer than a restart takes."""
    if run.state.incident is not None:
        return run.now - run.last_written > LATE_AFTER
    return run.request.late or joined_late(incident, run.now)


def _has_passed(run: RunContext, stage: str) -> bool:
    state = run.state.stage(stage)
    return state is not None and state.done
