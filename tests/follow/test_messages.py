"""What scripts ask people to be told, in a run: stored and recorded before their end is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.fakes.fake_outbox import FakeOutbox
from tests.fakes.fake_scripts import Behaviour
from tests.follow.harness import Story, runbook
from tests.patience import until

from nvsx.core.journal import entries as j
from nvsx.core.notify.message import Message
from nvsx.core.notify.order import Receipt
from nvsx.core.notify.outbox import Addressed, AddressedTarget, Delivery, DeliveryChange
from nvsx.core.ports import LineSink, Script, ScriptResult, StartSink
from nvsx.follow.processes import notify_call
from nvsx.notify.settled_news import SettledNews
from nvsx.notify.spool import RunSpool

BOOK = runbook(
    [
        {
            "id": "detect",
            "watch": [{"kind": "node-condition", "type": "SysLogsXIDError", "errorCode": "79"}],
            "hook": "hooks/t/on-detect.sh",
        }
    ]
)


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spool's files are read and written in place: virtual hours pass while a thread works."""

    async def call_here(work: Callable[..., Any], *args: Any) -> Any:
        return work(*args)

    monkeypatch.setattr(asyncio, "to_thread", call_here)


class Telling:
    """A story whose hook calls `nvsx notify page`, with a spool and an outbox behind it."""

    def __init__(self, tmp: Path, *, to: str = "") -> None:
        self.story = Story(tmp, BOOK)
        self.outbox = FakeOutbox()
        self.folder = tmp / "spool" / "r-20270115-0800-0001"
        self.to = to
        self.news: SettledNews | None = None
        self.outcomes: list[DeliveryChange] = []
        run = self.story.scripts.run

        async def call_and_run(
            script: Script, on_line: LineSink, on_start: StartSink
        ) -> ScriptResult:
            self.call(script)
            return await run(script, on_line, on_start)

        self.story.scripts.run = call_and_run  # type: ignore[method-assign]

    def call(self, script: Script) -> None:
        """What the hook does."""
        words = ["page", "--title", "XID 79", *(["--to", self.to] if self.to else [])]
        asked = notify_call.Asked(*notify_call.read_options(words))
        notify_call.store_call(asked, {**os.environ, **script.facts})

    async def sink(self, messages: Sequence[Message]) -> Sequence[Delivery]:
        target = AddressedTarget(name="oncall", kind="pagerduty")
        addressed = []
        for message in messages:
            wanted = message.to if message.to not in ("", "oncall") else ""
            named = replace(message, wanted=wanted)
            addressed.append(Addressed(message=named, targets=(target,)))
        accepted = await self.outbox.accept(addressed, self.story.clock.now())
        if self.news is not None:
            for outcome in self.outcomes:
                settled = await self.outbox.settle([outcome], self.story.clock.now())
                asyncio.get_running_loop().call_later(0.5, self.news.tell, settled)
        return accepted

    async def begin(self) -> None:
        self.story.spool = RunSpool(self.folder, self.sink, str, self.news)
        await self.story.begin()
        self.story.set(self.story.fault())


async def _entries(story: Story) -> list[j.RunEvent]:
    return [entry.body for entry in await story.journal.read(story.run_id)]


async def test_a_message_is_recorded_before_its_hooks_end(tmp_path: Path) -> None:
    """The journal has who asked for what, then the end; the spool goes with the run."""
    telling = Telling(tmp_path)
    await telling.begin()
    await telling.story.finish()
    found = [e for e in await _entries(telling.story) if isinstance(e, j.MessageAsked | j.HookEnd)]
    asked, ended = found
    assert isinstance(ended, j.HookEnd)
    assert isinstance(asked, j.MessageAsked)
    assert (asked.kind, asked.title, asked.stage) == ("page", "XID 79", "detect")
    assert (asked.targets, asked.problem) == (("oncall",), "")
    assert asked.call == f"{telling.story.run_id}.detect.hook/page/1"
    assert not telling.folder.exists()


async def test_a_target_that_does_not_exist_degrades_the_run(tmp_path: Path) -> None:
    """It goes to the default, and the run says whom the hook wanted."""
    telling = Telling(tmp_path, to="onkall")
    await telling.begin()
    state = await telling.story.finish()
    ((_, asked),) = state.asked.values()
    assert asked.problem == "no target is called 'onkall': it goes to oncall"
    assert state.finish is not None
    assert (state.finish.status, state.finish.degraded) == ("passed", True)


RECEIPT = Receipt(
    target="oncall", kind="pagerduty", action="open page", ref="Q1", text="[x] XID 79"
)
DELIVERED = DeliveryChange(number=1, state="delivered", action="open page", receipt=RECEIPT)
FAILED = DeliveryChange(number=1, state="waiting", due=1.9e9, reason="503")
GIVEN_UP = DeliveryChange(number=1, state="given up", reason="404: no such key")


@pytest.mark.parametrize(
    ("outcomes", "words", "degraded"),
    [
        ([DELIVERED], ['told oncall (pagerduty): page opened: "XID 79" · Q1'], False),
        ([FAILED, DELIVERED], ["try 1", 'page opened: "XID 79"'], False),
        ([FAILED, FAILED, FAILED], ["try 1"], True),
        ([GIVEN_UP], ["page NOT DELIVERED, given up: 404: no such key"], True),
    ],
)
async def test_who_was_told_is_in_the_runs_journal(
    tmp_path: Path, outcomes: list[DeliveryChange], words: list[str], degraded: bool
) -> None:
    """Each outcome once, before the run's end; what nobody was told degrades the run."""
    telling = Telling(tmp_path)
    telling.news, telling.outcomes = SettledNews(), outcomes
    await telling.begin()
    state = await telling.story.finish()
    told = [e for e in await _entries(telling.story) if isinstance(e, j.Told)]
    assert len(told) == len(words)
    assert all(part in e.words for part, e in zip(words, told, strict=True))
    assert state.finish is not None
    assert state.finish.degraded is degraded


async def test_a_run_does_not_wait_for_who_cannot_be_told(tmp_path: Path) -> None:
    """Three seconds, then it ends: the outbox has the message."""
    telling = Telling(tmp_path)
    telling.news = SettledNews()
    await telling.begin()
    state = await telling.story.finish()
    assert state.finish is not None
    assert state.told == {}


async def test_what_a_hook_asked_while_nvsx_was_dead_is_taken_in(tmp_path: Path) -> None:
    """A hook that outlived its owner and ended: its call is stored before its end is recorded,
    and it does not run again."""
    telling = Telling(tmp_path)
    story = telling.story
    story.scripts.on("on-detect.sh", Behaviour(hang=True))
    await telling.begin()
    (begun,) = await until(lambda: story.scripts.ran("on-detect.sh"), "the hook")
    journal = await story.die()
    telling.call(begun.script)  # a second page of the same start
    story.scripts.ends[begun.script.end_file] = ScriptResult(exit_code=0)
    runner = await story.resume(journal)
    runner.run.spool = RunSpool(telling.folder, telling.sink, str)
    state = await story.finish()
    assert sorted(state.asked) == [f"{begun.key}/page/{n}" for n in (1, 2)]
    assert len(story.scripts.ran("on-detect.sh")) == 1
    bodies = await _entries(story)
    last_asked = max(n for n, e in enumerate(bodies) if isinstance(e, j.MessageAsked))
    assert last_asked < next(n for n, e in enumerate(bodies) if isinstance(e, j.HookEnd))
