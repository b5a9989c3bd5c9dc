"""What the deliverer makes of an outbox and targets that behave, or do not: in virtual time."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from tests.core.notify.test_judging import at_work, over, wanting
from tests.fakes.fake_target import FakeTarget
from tests.notify.delivery_stage import DeliveryStage

from nvsx.core.errors import StoreBusy
from nvsx.core.masking import Masker
from nvsx.core.notify.message import Message
from nvsx.core.notify.outbox import TRY_LIMIT, Addressed, AddressedTarget, OutboxFilter
from nvsx.core.notify.target_port import DeliveryDelayed, DeliveryRefused
from nvsx.notify.pacing import OTHER_IS_TRIED, PAGE_IS_TRIED

DOWN = DeliveryDelayed("503 Service Unavailable")


# --- a try --------------------------------------------------------------------------------------


async def test_a_page_is_delivered_at_once_with_its_receipt() -> None:
    """Within the same second, as the page of the role that the incident has."""
    stage = DeliveryStage()
    stage.incidents["i-1"] = wanting()
    async with stage.delivering():
        await stage.say("gpu-1 fell off the bus", "page")
        await stage.until(1)
    row = await stage.row("oncall", "gpu-1 fell off the bus")
    assert (row.state, row.action, row.role, row.tries) == ("delivered", "open page", "people", 1)
    assert row.receipt is not None
    assert row.receipt.ref == "oncall-1"
    assert stage.targets["oncall"].times(stage.clock.now() - 1) == [0.0]


async def test_what_is_sent_is_on_disk_before_it_leaves() -> None:
    """The try is begun, and marked with what it opens: a kill at this moment leaves it known."""
    stage = DeliveryStage()
    stage.incidents["i-1"] = at_work()
    seen = []
    stage.targets["oncall"].on_send = lambda order: seen.append(stage.outbox._rows[order.delivery])
    async with stage.delivering():
        await stage.say("off the bus", "page")
        await stage.until(1)
    [row] = seen
    assert row.begun is not None
    assert (row.action, row.role) == ("open page", "watch")
    assert row.key == f"nvsx/{at_work().key}/watch"


async def test_each_try_is_judged_anew() -> None:
    """The pager is down while the incident ends: nobody is woken, a post says it instead."""
    stage = DeliveryStage()
    stage.incidents["i-1"] = at_work()
    stage.targets["oncall"].always = DOWN
    async with stage.delivering():
        await stage.say("off the bus", "page")
        await stage.until(100)
        stage.incidents["i-1"] = over()
        stage.targets["oncall"].always = None
        await stage.until(200)
    assert stage.targets["oncall"].took == []
    assert stage.targets["gpu-ops"].titles == ["off the bus"]
    assert (await stage.row("oncall", "off the bus")).state == "dropped"


async def test_a_target_that_is_no_longer_named_gives_up_loudly() -> None:
    """nvsx.yaml has lost it; the others go on."""
    stage = DeliveryStage()
    await stage.say("one", to="gpu-ops")
    await stage.say("two", "page")
    del stage.targets["gpu-ops"]
    stage.deliverer = stage.make_deliverer("first")
    async with stage.delivering():
        await stage.until(1)
    row = await stage.row("gpu-ops", "one")
    assert (row.state, row.reason) == ("given up", "nvsx.yaml has no target gpu-ops any more")
    assert stage.targets["oncall"].titles == ["two"]


async def test_what_a_vendor_refuses_is_given_up_with_its_words() -> None:
    """400 is not tried again, and what comes after it is sent."""
    stage = DeliveryStage()
    stage.targets["gpu-ops"].answers = [DeliveryRefused("400: no_text", "give it a text")]
    async with stage.delivering():
        await stage.say("one")
        await stage.until(1)
        await stage.say("two")
        await stage.until(2)
    row = await stage.row("gpu-ops", "one")
    assert (row.state, row.reason) == ("given up", "400: no_text; give it a text")
    assert stage.targets["gpu-ops"].titles == ["two"]


async def test_a_thread_that_is_gone_gets_a_new_one() -> None:
    """In the same try; later posts are replies in the new one."""
    stage = DeliveryStage()
    slack = stage.targets["gpu-ops"]
    async with stage.delivering():
        await stage.say("one")
        await stage.until(1)
        slack.answers = [DeliveryRefused("thread_not_found", gone=True)]
        await stage.say("two")
        await stage.until(2)
        await stage.say("three")
        await stage.until(3)
    assert [(order.title, order.ref) for _, order in slack.took] == [
        ("one", ""),
        ("two", ""),
        ("three", "gpu-ops-2"),
    ]


async def test_closing_what_is_gone_already_is_no_failure() -> None:
    """Somebody deleted the ticket: there is nothing to close, and nothing to be loud about."""
    stage = DeliveryStage()
    stage.incidents["i-1"] = at_work()
    async with stage.delivering():
        await stage.say("off the bus", "ticket")
        await stage.until(1)
        stage.incidents["i-1"] = over()
        stage.targets["tickets"].answers = [DeliveryRefused("404: no such issue", gone=True)]
        await stage.say("back", "resolve", closes="ticket", by="nvsx")
        await stage.until(2)
    row = await stage.row("tickets", "back")
    assert (row.state, row.reason) == ("dropped", "no ticket is open at tickets")


async def test_a_mistake_of_ours_is_put_off_and_holds_up_nobody() -> None:
    """An exception that no target should raise: unsure, tried again, other targets untouched."""
    stage = DeliveryStage()
    stage.targets["gpu-ops"].answers = [KeyError("ts")]
    async with stage.delivering():
        await stage.say("one")
        await stage.say("two", "page")
        await stage.until(30)
    assert stage.targets["oncall"].titles == ["two"]
    assert stage.targets["gpu-ops"].titles == ["one"]
    assert [order.unsure for _, order in stage.targets["gpu-ops"].asked] == [False, True]


# --- tries that fail ------------------------------------------------------------------------------


async def test_retry_after_is_obeyed_by_the_whole_target() -> None:
    """429 with 30 seconds: nothing is sent there before, also nothing new; other targets are."""
    stage = DeliveryStage()
    start = stage.clock.now()
    stage.targets["gpu-ops"].answers = [DeliveryDelayed("429", after=30.0)]
    async with stage.delivering():
        await stage.say("one", incident="i-1")
        await stage.until(10)
        await stage.say("two", incident="i-2")
        await stage.say("page", "page", incident="i-2")
        await stage.until(60)
    asked = [at - start for at, _ in stage.targets["gpu-ops"].asked]
    assert asked[0] == 0.0
    assert asked[1] >= 30.0
    assert stage.targets["gpu-ops"].titles == ["one", "two"]
    assert stage.targets["oncall"].times(start) == [10.0]


async def test_an_older_word_is_never_read_after_a_newer_one() -> None:
    """What was put off is taken along by what comes after it: one post with both."""
    stage = DeliveryStage()
    slack = stage.targets["gpu-ops"]
    slack.always = DOWN
    async with stage.delivering():
        await stage.say("drain began")
        await stage.until(600)
        slack.always = None
        await stage.say("drained")
        await stage.until(661)
    [(_, order)] = stage.targets["gpu-ops"].took
    assert order.title == "drained"
    assert order.text.index("drain began") < order.text.index("drained")
    assert (await stage.row("gpu-ops", "drained")).merged_into == 1


async def test_a_target_that_is_back_is_told_all_that_waits() -> None:
    """Nothing waits for its own back-off of minutes once the target has taken one."""
    stage = DeliveryStage()
    slack = stage.targets["gpu-ops"]
    slack.always = DOWN
    async with stage.delivering():
        for number in range(20):
            await stage.say(f"post {number}", incident=f"i-{number}")
        await stage.until(3600)
        slack.always = None
        await stage.until(3600 + 61 + 2)
    assert sorted(slack.titles) == sorted(f"post {n}" for n in range(20))


@pytest.mark.parametrize(
    ("kind", "target", "limit"),
    [("page", "oncall", PAGE_IS_TRIED), ("post", "gpu-ops", OTHER_IS_TRIED)],
)
async def test_what_is_tried_for_long_enough_is_given_up(
    kind: str, target: str, limit: float
) -> None:
    """Up to the limit it waits, after it there is a reason in sight of everybody."""
    stage = DeliveryStage()
    stage.targets[target].always = DOWN
    async with stage.delivering():
        await stage.say("one", kind, to=target)  # type: ignore[arg-type]
        await stage.until(limit - 1)
        before = await stage.row(target, "one")
        await stage.until(limit + 600)
        after = await stage.row(target, "one")
    assert before.state == "waiting"
    assert before.reason == "503 Service Unavailable"
    assert after.state == "given up"
    assert after.reason == f"tried {before.tries + 1} times: 503 Service Unavailable"


async def test_a_page_that_fails_is_tried_each_minute() -> None:
    """Not less often: somebody's sleep, or a node, waits for it."""
    stage = DeliveryStage()
    stage.targets["oncall"].always = DOWN
    async with stage.delivering():
        await stage.say("off the bus", "page")
        await stage.until(3600)
    times = [at for at, _ in stage.targets["oncall"].asked]
    pauses = [b - a for a, b in itertools.pairwise(times)]
    assert max(pauses) <= 60.0
    assert 60 <= len(times) <= 130


