import asyncio

import pytest
from tests.fakes.virtual_clock import EPOCH, VirtualClock


async def test_hours_pass_within_the_test() -> None:
    """Sleeping for ten hours, far longer than a test may take, moves the clock by exactly that."""
    clock = VirtualClock()
    await clock.sleep(36000)
    assert clock.now() == EPOCH + 36000


async def test_sleepers_wake_in_order() -> None:
    """Tasks wake in the order of their times, each at its own."""
    clock = VirtualClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.elapsed))

    await asyncio.gather(sleeper("c", 30), sleeper("a", 10), sleeper("b", 20))
    assert woken == [("a", 10), ("b", 20), ("c", 30)]


async def test_asyncio_timeouts_run_on_it() -> None:
    """A timeout of asyncio's own expires in virtual time."""
    clock = VirtualClock()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3600):
            await asyncio.Event().wait()
    assert clock.elapsed == 3600


async def test_time_stands_still_while_tasks_can_go_on() -> None:
    """No time passes as long as some task is ready to run."""
    clock = VirtualClock()
    sleeper = asyncio.create_task(clock.sleep(1))
    for _ in range(1000):
        await asyncio.sleep(0)
    assert clock.elapsed == 0
    await sleeper
    assert clock.elapsed == 1


def test_waiting_for_nothing_fails() -> None:
    """A test that would hang for ever ends with an error that says so."""

    async def hang() -> None:
        VirtualClock(stuck_after=0.05)
        await asyncio.get_running_loop().create_future()

    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(RuntimeError, match="stuck"):
            loop.run_until_complete(hang())
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()


async def test_made_outside_a_loop() -> None:
    """A clock made before the loop runs starts with its first sleep."""
    clock = await asyncio.get_running_loop().run_in_executor(None, VirtualClock)
    assert clock.now() == EPOCH
    await clock.sleep(5)
    assert clock.now() == EPOCH + 5
