"""Container logs of the sandbox's pods: bounded in memory, readable and followable.

The simulator appends lines, the API server's pods/log reads them. A log lives as long as
its pod; the oldest lines go first, as a rotated log file's do. Nothing is written to disk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import NamedTuple

MAX_LINES = 2_000


class Line(NamedTuple):
    """One line, `at` Unix seconds, `number` counting from 1 without gaps."""

    number: int
    at: float
    text: str

    def render(self, *, timestamps: bool) -> bytes:
        """The line as pods/log sends it, newline included."""
        if not timestamps:
            return f"{self.text}\n".encode()
        stamp = datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
        return f"{stamp}000Z {self.text}\n".encode()


class _Log:
    def __init__(self) -> None:
        self.lines: deque[Line] = deque(maxlen=MAX_LINES)
        self.last = 0
        self.ended = False
        self.waiting: set[asyncio.Future[None]] = set()

    def wake(self) -> None:
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)
        self.waiting.clear()


class PodLogs:
    """The logs of all containers, by namespace, pod and container."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._logs: dict[tuple[str, str, str], _Log] = {}

    def append(self, namespace: str, pod: str, container: str, line: str) -> None:
        """Add one line; line breaks inside it become several lines."""
        log = self._logs.setdefault((namespace, pod, container), _Log())
        for text in line.rstrip("\n").split("\n"):
            log.last += 1
            log.lines.append(Line(log.last, self._now(), text))
        log.wake()

    def drop(self, namespace: str, pod: str) -> None:
        """Forget a pod's logs and end whoever follows them."""
        for key in [k for k in self._logs if k[:2] == (namespace, pod)]:
            log = self._logs.pop(key)
            log.ended = True
            log.wake()

    def read(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        tail: int | None = None,
        since: float | None = None,
    ) -> list[Line]:
        """The lines kept, at most the last `tail`, none older than `since` (Unix seconds)."""
        log = self._logs.get((namespace, pod, container))
        lines = [line for line in log.lines if since is None or line.at >= since] if log else []
        return lines if tail is None else lines[len(lines) - min(tail, len(lines)) :]

    def last(self, namespace: str, pod: str, container: str) -> int:
        """The number of the latest line, 0 when there is none."""
        log = self._logs.get((namespace, pod, container))
        return log.last if log else 0

    def is_followed(self, namespace: str, pod: str, container: str) -> bool:
        """Whether somebody waits for the next line."""
        log = self._logs.get((namespace, pod, container))
        return bool(log and log.waiting)

    async def follow(
        self, namespace: str, pod: str, container: str, *, after: int
    ) -> AsyncIterator[list[Line]]:
        """Batches of lines numbered above `after`, as they come, until the pod goes."""
        log = self._logs.setdefault((namespace, pod, container), _Log())
        while True:
            if fresh := [line for line in log.lines if line.number > after]:
                after = fresh[-1].number
                yield fresh
                continue
            if log.ended:
                return
            waiter = asyncio.get_running_loop().create_future()
            log.waiting.add(waiter)
            try:
                await waiter
            finally:
                log.waiting.discard(waiter)
