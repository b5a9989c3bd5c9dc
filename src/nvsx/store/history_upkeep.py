"""Upkeep of the history: what may go, how it goes, and a copy of all of it.

`bootstrap.upkeep` calls these through `SqliteJournal.look` and `.transact`, beside a daemon
that works on the same file. Unfinished runs are never touched, nor what the daemon still
decides by: the run of an open incident, and a node's last run while it did not pass.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select

from nvsx.core.errors import StoreError, UsageError
from nvsx.core.journal.run_rows import RunRow
from nvsx.store import database
from nvsx.store.inbox_tables import asks, requests, storm_faults
from nvsx.store.incident_tables import incident_index, incident_runs
from nvsx.store.journal_tables import claims, journal, run_lengths, run_words, runs
from nvsx.store.records import record

_OF_RUNS = (journal, run_lengths, run_words, claims, requests, storm_faults, asks)


def prunable(db: Connection, before: float, limit: int | None = None) -> list[RunRow]:
    """The runs that finished before `before` (Unix seconds) and may go, oldest first."""
    query = select(runs).where(_may_go(before)).order_by(runs.c.created, runs.c.run_id)
    found = db.execute(query if limit is None else query.limit(limit)).mappings()
    return [record(row).row for row in found]


def prune(db: Connection, before: float, limit: int) -> list[RunRow]:
    """Delete the oldest `limit` of `prunable`; what was deleted."""
    gone = prunable(db, before, limit)
    ids = [row.run_id for row in gone]
    for table in (*_OF_RUNS, runs):
        db.execute(delete(table).where(table.c.run_id.in_(ids)))
    return gone


def _may_go(before: float) -> ColumnElement[bool]:
    later = runs.alias("later")
    newer = (
        select(later.c.run_id)
        .where(
            later.c.cluster == runs.c.cluster,
            later.c.node == runs.c.node,
            later.c.created > runs.c.created,
        )
        .exists()
    )
    still = incident_index.c.incident == incident_runs.c.incident
    open_ = (
        select(incident_runs.c.run_id)
        .select_from(incident_runs.join(incident_index, still))
        .where(incident_index.c.ended.is_(None))
    )
    return and_(
        runs.c.finished < before,
        runs.c.run_id.not_in(open_),
        or_(runs.c.status == "passed", runs.c.node == "", newer),
    )


def backup(db: Connection, file: Path) -> None:
    """Copy the database into `file` (0600) by SQLite's online backup: one moment of it, whole
    or not at all, while others write. Raises UsageError when `file` exists, StoreError.

    https://www.sqlite.org/backup.html: in one step, so that a writer cannot restart it.
    """
    if file.exists():
        raise UsageError(f"{file} exists already", "name a new file: no backup is overwritten")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}", "name a file you can write"
        ) from error
    os.close(descriptor)
    temporary = Path(name)
    try:
        copy = sqlite3.connect(temporary)
        try:
            database.raw(db).backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
            (state,) = copy.execute("PRAGMA quick_check").fetchone()
        finally:
            copy.close()
        if state != "ok":
            raise StoreError(f"the backup is damaged: {state}", "check the database itself")
        os.link(temporary, file)  # unlike a rename it overwrites nothing
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"{file} was not written: {error}", "check the disk, or name another file"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
