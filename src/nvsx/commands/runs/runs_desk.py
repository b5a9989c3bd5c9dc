"""What the commands on a daemon's runs, events and silences do, from any process.

They read the store in the state folder and write wishes into it, where whoever works a run
looks twice a second; a daemon need not run. Nothing here prints.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from nvsx.core.errors import ClusterError, NvsxError, UsageError
from nvsx.core.journal.run_rows import RunRow
from nvsx.core.masking import Masker
from nvsx.core.ports import Journal
from nvsx.core.routing.inbox import Ask, Inbox, Received, Silence
from nvsx.follow.target_node import resolve_target_node
from nvsx.follow.workplace import open_workplace
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


async def silence(home: Home, node: str, seconds: float, reason: str) -> tuple[Silence, str]:
    """Keep events from starting runs on a node; the silence, and a warning or "".

    The node's name (or alias) is checked where the cluster can be read; where it cannot,
    the silence holds for that name in any cluster. Raises UsageError, StoreError.
    """
    cluster, warning = "", ""
    try:
        cluster, node = await _find_node_and_cluster(home, node)
    except ClusterError as error:
        warning = f"the name was not checked, the cluster cannot be read: {error.message}"
    now = time.time()
    made = Silence(
        cluster=cluster, node=node, until=now + seconds, reason=reason, by=who(), created=now
    )
    async with open_desk(home) as desk:
        await desk.inbox.silence(desk.masker.value(made))
    return made, warning


async def _find_node_and_cluster(home: Home, node: str) -> tuple[str, str]:
    try:
        async with open_workplace(home) as workplace:
            return workplace.where.cluster, await resolve_target_node(workplace.observer, node)
    except (ClusterError, UsageError):
        raise
    except NvsxError as error:  # no kubectl, no context: the cluster cannot be read either
        raise ClusterError(error.message, error.hint) from error


def who() -> str:
    """The person at the keyboard, as the system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "someone"
