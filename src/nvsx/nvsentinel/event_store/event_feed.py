"""The feed: new health events of NVSentinel's own store, in order and at least once.

Poll-mode triggers read it; the adapters are `mongo` and `postgres`. Where reading goes on is
kept by the reader, never in NVSentinel's store: a `FeedPosition` is handed in and a later one
comes back with the events. Who has dealt with the events keeps its `mark`; who has not
asks again from the earlier position and gets them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from nvsx.core.incident.session import HealthEvent
from nvsx.core.ports import HealthEventStore


class FeedPosition(msgspec.Struct, frozen=True):
    """Where reading goes on.

    `mark` is JSON and is kept across restarts: `at` is the creation time (Unix seconds) up
    to which events were read, the rest is the adapter's own. `memory` is what only this
    process knows, the ids it has had in the stretch that is read again; without it some
    events come a second time.
    """

    mark: Mapping[str, Any]
    memory: Any = None

    @classmethod
    def at(cls, time: float) -> FeedPosition:
        """Begin with events created at `time` (Unix seconds)."""
        return cls({"at": time})


class Batch(msgspec.Struct, frozen=True):
    """The next events, oldest first, and the position behind them. `more` says that the
    store has further ones now. `oddities` say, in words, what could not be decoded."""

    events: tuple[HealthEvent, ...]
    position: FeedPosition
    more: bool = False
    oddities: tuple[str, ...] = ()


class HealthEventFeed(HealthEventStore, Protocol):
    """NVSentinel's store, read only. Every method raises StoreError."""

    async def after(self, position: FeedPosition, limit: int = 500) -> Batch:
        """At most `limit` events that became visible after `position`, healthy ones too."""
        ...

    async def close(self) -> None: ...
