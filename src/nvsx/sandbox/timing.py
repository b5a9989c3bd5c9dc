"""Time in the sandbox: how long each step takes, and the clock its objects are dated by.

DURATIONS compress NVSentinel's real delays (up to 25 minutes for a reboot) to a chain of
about twenty seconds at speed 1; the speed divides them all. Timestamps are always true
wall time, except that the world is furnished with the clock set back, so that its objects
have an age.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

# Seconds at speed 1, with what they stand for.
DURATIONS: Mapping[str, float] = {
    "detect": 0.6,  # monitor poll and the platform connector's write; really 15 s and more
    "store": 0.2,  # the database insert, by a queue of its own
    "quarantine": 0.8,  # fault-quarantine's reaction to the change stream
    "drain_pickup": 0.7,  # node-drainer's
    "drain_retry": 1.0,  # its backoff: 10 s doubling to 2 min
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
}


class Pace:
    """Sleeps through named durations, divided by the speed.

    What `timings` sets wins over a variant's own durations, and those over DURATIONS.
    """

    def __init__(self, speed: float, timings: Mapping[str, float] | None = None) -> None:
        self.speed = speed
        self._given = dict(timings or {})

    def seconds(self, name: str, variant: Mapping[str, float] | None = None) -> float:
        """Real seconds that the duration called `name` takes."""
        return {**DURATIONS, **(variant or {}), **self._given}[name] / self.speed

    def scaled(self, seconds: float) -> float:
        """Real seconds for `seconds` at speed 1."""
        return seconds / self.speed

    async def sleep(self, name: str, variant: Mapping[str, float] | None = None) -> None:
        await asyncio.sleep(self.seconds(name, variant))


class Clock:
    """Wall time that can be set back while the world is furnished."""

    def __init__(self) -> None:
        self._offset = 0.0

    def now(self) -> float:
        """Unix seconds."""
        return time.time() - self._offset

    @contextmanager
    def back(self, seconds: float) -> Iterator[None]:
        """Date what is created inside `seconds` ago."""
        before, self._offset = self._offset, seconds
        try:
            yield
        finally:
            self._offset = before


def rfc3339(at: float) -> str:
    """Unix seconds as Kubernetes writes times: whole seconds, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
