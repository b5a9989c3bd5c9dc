"""What is read of and appended to the incidents' tables, inside a transaction.

SqliteIncidents calls these in the journal's writer, and so does the inbox: an event that opens
an incident, the incident and its run are one commit.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select, text

from nvsx.core.incident.incident_events import (
    IncidentEntry,
    IncidentEvent,
    IncidentNoted,
    IncidentOpened,
    LeftOverGone,
    PeopleTold,
    RunEnded,
    RunJoined,
    encode_incident_body,
    incident_event_kind,
)
from nvsx.core.incident.incident_state import IncidentState, NodeStory, Stamp, fold_event
from nvsx.core.incident.incident_store import (
    Appended,
    IncidentRow,
    StoredStory,
    StoryMoved,
    incident_row,
)
from nvsx.store.incident_list import decode_entries, unknown_incident
from nvsx.store.incident_tables import (
    incident_index,
    incident_journal,
)
from nvsx.store.statements import Prepared

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Without i, l, o and u: an id is read out over the phone."""
_cluster: Any = bindparam("cluster")
_node: Any = bindparam("node")
_incident: Any = bindparam("incident")

_POSITION = Prepared(
    select(func.max(incident_journal.c.number)).where(
        incident_journal.c.cluster == _cluster, incident_journal.c.node == _node
    )
)
_LATEST = Prepared(
    select(incident_index.c.incident, incident_index.c.ended)
    .where(incident_index.c.cluster == _cluster, incident_index.c.node == _node)
    .order_by(incident_index.c.opened.desc(), incident_index.c.incident.desc())
    .limit(2)
)
_ENTRIES = Prepared(
    select(incident_journal.c.seq, incident_journal.c.t, incident_journal.c.body)
    .where(incident_journal.c.incident == _incident)
    .order_by(incident_journal.c.seq)
)
_LAST_SEQ = Prepared(
    select(func.max(incident_journal.c.seq)).where(incident_journal.c.incident == _incident)
)
_ROW = Prepared(select(incident_index.c.body).where(incident_index.c.incident == _incident))
_APPEND = Prepared(insert(incident_journal))
_FORGET_ROW = Prepared(delete(incident_index).where(incident_index.c.incident == _incident))
_PUT_ROW = Prepared(insert(incident_index))
_JOIN_RUN = Prepared(
    text(
        "INSERT INTO incident_runs (run_id, incident) VALUES (:run_id, :incident) "
        "ON CONFLICT (run_id) DO UPDATE SET incident = excluded.incident"
    )
)
# Plain SQL: ON CONFLICT is the same in SQLite and PostgreSQL, SQLAlchemy's is not.
_PUT_KEY = Prepared(
    text(
        'INSERT INTO incident_keys (cluster, "key", incident) VALUES (:cluster, :key, :incident) '
        'ON CONFLICT (cluster, "key") DO UPDATE SET incident = excluded.incident'
    )
)


def read_entries(db: Connection, incident: str) -> Sequence[IncidentEntry]:
    """All entries of an incident, none for an unknown one. Raises StoreError."""
    rows = _ENTRIES.all(db, incident=incident)
    return decode_entries(incident, ((row["seq"], row["t"], row["body"]) for row in rows))


def read_position(db: Connection, cluster: str, node: str) -> int:
    """How many entries all incidents of a node have."""
    return int(_POSITION.scalar(db, cluster=cluster, node=node) or 0)


def read_story(db: Connection, cluster: str, node: str) -> StoredStory:
    """What is known of a node: its open incident, and the one before it."""
    position = read_position(db, cluster, node)
    latest = _LATEST.all(db, cluster=cluster, node=node)
    story = NodeStory(node)
    for row in reversed(latest):
        story = story.after_entries(read_entries(db, row["incident"]))
    is_open = bool(latest) and latest[0]["ended"] is None
    ended = [row["incident"] for row in latest if row["ended"] is not None]
    return StoredStory(
        story, position, latest[0]["incident"] if is_open else "", ended[0] if ended else ""
    )


