"""An intake that remembers what it was offered and answers as it is told.

It decides as little as an intake can: a delivery or key seen before is a duplicate, what a
source refused or nothing names is ignored, a recovery notice is noted, a dry run planned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nvsx.core.errors import StoreBusy, UsageError
from nvsx.core.routing.trigger_event import Answer, TriggerEvent


class FakeIntake:
    """`runbooks` are the names it knows; events that name none fire the first one.

    `full` makes it raise StoreBusy, `gate` holds every offer until it is set.
    """

    def __init__(self, runbooks: Sequence[str] = ("gpu-off-bus",)) -> None:
        self.runbooks = tuple(runbooks)
        self.offered: list[TriggerEvent] = []
        self.full = False
        self.gate: asyncio.Event | None = None
        self._runs: dict[str, str] = {}

    @property
    def fired(self) -> list[str]:
        """The ids of the runs it fired, oldest first."""
        return list(dict.fromkeys(self._runs.values()))

    async def offer(self, event: TriggerEvent) -> Answer:
        if self.gate is not None:
            await self.gate.wait()
        if self.full:
            raise StoreBusy("the store is full", "free some space")
        self.offered.append(event)
        if event.refusal:
            return Answer(outcome="ignored", reason=event.refusal)
        if event.runbook and event.runbook not in self.runbooks:
            raise UsageError(f"there is no runbook '{event.runbook}'", "see `nvsx list`")
        runbook = event.runbook or self.runbooks[0]
        if event.dry_run:
            return Answer(outcome="planned", runbook=runbook, plan={"runbook": runbook})
        if event.resolved:
            return Answer(outcome="noted")
        keys = [key for key in (event.delivery, event.idempotency_key) if key]
        for key in keys:
            if key in self._runs:
                return Answer(outcome="duplicate", runbook=runbook, run_id=self._runs[key])
        run_id = f"run-{len(self.fired) + 1}"
        self._runs.update(dict.fromkeys(keys or [run_id], run_id))
        return Answer(outcome="fired", runbook=runbook, run_id=run_id)
