"""What becomes of each message at its target, with a row on both sides of every limit."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.core.incident.timelines import NOON, Timeline, failed, quarantined, repaired

from nvsx.core.incident.incident_state import IncidentState
from nvsx.core.notify.judgement import (
    Done,
    Drop,
    GiveUp,
    Judgement,
    Send,
    Wait,
    Would,
    settle_sent,
    settle_unsent,
)
from nvsx.core.notify.judging import LATE_POSTS_HELD, LATE_POSTS_REST, LOOK_AGAIN, judge
from nvsx.core.notify.message import Message, MessageKind, Severity
from nvsx.core.notify.order import OrderAction, Receipt
from nvsx.core.notify.order_making import TargetTraits
from nvsx.core.notify.outbox import NOBODY, Delivery, PageRole
from nvsx.core.notify.subject import LONGEST_KEY, Subject, name_page, name_ticket
from nvsx.core.notify.told_ledger import PageAnswer, ToldLedger, fold_ledger, list_open_things

ONCALL = TargetTraits(name="oncall", kind="pagerduty")
GPU_OPS = TargetTraits(name="gpu-ops", kind="slack", has_threads=True)
HOOK_URL = TargetTraits(name="room", kind="slack")
TICKETS = TargetTraits(name="tickets", kind="jira")
AUDIT = TargetTraits(name="audit", kind="webhook")
NOW = NOON + 600


def at_work() -> IncidentState:
    """XID 79, quarantined at noon."""
    return quarantined().incident


def wanting() -> IncidentState:
    """The reboot timed out at 12:05: people are needed."""
    return quarantined().at(300, repairs=(failed("e1", "timeout"),)).incident


def over() -> IncidentState:
    """Recovered at 12:01:10."""
    return repaired().wait(120).incident


def removed() -> IncidentState:
    """The Node is gone, and nobody made another."""
    return quarantined().at(60, exists=False).wait(90000, every=3600).incident


def delivery(number: int, kind: MessageKind = "page", **more: Any) -> Delivery:
    """One that waits at its target since noon."""
    row: dict[str, Any] = {k: more.pop(k) for k in tuple(more) if k in Delivery.__struct_fields__}
    given: dict[str, Any] = {"call": f"c/{number}", "title": f"t{number}", "incident": "i-1"}
    message = Message(kind=kind, asked=NOON, node="gpu-1", **(given | more))
    defaults: dict[str, Any] = {"number": number, "target": "oncall", "kind": ""}
    return Delivery(message=message, **(defaults | row))


def told(
    number: int, action: OrderAction, role: PageRole = "", account: str = "a", **more: Any
) -> Delivery:
    """One that was delivered, at the second of its number."""
    kinds: dict[str, MessageKind] = {"page": "page", "ticket": "ticket", "post": "post"}
    kind = kinds[action.split()[-1]]
    receipt = Receipt(target="", kind="", action=action, ref=f"ref-{number}", account=account)
    given: dict[str, Any] = {"action": action, "role": role, "receipt": receipt, "key": "k"}
    if action == "post":
        given["key"] = ""
    return delivery(number, kind, state="delivered", settled=NOON + number, **(given | more))


def judged(
    incident: IncidentState | None,
    *waiting: Delivery,
    ledger: ToldLedger | None = None,
    traits: TargetTraits = ONCALL,
    now: float = NOW,
) -> tuple[Judgement, ...]:
    """One round."""
    about = Subject(subject="i-1" if incident else "", incident=incident, cluster="prod")
    return judge(waiting, about, ledger or ToldLedger(), traits, now)


def sent(*judgements: Judgement) -> Send:
    """The one thing that is to be sent."""
    [found] = [j for j in judgements if isinstance(j, Send)]
    return found


# --- pages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("incident", "role"), [(at_work, "watch"), (wanting, "people")])
def test_a_page_goes_to_the_role_that_the_incident_has_now(incident: Any, role: str) -> None:
    """Whatever it was when the hook asked; its key is the incident's."""
    state = incident()
    send = sent(*judged(state, delivery(1)))
    assert (send.order.action, send.role) == ("open page", role)
    assert send.order.key == f"nvsx/{state.key}/{role}"
    assert send.covers == (1,)