def append_to_story(
    db: Connection,
    cluster: str,
    stored: StoredStory,
    events: Sequence[IncidentEvent],
    at: float,
) -> Appended:
    """Append at the story's position; keeps index and keys current. Raises StoryMoved."""
    node = stored.story.node
    position = read_position(db, cluster, node)
    if position != stored.position:
        raise StoryMoved(f"the incident on {node} has moved on", "look again")
    story, open_id, last_id = stored.story, stored.open_id, stored.last_id
    entries: list[IncidentEntry] = []
    touched: dict[str, IncidentState] = {}
    for event in events:
        if isinstance(event, IncidentOpened):
            if open_id:
                last_id = open_id
            open_id = _new_incident_id(db, at)
        # Of an end, and of what comes after one: notes, receipts, left-overs that went.
        belongs = open_id or last_id
        if isinstance(event, LeftOverGone) and last_id:
            belongs = last_id
        if not belongs:
            continue
        story = story.after(event, Stamp(at))
        state = story.open if belongs == open_id and story.open is not None else story.last
        if state is None:
            continue
        position += 1
        entries.append(IncidentEntry(belongs, state.events, at, event))
        touched[belongs] = state
        if open_id and story.open is None:
            open_id, last_id = "", open_id
        if isinstance(event, RunJoined):
            _JOIN_RUN.run(db, run_id=event.run_id, incident=belongs)
    first = position - len(entries) + 1
    _APPEND.run_many(
        db,
        [_entry_as_row(cluster, node, first + n, entry) for n, entry in enumerate(entries)],
    )
    for incident, state in touched.items():
        _put_row(db, incident_row(incident, cluster, state))
        for key in state.aliases:
            _PUT_KEY.run(db, cluster=cluster, key=key, incident=incident)
    return Appended(StoredStory(story, position, open_id, last_id), tuple(entries))


def append_to_incident(
    db: Connection, incident: str, event: IncidentNoted | PeopleTold | RunEnded, at: float
) -> IncidentEntry | None:
    """Append to an incident that may be over. None for the end of a run that is on record, or was
    never there. Raises UsageError for an unknown id."""
    row = read_row(db, incident)
    if isinstance(event, RunEnded):
        story = NodeStory(row.node).after_entries(read_entries(db, incident))
        state = story.open or story.last
        if state is None or event.run_id not in state.working_runs:
            return None
        # The index counts runs that failed; a note is not in it.
        _put_row(db, incident_row(incident, row.cluster, fold_event(state, event, Stamp(at))))
    entry = IncidentEntry(
        incident, int(_LAST_SEQ.scalar(db, incident=incident) or 0) + 1, at, event
    )
    position = read_position(db, row.cluster, row.node)
    _APPEND.run_many(db, [_entry_as_row(row.cluster, row.node, position + 1, entry)])
    return entry


def _entry_as_row(cluster: str, node: str, number: int, entry: IncidentEntry) -> dict[str, Any]:
    return {
        "cluster": cluster,
        "node": node,
        "number": number,
        "incident": entry.incident,
        "seq": entry.seq,
        "t": entry.t,
        "kind": incident_event_kind(entry.body),
        "body": encode_incident_body(entry.body).decode(),
    }


def read_row(db: Connection, incident: str) -> IncidentRow:
    """One incident of the index. Raises UsageError for an unknown id."""
    found = _ROW.scalar(db, incident=incident)
    if found is None:
        raise unknown_incident(incident)
    return msgspec.json.decode(found, type=IncidentRow)


def _put_row(db: Connection, row: IncidentRow) -> None:
    _FORGET_ROW.run(db, incident=row.incident)
    _PUT_ROW.run(
        db,
        incident=row.incident,
        cluster=row.cluster,
        node=row.node,
        opened=row.opened,
        ended=row.ended,
        body=msgspec.json.encode(row).decode(),
    )


def _new_incident_id(db: Connection, at: float) -> str:
    """An id that sorts by time, can be typed, and is not taken: i-20261122-1431-7k3f."""
    minute = datetime.fromtimestamp(at, UTC).strftime("%Y%m%d-%H%M")
    while True:
        number = secrets.randbits(20)
        letters = "".join(_LETTERS[number >> shift & 31] for shift in (15, 10, 5, 0))
        incident = f"i-{minute}-{letters}"
        if _ROW.scalar(db, incident=incident) is None:
            return incident
