"""A stage for the deliverer: the fake outbox, fake targets, virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.fakes.fake_outbox import FakeOutbox
from tests.fakes.fake_target import FakeTarget
from tests.fakes.virtual_clock import EPOCH, VirtualClock

from nvsx.core.incident.incident_state import IncidentState
from nvsx.core.notify.addressing import NotifyBook
from nvsx.core.notify.message import Message, MessageKind
from nvsx.core.notify.outbox import Delivery, OutboxFilter
from nvsx.core.notify.subject import StormView, Subject
from nvsx.notify.deliverer import Deliverer, DeliveryTarget
from nvsx.notify.message_desk import MessageDesk

BOOK = NotifyBook(
    kinds={"oncall": "pagerduty", "dc-hands": "opsgenie", "gpu-ops": "slack", "tickets": "jira"},
    page=("oncall",),
    page_fallback=("dc-hands",),
    post=("gpu-ops",),
    ticket=("tickets",),
)


class DeliveryStage:
    """Time starts at EPOCH; `at` counts from there. A deliverer runs within `delivering`."""

    def __init__(self, book: NotifyBook = BOOK, *, per_minute: float = 6000.0, burst: int = 10):
        self.clock = VirtualClock()
        self.outbox = FakeOutbox()
        self.incidents: dict[str, IncidentState] = {}
        self.storms: dict[str, StormView] = {}
        self.settled: list[Delivery] = []
        self.asked_of: list[str] = []
        self.targets = {
            name: FakeTarget(self.clock, name, kind) for name, kind in book.kinds.items()
        }
        self.book = book
        self.per_minute, self.burst = per_minute, burst
        self.desk = MessageDesk(self.outbox, book, self.clock.now, self.wake)
        self.deliverer = self.make_deliverer("first")
        self._numbers = 0

    def wake(self) -> None:
        self.deliverer.nudge()

    def make_deliverer(self, owner: str) -> Deliverer:
        """A process that delivers."""
        targets = {
            name: DeliveryTarget(target=target, per_minute=self.per_minute, burst=self.burst)
            for name, target in self.targets.items()
        }
        return Deliverer(
            self.outbox,
            targets,
            self.desk.accept,
            self.ask_subject,
            self.clock,
            owner=owner,
            on_settled=self.settled.extend,
            chance=random.Random(7),
        )

    async def ask_subject(self, subject: str) -> Subject:
        """As it is now."""
        self.asked_of.append(subject)
        return Subject(
            subject=subject,
            incident=self.incidents.get(subject),
            storm=self.storms.get(subject),
            cluster="prod",
        )

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[DeliveryStage]:
        """While the deliverer runs; what is under way at the end is cut."""
        task = asyncio.create_task(self.deliverer.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def say(
        self, title: str, kind: MessageKind = "post", incident: str = "i-1", **more: Any
    ) -> Sequence[Delivery]:
        """A hook asks."""
        self._numbers += 1
        given: dict[str, Any] = {
            "call": f"r-1/{self._numbers}",
            "node": "gpu-1",
            "asked": self.clock.now(),
            "incident": incident,
        }
        return await self.desk.accept([Message(kind=kind, title=title, **(given | more))])

    async def until(self, seconds: float) -> None:
        """Let time go on to `seconds` after the start."""
        await self.clock.sleep(max(0.0, EPOCH + seconds - self.clock.now()))

    async def rows(self, **asked: Any) -> list[tuple[str, str, str]]:
        """(target, title, state) of all deliveries."""
        found = await self.outbox.deliveries(OutboxFilter(limit=None, **asked))
        return [(d.target, d.message.title, d.state) for d in found]

    async def row(self, target: str, title: str) -> Delivery:
        """The newest of this title at a target."""
        found = await self.outbox.deliveries(OutboxFilter(limit=None))
        return [d for d in found if (d.target, d.message.title) == (target, title)][-1]
