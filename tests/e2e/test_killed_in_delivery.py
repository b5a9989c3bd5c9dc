"""kill -9 between the moment a vendor is asked and the receipt: nothing is lost or said twice.

Each row proves that its point was hit."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest
from tests.e2e.live import Live, until
from tests.e2e.told import Told, telling
from tests.fakes.vendors import hangs, hangs_after_accept

from nvsx.core.notify.outbox import Delivery, OutboxFilter
from nvsx.store import open_store, outbox_of

pytestmark = [pytest.mark.kubectl, pytest.mark.slow, pytest.mark.timeout(300)]

HOOK = """
nvsx notify page --severity critical --title "it is broken"
nvsx notify post --title "it is broken, says a post"
nvsx notify ticket --title "it is broken"
"""


async def deliveries(live: Live) -> list[Delivery]:
    """All that the outbox knows."""
    with closing(open_store(live.state)) as journal:
        return list(await outbox_of(journal).deliveries(OutboxFilter(limit=None)))


def count_words(told: Told, name: str) -> int:
    """How often somebody is told "it is broken" at a target: pages that rang, posts, tickets, and
    events that a receiver takes for new."""
    match name:
        case "oncall":
            return len(told.pager.woken)
        case "tickets":
            return len(told.jira.issues)
        case "audit":
            return sum("it is broken, says a post" in str(event) for event in told.audit.events)
    return sum("it is broken" in text for text in told.slack.texts)


@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "not accepted"])
@pytest.mark.parametrize("name", ["oncall", "gpu-ops", "tickets", "audit"])
async def test_killed_while_a_vendor_is_asked(live: Live, name: str, accepted: bool) -> None:
    """The vendor has the request (and has taken it, or not) when nvsx is killed: the next nvsx of
    the state folder tells it, and nobody is told twice."""
    book = live.project.one_hook(HOOK)
    async with telling(live) as told:
        vendor = told.vendors[name]
        vendor.misbehave(hangs_after_accept() if accepted else hangs(), times=1)
        env = live.env(**told.env)
        run = await live.run(book, env=env)
        await until(lambda: vendor.requests and not vendor._misbehaving, "the vendor is asked")
        await run.until("stage_end", stage="preflight")
        await run.kill()
        begun = [d for d in await deliveries(live) if d.target == name and d.begun is not None]
        assert [d.unsure for d in begun] == [True] * len(begun)
        assert begun, "the kill came too late"
        again = await live.nvsx("run", book, "--resume", run.run_id, env=env)
        assert await again.end() == 0, again.err
        left = [d for d in await deliveries(live) if d.is_open]
        assert [(d.target, d.reason) for d in left] == []
        assert {n: count_words(told, n) for n in told.vendors} == dict.fromkeys(told.vendors, 1)
        told.expect_well_formed()


async def test_killed_at_any_moment(live: Live) -> None:
    """Six kills, a little later each time: every message of the run reaches its reader, once."""
    book = live.project.one_hook(HOOK)
    async with telling(live) as told:
        env = live.env(**told.env)
        run = await live.run(book, env=env)
        await run.until("hook_begin")
        for number in range(6):
            await asyncio.sleep(0.03 * number)
            if run.of("finish"):
                break  # what is left of it is delivered before it ends
            await run.kill()
            resumed = await live.nvsx("run", book, "--resume", run.events[0]["run_id"], env=env)
            await until(lambda r=resumed: r.events, "it is resumed")  # type: ignore[misc]
            run = resumed
        assert await run.end() == 0, run.err
        rows = await deliveries(live)
        assert {d.message.title for d in rows} == {"it is broken", "it is broken, says a post"}
        assert [d for d in rows if d.is_open] == []
        assert {n: count_words(told, n) for n in told.vendors} == dict.fromkeys(told.vendors, 1)
