"""What taking an event writes: the event, its explanation, and what the decision made of it.

SqliteInbox calls these inside the transaction that decides. Explanations are kept once for
all events that have the same: with many runbooks they are most of what an event says, and a
storm says it thousands of times.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from sqlalchemy import Connection, bindparam, insert, text, update

from nvsx.core.incident.incident_store import Appended
from nvsx.core.journal.run_rows import Lease
from nvsx.core.routing.inbox import Ask, Decision, Draft, Received
from nvsx.core.routing.route import Explanation
from nvsx.store.inbox_tables import events, requests, storm_faults
from nvsx.store.incident_records import append_to_story
from nvsx.store.statements import Prepared

_EVENT = Prepared(insert(events))
_REPEATED = Prepared(
    update(events)
    .where(events.c.event_id == bindparam("e"))
    .values(repeats=events.c.repeats + 1, last_received=bindparam("at"))
)
_REQUEST = Prepared(insert(requests))
_JOIN_STORM = Prepared(
    update(storm_faults)
    .where(storm_faults.c.run_id == bindparam("r"))
    .values(leader=bindparam("l"))
)
_STORM_FAULT = Prepared(insert(storm_faults))
# Plain SQL: ON CONFLICT is the same in SQLite and PostgreSQL, SQLAlchemy's is not.
_EXPLANATION = Prepared(
    text("INSERT INTO explanations (digest, body) VALUES (:d, :b) ON CONFLICT DO NOTHING")
)
_DELIVERY = Prepared(
    text(
        'INSERT INTO deliveries ("key", event_id, at) VALUES (:k, :e, :at) '
        'ON CONFLICT ("key") DO UPDATE SET event_id = excluded.event_id, at = excluded.at'
    )
)
_ASK = Prepared(
    text(
        "INSERT INTO asks (ask_id, run_id, kind, text, author, code) "
        "SELECT COALESCE(MAX(ask_id), 0) + 1, :r, :kind, :text, :by, :code FROM asks"
    )
)


def insert_asks(db: Connection, asks: Sequence[Ask], new_run: str = "") -> None:
    """Store what is asked; asks that name no run are for the new one."""
    _ASK.run_many(
        db,
        [
            {"r": a.run_id or new_run, "kind": a.kind, "text": a.text, "by": a.by, "code": a.code}
            for a in asks
        ],
    )


def append_news(db: Connection, decision: Decision, run_id: str) -> Appended | None:
    """What the decision adds to the incident of its node; `run_id` is the new run's."""
    news = decision.news
    if news is None:
        return None
    events = news.events
    if decision.joins is not None:
        joins = decision.joins
        events = (*events, msgspec.structs.replace(joins, run_id=joins.run_id or run_id))
    if not events:
        return None
    return append_to_story(db, news.cluster, news.stored, events, news.sight.at)


def follow_up(db: Connection, run_id: str, decision: Decision, now: float) -> None:
    """What belongs to a new run: its request, and its part in a storm."""
    _REQUEST.run(db, run_id=run_id, body=decision.request)
    run, fault = decision.create, decision.fault
    if run is None or fault is None:
        return
    body = msgspec.json.encode(fault).decode()
    named = {"leader": decision.storm, "cluster": run.cluster, "seen": now, "body": body}
    _STORM_FAULT.run(db, run_id=run_id, **named)
    if decision.storm:
        members = [{"r": member, "l": decision.storm} for member in decision.members]
        _JOIN_STORM.run_many(db, members)


def event_of(draft: Draft, decision: Decision, lease: Lease | None) -> Received:
    """The event with its outcome, under a new id."""
    day = datetime.fromtimestamp(draft.received, UTC).strftime("%Y%m%d-%H%M%S")
    return draft.decided(decision, f"e-{day}-{secrets.token_hex(4)}", lease)


def insert_event(db: Connection, event: Received) -> None:
    """Store a new event, and remember the keys it came under."""
    _EVENT.run(
        db,
        event_id=event.event_id,
        received=event.received,
        source=event.source,
        cluster=event.cluster,
        node=event.facts.node,
        outcome=event.outcome,
        run_id=event.run_id,
        reason=event.reason,
        repeats=0,
        last_received=event.received,
        body=msgspec.json.encode(msgspec.structs.replace(event, explanations=())).decode(),
        explained=_store_explanations(db, event.explanations),
    )
    for key in event.keys:
        _DELIVERY.run(db, k=key, e=event.event_id, at=event.received)


def _store_explanations(db: Connection, explanations: Sequence[Explanation]) -> str:
    """The name under which they are kept; "" for none."""
    if not explanations:
        return ""
    body = msgspec.json.encode(explanations)
    digest = hashlib.sha256(body).hexdigest()[:24]
    _EXPLANATION.run(db, d=digest, b=body.decode())
    return digest


def repeated(db: Connection, event: Received, at: float) -> Received:
    """Count one more delivery of an event."""
    _REPEATED.run(db, e=event.event_id, at=at)
    return msgspec.structs.replace(event, repeats=event.repeats + 1, last_received=at)
