"""What a run's scripts learn of earlier incidents: NVSX_REPEAT_COUNT and NVSX_REPEAT_GPU.

`Workplace.ports` puts `RepeatScripts` around its runner. Before each hook and action it asks the
index, by which time the session's GPUs are known; a run's start waits for nothing. Whatever
goes wrong is logged and the script runs without the two: no run breaks for its past.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import msgspec

from nvsx.core.journal.statistics import count_strikes
from nvsx.core.ports import LineSink, ProcessIdentity, Script, ScriptResult, Scripts, StartSink
from nvsx.store import queries
from nvsx.store.sqlite_journal import SqliteJournal

log = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds a script waits at most for its run's past."""


class RepeatScripts:
    """The Scripts port over `scripts`, with the facts of repeats added. `window` in seconds."""

    def __init__(self, scripts: Scripts, journal: SqliteJournal, window: float) -> None:
        self._scripts, self._journal, self._window = scripts, journal, window

    async def run(self, script: Script, on_line: LineSink, on_start: StartSink) -> ScriptResult:
        run_id = script.facts.get("NVSX_RUN_ID", "")
        if run_id and script.kind != "prerequisite":
            facts = dict(script.facts) | dict(await self._read_repeat_facts(run_id))
            script = msgspec.structs.replace(script, facts=facts)
        return await self._scripts.run(script, on_line, on_start)

    async def find_end(
        self, script: Script, identity: ProcessIdentity | None, limit: float | None
    ) -> ScriptResult | None:
        return await self._scripts.find_end(script, identity, limit)

    async def stop_orphan(self, identity: ProcessIdentity | None, idempotency_key: str) -> bool:
        return await self._scripts.stop_orphan(identity, idempotency_key)

    async def _read_repeat_facts(self, run_id: str) -> Mapping[str, str]:
        try:
            async with asyncio.timeout(PATIENCE):
                hits = await self._journal.look(
                    lambda db: queries.hits_before(db, run_id, self._window)
                )
            count, gpu = count_strikes(hits, run_id, self._window)
        except Exception as error:  # noqa: BLE001 - whatever it is, the script must run
            log.warning("the past of %s is not known to its script: %r", run_id, error)
            return {}
        return {"NVSX_REPEAT_COUNT": str(count), "NVSX_REPEAT_GPU": gpu}
