"""What `nvsx notify` does from a terminal: store a message, see what becomes of it, list, test.

Nothing here prints.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from nvsx.commands.author import who
from nvsx.commands.incidents_desk import IncidentDesk
from nvsx.core.errors import UsageError
from nvsx.core.incident.incident_store import IncidentRow
from nvsx.core.notify.message import Message
from nvsx.core.notify.order import Order, OrderAction, Receipt
from nvsx.core.notify.order_making import TAKES
from nvsx.core.notify.outbox import NOBODY, Delivery, Outbox, OutboxFilter
from nvsx.core.notify.target_port import DeliveryDelayed, DeliveryRefused, MessageTarget
from nvsx.core.notify.told_ledger import OpenThing, fold_ledger, list_open_things
from nvsx.follow.processes.notify_call import Asked
from nvsx.notify.message_desk import MessageDesk

OTHERS_FIRST = 2.0
"""Seconds that a living daemon has to deliver; then this process does it by itself."""
LOOK_AGAIN = 0.1

Deliver = Callable[[], AbstractAsyncContextManager[object]]
"""Delivers what is due for as long as it is open."""


def make_persons_message(row: IncidentRow, asked: Asked, mask: Callable[[str], str]) -> Message:
    """What a person asks to be told of an incident. A rehearsal's stays inside."""
    author = who()
    key = asked.key or secrets.token_hex(6)
    return Message(
        call=f"person/{row.incident}/{key}",
        kind=asked.kind,  # type: ignore[arg-type]
        title=mask(" ".join(asked.title.split())),
        text=mask(asked.text),
        severity=asked.severity,  # type: ignore[arg-type]
        to=asked.to,
        fields={mask(name): mask(value) for name, value in asked.fields.items()},
        by="person",
        author=author,
        incident=row.incident,
        node=row.node,
        broadcast=asked.kind == "post",
        rehearsal="sandbox" if row.sandbox else "drill" if row.drill else "",
        asked=time.time(),
    )


async def tell_and_see(
    desk: MessageDesk, outbox: Outbox, message: Message, deliver: Deliver, seconds: float
) -> Sequence[Delivery]:
    """Store the message, and what has become of it after at most `seconds`.

    A daemon that lives delivers it; when nobody does, `deliver` of this process. Raises StoreError.
    """
    numbers = {d.number for d in await desk.accept([message])}
    ends = time.monotonic() + seconds
    rows = await _see_until_settled(outbox, message, numbers, min(OTHERS_FIRST, seconds))
    left = ends - time.monotonic()
    if left <= 0 or not any(d.is_open and d.target != NOBODY for d in rows):
        return rows
    async with deliver():
        return await _see_until_settled(outbox, message, numbers, left)


async def _see_until_settled(
    outbox: Outbox, message: Message, numbers: set[int], seconds: float
) -> Sequence[Delivery]:
    wanted = OutboxFilter(incident=message.incident, limit=None)
    ends = time.monotonic() + seconds
    while True:
        rows = [d for d in await outbox.deliveries(wanted) if d.number in numbers]
        waits = [
            d for d in rows if d.is_open and d.target != NOBODY and not d.fallback and not d.tries
        ]
        if not waits or time.monotonic() >= ends:
            return rows
        await asyncio.sleep(LOOK_AGAIN)


# --- list -------------------------------------------------------------------------------------


async def list_told(outbox: Outbox, row: IncidentRow | None, limit: int) -> Sequence[Delivery]:
    """Who was told what, of one incident or of all; the newest `limit`, in order."""
    incident = row.incident if row is not None else ""
    return await outbox.deliveries(OutboxFilter(incident=incident, limit=limit))


class StillOpen(NamedTuple):
    """A page or ticket that is open at a target, with the incident that it is of."""

    incident: str
    thing: OpenThing
    is_over: bool


async def list_still_open(
    outbox: Outbox, desk: IncidentDesk, row: IncidentRow | None
) -> tuple[list[StillOpen], list[Delivery]]:
    """What is open at targets, and what waits to be delivered."""
    subjects = [row.incident] if row is not None else list(await outbox.open_incidents())
    found = []
    for subject in subjects:
        rows = await outbox.deliveries(OutboxFilter(subject=subject, limit=None))
        is_over = await _is_over(desk, subject)
        found += [
            StillOpen(subject, thing, is_over) for thing in list_open_things(fold_ledger(rows))
        ]
    incident = row.incident if row is not None else ""
    waiting = await outbox.deliveries(OutboxFilter(incident=incident, only_open=True, limit=None))
    return found, list(waiting)


async def _is_over(desk: IncidentDesk, subject: str) -> bool:
    try:
        return (await desk.store.row(subject)).ended is not None
    except UsageError:
        return False  # a storm: its own end is told of it


# --- test -------------------------------------------------------------------------------------


class Tested(NamedTuple):
    """What a target made of the test message."""

    target: str
    kind: str
    receipts: tuple[Receipt, ...] = ()
    problem: str = ""


def choose_targets(targets: dict[str, MessageTarget], wanted: str) -> list[MessageTarget]:
    """The one that is named, or all. Raises UsageError."""
    if wanted and wanted not in targets:
        known = ", ".join(sorted(targets)) or "none is set up"
        raise UsageError(f"no target is called {wanted}", f"the targets: {known}")
    if not targets:
        raise UsageError(
            "no target is set up, so nobody can be told",
            "name one under notify: in nvsx.yaml, or set SLACK_WEBHOOK_URL, JIRA_BASE_URL, …",
        )
    return [targets[wanted]] if wanted else list(targets.values())


async def send_test(target: MessageTarget) -> Tested:
    """Send one message that is marked as a test, as the target's own kind takes it; what it
    opened is closed again."""
    key, receipts = f"nvsx/test/{secrets.token_hex(6)}", list[Receipt]()
    try:
        for action in _choose_actions(target.kind):
            before = receipts[-1] if receipts else None
            order = Order(
                delivery=0,
                action=action,
                key=key,
                ref=before.ref if before else "",
                title="[TEST] nvsx notify test",
                text=f"{who()} tries whether nvsx can reach people here. Nothing is wrong.",
                severity="warning",
                at=time.time(),
            )
            receipts.append(await target.deliver(order))
    except (DeliveryDelayed, DeliveryRefused) as error:
        return Tested(target.name, target.kind, tuple(receipts), str(error))
    finally:
        await target.close()
    return Tested(target.name, target.kind, tuple(receipts))


def _choose_actions(kind: str) -> tuple[OrderAction, ...]:
    takes = TAKES.get(kind, frozenset())
    if "post" in takes:
        return ("post",)
    return ("open page", "close page") if "page" in takes else ("open ticket", "close ticket")
