"""Upkeep of the history: prune, backup.

`nvsx history …` and the daemon's housekeeping call these. They work beside a daemon on the
same file: pruning commits in small steps, a backup blocks nobody.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from nvsx.core.errors import StoreBusy, UsageError
from nvsx.core.journal.run_rows import RunRow
from nvsx.project.home import Home
from nvsx.store import history_upkeep, open_store, outbox_of
from nvsx.store.sqlite_journal import SqliteJournal

log = logging.getLogger(__name__)

LEAST = 86_400.0
"""Seconds a finished run is kept at least: limits and repeats look back at it."""
AT_ONCE = 200
"""Runs in one commit of a prune, so that a daemon's own writes do not wait."""
FolderOf = Callable[[RunRow], Path]
"""Where the artifacts of a run are."""
_RUN_ID = re.compile(r"r-[0-9a-z-]{1,60}")


def prune_before(age: float, now: float) -> float:
    """The Unix time before which runs of that age (seconds) ended. Raises UsageError."""
    if age < LEAST:
        raise UsageError(
            "runs are kept for a day at least", "nvsx decides by them: name 1d or more"
        )
    return now - age


async def list_prunable(home: Home, before: float) -> Sequence[RunRow]:
    """What `prune` would delete, oldest first. Raises StoreError."""
    with closing(open_store(home.state_dir)) as journal:
        return await journal.look(lambda db: history_upkeep.prunable(db, before))


async def prune(
    journal: SqliteJournal, before: float, *, folder_of: FolderOf | None = None
) -> tuple[int, int]:
    """Delete what finished before `before`: (runs, artifact folders) that are gone.

    Messages that were settled before it go too, but those of what is open at some target. With
    `folder_of` the folders of the runs go too. Raises StoreError.
    """
    gone = folders = 0
    while True:
        rows = await journal.transact(lambda db: history_upkeep.prune(db, before, AT_ONCE))
        gone += len(rows)
        if folder_of is not None:
            folders += await asyncio.to_thread(_remove_folders, folder_of, rows)
        if len(rows) < AT_ONCE:
            await outbox_of(journal).forget(before)
            return gone, folders


def _remove_folders(folder_of: FolderOf, rows: Sequence[RunRow]) -> int:
    removed = 0
    for row in rows:
        folder = folder_of(row)
        # The name was a run's once; whoever put something else there keeps it.
        if not _RUN_ID.fullmatch(row.run_id) or folder.is_symlink() or not folder.is_dir():
            continue
        try:
            shutil.rmtree(folder)
            removed += 1
        except OSError as error:
            log.warning("%s was not removed: %s", folder, error)
    return removed


async def prune_now(home: Home, before: float, *, artifacts: bool) -> tuple[int, int]:
    """`prune` with a store of its own; with `artifacts` the folders of the runs go too."""
    with closing(open_store(home.state_dir)) as journal:
        folder_of = home.artifacts_of if artifacts else None
        return await prune(journal, before, folder_of=folder_of)


async def back_up(home: Home, file: Path) -> None:
    """A copy of the whole state in `file`. Raises UsageError, StoreError."""
    with closing(open_store(home.state_dir)) as journal:
        await journal.look(lambda db: history_upkeep.backup(db, file))


class DailyPrune:
    """The daemon's prune by `history.keep`, once a day; artifacts stay."""

    def __init__(self, journal: SqliteJournal, keep: float) -> None:
        self._journal, self._keep = journal, max(keep, LEAST)
        self._last = float("-inf")

    async def prune_if_due(self, now: float) -> None:
        """Prune when a day has passed since the last time. Raises StoreError.

        Started on Monday at 10:00, asked every 30 s: it prunes at once, and on Tuesday at
        10:00. If the store is busy then, at 10:00:30.
        """
        if now - self._last < LEAST:
            return
        self._last = now
        began = time.monotonic()
        try:
            gone, _ = await prune(self._journal, now - self._keep)
        except StoreBusy:
            self._last = float("-inf")  # with the next look
            raise
        if gone:
            log.info("pruned %d runs from the history in %.1fs", gone, time.monotonic() - began)
