"""What a webhook target is sent: the shape that docs/notify-webhook.schema.json publishes. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from nvsx.core.notify.message import Severity
from nvsx.core.notify.order import Order
from nvsx.notify.targets.wording import stamp, title_of

#: What happened, by the order's action.
EventType = Literal[
    "nvsx.page.opened",
    "nvsx.page.noted",
    "nvsx.page.closed",
    "nvsx.post",
    "nvsx.ticket.opened",
    "nvsx.ticket.commented",
    "nvsx.ticket.closed",
]
_TYPES: dict[str, EventType] = {
    "open page": "nvsx.page.opened",
    "note page": "nvsx.page.noted",
    "close page": "nvsx.page.closed",
    "post": "nvsx.post",
    "open ticket": "nvsx.ticket.opened",
    "comment ticket": "nvsx.ticket.commented",
    "close ticket": "nvsx.ticket.closed",
}


class EventFact(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    value: str


class EventFacts(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The facts of the incident, true at `asOf` (RFC 3339; "" when there are none)."""

    headline: str
    rows: tuple[EventFact, ...]
    as_of: str


class EventData(msgspec.Struct, frozen=True, kw_only=True):
    """`key` is the same for all that is said about one page, or one ticket. `incident` is the id
    that `nvsx incidents` takes. `text` has lines."""

    key: str
    incident: str
    node: str
    cluster: str
    severity: Severity
    title: str
    text: str
    broadcast: bool
    fields: dict[str, str]
    facts: EventFacts


class WebhookEvent(msgspec.Struct, frozen=True, kw_only=True):
    """`timestamp` is when it was sent (RFC 3339). A repeat has the same header webhook-id."""

    type: EventType
    timestamp: str
    data: EventData


def make_event(order: Order) -> WebhookEvent:
    facts = EventFacts(
        headline=order.facts.headline,
        rows=tuple(EventFact(name=n, value=v) for n, v in order.facts.rows),
        as_of=stamp(order.facts.as_of) if order.facts.as_of else "",
    )
    data = EventData(
        key=order.key,
        incident=order.incident,
        node=order.node,
        cluster=order.cluster,
        severity=order.severity,
        title=title_of(order),
        text=order.text,
        broadcast=order.broadcast,
        fields=order.fields,
        facts=facts,
    )
    return WebhookEvent(type=_TYPES[order.action], timestamp=stamp(order.at), data=data)
