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
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from nvsx.core.errors import NvsxError, StoreError
from nvsx.core.notify.message import Message
from nvsx.core.notify.outbox import Delivery, Outbox
from nvsx.core.notify.spool_format import (
    ABOUT,
    BELL,
    CALL_SUFFIX,
    LARGEST_CALL,
    RECEIPT_SUFFIX,
    WAIT_SUFFIX,
    SpoolAbout,
    SpooledCall,
    call_hash,
    message_of_call,
    receipt_of_call,
)
from nvsx.core.notify.spool_port import AskedMessage, MessageSink, RecordAsked, RecordSettled
from nvsx.notify.settled_news import SettledNews

log = logging.getLogger(__name__)

UNREADABLE_SUFFIX = ".unreadable"
LEFT_FOR = 7 * 86_400.0
"""Seconds until a spool is removed whose owner is dead: a hook that outlived it may still call, and
its run may be taken up again."""
Mask = Callable[[str], str]


class RunSpool:
    """The spool of one run; see the port, `MessageSpool`."""

    def __init__(
        self, folder: Path, sink: MessageSink, mask: Mask, settled: SettledNews | None = None
    ) -> None:
        self._settled = settled
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
                if bell is not None:
                    await bell.close()

    @property
    def is_delivered(self) -> bool:
        return self._settled is not None

    @asynccontextmanager
    async def hear_settled(self, record: RecordSettled) -> AsyncIterator[None]:
        """See the port."""
        if self._settled is None:
            yield
            return
        with self._settled.listen(self._folder.name) as queue:
            task = asyncio.create_task(_record_what_comes(queue, record), name="who was told")
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

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


async def _record_what_comes(
    queue: asyncio.Queue[Sequence[Delivery]], record: RecordSettled
) -> None:
    while True:
        try:
            await record(await queue.get())
        except NvsxError as error:  # the incident's journal has it, too
            log.warning("who was told is not in the run's journal: %s", error.message)
        except Exception:
            log.exception("who was told is not in the run's journal; the run goes on")


async def take_in_folder(
    folder: Path, about: SpoolAbout, sink: MessageSink, mask: Mask, record: RecordAsked
) -> int:
    """Store all calls that lie in a spool, have them recorded, remove them; how many there were.

    Raises StoreError.
    """
    found = await asyncio.to_thread(read_calls, folder)
    if not found:
        return 0
    first: dict[str, SpooledCall] = {}
    for _, call in found:  # a hook that was cut and ran again may have left the same call twice
        first.setdefault(call.call, call)
    messages = [message_of_call(call, about, mask) for call in first.values()]
    deliveries = _group_by_call(await sink(messages))
    await record([_note_asked(each, deliveries.get(each.call, ())) for each in messages])
    for path, _ in found:
        path.unlink(missing_ok=True)
    for message in messages:
        answer_waiting(folder, message.call, deliveries.get(message.call, ()))
    return len(found)


def _group_by_call(deliveries: Sequence[Delivery]) -> dict[str, tuple[Delivery, ...]]:
    """Each once: one call may have come twice."""
    found: dict[str, dict[int, Delivery]] = {}
    for delivery in deliveries:
        found.setdefault(delivery.message.call, {})[delivery.number] = delivery
    return {call: tuple(rows.values()) for call, rows in found.items()}


def _note_asked(message: Message, deliveries: tuple[Delivery, ...]) -> AskedMessage:
    wanted = next((d.message.wanted for d in deliveries if d.message.wanted), "")
    problem = ""
    if wanted:
        others = ", ".join(d.target for d in deliveries)
        problem = f"no target is called '{wanted}': it goes to {others}"
    return AskedMessage(message=message, deliveries=deliveries, problem=problem)


