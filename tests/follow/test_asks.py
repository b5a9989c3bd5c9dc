"""What people ask of a run from another process, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fakes.fake_inbox import FakeInbox
from tests.follow.harness import Story

from nvsx.core.errors import StoreError
from nvsx.core.routing.inbox import Ask
from nvsx.follow.asks import heed_one


class Asked:
    """A run that waits for its fault, and an inbox whose asks it heeds."""

    def __init__(self, tmp_path: Path) -> None:
        self.story = Story(tmp_path)

    async def begin(self) -> None:
        """Begin the run, and heed what is asked of it."""
        runner = await self.story.begin()
        self.inbox = FakeInbox(self.story.journal)
        self.heeding = asyncio.create_task(heed_one(self.inbox, runner))
        await self.story.clock.sleep(10)

    async def ask(self, kind: str, text: str) -> None:
        """Ask as another process does."""
        ask = Ask(run_id=self.story.run_id, kind=kind, text=text, by="ann")  # type: ignore[arg-type]
        await self.inbox.ask(ask)

    async def notes(self) -> list[str]:
        """The texts of people's notes in the run's record."""
        return [n.text for _, n in (await self.story.state()).notes if n.author == "ann"]


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    """A run under way whose asks are heeded."""
    made = Asked(tmp_path)
    await made.begin()
    yield made
    made.heeding.cancel()
    await asyncio.gather(made.heeding, return_exceptions=True)
    await made.story.die()


async def test_a_note_is_in_the_record_within_a_second(asked: Asked) -> None:
    """Less than a second of the clock after it was asked for, and once."""
    await asked.ask("note", "vendor called")
    await asked.story.clock.sleep(0.9)
    assert await asked.notes() == ["vendor called"]
    await asked.story.clock.sleep(10)
    assert await asked.notes() == ["vendor called"]


async def test_a_cancel_ends_the_run_within_a_second(asked: Asked) -> None:
    """The run is being ended less than a second after somebody asked."""
    await asked.ask("cancel", "false alarm")
    await asked.story.clock.sleep(0.9)
    cancelled = (await asked.story.state()).cancelled
    assert cancelled is not None
    assert (cancelled.by, cancelled.reason) == ("ann", "false alarm")


async def test_a_store_that_fails_for_a_while_loses_no_ask(asked: Asked) -> None:
    """What cannot be marked as done meanwhile is done all the same, and asks come through after."""
    await asked.ask("note", "first")
    asked.inbox.fail = StoreError("the disk is full", "make room")
    await asked.story.clock.sleep(30)
    asked.inbox.fail = None
    await asked.ask("note", "second")
    await asked.story.clock.sleep(3)
    assert (await asked.notes())[-1] == "second"
    assert await asked.inbox.asks() == []