def test_an_open_page_gets_a_note_and_everybody_a_post() -> None:
    """By the key and reference of the page; the post's call is the page's, with its words."""
    ledger = fold_ledger([told(1, "open page", "watch", key="old-key", severity="critical")])
    send = sent(*judged(at_work(), delivery(2, severity="warning", text="more"), ledger=ledger))
    assert (send.order.action, send.order.key, send.order.ref) == ("note page", "old-key", "ref-1")
    [post] = send.beside
    assert (post.call, post.kind, post.broadcast, post.title, post.text) == (
        "c/2/note", "post", True, "t2", "more"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "severity"),
    [("warning", "critical", "critical"), ("critical", "warning", "critical")],
)
def test_severity_only_rises(first: Severity, second: Severity, severity: str) -> None:
    """A note of less leaves the page as it is."""
    ledger = fold_ledger([told(1, "open page", "watch", severity=first)])
    assert sent(*judged(at_work(), delivery(2, severity=second), ledger=ledger)).order.severity == (
        severity
    )


def test_people_open_a_page_beside_the_watch_page() -> None:
    """A pager is silent about an open key, so that another one has to wake."""
    ledger = fold_ledger([told(1, "open page", "watch")])
    send = sent(*judged(wanting(), delivery(2), ledger=ledger))
    assert (send.order.action, send.role) == ("open page", "people")


def test_who_was_called_already_is_not_woken_for_less() -> None:
    """With /people open and a repair at work again, a page is a note on /people."""
    ledger = fold_ledger([told(1, "open page", "people")])
    send = sent(*judged(at_work(), delivery(2), ledger=ledger))
    assert (send.order.action, send.role) == ("note page", "people")


def test_pages_that_wait_together_wake_once() -> None:
    """With all words in order and the highest severity."""
    send = sent(
        *judged(
            at_work(), delivery(1, severity="critical", text="x"), delivery(2, severity="error")
        )
    )
    assert (send.covers, send.order.delivery, send.order.severity) == ((1, 2), 1, "critical")
    assert (send.order.title, send.order.text) == ("t2", "12:00Z t1\n  x\n12:00Z t2")


def test_a_page_that_may_have_arrived_is_tried_again_as_what_it_was() -> None:
    """The try was cut while people were needed; the repair is at work again. What else waits comes
    after it, and is unsure under the same key."""
    cut = delivery(1, unsure=True, role="people", action="open page", key="old-key")
    ledger = fold_ledger([cut])
    send = sent(*judged(at_work(), cut, delivery(2), ledger=ledger))
    assert (send.role, send.order.action, send.order.key) == ("people", "open page", "old-key")
    assert (send.covers, send.order.unsure) == ((1,), True)
    other = sent(*judged(wanting(), delivery(2), ledger=ledger)).order
    assert (other.action, other.key, other.unsure) == ("open page", "old-key", True)


@pytest.mark.parametrize(("at", "action"), [(0.9, "note page"), (1.0, "open page")])
def test_a_page_that_was_closed_at_the_pager_is_opened_again(at: float, action: str) -> None:
    """An answer of before it was opened is about an earlier one."""
    answer = PageAnswer(target="oncall", role="watch", at=NOON + at)
    ledger = fold_ledger([told(1, "open page", "watch", key="old-key")], (), [answer])
    order = sent(*judged(at_work(), delivery(2), ledger=ledger)).order
    assert (order.action, order.key) == (action, "old-key")


