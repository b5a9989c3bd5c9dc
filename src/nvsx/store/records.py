"""What the journal does to its tables, one function an operation, inside a transaction.

SqliteJournal calls these in its writer or on a read connection. They check, raise
UsageError and StaleOwner before they write anything, and know nothing of threads, files
or who is alive.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select, text, update

from nvsx.core.errors import StaleOwner, UsageError
from nvsx.core.journal import Entry, RunEvent, StageEnd, encode_body, kind_of
from nvsx.core.ports import Lease, NewRun, RunRow
from nvsx.core.runindex import first_row, index, words
from nvsx.store.schema import claims, journal, runs
from nvsx.store.writer import Job

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Without i, l, o and u: an id is read out over the phone."""
_INDEXED = ("node", "status", "finished", "session_key", "mttr_s", "degraded", "reason")
_ROW_FIELDS = tuple(name for name in RunRow.__struct_fields__ if name != "alive")


class Record(msgspec.Struct):
    """A row of `runs`: the index and the lease; and what an append adds beside it."""

    row: RunRow
    owner: str
    epoch: int
    last_seq: int
    stages: list[StageEnd] = []
    words: set[tuple[str, str]] = set()


class Append(msgspec.Struct, frozen=True):
    """One append: its events, and each one's kind and JSON. `t` is in Unix seconds."""

    lease: Lease
    events: tuple[RunEvent, ...]
    bodies: list[tuple[str, str]]
    t: float


def record(found: RowMapping) -> Record:
    """The record in a row of `runs`."""
    row = RunRow(**{name: found[name] for name in _ROW_FIELDS})
    return Record(row, found["owner"], found["epoch"], found["last_seq"])


def find(db: Connection, run_id: str) -> Record:
    """The record of a run. Raises UsageError for an unknown run."""
    found = db.execute(select(runs).where(runs.c.run_id == run_id)).mappings().first()
    if found is None:
        raise UsageError(f"there is no run {run_id}", "list them with `nvsx history`")
    return record(found)


def leased(db: Connection, lease: Lease) -> Record:
    """The record of a leased run. Raises StaleOwner when the lease is void."""
    found = find(db, lease.run_id)
    _check(found, lease)
    return found


def unfinished(db: Connection, run_id: str) -> Record:
    """The record of a run that can go on. Raises UsageError."""
    found = find(db, run_id)
    if found.row.finished is not None:
        raise UsageError(
            f"run {run_id} has finished: {found.row.status}",
            f"see it with `nvsx report {run_id}`, or start a new run",
        )
    return found


def holder(db: Connection, cluster: str, node: str) -> Record | None:
    """The run that has claimed a node."""
    query = select(claims.c.run_id).where(claims.c.cluster == cluster, claims.c.node == node)
    run_id = db.execute(query).scalar()
    return None if run_id is None else find(db, run_id)


# Made once: every new run asks it, and making costs more than running.
_TAKEN = select(runs.c.run_id).where(runs.c.run_id == bindparam("r"))


def new_run_id(db: Connection, now: float) -> str:
    """An id that sorts by time, can be typed, and is not taken: r-20261122-1431-7k3f."""
    minute = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d-%H%M")
    while True:
        run_id = f"r-{minute}-{''.join(secrets.choice(_LETTERS) for _ in range(4))}"
        if db.execute(_TAKEN, {"r": run_id}).first() is None:
            return run_id


def insert_run(db: Connection, lease: Lease, run: NewRun, now: float) -> None:
    """Store a new run, and its claim when it has a node. The node must be free."""
    row = first_row(lease.run_id, run, now)
    fields = {name: getattr(row, name) for name in _ROW_FIELDS}
    fields |= {"owner": lease.owner, "epoch": lease.epoch, "last_seq": 0}
    db.execute(insert(runs), fields)
    if run.node:
        held = {"cluster": run.cluster, "node": run.node, "run_id": lease.run_id}
        db.execute(insert(claims), held)


def claim(db: Connection, found: Record, node: str) -> None:
    """Claim a node, which must be free or the run's own already."""
    run_id, cluster = found.row.run_id, found.row.cluster
    if holder(db, cluster, node) is None:
        db.execute(insert(claims).values(cluster=cluster, node=node, run_id=run_id))
    db.execute(update(runs).where(runs.c.run_id == run_id).values(node=node))


