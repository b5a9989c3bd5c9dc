"""One line for each thing that people were told: for the deck's pane, status, report and list.

03:02Z oncall (pagerduty): page opened: "gpu-7 fell off the bus" · Q1K2 · …a91f
03:10Z gpu-ops (slack): posted: "drained" · possibly twice
03:12Z tickets (jira): not delivered yet (try 3, again 03:14Z): 503 Service Unavailable
would tell oncall: page opened: "gpu-7 fell off the bus"
"""

from __future__ import annotations

from nvsx.core.notify.merging import tell_minute
from nvsx.core.notify.outbox import NOBODY, Delivery
from nvsx.core.plain_text import one_line

_DONE = {
    "open page": "page opened",
    "note page": "said on the open page",
    "close page": "page closed",
    "post": "posted",
    "open ticket": "ticket opened",
    "comment ticket": "said on the ticket",
    "close ticket": "ticket closed",
}


def tell_delivery(delivery: Delivery) -> str:
    """Who, what in its words, when, and the receipt or what is in the way."""
    at = delivery.settled if delivery.settled is not None else delivery.accepted
    who = _tell_target(delivery)
    what = tell_what(delivery)
    if delivery.state == "would":
        return one_line(f"would tell {who}: {what}")
    return one_line(f"{tell_minute(at)} {who}: {what}{_tell_receipt(delivery)}")


def tell_outcome(delivery: Delivery) -> str:
    """As `tell_delivery`, for where the time stands already: `told oncall: page opened: …`."""
    who, what = _tell_target(delivery), tell_what(delivery)
    if delivery.state == "would":
        return one_line(f"would tell {who}: {what}")
    verb = "told " if delivery.state == "delivered" else ""
    return one_line(f"{verb}{who}: {what}{_tell_receipt(delivery)}")


def tell_what(delivery: Delivery) -> str:
    """What was done, or why not, with the message's title."""
    message = delivery.message
    title = message.title or message.text.strip().partition("\n")[0]
    words = f': "{title}"' if title else ""
    if delivery.merged_into:
        return f"said together with others (see {delivery.merged_into}){words}"
    if delivery.state in ("delivered", "would") and delivery.action:
        return _DONE[delivery.action] + words
    if delivery.state == "delivered":
        return f"{delivery.reason}{words}"
    if delivery.state == "dropped":
        return f"{message.kind} not sent, {delivery.reason}{words}"
    if delivery.state == "given up":
        return f"{message.kind} NOT DELIVERED, given up: {delivery.reason}{words}"
    again = f", again {tell_minute(delivery.due)}" if delivery.tries else ""
    tries = f" (try {delivery.tries}{again})" if delivery.tries else ""
    reason = f": {delivery.reason}" if delivery.reason else ""
    return f"{message.kind} not delivered yet{tries}{reason}{words}"


def is_failing(delivery: Delivery) -> bool:
    """What is shown in red: given up, or tried in vain."""
    return delivery.state == "given up" or (delivery.is_open and delivery.tries > 0)


def _tell_target(delivery: Delivery) -> str:
    if delivery.target == NOBODY:
        return "nobody"
    kind = f" ({delivery.kind})" if delivery.kind and delivery.kind != delivery.target else ""
    return f"{delivery.target}{kind}" + (", the fallback" if delivery.fallback else "")


def _tell_receipt(delivery: Delivery) -> str:
    receipt = delivery.receipt
    if receipt is None or delivery.merged_into:
        return ""
    parts = [receipt.link or receipt.ref, receipt.account, receipt.note]
    if receipt.repeat:
        parts.append("possibly twice")
    return "".join(f" · {part}" for part in parts if part)