def test_a_page_of_an_incident_that_is_over_is_a_post_instead() -> None:
    """Dropped at the pager; a chat gets it as a post in the thread, and nobody is woken."""
    [drop] = judged(over(), delivery(1, text="x", to="oncall"))
    assert isinstance(drop, Drop)
    [post] = drop.instead
    assert (post.call, post.kind, post.to, post.text) == (
        "c/1/instead",
        "post",
        "",
        "x\n(page of 12:00Z: what it called for was over before it could be delivered)",
    )
    order = sent(*judged(over(), delivery(1), traits=GPU_OPS)).order
    assert (order.action, order.text) == (
        "post", "(page of 12:00Z: what it called for was over before it could be delivered)"
    )  # fmt: skip


def test_what_a_post_has_said_already_is_not_said_instead() -> None:
    """The hook posted under the same title."""
    ledger = fold_ledger([told(1, "post", target="gpu-ops", title="t2")])
    [drop] = judged(over(), delivery(2), ledger=ledger)
    assert isinstance(drop, Drop)
    assert drop.instead == ()


def test_what_a_person_asks_for_now_is_never_overtaken() -> None:
    """`nvsx notify page --incident I` on one that is over is what they want."""
    assert sent(*judged(over(), delivery(1, by="person"))).order.action == "open page"


@pytest.mark.parametrize(
    ("by", "incident", "sends"),
    [("nvsx", wanting, True), ("nvsx", at_work, False), ("hook", at_work, True)],
)
def test_nvsx_wakes_for_people_only_while_they_are_needed(
    by: Any, incident: Any, *, sends: bool
) -> None:
    """A hook's page stands for what its team wants; nvsx's own for that need alone."""
    [found] = judged(incident(), delivery(1, by=by))
    assert isinstance(found, Send if sends else Drop)


# --- fallback and nobody ----------------------------------------------------------------------


def test_a_fallback_is_dropped_when_the_list_was_told() -> None:
    """Of the same call; a page of another call says nothing of this one."""
    fallback = delivery(2, target="dc-hands", fallback=True, call="c/1")
    ledger = fold_ledger([told(1, "open page", "watch")])
    traits = TargetTraits(name="dc-hands", kind="pagerduty")
    [drop] = judged(at_work(), fallback, ledger=ledger, traits=traits)
    assert isinstance(drop, Drop)
    other = delivery(3, target="dc-hands", fallback=True)
    assert sent(*judged(at_work(), other, ledger=ledger, traits=traits)).covers == (3,)


def test_a_fallback_that_was_told_does_not_hold_back_the_others() -> None:
    """Only a target of the list counts as the list."""
    ledger = fold_ledger([told(1, "open page", "watch", target="dc-hands", fallback=True)])
    second = delivery(2, target="lab", fallback=True, call="c/1")
    traits = TargetTraits(name="lab", kind="pagerduty")
    assert sent(*judged(at_work(), second, ledger=ledger, traits=traits)).covers == (2,)


def test_what_nobody_takes_ends_in_sight() -> None:
    """A hook's is given up with what to do; nvsx's own is dropped."""
    traits = TargetTraits(name=NOBODY, kind="")
    asked, own = delivery(1, target=NOBODY), delivery(2, "post", target=NOBODY, by="nvsx")
    found = judged(at_work(), asked, own, traits=traits)
    assert [type(j) for j in found] == [GiveUp, Drop]


@pytest.mark.parametrize(
    ("kind", "traits", "outcome"),
    [
        ("page", GPU_OPS, "post"),
        ("page", TICKETS, "open ticket"),
        ("page", AUDIT, "open page"),
        ("ticket", GPU_OPS, "post"),
        ("ticket", ONCALL, GiveUp),
        ("ticket", AUDIT, "open ticket"),
        ("post", TICKETS, "open ticket"),
        ("post", ONCALL, GiveUp),
        ("post", AUDIT, "post"),
    ],
)
def test_each_kind_of_target_does_what_is_nearest(
    kind: MessageKind, traits: TargetTraits, outcome: Any
) -> None:
    """A chat has no pages, a pager no posts: what cannot be done is given up in sight."""
    [found] = judged(at_work(), delivery(1, kind), traits=traits)
    if isinstance(outcome, str):
        assert sent(found).order.action == outcome
    else:
        assert isinstance(found, outcome)


