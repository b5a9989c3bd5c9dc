"""One stage: action, then watches, then hook; and beside them, patience.

While the watches are awaited, two things run beside them: the overdue mark with its hook,
and the search for why nothing is happening. Neither ever holds up the watching.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any

from nvsx.core import durations
from nvsx.core.aliases import alias_of
from nvsx.core.errors import NvsxError, StoreError
from nvsx.core.incident.incident_state import IncidentState
from nvsx.core.incident.stage_times import CHAIN_STAGES, find_stage_time
from nvsx.core.journal import entries as j
from nvsx.core.ports import NodeFeed
from nvsx.core.runbook import narration
from nvsx.core.runbook.schema import Stage
from nvsx.follow import evidence_keeper, scripts
from nvsx.follow.run_context import RunContext
from nvsx.follow.watcher import (
    Ended,
    StaysOpen,
    Terms,
    await_watches,
    is_released,
    why_stage_is_dead,
)

log = logging.getLogger(__name__)


async def run_stage(
    run: RunContext, stage: Stage, later: Sequence[Stage] = ()
) -> Ended | StaysOpen:
    """Run `stage` to its end and write that down; a stage that has ended is passed over.

    One that does not end (`again`, `passed by`) stays open. After a failure the run only follows:
    then a stage has no limit and does not fail, except one that a further attempt began anew;
    `later` are the stages that may come true before it. Cancelling it while the run is being
    cancelled ends the stage as `cancelled`.
    """
    state = run.state.stage(stage.id)
    if state is not None and state.done:
        return Ended("pass", state.reason)
    if state is None or state.began is None:
        begin = j.StageBegin(stage=stage.id, title=stage.title, repair=run.repair_no)
        await run.record(begin)
    ended: Ended | StaysOpen
    try:
        ended = await _work_stage(run, stage, later)
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
    if isinstance(ended, Ended):
        await _write_stage_end(run, stage, ended)
    return ended


async def _work_stage(run: RunContext, stage: Stage, later: Sequence[Stage]) -> Ended | StaysOpen:
    state = run.state.stage(stage.id)
    began = state.began if state is not None and state.began is not None else run.now
    # Begun in the future: the wall clock was set back since, and its limit counts from now.
    began = min(began, run.now)
    limit = stage.effective_timeout
    anew = state is not None and state.begins > 1
    follows = run.goes_on_after_failure and bool(run.state.failures) and not anew
    # A resumed stage may be beyond its deadline: its action still gets the time it needs.
    run.waited_to_act = 0.0
    why = "" if anew else await scripts.run_action(run, stage, limit)
    began += run.waited_to_act
    deadline = began + limit if limit is not None and not follows else None
    if why:
        return Ended("fail", why)
    beside = _Beside(run, stage, began, has_limits=not follows)
    try:
        terms = Terms(deadline, may_fail=not follows, later=later if follows else ())
        ended = await await_watches(run, stage, terms)
        if isinstance(ended, Ended) and ended.status == "pass":
            if stage.id == "quarantine" and run.feed is not None:
                await evidence_keeper.write_impact(run, run.feed.current)
            ended = await _run_stage_hook(run, stage)
        return ended
    finally:
        await beside.close()


async def _run_stage_hook(run: RunContext, stage: Stage) -> Ended:
    if stage.late == "skip" and run.is_late(stage.id):
        return Ended("pass")
    if not stage.hook or await scripts.run_hook(run, stage, stage.hook, repair=run.repair_no):
        return Ended("pass")
    if run.request.strict or stage.on_hook_failure == "fail":
        return Ended("fail", f"hook {stage.hook} failed")
    return Ended("pass")


async def _write_stage_end(run: RunContext, stage: Stage, ended: Ended) -> None:
    status = ended.status
    state = run.state.stage(stage.id)
    began = state.began if state is not None and state.began is not None else run.now
    elapsed = round(max(0.0, run.now - began), 3)
    goes_on = status == "timeout" and stage.on_timeout == "continue"
    events: list[j.RunEvent] = [
        j.StageEnd(
            stage=stage.id,
            status=status,
            elapsed_s=elapsed,
            reason=ended.reason,
            overdue=bool(state and state.overdue),
            continued=goes_on,
            repair=state.repair if state is not None else 1,
        )
    ]
    if status in ("fail", "timeout"):
        events = [*make_cause_notes(run, stage.id), *events]
    text = run.runbook.narration.get(stage.id)
    if text and status == "pass" and not run.is_late(stage.id):
        took = _describe_time_of(run, stage.id, elapsed)
        events.insert(0, j.Narrated(stage=stage.id, text=narrate(run, text, took)))
    await run.record(*events)
    evidence_keeper.capture(run, stage.id, status)


def _describe_time_of(run: RunContext, stage_id: str, watched: float) -> str:
    """How long a stage took: between the incident's own marks. nvsx's watching stands only for
    what is nvsx's own work, and where no incident is kept."""
    if run.incident is None or stage_id not in CHAIN_STAGES:
        return durations.format(watched)
    took = find_stage_time(run.incident.current, run.fault, stage_id, run.repair_no)
    return "an unknown time" if took is None else durations.format(took)


def narrate(run: RunContext, text: str, elapsed: str) -> str:
    """The runbook's narration with its tokens filled in."""
    values = {
        "targetNode": run.node,
        "targetAlias": alias_of(run.node) if run.node else "",
        "elapsed": elapsed,
        "artifactDir": str(run.artifacts.folder),
        "artifactCount": str(len(run.state.evidence)),
        "runbook": run.runbook.metadata.name,
    }
    return narration.render(text, values)


