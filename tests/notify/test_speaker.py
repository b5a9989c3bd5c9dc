"""What nvsx says by itself, at the right moment, once: in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from tests.core.incident.timelines import NOON, Timeline, failed, fault, session
from tests.core.notify.test_judging import at_work, over, wanting
from tests.fakes.virtual_clock import VirtualClock
from tests.notify.delivery_stage import BOOK, DeliveryStage

from nvsx.core.errors import StoreBusy
from nvsx.core.notify.message import Message
from nvsx.notify.message_desk import MessageDesk
from nvsx.notify.speaker import IncidentSpeaker


class SpeakerStage:
    """A speaker with the fake outbox. Time starts at noon, as time lines do."""

    def __init__(self, **options: Any) -> None:
        self.clock = VirtualClock(NOON)
        self.stage = DeliveryStage()
        self.outbox = self.stage.outbox
        self.said: list[tuple[float, str, str]] = []
        self.desk = MessageDesk(self.outbox, BOOK, self.clock.now)
        self.speaker = IncidentSpeaker(self.outbox, self.accept, self.clock, **options)

    async def accept(self, messages: Sequence[Message]) -> None:
        """Kept with its time."""
        for message in messages:
            self.said.append((self.clock.now() - NOON, message.kind, message.title))
        await self.desk.accept(messages)

    @asynccontextmanager
    async def speaking(self) -> AsyncIterator[SpeakerStage]:
        """While the speaker runs."""
        task = asyncio.create_task(self.speaker.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, seconds: float) -> None:
        """Seconds after noon."""
        await self.clock.sleep(NOON + seconds - self.clock.now())


async def test_people_are_called_when_no_hook_has_done_so() -> None:
    """Thirty seconds after they are needed, and not before."""
    stage = SpeakerStage()
    async with stage.speaking():
        await stage.until(300)
        stage.speaker.hear("i-1", wanting())
        await stage.until(329)
        assert [s for s in stage.said if s[1] == "page"] == []
        await stage.until(331)
    [(at, _, title)] = [s for s in stage.said if s[1] == "page"]
    assert at == 330.0
    assert title.startswith("gpu-1: people are needed: ")


async def test_a_hook_that_pages_is_enough() -> None:
    """Its words come first, and nvsx has none to add."""
    stage = SpeakerStage()
    async with stage.speaking():
        await stage.until(300)
        state = wanting()
        stage.speaker.hear("i-1", state)
        await stage.until(320)
        page = Message(
            call="r-1/1", kind="page", title="the reboot timed out", incident="i-1",
            cause=state.cause.code, repair=1, asked=NOON + 320,
        )  # fmt: skip
        await stage.desk.accept([page])
        await stage.until(3600)
    assert [s for s in stage.said if s[1] == "page"] == []


async def test_nothing_is_said_twice_after_a_restart() -> None:
    """Each thing has a call of its own that the outbox knows."""
    stage = SpeakerStage()
    async with stage.speaking():
        stage.speaker.hear("i-1", at_work())
        await stage.until(400)
    before = list(stage.said)
    again = IncidentSpeaker(stage.outbox, stage.accept, stage.clock)
    stage.speaker = again
    async with stage.speaking():
        again.hear("i-1", at_work())
        await stage.until(900)
    assert [title for _, _, title in before] == ["gpu-1: no runbook is for SysLogsXIDError 79"]
    assert stage.said == before


async def test_a_run_by_hand_says_nothing_of_runbooks() -> None:
    """No runbook is looked for here: that is no fault without a runbook."""
    stage = SpeakerStage(routed=False)
    async with stage.speaking():
        stage.speaker.hear("i-1", at_work())
        await stage.until(900)
    assert stage.said == []


async def test_what_a_silence_held_back_is_said_when_it_ends() -> None:
    """The node is silenced for an hour while it has a fault without a runbook."""
    stage = SpeakerStage()
    silenced = {"gpu-1"}
    stage.speaker.is_silenced = lambda node: node in silenced
    async with stage.speaking():
        stage.speaker.hear("i-1", at_work())
        await stage.until(3600)
        assert stage.said == []
        silenced.clear()
        stage.speaker.look_again("gpu-1")
        await stage.until(3601)
    assert [(at, title) for at, _, title in stage.said] == [
        (3600.0, "gpu-1: no runbook is for SysLogsXIDError 79")
    ]


async def test_a_reminder_comes_once_a_day_and_never_at_the_pager() -> None:
    """Three days after the page: three posts."""
    stage = SpeakerStage()
    async with stage.speaking():
        await stage.until(300)
        stage.speaker.hear("i-1", wanting())
        await stage.until(300 + 3 * 86400 + 10)
    assert [kind for _, kind, _ in stage.said].count("page") == 1
    reminders = [(at, title) for at, kind, title in stage.said if "has waited for people" in title]
    assert [at for at, _ in reminders] == [300.0 + day * 86400 for day in (1, 2, 3)]


async def test_the_end_closes_what_was_opened() -> None:
    """Both pages and the ticket, and a post; of what nobody was told nothing."""
    stage = SpeakerStage()
    async with stage.speaking():
        for number, kind in enumerate(("page", "ticket")):
            await stage.desk.accept(
                [Message(call=f"r/{number}", kind=kind, title="x", incident="i-1", asked=NOON)]  # type: ignore[arg-type]
            )
        await stage.until(120)
        stage.speaker.hear("i-1", over())
        stage.speaker.hear("i-2", over())
        await stage.until(121)
    assert [kind for _, kind, _ in stage.said] == ["resolve", "resolve", "resolve", "post"]
    assert all(title.startswith("gpu-1 is back") for _, _, title in stage.said)


async def test_a_store_that_refuses_makes_it_later_and_not_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk is full for half a minute."""
    stage = SpeakerStage()
    ask = stage.outbox.deliveries

    async def refuse(wanted: Any) -> Any:
        if stage.clock.now() < NOON + 430:
            raise StoreBusy("disk full", "make room")
        return await ask(wanted)

    monkeypatch.setattr(stage.outbox, "deliveries", refuse)
    async with stage.speaking():
        await stage.until(400)
        stage.speaker.hear("i-1", wanting())
        await stage.until(500)
    assert [at for at, kind, _ in stage.said if kind == "page"] == [430.0]


async def test_one_incident_that_cannot_be_told_stops_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A mistake of ours about one incident: the others are spoken of."""
    stage = SpeakerStage()
    ask = stage.outbox.deliveries

    async def fail(wanted: Any) -> Any:
        if wanted.incident == "i-bad":
            raise KeyError("i-bad")
        return await ask(wanted)

    monkeypatch.setattr(stage.outbox, "deliveries", fail)
    async with stage.speaking():
        await stage.until(400)
        stage.speaker.hear("i-bad", wanting())
        stage.speaker.hear("i-1", wanting())
        await stage.until(500)
    assert [kind for _, kind, _ in stage.said if kind == "page"] == ["page"]


async def test_a_rehearsal_speaks_as_one() -> None:
    """What is said of a sandbox stays inside, unless the words are to leave."""
    line = Timeline()
    line.at(0, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1"))
    line.at(300, repairs=(failed("e1", "timeout"),))
    state = replace(line.incident, opened=replace(line.incident.opened, sandbox=True))
    for live in (False, True):
        stage = SpeakerStage(live=live)
        async with stage.speaking():
            await stage.until(400)
            stage.speaker.hear("i-1", state)
            await stage.until(401)
        found = await stage.outbox.of_call(f"nvsx/i-1/people/{state.cause.code}/1")
        assert {(d.message.rehearsal, d.message.live) for d in found} == {("sandbox", live)}
