"""Takes up what a dead process left: at the start, and when an event meets such a run.

A run is ours to go on with when it was on this cluster and of this project. Taking over
raises the epoch, so that an owner that was only slow can write nothing more. Incidents need no
taking over: the keeper reads their stories; what ended without saying so is noted here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from nvsx.core.errors import NodeClaimed, NvsxError, StoreBusy, UsageError
from nvsx.core.journal.run_rows import RunRow
from nvsx.core.ports import Clock, Journal
from nvsx.serve.dispatcher import Dispatcher
from nvsx.serve.incident_keeper import IncidentKeeper

log = logging.getLogger(__name__)

#: More runs than any journal holds unfinished.
ALL = 1_000_000
#: Taken over at once; each is a write of its own, and the writer groups what waits.
TOGETHER = 64
_BUSY_PAUSE = 1.0


class Recovery:
    """`cluster` and `project` say which runs are ours. One for which `set_aside` holds has
    stopped the daemon before, and waits for a person."""

    def __init__(
        self,
        journal: Journal,
        dispatcher: Dispatcher,
        keeper: IncidentKeeper,
        clock: Clock,
        *,
        cluster: str,
        project: str,
        set_aside: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._journal = journal
        self._dispatcher = dispatcher
        self._keeper = keeper
        self._clock = clock
        self._cluster = cluster
        self._project = project
        self._set_aside = set_aside

    async def recover(self) -> int:
        """Take over every unfinished run of ours whose owner is dead; how many they were.

        Oldest first, so that who waited longest goes on first. Raises StoreError.
        """
        rows = await self._journal.runs(active=True, limit=ALL)
        # The journal lists the newest first.
        ours = [row for row in reversed(rows) if self._is_ours(row) and self._may_go_on(row)]
        gate = asyncio.Semaphore(TOGETHER)

        async def one(row: RunRow) -> bool:
            async with gate:
                return await self._take_run(row.run_id)

        return sum(await asyncio.gather(*(one(row) for row in ours)))

    async def note_ended_runs(self) -> None:
        """Put the end of runs on record that died, or were another process's, between their
        finish and the word of it. Raises StoreError."""
        for _, state in self._keeper.open_incidents:
            for run_id in state.working_runs:
                # A run that is worked here tells its end itself.
                if self._dispatcher.has(run_id):
                    continue
                row = await self._journal.run(run_id)
                if row.finished is not None:
                    await self._keeper.tell_run_ended(run_id, row.status)

    async def rescue(self, run_id: str) -> bool:
        """Take over the run that an event met, if its owner has died; whether that was so."""
        if self._dispatcher.has(run_id):
            return False
        row = await self._journal.run(run_id)
        return self._is_ours(row) and self._may_go_on(row) and await self._take_run(run_id)

    def _is_ours(self, row: RunRow) -> bool:
        """Whether to go on with a run. One by hand that was still armed ended with its
        person, who alone wanted it; it holds no node."""
        # The owner holds a lock file: while it does, the run is at work, however long it is silent.
        if row.alive or row.finished is not None:
            return False
        # A state folder can be shared by daemons of several clusters and projects. The node of
        # another cluster, or the hooks of another project, would be the wrong ones.
        if row.cluster != self._cluster or (row.project and row.project != self._project):
            return False
        return bool(row.node) or row.trigger != "cli"

    def _may_go_on(self, row: RunRow) -> bool:
        if not self._set_aside(row.run_id):
            return True
        log.error(
            "run %s%s is set aside: nvsx stalled in it twice. Take it up again with "
            "`nvsx run %s --resume %s`, or drop it with `nvsx runs cancel %s`",
            row.run_id,
            f" on {row.node}" if row.node else "",
            row.runbook,
            row.run_id,
            row.run_id,
        )
        return False

    async def _take_run(self, run_id: str) -> bool:
        while True:
            try:
                # One process wins this, and each append of the former owner fails from here on.
                lease = await self._journal.take_over(run_id)
            except StoreBusy as error:
                # A full disk or a held lock passes. To give up here would leave the run to the next
                # restart, which may be weeks away.
                log.warning("run %s cannot be taken over yet: %s", run_id, error)
                await self._clock.sleep(_BUSY_PAUSE)
            except (NodeClaimed, UsageError):
                return False  # it finished, or someone else was faster
            except NvsxError as error:
                log.warning("run %s cannot be taken over: %s", run_id, error)
                return False
            else:
                self._dispatcher.submit(lease, resumed=True)
                return True
