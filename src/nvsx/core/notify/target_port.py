"""The port to a target: where messages go. One file each in notify.targets, one contract suite."""

from __future__ import annotations

from typing import Protocol

from nvsx.core.errors import NvsxError
from nvsx.core.notify.order import Order, Receipt


class DeliveryDelayed(NvsxError):
    """Not delivered, and a later try may succeed: 429, 5xx, no connection, a hang.

    `after` is what the vendor asked for (Retry-After, seconds), 0 where it said nothing.
    `unsure`: the request was sent and no answer read, so that the vendor may have taken it.
    The message names the vendor's own reason, without any secret.
    """

    retryable = True

    def __init__(self, text: str, after: float = 0.0, *, unsure: bool = False) -> None:
        super().__init__(text)
        self.after = after
        self.unsure = unsure


class DeliveryRefused(NvsxError):
    """The vendor will not take this order however often it is tried: 400, 401, 404.

    `gone`: what `ref` named is no longer there (a deleted thread, a deleted ticket): a new one
    may be opened.
    """

    def __init__(self, text: str, hint: str = "", *, gone: bool = False) -> None:
        super().__init__(text, hint)
        self.gone = gone


class MessageTarget(Protocol):
    """One target of nvsx.yaml. Safe to use from several tasks; makes its client when it is first
    needed, in the event loop that asks."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def has_threads(self) -> bool:
        """Posts can be replies to the incident's first one. Where not, a post must begin with
        node and incident."""
        ...

    async def deliver(self, order: Order) -> Receipt:
        """Do what the order says. Raises DeliveryDelayed, DeliveryRefused."""
        ...

    async def check(self) -> str:
        """The least harmful call that proves credentials and place; what it proved, one line.

        Raises DeliveryDelayed, DeliveryRefused.
        """
        ...

    async def close(self) -> None: ...
