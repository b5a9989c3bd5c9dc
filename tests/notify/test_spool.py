"""A run's spool from both sides: bytes a hook wrote become messages, once, whatever dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from tests.fakes.fake_outbox import FakeOutbox
from tests.patience import until

from nvsx.core.errors import StoreBusy
from nvsx.core.notify.message import Message
from nvsx.core.notify.order import Receipt
from nvsx.core.notify.outbox import (
    Addressed,
    AddressedTarget,
    Delivery,
    DeliveryChange,
    OutboxFilter,
)
from nvsx.core.notify.spool_format import CallReceipt, SpoolAbout
from nvsx.core.notify.spool_port import AskedMessage, MessageSink
from nvsx.follow.processes import notify_call
from nvsx.notify.spool import RunSpool, answer_settled, take_in_left_spools
from nvsx.store import open_store, outbox_of

KEY = "r-1.quarantine.hook"
ABOUT = SpoolAbout(owner="me", run="r-1", runbook="gpu-off-bus", incident="i-1", node="n1")
TARGETS = (AddressedTarget(name="oncall", kind="pagerduty"),)


def call(folder: Path, *words: str, start: int = 1, key: str = KEY, **more: str) -> int:
    """What a hook's `nvsx notify …` does, in this process."""
    environ = {
        "NVSX_NOTIFY_DIR": str(folder),
        "NVSX_IDEMPOTENCY_KEY": key,
        "NVSX_ATTEMPT": str(start),
        "NVSX_STAGE": "quarantine",
        "NVSX_RUNBOOK": "gpu-off-bus",
    }
    asked = notify_call.Asked(*notify_call.read_options(list(words)))
    return notify_call.store_call(asked, environ | more)


class Desk:
    """An owner: a spool, an outbox behind it, and what was recorded."""

    def __init__(self, folder: Path, outbox: FakeOutbox | None = None) -> None:
        self.folder = folder
        self.outbox = outbox or FakeOutbox()
        self.recorded: list[AskedMessage] = []
        self.spool = RunSpool(folder, self.sink, lambda text: text.replace("hunter22", "***"))

    async def sink(self, messages: Sequence[Message]) -> Sequence[Delivery]:
        return await self.outbox.accept(
            [Addressed(message=m, targets=TARGETS) for m in messages], 1
        )

    async def record(self, asked: Sequence[AskedMessage]) -> None:
        self.recorded += asked

    async def take_in(self) -> list[Message]:
        await self.spool.open(ABOUT)
        await self.spool.take_in(self.record)
        return [each.message for each in self.recorded]


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    """An owner whose spool is open."""
    desk = Desk(tmp_path / "spool" / "r-1")
    await desk.spool.open(ABOUT)
    return desk


async def test_bytes_of_a_hook_become_a_message(desk: Desk) -> None:
    """The words are the hook's, run, node and incident are the owner's."""
    call(
        desk.folder,
        *("page", "--severity", "critical", "--title", "XID 79", "--text", "two\nlines"),
        NVSX_REPAIR_NO="2",
        NVSX_LATE="1",
        NVSX_TARGET_NODE="not-mine",
    )
    (message,) = await desk.take_in()
    assert message == Message(
        call=f"{KEY}/page/1",
        kind="page",
        title="XID 79",
        text="two\nlines",
        severity="critical",
        incident="i-1",
        node="n1",
        run="r-1",
        runbook="gpu-off-bus",
        stage="quarantine",
        repair=2,
        late=True,
        asked=message.asked,
    )
    assert not list(desk.folder.glob("*-*.json"))


async def test_messages_come_in_the_order_of_the_calls(desk: Desk) -> None:
    """A page, a post and a ticket are taken in as they were asked."""
    for kind in ("ticket", "page", "post"):
        call(desk.folder, kind, "--title", kind)
    assert [m.kind for m in await desk.take_in()] == ["ticket", "page", "post"]


async def test_secrets_and_control_characters_stay_out(desk: Desk) -> None:
    """Title, text and fields are masked and plain before they are stored."""
    call(
        desk.folder,
        *("ticket", "--title", "see\nhunter22", "--text", "\x1b[2Jhunter22"),
        *("--field", "note=hunter22"),
    )
    (message,) = await desk.take_in()
    assert (message.title, message.text) == ("see ***", " [2J***")
    assert message.fields == {"note": "***"}


async def test_a_hook_that_runs_again_asks_for_the_same(desk: Desk) -> None:
    """Its second start gets the identities of its first; a second call of one start does not."""
    call(desk.folder, "post", "--title", "a")
    call(desk.folder, "post", "--title", "b")
    call(desk.folder, "post", "--title", "a", start=2)
    assert [m.title for m in await desk.take_in()] == ["a", "b"]
    rows = await desk.outbox.deliveries(_all())
    assert [r.message.call for r in rows] == [f"{KEY}/post/1", f"{KEY}/post/2"]