def test_a_post_to_a_pager_is_a_note_on_what_is_open() -> None:
    """It wakes nobody, and makes no further post."""
    ledger = fold_ledger([told(1, "open page", "watch", severity="error")])
    send = sent(*judged(at_work(), delivery(2, "post", severity="critical"), ledger=ledger))
    assert (send.order.action, send.order.severity, send.beside) == ("note page", "error", ())


# --- tickets ----------------------------------------------------------------------------------


def test_a_ticket_is_opened_once_and_commented_then() -> None:
    """Under the incident's label; comments go to what was opened."""
    state = at_work()
    first = sent(*judged(state, delivery(1, "ticket", fields={"a": "1"}), traits=TICKETS)).order
    assert (first.action, first.key, first.fields) == (
        "open ticket", f"nvsx-{state.key}", {"a": "1"}
    )  # fmt: skip
    ledger = fold_ledger([told(1, "open ticket", target="tickets")])
    second = sent(*judged(state, delivery(2, "ticket"), traits=TICKETS, ledger=ledger)).order
    assert (second.action, second.ref, second.key) == ("comment ticket", "ref-1", "k")


@pytest.mark.parametrize(
    ("said", "incident", "reopen"),
    [(299, wanting, True), (300, wanting, False), (299, at_work, False)],
)
def test_a_ticket_is_reopened_for_a_new_need_of_people(
    said: int, incident: Any, *, reopen: bool
) -> None:
    """People are needed since 12:05; what was said on the ticket since then said so already."""
    ledger = fold_ledger([told(said, "open ticket", target="tickets")])
    order = sent(*judged(incident(), delivery(900, "ticket"), traits=TICKETS, ledger=ledger)).order
    assert order.reopen is reopen


def test_a_ticket_of_what_is_over_is_not_opened_but_posted() -> None:
    """One that is open is commented; one whose try was cut is looked up and told."""
    [drop] = judged(over(), delivery(1, "ticket"), traits=TICKETS)
    assert isinstance(drop, Drop)
    assert [m.kind for m in drop.instead] == ["post"]
    cut = judged(over(), delivery(1, "ticket", unsure=True), traits=TICKETS)
    assert (sent(*cut).order.action, sent(*cut).order.unsure) == ("open ticket", True)
    ledger = fold_ledger([told(1, "open ticket", target="tickets")])
    comment = judged(over(), delivery(2, "ticket"), traits=TICKETS, ledger=ledger)
    assert sent(*comment).order.action == "comment ticket"


def test_an_incident_that_continues_another_has_its_thread_and_ticket() -> None:
    """And none of its pages."""
    earlier = [
        told(1, "open ticket", target="tickets"),
        told(2, "post", target="gpu-ops"),
        told(3, "open page", "watch"),
    ]
    ledger = fold_ledger([], earlier)
    ticket = sent(*judged(at_work(), delivery(4, "ticket"), traits=TICKETS, ledger=ledger)).order
    post = sent(*judged(at_work(), delivery(5, "post"), traits=GPU_OPS, ledger=ledger)).order
    page = sent(*judged(at_work(), delivery(6), ledger=ledger)).order
    assert (ticket.action, ticket.ref) == ("comment ticket", "ref-1")
    assert (post.ref, page.action) == ("ref-2", "open page")


# --- posts ------------------------------------------------------------------------------------


def test_the_first_post_opens_the_thread_of_the_later_ones() -> None:
    """Only the first one has no reference; a reply is no thread."""
    first = told(1, "post", target="gpu-ops")
    reply = told(2, "post", target="gpu-ops", key="ref-1")
    assert sent(*judged(at_work(), delivery(1, "post"), traits=GPU_OPS)).order.ref == ""
    ledger = fold_ledger([first, reply])
    order = sent(*judged(at_work(), delivery(3, "post"), traits=GPU_OPS, ledger=ledger)).order
    assert order.ref == "ref-1"


