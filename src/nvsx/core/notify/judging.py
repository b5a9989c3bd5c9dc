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

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from nvsx.core.notify.facts_block import make_reply_facts
from nvsx.core.notify.judgement import Done, Drop, GiveUp, Judgement, Wait
from nvsx.core.notify.merging import merge_digest, merge_severity, tell_minute
from nvsx.core.notify.message import Message
from nvsx.core.notify.order import FactsBlock, Order
from nvsx.core.notify.order_making import (
    JudgeBench,
    TargetTraits,
    make_identity,
    make_order,
    send_order,
)
from nvsx.core.notify.outbox import NOBODY, TRY_LIMIT, Delivery, PageRole
from nvsx.core.notify.subject import Subject, name_page, name_ticket
from nvsx.core.notify.told_ledger import ToldLedger, highest_severity

LATE_POSTS_REST = 15.0
"""Seconds. The hooks of stages that are over fire one after the other; their posts are one when no
further one came for so long."""
LATE_POSTS_HELD = 120.0
"""Seconds. A catching-up that takes longer is told in parts."""
LOOK_AGAIN = 5.0
"""Seconds. Somebody is sending a page at this moment: what closes it waits for how that ends."""


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
        return tuple(_judge_digest(JudgeBench(about, ledger, traits, now), list(deliveries)))
    bench = JudgeBench(about, ledger, traits, now)
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


def _judge_without_sending(bench: JudgeBench, delivery: Delivery) -> Judgement | None:
    message, number = delivery.message, (delivery.number,)
    if message.kind == "resolve" and not message.closes and not message.text:
        return Done(covers=number, reason="claim withdrawn; nvsx closes when it is over")
    if delivery.target == NOBODY:
        if message.is_would:
            reason = f"no target takes a {message.kind}, so nobody would be told"
            return Done(covers=number, reason=reason)
        if message.by == "nvsx" or message.closes:
            return Drop(covers=number, reason=f"no target takes a {message.kind}")
        return GiveUp(
            covers=number,
            reason=f"no target takes a {message.kind}: name one in nvsx.yaml under "
            f"notify.default.{message.kind}",
        )
    if delivery.fallback and message.call in bench.ledger.paged:
        return Drop(covers=number, reason="a page of the list was delivered")
    return None


def _what_it_becomes(bench: JudgeBench, delivery: Delivery) -> str:
    """What a message is at this target now. `overtaken`: a page that need wake nobody, a ticket
    that need not be opened, where no post can be made of them."""
    message, traits = delivery.message, bench.traits
    if message.kind == "resolve":
        return "close" if message.closes else _post_or_nearest(bench)
    if message.kind == "post":
        return _post_or_nearest(bench)
    if _is_overtaken(bench, delivery):
        return "post" if traits.takes("post") else "overtaken"
    preferred = ("page", "post", "ticket") if message.kind == "page" else ("ticket", "post")
    return next((what for what in preferred if traits.takes(what)), "nothing")


def _is_overtaken(bench: JudgeBench, delivery: Delivery) -> bool:
    """Whether what it calls for is over: the incident, or for nvsx's own page the need of people.

    12:25:30 nvsx pages, the pager is down · 12:26 NVSentinel's second attempt begins · 12:27 the
    pager is back: nobody is woken. What a person asks for at this moment is never overtaken.
    """
    message, about = delivery.message, bench.about
    if message.by in ("person", "test"):
        return False
    if message.kind == "ticket":
        # A cut try may have made one: it is looked up, and told how it ended.
        return about.is_over and bench.here.ticket is None and not delivery.unsure
    called = message.by == "nvsx" and about.storm is None and about.incident is not None
    return about.is_over or (called and not about.needs_people)


def _post_or_nearest(bench: JudgeBench) -> str:
    """A post where there are none goes on the ticket, or silently on the page that is open."""
    if bench.traits.takes("post"):
        return "post"
    if bench.traits.takes("ticket"):
        late = bench.about.is_over and bench.here.ticket is None
        return "nothing" if late else "ticket"
    return "note" if _find_open_page(bench) else "nothing"


