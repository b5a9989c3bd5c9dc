"""Incidents, read from SQLite directly for the commands that tell of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from nvsx.core.errors import StoreError, UsageError
from nvsx.core.incident.incident_events import IncidentEntry, decode_incident_body
from nvsx.core.incident.incident_store import IncidentRow
from nvsx.store.direct_look import look_directly


def list_incidents(
    state_dir: Path, *, only_open: bool = False, since: float | None = None
) -> list[IncidentRow]:
    """Newest first. Raises StoreError."""
    query = (
        "SELECT body FROM incident_index WHERE (NOT ? OR ended IS NULL) AND opened >= ? "
        "ORDER BY opened DESC, incident DESC"
    )
    asked = (only_open, 0.0 if since is None else since)

    def look(db: sqlite3.Connection) -> list[IncidentRow]:
        return [msgspec.json.decode(body, type=IncidentRow) for (body,) in db.execute(query, asked)]

    return look_directly(state_dir, look)


def find_incident(state_dir: Path, incident: str) -> IncidentRow:
    """Raises UsageError for an unknown id, StoreError."""
    query = "SELECT body FROM incident_index WHERE incident = ?"
    found = look_directly(state_dir, lambda db: db.execute(query, (incident,)).fetchone())
    if found is None:
        raise unknown_incident(incident)
    return msgspec.json.decode(found[0], type=IncidentRow)


def list_entries(state_dir: Path, incident: str) -> Sequence[IncidentEntry]:
    """All entries of one incident, in their order. Raises StoreError."""
    query = "SELECT seq, t, body FROM incident_journal WHERE incident = ? ORDER BY seq"
    return look_directly(
        state_dir, lambda db: decode_entries(incident, db.execute(query, (incident,)))
    )


def decode_entries(
    incident: str, rows: Iterable[tuple[int, float, str]]
) -> Sequence[IncidentEntry]:
    """An incident's entries from their seq, time and body. Raises StoreError."""
    try:
        return [IncidentEntry(incident, seq, t, decode_incident_body(b)) for seq, t, b in rows]
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"incident {incident} has an entry this nvsx does not know: {error}",
            "upgrade nvsx to read it",
        ) from error


def unknown_incident(incident: str) -> UsageError:
    return UsageError(f"there is no incident {incident}", "list them with `nvsx incidents list`")
