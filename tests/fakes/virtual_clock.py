"""A clock on which hours pass in milliseconds, for tests of anything that waits.

`VirtualClock` takes over the time of the running event loop: when no task can go on and
the only thing left is a timer, the loop's time jumps to that timer instead of waiting.
Everything in asyncio that waits on the loop's time (sleep, timeout, wait_for, call_later)
runs on it, so a test needs no other arrangement than to make the clock and hand it over.

It does not know of threads and child processes: time runs on while they work. Use it
with fakes, not with adapters that do real I/O.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from typing import Any

EPOCH = 1_800_000_000.0
"""Unix seconds at which a virtual clock starts unless told otherwise."""


class VirtualClock:
    """A Clock whose sleeps return at once, in the right order, at the right `now()`.

    Make it inside the running loop, or let its first use install it. One loop has one
    virtual time: a second clock on the same loop shares it. A test in which every task
    waits for something that no timer will bring fails with RuntimeError after
    `stuck_after` real seconds instead of hanging.
    """

    def __init__(self, start: float = EPOCH, *, stuck_after: float = 5.0) -> None:
        self._start = start
        self._stuck_after = stuck_after
        self._time: _LoopTime | None = None
        self._zero = 0.0
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        self._install()

    def now(self) -> float:
        """Unix seconds, virtual."""
        return self._start if self._time is None else self._start + self._time.now - self._zero

    def set_wall_clock(self, by: float) -> None:
        """Somebody sets the machine's clock: processes that start from now on tell another time.
        Those that live must be dead by now, since a process' own time does not jump."""
        self._start += by

    async def sleep(self, seconds: float) -> None:
        self._install()
        await asyncio.sleep(seconds)

    @property
    def elapsed(self) -> float:
        """Virtual seconds since the clock was made."""
        return self.now() - self._start

    def _install(self) -> None:
        if self._time is None:
            self._time = _LoopTime.of(asyncio.get_running_loop(), self._stuck_after)
            self._zero = self._time.now


class _LoopTime:
    """The virtual time of one event loop, advanced where the loop would have waited."""

    def __init__(self, loop: Any, stuck_after: float) -> None:
        # Rounded up: sums of whole seconds stay exact, and no timer set before is delayed.
        self.now: float = float(math.ceil(loop.time()))
        self._stuck_after = stuck_after
        self._select = loop._selector.select
        loop._selector.select = self._idle
        loop.time = lambda: self.now
        loop.nvsx_virtual_time = self

    @classmethod
    def of(cls, loop: Any, stuck_after: float) -> _LoopTime:
        found = getattr(loop, "nvsx_virtual_time", None)
        return found if isinstance(found, cls) else cls(loop, stuck_after)

    def _idle(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What select() would return; a wait for a timer passes at once."""
        ready: list[tuple[selectors.SelectorKey, int]] = self._select(0)
        if ready or timeout == 0:
            return ready
        if timeout is not None:
            self.now += timeout
            return []
        ready = self._select(self._stuck_after)
        if not ready:
            raise RuntimeError(
                "stuck: every task waits, and no timer is set that could wake one of them"
            )
        return ready
