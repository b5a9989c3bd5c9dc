"""The project's runbooks as the daemon sees them: read once, and again when files change.

A file that has become invalid keeps its last valid version out of use and is reported: a
runbook nobody can read must not fire.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from nvsx.core.runbook.catalog import BrokenRunbook, LoadedRunbook
from nvsx.core.runbook.schema import Runbook
from nvsx.follow.plan import Plan
from nvsx.project import loader

log = logging.getLogger(__name__)

Fingerprint = tuple[tuple[str, int, int], ...]


class RunbookShelf:
    """Implements engine.intake.Shelf on a project folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._fingerprint = self._fingerprint_files()
        self._take_entries(loader.discover(root))

    @property
    def loaded(self) -> Sequence[LoadedRunbook]:
        return self._loaded

    def runbooks(self) -> Sequence[Runbook]:
        return self._runbooks

    def find(self, wanted: str) -> Runbook:
        return self.get(wanted).runbook

    def get(self, wanted: str) -> LoadedRunbook:
        """By name or nickname. Raises UsageError and InvalidRunbook."""
        return loader.pick(self._entries, wanted)

    async def refresh(self) -> bool:
        """Read the runbooks anew if a file has changed; whether that was so."""
        found = await asyncio.to_thread(self._fingerprint_files)
        if found == self._fingerprint:
            return False
        self._fingerprint = found
        self._take_entries(await asyncio.to_thread(loader.discover, self._root))
        log.info("runbooks have changed: %d are in use", len(self._loaded))
        return True

    def _take_entries(self, entries: Sequence[LoadedRunbook | BrokenRunbook]) -> None:
        self._entries = list(entries)
        self._loaded = [e for e in entries if isinstance(e, LoadedRunbook)]
        self._runbooks = [e.runbook for e in self._loaded]
        for entry in entries:
            if isinstance(entry, BrokenRunbook):
                problem = entry.problems[0] if entry.problems else "it cannot be read"
                log.warning("runbook %s is not valid and fires nothing: %s", entry.name, problem)
            else:
                for idle in Plan(entry).find_unusable_files():
                    log.warning("runbook %s runs without it: %s", entry.name, idle)

    def _fingerprint_files(self) -> Fingerprint:
        try:
            found = [(p.name, p.stat()) for p in sorted((self._root / "runbooks").glob("*.yaml"))]
        except OSError:
            return ()  # a file vanished between listing and looking: the next look tells
        return tuple((name, s.st_mtime_ns, s.st_size) for name, s in found)
