"""How fast a target is told, and when a failed try is made again. Pure, but for chance.

slack, 60 a minute, burst 3: three at once, then one a second
a page fails:  again after about 1, 2, 4, … 60 s, for 12 hours
a post fails:  again after about 1, 2, 4, … 300 s, for 24 hours
"""

from __future__ import annotations

import random

from nvsx.core.notify.outbox import Delivery

FIRST_PAUSE = 1.0
LONGEST_PAUSE_OF_PAGE = 60.0
"""Seconds. Somebody's sleep, or a node, waits for it."""
LONGEST_PAUSE = 300.0
PAGE_IS_TRIED = 12 * 3600.0
"""Seconds. A shift; whoever has not been told by then is told by another way."""
OTHER_IS_TRIED = 24 * 3600.0
_WHOLE = 1.0 - 1e-6
"""One message, as sums of fractions come to it: else it would be waited for no time at all."""


class Allowance:
    """A token bucket: `burst` at once, then `per_minute`."""

    def __init__(self, per_minute: float, burst: int, now: float) -> None:
        self._rate = per_minute / 60.0
        self._most = float(max(burst, 1))
        self._left = self._most
        self._at = now

    def seconds_left(self, now: float) -> float:
        """Seconds until one may be sent; 0 for now."""
        self._refill_bucket(now)
        return 0.0 if self._left >= _WHOLE else (1.0 - self._left) / self._rate

    def take(self, now: float) -> None:
        """One is sent."""
        self._refill_bucket(now)
        self._left -= 1.0

    def _refill_bucket(self, now: float) -> None:
        self._left = min(self._most, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now


def pause_after(failures: int, *, page: bool, after: float, chance: random.Random) -> float:
    """Seconds until the next try, `failures` in a row by now, `after` the vendor's Retry-After.

    Half of it is chance, so that what failed together does not come back together.
    """
    longest = LONGEST_PAUSE_OF_PAGE if page else LONGEST_PAUSE
    whole = min(longest, FIRST_PAUSE * 2.0 ** min(max(failures - 1, 0), 20))
    return max(after, whole * (0.5 + chance.random() / 2))


def is_tried_enough(delivery: Delivery, now: float) -> bool:
    """Whether it has been tried for so long that it is given up, in sight of everybody."""
    page = delivery.message.kind in ("page", "resolve")
    return now - delivery.accepted >= (PAGE_IS_TRIED if page else OTHER_IS_TRIED)
