"""What people read and are woken by, from the fault to the end, at stand-ins for the vendors.

The first story is docs/what-people-read.md, word for word: `WRITE_DOCS=1` writes it anew.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import closing

import pytest
from tests.e2e.live import ROOT, Live, Nvsx, living, until
from tests.e2e.told import Told, make_equal, telling
from tests.patience import patience

from nvsx.core.notify.outbox import Delivery, OutboxFilter
from nvsx.store import open_store, outbox_of

pytestmark = [pytest.mark.kubectl, pytest.mark.slow, pytest.mark.timeout(300)]

PAGE = ROOT / "docs" / "what-people-read.md"
BEGIN, END = "<!-- generated: what people read -->", "<!-- end -->"
PLACES = {
    "oncall": "PagerDuty, the phone of whoever is on call",
    "gpu-ops": "Slack, one thread",
    "tickets": "Jira, one ticket",
}


@pytest.fixture
async def sandbox(tmp_path: object) -> AsyncIterator[Live]:
    """A sandbox that nvsx knows as one: nothing leaves but with --live-hooks."""
    async with living(tmp_path, as_sandbox=True, speed=4.0, timings={}) as made:  # type: ignore[arg-type]
        yield made


async def serve(live: Live, told: Told, *options: str) -> Nvsx:
    """A daemon that watches, with the targets' secrets."""
    words = ("serve", "--mode", "watch", "--port", "0", *options)
    daemon = await live.nvsx(*words, env=live.env(**told.env))
    await until(lambda: " ready" in daemon.err, "the daemon is ready")
    return daemon


async def deliveries(live: Live) -> list[Delivery]:
    """All that the outbox knows."""
    with closing(open_store(live.state)) as journal:
        return list(await outbox_of(journal).deliveries(OutboxFilter(limit=None)))


async def until_told_the_end(told: Told) -> None:
    """The ticket is closed and the end posted."""
    await until(lambda: any("→ Done" in t for t in told.jira.texts), "the ticket is closed")
    await until(lambda: any(" is back: " in t for t in told.slack.texts), "the end is posted")


def show_places(told: Told) -> str:
    """The page's generated part: what each place reads, in order."""
    lines: list[str] = []
    for name, place in PLACES.items():
        lines += [f"### {place}", "", "```text"]
        for text in told.read(name):
            where, _, words = text.partition("\n")
            if name == "oncall":
                lines.append(f"[{where}]")
            lines += [*words.splitlines(), ""]
        lines[-1] = "```"
        lines.append("")
    return "\n".join(lines).replace("[SANDBOX] ", "")


async def test_xid_79_is_read_as_the_page_says(sandbox: Live) -> None:
    """From the first word to the end: one phone call, one thread, one ticket; and well-formed."""
    async with telling(sandbox) as told:
        run = await sandbox.nvsx(
            "run", "gpu-off-bus", "--sandbox", "--live-hooks", env=sandbox.env(**told.env)
        )
        assert await run.end() == 0, run.err
        told.expect_well_formed()
        assert len(told.woken()) == 1
        ringing = [e["words"] for e in run.of("told", target="oncall", action="open page")]
        account = f"…{told.pager.key[-4:]}"
        said = 'told oncall (pagerduty): page opened: "XID 79: GPU fell off the bus"'
        assert [make_equal(w) for w in ringing] == [f"{said} · nvsx/inc-4f1b/watch · {account}"]
        assert run.finish["degraded"] is False
        kinds = [event["type"] for event in told.audit.events]
        assert (kinds.count("nvsx.page.opened"), kinds.count("nvsx.page.closed")) == (1, 1)
        shown = show_places(told)
        everything = "\n".join(text for v in told.vendors.values() for text in v.texts)
    assert everything.count("[SANDBOX] ") >= 8
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    written, _, tail = rest.partition(END)
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(f"{head}{BEGIN}\n\n{shown}\n{END}{tail}")
    else:
        assert _leave_out_what_varies(shown) == _leave_out_what_varies(written), (
            "WRITE_DOCS=1 writes the page anew"
        )