async def test_a_post_that_may_have_arrived_is_unsure_from_then_on() -> None:
    """A 503 after a lost answer tells nothing about the first."""
    stage = DeliveryStage()
    stage.targets["gpu-ops"].answers = [DeliveryDelayed("reset", unsure=True), DOWN]
    async with stage.delivering():
        await stage.say("one")
        await stage.until(30)
    assert [order.unsure for _, order in stage.targets["gpu-ops"].asked] == [False, True, True]


async def test_a_target_that_hangs_is_cut() -> None:
    """It may have taken it: unsure, and tried again before anybody takes the try for dead."""
    stage = DeliveryStage()
    stage.targets["oncall"].takes = 1e6
    async with stage.delivering():
        await stage.say("off the bus", "page")
        await stage.until(TRY_LIMIT)
        row = await stage.row("oncall", "off the bus")
    assert (row.tries, row.unsure) == (1, True)
    assert row.reason == "oncall: no answer within 100 s"


# --- the fallback ---------------------------------------------------------------------------------


async def test_the_fallback_is_told_when_no_page_came_through_for_two_minutes() -> None:
    """Not a moment earlier."""
    stage = DeliveryStage()
    start = stage.clock.now()
    stage.targets["oncall"].always = DOWN
    async with stage.delivering():
        await stage.say("off the bus", "page")
        await stage.until(130)
    assert stage.targets["dc-hands"].times(start) == [120.0]


