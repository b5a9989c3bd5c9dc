"""Runs one runbook from claim to finish, or goes on with one that was cut short.

The runner owns the order of things and nothing else: who the target is, prerequisites,
stages, the failure hook, postmortem, the end. Each operation reads the folded journal to
know what has been done already, so that calling it again is safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec

from nvsx.core.aliases import alias_of
from nvsx.core.errors import NodeClaimed, NotReady, NvsxError, StoreError
from nvsx.core.incident.incident_times import times_of_fault
from nvsx.core.incident.run_share import find_attempts_of_run
from nvsx.core.journal import entries as j
from nvsx.core.ports import Fault
from nvsx.core.runbook.needs import needs_of
from nvsx.core.runbook.schema import Stage
from nvsx.core.watches.kinds import describe
from nvsx.follow import asked_messages, evidence_keeper, joining, prerequisites, stage
from nvsx.follow.course import Course
from nvsx.follow.own_session import note_progress
from nvsx.follow.run_context import RunContext

Matches = Callable[[Fault], bool]
REPORT_FILE = "report.txt"


def make_start_event(run: RunContext) -> j.Start:
    """The first event of a new run."""
    request, meta = run.request, run.runbook.metadata
    return j.Start(
        runbook=meta.name,
        nickname=meta.nickname,
        title=meta.title,
        target_node=request.node,
        target_alias=alias_of(request.node) if request.node else "",
        trigger=request.trigger,
        cluster=request.cluster,
        context=request.context,
        project=request.project,
        runbook_hash=run.runbook_hash,
        sandbox=request.sandbox,
        drill=request.drill,
        live_hooks=request.live_hooks,
        clock_ahead_s=run.clock_ahead,
        late=request.late,
        strict=request.strict,
        tags=tuple(meta.tags),
        stages=tuple(
            j.StagePlan(
                id=s.id,
                title=s.title,
                timeout_s=s.effective_timeout,
                budget_s=stage.budget_of(run, s),
                watches=tuple(describe(w) for w in s.watch),
            )
            for s in run.runbook.stages
        ),
        trigger_event=_as_mapping(request.event),
        incident=run.incident.incident if run.incident is not None else request.incident,
    )


def _as_mapping(event: Any) -> dict[str, Any] | None:
    return None if event is None else dict(msgspec.to_builtins(event))


class Runner:
    """One run in this process. `run` works it to the end; `cancel` ends it early."""

    def __init__(self, run: RunContext, *, matches: Matches | None = None) -> None:
        self.run = run
        self._matches = matches
        self._refused = NotReady.exit_code
        self._course = Course(run, self._do_unless_cancelled)

    def cancel(self, by: str, reason: str, exit_code: int = 1) -> None:
        """End the run: the current script is stopped, then postmortem runs."""
        cancellation = self.run.cancellation
        first = cancellation.ask(j.CancelAsked(by=by, reason=reason, exit_code=exit_code))
        if first and not cancellation.stops_work:
            telling = asyncio.ensure_future(self._tell_that_postmortem_runs_on(reason))
            self.run.background.add(telling)
            telling.add_done_callback(self.run.background.discard)

    async def _tell_that_postmortem_runs_on(self, reason: str) -> None:
        text = f"{reason or 'cancelled'}: only postmortem is left, and it runs always"
        note = j.NoteMade(
            stage="postmortem",
            code="cancel-late",
            text=text,
            remedy="ask again to stop it at once",
        )
        with suppress(NvsxError):
            await self.run.record(note)

    async def work(self) -> j.Finish:
        """Run, or go on with, the run; returns how it finished.

        Raises StaleOwner when another process took it over, and StoreError; the run then
        stays as it is in the journal.
        """
        async with asked_messages.hear_settled(self.run):
            return await self._work_to_the_end()

    async def _work_to_the_end(self) -> j.Finish:
        run = self.run
        try:
            if run.state.finish is not None:
                return run.state.finish
            problem = await self._join_incident()
            if run.state.start is None:
                await run.record(make_start_event(run), durable=True)
            self._note_changed_runbook(run.state.start)
            if run.state.cancelled is not None:  # resumed: what a person ended stays ended
                run.cancellation.ask(run.state.cancelled)
            problem = problem or await self._prepare_run()
            if not problem:
                await self._course.go()
            await self._skip_rest(problem)
            return await self._finish_run(problem)
        finally:
            await self._close_run()

    def _note_changed_runbook(self, start: j.Start | None) -> None:
        """Say so when a resumed run goes on with another text of its runbook."""
        before = start.runbook_hash if start is not None else ""
        if before and self.run.runbook_hash and before != self.run.runbook_hash:
            text = "the runbook has changed since the run began; it goes on as it is now"
            self.run.queue_for_next_commit(j.NoteMade(stage="", code="runbook-changed", text=text))

    # -- before the first stage ---------------------------------------------------------

    async def _join_incident(self) -> str:
        """Join the incident of the node, where that is known. Why the run must end, else ""."""
        try:
            await joining.join_incident(self.run)
        except StoreError:
            raise  # a store that is busy now is tried again
        except NvsxError as error:
            self._refused = error.exit_code
            return f"{error.message} ({error.hint})" if error.hint else error.message
        return ""

    async def _prepare_run(self) -> str:
        """Know the node, follow it, check prerequisites. Why not, when the run must end."""
        run = self.run
        try:
            if not run.node:
                await self._do_unless_cancelled(self._wait_for_fault())
                await joining.join_incident(run)
            if run.cancellation.stops_work:
                return ""
            await joining.record_joining(run)
            await self._write_first_files()
            run.feed = await run.ports.observer.follow(
                run.node,
                needs_of(run.runbook),
                run.state.session if run.state.session.key else None,
            )
            note_progress(run, run.feed.current)
        except NvsxError as error:
            self._refused = error.exit_code
            return f"{error.message} ({error.hint})" if error.hint else error.message
        unmet = await self._do_unless_cancelled(prerequisites.check(run)) or []
        if not unmet or run.cancellation.stops_work or any(s.began for s in run.state.stages):
            return ""
        text = "; ".join(f"{p.name}: {p.detail}" for p in unmet)
        if run.request.by_hand or any(p.required for p in unmet):
            return f"prerequisites not met: {text}"
        await run.record(
            j.NoteMade(stage="", code="prerequisites", text=f"prerequisites not met: {text}")
        )
        return ""

    async def _wait_for_fault(self) -> None:
        """Wait for the first fault this runbook's triggers match; then claim its node."""
        run = self.run
        faults = run.ports.observer.faults()
        if run.state.status != "armed":
            await run.record(j.Armed(waiting_for=_waiting_for(run)))
        # What broke just before listening began, or while nobody worked the run, is in no
        # stream any more. Of several such nodes none is chosen: that would be a guess.
        there = await run.ports.observer.nodes_in_incident()
        claimed = (await run.ports.journal.run(run.run_id)).node
        if claimed:  # killed between the claim and the entry that tells of it
            fault = next((f for f in there if f.node == claimed), None)
            await self._record_target(claimed, fault, "claimed before nvsx died")
            return
        mine = [f for f in there if self._is_for_this_runbook(f)]
        if len(mine) == 1:
            with suppress(NodeClaimed):  # another run is on it already: wait for the next
                await self._claim_node_of(mine[0])
                return
        async for fault in faults:
            if self._is_for_this_runbook(fault):
                await self._claim_node_of(fault)
                return

    def _is_for_this_runbook(self, fault: Fault) -> bool:
        return self._matches is not None and self._matches(fault)

    async def _claim_node_of(self, fault: Fault) -> None:
        """Claim the fault's node for this run."""
        await self.run.ports.journal.claim(self.run.lease, fault.node)
        codes = ", ".join(fault.event.error_codes)
        await self._record_target(fault.node, fault, f"{fault.event.check} {codes}".strip())

    async def _record_target(self, node: str, fault: Fault | None, reason: str) -> None:
        """Make the claimed `node` this run's; `fault` is what broke, where that is known."""
        run, event = self.run, fault.event if fault is not None else None
        run.request = msgspec.structs.replace(run.request, node=node, event=event)
        target = j.Target(
            target_node=node,
            target_alias=alias_of(node),
            reason=reason,
            trigger_event=_as_mapping(event),
        )
        await run.record(target)

    async def _write_first_files(self) -> None:
        """The files that hooks are told of."""
        run = self.run
        await evidence_keeper.write_event(run)
        if not (run.artifacts.folder / REPORT_FILE).exists():
            with suppress(NvsxError, OSError):  # event.json beside it has told why
                await run.artifacts.write(REPORT_FILE, b"")

    # -- cancelling ---------------------------------------------------------------------

    async def _do_unless_cancelled(self, work: Awaitable[Any]) -> Any:
        """Do `work` until it is done or the run is cancelled; cancelled work returns None."""
        run = self.run
        task = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(run.cancellation.wait())
        try:
            await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await self._record_cancel()
                task.cancel()
                await asyncio.wait({task})
            return None if task.cancelled() else task.result()
        finally:
            asked.cancel()
            if not task.done():  # nvsx is going down: nothing of the run may outlive this
                task.cancel()
                await asyncio.wait({task})

    async def _record_cancel(self) -> None:
        """Keep who asked, once: before anything is stopped for it."""
        asked = self.run.cancellation.asked
        if asked is not None and self.run.state.cancelled is None:
            await self.run.record(asked, durable=True)

    # -- the end ------------------------------------------------------------------------

    async def _skip_rest(self, problem: str) -> None:
        run, failed = self.run, self.run.state.failed_stage
        if run.cancellation.stops_work:
            await self._record_cancel()
        why = problem or (f"{failed.id} did not pass" if failed else "the run was cancelled")
        if run.incident is not None and run.incident.current.ended is not None and not problem:
            why = f"passed unseen: the incident was over ({run.incident.current.ended.how}) before"
        if not run.node and not problem:
            why = "no node was ever targeted"
        events = [
            j.StageEnd(
                stage=s.id,
                status="cancelled"
                if s.began is not None and run.cancellation.stops_work
                else "skipped",
                elapsed_s=round(max(0.0, run.now - (s.began or run.now)), 3),
                reason=why,
            )
            for s in run.state.stages
            if not s.done and (s.id != "postmortem" or problem or not run.node)
        ]
        await run.record(*events)

    async def _finish_run(self, problem: str) -> j.Finish:
        run = self.run
        last = next((s for s in run.runbook.stages if s.id == "postmortem"), None)
        is_kept = False
        if last is not None and run.node and not problem:
            is_kept = await self._run_postmortem(last)
        if not is_kept:
            evidence_keeper.capture(run, "postmortem", "end")
        await evidence_keeper.wait_for_captures(run)
        if run.feed is not None:
            note_progress(run, run.feed.current)
        await run.record()
        await asked_messages.wait_until_told(run)
        finish = self._decide_finish(problem)
        if run.incident is not None:  # which goes on without the run
            await run.incident.tell_run_ended(run.run_id, finish.status)
        summary = msgspec.json.format(msgspec.json.encode({"run_id": run.run_id, "finish": finish}))
        with suppress(OSError, NvsxError):
            await run.artifacts.write("run.json", summary)
        await run.record(finish, durable=True)
        await asked_messages.close_spool(run)
        return finish

    async def _run_postmortem(self, item: Stage) -> bool:
        """Runs whatever came before, a cancel too. A second cancel stops it from outside. Whether
        it ended only now, so that evidence of its end is kept already."""
        run = self.run
        run.cancellation.begin_postmortem()
        state = run.state.stage(item.id)
        ends_now = state is None or not state.done
        await stage.run_stage(run, item)
        failed = run.state.failed_stage
        if failed is not None and failed.id == item.id:
            await self._course.call_for_failure(item)
        return ends_now

    def _decide_finish(self, problem: str) -> j.Finish:
        run, state = self.run, self.run.state
        status, reason, code = self._decide_status(problem)
        incident = run.incident.current if run.incident is not None else None
        mttr, bare = _times_to_repair(run)
        times, cleared = state.times, None
        if not state.session.known and times.generated and times.healthy:
            cleared = max(0.0, times.healthy - times.generated)
        return j.Finish(
            ok=status == "passed",
            status=status,
            degraded=state.degraded or bool([p for p in state.prerequisites if not p.ok]),
            total_s=round(max(0.0, run.now - state.began), 3),
            mttr_s=_round_seconds(mttr),
            mttr_without_drain_s=_round_seconds(bare),
            condition_cleared_s=_round_seconds(cleared),
            reason=reason,
            exit_code=code,
            attempts=len(find_attempts_of_run(incident, run.run_id)) if incident else 0,
            failed_stages=tuple(f.stage for f in state.failures),
        )

    def _decide_status(self, problem: str) -> tuple[j.RunStatus, str, int]:
        """Status, reason and exit code of the run. The first row that fits counts.

        | what happened                                                     | the run is |
        |-------------------------------------------------------------------|------------|
        | a person cancelled it                                             | cancelled  |
        | it could not begin                                                | failed     |
        | by hand a stage failed, which ends the run                        | failed     |
        | the node came back, also after two reboots that failed            | passed     |
        | a person closed the incident, the node was removed, nobody ever   | failed     |
        |   confirmed the alert                                             |            |
        | a stage failed and nothing mended it                              | failed     |
        | by hand, recover has passed, and people are needed now            | failed     |
        """
        run, state = self.run, self.run.state
        if state.cancelled is not None:
            return "cancelled", state.cancelled.reason, state.cancelled.exit_code
        if problem:
            return "failed", problem, self._refused
        incident = run.incident.current if run.incident is not None else None
        failed = state.failed_stage
        ended = incident.ended if incident is not None else None
        ends_here = failed is not None and not run.goes_on_after_failure
        if ended is not None and ended.how in ("recovered", "replaced") and not ends_here:
            replaced = "the node was replaced, not repaired" if ended.how == "replaced" else ""
            return "passed", replaced or state.replaced, 0
        if ended is not None and ended.how in ("closed", "removed", "unconfirmed"):
            return "failed", f"{ended.how}: {ended.text}" if ended.text else ended.how, 1
        if failed is not None:
            return "failed", f"{failed.id}: {failed.reason}", 1
        if incident is not None and run.needs_people:
            return "failed", incident.cause.text, 1
        return "passed", state.replaced, 0

    async def _close_run(self) -> None:
        run = self.run
        for task in set(run.background):
            task.cancel()
        if run.feed is not None:
            with suppress(NvsxError):
                await run.feed.close()


def _times_to_repair(run: RunContext) -> tuple[float | None, float | None]:
    """Time to repair of the run's fault, and without the drain; None where it was not repaired."""
    times = run.state.times
    fault = run.fault
    ended = run.incident.current.ended if run.incident is not None else None
    if ended is not None and ended.how == "replaced":
        return None, None  # replaced, not repaired
    if run.incident is not None and fault is not None:
        total = times_of_fault(run.incident.current, fault).to_repair_s
        return total, None if total is None else times.time_to_repair_without_drain()
    if run.state.session.ending != "recovered":
        return None, None
    return times.time_to_repair(), times.time_to_repair_without_drain()


def _round_seconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _waiting_for(run: RunContext) -> str:
    checks = sorted({c for t in run.runbook.triggers for c in t.check})
    return "the first fault of " + (", ".join(checks) if checks else run.runbook.metadata.name)
