"""The durable journal of runs in SQLite or PostgreSQL.

`open_store` and `file_artifacts` are the way in; the database library is only imported
when a store is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nvsx.store.artifacts import file_artifacts

if TYPE_CHECKING:
    from nvsx.store.sqlite_inbox import SqliteInbox
    from nvsx.store.sqlite_incidents import SqliteIncidents
    from nvsx.store.sqlite_journal import SqliteJournal
    from nvsx.store.sqlite_outbox import SqliteOutbox
    from nvsx.store.storm_views import StormReader
from nvsx.project.steady_time import read_time

__all__ = ["file_artifacts", "inbox_of", "incidents_of", "open_store", "outbox_of", "storms_of"]


def open_store(
    state_dir: Path, now: Callable[[], float] = read_time, *, busy_timeout: float = 5.0
) -> SqliteJournal:
    """The journal in `state_dir`, which is made if missing (0700; files 0600).

    Older state is migrated. `now` gives Unix seconds; `busy_timeout` is how many seconds
    to wait for another process's lock. Raises StoreBusy (locked, disk full) and StoreError
    (not writable, corrupt, written by a newer nvsx), each with the next step.
    """
    from nvsx.store.sqlite_journal import SqliteJournal

    return SqliteJournal(state_dir, now, busy_timeout)


def inbox_of(journal: SqliteJournal) -> SqliteInbox:
    """The daemon's inbox in the same database; it lives as long as its journal."""
    from nvsx.store.sqlite_inbox import SqliteInbox

    return SqliteInbox(journal)


def incidents_of(journal: SqliteJournal) -> SqliteIncidents:
    """The incidents in the same database; they live as long as the journal."""
    from nvsx.store.sqlite_incidents import SqliteIncidents

    return SqliteIncidents(journal)


def storms_of(journal: SqliteJournal) -> StormReader:
    """Storms as messages know them; they live as long as the journal."""
    from nvsx.store.storm_views import StormReader

    return StormReader(journal)


def outbox_of(journal: SqliteJournal) -> SqliteOutbox:
    """The messages and their deliveries in the same database; they live as long as the journal."""
    from nvsx.store.sqlite_outbox import SqliteOutbox

    return SqliteOutbox(journal)