async def test_the_fallback_is_not_told_of_a_page_that_came_through() -> None:
    """Also of one that needed a hundred seconds."""
    stage = DeliveryStage()
    stage.targets["oncall"].always = DOWN
    async with stage.delivering():
        await stage.say("off the bus", "page")
        await stage.until(60)
        stage.targets["oncall"].always = None
        await stage.until(200)
    assert stage.targets["dc-hands"].asked == []
    assert (await stage.row("dc-hands", "off the bus")).reason == "a page of the list was delivered"


async def test_a_page_after_a_delivered_one_does_not_wake_the_fallback_early() -> None:
    """The fallback of a second page waits for its own two minutes."""
    stage = DeliveryStage()
    start = stage.clock.now()
    stage.incidents["i-1"] = at_work()
    async with stage.delivering():
        stage.targets["oncall"].always = DOWN
        await stage.say("one", "page")
        await stage.until(60)
        await stage.say("two", "page")
        await stage.until(121)
    assert [(at - start, o.title) for at, o in stage.targets["dc-hands"].took] == [(120.0, "one")]


# --- rates and order ------------------------------------------------------------------------------


async def test_a_rate_is_kept_also_by_many_words_of_one_incident() -> None:
    """60 a minute, burst 3: three at once and one each second, whatever they are about."""
    stage = DeliveryStage(per_minute=60.0, burst=3)
    start = stage.clock.now()
    pager = stage.targets["oncall"]
    stage.incidents["i-1"] = at_work()
    async with stage.delivering():
        for number in range(8):
            await stage.say(f"page {number}", "page", incident=f"i-{number // 2}", to="oncall")
        await stage.until(60)
    times = pager.times(start)
    for at in range(10):
        assert sum(at <= t < at + 1 for t in times) <= (3 if at == 0 else 1)