def test_a_thread_that_is_gone_gets_a_new_one() -> None:
    """The vendor says so; what is posted then is the thread from there on."""
    ledger = fold_ledger([told(1, "post", target="gpu-ops")]).without_ref("gpu-ops", "ref-1")
    order = sent(*judged(at_work(), delivery(2, "post"), traits=GPU_OPS, ledger=ledger)).order
    assert order.ref == ""
    ledger = fold_ledger([told(1, "post", target="gpu-ops"), told(2, "post", target="gpu-ops")])
    assert ledger.at("gpu-ops").thread == "ref-2"


def test_without_threads_a_post_begins_with_node_and_incident() -> None:
    """With threads the title is the hook's."""
    assert sent(*judged(at_work(), delivery(1, "post"), traits=HOOK_URL)).order.title == (
        "gpu-1 i-1: t1"
    )
    assert sent(*judged(at_work(), delivery(1, "post"), traits=GPU_OPS)).order.title == "t1"


def test_overtaken_posts_are_one_message() -> None:
    """All words in order with their times, the newest title, the facts once and as of now."""
    posts = (
        delivery(1, "post", text="by node-drainer"),
        delivery(2, "post", title="t2", broadcast=True),
        delivery(3, "post", title="t3"),
    )
    send = sent(*judged(at_work(), *posts, traits=GPU_OPS))
    assert (send.covers, send.order.title, send.order.broadcast) == ((1, 2, 3), "t2", True)
    assert send.order.text == "12:00Z t1\n  by node-drainer\n12:00Z t2\n12:00Z t3"
    assert send.order.facts.as_of == NOW


@pytest.mark.parametrize(
    ("accepted", "now", "held"),
    [
        ((0, 10), 10 + LATE_POSTS_REST - 0.1, True),
        ((0, 10), 10 + LATE_POSTS_REST, False),
        ((0, LATE_POSTS_HELD - 1), LATE_POSTS_HELD - 0.1, True),
        ((0, LATE_POSTS_HELD - 1), LATE_POSTS_HELD, False),
    ],
)
def test_late_posts_are_held_until_all_are_there(
    accepted: tuple[float, float], now: float, *, held: bool
) -> None:
    """They rest a while after the last, and are not held for ever."""
    posts = [delivery(n, "post", late=True, accepted=NOON + at) for n, at in enumerate(accepted, 1)]
    found = judged(at_work(), *posts, traits=GPU_OPS, now=NOON + now)
    assert isinstance(found[0], Wait if held else Send)
    assert found[0].covers == (1, 2)


def test_news_takes_late_posts_along() -> None:
    """What is new is not held back by what is old."""
    posts = (delivery(1, "post", late=True, accepted=NOW), delivery(2, "post", accepted=NOW))
    assert sent(*judged(at_work(), *posts, traits=GPU_OPS)).covers == (1, 2)


def test_a_wanted_target_that_does_not_exist_is_named() -> None:
    """In the text of what goes to the default."""
    order = sent(*judged(at_work(), delivery(1, text="x", wanted="gpuops"))).order
    assert order.text == 'x\n(asked for target "gpuops", which nvsx.yaml does not have)'


# --- the end ----------------------------------------------------------------------------------


def closing(number: int, closes: str, **more: Any) -> Delivery:
    """nvsx's resolve of one page or of the ticket."""
    given: dict[str, Any] = {"by": "nvsx", "closes": closes}
    return delivery(number, "resolve", **(given | more))


@pytest.mark.parametrize(("role", "other"), [("watch", "people"), ("people", "watch")])
def test_each_resolve_closes_its_page_by_the_key_that_opened_it(
    role: PageRole, other: PageRole
) -> None:
    """The incident may have another key by now."""
    ledger = fold_ledger([told(1, "open page", role, key="old-key")])
    send = sent(*judged(over(), closing(2, role), ledger=ledger))
    assert (send.order.action, send.order.key, send.order.ref) == ("close page", "old-key", "ref-1")
    [drop] = judged(over(), closing(2, other), ledger=ledger)
    assert isinstance(drop, Drop)


