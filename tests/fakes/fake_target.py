"""A target that behaves as it is told, and keeps what it was sent and when."""

from __future__ import annotations

from collections.abc import Callable

from nvsx.core.notify.order import Order, Receipt
from nvsx.core.ports import Clock


class FakeTarget:
    """See core.notify.target_port.MessageTarget. `answers` are raised one after the other, None
    for a try that goes well; then `always`. `takes` seconds go by in each try. `on_send` is called
    before it answers."""

    def __init__(
        self, clock: Clock, name: str, kind: str = "slack", *, has_threads: bool = True
    ) -> None:
        self._clock = clock
        self._name = name
        self._kind = kind
        self._has_threads = has_threads
        self.answers: list[Exception | None] = []
        self.always: Exception | None = None
        self.takes = 0.0
        self.on_send: Callable[[Order], None] = lambda _order: None
        self.asked: list[tuple[float, Order]] = []
        self.took: list[tuple[float, Order]] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def kind(self) -> str:
        return self._kind

    @property
    def has_threads(self) -> bool:
        return self._has_threads

    @property
    def titles(self) -> list[str]:
        """What it took, in order."""
        return [order.title for _, order in self.took]

    def times(self, start: float) -> list[float]:
        """When it took something, seconds after `start`."""
        return [at - start for at, _ in self.took]

    async def deliver(self, order: Order) -> Receipt:
        """As it was told."""
        self.asked.append((self._clock.now(), order))
        self.on_send(order)
        if self.takes:
            await self._clock.sleep(self.takes)
        answer = self.answers.pop(0) if self.answers else self.always
        if answer is not None:
            raise answer
        self.took.append((self._clock.now(), order))
        ref = order.ref or f"{self._name}-{order.delivery}"
        return Receipt(
            target=self._name,
            kind=self._kind,
            action=order.action,
            ref=ref,
            t=self._clock.now(),
            text=order.title,
            account="…1234",
        )

    async def check(self) -> str:
        return "well"

    async def close(self) -> None:
        return None
