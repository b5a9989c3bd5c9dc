"""What a target is asked to do, and what it answers: the last form of a message.

An order is made by `judging` right before each try, from the message, the incident as it is at
that moment and what the target was told before. A target needs nothing else.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from nvsx.core.notify.message import Severity

#: `open page`: trigger, also again after a close · `note page`: say more on an open page ·
#: `close page` · `post`: a message, the first of the thread or a reply in it · `open ticket` ·
#: `comment ticket` · `close ticket`.
OrderAction = Literal[
    "open page", "note page", "close page", "post", "open ticket", "comment ticket", "close ticket"
]
FactsLevel = Literal["none", "node", "full"]


class FactsBlock(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of the incident at `as_of`, masked, in the level of the target.

    `headline` is one short line: node, fault, state, what is wanted of the reader. `rows` are
    (name, value) in the order of their weight, each value one line. Both are plain text.
    """

    headline: str = ""
    rows: tuple[tuple[str, str], ...] = ()
    as_of: float = 0.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do at one target.

    `delivery` is the delivery's number, the same for each try. `identity` is the same for each try
    too, and no other store makes the same: the idempotency key where a vendor takes one. `key` is
    the vendor's key of a page (`nvsx/<incident's key>/watch`), the alias of an alert, the label of
    a ticket. `ref` is what
    an earlier receipt gave: the thread's first message, the ticket, the page. `unsure`: an earlier
    try may have reached the vendor, and it cannot be known: look it up first where the vendor
    allows, else say "possibly a repeat". `broadcast`: also for those who do not read replies.
    `reopen`: a person closed the ticket, and people are needed anew. At a target
    without threads the title begins with node and incident already. `link` belongs to `ref`.
    """

    delivery: int
    identity: str = ""
    action: OrderAction
    key: str = ""
    ref: str = ""
    link: str = ""
    title: str = ""
    text: str = ""
    severity: Severity = "error"
    facts: FactsBlock = FactsBlock()
    fields: dict[str, str] = {}
    incident: str = ""
    node: str = ""
    cluster: str = ""
    broadcast: bool = False
    reopen: bool = False
    unsure: bool = False
    at: float = 0.0


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What the vendor answered. `ref` is what later orders need, `link` is for people (https or
    ""), `account` names the key that sent it without telling it (its last four characters or an
    account's name). `text` is what was sent, masked. `repeat`: it may be there twice.
    `note` is the vendor's own word where there is one worth reading."""

    target: str
    kind: str
    action: str
    ref: str = ""
    link: str = ""
    t: float = 0.0
    text: str = ""
    account: str = ""
    repeat: bool = False
    note: str = ""
