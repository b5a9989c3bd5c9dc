"""An order made of messages: their words together, the facts as they are now, one identity."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from nvsx.core.notify.facts_block import make_facts
from nvsx.core.notify.judgement import Send, Would
from nvsx.core.notify.merging import merge_fields, merge_severity, merge_texts, merge_titles
from nvsx.core.notify.message import Message
from nvsx.core.notify.order import FactsLevel, Order, OrderAction
from nvsx.core.notify.outbox import Delivery, PageRole
from nvsx.core.notify.subject import Subject
from nvsx.core.notify.told_ledger import TargetLedger, ToldLedger

#: What each kind of target can do of its own. A pager has no posts, a chat wakes nobody.
TAKES: dict[str, frozenset[str]] = {
    "slack": frozenset({"post"}),
    "pagerduty": frozenset({"page"}),
    "opsgenie": frozenset({"page"}),
    "jira": frozenset({"ticket"}),
    "webhook": frozenset({"page", "post", "ticket"}),
    "apprise": frozenset({"page", "post"}),
}


class TargetTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge has to know of a target."""

    name: str
    kind: str
    facts: FactsLevel = "node"
    has_threads: bool = False

    def takes(self, what: str) -> bool:
        return what in TAKES.get(self.kind, frozenset())


class JudgeBench(NamedTuple):
    """One target and one subject at one moment, and what was told there."""

    about: Subject
    ledger: ToldLedger
    traits: TargetTraits
    now: float

    @property
    def here(self) -> TargetLedger:
        return self.ledger.at(self.traits.name)


def make_order(bench: JudgeBench, chosen: Sequence[Delivery], action: OrderAction) -> Order:
    """The order with the words of all, and the facts as they are now."""
    messages = [d.message for d in chosen]
    about, traits = bench.about, bench.traits
    first = chosen[0]
    node = about.node or messages[-1].node
    title = merge_titles(messages)
    if action == "post" and not traits.has_threads and about.subject:
        title = " ".join(part for part in (node, about.subject) if part) + f": {title}"
    return Order(
        delivery=first.number,
        identity=make_identity(first, about.key),
        action=action,
        title=title,
        text=merge_texts(messages),
        severity=merge_severity(messages),
        facts=make_facts(about, traits.facts, bench.now),
        fields=merge_fields(messages),
        incident=about.subject,
        node=node,
        cluster=about.cluster,
        broadcast=any(m.broadcast for m in messages),
        unsure=any(d.unsure for d in chosen),
        at=bench.now,
    )


def make_identity(delivery: Delivery, key: str) -> str:
    """The same for each try, another for each delivery in the world: calls of two stores may be
    alike, keys of incidents are not."""
    parts = (key, delivery.message.call, delivery.target, f"{delivery.number}")
    return "nvsx-" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def send_order(
    chosen: Sequence[Delivery],
    order: Order,
    role: PageRole = "",
    beside: tuple[Message, ...] = (),
) -> Send | Would:
    numbers = tuple(d.number for d in chosen)
    made = Would if chosen[0].message.is_would else Send
    return made(order=order, role=role, covers=numbers, beside=beside)
