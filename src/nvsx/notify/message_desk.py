"""Where messages come in: whoever asks, each is given its targets and stored.

a hook (through its run's spool) ─┐
a person (`nvsx notify`) ─────────┼─► MessageDesk.accept ─► the outbox, one transaction
nvsx itself ──────────────────────┘
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from nvsx.core.notify.addressing import NotifyBook, address, split_resolve
from nvsx.core.notify.message import Message
from nvsx.core.notify.notify_settings import NotifySettings
from nvsx.core.notify.outbox import Delivery, Outbox, OutboxFilter
from nvsx.core.notify.storm_speaking import join_storm
from nvsx.core.notify.subject import StormView
from nvsx.notify.settled_news import SettledNews
from nvsx.notify.spool import RunSpool, answer_settled, take_in_left_spools
from nvsx.project.home import Home
from nvsx.project.settings import choose_notify_settings
from nvsx.store import outbox_of, storms_of
from nvsx.store.sqlite_journal import SqliteJournal


def book_of(settings: NotifySettings) -> NotifyBook:
    """The targets of the settings, and who is told where a message names nobody."""
    lists = settings.default
    return NotifyBook(
        kinds={name: target.kind for name, target in settings.targets.items()},
        page=lists.page,
        page_fallback=lists.page_fallback,
        post=lists.post,
        ticket=lists.ticket,
    )


StormOf = Callable[[str], Awaitable[StormView | None]]
"""The storm that an incident is part of. Raises StoreError."""


async def know_no_storm(_incident: str) -> StormView | None:
    """Where storms are not looked for."""
    return None


class MessageDesk:
    """Takes messages in. `wake` is called when something new may be due."""

    def __init__(
        self,
        outbox: Outbox,
        book: NotifyBook,
        now: Callable[[], float],
        wake: Callable[[], None] = lambda: None,
        storm_of: StormOf = know_no_storm,
    ) -> None:
        self._outbox, self._book, self._now, self._wake = outbox, book, now, wake
        self._storm_of = storm_of

    async def accept(self, messages: Sequence[Message]) -> Sequence[Delivery]:
        """Store the messages, flushed; their deliveries, of one that is known those it has.

        Raises StoreError.
        """
        addressed = []
        for message in (part for whole in messages for part in split_resolve(whole)):
            if message.by == "hook" and message.incident:
                message = join_storm(message, await self._storm_of(message.incident))  # noqa: PLW2901
            known: Sequence[Delivery] = ()
            if message.closes:
                known = await self._outbox.deliveries(_whole_subject(message))
            addressed.append(address(message, self._book, known))
        deliveries = await self._outbox.accept(addressed, self._now())
        self._wake()
        return deliveries


def _whole_subject(message: Message) -> OutboxFilter:
    return OutboxFilter(subject=message.subject, limit=None)


def open_message_desk(
    home: Home, journal: SqliteJournal, wake: Callable[[], None] = lambda: None
) -> MessageDesk:
    """The desk of a project, on the store of its state folder."""
    settings = choose_notify_settings(home.settings, home.env)
    storm_of = storms_of(journal).storm_of
    return MessageDesk(outbox_of(journal), book_of(settings), time.time, wake, storm_of)


def make_run_spools(
    home: Home, wake: Callable[[], None] = lambda: None, settled: SettledNews | None = None
) -> Callable[[SqliteJournal, str], RunSpool]:
    """What gives each run, by journal and id, the spool through which its scripts come here.
    `settled` brings it what became of its messages."""

    def make_spool(journal: SqliteJournal, run_id: str) -> RunSpool:
        desk = open_message_desk(home, journal, wake)
        return RunSpool(spools_of(home) / run_id, desk.accept, home.masker.mask, settled)

    return make_spool


def spools_of(home: Home) -> Path:
    """Where the spools of all runs are."""
    return home.state_dir / "spool"


def make_hook_answers(home: Home, outbox: Outbox) -> Callable[[Sequence[Delivery]], None]:
    """What tells hooks that wait (`--wait`) how their messages ended; for a deliverer."""
    answering: set[asyncio.Task[None]] = set()

    def answer_hooks(settled: Sequence[Delivery]) -> None:
        task = asyncio.ensure_future(answer_settled(spools_of(home), settled, outbox))
        answering.add(task)
        task.add_done_callback(answering.discard)

    return answer_hooks


async def take_in_left_messages(home: Home, journal: SqliteJournal) -> int:
    """Take in what runs have left whose owners are dead; how many messages. Raises StoreError."""
    desk = open_message_desk(home, journal)
    return await take_in_left_spools(spools_of(home), journal.alive, desk.accept, home.masker.mask)