def _find_open_page(bench: JudgeBench) -> PageRole | None:
    roles: tuple[PageRole, ...] = ("people", "watch")
    return next((role for role in roles if bench.here.open_page(role)), None)


# --- pages ------------------------------------------------------------------------------------


def _judge_pages(bench: JudgeBench, chosen: list[Delivery]) -> list[Judgement]:
    """One page for each role. While people are called, a page for less is a note on theirs. What
    may have arrived is tried again as what it was: the same key wakes nobody twice."""
    role: PageRole = "people" if bench.about.needs_people else "watch"
    if role == "watch" and bench.here.open_page("people"):
        role = "people"
    cut = [d for d in chosen if d.unsure and d.role]
    if cut:
        role = cut[0].role
        chosen = [d for d in cut if d.role == role]
    page = bench.here.open_page(role)
    messages = [d.message for d in chosen]
    order = make_order(bench, chosen, "note page" if page else "open page")
    if page is None:
        # Keyed as an earlier page of the role was: the pager shows it as the same trouble again.
        known, maybe = bench.here.pages.get(role), bench.here.maybe_paged
        key = known.key if known is not None else maybe.get(role, "")
        key = key or _key_of_page(bench, messages[0], role)
        unsure = order.unsure or role in maybe
        return [send_order(chosen, replace(order, key=key, unsure=unsure), role)]
    severity = highest_severity((page.severity, merge_severity(messages)))
    order = replace(order, key=page.key, ref=page.ref, link=page.link, severity=severity)
    return [send_order(chosen, order, role, _posts_beside(messages))]


def _key_of_page(bench: JudgeBench, message: Message, role: str) -> str:
    if message.by == "test":
        return name_page(f"test-{message.call}", role)
    return name_page(bench.about.key, role)


def _posts_beside(messages: Sequence[Message]) -> tuple[Message, ...]:
    """A pager is silent about a note, so that everybody reads it where posts are read; of a storm
    only who reads its thread. The call is that of the page: two pagers make one post of it."""
    return tuple(
        replace(
            m,
            call=f"{m.call}/note",
            kind="post",
            to="",
            wanted="",
            by="nvsx",
            broadcast=not m.storm,
        )
        for m in messages
        if m.kind == "page" and m.by != "test"
    )


def _judge_overtaken(bench: JudgeBench, chosen: list[Delivery]) -> list[Judgement]:
    """Nobody is woken, and a post says what there was, unless one has said it already."""
    judged: list[Judgement] = []
    for delivery in chosen:
        message = delivery.message
        instead: tuple[Message, ...] = ()
        if message.title not in bench.ledger.titles:
            instead = (_make_post_instead(message),)
        reason = "overtaken before it could be delivered; a post says it instead"
        judged.append(Drop(covers=(delivery.number,), reason=reason, instead=instead))
    return judged


def _make_post_instead(message: Message) -> Message:
    """Its call is that of the page, so that two pagers make one post of it."""
    return replace(
        message,
        call=f"{message.call}/instead",
        kind="post",
        to="",
        wanted="",
        by="nvsx",
        text="\n".join(filter(None, (message.text, _tell_overtaken(message)))),
    )


def _tell_overtaken(message: Message) -> str:
    return (
        f"({message.kind} of {tell_minute(message.asked)}: what it called for was over before it "
        "could be delivered)"
    )


def _judge_notes(bench: JudgeBench, chosen: list[Delivery]) -> list[Judgement]:
    """Posts for a pager that has the page open."""
    role = _find_open_page(bench)
    if role is None:
        return _judge_nothing(bench, chosen)
    page = bench.here.pages[role]
    order = make_order(bench, chosen, "note page")
    order = replace(order, key=page.key, ref=page.ref, link=page.link, severity=page.severity)
    return [send_order(chosen, order, role)]


def _judge_nothing(bench: JudgeBench, chosen: list[Delivery]) -> list[Judgement]:
    """What nvsx says is said where it can be; what somebody asked for is given up in sight."""
    name, kind = bench.traits.name, bench.traits.kind
    judged: list[Judgement] = []
    for delivery in chosen:
        message, number = delivery.message, (delivery.number,)
        if message.by == "nvsx" or bench.traits.takes("ticket"):
            judged.append(Drop(covers=number, reason=f"{name} has nothing open to say it on"))
        else:
            reason = f"{name} is a {kind} target and takes no {message.kind}: name another"
            judged.append(GiveUp(covers=number, reason=reason))
    return judged