def test_nothing_is_closed_before_the_end() -> None:
    """A person may; nvsx does not."""
    ledger = fold_ledger([told(1, "open page", "watch")])
    [drop] = judged(at_work(), closing(2, "watch"), ledger=ledger)
    assert isinstance(drop, Drop)
    by_hand = judged(at_work(), closing(2, "watch", by="person"), ledger=ledger)
    assert sent(*by_hand).order.action == "close page"


def test_a_hooks_resolve_is_a_claim_withdrawn() -> None:
    """Nothing is sent; with words of its own they are posted."""
    [done] = judged(over(), delivery(1, "resolve"))
    assert isinstance(done, Done)
    [change] = settle_unsent(done)
    assert (change.state, change.reason) == (
        "delivered", "claim withdrawn; nvsx closes when it is over"
    )  # fmt: skip
    words = judged(over(), delivery(1, "resolve", title="", text="jobs run\nagain"), traits=GPU_OPS)
    assert (sent(*words).order.action, sent(*words).order.title, sent(*words).order.text) == (
        "post", "jobs run", "again"
    )  # fmt: skip


def test_what_a_cut_try_may_have_opened_is_closed_too() -> None:
    """The pager passes over a resolve of what it has not; a page that was surely not sent has
    nothing to close."""
    for unsure, outcome in ((True, Send), (False, Drop)):
        page = delivery(1, state="dropped", unsure=unsure)
        [found] = judged(over(), closing(2, "people"), ledger=fold_ledger([page]))
        assert isinstance(found, outcome)


def test_a_resolve_waits_for_a_page_that_is_being_sent() -> None:
    """Else the page would open after its end."""
    ledger = fold_ledger([delivery(1, begun=NOW - 1)])
    [wait] = judged(over(), closing(2, "watch"), ledger=ledger)
    assert isinstance(wait, Wait)
    assert wait.until == NOW + LOOK_AGAIN


def test_a_ticket_is_closed_at_the_end_but_of_a_node_that_was_removed() -> None:
    """Removed is not repaired: the ticket is told, and stays open."""
    ledger = fold_ledger([told(1, "open ticket", target="tickets")])
    for state, action in ((over(), "close ticket"), (removed(), "comment ticket")):
        assert state.ended is not None
        found = judged(state, closing(2, "ticket"), traits=TICKETS, ledger=ledger)
        assert sent(*found).order.action == action
    closed = fold_ledger([told(1, "open ticket"), told(2, "close ticket")])
    [drop] = judged(over(), closing(3, "ticket"), ledger=closed)
    assert isinstance(drop, Drop)


def test_pages_come_first_and_the_end_last() -> None:
    """One thing is sent a round; the rest is asked for again with the ledger as it is then."""
    waiting = (
        closing(1, "watch", by="person"),
        delivery(2, "post"),
        delivery(3, "ticket"),
        delivery(4, "page"),
    )
    left, order = list(waiting), []
    while left:
        found = judged(at_work(), *left, traits=AUDIT)
        order += [j.order.action for j in found if isinstance(j, Send)]
        covered = {n for j in found for n in j.covers}
        assert covered
        left = [d for d in left if d.number not in covered]
    assert order == ["open page", "open ticket", "post"]


# --- the ledger -------------------------------------------------------------------------------


def test_a_resolve_with_another_key_is_an_orphan() -> None:
    """Never "resolved": the page is still open, and listed."""
    ledger = fold_ledger(
        [told(1, "open page", "watch", "…a"), told(2, "close page", "watch", "…b")]
    )
    [thing] = list_open_things(ledger)
    assert (thing.target, thing.what, thing.account, thing.orphan) == (
        "oncall", "watch page", "…a", True
    )  # fmt: skip
    own = fold_ledger([told(1, "open page", "watch", "…a"), told(2, "close page", "watch", "…a")])
    assert list_open_things(own) == ()


def test_what_was_delivered_later_counts_later() -> None:
    """A page that waited for hours is newer than a close that was delivered before it."""
    late = told(1, "open page", "watch")
    late = replace(late, settled=NOON + 50)
    assert list_open_things(fold_ledger([late, told(2, "close page", "watch")])) != ()


