"""What every feed of health events does: run on the fake, MongoDB and PostgreSQL."""

from __future__ import annotations

import msgspec
import pytest
from tests.event_store.conftest import IGNORE_LOST_SOCKETS
from tests.event_store.stored import NODE, NOW, document
from tests.event_store.worlds import FakeWorld, World

from nvsx.core.incident.session import HealthEvent
from nvsx.nvsentinel.event_store.event_feed import Batch, FeedPosition, HealthEventFeed

pytestmark = IGNORE_LOST_SOCKETS

HOUR = 3600.0
START = FeedPosition.at(NOW - HOUR)


@pytest.fixture(
    params=[
        "fake",
        pytest.param("mongo", marks=pytest.mark.server("mongo-java-server")),
        pytest.param("postgres", marks=pytest.mark.server("postgres", "openssl")),
    ]
)
def world(request: pytest.FixtureRequest) -> World:
    """A store of each kind."""
    if request.param == "fake":
        return FakeWorld()
    found: World = request.getfixturevalue(request.param)
    return found


async def drain(feed: HealthEventFeed, start: FeedPosition, limit: int = 500) -> Batch:
    """Everything there is, as one batch."""
    events: list[HealthEvent] = []
    while True:
        batch = await feed.after(start, limit)
        events += batch.events
        if not batch.more:
            return msgspec.structs.replace(batch, events=tuple(events))
        start = batch.position


async def test_an_empty_store_has_no_events(world: World) -> None:
    """Nothing stored, nothing read, and reading can go on from there."""
    batch = await drain(world.feed, START)
    assert batch.events == ()
    id_ = await world.put(document(at=NOW))
    assert [e.id for e in (await drain(world.feed, batch.position)).events] == [id_]


async def test_new_events_come_once_and_in_order(world: World) -> None:
    """Each event comes once, oldest first, whichever read finds it."""
    first = [await world.put(document(at=NOW - 60 + n)) for n in range(5)]
    batch = await drain(world.feed, START)
    assert [e.id for e in batch.events] == first
    second = [await world.put(document(at=NOW - 30 + n)) for n in range(3)]
    batch = await drain(world.feed, batch.position)
    assert [e.id for e in batch.events] == second
    assert (await drain(world.feed, batch.position)).events == ()


async def test_events_before_the_start_stay_out(world: World) -> None:
    """Reading begins about where it was told to: what is hours older does not come."""
    await world.put(document(at=NOW - 9 * HOUR))
    # The changelog knows when a row was written, and that is now.
    assert [e.created_at for e in (await drain(world.feed, FeedPosition.at(NOW))).events] in (
        [],
        [NOW - 9 * HOUR],
    )


async def test_the_same_position_gives_the_same_again(world: World) -> None:
    """An event that was not dealt with is not lost: the earlier position still has it."""
    id_ = await world.put(document(at=NOW))
    for _ in range(2):
        assert [e.id for e in (await drain(world.feed, START)).events] == [id_]


async def test_pages(world: World) -> None:
    """A small limit gives small batches that say there is more, and together everything."""
    ids = [await world.put(document(at=NOW - 60 + n)) for n in range(7)]
    got: list[str] = []
    position = START
    for _ in range(20):
        batch = await world.feed.after(position, 3)
        assert len(batch.events) <= 3
        got += [e.id for e in batch.events]
        position = batch.position
        if not batch.more:
            break
    assert got == ids


async def test_a_stored_mark_misses_nothing(world: World) -> None:
    """After a restart with nothing but the mark, as JSON, what is new comes for certain."""
    await world.put(document(at=NOW - 20))
    batch = await drain(world.feed, START)
    mark = msgspec.json.decode(msgspec.json.encode(batch.position.mark))
    id_ = await world.put(document(at=NOW - 10))
    assert id_ in [e.id for e in (await drain(world.feed, FeedPosition(mark))).events]


async def test_an_event_is_the_same_from_every_store(world: World) -> None:
    """All facts of the fault arrive; only the id is the store's own."""
    id_ = await world.put(document(at=NOW))
    event = (await drain(world.feed, START)).events[0]
    assert event.id == id_
    assert (event.node, event.check, event.error_codes) == (NODE, "SysLogsXIDError", ("79",))
    assert (event.fatal, event.healthy) == (True, False)
    assert (event.action, event.strategy) == ("RESTART_BM", "EXECUTE_REMEDIATION")
    assert (event.agent, event.component_class) == ("syslog-health-monitor", "GPU")
    assert event.entities[0] == ("PCI", "0000:b3:00")
    assert (event.created_at, event.generated_at) == (NOW, NOW - 1)
    assert event.document["healthevent"]["checkname"] == "SysLogsXIDError"


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("recovery", ("SysLogsXIDError", False, True, "EXECUTE_REMEDIATION")),
        ("nonfatal", ("GpuThermalWatch", False, False, "EXECUTE_REMEDIATION")),
        ("store_only", ("GpuThermalMarginWatch", True, False, "STORE_ONLY")),
        ("layout_2025", ("SysLogsXIDError", True, False, "EXECUTE_REMEDIATION")),
        ("joined", ("GpuDcgmConnectivityFailure", True, False, "EXECUTE_REMEDIATION")),
    ],
)
async def test_every_kind_of_event_comes(
    world: World, case: str, said: tuple[str, bool, bool, str]
) -> None:
    """Healthy, non-fatal, store-only and early layouts are delivered; routing decides."""
    await world.put(document(case, at=NOW))
    event = (await drain(world.feed, START)).events[0]
    assert (event.check, event.fatal, event.healthy, event.strategy) == said


async def test_what_cannot_be_decoded_does_not_stop_the_rest(world: World) -> None:
    """An event without a check name is told as an oddity, once, and its neighbours arrive."""
    odd = document(at=NOW - 2)
    odd["healthevent"] = {"agent": "unknown", "checkname": "", "componentclass": "", "nodename": ""}
    await world.put(odd)
    id_ = await world.put(document(at=NOW - 1))
    batch = await world.feed.after(START)
    while not batch.events:
        batch = await world.feed.after(batch.position)
    assert [e.id for e in batch.events] == [id_]
    assert len(batch.oddities) == 1
    assert "check name" in batch.oddities[0]


async def test_events_of_a_node(world: World) -> None:
    """A node's watches get its own events since a time, oldest first."""
    await world.put(document(at=NOW - 3 * HOUR))
    await world.put(document(at=NOW - 5, node="another"))
    late = await world.put(document("recovery", at=NOW - 10))
    early = await world.put(document(at=NOW - 20))
    found = await world.feed.events(NODE, NOW - HOUR)
    assert [e.id for e in found] == [early, late]
