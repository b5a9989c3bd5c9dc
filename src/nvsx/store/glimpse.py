"""A quick look at the newest runs and incidents, for completing words.

No database library, no locks: nothing is made, migrated or waited for, and what cannot be read at
once is simply not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

WAIT_S = 0.1
_NEWEST = "SELECT run_id, runbook, node, status FROM runs ORDER BY created DESC LIMIT ?"


_NEWEST_INCIDENTS = (
    "SELECT incident, node, ended IS NULL FROM incident_index ORDER BY opened DESC LIMIT ?"
)


class IncidentGlimpse(NamedTuple):
    """One incident."""

    incident: str
    node: str
    is_open: bool


class Glimpse(NamedTuple):
    """One run; `node` is "" while it has none."""

    run_id: str
    runbook: str
    node: str
    status: str


def newest(state_dir: Path, limit: int = 200) -> list[Glimpse]:
    """The newest runs of the journal in `state_dir`, [] where there is none. Never raises."""
    return [Glimpse(*row) for row in _read_newest(state_dir, _NEWEST, limit)]


def newest_incidents(state_dir: Path, limit: int = 200) -> list[IncidentGlimpse]:
    """The newest incidents of the store in `state_dir`, [] where there is none. Never raises."""
    found = _read_newest(state_dir, _NEWEST_INCIDENTS, limit)
    return [IncidentGlimpse(incident, node, bool(is_open)) for incident, node, is_open in found]


def _read_newest(state_dir: Path, query: str, limit: int) -> list[tuple[Any, ...]]:
    import sqlite3

    path = state_dir / "nvsx.db"
    if not path.is_file():
        return []
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", WAIT_S, uri=True)
        try:
            return list(connection.execute(query, (limit,)))
        finally:
            connection.close()
    except sqlite3.Error:
        return []