# --- tickets and posts ------------------------------------------------------------------------


def _judge_tickets(bench: JudgeBench, chosen: list[Delivery]) -> list[Judgement]:
    """Opened once; what comes later comments. A ticket that was closed is taken up again when
    people are needed anew, and not for every word."""
    ticket = bench.here.ticket
    if ticket is None:
        order = make_order(bench, chosen, "open ticket")
        return [send_order(chosen, replace(order, key=name_ticket(bench.about.key)))]
    since = bench.about.people_since
    order = replace(
        make_order(bench, chosen, "comment ticket"),
        key=ticket.key,
        ref=ticket.ref,
        link=ticket.link,
        reopen=bool(since) and ticket.said < since,
    )
    return [send_order(chosen, order)]


def _hold_late(bench: JudgeBench, chosen: list[Delivery]) -> list[Judgement]:
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


def _judge_digest(bench: JudgeBench, chosen: list[Delivery]) -> list[Judgement]:
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
    return [send_order(chosen, order)]


def _judge_posts(bench: JudgeBench, chosen: list[Delivery]) -> list[Judgement]:
    """All that waits is one message."""
    held = _hold_late(bench, chosen)
    if held:
        return held
    order = make_order(bench, chosen, "post")
    overtaken = [
        d.message
        for d in chosen
        if d.message.kind in ("page", "ticket") and _is_overtaken(bench, d)
    ]
    if overtaken:
        words = [order.text, *(_tell_overtaken(m) for m in overtaken)]
        order = replace(order, text="\n".join(filter(None, words)))
    loud = any(d.message.broadcast or d.message.kind == "page" for d in chosen)
    thread = bench.here.thread if bench.traits.has_threads else ""
    link = bench.here.thread_link if thread else ""
    facts = order.facts if loud or not thread else make_reply_facts(order.facts)
    order = replace(order, ref=thread, link=link, broadcast=loud, facts=facts)
    return [send_order(chosen, order)]


# --- the end ----------------------------------------------------------------------------------


def _judge_closes(bench: JudgeBench, chosen: list[Delivery]) -> list[Judgement]:
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


def _close_page(bench: JudgeBench, one: Delivery) -> Judgement:
    role: PageRole = "people" if one.message.closes == "people" else "watch"
    page = bench.here.open_page(role)
    order = make_order(bench, [one], "close page")
    if page is not None:
        order = replace(order, key=page.key, ref=page.ref, link=page.link)
        return send_order([one], order, role)
    if role in bench.here.maybe_paged and role not in bench.here.pages:
        # A try of the page was cut: the pager may have it, and passes over what it has not.
        key = bench.here.maybe_paged[role] or _key_of_page(bench, one.message, role)
        order = replace(order, key=key)
        return send_order([one], order, role)
    return Drop(covers=(one.number,), reason=f"no {role} page is open at {bench.traits.name}")


def _close_ticket(bench: JudgeBench, one: Delivery) -> Judgement:
    ticket = bench.here.ticket
    if ticket is None or not ticket.is_open:
        return Drop(covers=(one.number,), reason=f"no ticket is open at {bench.traits.name}")
    by_hand = one.message.by == "person"
    stays = bench.about.stays_open and not by_hand
    order = make_order(bench, [one], "comment ticket" if stays else "close ticket")
    return send_order([one], replace(order, key=ticket.key, ref=ticket.ref, link=ticket.link))


_Decide = Callable[[JudgeBench, list[Delivery]], list[Judgement]]
#: In this order: who is woken is woken first, and what closes comes when all is said.
_STEPS: tuple[tuple[str, _Decide], ...] = (
    ("overtaken", _judge_overtaken),
    ("nothing", _judge_nothing),
    ("page", _judge_pages),
    ("note", _judge_notes),
    ("ticket", _judge_tickets),
    ("post", _judge_posts),
    ("close", _judge_closes),
)
