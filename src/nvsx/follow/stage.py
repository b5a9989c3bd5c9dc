"""One stage: action, then watches, then hook; and beside them, patience.

While the watches are awaited, two things run beside them: the overdue mark with its hook,
and the search for why nothing is happening. Neither ever holds up the watching.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from nvsx.core import durations
from nvsx.core.aliases import alias_of
from nvsx.core.errors import NvsxError, StoreError
from nvsx.core.journal import entries as j
from nvsx.core.ports import NodeFeed
from nvsx.core.runbook import narration
from nvsx.core.runbook.schema import Stage
from nvsx.follow import evidence_keeper, scripts
from nvsx.follow.run_context import RunContext
from nvsx.follow.watcher import Ended, await_watches

log = logging.getLogger(__name__)


async def run_stage(run: RunContext, stage: Stage) -> Ended:
    """Run `stage` to its end and write that down; a stage that has ended is passed over.

    Cancelling it while the run is being cancelled ends the stage as `cancelled`.
    """
    state = run.state.stage(stage.id)
    if state is not None and state.done:
        return Ended("pass", state.reason)
    if state is None or state.began is None:
        await run.record(j.StageBegin(stage=stage.id, title=stage.title))
    try:
        ended = await _work_stage(run, stage)
    except asyncio.CancelledError:
        if run.state.cancelled is None:
            raise
        ended = Ended("cancelled", run.state.cancelled.reason)
    except StoreError:
        raise  # what cannot be written down must not go on
    except Exception as error:
        # Whatever breaks in a stage, the failure hook and postmortem still run.
        log.exception("stage %s of %s broke", stage.id, run.run_id)
        what = error.message if isinstance(error, NvsxError) else f"internal error: {error!r}"
        ended = Ended("fail", what)
    await _write_stage_end(run, stage, ended)
    return ended


async def _work_stage(run: RunContext, stage: Stage) -> Ended:
    state = run.state.stage(stage.id)
    began = state.began if state is not None and state.began is not None else run.now
    limit = stage.effective_timeout
    deadline = began + limit if limit is not None else None
    # A resumed stage may be beyond its deadline: its action still gets the time it needs.
    why = await scripts.run_action(run, stage, limit)
    if why:
        return Ended("fail", why)
    beside = _Beside(run, stage, began)
    try:
        ended = await await_watches(run, stage, deadline)
        if ended.status == "pass":
            if stage.id == "quarantine" and run.feed is not None:
                await evidence_keeper.write_impact(run, run.feed.current)
            ended = await _run_stage_hook(run, stage)
        return ended
    finally:
        await beside.close()


async def _run_stage_hook(run: RunContext, stage: Stage) -> Ended:
    if not stage.hook or await scripts.run_hook(run, stage, stage.hook):
        return Ended("pass")
    if run.request.strict or stage.on_hook_failure == "fail":
        return Ended("fail", f"hook {stage.hook} failed")
    return Ended("pass")


async def _write_stage_end(run: RunContext, stage: Stage, ended: Ended) -> None:
    state = run.state.stage(stage.id)
    began = state.began if state is not None and state.began is not None else run.now
    elapsed = round(max(0.0, run.now - began), 3)
    goes_on = ended.status == "timeout" and stage.on_timeout == "continue"
    events: list[j.RunEvent] = [
        j.StageEnd(
            stage=stage.id,
            status=ended.status,
            elapsed_s=elapsed,
            reason=ended.reason,
            overdue=bool(state and state.overdue),
            continued=goes_on,
        )
    ]
    text = run.runbook.narration.get(stage.id)
    if text and ended.status == "pass":
        events.insert(0, j.Narrated(stage=stage.id, text=narrate(run, text, elapsed)))
    await run.record(*events)
    evidence_keeper.capture(run, stage.id, ended.status)


def narrate(run: RunContext, text: str, elapsed: float) -> str:
    """The runbook's narration with its tokens filled in."""
    values = {
        "targetNode": run.node,
        "targetAlias": alias_of(run.node) if run.node else "",
        "elapsed": durations.format(elapsed),
        "artifactDir": str(run.artifacts.folder),
        "artifactCount": str(len(run.state.evidence)),
        "runbook": run.runbook.metadata.name,
    }
    return narration.render(text, values)


def budget_of(run: RunContext, stage: Stage) -> float | None:
    """The stage's soft limit in seconds, as it counts in this run."""
    budget = stage.effective_budget
    return None if budget is None else budget * run.patience.budget_scale


class _Beside:
    """What goes on beside a waiting stage: the overdue mark, and why nothing happens."""

    def __init__(self, run: RunContext, stage: Stage, began: float) -> None:
        self._run, self._stage = run, stage
        self._waits: list[asyncio.Task[None]] = []
        self._overdue: asyncio.Task[None] | None = None
        self._firing = False
        budget = budget_of(run, stage)
        state = run.state.stage(stage.id)
        if budget is not None and not (state and state.overdue):
            self._overdue = asyncio.create_task(self._mark_overdue(began + budget, budget))
        elif stage.on_overdue and state and state.overdue:
            self._overdue = asyncio.create_task(self._fire_overdue_hook())
        if stage.watch and run.feed is not None:
            self._waits.append(asyncio.create_task(self._explain_waiting(run.feed)))

    async def _mark_overdue(self, at: float, budget: float) -> None:
        run = self._run
        await run.ports.clock.sleep(max(0.0, at - run.now))
        self._firing = True
        await run.record(j.Overdue(stage=self._stage.id, budget_s=budget))
        await self._fire_overdue_hook()

    async def _fire_overdue_hook(self) -> None:
        self._firing = True
        if self._stage.on_overdue:
            await scripts.run_hook(self._run, self._stage, self._stage.on_overdue, "overdue")

    async def _explain_waiting(self, feed: NodeFeed) -> None:
        """Say why the stage waits, each reason once for each new text."""
        run, told = self._run, set[tuple[str, str]]()
        await run.ports.clock.sleep(run.patience.why_after)
        while True:
            with suppress(NvsxError, TimeoutError):
                async with asyncio.timeout(run.patience.why_limit):
                    notes = await run.ports.observer.why(feed.current, self._stage.id)
                fresh = [n for n in notes if (n.code, n.text) not in told]
                told.update((n.code, n.text) for n in fresh)
                await run.record(
                    *(
                        j.NoteMade(stage=self._stage.id, text=n.text, remedy=n.remedy, code=n.code)
                        for n in fresh
                    )
                )
            await run.ports.clock.sleep(run.patience.why_every)

    async def close(self) -> None:
        """Stop waiting; an overdue hook that has begun is let finish, unless cancelled."""
        if self._overdue is not None and (not self._firing or self._run.cancellation.stops_work):
            self._waits.append(self._overdue)
        elif self._overdue is not None:
            await self._overdue
        for task in self._waits:
            task.cancel()
        await asyncio.gather(*self._waits, return_exceptions=True)