async def test_a_page_does_not_wait_for_posts() -> None:
    """At a target that takes both, a page that comes late is sent next."""
    stage = DeliveryStage(per_minute=60.0, burst=1)
    start = stage.clock.now()
    stage.targets["audit"] = FakeTarget(stage.clock, "audit", "webhook", has_threads=False)
    stage.deliverer = stage.make_deliverer("first")
    async with stage.delivering():
        await _tell(stage, "audit", 40, "post")
        await stage.until(10.5)
        await _tell(stage, "audit", 1, "page")
        await stage.until(60)
    order = [o.title for _, o in stage.targets["audit"].took]
    page = next(n for n, title in enumerate(order) if "page" in title)
    assert stage.targets["audit"].times(start)[page] <= 12.0
    assert len(order) == 41


async def _tell(stage: DeliveryStage, target: str, count: int, kind: str) -> None:
    known = len(await stage.outbox.deliveries(OutboxFilter(limit=None)))
    await stage.outbox.accept(
        [
            Addressed(
                message=Message(
                    call=f"x/{kind}/{known + n}",
                    kind=kind,  # type: ignore[arg-type]
                    title=f"{kind} {n}",
                    incident=f"x-{known + n}",
                    asked=stage.clock.now(),
                ),
                targets=(AddressedTarget(name=target, kind="webhook"),),
            )
            for n in range(count)
        ],
        stage.clock.now(),
    )
    stage.wake()


async def test_a_burst_of_a_thousand_is_delivered_within_the_rate_and_nothing_is_lost() -> None:
    """1,000 messages of 250 incidents: what waits for one incident is one post, a second apart."""
    stage = DeliveryStage(per_minute=60.0, burst=3)
    slack = stage.targets["gpu-ops"]
    async with stage.delivering():
        for number in range(1000):
            await stage.say(f"word {number}", incident=f"i-{number % 250}")
        await stage.until(400)
    assert {state for _, _, state in await stage.rows()} == {"delivered"}
    assert 250 <= len(slack.took) <= 260
    times = slack.times(stage.clock.now())
    assert all(b - a >= 0.99 for a, b in itertools.pairwise(times[3:]))
    words = " ".join(f"{o.title} {o.text} " for _, o in slack.took)
    assert all(f"word {number} " in words.replace("\n", " ") for number in range(1000))


async def test_one_target_that_is_down_keeps_nobody_waiting() -> None:
    """Three hundred posts wait for Slack; a ticket asked for after them is opened at once."""
    stage = DeliveryStage()
    stage.targets["gpu-ops"].always = DOWN
    async with stage.delivering():
        for number in range(300):
            await stage.say(f"post {number}", incident=f"i-{number}")
        await stage.until(20)
        await stage.say("off the bus", "ticket")
        await stage.until(21)
    assert stage.targets["tickets"].titles == ["off the bus"]


