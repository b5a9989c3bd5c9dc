"""A run's way through its stages, and back to `remediate` as often as NVSentinel tries again.

In the daemon a failed stage is no end: the stages after it stay open, and what still comes true
fires its hooks; the run ends with its incident. By hand it ends with the failure.

    12:05 the RebootNode times out: remediate ends as fail, onFailure fires for attempt 1; recover
          begins, without a limit, and the run only follows
    12:07 NVSentinel makes a second one: remediate begins anew (repair 2), onAttempt fires
    12:12 it has worked: remediate passes, its hook fires; 12:12:30 released: recover passes
    12:13 the incident is over: postmortem, and the run has passed, with 2 attempts and 1 failure
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nvsx.core.incident.run_share import find_attempts_of_run, waits_for_this_run
from nvsx.core.journal import entries as j
from nvsx.core.runbook.schema import Stage
from nvsx.core.runbook.stage_order import DEFAULT_TIMEOUTS
from nvsx.follow import scripts, stage
from nvsx.follow.run_context import RunContext
from nvsx.follow.watcher import Ended, StaysOpen, further_attempt_began

DoUnlessCancelled = Callable[[Awaitable[Any]], Awaitable[Any]]


class Course:
    """`go` through the stages of one run, postmortem apart."""

    def __init__(self, run: RunContext, do_unless_cancelled: DoUnlessCancelled) -> None:
        self._run = run
        self._do_unless_cancelled = do_unless_cancelled
        self._stages = [s for s in run.runbook.stages if s.id != "postmortem"]

    async def go(self) -> None:
        """To the last stage and, where an incident is kept, to its end; to the first failure by
        hand; to a cancel."""
        run, place = self._run, 0
        if run.goes_on_after_failure and run.state.failures:
            run.begin_only_following()
        while not run.cancellation.stops_work:
            if place == len(self._stages):
                if not await self._do_unless_cancelled(self._wait_for_the_end()):
                    return
                place = await self._begin_anew(place - 1)
                continue
            item = self._stages[place]
            ended = await self._go_through(item, self._stages[place + 1 :])
            if ended is None:
                return
            if ended == StaysOpen("again"):
                place = await self._begin_anew(place)
                continue
            if self._has_failed(item):
                await self._do_unless_cancelled(self.call_for_failure(item))
                if not run.goes_on_after_failure:
                    return
                run.begin_only_following()
            elif isinstance(ended, Ended) and ended.status == "pass":
                await self._dwell_after(item)
            place += 1

    async def _go_through(self, item: Stage, later: Sequence[Stage]) -> Ended | StaysOpen | None:
        """Run one stage, unless it has ended before (the run was resumed). None when cancelled."""
        run = self._run
        state = run.state.stage(item.id)
        if state is not None and state.done and not await self._begin_recover_anew(item):
            return Ended("pass" if state.status == "pass" else "skipped")
        if item.id == "remediate" and state is not None and state.begins > 1:
            await self._do_unless_cancelled(self._tell_of_attempt(item, state.repair))
        ended: Ended | StaysOpen | None = await self._do_unless_cancelled(
            stage.run_stage(run, item, later)
        )
        return None if run.cancellation.stops_work else ended

    async def _begin_recover_anew(self, item: Stage) -> bool:
        """Whether a stage after `remediate` is begun again, since a further attempt came after it:
        that it once came true says nothing of the node now. Its hook has fired."""
        run = self._run
        state, remediate = run.state.stage(item.id), run.state.stage("remediate")
        if item.id != "recover" or state is None or remediate is None:
            return False
        if remediate.begins < 2 or state.repair >= remediate.repair:
            return False
        begin = j.StageBegin(stage=item.id, title=item.title, repair=remediate.repair)
        await run.record(begin)
        return True

    async def _begin_anew(self, place: int) -> int:
        """A further attempt: `remediate` begins anew. The place to go on from."""
        run = self._run
        mine = find_attempts_of_run(run.incident.current, run.run_id) if run.incident else ()
        # One after the other: of two that began while nvsx was away both are told.
        repair = min(a.no for a in mine if a.no > run.repair_known)
        at = next((i for i, s in enumerate(self._stages) if s.id == "remediate"), None)
        if at is None:
            run.repair_at_join = repair
            await self._do_unless_cancelled(self._tell_of_attempt(self._stages[place], repair))
            return place
        item = self._stages[at]
        await run.record(j.StageBegin(stage=item.id, title=item.title, repair=repair))
        return at

    async def _tell_of_attempt(self, item: Stage, repair: int) -> None:
        path = self._run.runbook.on_attempt
        if path:
            await scripts.run_hook(self._run, item, path, "attempt", repair=repair)

    def _has_failed(self, item: Stage) -> bool:
        state = self._run.state.stage(item.id)
        return state is not None and state.status in ("fail", "timeout") and not state.continued

    async def call_for_failure(self, item: Stage) -> None:
        """The failure hook, once for the stage and the attempt to repair."""
        run = self._run
        state = run.state.stage(item.id)
        repair = state.repair if state is not None else 1
        if run.incident is not None:
            run.people_called.add((run.incident.current.cause.code, run.repair_no))
        path = item.on_failure or run.runbook.on_failure
        if run.calling is not None:
            await asyncio.wait({run.calling})
        if path:
            await scripts.run_hook(run, item, path, "failure", repair=repair)

    async def _dwell_after(self, item: Stage) -> None:
        if self._run.request.dwell and item.dwell:
            await self._do_unless_cancelled(self._run.ports.clock.sleep(item.dwell))

    # --- the incident's end -----------------------------------------------------------------

    async def _wait_for_the_end(self) -> bool:
        """Wait until the incident is over; whether a further attempt came instead.

        A run by hand waits so only after recover, and not for ever: somebody sits before it.
        """
        run = self._run
        if run.incident is None or not self._stages:
            return False
        limit = None
        recover = run.state.stage("recover")
        recovered = recover is not None and recover.status == "pass"
        if recovered and not run.incident.current.was_quarantined:
            return False  # a warning went away: no repair can come again, and quiet takes minutes
        if not run.goes_on_after_failure:
            if not recovered:
                return False
            item = next(s for s in self._stages if s.id == "recover")
            limit = run.now + (item.effective_timeout or DEFAULT_TIMEOUTS["recover"] or 0.0)
        if waits_for_this_run(run.incident.current):
            return False
        run.begin_only_following()
        while run.incident.current.ended is None:
            incident = run.incident.current
            if further_attempt_began(run):
                return True
            if run.needs_people:
                if not run.goes_on_after_failure:
                    return False
                stage.call_people(run, self._stages[-1])
            left = None if limit is None else limit - run.now
            if left is not None and left <= 0:
                await self._note_that_it_is_open()
                return False
            await self._wait_for_news(run.incident.changed(incident), left)
        return False

    async def _wait_for_news(self, changed: Awaitable[Any], left: float | None) -> None:
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(changed)]
        if left is not None:
            waits.append(asyncio.ensure_future(self._run.ports.clock.sleep(left)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()

    async def _note_that_it_is_open(self) -> None:
        text = "the incident is still open: it is over when the node has been well for a while"
        await self._run.record(
            j.NoteMade(stage="", code="incident-open", text=text, remedy="nvsx status")
        )
