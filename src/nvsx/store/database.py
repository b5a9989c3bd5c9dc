"""The door to SQLite: one file, its modes, its pragmas, and its errors in our words.

Every connection of the store comes from here, and every error of the database library is
translated here, once. What is stored is none of its business.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from nvsx.core.errors import StoreBusy, StoreError

FILE = "nvsx.db"
ERRORS = (SQLAlchemyError, sqlite3.Error, OSError)
"""What the database library raises; `translate` knows them all."""
WRITE = {"nvsx_begin": "BEGIN IMMEDIATE"}
"""Execution option of a connection that is going to write: it takes the lock at once, since
a read lock that is upgraded later can fail however long one is willing to wait."""


def prepare_folder(folder: Path) -> None:
    """Make the state folder, private. Raises StoreError when that is not possible."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ours = (folder / FILE).exists() or not any(folder.iterdir())
        # A folder somebody pointed us at may have a life of its own: only ours is tightened.
        if ours and folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
        # SQLite gives the files beside the database the mode of the database.
        os.close(os.open(folder / FILE, os.O_CREAT | os.O_RDWR, 0o600))
        if (folder / FILE).stat().st_mode & 0o077:
            (folder / FILE).chmod(0o600)
    except OSError as error:
        raise StoreError(
            f"the state folder {folder} cannot be used: {error.strerror}",
            "make it writable for you, or name another with NVSX_STATE_DIR",
        ) from error


def connect(folder: Path, busy_timeout: float) -> Engine:
    """An engine on the database in `folder`. Connects to nothing yet."""
    engine = create_engine(
        URL.create("sqlite", database=str(folder / FILE)),
        # isolation_level None: transactions begin where we say, not where sqlite3 guesses.
        connect_args={"timeout": busy_timeout, "isolation_level": None},
        max_overflow=-1,  # each follower holds a connection
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        connection.exec_driver_sql(options.get("nvsx_begin", "BEGIN"))

    return engine


def use_wal(engine: Engine) -> None:
    """Readers and the writer do not block one another. A property of the file, set once."""
    with engine.connect() as connection:
        raw(connection).execute("PRAGMA journal_mode=WAL")


def set_flush(connection: Connection, *, durable: bool) -> None:
    """Whether the next commits reach the disk before they return.

    Without it a commit survives the death of the process, but not of the machine
    (https://www.sqlite.org/pragma.html#pragma_synchronous). To be called between
    transactions.
    """
    raw(connection).execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")


def raw(connection: Connection) -> Any:
    """The sqlite3 connection underneath, for pragmas outside of transactions."""
    return connection.connection.dbapi_connection


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turns the database's errors into StoreBusy and StoreError."""
    try:
        yield
    except ERRORS as error:
        raise translate(error, folder) from error


def translate(error: Exception, folder: Path) -> StoreError:
    """What an error of the database means for a person."""
    where = folder / FILE
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    code = str(getattr(cause, "sqlite_errorname", ""))
    if code.startswith("SQLITE_FULL") or _is_full(cause, folder):
        return StoreBusy(
            "the disk is full; what was stored before is safe",
            f"free some space for {where} and try again",
        )
    if isinstance(cause, OSError):
        return StoreError(
            f"{folder} cannot be used: {cause.strerror}",
            "make it writable for you, or name another folder with NVSX_STATE_DIR",
        )
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreBusy(
            "the store is locked by another process",
            "try again; if it stays so, look for a backup or another nvsx that hangs on it: "
            f"`fuser {where}`",
        )
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StoreError(
            f"{where} cannot be opened for writing",
            "make the folder and its files writable for you, or set NVSX_STATE_DIR",
        )
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreError(
            f"{where} is damaged: {cause}",
            f"move it away, with the files beside it, to start afresh: mv {where} {where}.damaged",
        )
    return StoreError(f"{where} failed: {cause}", "check the disk, then try again")


def _is_full(cause: Exception, folder: Path) -> bool:
    """Whether an error means that there is no room, where SQLite itself does not say so: it
    calls it an I/O error when it is the shared memory beside the database that cannot grow."""
    if isinstance(cause, OSError):
        return cause.errno in (errno.ENOSPC, errno.EDQUOT)
    if not str(getattr(cause, "sqlite_errorname", "")).startswith("SQLITE_IOERR"):
        return False
    try:
        return os.statvfs(folder).f_bavail == 0
    except OSError:
        return False