async def test_a_digest_is_one_post_over_many_incidents() -> None:
    """125 quarantines of the first day; nobody's thread is in the way."""
    stage = DeliveryStage()
    async with stage.delivering():
        for number in range(125):
            await stage.say(
                f"n-{number}: quarantined",
                incident=f"i-{number}",
                by="nvsx",
                late=True,
                digest="adopted/c-1",
            )
        await stage.until(60)
    [(_, order)] = stage.targets["gpu-ops"].took
    first, last = "125 incidents were open already when nvsx first looked here", "nobody is paged"
    assert order.title == f"{first}; {last}"
    assert {state for _, _, state in await stage.rows()} == {"delivered"}


async def test_tests_have_nothing_in_common() -> None:
    """Two people test a target in the same second: two messages."""
    stage = DeliveryStage()
    await stage.say("one", incident="", by="test", to="gpu-ops")
    await stage.say("two", incident="", by="test", to="gpu-ops")
    async with stage.delivering():
        await stage.until(1)
    assert stage.targets["gpu-ops"].titles == ["[TEST] one", "[TEST] two"]


# --- kills, ends and other processes --------------------------------------------------------------


async def test_a_try_that_was_cut_is_unsure_for_the_next_owner() -> None:
    """Killed while the pager thinks: the next owner tries it again, as what it was."""
    stage = DeliveryStage()
    stage.incidents["i-1"] = at_work()
    stage.targets["oncall"].takes = 5.0
    async with stage.delivering():
        await stage.say("off the bus", "page")
        await stage.until(2)
    stage.outbox.dead.add("first")
    stage.incidents["i-1"] = wanting()
    stage.deliverer = stage.make_deliverer("second")
    async with stage.delivering():
        await stage.until(10)
    [(_, first), (_, second)] = stage.targets["oncall"].asked
    assert (first.unsure, second.unsure) == (False, True)
    assert second.key == first.key


async def test_tries_that_are_under_way_are_finished_at_a_clean_end() -> None:
    """Nothing is unsure because nvsx was restarted; nothing new is begun."""
    stage = DeliveryStage()
    slack = stage.targets["gpu-ops"]
    slack.takes = 2.0
    async with stage.delivering():
        await stage.say("one", incident="i-1")
        await stage.say("two", incident="i-2")
        await stage.until(1)
        await stage.deliverer.finish_tries(5.0)
        assert stage.clock.elapsed == 2.0
    assert slack.titles == ["one"]
    assert not (await stage.row("gpu-ops", "two")).unsure


async def test_a_clean_end_does_not_wait_for_a_target_that_hangs() -> None:
    """Five seconds, and the try is left as unsure."""
    stage = DeliveryStage()
    stage.targets["gpu-ops"].takes = 1000.0
    async with stage.delivering():
        await stage.say("one")
        await stage.until(1)
        await stage.deliverer.finish_tries(5.0)
        assert stage.clock.elapsed == 6.0
    assert (await stage.row("gpu-ops", "one")).unsure


async def test_two_processes_tell_each_thing_once() -> None:
    """A run by hand beside the daemon, on one store."""
    stage = DeliveryStage()
    second = stage.make_deliverer("second")
    other = asyncio.create_task(second.run())
    async with stage.delivering():
        for number in range(20):
            await stage.say(f"post {number}", incident=f"i-{number}")
        second.nudge()
        await stage.until(60)
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert sorted(stage.targets["gpu-ops"].titles) == sorted(f"post {n}" for n in range(20))


