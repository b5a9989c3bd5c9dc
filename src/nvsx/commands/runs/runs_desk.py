"""What the commands on a daemon's runs and events do, from any process.

They read the store in the state folder and write wishes into it, where whoever works a run
looks twice a second; a daemon need not run. Nothing here prints.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from nvsx.commands.author import who
from nvsx.core.errors import UsageError
from nvsx.core.journal.run_rows import RunRow
from nvsx.core.masking import Masker
from nvsx.core.ports import Journal
from nvsx.core.routing.inbox import Ask, Inbox, Received
from nvsx.project.home import Home
from nvsx.store import inbox_of, open_store


@dataclass(frozen=True, slots=True)
class Desk:
    """The store, opened for a command."""

    journal: Journal
    inbox: Inbox
    masker: Masker

    async def latest(self) -> str:
        """The run `follow` means without an argument: the newest that has not finished."""
        rows = [r for r in await self.journal.runs(active=True, limit=1000) if r.alive]
        if not rows:
            raise UsageError("no run is going on", "name one: `nvsx runs list` shows them")
        return rows[0].run_id

    async def cancel(self, run_id: str, reason: str) -> str:
        """Ask for a run's end; what will come of it, in a sentence. Raises UsageError."""
        row = await self._find_open_run(run_id)
        if not row.alive:
            await self.journal.abandon(run_id)
            return f"run {run_id} was interrupted; it is dropped, and its node is free"
        text = self.masker.mask(reason)
        await self.inbox.ask(Ask(run_id=run_id, kind="cancel", text=text, by=who()))
        return f"run {run_id} is asked to end: its script is stopped, then postmortem runs"

    async def note(self, run_id: str, text: str) -> str:
        """Write a person's note into a run that goes on. Raises UsageError."""
        row = await self._find_open_run(run_id)
        text = self.masker.mask(text)
        await self.inbox.ask(Ask(run_id=run_id, kind="note", text=text, by=who(), code="person"))
        return f"noted on run {run_id}" if row.alive else f"noted once run {run_id} goes on"

    async def _find_open_run(self, run_id: str) -> RunRow:
        row = await self.journal.run(run_id)
        if row.finished is not None:
            raise UsageError(f"run {run_id} has finished: {row.status}", f"nvsx report {run_id}")
        return row

    async def events(self, wanted: str | None, limit: int) -> Sequence[Received]:
        """One event, the events of a run, or the latest ones. Raises UsageError."""
        if wanted is None:
            return await self.inbox.events(limit=limit)
        if wanted.startswith("r-"):
            await self.journal.run(wanted)
            return await self.inbox.events(run_id=wanted, limit=limit)
        return [await self.inbox.event(wanted)]


@asynccontextmanager
async def open_desk(home: Home) -> AsyncIterator[Desk]:
    """Raises StoreError."""
    with closing(open_store(home.state_dir)) as journal:
        yield Desk(journal, inbox_of(journal), home.masker)
