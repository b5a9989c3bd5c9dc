"""Time in the sandbox: how long each step takes, in what order, and how objects are dated.

DURATIONS compress NVSentinel's real delays (up to 25 minutes for a reboot) to a chain of
about twenty seconds at speed 1. What happens when is kept in seconds of the story, those of
speed 1; the speed only decides how soon each comes. So the order of events never depends on
how busy the machine is. Timestamps are true wall time, except that the world is furnished
with the clock set back, so that its objects have an age.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache

FASTEST = 1000.0
"""This speed and any above it wait for nothing: each event follows when the one before it
has had its consequences."""
# So many turns of the event loop let whatever an event sets off come to rest: the task it
# wakes, those that task starts, and those which wait for a lock that they give back.
_TURNS = 12

# Seconds at speed 1, with what they stand for.
DURATIONS: Mapping[str, float] = {
    "detect": 0.6,  # monitor poll and the platform connector's write; really 15 s and more
    "store": 0.2,  # the database insert, by a queue of its own
    "quarantine": 0.8,  # fault-quarantine's reaction to the change stream
    "drain_pickup": 0.7,  # node-drainer's
    "drain_retry": 1.0,  # its backoff: 10 s doubling to 2 min
    "pod_left": 10.0,  # a pod NotReady or Terminating for longer is not waited for; 5 min
    "custom_drain": 4.0,  # the operator's own controller
    "custom_drain_poll": 1.0,  # really 30 s
    "workload_ends": 8.0,  # from the fault until a job with a GPU on the node gives up
    "eviction_retry": 1.0,  # after a 429; really 5 s and more
    "delete_after": 6.0,  # DeleteAfterTimeout's limit; really 60 min
    "budget_frees": 4.0,  # until a disruption budget allows an eviction again
    "log_collection": 3.0,  # the log collector's Job; really up to 10 min
    "remediate_pickup": 0.8,  # fault-remediation's reaction
    "remediating": 0.3,  # between its labels; really well under a second
    "remediate_recheck": 2.0,  # behind a CR in progress; really 30 s
    "janitor_start": 0.4,
    "signal": 0.7,  # the cloud provider's answer
    "shutdown": 1.2,
    "reboot": 6.0,  # NotReady until Ready; really minutes
    "janitor_poll": 0.5,  # really 30 s, then 60 s
    "reboot_timeout": 30.0,  # really 25 min
    "services_stop": 0.5,  # what uses the GPU is stopped before a reset
    "gpu_reset": 2.5,  # the reset's Job; really about a minute
    "replace_node": 4.0,  # from a Node's end until the new machine registers
    "release": 0.5,  # lifecycle-manager lets go of a node
    "external_repair": 4.0,  # somebody else's work on it; really hours
    "validation": 3.0,  # the tests of a ValidationRequest
    "labeler": 0.4,
    "dcgm_up": 0.9,  # the GPU monitor's first pass after a boot
    "boot_seen": 2.0,  # the syslog monitor notices a new boot id
    "not_ready_seen": 0.8,  # the object monitor's
    "cleanup": 0.3,  # fault-remediation forgets its state after the un-quarantine
    "breaker_window": 8.0,  # really 5 min
    "person_acts": 1.5,  # between seeing and typing
    "look_at_node": 1.5,  # how long a debug pod is used
    "pod_stops": 0.5,  # graceful termination
    "pod_starts": 0.5,
    "monitor_restarts": 1.0,
    "replay": 4.0,  # from the recovery until a monitor that starts anew replays its log
}


class Timeline:
    """The order of all that is to happen, in seconds of the story.

    Sleepers wake strictly by their time, those of one time in the order they lay down, and
    nobody wakes before the consequences of the wake before are over. A moment of the story
    is as long as that takes: whatever happens meanwhile happens at the same time.
    """

    def __init__(self, speed: float) -> None:
        self.speed = min(speed, FASTEST)
        self._paced = speed < FASTEST
        self._now = 0.0
        self._moment = False
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, asyncio.Future[None]]] = []
        self._timer: asyncio.Handle | None = None
        self._began: float | None = None

    def now(self) -> float:
        """Seconds since the first event; begins a moment, so that it stands still in it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._now
        if not self._moment:
            self._now = max(self._now, min(self._elapsed_seconds(loop), self._next_due()))
            self._begin_moment(loop)
        return self._now

    def wake(self, sleeper: asyncio.Future[None], seconds: float) -> None:
        """Give the future its result in so many seconds, unless it has one by then."""
        heapq.heappush(self._due, (self.now() + seconds, next(self._numbers), sleeper))

    async def wait(self, seconds: float) -> None:
        """Sleep for so many seconds of the story."""
        sleeper = asyncio.get_running_loop().create_future()
        self.wake(sleeper, seconds)
        await sleeper

    def _elapsed_seconds(self, loop: asyncio.AbstractEventLoop) -> float:
        if self._began is None:
            self._began = loop.time()
        return (loop.time() - self._began) * self.speed if self._paced else self._now

    def _next_due(self) -> float:
        while self._due and self._due[0][2].done():
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else math.inf

    def _begin_moment(self, loop: asyncio.AbstractEventLoop) -> None:
        self._moment = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_soon(self._let_settle, loop, _TURNS)

    def _let_settle(self, loop: asyncio.AbstractEventLoop, turns: int) -> None:
        if turns:
            self._timer = loop.call_soon(self._let_settle, loop, turns - 1)
            return
        self._moment, self._timer = False, None
        due = self._next_due()
        if due == math.inf:
            return
        if self._paced and self._elapsed_seconds(loop) < due:
            at = (self._began or 0.0) + due / self.speed
            self._timer = loop.call_at(at, self._turn_to_next, loop)
        else:
            self._turn_to_next(loop)

    def _turn_to_next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Go to the next event, or to several of one time."""
        due = self._next_due()
        if due == math.inf:
            self._timer = None
            return
        self._now = max(self._now, due)
        self._begin_moment(loop)
        while self._next_due() == due:
            heapq.heappop(self._due)[2].set_result(None)


class Pace(Timeline):
    """The timeline, with durations by name.

    What `timings` sets wins over a variant's own durations, and those over DURATIONS.
    """

    def __init__(self, speed: float, timings: Mapping[str, float] | None = None) -> None:
        super().__init__(speed)
        self._given = dict(timings or {})

    def seconds(self, name: str, variant: Mapping[str, float] | None = None) -> float:
        """How long the duration called `name` is."""
        return {**DURATIONS, **(variant or {}), **self._given}[name]

    async def sleep(self, name: str, variant: Mapping[str, float] | None = None) -> None:
        """Sleep through a duration."""
        await self.wait(self.seconds(name, variant))


class Clock:
    """What objects are dated by: the true time or, with `began` (Unix seconds), the story's.

    It can be set back while the world is furnished.
    """

    def __init__(self, pace: Timeline, began: float | None = None) -> None:
        self._source = time.time if began is None else lambda: began + pace.now()
        self._rate = pace.speed if began is None else 1.0
        self._offset = 0.0
        self._last = 0

    def now(self) -> float:
        """Unix seconds."""
        return self._source() - self._offset

    def then(self, seconds: float) -> float:
        """Unix seconds after so many seconds of the story."""
        return self.now() + seconds / self._rate

    def nanoseconds(self) -> int:
        """Unix nanoseconds, as monitors date what they saw; never the same twice."""
        self._last = max(self._last + 1, int(self.now() * 1_000_000) * 1000)
        return self._last

    @contextmanager
    def back(self, seconds: float) -> Iterator[None]:
        """Date what is created inside `seconds` ago."""
        before, self._offset = self._offset, seconds
        try:
            yield
        finally:
            self._offset = before


@lru_cache(maxsize=64)  # ten thousand nodes are furnished at one moment
def rfc3339(at: float) -> str:
    """Unix seconds as Kubernetes writes times: whole seconds, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
