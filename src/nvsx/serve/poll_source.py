"""The poll source: asks NVSentinel's own store for new health events, every few seconds.

It offers what the feed brings to the intake and decides nothing. Where it is, is kept in
nvsx's own store, and only after everything up to there was answered: an outage of the
store, of nvsx or of the database loses no event, and what comes twice the intake knows by
its id. Trouble is told once, and tried again with growing pauses.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from nvsx.cluster.pace import Backoff
from nvsx.core import durations
from nvsx.core.errors import NvsxError, StoreError
from nvsx.core.incident.session import HealthEvent
from nvsx.core.ports import Clock
from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import Intake, TriggerEvent
from nvsx.nvsentinel import names
from nvsx.nvsentinel.event_store.event_feed import FeedPosition, HealthEventFeed
from nvsx.serve.watch_source import TOGETHER, identity_of

log = logging.getLogger(__name__)

SOURCE = "poll"
LONGEST_PAUSE = 60.0
"""Seconds between two tries at most: who repairs the store should not wait for nvsx."""
BATCH = 500
"""Events in one answer of the store: a few hundred KB."""


class CursorStore(Protocol):
    """Where sources keep how far they have read (part of core.inbox.Inbox)."""

    async def cursor(self, source: str) -> Any: ...

    async def set_cursor(self, source: str, value: Any) -> None: ...


def was_quarantined_for(event: HealthEvent) -> bool:
    """Whether fault-quarantine has written on the event that the node is quarantined for it.

    12:00:00.1 stored, polled at once: nothing is written yet (the lookout offers it later)
    12:00:00.3 `Quarantined`; `AlreadyQuarantined` for one that joined
    12:31      `UnQuarantined`, `Cancelled`: no longer
    """
    status = event.document.get("healtheventstatus")
    word = status.get("nodequarantined") if isinstance(status, Mapping) else None
    return word in (names.QUARANTINED, names.ALREADY_QUARANTINED)


def event_of(event: HealthEvent, now: float) -> TriggerEvent:
    """A stored event as a trigger; a healthy one is a recovery notice. `now`: Unix seconds."""
    return TriggerEvent(
        source=SOURCE,
        delivery=identity_of(event),
        facts=TriggerFacts.of(event, source=SOURCE, quarantined=was_quarantined_for(event)),
        received=now,
        event=event,
        resolved=event.healthy,
    )


class PollSource:
    """`follow` runs until it is cancelled. `interval` and `lookback` are seconds: how often
    to ask, and how far before its first start ever it begins. `name` is the cursor's."""

    def __init__(
        self,
        feed: HealthEventFeed,
        intake: Intake,
        cursors: CursorStore,
        clock: Clock,
        interval: float = 10.0,
        *,
        lookback: float = 900.0,
        name: str = SOURCE,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._feed = feed
        self._intake = intake
        self._cursors = cursors
        self._clock = clock
        self._interval = interval
        self._lookback = lookback
        self._name = name
        self._backoff = Backoff(interval, max(interval, LONGEST_PAUSE), rng)
        self._position: FeedPosition | None = None
        self._unwell: set[tuple[str, str]] = set()
        self._begun = clock.now()
        self._read_at: float | None = None
        self._trouble = ""

    async def follow(self) -> None:
        """Poll for ever; nothing that goes wrong ends it."""
        while True:
            try:
                await self.poll()
            except NvsxError as error:
                self._say_trouble_once(str(error), error.message)
            except Exception as error:
                log.exception("polling failed; it goes on")
                self._trouble = f"{type(error).__name__}: {error}"
            else:
                await self._clock.sleep(self._interval)
                continue
            await self._clock.sleep(self._backoff.next())

    async def poll(self) -> int:
        """Offer everything that is new; how many events that were.

        Raises StoreError when the store, or ours, cannot be used now; then the same events
        come again next time.
        """
        position = self._position or await self._resume_position()
        count = 0
        while True:
            batch = await self._feed.after(position, BATCH)
            for oddity in batch.oddities:
                log.warning("NVSentinel's store: %s", oddity)
            await self._offer_all(batch.events)
            count += len(batch.events)
            if self._position is None or batch.position.mark != position.mark:
                await self._cursors.set_cursor(self._name, dict(batch.position.mark))
            self._position = position = batch.position
            if not batch.more:
                break
        if self._trouble:
            log.info("NVSentinel's store is read again")
        self._read_at, self._trouble = self._clock.now(), ""
        self._backoff.reset()
        return count

    def state(self) -> str:
        """`ok`, or why what is known of the store is not fresh, for /readyz.

        With an interval of 10 s: read at 10:00:00 and never since, it is `ok` until 10:01:00
        and then "not read for 1m1s". Not read since the start: "not been read yet".
        """
        since = self._begun if self._read_at is None else self._read_at
        age = self._clock.now() - since
        if self._read_at is not None and age <= max(3 * self._interval, LONGEST_PAUSE):
            return "ok"
        if self._read_at is None and not self._trouble:
            return "the store has not been read yet"
        return f"not read for {durations.format(max(1, round(age)))}: {self._trouble or 'waiting'}"

    def _say_trouble_once(self, said: str, why: str) -> None:
        if why != self._trouble:
            log.warning("NVSentinel's store cannot be read now: %s", said)
        self._trouble = why

    async def _resume_position(self) -> FeedPosition:
        kept = await self._cursors.cursor(self._name)
        if isinstance(kept, dict) and isinstance(kept.get("at"), int | float):
            return FeedPosition(kept)
        return FeedPosition.at(self._clock.now() - self._lookback)

    async def _offer_all(self, events: Iterable[HealthEvent]) -> None:
        """Offer them side by side, those of one node one after another.

        Raises StoreError when one of them could not be stored.
        """
        nodes: dict[str, list[HealthEvent]] = {}
        unwell = set(self._unwell)
        for event in events:
            if _is_news(event, unwell):
                nodes.setdefault(event.node, []).append(event)
        gate = asyncio.Semaphore(TOGETHER)

        async def in_turn(mine: list[HealthEvent]) -> None:
            async with gate:
                for event in mine:
                    await self._offer_one(event)

        results = await asyncio.gather(*map(in_turn, nodes.values()), return_exceptions=True)
        for error in results:
            if isinstance(error, BaseException):
                raise error
        self._unwell = unwell

    async def _offer_one(self, event: HealthEvent) -> None:
        try:
            await self._intake.offer(event_of(event, self._clock.now()))
        except StoreError:
            raise
        except Exception:
            # Asking for ever about one event would keep all that follow from being heard.
            log.exception("event %s of %s was not taken", event.id, event.node)


def _is_news(event: HealthEvent, unwell: set[tuple[str, str]]) -> bool:
    """Monitors report every check as healthy when they start; only the recovery of a fault
    that was offered says something. `unwell` has those, and is kept up to date.

    10:00 n1, XID check, healthy (the monitor started)   no news
    10:05 n1, XID check, a fault                         news
    10:09 n1, XID check, healthy                         news, its recovery
    10:10 n1, XID check, healthy                         no news
    """
    check = (event.node, event.check)
    if not event.healthy:
        unwell.add(check)
        return True
    known = check in unwell
    unwell.discard(check)
    return known
