"""A quick look at the newest runs, for completing words: no database library, no locks.

Nothing is made, migrated or waited for. What cannot be read at once is simply not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

WAIT_S = 0.1
_NEWEST = "SELECT run_id, runbook, node, status FROM runs ORDER BY created DESC LIMIT ?"


class Glimpse(NamedTuple):
    """One run; `node` is "" while it has none."""

    run_id: str
    runbook: str
    node: str
    status: str


def newest(state_dir: Path, limit: int = 200) -> list[Glimpse]:
    """The newest runs of the journal in `state_dir`, [] where there is none. Never raises."""
    import sqlite3

    path = state_dir / "nvsx.db"
    if not path.is_file():
        return []
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", WAIT_S, uri=True)
        try:
            return [Glimpse(*row) for row in connection.execute(_NEWEST, (limit,))]
        finally:
            connection.close()
    except sqlite3.Error:
        return []
