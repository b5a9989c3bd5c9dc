"""NVSentinel's marks as they count for one run: only for the fault that the run is for.

Rule of the incident: inside a session a mark proves a stage only for faults seen before it, and a
past incident proves nothing. The watches ask `Chain`; this one asks the incident where it knows
better than the marks that happen to be on the node.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from nvsx.core.incident.incident_state import FaultRecord, IncidentState
from nvsx.core.incident.proofs import StageProof, prove_stage
from nvsx.core.incident.session import Session
from nvsx.core.runbook.schema import Stage
from nvsx.core.watches.kinds import AnyOf, Watch
from nvsx.core.watches.snapshot import Snapshot
from nvsx.core.watches.verdict import Verdict, pending, satisfied
from nvsx.core.watches.watch_base import Chain
from nvsx.follow.run_context import RunContext

#: Stages that NVSentinel's marks and requests prove.
PROVEN_STAGES = ("quarantine", "drain", "remediate")


def judge_by_incident(
    run: RunContext, stage: Stage, snap: Snapshot, verdicts: list[Verdict]
) -> list[Verdict]:
    """The verdicts of NVSentinel's own marks as the incident has them for the run's fault.

    XID 79 at 12:00, drained 12:03, rebooted 12:05. An NVLink fault at 12:04, with a run of its own:

    | its stage  | the label says        | its verdict                                |
    |------------|-----------------------|--------------------------------------------|
    | quarantine | drain-succeeded       | met: already quarantined since 12:00       |
    | drain      | drain-succeeded       | not yet: the mark is older than the fault  |
    | remediate  | 12:05 reboot finished | not yet: it was made for XID 79            |

    For a run that joins late the other way round: what the incident has seen is met, though the
    mark is gone by now.
    """
    fault = run.fault
    if run.incident is None or fault is None or stage.id not in PROVEN_STAGES:
        return verdicts
    incident, chain = run.incident.current, run.ports.chain
    state = run.state.stage(stage.id)
    repair = state.repair if state is not None and state.begins > 1 else 0
    proof = _prove_watch(incident, fault, stage.id, repair)
    unseen = _attempt_is_unseen(incident, snap, repair)
    judged = []
    for item, verdict in zip(stage.watch, verdicts, strict=True):
        if not _is_a_mark(chain, item):
            judged.append(verdict)
        elif unseen and proof is None:
            judged.append(pending(f"the request of attempt {repair} is not to be seen yet"))
        else:
            judged.append(_judge_attempts(incident, fault, proof, verdict))
    return judged


def _prove_watch(
    incident: IncidentState, fault: FaultRecord, stage: str, repair: int
) -> StageProof | None:
    """What proves the stage. One that a further attempt began anew is not proven by earlier ones:
    a reboot that worked and left the fault there says nothing of the next."""
    if stage != "remediate" or not repair:
        return prove_stage(incident, fault, stage)
    for attempt in incident.attempts:
        if attempt.no >= repair and attempt.has_worked:
            return StageProof(stage, "own", attempt.ready_at)
    return None


def _attempt_is_unseen(incident: IncidentState, snap: Snapshot, repair: int) -> bool:
    """Whether the request of a further attempt is not in the snapshot yet: the earlier one there
    would be taken for it."""
    attempt = next((a for a in incident.attempts if repair and a.no == repair), None)
    if attempt is None:
        return False
    return all((r.name, r.uid) != (attempt.began.name, attempt.began.uid) for r in snap.resources)


def _is_a_mark(chain: Chain, item: Watch | AnyOf) -> bool:
    members = item.any_of if isinstance(item, AnyOf) else [item]
    return all(not w.absent and chain.is_own_mark(w) for w in members)


def _judge_attempts(
    incident: IncidentState, fault: FaultRecord, proof: StageProof | None, verdict: Verdict
) -> Verdict:
    if proof is not None and proof.kind == "already":
        return satisfied(f"already quarantined since {_format_clock_of(proof.at)}", proof.at)
    if verdict.kind == "satisfied":
        if proof is None and _came_into_a_session(incident, fault):
            return pending(f"{verdict.detail} (from before {fault.short})".strip())
        return verdict
    if proof is not None and verdict.kind != "invalid":
        return satisfied(f"seen at {_format_clock_of(proof.at)}", proof.at)
    if verdict.kind == "failed":
        # Whether a repair has failed for good is the incident's word: NVSentinel tries again.
        return pending(verdict.detail)
    return verdict


def _came_into_a_session(incident: IncidentState, fault: FaultRecord) -> bool:
    """Whether NVSentinel held the node already when the fault was seen."""
    session = incident.open_session or incident.session
    if session is None or set(fault.latest.ids) & set(session.began.ids):
        return False
    return session.order < fault.order


def _format_clock_of(at: float | None) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}Z" if at else "an unknown time"


def session_of_incident(incident: IncidentState, snap: Snapshot) -> bool | None:
    """Whether the snapshot's session is one of the incident's; None where that is not told by it:
    annotations of 2025 list no ids, and a session can be seen here before the incident has it."""
    ids = {i for s in incident.sessions for i in s.ids}
    if not snap.session.known or not ids:
        return None
    if snap.session.key in ids or {e.id for e in snap.session.events} & ids:
        return True
    return None if incident.ended is None and incident.open_session is None else False


def without_session(snap: Snapshot) -> Snapshot:
    """`snap` as if the node carried no session: an earlier one proves nothing."""
    return msgspec.structs.replace(snap, session=Session(previous_end=snap.session.ended_at))
