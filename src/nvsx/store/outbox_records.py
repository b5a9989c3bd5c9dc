"""What is read of and written to the outbox's tables, inside a transaction.

SqliteOutbox calls these in the journal's writer, and so may whoever stores a message together with
what made it: the journal's rows and the message are one commit then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from nvsx.core.errors import UsageError
from nvsx.core.notify.message import Message
from nvsx.core.notify.order import OrderAction, Receipt
from nvsx.core.notify.outbox import (
    CLOCK_WENT_BACK,
    TRY_LIMIT,
    Addressed,
    Delivery,
    DeliveryChange,
    OutboxFilter,
    PageRole,
    told_of,
)
from nvsx.store import incident_records
from nvsx.store.outbox_tables import outbox_deliveries, outbox_messages

IsAlive = Callable[[str], bool]

_rows = outbox_deliveries.c
_BOTH = outbox_deliveries.join(outbox_messages, _rows.call == outbox_messages.c.call)
DELIVERIES = select(
    outbox_deliveries, outbox_messages.c.body, outbox_messages.c.accepted
).select_from(_BOTH)
_WAITING = _rows.state == "waiting"


def read_deliveries(db: Connection, where: ColumnElement[bool]) -> list[Delivery]:
    """Those that fit, by number."""
    found = db.execute(DELIVERIES.where(where).order_by(_rows.number)).mappings()
    return [as_delivery(row) for row in found]


def as_delivery(row: Any) -> Delivery:
    receipt = row["receipt"]
    return Delivery(
        number=row["number"],
        target=row["target"],
        kind=row["kind"],
        message=msgspec.json.decode(row["body"], type=Message),
        state=row["state"],
        fallback=row["fallback"],
        accepted=row["accepted"],
        due=row["due"],
        tries=row["tries"],
        begun=row["begun"],
        unsure=row["unsure"] or row["begun"] is not None,
        reason=row["reason"],
        role=row["role"],
        action=row["action"],
        key=row["vendor_key"],
        receipt=msgspec.json.decode(receipt, type=Receipt) if receipt else None,
        settled=row["settled"],
        merged_into=row["merged_into"],
    )


def accept_messages(db: Connection, addressed: Sequence[Addressed], at: float) -> list[Delivery]:
    """Store what is not known yet. A call that is known keeps the deliveries that it has: the
    hook that runs again after a change of nvsx.yaml told its targets the first time."""
    accepted: list[Delivery] = []
    for one in addressed:
        call = one.message.call
        if not _is_known(db, call):
            _insert_message(db, one, at)
        accepted += read_deliveries(db, _rows.call == call)
    return accepted


def _is_known(db: Connection, call: str) -> bool:
    query = select(outbox_messages.c.call).where(outbox_messages.c.call == call)
    return db.execute(query).first() is not None


def _insert_message(db: Connection, one: Addressed, at: float) -> None:
    message = one.message
    db.execute(
        insert(outbox_messages).values(
            call=message.call,
            subject=message.subject,
            accepted=at,
            body=msgspec.json.encode(message).decode(),
        )
    )
    last = db.execute(select(func.max(_rows.number))).scalar() or 0
    rows = [
        {
            "number": number,
            "call": message.call,
            "target": target.name,
            "kind": target.kind,
            "fallback": target.fallback,
            "incident": message.incident,
            "subject": message.subject,
            "is_page": message.kind == "page",
            "state": "waiting",
            "due": at + target.after,
            "decided": at,
            "tries": 0,
            "owner": "",
            "unsure": False,
            "reason": "",
            "role": "",
            "action": "",
            "vendor_key": "",
            "account": "",
            "merged_into": 0,
            "receipt": "",
        }
        for number, target in enumerate(one.targets, last + 1)
    ]
    if rows:
        db.execute(insert(outbox_deliveries), rows)


def read_due(db: Connection, now: float, limit: int, is_alive: IsAlive) -> list[Delivery]:
    """Of what is due those that nobody living is trying, `limit` of each target."""
    due = or_(_rows.due <= now, _rows.decided > now + CLOCK_WENT_BACK)
    first = (_rows.is_page.desc(), _rows.due, _rows.number)
    short = select(_rows.number, _rows.target, _rows.begun, _rows.owner)
    free = _FreeToTry("", now, is_alive)
    chosen: dict[str, list[int]] = {}
    for row in db.execute(short.where(_WAITING, due).order_by(*first)).mappings():
        numbers = chosen.setdefault(row["target"], [])
        if len(numbers) < limit and free.is_free(row):
            numbers.append(row["number"])
    wanted = [number for numbers in chosen.values() for number in numbers]
    query = DELIVERIES.where(_rows.number.in_(wanted)).order_by(*first)
    return [as_delivery(row) for row in db.execute(query).mappings()]


def read_next_due(db: Connection) -> float | None:
    idle = select(func.min(_rows.due)).where(_WAITING, _rows.begun.is_(None))
    trying = select(func.min(_rows.begun)).where(_WAITING, _rows.begun.is_not(None))
    times = [db.execute(idle).scalar()]
    begun = db.execute(trying).scalar()
    if begun is not None:
        times.append(begun + TRY_LIMIT)
    return min((t for t in times if t is not None), default=None)


class _FreeToTry:
    """Whether a waiting delivery may be tried by `owner`: each other owner is asked once whether
    it lives."""

    def __init__(self, owner: str, now: float, is_alive: IsAlive) -> None:
        self._owner = owner
        self._now = now
        self._is_alive = is_alive
        self._living: dict[str, bool] = {}

    def is_free(self, row: Any) -> bool:
        begun, holder = row["begun"], row["owner"]
        if begun is None or holder == self._owner or self._now - begun > TRY_LIMIT:
            return True
        if holder not in self._living:
            self._living[holder] = self._is_alive(holder)
        return not self._living[holder]


def begin_tries(
    db: Connection, numbers: Iterable[int], owner: str, at: float, is_alive: IsAlive
) -> list[Delivery]:
    """Take the free ones; they come back as they stood before."""
    query = DELIVERIES.where(_WAITING, _rows.number.in_(list(numbers))).order_by(_rows.number)
    free = _FreeToTry(owner, at, is_alive)
    taken = [row for row in db.execute(query).mappings() if free.is_free(row)]
    for row in taken:
        # A try that is begun over one that was cut: it may have arrived.
        unsure = row["unsure"] or row["begun"] is not None
        db.execute(
            update(outbox_deliveries)
            .where(_rows.number == row["number"])
            .values(begun=at, owner=owner, unsure=unsure)
        )
    return [as_delivery(row) for row in taken]


def mark_tries(
    db: Connection, numbers: Iterable[int], action: OrderAction, role: PageRole, key: str
) -> None:
    db.execute(
        update(outbox_deliveries)
        .where(_WAITING, _rows.number.in_(list(numbers)))
        .values(action=action, role=role, vendor_key=key)
    )


def settle_tries(db: Connection, changes: Iterable[DeliveryChange], at: float) -> list[Delivery]:
    """Write down each change of a waiting delivery, and tell its incident what it was told."""
    numbers = [change.number for change in changes if _settle_one(db, change, at)]
    settled = read_deliveries(db, _rows.number.in_(numbers))
    for delivery in settled:
        told = told_of(delivery)
        if told is None or not delivery.message.incident:
            continue
        try:
            incident_records.append_to_incident(db, delivery.message.incident, told, at)
        except UsageError:
            continue  # an incident that was forgotten: the receipt itself is kept
    return settled


def _settle_one(db: Connection, change: DeliveryChange, at: float) -> bool:
    receipt = change.receipt
    values: dict[str, Any] = {
        "state": change.state,
        "due": change.due,
        "decided": at,
        "tries": _rows.tries + (1 if change.tried else 0),
        "begun": None,
        "owner": "",
        "reason": change.reason,
        "role": change.role,
        "action": change.action,
        "vendor_key": change.key,
        "account": receipt.account if receipt is not None else "",
        "settled": None if change.state == "waiting" else at,
        "merged_into": change.merged_into,
        "receipt": msgspec.json.encode(receipt).decode() if receipt is not None else "",
    }
    if change.state == "waiting" and not change.action:
        for kept in (_rows.role, _rows.action, _rows.vendor_key):
            values[kept.name] = case((_rows.unsure, kept), else_="")
    if change.tried:
        # Once nobody knows, a later refusal tells nothing of the earlier try.
        values["unsure"] = True if change.unsure else _rows.unsure
    done = db.execute(
        update(outbox_deliveries).where(_WAITING, _rows.number == change.number).values(**values)
    )
    return bool(done.rowcount)


def find_deliveries(db: Connection, wanted: OutboxFilter) -> list[Delivery]:
    query = DELIVERIES.order_by(_rows.number.desc()).limit(wanted.limit)
    if wanted.incident:
        query = query.where(
            or_(_rows.incident == wanted.incident, _rows.subject == wanted.incident)
        )
    if wanted.subject:
        query = query.where(_rows.subject == wanted.subject)
    if wanted.target is not None:
        query = query.where(_rows.target == wanted.target)
    if wanted.only_open:
        query = query.where(_WAITING)
    if wanted.since is not None:
        query = query.where(outbox_messages.c.accepted >= wanted.since)
    return [as_delivery(row) for row in db.execute(query).mappings()][::-1]


def find_open_incidents(db: Connection) -> list[str]:
    """What was opened by a key, and not closed by the same key since."""
    closing = outbox_deliveries.alias("closing")
    closes = case((_rows.action == "open page", "close page"), else_="close ticket")
    closed = (
        select(closing.c.number)
        .where(
            closing.c.subject == _rows.subject,
            closing.c.target == _rows.target,
            closing.c.state == "delivered",
            closing.c.action == closes,
            closing.c.role == _rows.role,
            closing.c.account == _rows.account,
            tuple_(closing.c.settled, closing.c.number) > tuple_(_rows.settled, _rows.number),
        )
        .exists()
    )
    query = (
        select(_rows.subject)
        .where(
            _rows.state == "delivered",
            _rows.action.in_(("open page", "open ticket")),
            _rows.subject != "",
            ~closed,
        )
        .distinct()
        .order_by(_rows.subject)
    )
    return list(db.execute(query).scalars())


def forget_settled(db: Connection, before: float, limit: int) -> int:
    """Delete the oldest messages that were settled before `before` at each of their targets, and
    whose incident has nothing open; how many. The newest delivery stays: its number is not used
    again."""
    newest = select(func.max(_rows.number)).scalar_subquery()
    young = select(_rows.call).where(or_(_WAITING, _rows.settled >= before, _rows.number == newest))
    old = and_(
        outbox_messages.c.accepted < before,
        outbox_messages.c.call.not_in(young),
        outbox_messages.c.subject.not_in(find_open_incidents(db)),
    )
    calls = list(
        db.execute(
            select(outbox_messages.c.call)
            .where(old)
            .order_by(outbox_messages.c.accepted)
            .limit(limit)
        ).scalars()
    )
    db.execute(delete(outbox_deliveries).where(_rows.call.in_(calls)))
    db.execute(delete(outbox_messages).where(outbox_messages.c.call.in_(calls)))
    return len(calls)
