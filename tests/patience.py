"""How long the suite waits for what really happens: one factor on every such wait.

A wait here is a limit and never a pause: it ends as soon as the outcome is there, so a larger
factor costs a passing test nothing. `NVSX_TEST_PATIENCE=3` gives a slow or busy machine three
times as long, for every wait and for pytest's own limit on a test. Limits that nvsx itself is
given to reach (a hook's timeout, the server's) are the subject of a test and are not scaled.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Read once, on import: each test gets an environment without the variables of nvsx.
FACTOR = float(os.environ.get("NVSX_TEST_PATIENCE") or 1.0)

#: Seconds for what takes milliseconds on a quiet machine.
USUAL = 20.0


def patience(seconds: float) -> float:
    """A real wait of `seconds` on a quiet machine, as long as this one needs it."""
    return seconds * FACTOR


async def until(
    holds: Callable[[], T | None], what: str | Callable[[], str] = "", within: float = USUAL
) -> T:
    """What `holds` gives as soon as it is true; fails with `what` when that never comes."""
    deadline = time.monotonic() + patience(within)
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise AssertionError(_say_what_never_came(what, within))
        await asyncio.sleep(0.01)
    return found


def wait_until(
    holds: Callable[[], T | None], what: str | Callable[[], str] = "", within: float = USUAL
) -> T:
    """`until` for tests without a loop."""
    deadline = time.monotonic() + patience(within)
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise AssertionError(_say_what_never_came(what, within))
        time.sleep(0.02)
    return found


def _say_what_never_came(what: str | Callable[[], str], within: float) -> str:
    said = what if isinstance(what, str) else what()
    return f"not within {patience(within):g} s: {said or 'what the test waits for'}"
