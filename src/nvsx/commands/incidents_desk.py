"""What the commands on incidents do, from any process: find one, read it, note on it, close it.

They read and append to the store in the state folder; a daemon need not run, and one that does
finds the story moved and looks again. Nothing here prints.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from nvsx.core.aliases import alias_of
from nvsx.core.errors import UsageError
from nvsx.core.incident.incident_events import ADOPTED_BY_HAND, IncidentNoted
from nvsx.core.incident.incident_store import (
    IncidentRow,
    IncidentStore,
    StoryMoved,
)
from nvsx.core.incident.last_known import close_as_known
from nvsx.project.home import Home
from nvsx.store import incidents_of, open_store
from nvsx.store.incident_list import find_incident, list_incidents

if TYPE_CHECKING:
    from nvsx.store.sqlite_journal import SqliteJournal

TRIES = 20
"""How often a close is tried while others append to the same node: each loses to one append of a
daemon, which makes a few a minute."""


@dataclass
class IncidentDesk:
    """The incidents of a state folder. What only reads them does not open the store to write."""

    home: Home

    @cached_property
    def journal(self) -> SqliteJournal:
        return open_store(self.home.state_dir)

    @cached_property
    def store(self) -> IncidentStore:
        return incidents_of(self.journal)

    def close_store(self) -> None:
        if "journal" in self.__dict__:
            self.journal.close()

    async def find(self, wanted: str, *, sandbox: bool = False) -> IncidentRow:
        """The incident that an id, a run's id, a node's name or its alias means.

        Of a node it is the open one, else the latest: with `sandbox` of those on sandboxes and of
        drills, else of the real ones, as far as there are any. Raises UsageError where there is
        none, or several nodes are meant.
        """
        if wanted.startswith("i-"):
            return find_incident(self.home.state_dir, wanted)
        if wanted.startswith("r-"):
            incident = await self.store.incident_of(wanted)
            if not incident:
                raise UsageError(f"run {wanted} belongs to no incident", f"nvsx runs show {wanted}")
            return await self.store.row(incident)
        rows = list_incidents(self.home.state_dir)
        fitting = [row for row in rows if wanted in (row.node, alias_of(row.node))]
        preferred = [row for row in fitting if (row.sandbox or row.drill) == sandbox]
        return _choose_newest(wanted, preferred or ([] if sandbox else fitting))

    def list_rows(
        self, node: str, *, only_open: bool, sandbox: bool, since: float | None, limit: int
    ) -> Sequence[IncidentRow]:
        """Open ones first, each half newest first: the real ones, or those on sandboxes and of
        drills. `node` is a name or an alias."""
        rows = [
            row
            for row in list_incidents(self.home.state_dir, only_open=only_open, since=since)
            if (row.sandbox or row.drill) == sandbox
            and (not node or node in (row.node, alias_of(row.node)))
        ]
        return sorted(rows, key=lambda row: row.ended is not None)[:limit]

    async def note(self, row: IncidentRow, text: str, author: str) -> None:
        """Write a person's note, also on one that is over."""
        note = IncidentNoted(text=self.home.masker.mask(text), author=author)
        await self.store.append_to(row.incident, note, time.time())

    async def refuse_to_adopt(self, row: IncidentRow) -> None:
        """Raises UsageError for one that is over, or that runs and pages are made for anyway."""
        if row.ended is not None:
            raise refuse_closed(row)
        stored = await self.store.story(row.cluster, row.node)
        if stored.story.open is None or not stored.story.open.is_left_alone:
            raise UsageError(
                f"incident {row.incident} on {row.node} needs no adopting: it has runs and pages "
                "like any other",
                f"nvsx incidents show {row.incident}",
            )

    async def adopt(self, row: IncidentRow, author: str) -> None:
        """Mark it for the daemon that serves its cluster."""
        note = IncidentNoted(text="have runs and pages for it", code=ADOPTED_BY_HAND, author=author)
        await self.store.append_to(row.incident, note, time.time())

    async def close(self, row: IncidentRow, reason: str, author: str) -> None:
        """End it by hand. Raises UsageError when it is over, StoryMoved, StoreError."""
        text = self.home.masker.mask(reason)
        for _ in range(TRIES):
            stored = await self.store.story(row.cluster, row.node)
            if stored.open_id != row.incident:
                raise refuse_closed(await self.store.row(row.incident))
            now = time.time()
            events = close_as_known(stored.story, author, text, now)
            with suppress(StoryMoved):
                await self.store.append(row.cluster, row.node, stored.position, events, now)
                return
        raise StoryMoved(f"the incident on {row.node} moves too fast to be closed", "try again")


def refuse_closed(row: IncidentRow) -> UsageError:
    return UsageError(
        f"incident {row.incident} is over already: {row.how}", f"nvsx incidents show {row.incident}"
    )


def _choose_newest(wanted: str, rows: Sequence[IncidentRow]) -> IncidentRow:
    """The open one, else the newest; a node of one name in two clusters is two nodes.

    n1 of cluster a has one open since 12:00, n1 of cluster b one that ended at 13:00: a's. Both
    have an open one: whoever asks has to name one by its id.
    """
    if not rows:
        raise UsageError(
            f"no incident is known of {wanted}", "list them with `nvsx incidents list --all`"
        )
    still_open = [row for row in rows if row.ended is None]
    if len({(row.cluster, row.node) for row in still_open}) > 1:
        ids = ", ".join(f"{row.incident} on {row.node}" for row in still_open)
        raise UsageError(f"{wanted} means several open incidents: {ids}", "name one by its id")
    return (still_open or rows)[0]


@asynccontextmanager
async def open_incident_desk(home: Home) -> AsyncIterator[IncidentDesk]:
    """Raises StoreError."""
    desk = IncidentDesk(home)
    try:
        yield desk
    finally:
        desk.close_store()