async def test_another_way_through_a_hook_repeats_nothing(desk: Desk) -> None:
    """A start that pages and one that posts first are two messages: the post is not lost."""
    call(desk.folder, "page", "--title", "a")
    call(desk.folder, "post", "--title", "b", start=2)
    await desk.take_in()
    assert len(await desk.outbox.deliveries(_all())) == 2


async def test_a_key_of_the_hooks_own_holds_for_all_its_calls(desk: Desk) -> None:
    """Two calls with one --key are one message, in one start too."""
    call(desk.folder, "post", "--title", "a", "--key", "progress")
    call(desk.folder, "post", "--title", "b", "--key", "progress")
    await desk.take_in()
    (row,) = await desk.outbox.deliveries(_all())
    assert row.message.title == "a"


async def test_a_ring_is_answered_while_the_hook_runs(desk: Desk) -> None:
    """Nobody need wait for the hook's end."""
    async with desk.spool.listen(desk.record):
        call(desk.folder, "post", "--title", "a")
        await until(lambda: desk.recorded, "the message")
        call(desk.folder, "post", "--title", "b")
        await until(lambda: len(desk.recorded) == 2, "the second message")


async def test_a_store_that_is_busy_loses_nothing(desk: Desk) -> None:
    """The call stays on disk until it is stored."""
    call(desk.folder, "post", "--title", "a")

    async def busy(_: Sequence[Message]) -> Sequence[Delivery]:
        raise StoreBusy("locked")

    await desk.spool.open(ABOUT)
    broken = RunSpool(desk.folder, busy, str)
    with pytest.raises(StoreBusy):
        await broken.take_in(desk.record)
    assert [m.title for m in await desk.take_in()] == ["a"]


