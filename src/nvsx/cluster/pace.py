"""Pace: the injected clock, sleep and chance, and how long to wait before trying again.

Reflectors, log followers and the proxy's supervisor use it; tests put in their own and
take milliseconds. Waits grow exponentially and are never zero; jitter keeps a thousand
clients from coming back to a restarted API server in the same instant.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nvsx.project.steady_time import read_time

# Bounds the exponent: an API server may be away for days.
_DOUBLINGS = 20


@dataclass(frozen=True, slots=True)
class Pace:
    """`now` gives Unix seconds, `sleep` takes seconds, `rng` gives 0 ≤ x < 1."""

    now: Callable[[], float] = read_time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    rng: Callable[[], float] = random.random


REAL = Pace()


class Backoff:
    """Delays in seconds: about `base`, doubling up to `limit`, each within 50–100 % of it."""

    def __init__(
        self,
        base: float = 0.2,
        limit: float = 10.0,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._base = base
        self._limit = limit
        self._rng = rng
        self._failures = 0

    def reset(self) -> None:
        self._failures = 0

    def next(self, at_least: float = 0.0) -> float:
        """The next delay. `at_least` is a floor: what a server asked for, or a slow retry."""
        full = min(self._limit, self._base * 2.0 ** min(self._failures, _DOUBLINGS))
        self._failures += 1
        if at_least > full:
            return at_least * (1.0 + 0.25 * self._rng())
        return max(at_least, full * (0.5 + 0.5 * self._rng()))