def answer_waiting(folder: Path, call: str, deliveries: tuple[Delivery, ...]) -> None:
    """Write the receipt of a call for the hook that waits for it, once there is one."""
    digest = call_hash(call)
    waiting = folder / f"{digest}{WAIT_SUFFIX}"
    receipt = receipt_of_call(call, deliveries) if waiting.exists() else None
    if receipt is None:
        return
    new = folder / f".{digest}.new"
    with suppress(OSError):  # the hook then says that it does not know
        new.write_bytes(msgspec.json.encode(receipt))
        new.replace(folder / f"{digest}{RECEIPT_SUFFIX}")


async def answer_settled(spools: Path, settled: Sequence[Delivery], outbox: Outbox) -> None:
    """Tell hooks that wait what became of their calls. `settled` are deliveries that have just
    been settled. Raises StoreError."""
    calls = {(d.message.run, d.message.call) for d in settled if d.message.run}
    for run, call in calls:
        if (spools / run / f"{call_hash(call)}{WAIT_SUFFIX}").exists():
            answer_waiting(spools / run, call, tuple(await outbox.of_call(call)))


async def take_in_left_spools(
    spools: Path, is_alive: Callable[[str], bool], sink: MessageSink, mask: Mask
) -> int:
    """Take in what runs have left whose owners are dead; how many messages. Raises StoreError.

    A living owner's is left alone: it takes in by itself, and writes its run's journal.
    """
    taken = 0
    for folder in sorted(p for p in spools.glob("*") if p.is_dir()):
        about = await asyncio.to_thread(_read_about, folder)
        if about.owner and not is_alive(about.owner):
            taken += await take_in_folder(folder, about, sink, mask, _record_nothing)
            if _is_older_than(folder, LEFT_FOR):
                await asyncio.to_thread(remove_if_empty, folder)
    return taken


async def _record_nothing(_: Sequence[AskedMessage]) -> None:
    """The run's journal is its owner's; the incident's tells who was told."""


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


def remove_if_empty(folder: Path) -> None:
    """Remove a spool unless a call lies there: the next nvsx of the state folder takes it in."""
    if not read_calls(folder):
        shutil.rmtree(folder, ignore_errors=True)


def _is_older_than(folder: Path, age: float) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > age
    except OSError:
        return False


def _read_about(folder: Path) -> SpoolAbout:
    """Whose it is; of nobody where that cannot be read, then nothing is taken from it."""
    try:
        return msgspec.json.decode((folder / ABOUT).read_bytes(), type=SpoolAbout)
    except (OSError, ValueError):
        return SpoolAbout()


def _prepare_folder(folder: Path, about: SpoolAbout) -> None:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    new = folder / f".{ABOUT}.new"
    with new.open("wb") as file:
        file.write(msgspec.json.encode(about))
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / ABOUT)
    # Without a bell, on a file system that has none, calls are taken in when their hook ends.
    with suppress(OSError):
        os.mkfifo(folder / BELL, 0o600)


class _Bell:
    """Waits at the FIFO, and has what lies there taken in for each ring. It asks nobody in between:
    a thousand runs that wait cost nothing."""

    def __init__(self, path: Path, answer: Callable[[], Awaitable[None]]) -> None:
        self._answer = answer
        self._rung = asyncio.Event()
        self._ends: list[int] = []
        self._task: asyncio.Task[None] | None = None
        with suppress(OSError):
            self._ends.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            # An end of our own to write to: without one the FIFO is at its end, and always ready.
            self._ends.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        if len(self._ends) == 2:
            asyncio.get_running_loop().add_reader(self._ends[0], self._hear_ring)
            self._task = asyncio.create_task(self._answer_rings())

    def _hear_ring(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._ends[0], 4096)
        self._rung.set()

    async def _answer_rings(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            await self._answer()

    async def close(self) -> None:
        """Stop waiting. An answer that is under way is cut: what it had not removed lies there."""
        if self._task is not None:
            asyncio.get_running_loop().remove_reader(self._ends[0])
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for end in self._ends:
            os.close(end)
