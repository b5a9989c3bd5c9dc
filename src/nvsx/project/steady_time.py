"""The time of day as this process tells it: it goes on evenly, whatever is done to the wall clock.

Limits, ages and the order of entries hold only on a clock that does not jump. A machine's wall
clock is set by people and by NTP, an hour or a day at once.

    12:00:00 nvsx starts: read_time() is the wall clock's
    12:10:00 somebody sets the wall clock to 13:10:00 · 12:10:01 read_time() says 12:10:01
    12:20:00 nvsx is started anew: read_time() is the wall clock's, 13:20:00
"""

from __future__ import annotations

import time

#: It goes on while a laptop sleeps, as the wall clock does; macOS' own does that too.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_ZERO = time.time() - time.clock_gettime(_CLOCK)


def read_time() -> float:
    """Unix seconds."""
    return _ZERO + time.clock_gettime(_CLOCK)