async def test_a_file_that_is_no_call_holds_nobody_up(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """It is put aside with a warning, and the calls beside it are taken in."""
    (desk.folder / "0-bad.json").write_bytes(b'{"call": ')
    call(desk.folder, "post", "--title", "a")
    assert [m.title for m in await desk.take_in()] == ["a"]
    assert "0-bad.json" in caplog.text
    assert (desk.folder / "0-bad.json.unreadable").exists()


# --- receipts ---------------------------------------------------------------------------


async def test_waiting_prints_the_reference(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """`--wait` ends with the receipt: its reference, and 0."""
    words = ("ticket", "--title", "a", "--wait=20")
    async with desk.spool.listen(desk.record):
        waiting = asyncio.create_task(asyncio.to_thread(call, desk.folder, *words))
        await until(lambda: desk.recorded, "the message")
        receipt = Receipt(target="oncall", kind="jira", action="open ticket", ref="INFRA-12")
        change = DeliveryChange(number=1, state="delivered", receipt=receipt)
        settled = await desk.outbox.settle([change], 2)
        await answer_settled(desk.folder.parent, settled, desk.outbox)
        assert await waiting == 0
    assert capsys.readouterr().out == "INFRA-12\n"


async def test_a_hook_that_runs_again_is_given_the_first_receipt(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """The call is known and delivered: its receipt is there at once."""
    call(desk.folder, "ticket", "--title", "a")
    await desk.take_in()
    receipt = Receipt(target="oncall", kind="jira", action="open ticket", ref="INFRA-12")
    await desk.outbox.settle([DeliveryChange(number=1, state="delivered", receipt=receipt)], 2)
    async with desk.spool.listen(desk.record):
        again = asyncio.to_thread(call, desk.folder, "ticket", "--title", "a", "--wait", start=2)
        assert await again == 0
    assert capsys.readouterr().out == "INFRA-12\n"


async def test_a_wait_that_ends_without_a_receipt_says_so(desk: Desk) -> None:
    """The message is stored and not delivered: exit code 1."""
    with pytest.raises(notify_call.CallError, match=r"stored, and not delivered after 0s") as no:
        call(desk.folder, "post", "--title", "a", "--wait=0")
    assert no.value.code == 1


async def test_a_message_that_was_given_up_is_told_with_the_reason(desk: Desk) -> None:
    """Nobody was told: the vendor's own reason, exit code 1."""
    call(desk.folder, "post", "--title", "a", "--key", "k")
    await desk.take_in()
    gone = DeliveryChange(number=1, state="given up", reason="401 invalid key")
    await desk.outbox.settle([gone], 2)
    async with desk.spool.listen(desk.record):
        words = ("post", "--title", "a", "--key", "k", "--wait")
        again = asyncio.to_thread(call, desk.folder, *words)
        with pytest.raises(notify_call.CallError, match="nobody was told: oncall: 401 invalid key"):
            await again


def test_a_call_without_targets_has_a_receipt_of_nobody(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Who waits for it hears that nobody was told."""
    lines = msgspec.to_builtins(CallReceipt(call="c").deliveries)
    with pytest.raises(notify_call.CallError, match="no target is set up"):
        notify_call.tell_receipt(list(lines))


# --- what a dead owner left -------------------------------------------------------------


async def test_what_a_dead_owner_left_is_taken_in(desk: Desk) -> None:
    """Any later nvsx of the state folder stores it; a living owner's is left alone."""
    call(desk.folder, "page", "--title", "a")
    spools = desk.folder.parent
    assert await take_in_left_spools(spools, lambda _: True, desk.sink, str) == 0
    assert await take_in_left_spools(spools, lambda _: False, desk.sink, str) == 1
    (row,) = await desk.outbox.deliveries(_all())
    assert (row.message.title, row.message.incident, row.message.run) == ("a", "i-1", "r-1")


async def test_a_run_that_is_over_leaves_no_folder(desk: Desk) -> None:
    """Unless a call lies there that nobody has taken in."""
    call(desk.folder, "page", "--title", "a")
    await desk.spool.remove()
    assert desk.folder.exists()
    await desk.take_in()
    await desk.spool.remove()
    assert not desk.folder.exists()
    with pytest.raises(notify_call.CallError, match="the run has ended"):
        call(desk.folder, "page", "--title", "b")


KILLED_OWNER = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {src!r}]
from tests.notify.test_spool import ABOUT, sink_of
from nvsx.notify.spool import RunSpool
from nvsx.store import open_store

def die():
    os.kill(os.getpid(), signal.SIGKILL)

async def record(_):
    if {point!r} == "stored":
        die()

async def main():
    state = Path({state!r})
    sink = sink_of(open_store(state))
    async def dying(messages):
        if {point!r} == "read":
            die()
        return await sink(messages)
    if {point!r} == "recorded":
        Path.unlink = lambda *_, **__: die()
    await RunSpool(state / "spool" / "r-1", dying, str).take_in(record)

asyncio.run(main())
"""


def sink_of(journal: object) -> MessageSink:
    """The outbox in a real store."""
    outbox = outbox_of(journal)  # type: ignore[arg-type]

    async def sink(messages: Sequence[Message]) -> Sequence[Delivery]:
        return await outbox.accept([Addressed(message=m, targets=TARGETS) for m in messages], 1)

    return sink


@pytest.mark.processes
@pytest.mark.parametrize("point", ["read", "stored", "recorded"])
async def test_an_owner_killed_at_any_point_tells_once(tmp_path: Path, point: str) -> None:
    """kill -9 before the commit, after it, and before the file goes: one message, none lost."""
    folder = tmp_path / "spool" / "r-1"
    await RunSpool(folder, Desk(folder).sink, str).open(ABOUT)
    call(folder, "page", "--title", "a")
    call(folder, "post", "--title", "b")
    root = Path(__file__).parents[2]
    code = KILLED_OWNER.format(
        root=str(root), src=str(root / "src"), state=str(tmp_path), point=point
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(list(folder.glob("*-*.json"))) == 2
    journal = open_store(tmp_path)
    try:
        await take_in_left_spools(tmp_path / "spool", journal.alive, sink_of(journal), str)
        rows = await outbox_of(journal).deliveries(_all())
    finally:
        journal.close()
    assert [r.message.title for r in rows] == ["a", "b"]
    assert not list(folder.glob("*-*.json"))


@pytest.mark.processes
@pytest.mark.parametrize("point", ["os.fsync", "os.rename", "ring"])
async def test_a_call_that_is_killed_is_there_whole_or_not_at_all(desk: Desk, point: str) -> None:
    """kill -9 of `nvsx notify` before its file has a name, and after; its hook then runs again."""
    patch = f"import os, signal; notify_call.{point} = lambda *_: os.kill(os.getpid(), 9)"
    code = (
        f"import sys; sys.path[:0] = [{str(Path(notify_call.__file__).parent)!r}]; "
        f"import notify_call; {patch}; "
        "notify_call.main(['page', '--title', 'a'])"
    )
    environ = os.environ | {
        "NVSX_NOTIFY_DIR": str(desk.folder),
        "NVSX_IDEMPOTENCY_KEY": KEY,
        "NVSX_ATTEMPT": "1",
    }
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-I", "-S", "-c", code], check=False, env=environ
    )
    assert done.returncode == -signal.SIGKILL
    assert len(await desk.take_in()) == (1 if point == "ring" else 0)
    call(desk.folder, "page", "--title", "a", start=2)
    await desk.take_in()
    assert len(await desk.outbox.deliveries(_all())) == 1


def _all() -> OutboxFilter:
    return OutboxFilter(limit=None)
