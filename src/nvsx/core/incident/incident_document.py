"""The incident as hooks read it: the JSON of NVSX_INCIDENT_FILE, with a published schema.

It is a picture of the moment, made from the journal of the incident: `docs/incident.schema.json`
is written from the classes here. Fields are added and never renamed or removed. Times are Unix
seconds, null for "not known".
"""

from __future__ import annotations

import msgspec

from nvsx.core.incident.incident_events import HoldBegan, PeopleTold
from nvsx.core.incident.incident_state import IncidentState
from nvsx.core.incident.incident_times import IncidentTimes, times_of

VERSION = 1


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why it stands where it stands: a stable code, a sentence, and what to do about it."""

    code: str = ""
    text: str = ""
    remedy: str = ""


class DocumentFault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault. `side_effect_of` is the attempt whose reboot explains it, 0 for none."""

    no: int
    check: str
    error_codes: tuple[str, ...] = ()
    entities: tuple[tuple[str, str], ...] = ()
    ids: tuple[str, ...] = ()
    action: str = ""
    fatal: bool = False
    planned: bool = False
    message: str = ""
    generated: float | None = None
    seen: float | None = None
    cleared: float | None = None
    is_cleared: bool = False
    side_effect_of: int = 0


class DocumentSession(msgspec.Struct, frozen=True, kw_only=True):
    """A quarantine of NVSentinel's; `how` is "" while it is open."""

    no: int
    ids: tuple[str, ...] = ()
    state: str = ""
    dry_run: bool = False
    planned: bool = False
    quarantined: float | None = None
    ended: float | None = None
    how: str = ""


class DocumentAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """A repair that NVSentinel asked for. `request` is its word about it; `booted` and `ready` are
    what the node showed. `outcome` is "" while it is at work."""

    no: int
    kind: str
    name: str
    why: str
    serves: tuple[int, ...] = ()
    asked: float | None = None
    signal: str = ""
    signalled: float | None = None
    request: str = ""
    booted: bool = False
    ready: float | None = None
    outcome: str = ""
    failure: str = ""
    detail: str = ""
    ended: float | None = None
    look: str = ""


class DocumentRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run at it; `status` is "" while it is at work."""

    run_id: str
    runbook: str = ""
    status: str = ""


class NodeJob(msgspec.Struct, frozen=True, kw_only=True):
    """A pod that was on the node when it was quarantined."""

    namespace: str
    name: str
    owner: str = ""
    phase: str = ""
    gpus: int = 0


class IncidentDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One incident as it is now. `jobs` are the pods it hits, `daemons` those that belong to the
    node itself (DaemonSets). `how` is how it ended, "" while it is open."""

    v: int = VERSION
    incident: str
    key: str
    aliases: tuple[str, ...] = ()
    node: str
    cluster_uid: str = ""
    state: str
    cause: Cause = Cause()
    since: float
    late: bool = False
    sandbox: bool = False
    drill: bool = False
    again_of: str = ""
    faults: tuple[DocumentFault, ...] = ()
    sessions: tuple[DocumentSession, ...] = ()
    attempts: tuple[DocumentAttempt, ...] = ()
    holds: tuple[HoldBegan, ...] = ()
    times: IncidentTimes = IncidentTimes()
    jobs: tuple[NodeJob, ...] = ()
    daemons: tuple[NodeJob, ...] = ()
    runs: tuple[DocumentRun, ...] = ()
    told: tuple[PeopleTold, ...] = ()
    how: str = ""
    text: str = ""
    ended: float | None = None


def document_of(
    incident_id: str,
    incident: IncidentState,
    *,
    jobs: tuple[NodeJob, ...] = (),
    daemons: tuple[NodeJob, ...] = (),
) -> IncidentDocument:
    """What hooks read of an incident."""
    opened, cause, ended = incident.opened, incident.cause, incident.ended
    return IncidentDocument(
        incident=incident_id,
        key=incident.key,
        aliases=incident.aliases,
        node=opened.node,
        cluster_uid=opened.cluster_uid,
        state=incident.state,
        cause=Cause(code=cause.code, text=cause.text, remedy=cause.remedy),
        since=incident.state_since.at,
        late=opened.late,
        sandbox=opened.sandbox,
        drill=opened.drill,
        again_of=opened.again_of,
        faults=_list_faults(incident),
        sessions=_list_sessions(incident),
        attempts=_list_attempts(incident),
        holds=incident.holds,
        times=times_of(incident),
        jobs=jobs,
        daemons=daemons,
        runs=tuple(
            DocumentRun(run_id=joined.run_id, runbook=joined.runbook, status=status)
            for joined, status in incident.runs
        ),
        told=incident.told,
        how=ended.how if ended is not None else "",
        text=ended.text if ended is not None else "",
        ended=ended.at if ended is not None else None,
    )


def _list_faults(incident: IncidentState) -> tuple[DocumentFault, ...]:
    return tuple(
        DocumentFault(
            no=f.no,
            check=f.latest.check,
            error_codes=f.latest.error_codes,
            entities=f.latest.entities,
            ids=f.latest.ids,
            action=f.latest.action,
            fatal=f.latest.fatal,
            planned=f.latest.planned,
            message=f.latest.message,
            generated=f.latest.at,
            seen=f.seen.at,
            cleared=f.cleared.at if f.cleared is not None else None,
            is_cleared=f.cleared is not None,
            side_effect_of=f.latest.side_effect_of if f.is_side_effect else 0,
        )
        for f in incident.faults
    )


def _list_sessions(incident: IncidentState) -> tuple[DocumentSession, ...]:
    return tuple(
        DocumentSession(
            no=s.no,
            ids=s.ids,
            state=s.state,
            dry_run=s.dry_run,
            planned=s.planned,
            quarantined=s.began.at,
            ended=s.ended.at if s.ended is not None else None,
            how=s.ended.how if s.ended is not None else "",
        )
        for s in incident.sessions
    )


def _list_attempts(incident: IncidentState) -> tuple[DocumentAttempt, ...]:
    return tuple(
        DocumentAttempt(
            no=a.no,
            kind=a.began.kind,
            name=a.began.name,
            why=a.began.why,
            serves=incident.served_by(a),
            asked=a.began.at,
            signal=a.signal,
            signalled=a.signal_at,
            request=a.request,
            booted=a.booted,
            ready=a.ready_at,
            outcome=a.ended.outcome if a.ended is not None else "",
            failure=a.failure,
            detail=a.detail,
            ended=a.ended.at if a.ended is not None else None,
            look=a.began.look,
        )
        for a in incident.attempts
    )
