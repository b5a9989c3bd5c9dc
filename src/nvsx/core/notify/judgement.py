"""What the judge says of deliveries, and how each saying is written down.

Every delivery is covered by exactly one judgement, and ends in exactly one visible outcome:
delivered, would be told, dropped with a reason, or given up with a reason; until then it waits.
"""

from __future__ import annotations

import msgspec

from nvsx.core.notify.message import Message
from nvsx.core.notify.order import Order, Receipt
from nvsx.core.notify.outbox import DeliveryChange, PageRole


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """To be sent now: `order` has the words of all of `covers`, its own number first. `beside`:
    messages to be accepted before it is settled, which say the same where it is read (a note on a
    page is silent)."""

    order: Order
    role: PageRole = ""
    covers: tuple[int, ...] = ()
    beside: tuple[Message, ...] = ()


class Would(msgspec.Struct, frozen=True, kw_only=True):
    """As Send, in a rehearsal: nothing is sent, and `order` shows what would be."""

    order: Order
    role: PageRole = ""
    covers: tuple[int, ...] = ()
    beside: tuple[Message, ...] = ()


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """Not to be sent any more. `instead`: messages to be accepted before it is settled."""

    covers: tuple[int, ...]
    reason: str
    instead: tuple[Message, ...] = ()


class GiveUp(msgspec.Struct, frozen=True, kw_only=True):
    """It cannot be sent, and somebody has to know."""

    covers: tuple[int, ...]
    reason: str


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """There is nothing to send: that it was said is all there is to it."""

    covers: tuple[int, ...]
    reason: str


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """To be judged again at `until`, Unix seconds."""

    covers: tuple[int, ...]
    until: float
    reason: str = ""


Judgement = Send | Would | Drop | GiveUp | Done | Wait


def settle_sent(sent: Send | Would, receipt: Receipt) -> tuple[DeliveryChange, ...]:
    """How a delivered order is written down: the first it covers has the words, the others point
    to it."""
    state = "would" if isinstance(sent, Would) else "delivered"
    order = sent.order
    # A post is kept with the thread it went to: one without has opened another.
    key = order.ref if order.action == "post" else order.key
    return tuple(
        DeliveryChange(
            number=number,
            state=state,  # type: ignore[arg-type]
            action=order.action,
            role=sent.role,
            key=key,
            receipt=receipt,
            tried=number == order.delivery,
            merged_into=0 if number == order.delivery else order.delivery,
        )
        for number in sent.covers
    )


def settle_failed(
    sent: Send, due: float, reason: str, *, unsure: bool = False
) -> tuple[DeliveryChange, ...]:
    """How a try is written down that is to be made again at `due`. One that may have arrived keeps
    what it was: a page of /people is not tried again as one of /watch, which would wake twice."""
    order = sent.order
    return tuple(
        DeliveryChange(
            number=number,
            state="waiting",
            due=due,
            reason=reason,
            action=order.action if unsure else "",
            role=sent.role if unsure else "",
            key=order.key if unsure else "",
            unsure=unsure,
        )
        for number in sent.covers
    )


def settle_unsent(judged: Drop | GiveUp | Done | Wait) -> tuple[DeliveryChange, ...]:
    """How it is written down that nothing was sent."""
    if isinstance(judged, Wait):
        return tuple(
            DeliveryChange(
                number=n, state="waiting", due=judged.until, reason=judged.reason, tried=False
            )
            for n in judged.covers
        )
    states = {Drop: "dropped", GiveUp: "given up", Done: "delivered"}
    state = states[type(judged)]
    return tuple(
        DeliveryChange(number=n, state=state, reason=judged.reason, tried=False)  # type: ignore[arg-type]
        for n in judged.covers
    )