async def test_a_store_that_refuses_is_no_lost_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receipt cannot be written: it is tried again when the try is too old, as unsure."""
    stage = DeliveryStage()
    settle, refusals = stage.outbox.settle, [StoreBusy("disk full", "make room")]

    async def refuse_once(changes: object, at: float) -> object:
        if refusals:
            raise refusals.pop()
        return await settle(changes, at)  # type: ignore[arg-type]

    monkeypatch.setattr(stage.outbox, "settle", refuse_once)
    async with stage.delivering():
        await stage.say("one")
        await stage.until(TRY_LIMIT + 30)
    assert [order.unsure for _, order in stage.targets["gpu-ops"].asked] == [False, True]
    assert (await stage.row("gpu-ops", "one")).state == "delivered"


async def test_a_subject_that_cannot_be_read_leaves_nothing_begun() -> None:
    """Between the begin and the send the incident cannot be read: nothing was sent, and the next
    try knows that."""
    stage = DeliveryStage()
    ask, asked = stage.ask_subject, [0]

    async def fail_the_second(subject: str) -> object:
        asked[0] += 1
        if asked[0] == 2:
            raise StoreBusy("disk full", "make room")
        return await ask(subject)

    stage.ask_subject = fail_the_second  # type: ignore[method-assign, assignment]
    stage.deliverer = stage.make_deliverer("first")
    async with stage.delivering():
        await stage.say("one")
        await stage.until(10)
    assert [order.unsure for _, order in stage.targets["gpu-ops"].asked] == [False]


async def test_waiting_for_deliveries_ends_with_the_last_of_them() -> None:
    """A run by hand ends when all is told; a fallback that nobody needs is not waited for."""
    stage = DeliveryStage()
    stage.targets["oncall"].takes = 3.0
    async with stage.delivering():
        await stage.say("off the bus", "page")
        left = await stage.deliverer.until_delivered(["i-1"], 30.0)
        assert (list(left), stage.clock.elapsed) == ([], 3.0)


async def test_waiting_for_deliveries_ends_at_its_time_with_what_is_left() -> None:
    """Half a minute, not more."""
    stage = DeliveryStage()
    stage.targets["oncall"].always = DOWN
    async with stage.delivering():
        await stage.say("off the bus", "page")
        left = await stage.deliverer.until_delivered(["i-1"], 30.0)
        assert stage.clock.elapsed == 30.0
    assert [d.target for d in left] == ["oncall"]


# --- what stays inside ----------------------------------------------------------------------------


async def test_a_rehearsal_sends_nothing_and_shows_all() -> None:
    """The same judgement, the text as it would be sent, at no rate."""
    stage = DeliveryStage(per_minute=1.0, burst=1)
    stage.incidents["i-1"] = at_work()
    async with stage.delivering():
        await stage.say("off the bus", "page", rehearsal="sandbox")
        await stage.say("off the bus", "ticket", rehearsal="sandbox")
        await stage.say("post", rehearsal="sandbox")
        await stage.say("post", incident="i-2", rehearsal="sandbox")
        await stage.until(1)
    assert all(target.asked == [] for target in stage.targets.values())
    row = await stage.row("oncall", "off the bus")
    assert row.state == "would"
    assert row.receipt is not None
    assert row.receipt.text.startswith("[SANDBOX] off the bus")


async def test_everything_that_is_settled_or_put_off_is_heard() -> None:
    """Metrics and the deck live on it."""
    stage = DeliveryStage()
    stage.targets["gpu-ops"].answers = [DOWN]
    async with stage.delivering():
        await stage.say("one")
        await stage.until(10)
    assert [(d.state, d.tries) for d in stage.settled] == [("waiting", 1), ("delivered", 2)]


async def test_no_reason_tells_a_secret() -> None:
    """A vendor that quotes the key back."""
    stage = DeliveryStage()
    stage.targets["gpu-ops"].always = DeliveryDelayed("403 for xoxb-1234567890-abcdef")
    stage.deliverer._masker = Masker({"SLACK_TOKEN": "xoxb-1234567890-abcdef"})
    async with stage.delivering():
        await stage.say("one")
        await stage.until(1)
    assert "xoxb" not in (await stage.row("gpu-ops", "one")).reason
