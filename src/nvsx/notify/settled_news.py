"""Carries what became of messages from whoever delivers to the runs that asked for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nvsx.core.notify.outbox import Delivery


class SettledNews:
    """`tell` never waits; a run that nobody works in this process hears nothing."""

    def __init__(self) -> None:
        self._queues: dict[str, asyncio.Queue[Sequence[Delivery]]] = {}

    @contextmanager
    def listen(self, run: str) -> Iterator[asyncio.Queue[Sequence[Delivery]]]:
        """What becomes of the messages of one run."""
        queue = self._queues[run] = asyncio.Queue()
        try:
            yield queue
        finally:
            if self._queues.get(run) is queue:
                del self._queues[run]

    def tell(self, settled: Sequence[Delivery]) -> None:
        """These were settled, or put off."""
        for run in {d.message.run for d in settled}:
            if run in self._queues:
                self._queues[run].put_nowait([d for d in settled if d.message.run == run])