# --- rehearsals, tests, keys ------------------------------------------------------------------


def test_a_rehearsal_is_shown_and_not_sent() -> None:
    """Marked; and with `live` it is sent, marked all the same."""
    [would] = judged(at_work(), delivery(1, rehearsal="drill"))
    assert isinstance(would, Would)
    assert would.order.title == "[DRILL] t1"
    live = judged(at_work(), delivery(1, rehearsal="drill", live=True))
    assert sent(*live).order.title == "[DRILL] t1"


def test_a_rehearsal_and_the_real_thing_are_never_one_message() -> None:
    """The other one comes in the next round."""
    [first] = judged(at_work(), delivery(1, rehearsal="drill"), delivery(2))
    assert first.covers == (1,)


def test_a_test_message_has_a_key_of_its_own() -> None:
    """It never opens an incident's page, and says that it is a test."""
    order = sent(*judged(None, delivery(1, by="test", incident="", call="test/7"))).order
    assert (order.key, order.title) == ("nvsx/test-test/7/watch", "[TEST] t1")


def test_the_facts_are_those_of_the_targets_level() -> None:
    """`none` has none."""
    silent = replace(ONCALL, facts="none")
    assert sent(*judged(at_work(), delivery(1), traits=silent)).order.facts.rows == ()
    facts = sent(*judged(at_work(), delivery(1))).order.facts
    assert facts.headline == "gpu-1: SysLogsXIDError 79 · repairing, nothing wanted of you now"


@pytest.mark.parametrize(("length", "hashed"), [(LONGEST_KEY - 11, False), (LONGEST_KEY, True)])
def test_a_key_that_is_too_long_is_hashed(length: int, *, hashed: bool) -> None:
    """PagerDuty takes 255 characters; the role stays readable."""
    key = name_page("k" * length, "watch")
    assert len(key) <= LONGEST_KEY
    assert ("kkk" in key) is not hashed
    assert key.endswith("/watch")
    assert len(name_ticket("k" * length)) <= LONGEST_KEY


def test_a_delivered_order_is_written_down_for_all_that_it_covers() -> None:
    """The first has the words, the others point to it; a post is kept with its thread."""
    send = sent(*judged(at_work(), delivery(1), delivery(2)))
    receipt = Receipt(target="oncall", kind="pagerduty", action="open page", ref="r")
    first, second = settle_sent(send, receipt)
    assert (first.state, first.role, first.key, first.tried, first.merged_into) == (
        "delivered", "watch", send.order.key, True, 0
    )  # fmt: skip
    assert (second.number, second.state, second.tried, second.merged_into) == (
        2, "delivered", False, 1
    )  # fmt: skip


def test_identities_differ_between_deliveries_and_not_between_tries() -> None:
    """Two stores may number alike; their incidents have other keys."""
    mine = sent(*judged(at_work(), delivery(1))).order.identity
    again = sent(*judged(at_work(), delivery(1, tries=3, unsure=True))).order.identity
    other = sent(*judged(Timeline().at(0).run_by_hand(1).incident, delivery(1))).order.identity
    assert mine == again
    assert mine != other
    assert mine != sent(*judged(at_work(), delivery(2))).order.identity


def test_a_reply_in_a_thread_does_not_repeat_what_the_thread_says() -> None:
    """Its headline is as of now; who reads it alone, since it is for everybody, has all rows."""
    ledger = fold_ledger([told(1, "post", target="gpu-ops")])
    quiet = delivery(2, "post", target="gpu-ops")
    loud = delivery(3, "post", target="gpu-ops", broadcast=True)
    reply, word = (
        sent(*judged(at_work(), one, ledger=ledger, traits=GPU_OPS)).order for one in (quiet, loud)
    )
    assert reply.ref == word.ref == "ref-1"
    assert reply.facts.headline
    assert reply.facts.rows == ()
    assert len(word.facts.rows) > 3
