import asyncio

import pytest
from tests.fakes import fake_observer as fake

from nvsx.core.errors import NotFound, Unreachable
from nvsx.core.ports import NodeFeed, Observer
from nvsx.core.watches.snapshot import Needs


async def test_fake_is_an_observer() -> None:
    """The fake has the port's whole shape, and `follow` refuses a node it was not given."""
    observer: Observer = fake.FakeObserver(fake.snapshot())
    feed: NodeFeed = await observer.follow(fake.NODE, Needs())
    assert feed.current.node_name == fake.NODE
    with pytest.raises(NotFound, match="no node other"):
        await observer.follow("other", Needs())


async def test_every_waiter_gets_the_newest_snapshot() -> None:
    """A push wakes all who wait; one who comes late gets it at once."""
    observer = fake.FakeObserver(fake.snapshot())
    feed = observer.feeds[fake.NODE]
    first = feed.current
    waiters = [asyncio.create_task(feed.changed(first)) for _ in range(2)]
    await asyncio.sleep(0)
    feed.update(at=1.0)
    newest = feed.update(at=2.0)
    assert await asyncio.gather(*waiters) == [newest, newest]
    assert await feed.changed(first) is newest


async def test_faults_are_those_after_listening_began() -> None:
    """A fault from before `faults()` was called is not delivered."""
    observer = fake.FakeObserver()
    observer.add_fault(fake.fault("early"))
    faults = observer.faults()
    await observer.until_listening()
    observer.add_fault(fake.fault("late"))
    assert (await anext(faults)).node == "late"


async def test_play_moves_the_clock_of_the_snapshots() -> None:
    """`play` sleeps through the steps on the given clock and stamps `at` accordingly."""
    feed = fake.FakeObserver(fake.snapshot(100.0)).feeds[fake.NODE]
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    await feed.play([(5, {"session": fake.session()}), (7, {})], sleep)
    assert slept == [5, 7]
    assert feed.current.at == 112.0
    assert feed.current.session.state == "quarantined"


async def test_errors_are_raised_as_asked() -> None:
    """An entry in `errors` makes the method raise it."""
    observer = fake.FakeObserver()
    observer.errors["node_names"] = Unreachable("nobody answered")
    with pytest.raises(Unreachable):
        await observer.node_names()
