"""Messages to people that did not arrive, read from SQLite directly for `nvsx status`."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from nvsx.core.notify.message import Message
from nvsx.store.direct_look import look_directly


class FailingDelivery(msgspec.Struct, frozen=True):
    """One that was tried in vain and is tried on, or (`given_up`) is not any more."""

    target: str
    kind: str
    title: str
    incident: str
    since: float
    tries: int
    reason: str
    given_up: bool


def list_failing(state_dir: Path, since: float, most: int = 20) -> list[FailingDelivery]:
    """The oldest first; of what was given up only what was settled after `since`. Raises
    StoreError."""
    query = (
        "SELECT d.target, m.body, m.accepted, d.tries, d.reason, d.state FROM outbox_deliveries d "
        "JOIN outbox_messages m ON m.call = d.call "
        "WHERE (d.state = 'waiting' AND d.tries > 0) OR (d.state = 'given up' AND d.settled >= ?) "
        "ORDER BY d.number LIMIT ?"
    )

    def look(db: sqlite3.Connection) -> list[FailingDelivery]:
        found = []
        for target, body, accepted, tries, reason, state in db.execute(query, (since, most)):
            message = msgspec.json.decode(body, type=Message)
            kind, title, incident = message.kind, message.title, message.incident
            given_up = state == "given up"
            found.append(
                FailingDelivery(target, kind, title, incident, accepted, tries, reason, given_up)
            )
        return found

    return look_directly(state_dir, look)