def _leave_out_what_varies(text: str) -> list[str]:
    """Rows that tell of the very moment: what NVSentinel's label says, what is awaited."""
    moment = ("NVSentinel:", "Awaited:", "Cause:", "Remedy:")
    return [x for x in text.strip().splitlines() if not x.lstrip("*").startswith(moment)]


async def test_a_failed_attempt_calls_people_and_the_second_ends_it(sandbox: Live) -> None:
    """Story 1: a watch page and a people page, "attempt 2 has begun", one ticket; all of it closed
    at the end and not before, with receipts."""
    async with telling(sandbox) as told:
        daemon = await serve(sandbox, told, "--live-hooks")
        await sandbox.sandbox.inject("xid-79", None, variant="reboot-timeout", people=False)
        await until(lambda: len(told.pager.woken) == 2, "people are called")
        assert len(told.pager.open_pages) == 2
        await sandbox.sandbox.inject("xid-79", None, variant="", people=False)
        await until_told_the_end(told)
        await until(lambda: not told.pager.open_pages, "both pages are closed")
        await daemon.kill(15)
        told.expect_well_formed()
        node = make_equal(sandbox.node)
        watch, people = told.woken()
        assert watch.startswith(f"[SANDBOX] XID 79: GPU fell off the bus · {node}: ")
        assert people == (
            "[SANDBOX] XID 79: GPU fell off the bus: remediate did not pass · "
            f"{node}: SysLogsXIDError 79 · needs people: "
            f"look at the console of {node} before another try"
        )
        assert any("attempt 2 to repair has begun" in text for text in told.slack.texts)
        assert len(told.jira.issues) == 1
        assert len({one.where for one in told.slack.read}) == 2  # the channel, and one thread
        rows = await deliveries(sandbox)
    sent = [d for d in rows if d.state == "delivered" and d.receipt and not d.merged_into]
    assert {d.target for d in sent} == {"gpu-ops", "oncall", "tickets", "audit"}
    assert all(d.receipt.ref or d.receipt.link for d in sent if d.receipt)
    assert [d for d in rows if d.is_open] == []


async def test_a_pager_that_is_down_until_after_the_end_wakes_nobody(sandbox: Live) -> None:
    """The page could not be delivered, the node is back: a post has said it, the ticket is closed,
    and the pager is silent when it returns."""
    async with telling(sandbox) as told:
        await told.pager.go_down()
        daemon = await serve(sandbox, told, "--live-hooks")
        await sandbox.sandbox.inject("xid-79", None, people=False)
        await until_told_the_end(told)
        failing = [d for d in await deliveries(sandbox) if d.target == "oncall"]
        assert {d.state for d in failing} <= {"waiting", "dropped"}
        assert "oncall" in daemon.err  # loud
        await told.pager.come_up()

        async with asyncio.timeout(patience(60)):
            while any(d.is_open for d in await deliveries(sandbox)):  # noqa: ASYNC110 - another process's
                await asyncio.sleep(0.1)
        await daemon.kill(15)
        assert told.pager.woken == []
        posts = [make_equal(text) for text in told.slack.texts]
    assert any("XID 79: GPU fell off the bus: quarantined" in text for text in posts)


async def test_without_live_hooks_nothing_leaves_the_sandbox(sandbox: Live) -> None:
    """The same messages, the same judgement, and not one request."""
    async with telling(sandbox) as told:
        run = await sandbox.nvsx("run", "gpu-off-bus", "--sandbox", env=sandbox.env(**told.env))
        assert await run.end() == 0, run.err
        assert [name for name, v in told.vendors.items() if v.requests] == []
        rows = await deliveries(sandbox)
    assert {d.state for d in rows if d.target} <= {"would", "dropped"}
    assert {d.target for d in rows if d.state == "would"} == {
        "gpu-ops",
        "oncall",
        "tickets",
        "audit",
    }
