"""Poll mode: each new event is offered once it can be, in order, and trouble passes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.fakes.fake_health_events import FakeHealthEvents
from tests.fakes.virtual_clock import EPOCH, VirtualClock
from tests.nvsentinel.fixtures import load

from nvsx.core.errors import StoreBusy, StoreError
from nvsx.core.incident.session import HealthEvent
from nvsx.core.routing.route import route
from nvsx.core.routing.trigger_event import Answer, TriggerEvent
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.nvsentinel import decoding
from nvsx.nvsentinel.event_store.event_feed import Batch, FeedPosition
from nvsx.project import cel, loader
from nvsx.serve.poll_source import PollSource, event_of

CLONE = Path(__file__).parents[2]


def fault(number: int = 1, *, at: float = EPOCH, **changes: Any) -> HealthEvent:
    """A fatal XID 79 with an id of its own."""
    event = HealthEvent(
        check="SysLogsXIDError",
        node="n1",
        id=f"id{number}",
        error_codes=("79",),
        action="RESTART_BM",
        fatal=True,
        generated_at=at - 1,
        created_at=at,
    )
    return msgspec.structs.replace(event, **changes)


class RecordingIntake:
    """Remembers what was offered; `busy` makes the next offers fail."""

    def __init__(self) -> None:
        self.offered: list[TriggerEvent] = []
        self.busy = 0
        self.poison = ""

    async def offer(self, event: TriggerEvent) -> Answer:
        if self.busy:
            self.busy -= 1
            raise StoreBusy("locked")
        if event.delivery == self.poison:
            raise RuntimeError("a bug")
        self.offered.append(event)
        return Answer(outcome="ignored")

    @property
    def ids(self) -> list[str]:
        return [e.delivery for e in self.offered]


class Cursors:
    """A cursor store in memory, as JSON."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def cursor(self, source: str) -> Any:
        return msgspec.json.decode(self.kept[source]) if source in self.kept else None

    async def set_cursor(self, source: str, value: Any) -> None:
        self.kept[source] = msgspec.json.encode(value)


class World:
    """A store, an intake, cursors and a clock, and poll sources on them."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.feed = FakeHealthEvents()
        self.intake = RecordingIntake()
        self.cursors = Cursors()
        self.source = self.restarted()

    def restarted(self) -> PollSource:
        """A new process on the same cursors."""
        return PollSource(
            self.feed, self.intake, self.cursors, self.clock, 10.0, name="poll:c1", rng=lambda: 1.0
        )


@pytest.fixture
async def world() -> World:
    """An empty store, and nothing polled yet."""
    return World()


async def test_each_event_is_offered_once(world: World) -> None:
    """What is new is offered in order, with the event's id as its delivery."""
    world.feed.put(fault(1), fault(2))
    assert await world.source.poll() == 2
    world.feed.put(fault(3))
    assert await world.source.poll() == 1
    assert await world.source.poll() == 0
    assert world.intake.ids == ["id1", "id2", "id3"]
    assert {e.source for e in world.intake.offered} == {"poll"}


async def test_a_restart_goes_on_where_it_was(world: World) -> None:
    """The cursor outlives the process, and what happened meanwhile is caught up."""
    world.feed.put(fault(1))
    await world.source.poll()
    world.feed.put(fault(2))
    await world.restarted().poll()
    assert world.intake.ids == ["id1", "id2"]


async def test_the_first_start_looks_back_a_little(world: World) -> None:
    """Without a cursor reading begins the look-back before now, not at the beginning of time."""
    world.feed.put(fault(1, at=EPOCH - 86400), fault(2, at=EPOCH - 600))
    await world.source.poll()
    assert world.intake.ids == ["id2"]


async def test_what_could_not_be_stored_is_offered_again(world: World) -> None:
    """The cursor stays until the intake has answered for everything before it."""
    world.feed.put(fault(1, node="n1"), fault(2, node="n2"))
    world.intake.busy = 1
    with pytest.raises(StoreError):
        await world.source.poll()
    assert world.cursors.kept == {}
    await world.restarted().poll()
    assert set(world.intake.ids) == {"id1", "id2"}


async def test_an_event_that_breaks_the_intake_does_not_stop_the_rest(world: World) -> None:
    """One event on which the intake has a bug is logged and passed."""
    world.intake.poison = "id1"
    world.feed.put(fault(1), fault(2))
    await world.source.poll()
    assert world.intake.ids == ["id2"]