def set_owner(db: Connection, lease: Lease) -> None:
    """Make `lease` the only valid one of its run."""
    db.execute(
        update(runs)
        .where(runs.c.run_id == lease.run_id)
        .values(owner=lease.owner, epoch=lease.epoch)
    )


def append(db: Connection, lease: Lease, event: RunEvent, now: float) -> None:
    """Append one event within a larger operation."""
    found = {lease.run_id: leased(db, lease)}
    one = Append(lease, (event,), [(kind_of(event), encode_body(event).decode())], now)
    _, rows = _add(found, one)
    _store(db, found.values(), rows)


def append_many(db: Connection, jobs: Sequence[Job]) -> None:
    """Append for many runs with one statement a table; sets each job's outcome."""
    wanted = {job.batch.lease.run_id for job in jobs}
    # SQLite takes 32,766 variables, the writer 2,000 jobs: one query is enough.
    query = select(runs).where(runs.c.run_id.in_(wanted))
    found = {row["run_id"]: record(row) for row in db.execute(query).mappings()}
    rows: list[dict[str, Any]] = []
    touched: dict[str, Record] = {}
    for job in jobs:
        run_id = job.batch.lease.run_id
        if run_id not in found:
            job.outcome = UsageError(f"there is no run {run_id}")
            continue
        try:
            job.outcome, added = _add(found, job.batch)
        except StaleOwner as error:
            job.outcome = error
            continue
        rows += added
        touched[run_id] = found[run_id]
    _store(db, list(touched.values()), rows)


def _add(found: dict[str, Record], one: Append) -> tuple[list[Entry], list[dict[str, Any]]]:
    """The entries and table rows of an append; moves the run's record on in memory."""
    run = found[one.lease.run_id]
    _check(run, one.lease)
    entries, rows = [], []
    for event, (kind, body) in zip(one.events, one.bodies, strict=True):
        run.last_seq += 1
        run.row = index(run.row, event, one.t)
        run.words |= words(event)
        if isinstance(event, StageEnd):
            run.stages.append(event)
        entries.append(Entry(one.lease.run_id, run.last_seq, one.t, event))
        rows.append(
            {
                "run_id": one.lease.run_id,
                "seq": run.last_seq,
                "t": one.t,
                "kind": kind,
                "body": body,
            }
        )
    return entries, rows


_move_on = (
    update(runs)
    .where(runs.c.run_id == bindparam("b_run_id"))
    .values({name: bindparam(f"b_{name}") for name in (*_INDEXED, "last_seq")})
)

# Plain SQL: ON CONFLICT is the same in SQLite and PostgreSQL, SQLAlchemy's is not.
_stage_ended = text(
    "INSERT INTO run_stages (run_id, stage, status, elapsed_s) VALUES (:r, :stage, :status, :s) "
    "ON CONFLICT (run_id, stage) DO UPDATE "
    "SET status = excluded.status, elapsed_s = excluded.elapsed_s"
)
_found_by = text(
    "INSERT INTO run_words (run_id, kind, word) VALUES (:r, :k, :w) ON CONFLICT DO NOTHING"
)


def _store(db: Connection, touched: Any, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    db.execute(insert(journal), rows)
    moved, finished, stages, found_by = [], [], [], []
    for run in touched:
        run_id = run.row.run_id
        stages += [
            {"r": run_id, "stage": s.stage, "status": s.status, "s": s.elapsed_s}
            for s in run.stages
        ]
        found_by += [{"r": run_id, "k": kind, "w": word} for kind, word in run.words]
        fields = {f"b_{name}": getattr(run.row, name) for name in _INDEXED}
        moved.append({"b_run_id": run_id, "b_last_seq": run.last_seq, **fields})
        if run.row.finished is not None:
            finished.append(run_id)
    db.execute(_move_on, moved)
    if stages:
        db.execute(_stage_ended, stages)
    if found_by:
        db.execute(_found_by, found_by)
    if finished:
        db.execute(delete(claims).where(claims.c.run_id.in_(finished)))


def _check(run: Record, lease: Lease) -> None:
    if run.epoch != lease.epoch or run.owner != lease.owner:
        raise StaleOwner(
            f"run {lease.run_id} was taken over by another process",
            f"follow it with `nvsx attach {lease.run_id}`",
        )
    if run.row.finished is not None:
        raise StaleOwner(f"run {lease.run_id} has finished; nothing can be added to it")
