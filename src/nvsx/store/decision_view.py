"""What a decision may ask of the store, inside the transaction that will carry it out.

The SQLite form of core.inbox.Ledger. It only reads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, func, select

from nvsx.core.journal.run_rows import RunRow, mark_alive
from nvsx.core.routing.inbox import Received, Silence, StormMark
from nvsx.core.routing.route import Explanation
from nvsx.store import records
from nvsx.store.inbox_tables import (
    deliveries,
    events,
    explanations,
    incidents,
    requests,
    silences,
    storms,
)
from nvsx.store.journal_tables import claims, runs
from nvsx.store.statements import Prepared, Row

_cluster: Any = bindparam("cluster")
_node: Any = bindparam("node")
_key: Any = bindparam("k")
_runbook: Any = bindparam("runbook")
_at: Any = bindparam("at")

EVENTS = select(
    events.c.body, events.c.repeats, events.c.last_received, explanations.c.body.label("reasons")
).select_from(events.outerjoin(explanations, explanations.c.digest == events.c.explained))
"""All events, for `received`."""
_SEEN = Prepared(
    EVENTS.add_columns(deliveries.c.at)
    .join(deliveries, deliveries.c.event_id == events.c.event_id)
    .where(deliveries.c.key == _key, deliveries.c.at >= _at)
)
_HOLDER = Prepared(
    select(runs)
    .join(claims, claims.c.run_id == runs.c.run_id)
    .where(claims.c.cluster == _cluster, claims.c.node == _node)
)
_ON_NODE = (
    select(runs)
    .where(runs.c.cluster == _cluster, runs.c.node == _node)
    .order_by(runs.c.created.desc())
    .limit(1)
)
_OF_SESSION = Prepared(_ON_NODE.where(runs.c.session_key == _key))
_LAST_ON = Prepared(_ON_NODE.where(runs.c.finished.is_not(None)))
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
_INCIDENT = Prepared(
    select(runs)
    .join(incidents, incidents.c.run_id == runs.c.run_id)
    .where(incidents.c.cluster == _cluster, incidents.c.node == _node, incidents.c.key == _key)
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
    .where(runs.c.cluster == _cluster, runs.c.created >= _at)
    .order_by(runs.c.created, runs.c.run_id)
)
_STORMS = Prepared(
    select(storms.c.runbook, storms.c.leader, func.max(storms.c.joined).label("last"))
    .where(storms.c.cluster == _cluster, storms.c.joined >= _at)
    .group_by(storms.c.runbook, storms.c.leader)
)
_FINISHED = Prepared(select(runs.c.finished).where(runs.c.run_id == _key))
_STORM_SIZE = Prepared(select(func.count()).select_from(storms).where(storms.c.leader == _key))


class SqlLedger:
    """See core.inbox.Ledger. `alive` tells whether the owner of a run lives."""

    def __init__(self, db: Connection, alive: Callable[[str], bool]) -> None:
        self._db = db
        self._alive = alive

    def seen(self, keys: Sequence[str], since: float) -> Received | None:
        rows = [_SEEN.first(self._db, k=key, at=since) for key in keys]
        latest = max((r for r in rows if r is not None), key=lambda r: r["at"], default=None)
        return None if latest is None else received(latest)

    def holder(self, cluster: str, node: str) -> RunRow | None:
        return self._find_run(_HOLDER, cluster=cluster, node=node)

    def armed(self, cluster: str, runbook: str) -> RunRow | None:
        return self._find_run(_ARMED, cluster=cluster, runbook=runbook)

    def of_session(self, cluster: str, node: str, session_key: str) -> RunRow | None:
        return self._find_run(_OF_SESSION, cluster=cluster, node=node, k=session_key)

    def last_on(self, cluster: str, node: str) -> RunRow | None:
        return self._find_run(_LAST_ON, cluster=cluster, node=node)

    def of_incident(self, cluster: str, node: str, key: str) -> RunRow | None:
        return self._find_run(_INCIDENT, cluster=cluster, node=node, k=key)

    def silence(self, cluster: str, node: str, now: float) -> Silence | None:
        found = _SILENCE.first(self._db, cluster=cluster, node=node, at=now)
        return None if found is None else as_silence(found)

    def recent(self, cluster: str, runbooks: Collection[str], since: float) -> Sequence[RunRow]:
        rows = _RECENT.all(self._db, cluster=cluster, at=since)
        return [records.record(row).row for row in rows if row["runbook"] in runbooks]

    def storm(self, cluster: str, runbooks: Collection[str], since: float) -> StormMark | None:
        rows = _STORMS.all(self._db, cluster=cluster, at=since)
        fitting = [row for row in rows if row["runbook"] in runbooks]
        if not fitting:
            return None
        latest = max(fitting, key=lambda row: row["last"])
        leader = latest["leader"]
        over = _FINISHED.scalar(self._db, k=leader) is not None
        return StormMark(leader, storm_size(self._db, leader), latest["last"], over)

    def _find_run(self, query: Prepared, **values: object) -> RunRow | None:
        found = query.first(self._db, **values)
        if found is None:
            return None
        one = records.record(found)
        return mark_alive(one.row, one.row.finished is None and self._alive(one.owner))


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
