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
from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from nvsx.core.errors import StaleOwner, UsageError
from nvsx.core.journal.entries import Entry, RunEvent, StageEnd, encode_body, kind_of
from nvsx.core.journal.run_index import find_words, make_first_row, update_row
from nvsx.core.journal.run_rows import Lease, NewRun, RunRow
from nvsx.core.runbook.stage_order import STAGE_ORDER
from nvsx.store.commit_writer import Job
from nvsx.store.journal_tables import claims, journal, runs
from nvsx.store.statements import Prepared, Row

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Without i, l, o and u: an id is read out over the phone."""
_INDEXED = ("node", "status", "finished", "session_key", "mttr_s", "degraded", "reason")
_ROW_FIELDS = tuple(name for name in RunRow.__struct_fields__ if name != "alive")

_RUN = Prepared(select(runs).where(runs.c.run_id == bindparam("r")))
_HOLDER = Prepared(
    select(claims.c.run_id).where(
        claims.c.cluster == bindparam("c"),
        claims.c.node == bindparam("n"),
        claims.c.runbook == bindparam("b"),
    )
)
_INSERT_RUN = Prepared(insert(runs))
_CLAIM = Prepared(insert(claims))
_APPEND = Prepared(insert(journal))
_SET_OWNER = Prepared(
    update(runs)
    .where(runs.c.run_id == bindparam("r"))
    .values(owner=bindparam("o"), epoch=bindparam("e"))
)
_SET_NODE = Prepared(
    update(runs).where(runs.c.run_id == bindparam("r")).values(node=bindparam("n"))
)
_MOVE_ON = Prepared(
    update(runs)
    .where(runs.c.run_id == bindparam("b_run_id"))
    .values({name: bindparam(f"b_{name}") for name in (*_INDEXED, "last_seq")})
)
_RELEASE = Prepared(delete(claims).where(claims.c.run_id == bindparam("r")))
# Plain SQL: ON CONFLICT is the same in SQLite and PostgreSQL, SQLAlchemy's is not.
_PASSED: dict[str, Prepared] = {
    stage: Prepared(
        text(
            f"INSERT INTO run_lengths (run_id, {stage}) VALUES (:r, :s) "  # noqa: S608 - ours
            f"ON CONFLICT (run_id) DO UPDATE SET {stage} = excluded.{stage}"
        )
    )
    for stage in STAGE_ORDER
}
_FOUND_BY = Prepared(
    text("INSERT INTO run_words (run_id, kind, word) VALUES (:r, :k, :w) ON CONFLICT DO NOTHING")
)


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


def record(found: Row) -> Record:
    """The record in a row of `runs`."""
    row = RunRow(**{name: found[name] for name in _ROW_FIELDS})
    return Record(row, found["owner"], found["epoch"], found["last_seq"])


def find(db: Connection, run_id: str) -> Record:
    """The record of a run. Raises UsageError for an unknown run."""
    found = _RUN.first(db, r=run_id)
    if found is None:
        raise UsageError(f"there is no run {run_id}", "list them with `nvsx history`")
    return record(found)


def leased(db: Connection, lease: Lease) -> Record:
    """The record of a leased run. Raises StaleOwner when the lease is void."""
    found = find(db, lease.run_id)
    _check_lease(found, lease)
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


def holder(db: Connection, cluster: str, node: str, runbook: str) -> Record | None:
    """A run of the runbook that is at work on a node."""
    run_id = _HOLDER.scalar(db, c=cluster, n=node, b=runbook)
    return None if run_id is None else find(db, run_id)


def new_run_id(db: Connection, now: float) -> str:
    """An id that sorts by time, can be typed, and is not taken: r-20261122-1431-7k3f."""
    minute = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d-%H%M")
    while True:
        number = secrets.randbits(20)
        run_id = f"r-{minute}-{''.join(_LETTERS[number >> shift & 31] for shift in (15, 10, 5, 0))}"
        if _RUN.first(db, r=run_id) is None:
            return run_id


def insert_run(db: Connection, lease: Lease, run: NewRun, now: float, incident: str = "") -> None:
    """Store a new run, and its claim when it has a node, which must be free for it."""
    row = make_first_row(lease.run_id, run, now)
    fields = {name: getattr(row, name) for name in _ROW_FIELDS}
    _INSERT_RUN.run(db, **fields, owner=lease.owner, epoch=lease.epoch, last_seq=0)
    if run.node:
        _put_claim(db, lease.run_id, run.cluster, run.node, run.runbook, incident)


def _put_claim(
    db: Connection, run_id: str, cluster: str, node: str, runbook: str, incident: str = ""
) -> None:
    _CLAIM.run(db, cluster=cluster, node=node, runbook=runbook, incident=incident, run_id=run_id)


def claim(db: Connection, found: Record, node: str) -> None:
    """Claim a node, which must be free for the runbook or the run's own already."""
    run_id, cluster, runbook = found.row.run_id, found.row.cluster, found.row.runbook
    if holder(db, cluster, node, runbook) is None:
        _put_claim(db, run_id, cluster, node, runbook)
    _SET_NODE.run(db, r=run_id, n=node)


