"""All there is to say of one incident, as plain values: what commands print and write as JSON.

Folded from its journal alone. Times are Unix seconds, lengths seconds, None for what is not
known. The format only grows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nvsx.core.aliases import alias_of
from nvsx.core.incident.incident_events import HoldBegan, IncidentEntry
from nvsx.core.incident.incident_lines import TimelineLine, tell_timeline
from nvsx.core.incident.incident_state import (
    AttemptRecord,
    FaultRecord,
    IncidentState,
    NodeStory,
)
from nvsx.core.incident.incident_store import IncidentRow, incident_row
from nvsx.core.incident.incident_times import IncidentTimes, times_of, times_of_fault
from nvsx.core.incident.last_known import list_awaited

VERSION = 1


class AccountFault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault with its own times. `generated` is when it began, by nvsx's best knowledge.
    `went_with_node`: its Node was taken away, and nobody saw it clear."""

    no: int
    name: str
    entities: tuple[tuple[str, str], ...]
    action: str
    fatal: bool
    planned: bool
    explained_by: int
    generated: float | None
    seen: float | None
    quarantined: float | None
    cleared: float | None
    released: float | None
    to_detect_s: float | None
    to_quarantine_s: float | None
    to_repair_s: float | None
    still_there: bool
    went_with_node: bool = False


class AccountAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """`request` is NVSentinel's word, `booted` and `ready` what the node showed. `outcome` is ""
    while it has not ended."""

    no: int
    title: str
    why: str
    serves: tuple[str, ...]
    began: float | None
    signal: str
    request: str
    booted: bool
    ready: bool
    outcome: str
    failure: str
    detail: str
    ended: float | None


class AccountRun(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is the run's own, where its record is there; "" where no end of it is known."""

    run_id: str
    runbook: str
    status: str


class IncidentAccount(msgspec.Struct, frozen=True, kw_only=True):
    """`since` is when state or cause changed, `last_news` when nvsx last learnt anything.
    `awaited` is what keeps it open, as last seen."""

    version: int = VERSION
    row: IncidentRow
    alias: str
    since: float
    last_news: float
    opened_by: str
    late: bool
    adopted: bool
    again_of: str
    faults: tuple[AccountFault, ...]
    attempts: tuple[AccountAttempt, ...]
    holds: tuple[HoldBegan, ...]
    runs: tuple[AccountRun, ...]
    times: IncidentTimes
    awaited: tuple[str, ...]
    closed_by: str
    still: tuple[str, ...]
    timeline: tuple[TimelineLine, ...]


def give_account(
    incident: str,
    cluster: str,
    entries: Sequence[IncidentEntry],
    at: float,
    statuses: Mapping[str, str] | None = None,
) -> IncidentAccount:
    """The account of an incident as of `at`, from all of its entries. `statuses` are those of
    runs by their ids: a run that died has not told the incident."""
    known = statuses or {}
    story = NodeStory("").after_entries(entries)
    state = story.open or story.last
    if state is None:
        raise ValueError(f"the journal of {incident} does not begin with its opening")
    ended = state.ended
    return IncidentAccount(
        row=incident_row(incident, cluster, state),
        alias=alias_of(state.opened.node),
        since=state.state_since.at,
        last_news=entries[-1].t,
        opened_by=state.opened.by,
        late=state.opened.late,
        adopted=state.opened.adopted,
        again_of=state.opened.again_of,
        faults=tuple(_account_for_fault(state, f) for f in state.faults),
        attempts=tuple(_account_for_attempt(state, a) for a in state.attempts),
        holds=state.holds if ended is None else (),
        runs=tuple(
            AccountRun(
                run_id=joined.run_id,
                runbook=joined.runbook,
                status=known.get(joined.run_id, status),
            )
            for joined, status in state.runs
        ),
        times=times_of(state),
        awaited=list_awaited(state, at),
        closed_by=ended.by if ended is not None else "",
        still=ended.still if ended is not None else (),
        timeline=tuple(tell_timeline(entries)),
    )


def _account_for_fault(state: IncidentState, fault: FaultRecord) -> AccountFault:
    times = times_of_fault(state, fault)
    return AccountFault(
        no=fault.no,
        name=fault.short,
        entities=fault.latest.entities,
        action=fault.latest.action,
        fatal=fault.latest.fatal,
        planned=fault.latest.planned,
        explained_by=fault.latest.side_effect_of if fault.is_side_effect else 0,
        generated=times.generated,
        seen=times.seen,
        quarantined=times.quarantined,
        cleared=times.cleared,
        released=times.released,
        to_detect_s=times.to_detect_s,
        to_quarantine_s=times.to_quarantine_s,
        to_repair_s=times.to_repair_s,
        still_there=fault.cleared is None,
        went_with_node=fault.cleared is not None and fault.cleared.node_gone,
    )


def _account_for_attempt(state: IncidentState, attempt: AttemptRecord) -> AccountAttempt:
    names = {f.no: f.short for f in state.faults}
    ended = attempt.ended
    return AccountAttempt(
        no=attempt.no,
        title=attempt.title,
        why=attempt.began.why,
        serves=tuple(names[no] for no in state.served_by(attempt) if no in names),
        began=attempt.began.at,
        signal=attempt.signal,
        request=attempt.request,
        booted=attempt.booted,
        ready=attempt.ready is not None,
        outcome=ended.outcome if ended is not None else "",
        failure=(ended.failure if ended is not None else "") or attempt.failure,
        detail=(ended.text if ended is not None else "") or attempt.detail,
        ended=ended.at if ended is not None else None,
    )
