"""What a decision may ask of the store, inside the transaction that will carry it out.

The SQLite form of core.inbox.Ledger. It only reads. Its queries are made once: an event
asks half a dozen of them, and compiling would cost more than running.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, bindparam, func, select

from nvsx.core.inbox import Received, Silence, StormMark
from nvsx.core.ports import RunRow
from nvsx.core.runindex import as_seen
from nvsx.store import records
from nvsx.store.inbox_tables import deliveries, events, incidents, requests, silences, storms
from nvsx.store.schema import claims, runs

_cluster: Any = bindparam("cluster")
_node: Any = bindparam("node")
_key: Any = bindparam("k")
_runbook: Any = bindparam("runbook")
_at: Any = bindparam("at")

_SEEN = (
    select(events.c.body, events.c.repeats, events.c.last_received, deliveries.c.at)
    .join(deliveries, deliveries.c.event_id == events.c.event_id)
    .where(deliveries.c.key == _key, deliveries.c.at >= _at)
)
_HOLDER = (
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
_OF_SESSION = _ON_NODE.where(runs.c.session_key == _key)
_LAST_ON = _ON_NODE.where(runs.c.finished.is_not(None))
_ARMED = (
    select(runs)
    .where(
        runs.c.cluster == _cluster,
        runs.c.runbook == _runbook,
        runs.c.node == "",
        runs.c.finished.is_(None),
    )
    .limit(1)
)
_INCIDENT = (
    select(runs)
    .join(incidents, incidents.c.run_id == runs.c.run_id)
    .where(incidents.c.cluster == _cluster, incidents.c.node == _node, incidents.c.key == _key)
)
_SILENCE = (
    select(silences)
    .where(silences.c.node == _node, silences.c.cluster.in_((_cluster, "")), silences.c.until > _at)
    .order_by(silences.c.until.desc())
    .limit(1)
)
_RECENT = (
    select(runs)
    .join(requests, requests.c.run_id == runs.c.run_id)
    .where(runs.c.cluster == _cluster, runs.c.runbook == _runbook, runs.c.created >= _at)
    .order_by(runs.c.created, runs.c.run_id)
)
_STORM = (
    select(storms.c.leader, storms.c.joined)
    .where(storms.c.cluster == _cluster, storms.c.runbook == _runbook)
    .order_by(storms.c.joined.desc())
    .limit(1)
)
_STORM_SIZE = select(func.count()).select_from(storms).where(storms.c.leader == _key)


class SqlLedger:
    """See core.inbox.Ledger. `alive` tells whether the owner of a run lives."""

    def __init__(self, db: Connection, alive: Callable[[str], bool]) -> None:
        self._db = db
        self._alive = alive

    def seen(self, keys: Sequence[str], since: float) -> Received | None:
        found = [self._db.execute(_SEEN, {"k": key, "at": since}).first() for key in keys]
        latest = max((row for row in found if row is not None), key=lambda r: r.at, default=None)
        return None if latest is None else received(*latest[:3])

    def holder(self, cluster: str, node: str) -> RunRow | None:
        return self._run(_HOLDER, cluster=cluster, node=node)

    def armed(self, cluster: str, runbook: str) -> RunRow | None:
        return self._run(_ARMED, cluster=cluster, runbook=runbook)

    def of_session(self, cluster: str, node: str, session_key: str) -> RunRow | None:
        return self._run(_OF_SESSION, cluster=cluster, node=node, k=session_key)

    def last_on(self, cluster: str, node: str) -> RunRow | None:
        return self._run(_LAST_ON, cluster=cluster, node=node)

    def of_incident(self, cluster: str, node: str, key: str) -> RunRow | None:
        return self._run(_INCIDENT, cluster=cluster, node=node, k=key)

    def silence(self, cluster: str, node: str, now: float) -> Silence | None:
        values = {"cluster": cluster, "node": node, "at": now}
        found = self._db.execute(_SILENCE, values).mappings().first()
        return None if found is None else as_silence(found)

    def recent(self, cluster: str, runbook: str, since: float) -> Sequence[RunRow]:
        values = {"cluster": cluster, "runbook": runbook, "at": since}
        return [records.record(row).row for row in self._db.execute(_RECENT, values).mappings()]

    def storm(self, cluster: str, runbook: str) -> StormMark | None:
        values = {"cluster": cluster, "runbook": runbook}
        found = self._db.execute(_STORM, values).first()
        if found is None:
            return None
        leader, last = found
        return StormMark(leader, storm_size(self._db, leader), last)

    def _run(self, query: Select[Any], **values: object) -> RunRow | None:
        found = self._db.execute(query, values).mappings().first()
        if found is None:
            return None
        one = records.record(found)
        return as_seen(one.row, one.row.finished is None and self._alive(one.owner))


def storm_size(db: Connection, leader: str) -> int:
    """How many runs, the leader among them, belong to the storm it leads."""
    return int(db.execute(_STORM_SIZE, {"k": leader}).scalar_one())


def received(body: str, repeats: int, last: float) -> Received:
    """The event in a row of `events`."""
    event = msgspec.json.decode(body, type=Received)
    return msgspec.structs.replace(event, repeats=repeats, last_received=last)


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