def set_owner(db: Connection, lease: Lease) -> None:
    """Make `lease` the only valid one of its run."""
    _SET_OWNER.run(db, r=lease.run_id, o=lease.owner, e=lease.epoch)


def append(db: Connection, lease: Lease, event: RunEvent, now: float) -> None:
    """Append one event within a larger operation."""
    found = {lease.run_id: leased(db, lease)}
    one = Append(lease, (event,), [(kind_of(event), encode_body(event).decode())], now)
    _, rows = _add_events(found, one)
    _store_rows(db, found.values(), rows)


def append_many(db: Connection, jobs: Sequence[Job]) -> None:
    """Append for many runs with one statement a table; sets each job's outcome."""
    wanted = {job.batch.lease.run_id for job in jobs}
    rows_of = (_RUN.first(db, r=run_id) for run_id in wanted)
    found = {row["run_id"]: record(row) for row in rows_of if row is not None}
    rows: list[dict[str, Any]] = []
    touched: dict[str, Record] = {}
    for job in jobs:
        run_id = job.batch.lease.run_id
        if run_id not in found:
            job.outcome = UsageError(f"there is no run {run_id}")
            continue
        try:
            job.outcome, added = _add_events(found, job.batch)
        except StaleOwner as error:
            job.outcome = error
            continue
        rows += added
        touched[run_id] = found[run_id]
    _store_rows(db, list(touched.values()), rows)


def _add_events(found: dict[str, Record], one: Append) -> tuple[list[Entry], list[dict[str, Any]]]:
    """The entries and table rows of an append; moves the run's record on in memory."""
    run = found[one.lease.run_id]
    _check_lease(run, one.lease)
    entries, rows = [], []
    for event, (kind, body) in zip(one.events, one.bodies, strict=True):
        run.last_seq += 1
        run.row = update_row(run.row, event, one.t)
        run.words |= find_words(event)
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


def _store_rows(db: Connection, touched: Any, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    _APPEND.run_many(db, rows)
    moved, finished, found_by = [], [], []
    lengths: dict[str, list[dict[str, Any]]] = {stage: [] for stage in _PASSED}
    for run in touched:
        run_id = run.row.run_id
        for s in run.stages:
            if s.status == "pass" and s.stage in lengths:
                lengths[s.stage].append({"r": run_id, "s": s.elapsed_s})
        found_by += [{"r": run_id, "k": kind, "w": word} for kind, word in run.words]
        fields = {f"b_{name}": getattr(run.row, name) for name in _INDEXED}
        moved.append({"b_run_id": run_id, "b_last_seq": run.last_seq, **fields})
        if run.row.finished is not None:
            finished.append({"r": run_id})
    _MOVE_ON.run_many(db, moved)
    for stage, passed in lengths.items():
        _PASSED[stage].run_many(db, passed)
    _FOUND_BY.run_many(db, found_by)
    _RELEASE.run_many(db, finished)


def _check_lease(run: Record, lease: Lease) -> None:
    if run.epoch != lease.epoch or run.owner != lease.owner:
        raise StaleOwner(
            f"run {lease.run_id} was taken over by another process",
            f"follow it with `nvsx attach {lease.run_id}`",
        )
    if run.row.finished is not None:
        raise StaleOwner(f"run {lease.run_id} has finished; nothing can be added to it")