def budget_of(run: RunContext, stage: Stage) -> float | None:
    """The stage's soft limit in seconds, as it counts in this run."""
    budget = stage.effective_budget
    return None if budget is None else budget * run.patience.budget_scale


def make_cause_notes(run: RunContext, stage_id: str) -> list[j.RunEvent]:
    """The note of the incident's cause, code, text and remedy as everybody gets them; none while
    there is no cause, nor for one that this stage has noted last."""
    if run.incident is None or run.incident.current.ended is not None:
        return []
    cause = run.incident.current.cause
    if run.cause_noted == (stage_id, cause):
        return []
    run.cause_noted = (stage_id, cause)
    note = j.NoteMade(stage=stage_id, text=cause.text, remedy=cause.remedy, code=cause.code)
    return [note] if cause.text else []


def call_people(run: RunContext, stage: Stage) -> None:
    """Fire the failure hook where people are needed though the stage stays open: janitor is in
    manual mode, or after the failure there is another reason.

    12:05 the reboot has timed out, and people were called for it. 12:40 somebody uncordons the node
    while the fault is there: they are called for that. The first reason alone, told again at
    12:41, calls nobody. By hand a person sits before the notes.
    """
    path = stage.on_failure or run.runbook.on_failure
    view = run.incident
    if view is None or not path or not run.goes_on_after_failure or not run.needs_people:
        return
    cause, reason = view.current.cause, (view.current.cause.code, run.repair_no)
    if reason in run.people_called:
        return
    run.people_called.add(reason)
    facts = {
        "NVSX_RUN_STATUS": "failed",
        "NVSX_FAILED_STAGE": stage.id,
        "NVSX_REASON": cause.text,
    }
    calling = scripts.run_hook(run, stage, path, "failure", repair=run.repair_no, facts=facts)
    # Not the stage's own task: the stage may pass while the hook still runs.
    task = asyncio.ensure_future(_call_hook(calling, after=run.calling))
    run.calling = task
    run.background.add(task)
    task.add_done_callback(run.background.discard)


async def _call_hook(calling: Awaitable[bool], *, after: asyncio.Task[None] | None) -> None:
    """One call after the other."""
    if after is not None:
        await asyncio.wait({after})
    await calling


class _Beside:
    """What goes on beside a waiting stage: the overdue mark, and why nothing happens."""

    def __init__(self, run: RunContext, stage: Stage, began: float, *, has_limits: bool) -> None:
        self._run, self._stage, self._has_limits = run, stage, has_limits
        self._waits: list[asyncio.Task[None]] = []
        self._overdue: asyncio.Task[None] | None = None
        self._firing = False
        budget = budget_of(run, stage) if has_limits else None
        state = run.state.stage(stage.id)
        if budget is not None and not (state and state.overdue):
            self._overdue = asyncio.create_task(self._mark_overdue(began + budget, budget))
        elif stage.on_overdue and state and state.overdue:
            # Owed since the mark is on record, so not dropped when the stage is over at once: a
            # task that is closed before it could begin would leave a begun hook without its end.
            self._firing = True
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
            path, repair = self._stage.on_overdue, self._run.repair_no
            await scripts.run_hook(self._run, self._stage, path, "overdue", repair=repair)

    async def _explain_waiting(self, feed: NodeFeed) -> None:
        """Say why the stage waits, each reason once for each new text. What the incident says of
        its cause is the only word where it says something."""
        run, told = self._run, set[tuple[str, str]]()
        await run.ports.clock.sleep(run.patience.why_after)
        ask_at = run.now
        while True:
            incident = run.incident.current if run.incident is not None else None
            silent = incident is None or not (incident.cause.text or is_released(incident))
            if run.now >= ask_at and silent:
                await self._ask_why(feed, told)
                ask_at = run.now + run.patience.why_every
            await run.record(*make_cause_notes(run, self._stage.id))
            dead = why_stage_is_dead(run, self._stage, feed.current)
            if not dead or not self._has_limits:
                call_people(run, self._stage)
            await self._wait_for_reasons(incident, max(ask_at - run.now, 0.0))

    async def _ask_why(self, feed: NodeFeed, told: set[tuple[str, str]]) -> None:
        run, stage = self._run, self._stage.id
        with suppress(NvsxError, TimeoutError):
            async with asyncio.timeout(run.patience.why_limit):
                notes = await run.ports.observer.why(feed.current, stage)
            fresh = [n for n in notes if (n.code, n.text) not in told]
            told.update((n.code, n.text) for n in fresh)
            await run.record(
                *(j.NoteMade(stage=stage, text=n.text, remedy=n.remedy, code=n.code) for n in fresh)
            )

    async def _wait_for_reasons(self, incident: IncidentState | None, pause: float) -> None:
        """For the pause, or until the incident has changed."""
        run = self._run
        waits: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(run.ports.clock.sleep(pause or run.patience.why_every))
        ]
        if run.incident is not None and incident is not None:
            waits.append(asyncio.ensure_future(run.incident.changed(incident)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()

    async def close(self) -> None:
        """Stop waiting; an overdue hook that has begun is let finish, unless cancelled."""
        if self._overdue is not None and (not self._firing or self._run.cancellation.stops_work):
            self._waits.append(self._overdue)
        elif self._overdue is not None:
            await self._overdue
        for task in self._waits:
            task.cancel()
        await asyncio.gather(*self._waits, return_exceptions=True)
