"""The fake of core.feed.HealthEventFeed: events a test puts in, visible when it does so.

Positions count what was put, so they are exact. `fail_with` makes every read raise until it
is None again, as a database that is away would.
"""

from __future__ import annotations

from collections.abc import Sequence

from nvsx.core.errors import StoreError
from nvsx.core.incident.session import HealthEvent
from nvsx.nvsentinel.event_store.event_feed import Batch, FeedPosition


class FakeHealthEvents:
    """What is put is a HealthEvent, or text that says why something could not be decoded.
    `reads` counts the calls of `after`."""

    def __init__(self) -> None:
        self._put: list[HealthEvent | str] = []
        self.fail_with: StoreError | None = None
        self.reads = 0
        self.closed = False

    def put(self, *what: HealthEvent | str) -> None:
        self._put.extend(what)

    async def events(self, node: str, since: float) -> Sequence[HealthEvent]:
        self._answer()
        found = (e for e in self._put if isinstance(e, HealthEvent))
        wanted = [e for e in found if e.node == node and e.created_at >= since]
        return sorted(wanted, key=lambda e: e.created_at)

    async def after(self, position: FeedPosition, limit: int = 500) -> Batch:
        self.reads += 1
        self._answer()
        begins = float(position.mark["at"])
        count = int(position.mark.get("count", self._before(begins)))
        fresh = self._put[count : count + limit]
        events = [e for e in fresh if isinstance(e, HealthEvent)]
        count += len(fresh)
        return Batch(
            tuple(events),
            FeedPosition({"at": begins, "count": count}),
            more=count < len(self._put),
            oddities=tuple(o for o in fresh if isinstance(o, str)),
        )

    async def close(self) -> None:
        self.closed = True

    def _before(self, time: float) -> int:
        """How many were put before the first that was created at `time` or later."""
        for number, event in enumerate(self._put):
            if isinstance(event, str) or event.created_at >= time:
                return number
        return len(self._put)

    def _answer(self) -> None:
        if self.fail_with is not None:
            raise self.fail_with
