"""A look at the store that people wait for at a prompt: by SQLite's own driver, read-only.

The database library takes longer to load than all else that a list or a status needs. Who
writes, or asks harder questions, goes through `open_store`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from nvsx.core.errors import StoreError
from nvsx.store import open_store

T = TypeVar("T")

BUSY_TIMEOUT_S = 5.0
"""How long to wait for another process's lock, as `open_store` does."""
SCHEMA_VERSION = 9
"""The number of steps in `migrations`; a database of another number goes through `open_store`."""


def look_directly(state_dir: Path, look: Callable[[sqlite3.Connection], T]) -> T:
    """What `look` finds in the database of `state_dir`. Raises StoreError."""
    try:
        return _look_once(state_dir, look)
    except (sqlite3.Error, StoreError):
        # Not there yet, of an older nvsx, or broken: this makes it good or says what is wrong.
        open_store(state_dir, busy_timeout=BUSY_TIMEOUT_S).close()
    from nvsx.store import database

    with database.translated(state_dir):
        return _look_once(state_dir, look)


def _look_once(state_dir: Path, look: Callable[[sqlite3.Connection], T]) -> T:
    uri = f"{(state_dir / 'nvsx.db').absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, BUSY_TIMEOUT_S, uri=True)) as db:
        if db.execute("SELECT MAX(version) FROM migrations").fetchone() != (SCHEMA_VERSION,):
            raise StoreError(f"{state_dir} is not of this nvsx")
        return look(db)
