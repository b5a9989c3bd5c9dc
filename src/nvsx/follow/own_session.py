"""Which of a node's quarantine sessions is the run's own, and what it adds to the run's record."""

from __future__ import annotations

from nvsx.core.incident.incident_times import put_into_marks
from nvsx.core.incident.session import Session
from nvsx.core.journal import entries as j
from nvsx.core.watches.snapshot import Snapshot
from nvsx.follow.incident_chain import session_of_incident, without_session
from nvsx.follow.run_context import RunContext


def note_progress(run: RunContext, snap: Snapshot) -> None:
    """Put into the next commit what `snap` adds to session, times and baseline.

    The baseline is the boot id before any repair. A run that first looks at 14:10, when
    NVSentinel has been remediating since 14:08, has none: that boot may be the repair's own.
    """
    state, session = run.state, snap.session
    if session != state.session:  # what is known of it went through the masks
        session = run.masker.value(session)
    if (
        session != state.session
        and session_is_ours(run, snap)
        and (session.open or session.ended_at is not None)
    ):
        run.queue_for_next_commit(j.SessionSeen(session=session))
        if session.replaced_at is not None and state.session.replaced_at is None:
            stage = state.current.id if state.current is not None else ""
            text = f"{run.node} is another machine now: {session.ending_detail}"
            run.queue_for_next_commit(j.NoteMade(stage=stage, code="node-replaced", text=text))
    if session_is_ours(run, snap):
        times = run.ports.chain.tell_times(state.times, snap, run.trigger)
        if run.incident is not None and run.fault is not None:
            times = put_into_marks(times, run.incident.current, run.fault)
        if times != state.times:
            run.queue_for_next_commit(j.TimesSeen(times=times))
    if (
        not state.boot_id
        and snap.node is not None
        and snap.node.boot_id
        and not _came_too_late_for_baseline(run, snap)
    ):
        run.queue_for_next_commit(j.Baseline(boot_id=snap.node.boot_id))


def _came_too_late_for_baseline(run: RunContext, snap: Snapshot) -> bool:
    rank = run.ports.chain.state_rank("remediating") or 0
    ranks = [run.ports.chain.state_rank(s) or 0 for s, _ in snap.session.states]
    return any(r >= rank for r in ranks) or snap.session.ending != ""


def ended_session_is_ours(run: RunContext, session: Session) -> bool:
    """Whether an ended session is this run's own, and not the one before it.

    One that ended before nvsx first looked has no key: its marks are gone, its end is not.

    | the session ended | the run                                          | ours |
    |-------------------|--------------------------------------------------|------|
    | 14:00             | has followed it since 13:50                      | yes  |
    | 14:00             | began by hand at 14:05: somebody came late       | yes  |
    | 14:00             | began by hand at 16:01, beyond the late window   | no   |
    | 14:00             | began at 14:05 for a fault of 14:03              | no   |
    | 14:00             | is a drill that began at 14:01                   | no   |
    """
    if session.ended_at is None:
        return False
    if session.known and run.state.session.key == session.key:
        return True
    if run.trigger is not None and run.trigger.generated_at > session.ended_at:
        return False  # the fault is younger than that end
    slack = 0.0 if run.request.fresh else run.patience.late_window
    return session.ended_at >= run.state.began - slack


def hide_other_session(run: RunContext, snap: Snapshot) -> Snapshot:
    """`snap` without a session that is not this run's: an earlier one proves nothing."""
    if session_is_ours(run, snap):
        return snap
    return without_session(snap)


def session_is_ours(run: RunContext, snap: Snapshot) -> bool:
    """Whether the snapshot's session, open or ended, is the one this run follows."""
    told = session_of_incident(run.incident.current, snap) if run.incident is not None else None
    if told is not None:
        return told
    session = snap.session
    if session.open or session.ended_at is None:
        return True
    return ended_session_is_ours(run, session)
