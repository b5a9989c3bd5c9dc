"""What a decision may ask of the store, inside the transaction that will carry it out.

The SQLite form of core.inbox.Ledger. It only reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, func, select

from nvsx.core.incident.incident_store import StoredStory
from nvsx.core.journal.run_rows import RunRow, mark_alive
from nvsx.core.routing.inbox import Received, Silence, StormFault
from nvsx.core.routing.route import Explanation
from nvsx.store import incident_records, records
from nvsx.store.inbox_tables import (
    deliveries,
    events,
    explanations,
    requests,
    silences,
    storm_faults,
)
from nvsx.store.incident_tables import incident_index, incident_runs
from nvsx.store.journal_tables import claims, runs
from nvsx.store.statements import Prepared, Row

_cluster: Any = bindparam("cluster")
_node: Any = bindparam("node")
_key: Any = bindparam("k")
_runbook: Any = bindparam("runbook")
_incident: Any = bindparam("incident")
_at: Any = bindparam("at")

#: More than ever decide: in a cluster of 100,000 GPU nodes 200 make a storm.
MOST_STORM_FAULTS = 256

EVENTS = select(
    events.c.body, events.c.repeats, events.c.last_received, explanations.c.body.label("reasons")
).select_from(events.outerjoin(explanations, explanations.c.digest == events.c.explained))
"""All events, for `received`."""
_SEEN = Prepared(
    EVENTS.add_columns(deliveries.c.at)
    .join(deliveries, deliveries.c.event_id == events.c.event_id)
    .where(deliveries.c.key == _key, deliveries.c.at >= _at)
)
_AT_WORK = Prepared(
    select(runs)
    .join(claims, claims.c.run_id == runs.c.run_id)
    .where(
        claims.c.cluster == _cluster,
        claims.c.node == _node,
        claims.c.runbook == _runbook,
        claims.c.incident.in_((_incident, "")),
    )
    .order_by(runs.c.created)
    .limit(1)
)
_RUN = Prepared(select(runs).where(runs.c.run_id == _key))
_ARMED = Prepared(
    select(runs)
    .where(
        runs.c.cluster == _cluster,
        runs.c.runbook == _runbook,
        runs.c.node == "",
        runs.c.finished.is_(None),
    )
    .limit(1)
)
_SILENCE = Prepared(
    select(silences)
    .where(silences.c.node == _node, silences.c.cluster.in_((_cluster, "")), silences.c.until > _at)
    .order_by(silences.c.until.desc())
    .limit(1)
)
_RECENT = Prepared(
    select(runs)
    .join(requests, requests.c.run_id == runs.c.run_id)
    .where(runs.c.cluster == _cluster, runs.c.runbook == _runbook, runs.c.created >= _at)
    .order_by(runs.c.created, runs.c.run_id)
)
_STORM_FAULTS = Prepared(
    select(
        storm_faults.c.run_id,
        storm_faults.c.leader,
        storm_faults.c.seen,
        storm_faults.c.body,
        runs.c.finished,
        incident_index.c.incident,
        incident_index.c.ended,
    )
    .select_from(
        storm_faults.join(runs, runs.c.run_id == storm_faults.c.run_id)
        .outerjoin(incident_runs, incident_runs.c.run_id == storm_faults.c.run_id)
        .outerjoin(incident_index, incident_index.c.incident == incident_runs.c.incident)
    )
    .where(storm_faults.c.cluster == _cluster, storm_faults.c.seen >= _at)
    .order_by(storm_faults.c.seen.desc(), storm_faults.c.run_id.desc())
    .limit(MOST_STORM_FAULTS)
)
_STORM_SIZE = Prepared(
    select(func.count()).select_from(storm_faults).where(storm_faults.c.leader == _key)
)


class SqlLedger:
    """See core.inbox.Ledger. `alive` tells whether the owner of a run lives."""

    def __init__(self, db: Connection, alive: Callable[[str], bool]) -> None:
        self._db = db
        self._alive = alive

    def seen(self, keys: Sequence[str], since: float) -> Received | None:
        rows = [_SEEN.first(self._db, k=key, at=since) for key in keys]
        latest = max((r for r in rows if r is not None), key=lambda r: r["at"], default=None)
        return None if latest is None else received(latest)

    def story(self, cluster: str, known: StoredStory) -> StoredStory:
        node = known.story.node
        if incident_records.read_position(self._db, cluster, node) == known.position:
            return known
        return incident_records.read_story(self._db, cluster, node)

    def at_work(self, cluster: str, node: str, runbook: str, incident: str) -> RunRow | None:
        return self._find_run(
            _AT_WORK, cluster=cluster, node=node, runbook=runbook, incident=incident
        )

    def run(self, run_id: str) -> RunRow | None:
        return self._find_run(_RUN, k=run_id)

    def armed(self, cluster: str, runbook: str) -> RunRow | None:
        return self._find_run(_ARMED, cluster=cluster, runbook=runbook)

    def silence(self, cluster: str, node: str, now: float) -> Silence | None:
        found = _SILENCE.first(self._db, cluster=cluster, node=node, at=now)
        return None if found is None else as_silence(found)

    def recent(self, cluster: str, runbook: str, since: float) -> Sequence[RunRow]:
        rows = _RECENT.all(self._db, cluster=cluster, runbook=runbook, at=since)
        return [records.record(row).row for row in rows]

    def storm_faults(self, cluster: str, since: float) -> Sequence[StormFault]:
        rows = _STORM_FAULTS.all(self._db, cluster=cluster, at=since)
        return [_storm_fault(row) for row in reversed(rows)]

    def storm_size(self, leader: str) -> int:
        return storm_size(self._db, leader)

    def _find_run(self, query: Prepared, **values: object) -> RunRow | None:
        found = query.first(self._db, **values)
        if found is None:
            return None
        one = records.record(found)
        return mark_alive(one.row, one.row.finished is None and self._alive(one.owner))


def _storm_fault(row: Row) -> StormFault:
    """A fault goes on for as long as its incident, or its run where that has none."""
    over = row["finished"] if row["incident"] is None else row["ended"]
    fault = msgspec.json.decode(row["body"], type=StormFault)
    return msgspec.structs.replace(
        fault,
        run_id=row["run_id"],
        leader=row["leader"],
        seen=row["seen"],
        open=over is None,
    )


def storm_size(db: Connection, leader: str) -> int:
    """How many runs, the leader among them, belong to the storm it leads."""
    return int(_STORM_SIZE.scalar(db, k=leader))


def received(row: Row) -> Received:
    """The event in a row of `EVENTS`."""
    event = msgspec.json.decode(row["body"], type=Received)
    return msgspec.structs.replace(
        event,
        repeats=row["repeats"],
        last_received=row["last_received"],
        explanations=_decode_explanations(row["reasons"]) if row["reasons"] else event.explanations,
    )


def _decode_explanations(body: str) -> tuple[Explanation, ...]:
    return msgspec.json.decode(body, type=tuple[Explanation, ...])


def as_silence(row: Any) -> Silence:
    """The silence in a row of `silences`."""
    return Silence(
        silence_id=row["silence_id"],
        cluster=row["cluster"],
        node=row["node"],
        until=row["until"],
        reason=row["reason"],
        by=row["author"],
        created=row["created"],
    )
