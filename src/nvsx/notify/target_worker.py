"""Delivers to one target, order by order: the subject with a page first, else the oldest.

40 posts of 12 incidents wait for gpu-ops (60 a minute): one order a second, of one incident
12:00:07 a page is due at the same webhook: it goes next
12:00:08 503: nothing is sent before 12:00:09, then 12:00:11, … a minute at most
12:04:10 it takes one again: all that waits there is due, whatever it was put off to
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from nvsx.core.errors import StoreError
from nvsx.core.notify.message import Message
from nvsx.core.notify.outbox import Delivery
from nvsx.core.ports import Clock
from nvsx.notify.pacing import Allowance
from nvsx.notify.waiting import wait_for_event

log = logging.getLogger(__name__)


def name_group(message: Message) -> str:
    """What is judged together: a digest, a subject; tests have nothing in common."""
    return message.digest or message.subject or message.call


class TurnOutcome(msgspec.Struct, frozen=True):
    """`failed`: the target did not take it, `after` is its Retry-After. `left` waits there still,
    and can be sent at the next turn."""

    failed: bool = False
    after: float = 0.0
    left: tuple[Delivery, ...] = ()


class OrderSender(Protocol):
    """What the worker needs of the deliverer."""

    async def deliver_next(
        self, name: str, one: Delivery, count_send: Callable[[], None]
    ) -> TurnOutcome: ...

    async def read_waiting(self, name: str) -> Sequence[Delivery]: ...

    def pause_of_target(self, failures: int, after: float) -> float: ...

    def nudge(self) -> None: ...


class TargetWorker:
    """`put` what is due; `run` until cancelled. `rate` is (messages a minute, burst), None for no
    limit."""

    def __init__(
        self, sender: OrderSender, name: str, clock: Clock, rate: tuple[float, int] | None
    ) -> None:
        self._sender = sender
        self._name = name
        self._clock = clock
        self._allowance = Allowance(*rate, clock.now()) if rate is not None else None
        self._waiting: dict[str, dict[int, Delivery]] = {}
        self._some = asyncio.Event()
        self._failures = 0
        self._pausing = False
        self._finishing = False
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, delivery: Delivery) -> None:
        """It is due. It is read anew before it is sent. While the target is left alone it waits in
        the outbox, and comes back from there."""
        if self._pausing:
            return
        self._waiting.setdefault(name_group(delivery.message), {})[delivery.number] = delivery
        self._some.set()

    async def run(self) -> None:
        """Deliver until cancelled, or told to finish."""
        while not self._finishing:
            await self._some.wait()
            if not self._waiting:
                self._some.clear()
                self._sender.nudge()  # there may be more than one look gives
                continue
            await self._until_allowed()
            if self._finishing:
                return
            rows = self._waiting.pop(self._choose_group())
            outcome = await self._take_turn(next(iter(rows.values())))
            if outcome.failed:
                await self._leave_alone(outcome.after)
                continue
            for delivery in outcome.left:
                self.put(delivery)
            if self._failures:
                await self._recall_waiting()

    async def finish(self, clock: Clock, seconds: float) -> None:
        """Begin no further turn; wait `seconds` at most for the one that is under way."""
        self._finishing = True
        self._some.set()
        await wait_for_event(self._idle, clock, seconds)

    async def _take_turn(self, one: Delivery) -> TurnOutcome:
        self._idle.clear()
        try:
            return await self._sender.deliver_next(self._name, one, self._count_send)
        except StoreError as error:
            log.warning("%s: the outbox cannot be read or written: %s", self._name, error)
        except Exception:
            log.exception("a delivery to %s failed; the others go on", self._name)
        finally:
            self._idle.set()
        return TurnOutcome(failed=True)

    async def _until_allowed(self) -> None:
        while self._allowance is not None:
            wait = self._allowance.seconds_left(self._clock.now())
            if wait <= 0:
                return
            await self._clock.sleep(wait)

    def _count_send(self) -> None:
        if self._allowance is not None:
            self._allowance.take(self._clock.now())

    async def _leave_alone(self, after: float) -> None:
        """What waits is in the outbox; when the pause is over, it is read from there."""
        self._failures += 1
        self._waiting.clear()
        self._pausing = True
        try:
            await self._clock.sleep(self._sender.pause_of_target(self._failures, after))
        finally:
            self._pausing = False
        self._sender.nudge()

    async def _recall_waiting(self) -> None:
        """The target takes messages again: nothing there waits for its own back-off."""
        self._failures = 0
        try:
            for delivery in await self._sender.read_waiting(self._name):
                self.put(delivery)
        except StoreError as error:
            log.warning("%s: the outbox cannot be read: %s", self._name, error)

    def _choose_group(self) -> str:
        """A page waits for nobody's posts."""

        def weigh(group: str) -> tuple[bool, int]:
            rows = self._waiting[group].values()
            posts = all(d.message.kind not in ("page", "resolve") for d in rows)
            return posts, min(d.number for d in rows)

        return min(self._waiting, key=weigh)
