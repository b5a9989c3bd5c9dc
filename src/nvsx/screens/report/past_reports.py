"""Past runs: history, reports and statistics, and the report each run leaves behind.

The commands and the runner's wiring call these. They read the journal's database, and of
the artifact folder the files to list them. Into that folder only `ReportView` writes, and
whoever reads a run overwrites secrets that a killed one left in its report file.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nvsx.core.errors import NvsxError, UsageError
from nvsx.core.incident.incident_store import IncidentFilter
from nvsx.core.journal import entries as j
from nvsx.core.journal import statistics
from nvsx.core.journal.incident_statistics import IncidentGroup, fits, summarise_incidents
from nvsx.core.journal.past_runs import By, RunFilter
from nvsx.core.ports import Artifacts, Journal
from nvsx.follow.processes.report_file import hide_secrets
from nvsx.follow.runner import REPORT_FILE
from nvsx.project.home import Home
from nvsx.screens.report import incident_report as reports
from nvsx.screens.report.report_html import page
from nvsx.screens.report.report_markdown import markdown
from nvsx.screens.report.report_merge import Told, merge
from nvsx.store import incidents_of, open_store, queries
from nvsx.store.artifacts import listing
from nvsx.store.run_list import list_runs

if TYPE_CHECKING:
    from nvsx.store.sqlite_journal import SqliteJournal

log = logging.getLogger(__name__)

OWN = frozenset({"report.md", "report.html"})
"""What a report does not list, since it is what it is written into."""


@asynccontextmanager
async def _open_journal(home: Home) -> AsyncIterator[SqliteJournal]:
    with closing(open_store(home.state_dir)) as journal:
        yield journal


async def stats(
    home: Home, wanted: RunFilter, by: By, window: float = statistics.REPEAT_WINDOW
) -> statistics.Stats:
    """Statistics over the finished runs that fit. Raises StoreError."""
    with _without_collector():
        async with _open_journal(home) as journal:
            samples = await journal.look(lambda db: queries.samples(db, wanted, by))
            hits = await journal.look(lambda db: queries.hits(db, wanted))
        return statistics.Stats(
            tuple(statistics.summarise_groups(samples)),
            tuple(statistics.find_repeats(hits, window)),
        )


async def count_incidents(home: Home, wanted: RunFilter, by: By) -> list[IncidentGroup]:
    """Statistics over the incidents that fit. Raises StoreError."""
    span = IncidentFilter(since=wanted.since, until=wanted.until, limit=None)
    with _without_collector():
        async with _open_journal(home) as journal:
            rows = await incidents_of(journal).rows(span)
        return summarise_incidents((row for row in rows if fits(row, wanted)), by)


@contextmanager
def _without_collector() -> Iterator[None]:
    """No search for cycles: of hundreds of thousands of rows it is a third of the time, and
    they have none."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


async def report(home: Home, run_id: str) -> reports.IncidentReport:
    """The report of one run, as of now. Raises UsageError for an unknown run, StoreError."""
    async with _open_journal(home) as journal:
        row = await journal.run(run_id)
        entries = await journal.read(run_id)
    folder = home.artifacts_of(row)
    hide_secrets(folder / REPORT_FILE, home.masker)  # of a run that was killed nobody has
    built = await asyncio.to_thread(_build_report, entries, folder)
    return home.masker.value(built)  # an older nvsx, or another machine, may have stored it


async def merged_report(home: Home, wanted: str, since: float) -> reports.IncidentReport:
    """One report of the runs of an incident that began since (Unix seconds). `wanted` is one of
    them, or the node (name or alias): then its newest run. Raises UsageError, StoreError."""
    async with _open_journal(home) as journal:
        run_id = wanted
        if not wanted.startswith("r-"):
            on_node = RunFilter(node=wanted, since=since)
            newest = await asyncio.to_thread(list_runs, home.state_dir, on_node, 1)
            if not newest:
                raise UsageError(
                    f"no run and no node with runs since then is called {wanted}",
                    "list them with `nvsx history`",
                )
            run_id = newest[0].run_id
        await journal.run(run_id)
        of_incident = await journal.look(lambda db: queries.of_incident(db, run_id, since))
        told = await _read_runs(home, journal, of_incident)
    if all(entries[0].run_id != run_id for entries, _ in told):
        raise UsageError(f"run {run_id} never began", "list runs with `nvsx history`")
    return home.masker.value(await asyncio.to_thread(merge, told, run_id))


async def report_of_runs(home: Home, run_ids: Sequence[str]) -> reports.IncidentReport | None:
    """One report of these runs, oldest first; None where none of them ever began."""
    async with _open_journal(home) as journal:
        told = await _read_runs(home, journal, run_ids)
    if not told:
        return None
    last = told[-1][0][0].run_id
    return home.masker.value(await asyncio.to_thread(merge, told, last))


async def _read_runs(home: Home, journal: SqliteJournal, run_ids: Sequence[str]) -> list[Told]:
    """Journal and artifacts of each run that began and whose record is there."""
    told: list[Told] = []
    for run_id in run_ids:
        try:
            row, entries = await journal.run(run_id), await journal.read(run_id)
        except UsageError:
            continue  # pruned: the incident outlives its runs
        if any(isinstance(e.body, j.Start) for e in entries):
            folder = home.artifacts_of(row)
            hide_secrets(folder / REPORT_FILE, home.masker)
            told.append((entries, await asyncio.to_thread(_list_artifacts, folder)))
    return told


def _build_report(entries: Sequence[j.Entry], folder: Path) -> reports.IncidentReport:
    return reports.build(entries, _list_artifacts(folder))


def _list_artifacts(folder: Path) -> list[reports.Artifact]:
    return [reports.Artifact(*file) for file in listing(folder) if file[0] not in OWN]


class ReportView:
    """Writes report.md and report.html beside a run's artifacts when it has finished.

    A view, so that the run neither waits for it nor breaks with it. `close` waits until
    they are written.
    """

    def __init__(self, journal: Journal, artifacts: Artifacts) -> None:
        self._journal, self._artifacts = journal, artifacts
        self._task: asyncio.Task[None] | None = None

    def show(self, entry: j.Entry, *, replayed: bool = False) -> None:
        if isinstance(entry.body, j.Finish) and self._task is None and not replayed:
            self._task = asyncio.create_task(self._write_report(entry.run_id))

    async def _write_report(self, run_id: str) -> None:
        began = time.monotonic()
        try:
            entries = await self._journal.read(run_id)
            await self._mask_lines()
            built = await asyncio.to_thread(_build_report, entries, self._artifacts.folder)
            await self._artifacts.write("report.md", markdown(built).encode(errors="replace"))
            await self._artifacts.write("report.html", page(built).encode(errors="replace"))
        except NvsxError as error:
            log.warning("the report of %s was not written: %s", run_id, error)
        except Exception:
            log.exception("the report of %s was not written", run_id)
        log.debug("report of %s written in %.2fs", run_id, time.monotonic() - began)

    async def _mask_lines(self) -> None:
        """Hooks wrote NVSX_REPORT_FILE themselves; now that none will, it loses its secrets."""
        with suppress(OSError):
            data = await asyncio.to_thread((self._artifacts.folder / REPORT_FILE).read_bytes)
            await self._artifacts.write(REPORT_FILE, data)

    async def close(self) -> None:
        if self._task is not None:
            await asyncio.wait({self._task})
