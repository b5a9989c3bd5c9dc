"""Before each try: what becomes of a message now, at one target, for one incident or storm.

A message was true when it was asked for; by the time it can be sent the incident may be over, the
page open already, or three later posts waiting behind it. So each try is judged anew:

    03:02 page accepted, the pager is down · 03:05 the incident is over · 03:06 the pager is back:
          dropped, "over before it could be delivered"; a post says it instead
    03:02 page delivered: /watch is open · 03:10 the repair fails, people are needed: a page opens
          /people · 03:31 a second attempt fails: a note on /people, and a post for everybody
    03:40 the node is back: resolve closes both, by the key and account that opened them
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from nvsx.core.notify.facts_block import make_facts
from nvsx.core.notify.judgement import Done, Drop, GiveUp, Judgement, Send, Wait, Would
from nvsx.core.notify.merging import (
    merge_digest,
    merge_fields,
    merge_severity,
    merge_texts,
    merge_titles,
    tell_clock,
)
from nvsx.core.notify.message import Message
from nvsx.core.notify.order import FactsBlock, FactsLevel, Order, OrderAction
from nvsx.core.notify.outbox import NOBODY, TRY_LIMIT, Delivery, PageRole
from nvsx.core.notify.subject import Subject, name_page, name_ticket
from nvsx.core.notify.told_ledger import TargetLedger, ToldLedger, highest_severity

LATE_POSTS_REST = 15.0
"""Seconds. The hooks of stages that are over fire one after the other; their posts are one when no
further one came for so long."""
LATE_POSTS_HELD = 120.0
"""Seconds. A catching-up that takes longer is told in parts."""
LOOK_AGAIN = 5.0
"""Seconds. Somebody is sending a page at this moment: what closes it waits for how that ends."""

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


class _Bench(NamedTuple):
    """One target and one subject at one moment, and what was told there."""

    about: Subject
    ledger: ToldLedger
    traits: TargetTraits
    now: float

    @property
    def here(self) -> TargetLedger:
        return self.ledger.at(self.traits.name)


def judge(
    deliveries: Sequence[Delivery],
    about: Subject,
    ledger: ToldLedger,
    traits: TargetTraits,
    now: float,
) -> tuple[Judgement, ...]:
    """One round over what waits at one target for one subject, in the order of numbers.

    At most one of the judgements is to be sent. What none of them covers is asked for again once
    these are settled, with the ledger as it is then: what a page opens decides what the next does.
    """
    if deliveries and deliveries[0].message.digest:
        return tuple(_judge_digest(_Bench(about, ledger, traits, now), list(deliveries)))
    bench = _Bench(about, ledger, traits, now)
    said: list[Judgement] = []
    left: list[Delivery] = []
    for delivery in deliveries:
        formal = _judge_without_sending(bench, delivery)
        if formal is not None:
            said.append(formal)
        else:
            left.append(delivery)
    for wanted, decide in _STEPS:
        chosen = [d for d in left if _what_it_becomes(bench, d) == wanted]
        # A rehearsal is never in one message with the real thing.
        chosen = [d for d in chosen if d.message.is_would == chosen[0].message.is_would]
        if chosen:
            return (*said, *decide(bench, chosen))
    return tuple(said)


def _judge_without_sending(bench: _Bench, delivery: Delivery) -> Judgement | None:
    message, number = delivery.message, (delivery.number,)
    if message.kind == "resolve" and not message.closes and not message.text:
        return Done(covers=number, reason="claim withdrawn; nvsx closes when it is over")
    if delivery.target == NOBODY:
        if message.by == "nvsx":
            return Drop(covers=number, reason=f"no target takes a {message.kind}")
        return GiveUp(
            covers=number,
            reason=f"no target takes a {message.kind}: name one in nvsx.yaml under "
            f"notify.default.{message.kind}",
        )
    if delivery.fallback and message.call in bench.ledger.paged:
        return Drop(covers=number, reason="a page of the list was delivered")
    return None


def _what_it_becomes(bench: _Bench, delivery: Delivery) -> str:
    """What a message is at this target now. `over`: it was to wake somebody, and need not."""
    message, traits = delivery.message, bench.traits
    if message.kind == "resolve":
        return "close" if message.closes else _post_or_nearest(bench)
    asked_by_hand = message.by in ("person", "test")
    if message.kind == "page":
        if bench.about.is_over and not asked_by_hand:
            return "post" if traits.takes("post") else "over"
        for what in ("page", "post", "ticket"):
            if traits.takes(what):
                return what
    if message.kind == "ticket":
        known = bench.here.ticket is not None or delivery.unsure
        if bench.about.is_over and not known and not asked_by_hand:
            return "post" if traits.takes("post") else "over"
        return next((w for w in ("ticket", "post") if traits.takes(w)), "nothing")
    return _post_or_nearest(bench)


def _post_or_nearest(bench: _Bench) -> str:
    """A post where there are none goes to what is open there, silently."""
    if bench.traits.takes("post"):
        return "post"
    if bench.traits.takes("ticket") and bench.here.ticket is not None:
        return "ticket"
    return "note" if _find_open_page(bench) else "nothing"


def _find_open_page(bench: _Bench) -> PageRole | None:
    roles: tuple[PageRole, ...] = ("people", "watch")
    return next((role for role in roles if bench.here.open_page(role)), None)


# --- pages ------------------------------------------------------------------------------------


def _judge_pages(bench: _Bench, chosen: list[Delivery]) -> list[Judgement]:
    """One page for each role. While people are called, a page for less is a note on theirs."""
    role: PageRole = "people" if bench.about.needs_people else "watch"
    if role == "watch" and bench.here.open_page("people"):
        role = "people"
    page = bench.here.open_page(role)
    messages = [d.message for d in chosen]
    order = _make_order(bench, chosen, "note page" if page else "open page")
    if page is None:
        # Keyed as an earlier page of the role was: the pager shows it as the same trouble again.
        known = bench.here.pages.get(role)
        key = known.key if known is not None else _key_of_page(bench, messages[0], role)
        return [_order_sending(chosen, replace(order, key=key), role)]
    severity = highest_severity((page.severity, merge_severity(messages)))
    order = replace(order, key=page.key, ref=page.ref, link=page.link, severity=severity)
    return [_order_sending(chosen, order, role, _posts_beside(messages))]


def _key_of_page(bench: _Bench, message: Message, role: str) -> str:
    if message.by == "test":
        return name_page(f"test-{message.call}", role)
    return name_page(bench.about.key, role)


def _posts_beside(messages: Sequence[Message]) -> tuple[Message, ...]:
    """A pager is silent about a note, so that everybody reads it where posts are read. The call is
    that of the page: two pagers make one post of it."""
    return tuple(
        replace(m, call=f"{m.call}/note", kind="post", to="", wanted="", by="nvsx", broadcast=True)
        for m in messages
        if m.kind == "page" and m.by != "test"
    )


def _judge_over(bench: _Bench, chosen: list[Delivery]) -> list[Judgement]:
    """It ended before it could be delivered: nobody is woken, and a post says what there was."""
    return [
        Drop(
            covers=(d.number,),
            reason="the incident was over before it could be delivered; a post says it instead",
            instead=()
            if d.message.title in bench.ledger.titles
            else (
                replace(
                    d.message,
                    call=f"{d.message.call}/over",
                    kind="post",
                    to="",
                    wanted="",
                    by="nvsx",
                    text="\n".join(filter(None, (d.message.text, _tell_overtaken(d.message)))),
                ),
            ),
        )
        for d in chosen
    ]


def _tell_overtaken(message: Message) -> str:
    return (
        f"(a {message.kind} of {tell_clock(message.asked)}; it was over before it could be "
        "delivered)"
    )


def _judge_notes(bench: _Bench, chosen: list[Delivery]) -> list[Judgement]:
    """Posts for a pager that has the page open."""
    role = _find_open_page(bench)
    if role is None:
        return _judge_nothing(bench, chosen)
    page = bench.here.pages[role]
    order = _make_order(bench, chosen, "note page")
    order = replace(order, key=page.key, ref=page.ref, link=page.link, severity=page.severity)
    return [_order_sending(chosen, order, role)]


def _judge_nothing(bench: _Bench, chosen: list[Delivery]) -> list[Judgement]:
    name, kind = bench.traits.name, bench.traits.kind
    return [
        GiveUp(
            covers=(d.number,),
            reason=f"{name} is a {kind} target and takes no {d.message.kind}: name another",
        )
        for d in chosen
    ]


# --- tickets and posts ------------------------------------------------------------------------


def _judge_tickets(bench: _Bench, chosen: list[Delivery]) -> list[Judgement]:
    """Opened once; what comes later comments. A ticket that was closed is taken up again when
    people are needed anew, and not for every word."""
    ticket = bench.here.ticket
    if ticket is None:
        order = _make_order(bench, chosen, "open ticket")
        return [_order_sending(chosen, replace(order, key=name_ticket(bench.about.key)))]
    since = bench.about.people_since
    order = replace(
        _make_order(bench, chosen, "comment ticket"),
        key=ticket.key,
        ref=ticket.ref,
        link=ticket.link,
        reopen=bool(since) and ticket.said < since,
    )
    return [_order_sending(chosen, order)]


def _hold_late(bench: _Bench, chosen: list[Delivery]) -> list[Judgement]:
    """Posts about what is long over are held until the last of them is there, unless something
    new is to be said anyway."""
    if not all(d.message.late for d in chosen):
        return []
    newest = max(d.accepted for d in chosen)
    oldest = min(d.accepted for d in chosen)
    until = min(newest + LATE_POSTS_REST, oldest + LATE_POSTS_HELD)
    if bench.now >= until:
        return []
    numbers = tuple(d.number for d in chosen)
    return [Wait(covers=numbers, until=until, reason="held until all of it is there")]


def _judge_digest(bench: _Bench, chosen: list[Delivery]) -> list[Judgement]:
    """One post over several incidents, and in no thread of theirs."""
    nowhere = [d for d in chosen if d.target == NOBODY or not bench.traits.takes("post")]
    if nowhere:
        numbers = tuple(d.number for d in nowhere)
        return [Drop(covers=numbers, reason="no target takes a post")]
    held = _hold_late(bench, chosen)
    if held:
        return held
    title, text = merge_digest([d.message for d in chosen])
    first = chosen[0]
    order = Order(
        delivery=first.number,
        identity=make_identity(first, first.message.digest),
        action="post",
        title=title,
        text=text,
        severity="warning",
        facts=FactsBlock(as_of=bench.now),
        cluster=bench.about.cluster,
        broadcast=True,
        unsure=any(d.unsure for d in chosen),
        at=bench.now,
    )
    return [_order_sending(chosen, order)]


def _judge_posts(bench: _Bench, chosen: list[Delivery]) -> list[Judgement]:
    """All that waits is one message."""
    held = _hold_late(bench, chosen)
    if held:
        return held
    order = _make_order(bench, chosen, "post")
    overtaken = [d.message for d in chosen if d.message.kind == "page" and bench.about.is_over]
    if overtaken:
        words = [order.text, *(_tell_overtaken(m) for m in overtaken)]
        order = replace(order, text="\n".join(filter(None, words)))
    loud = any(d.message.broadcast or d.message.kind == "page" for d in chosen)
    thread = bench.here.thread if bench.traits.has_threads else ""
    link = bench.here.thread_link if thread else ""
    order = replace(order, ref=thread, link=link, broadcast=loud)
    return [_order_sending(chosen, order)]


# --- the end ----------------------------------------------------------------------------------


def _judge_closes(bench: _Bench, chosen: list[Delivery]) -> list[Judgement]:
    """The first of them: each closes one thing."""
    one = chosen[0]
    message = one.message
    if message.by == "nvsx" and not bench.about.is_over:
        return [Drop(covers=(one.number,), reason="the incident is not over")]
    trying = [n for n in bench.here.trying if n != one.number]
    if trying:
        until = bench.now + min(LOOK_AGAIN, TRY_LIMIT)
        return [Wait(covers=(one.number,), until=until, reason="a page is being sent just now")]
    if message.closes == "ticket":
        return [_close_ticket(bench, one)]
    return [_close_page(bench, one)]


def _close_page(bench: _Bench, one: Delivery) -> Judgement:
    role: PageRole = "people" if one.message.closes == "people" else "watch"
    page = bench.here.open_page(role)
    order = _make_order(bench, [one], "close page")
    if page is not None:
        order = replace(order, key=page.key, ref=page.ref, link=page.link)
        return _order_sending([one], order, role)
    if bench.here.maybe_paged and bench.traits.takes("page"):
        # A try of the page was cut: the pager may have it, and passes over what it has not.
        order = replace(order, key=_key_of_page(bench, one.message, role))
        return _order_sending([one], order, role)
    return Drop(covers=(one.number,), reason=f"no {role} page is open at {bench.traits.name}")


def _close_ticket(bench: _Bench, one: Delivery) -> Judgement:
    ticket = bench.here.ticket
    if ticket is None or not ticket.is_open:
        return Drop(covers=(one.number,), reason=f"no ticket is open at {bench.traits.name}")
    by_hand = one.message.by == "person"
    stays = bench.about.stays_open and not by_hand
    order = _make_order(bench, [one], "comment ticket" if stays else "close ticket")
    return _order_sending([one], replace(order, key=ticket.key, ref=ticket.ref, link=ticket.link))


# --- orders -----------------------------------------------------------------------------------


def _make_order(bench: _Bench, chosen: Sequence[Delivery], action: OrderAction) -> Order:
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


def _order_sending(
    chosen: Sequence[Delivery],
    order: Order,
    role: PageRole = "",
    beside: tuple[Message, ...] = (),
) -> Send | Would:
    numbers = tuple(d.number for d in chosen)
    made = Would if chosen[0].message.is_would else Send
    return made(order=order, role=role, covers=numbers, beside=beside)


_Decide = Callable[[_Bench, list[Delivery]], list[Judgement]]
#: In this order: who is woken is woken first, and what closes comes when all is said.
_STEPS: tuple[tuple[str, _Decide], ...] = (
    ("over", _judge_over),
    ("nothing", _judge_nothing),
    ("page", _judge_pages),
    ("note", _judge_notes),
    ("ticket", _judge_tickets),
    ("post", _judge_posts),
    ("close", _judge_closes),
)
