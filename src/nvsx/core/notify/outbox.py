"""The port to the outbox: messages and what became of them at each target, durable.

A message is accepted once, with one delivery for each of its targets, in one transaction; what is
accepted is delivered by whoever owns the incident, or by any later nvsx of the state folder.

    accepted   waiting, due at once
    a try      begun, judged, and marked with what is sent: on disk before the request leaves; after
               a kill -9 the next owner finds a delivery that was begun and not settled: its next
               try is `unsure`
    settled    delivered (with a receipt) · waiting again (due later, with the reason) · given up
               (with the reason) · dropped (with the reason: what it said is over) · would (a
               rehearsal: the receipt has the text, nothing was sent)

Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from nvsx.core.incident.incident_events import PeopleTold
from nvsx.core.notify.message import Message
from nvsx.core.notify.order import OrderAction, Receipt

DeliveryState = Literal["waiting", "delivered", "given up", "dropped", "would"]
PageRole = Literal["", "watch", "people"]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One message at one target.

    `number` grows with each accepted one and is never used again. `fallback`: the target is one of
    `pageFallback`, and gets it only when no page of the list could be delivered in time. `accepted`
    is when it was stored. `tries` counts those that were settled. `begun` is when the try that is
    not settled began, None for none. `unsure`: an earlier try may have reached the vendor, and
    nobody knows. `role` is which of the incident's two pages it opened, noted or closed, `action`
    what was done, both as of the last try. `key` is the
    vendor's key that was used: what one key opened is closed by that key, also when the incident
    has got another since. `merged_into` is the delivery whose text has this one's.
    """

    number: int
    target: str
    kind: str
    message: Message
    state: DeliveryState = "waiting"
    fallback: bool = False
    accepted: float = 0.0
    due: float = 0.0
    tries: int = 0
    begun: float | None = None
    unsure: bool = False
    reason: str = ""
    role: PageRole = ""
    action: OrderAction | Literal[""] = ""
    key: str = ""
    receipt: Receipt | None = None
    settled: float | None = None
    merged_into: int = 0

    @property
    def is_open(self) -> bool:
        return self.state == "waiting"


NOBODY = ""
"""The target of a delivery that has none, so that a message nobody takes ends somewhere, too."""


class AddressedTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One target of a message. `after` is how long it waits before it is due: a fallback's."""

    name: str
    kind: str = ""
    fallback: bool = False
    after: float = 0.0


class Addressed(msgspec.Struct, frozen=True, kw_only=True):
    """A message with the targets that it goes to."""

    message: Message
    targets: tuple[AddressedTarget, ...] = ()


class DeliveryChange(msgspec.Struct, frozen=True, kw_only=True):
    """How a try ended, or that there will be none. See `Delivery` for the fields.

    `tried` is false where nothing was sent: judged to wait, dropped, merged into another. What was
    unsure before stays so then; after a try `unsure` says whether this one may have arrived. Where
    one that may have arrived waits on, it keeps role, key and action: a page whose try was cut is
    tried again as what it was.
    """

    number: int
    state: DeliveryState
    due: float = 0.0
    reason: str = ""
    role: PageRole = ""
    action: OrderAction | Literal[""] = ""
    key: str = ""
    receipt: Receipt | None = None
    unsure: bool = False
    tried: bool = True
    merged_into: int = 0


class OutboxFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries are asked for; what is left out asks for nothing. `incident`: those of its
    messages, or of a storm's; `subject`: those that go to the page, thread and ticket of this
    incident or storm; `target`: those to one target, "" being nobody."""

    subject: str = ""
    incident: str = ""
    target: str | None = None
    only_open: bool = False
    since: float | None = None
    limit: int | None = 500


class Outbox(Protocol):
    """Durable across kill -9, shared by the processes of one state folder."""

    async def accept(self, addressed: Sequence[Addressed], at: float) -> Sequence[Delivery]:
        """Store messages with their deliveries, flushed to disk; those of the whole list, in
        order. A call that is known gives the deliveries that it has already, unchanged.
        Raises StoreError.
        """
        ...

    async def due(self, now: float, limit: int = 200) -> Sequence[Delivery]:
        """Waiting deliveries that are due, `limit` of each target, so that none that is down keeps
        others waiting; pages first, then the oldest; those that nobody living is trying. One that
        was put off in the future (the clock went back by more than CLOCK_WENT_BACK) is due.
        Raises StoreError."""
        ...

    async def next_due(self) -> float | None:
        """When the next waiting delivery is due that nobody is trying; one that is being tried
        counts when its try is too old to live. None for none. Raises StoreError."""
        ...

    async def begin_try(self, numbers: Sequence[int], owner: str, at: float) -> Sequence[Delivery]:
        """Take deliveries for a try, flushed to disk; those that are waiting and that no other
        living owner is trying. An owner that began a try more than TRY_LIMIT ago is dead.
        The rows come back as they stood before, in order: `begun` is not None for one whose try
        was cut, and such a one is `unsure`. Raises StoreError.
        """
        ...

    async def mark_try(
        self, numbers: Sequence[int], action: OrderAction, role: PageRole, key: str
    ) -> None:
        """Write down as what deliveries are sent, flushed to disk, after they were judged and
        before the request leaves: whoever finds the try cut knows which page it may have opened.
        Raises StoreError.
        """
        ...

    async def settle(self, changes: Sequence[DeliveryChange], at: float) -> Sequence[Delivery]:
        """Write down how tries ended, flushed to disk; a delivered or would-be one is also told to
        its incident (`PeopleTold`), over or not, in the same transaction. One that is merged into
        another is not: its words are in the other's. What is settled for good stays as it is.
        The rows that changed. Raises StoreError.
        """
        ...

    async def deliveries(self, wanted: OutboxFilter) -> Sequence[Delivery]:
        """In the order of their numbers, the newest `limit`. Raises StoreError."""
        ...

    async def of_call(self, call: str) -> Sequence[Delivery]:
        """What became of one call; empty for one that is not known. Raises StoreError."""
        ...

    async def open_incidents(self) -> Sequence[str]:
        """Incidents and storms that have a page or a ticket open at some target, by what was
        delivered: to be closed when the incident is over, or orphans. Raises StoreError."""
        ...


TRY_LIMIT = 120.0
"""Seconds. No try lasts so long (a target's request is cut after 30), so who began one earlier and
has not settled it was killed."""

CLOCK_WENT_BACK = 60.0
"""Seconds. Smaller corrections of the clock are usual, and shift a try by as much."""


def told_of(delivery: Delivery) -> PeopleTold | None:
    """What the incident's journal says of a settled delivery; None where it says nothing.

    delivered to oncall, "open page", dedup key nvsx/u1/inc-7/watch → told oncall: open page (…).
    """
    receipt = delivery.receipt
    message = delivery.message
    if receipt is None or delivery.state not in ("delivered", "would"):
        return None
    if delivery.merged_into and not message.digest:
        return None  # its words are in the other's; of a digest each incident has its own line
    details: dict[str, object] = {
        **msgspec.structs.asdict(receipt),
        "message": message.kind,
        "title": message.title,
        "severity": message.severity,
        "by": message.by,
        "author": message.author,
        "run": message.run,
        "delivery": delivery.number,
        "role": delivery.role,
        "would": delivery.state == "would",
    }
    return PeopleTold(
        target=delivery.target, what=delivery.action or "post", ref=receipt.ref, details=details
    )
