"""The port to a run's spool: how what its hooks asked to be told comes to the run's owner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from nvsx.core.notify.message import Message
from nvsx.core.notify.outbox import Delivery
from nvsx.core.notify.spool_format import SpoolAbout

#: Decides who is told and stores it, flushed; what each message's deliveries are, all together.
#: A message whose call is known already gives the deliveries it has. Raises StoreError.
MessageSink = Callable[[Sequence[Message]], Awaitable[Sequence[Delivery]]]


class AskedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is stored, with its deliveries. `problem` is "" when all is as it was asked,
    else what a person should hear of."""

    message: Message
    deliveries: tuple[Delivery, ...] = ()
    problem: str = ""


#: Writes into the run's journal what became of its messages.
RecordSettled = Callable[[Sequence[Delivery]], Awaitable[None]]

#: Writes messages into the run's journal. The same one may come again after a crash.
RecordAsked = Callable[[Sequence[AskedMessage]], Awaitable[None]]


class MessageSpool(Protocol):
    """One run's. Safe to use from several tasks; nothing waits while no script runs."""

    @property
    def folder(self) -> str:
        """What hooks find in NVSX_NOTIFY_DIR."""
        ...

    async def open(self, about: SpoolAbout) -> None:
        """Make the folder where it is missing, and say there whose it is. Raises StoreError."""
        ...

    def listen(self, record: RecordAsked) -> AbstractAsyncContextManager[None]:
        """While a script runs: take in what comes as soon as the bell rings."""
        ...

    def hear_settled(self, record: RecordSettled) -> AbstractAsyncContextManager[None]:
        """While the run lives: have it recorded what becomes of its messages."""
        ...

    @property
    def is_delivered(self) -> bool:
        """Whether this process delivers, so that it is worth waiting for a moment."""
        ...

    async def take_in(self, record: RecordAsked) -> None:
        """Store all that lies there, then have it recorded, then remove it. Raises StoreError."""
        ...

    async def remove(self) -> None:
        """The run is over: no more calls. What is not taken in stays for a later nvsx."""
        ...
