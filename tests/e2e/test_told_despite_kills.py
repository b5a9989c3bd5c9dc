"""A hook's `nvsx notify` in a real run: the message is stored once, whatever is killed when."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.live import Live, until
from tests.fakes.vendors import PagerDutyStandIn

from nvsx.core.notify.outbox import Delivery, OutboxFilter
from nvsx.store import open_store, outbox_of

pytestmark = [pytest.mark.kubectl, pytest.mark.slow, pytest.mark.timeout(240)]

#: Pages, says that it has, and stays while the test holds it.
HOOK = """#!/usr/bin/env bash
say() { echo "$1 $NVSX_STAGE $NVSX_IDEMPOTENCY_KEY $NVSX_ATTEMPT $$" >>"$NVSX_PROJECT_ROOT/log"; }
say begin
while [ -e "$NVSX_PROJECT_ROOT/hold/before" ]; do sleep 0.02; done
nvsx notify page --severity critical --title "it is broken" && say told
while [ -e "$NVSX_PROJECT_ROOT/hold/after" ]; do sleep 0.02; done
nvsx notify post --title "the hook is at its end" && say end
"""


async def _stored(live: Live) -> Sequence[Delivery]:
    with closing(open_store(live.state)) as journal:
        return await outbox_of(journal).deliveries(OutboxFilter(limit=None))


def _spooled(live: Live) -> list[Path]:
    return [p for p in live.state.glob("spool/*/*-*.json") if not p.name.startswith(".")]


async def _expect_each_once(live: Live) -> None:
    """Two messages of one hook, each stored once, and nothing left in the spool."""
    rows = await _stored(live)
    assert [r.message.call.rpartition(".")[2] for r in rows] == ["hook/page/1", "hook/post/1"]
    assert {r.message.title for r in rows} == {"it is broken", "the hook is at its end"}
    assert not list(live.state.glob("spool/*"))


async def test_killed_with_the_call_on_disk_and_not_taken_in(live: Live) -> None:
    """nvsx stands still when the hook pages, and is killed: the call lies there (the point is hit),
    the hook is cut and runs again, and the page is stored once."""
    before, after = live.project.hold("before"), live.project.hold("after")
    run = await live.run(live.project.one_hook(HOOK))
    await until(lambda: live.project.log("begin"), "the hook begins")
    run.process.send_signal(signal.SIGSTOP)
    before.unlink()
    await until(lambda: live.project.log("told"), "the hook has paged")
    assert len(_spooled(live)) == 1
    assert not await _stored(live)
    await run.kill()
    again = await live.resume("t", run.run_id)
    await again.until("hook_begin", attempt=2)
    after.unlink()
    assert await again.end() == 0
    assert len(again.of("message_asked", kind="page")) == 1
    await _expect_each_once(live)


async def test_killed_after_the_call_was_taken_in(live: Live) -> None:
    """The page is stored and recorded (the point is hit), nvsx is killed, and the hook that runs
    again asks for the same page: it is known."""
    after = live.project.hold("after")
    run = await live.run(live.project.one_hook(HOOK))
    await run.until("message_asked", kind="page")
    await run.kill()
    again = await live.resume("t", run.run_id)
    await again.until("hook_begin", attempt=2)
    after.unlink()
    assert await again.end() == 0
    assert not again.of("message_asked", kind="page")
    await _expect_each_once(live)


async def test_a_hook_that_ends_without_nvsx_is_heard_by_the_next(live: Live) -> None:
    """nvsx is killed, the hook goes on, pages, posts and ends: the next one takes both in, and runs
    the hook no more."""
    before = live.project.hold("before")
    run = await live.run(live.project.one_hook(HOOK))
    await until(lambda: live.project.log("begin"), "the hook begins")
    await run.kill()
    before.unlink()
    await until(lambda: live.project.log("end"), "the hook ends by itself")
    assert len(_spooled(live)) == 2
    again = await live.resume("t", run.run_id)
    assert await again.end() == 0
    assert len(live.project.log("begin")) == 1
    await _expect_each_once(live)


async def test_what_a_killed_run_left_is_taken_in_by_whoever_comes(live: Live) -> None:
    """Nobody resumes the run: `nvsx notify list` finds its page, and shows it."""
    before = live.project.hold("before")
    run = await live.run(live.project.one_hook(HOOK))
    await until(lambda: live.project.log("begin"), "the hook begins")
    await run.kill()
    before.unlink()
    await until(lambda: live.project.log("end"), "the hook ends by itself")
    listed = await live.done("notify", "list")
    assert '"it is broken"' in listed.out
    assert [r.message.kind for r in await _stored(live)] == ["page", "post"]


async def test_a_hook_that_waits_is_answered(live: Live) -> None:
    """`--wait` returns once the pager has the page, and prints its reference."""
    book = live.project.one_hook("nvsx notify page --title x --wait=25")
    async with PagerDutyStandIn() as pager:
        where = {"PAGERDUTY_ROUTING_KEY": pager.key, "PAGERDUTY_EVENTS_URL": pager.events_url}
        run = await live.run(book, env=live.env(**where))
        assert await run.end() == 0
    assert [ring.text.partition(" · ")[0] for ring in pager.woken] == ["x"]
    assert [e["line"] for e in run.of("output", source="hook")] == [pager.pages[0].key], run.err