async def test_recovery_is_a_notice(world: World) -> None:
    """The recovery of a fault that was offered is; the healthy reports at start-up are not."""
    healthy: dict[str, Any] = {"fatal": False, "healthy": True, "error_codes": ()}
    world.feed.put(fault(1, **healthy), fault(2), fault(3, **healthy), fault(4, **healthy))
    await world.source.poll()
    assert world.intake.ids == ["id2", "id3"]
    assert [e.resolved for e in world.intake.offered] == [False, True]


async def test_a_burst_comes_whole_and_in_order(world: World) -> None:
    """Thousands of events at once: all offered, those of a node one after another."""
    events = [fault(n, node=f"n{n % 7}") for n in range(1700)]
    world.feed.put(*events)
    assert await world.source.poll() == 1700
    for node in {e.node for e in events}:
        mine = [e.delivery for e in world.intake.offered if e.facts.node == node]
        assert mine == [e.id for e in events if e.node == node]


async def test_it_polls_every_interval_and_slows_down_in_trouble(world: World) -> None:
    """Ten seconds apart while all is well; a database that is away is asked ever more rarely,
    at most once a minute, and as before once it is back."""
    task = asyncio.create_task(world.source.follow())
    await world.clock.sleep(35)
    assert world.feed.reads == 4
    world.feed.fail_with = StoreError("it is away")
    await world.clock.sleep(600)
    assert 10 <= world.feed.reads - 4 <= 15
    world.feed.fail_with = None
    world.feed.put(fault(1, at=world.clock.now()))
    await world.clock.sleep(61)
    assert world.intake.ids == ["id1"]
    before = world.feed.reads
    await world.clock.sleep(30)
    assert world.feed.reads - before == 3
    task.cancel()


async def test_its_state(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Fresh while it reads; else how long it was not read and why, logged once."""
    assert world.source.state() == "the store has not been read yet"
    task = asyncio.create_task(world.source.follow())
    await world.clock.sleep(25)
    assert world.source.state() == "ok"
    world.feed.fail_with = StoreError("it is away", "look there")
    await world.clock.sleep(25)
    assert world.source.state() == "ok"
    await world.clock.sleep(280)
    assert world.source.state() == "not read for 5m10s: it is away"
    assert len([r for r in caplog.records if "it is away" in r.getMessage()]) == 1
    task.cancel()


class BrokenFeed(FakeHealthEvents):
    """A feed with a bug."""

    async def after(self, position: FeedPosition, limit: int = 500) -> Batch:
        raise KeyError("a bug")


async def test_a_bug_does_not_end_it(world: World) -> None:
    """Polling goes on after an error nobody thought of, and says so."""
    world.feed = BrokenFeed()
    source = world.restarted()
    task = asyncio.create_task(source.follow())
    await world.clock.sleep(100)
    assert not task.done()
    assert "a bug" in source.state()
    task.cancel()


# --- what fires ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "changes", "fires"),
    [
        ("inserted", {}, "gpu-off-bus"),
        ("layout_2025", {}, "gpu-off-bus"),
        ("inserted", {"errorcode": ["31"], "isfatal": False, "recommendedaction": 0}, None),
        ("inserted", {"errorcode": ["31"]}, "any-fault"),
        ("inserted", {"processingstrategy": 2}, None),
        ("inserted", {"isfatal": False}, None),
        ("store_only", {}, None),
        ("recovery", {}, None),
        ("nonfatal", {}, "thermal-throttle"),
    ],
)
def test_what_fires(case: str, changes: dict[str, Any], fires: str | None) -> None:
    """The shipped runbooks: XID 79 fires gpu-off-bus; a fatal fault of nobody's the catch-all;
    STORE_ONLY, healthy and non-fatal events nothing; a thermal one what asks for such."""
    stored = load("documents")[case]
    stored = {**stored, "healthevent": {**stored["healthevent"], **changes}}
    event = decoding.decode_document(stored).event
    assert event is not None
    runbooks = [e.runbook for e in loader.discover(CLONE) if isinstance(e, LoadedRunbook)]
    winner = route(event_of(event, EPOCH).facts, runbooks, cel.evaluate).winner
    assert (winner.name if winner else None) == fires


@pytest.mark.parametrize(
    ("word", "held"),
    [
        ("Quarantined", True),
        ("AlreadyQuarantined", True),
        ("UnQuarantined", False),
        ("Cancelled", False),
        (None, False),
    ],
)
def test_what_nvsentinel_wrote_says_whether_it_holds_the_node(word: str | None, held: bool) -> None:
    """A fault that is not fatal goes to the catch-all only where the node is quarantined for it."""
    document = {"healtheventstatus": {"nodequarantined": word}}
    told = event_of(fault(fatal=False, document=document), EPOCH)
    assert told.facts.quarantined is held
    assert event_of(fault(document={}), EPOCH).facts.quarantined is False
