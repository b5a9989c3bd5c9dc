"""The owner's side of a run's spool: what its hooks asked to be told, taken in once and surely.

A hook's call lies in the run's folder as a file that was flushed before the call returned. Here it
is stored in the outbox, then written into the run's journal, then removed; a call is known by its
identity, so that whatever dies in between makes it come again and not be told again.

    12:00:00.03 the hook has written the call and rings; `nvsx notify` returns 0
    12:00:00.04 the owner stores it                              killed here: stored again, known
    12:00:00.05 the owner removes the file                       killed before: the same
    12:00:04    the hook ends: all that lies there is taken in before its end is recorded
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from nvsx.core.errors import NvsxError, StoreError
from nvsx.core.notify.outbox import Delivery
from nvsx.core.notify.spool_format import (
    ABOUT,
    BELL,
    CALL_SUFFIX,
    LARGEST_CALL,
    RECEIPT_SUFFIX,
    WAIT_SUFFIX,
    CallReceipt,
    SpoolAbout,
    SpooledCall,
    call_hash,
    message_of_call,
    receipt_of_call,
)
from nvsx.core.notify.spool_port import AskedMessage, MessageSink, RecordAsked

log = logging.getLogger(__name__)

UNREADABLE_SUFFIX = ".unreadable"
Mask = Callable[[str], str]


class RunSpool:
    """The spool of one run; see the port, `MessageSpool`."""

    def __init__(self, folder: Path, sink: MessageSink, mask: Mask) -> None:
        self._folder = folder
        self._sink = sink
        self._mask = mask
        self._about = SpoolAbout()
        self._taking = asyncio.Lock()
        self._listeners = 0
        self._bell: _Bell | None = None

    @property
    def folder(self) -> str:
        return str(self._folder)

    async def open(self, about: SpoolAbout) -> None:
        """See the port."""
        if about == self._about and self._folder.is_dir():
            return
        try:
            await asyncio.to_thread(_prepare_folder, self._folder, about)
        except OSError as error:
            raise StoreError(
                f"hooks cannot hand over messages: {self._folder}: {error.strerror}",
                "make room there, and make the state folder writable for you",
            ) from error
        self._about = about

    @asynccontextmanager
    async def listen(self, record: RecordAsked) -> AsyncIterator[None]:
        """See the port. What cannot be stored now lies there until the script ends."""
        self._listeners += 1
        if self._bell is None:
            self._bell = _Bell(self._folder / BELL, lambda: self._answer_bell(record))
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners:
                bell, self._bell = self._bell, None
                await bell.close()

    async def _answer_bell(self, record: RecordAsked) -> None:
        try:
            await self.take_in(record)
        except NvsxError as error:
            log.warning("messages of run %s wait: %s", self._about.run, error.message)

    async def take_in(self, record: RecordAsked) -> None:
        """See the port."""
        async with self._taking:
            await take_in_folder(self._folder, self._about, self._sink, self._mask, record)

    async def remove(self) -> None:
        """See the port."""
        async with self._taking:
            await asyncio.to_thread(remove_if_empty, self._folder)


async def take_in_folder(
    folder: Path, about: SpoolAbout, sink: MessageSink, mask: Mask, record: RecordAsked
) -> None:
    """Store all calls that lie in a spool, have them recorded, remove them. Raises StoreError."""
    found = await asyncio.to_thread(read_calls, folder)
    if not found:
        return
    messages = [message_of_call(call, about, mask) for _, call in found]
    deliveries = await sink(messages)
    await record([_pair(message.call, deliveries, message) for message in messages])
    for path, _ in found:
        path.unlink(missing_ok=True)
    for call in {message.call for message in messages}:
        write_receipt(folder, call, [d for d in deliveries if d.message.call == call])


def _pair(call: str, deliveries: Sequence[Delivery], asked: object) -> AskedMessage:
    mine = tuple(d for d in deliveries if d.message.call == call)
    raise NotImplementedError


def read_calls(folder: Path) -> list[tuple[Path, SpooledCall]]:
    """The calls that lie in a spool, in the order in which they were made. One that cannot be read
    is put aside, loudly: it is no call of ours, or a disk has lost it."""
    found = []
    for path in sorted(folder.glob(f"*{CALL_SUFFIX}")):
        if path.name == ABOUT or path.name.startswith(".") or path.name.endswith(RECEIPT_SUFFIX):
            continue
        try:
            with path.open("rb") as file:
                found.append((path, msgspec.json.decode(file.read(LARGEST_CALL), type=SpooledCall)))
        except FileNotFoundError:
            continue  # another nvsx has just taken it
        except (OSError, ValueError) as error:
            log.warning("a message of a hook is lost: %s cannot be read: %s", path, error)
            with suppress(OSError):
                path.rename(path.with_name(path.name + UNREADABLE_SUFFIX))
    return found
