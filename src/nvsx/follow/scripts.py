"""Runs a run's scripts: hooks with retries, the action once, and nothing twice.

A script is written as begun before it starts and as ended after. What an earlier owner
finished is not run again, and what it left running is waited for within its time. What was
cut in the middle, or is over its time, is stopped first; then a hook runs again with the same
idempotency key, and an action only when it is `idempotent`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec

from nvsx.core.incident.fault_weight import weigh_fault_of_run
from nvsx.core.journal import entries as j
from nvsx.core.journal.fold import HookState
from nvsx.core.ports import ActionTurn, ActionWish, LineSink, ProcessIdentity, Script, ScriptResult
from nvsx.core.runbook.schema import Action, Stage
from nvsx.follow import asked_messages, evidence_keeper
from nvsx.follow.incident_file import write_incident
from nvsx.follow.run_context import RunContext


class _Pump:
    """Carries output lines from a callback into the journal, in batches and in order."""

    def __init__(self, run: RunContext, stage: str, source: j.ScriptKind) -> None:
        self._run, self._stage, self._source = run, stage, source
        self._lines: list[j.RunEvent] = []
        self._some = asyncio.Event()
        self._closed = False
        self._task = asyncio.create_task(self._write_lines())
        self.text: list[str] = []

    def take(self, stream: Literal["stdout", "stderr"], line: str) -> None:
        self.text.append(line)
        self._lines.append(
            j.Output(stage=self._stage, source=self._source, stream=stream, line=line)
        )
        self._some.set()

    async def _write_lines(self) -> None:
        while not self._closed or self._lines:
            await self._some.wait()
            self._some.clear()
            lines, self._lines = self._lines, []
            await self._run.record(*lines)

    async def close(self) -> None:
        """Write what has come; raises what writing raised."""
        self._closed = True
        self._some.set()
        await self._task


@dataclass(frozen=True, slots=True)
class _Done:
    """How a script ended. `cut` is true when a cancelled run stopped it: then its end is
    written down first, and `go_on` lets the cancellation take its course."""

    result: ScriptResult
    lines: list[str]
    cut: bool

    def go_on(self) -> None:
        if self.cut:
            raise asyncio.CancelledError


async def run_hook(
    run: RunContext,
    stage: Stage,
    path: str,
    purpose: j.HookPurpose = "hook",
    *,
    repair: int = 1,
    facts: Mapping[str, str] = MappingProxyType({}),
) -> bool:
    """Run a hook until it succeeds or its tries are used up; whether it succeeded.

    `path` is relative to `runbooks/`. `repair` is the attempt to repair that it fires for: a
    stage's hook fires once a run, those for failures and attempts once for each. `facts` come
    over those of the stage. Raises only store errors and cancellation.
    """
    hook = _Hook(stage, path, purpose, repair, facts)
    mine = [
        s
        for s in _scripts_of_stage(run, stage.id)
        if s.purpose == purpose and s.script == path and (hook.is_once or s.repair == repair)
    ]
    tried = max((s.attempt for s in mine), default=0)
    if mine and mine[-1].ended is not None and (mine[-1].ok or tried > stage.hook_retries):
        return mine[-1].ok
    if mine and mine[-1].ended is None:
        result = await _find_end(run, hook, mine[-1])
        if result is not None and (result.ok or tried > stage.hook_retries):
            return result.ok
    tries_left = max(1, stage.hook_retries + 1 - sum(s.ended is not None for s in mine))
    for turn in range(tries_left):
        if turn:
            await run.ports.clock.sleep(run.patience.retry_pause * 2 ** (turn - 1))
        if await _try_hook(run, hook, tried + turn + 1):
            return True
    return False


class _Hook(NamedTuple):
    """A hook that is to fire."""

    stage: Stage
    path: str
    purpose: j.HookPurpose
    repair: int
    facts: Mapping[str, str]

    @property
    def is_once(self) -> bool:
        """Whether it fires once a run, however often NVSentinel tries to repair."""
        return self.purpose in ("hook", "overdue")


def hook_key(run: RunContext, hook: _Hook) -> str:
    """Its idempotency key: with the attempt where it fires for attempts. The first failure keeps
    the key that it had before there were attempts."""
    key = idempotency_key(run, hook.stage.id, hook.purpose)
    for_attempt = hook.purpose == "attempt" or (hook.purpose == "failure" and hook.repair > 1)
    return f"{key}.{hook.repair}" if for_attempt else key


async def _find_end(run: RunContext, hook: _Hook, begun: HookState) -> ScriptResult | None:
    """The end of a hook that the owner before did not see: kept, or waited for within its time.
    None for one that was cut with its owner: what is left of it is stopped, and it runs again."""
    key, stage = hook_key(run, hook), hook.stage
    script = _make_hook_script(run, hook, begun.attempt)
    seen = begun.process
    identity = ProcessIdentity(seen.pid, seen.started) if seen else None
    limit = begun.began + (script.timeout or 0.0) - run.now
    result = await run.ports.scripts.find_end(script, identity, max(0.0, limit))
    if result is None:
        await _clear_orphan(run, stage.id, begun, key)
        return None
    await asked_messages.take_in_messages(run)
    note = f"{hook.path} ended while nvsx was away"
    run.queue_for_next_commit(j.NoteMade(stage=stage.id, code="ended-unseen", text=note))
    _take_report(run, stage.id, result)
    await _record_hook_end(run, hook, begun.attempt, result)
    return result


def _make_hook_script(run: RunContext, hook: _Hook, try_no: int) -> Script:
    stage, key = hook.stage, hook_key(run, hook)
    return Script(
        kind="hook",
        path=str(run.root / "runbooks" / hook.path),
        facts=run.facts(
            stage.id,
            **{"NVSX_REPAIR_NO": str(hook.repair), **hook.facts},
            NVSX_IDEMPOTENCY_KEY=key,
            NVSX_ATTEMPT=str(try_no),
        ),
        timeout=stage.hook_timeout or run.patience.hook_timeout,
        end_file=_find_end_file(run, key, try_no),
    )


def _find_end_file(run: RunContext, key: str, try_no: int) -> str:
    """Where the end of one start of a script is kept. Hidden: it is no evidence of an incident."""
    return str(run.artifacts.folder / ".ends" / f"{key}.{try_no}")


async def _record_hook_end(run: RunContext, hook: _Hook, try_no: int, result: ScriptResult) -> None:
    end = j.HookEnd(
        stage=hook.stage.id,
        hook=hook.path,
        exit_code=result.exit_code,
        attempt=try_no,
        purpose=hook.purpose,
        duration_s=round(result.duration, 3),
        detail=result.detail,
    )
    await run.record(end, durable=True)


async def _try_hook(run: RunContext, hook: _Hook, try_no: int) -> bool:
    key, stage, path, purpose = hook_key(run, hook), hook.stage, hook.path, hook.purpose
    begin = j.HookBegin(
        stage=stage.id,
        hook=path,
        attempt=try_no,
        idempotency_key=key,
        purpose=purpose,
        repair=hook.repair,
    )
    await run.record(begin, durable=True)
    done = await _run_script(run, _make_hook_script(run, hook, try_no), stage.id, path)
    result = done.result
    await _record_hook_end(run, hook, try_no, result)
    done.go_on()
    return result.ok


async def run_action(run: RunContext, stage: Stage, limit: float | None) -> str:
    """Run the stage's action once; "" when it succeeded, else why the stage fails. On a node one
    action runs at a time: others are waited for first."""
    action = stage.action
    if action is None:
        return ""
    mine = [s for s in _scripts_of_stage(run, stage.id) if s.purpose == "action"]
    if mine and mine[-1].ended is not None:
        return "" if mine[-1].ok else _why_failed(action.script, mine[-1])
    async with _take_turn(run, stage) as turn:
        return await _run_action_in_turn(run, stage, action, mine, limit, turn)


@asynccontextmanager
async def _take_turn(run: RunContext, stage: Stage) -> AsyncIterator[ActionTurn | None]:
    """The turn to act on the run's node; the time that it took counts towards no limit."""
    if run.ports.turns is None or not run.node:
        yield None
        return

    async def say_waiting(other: str) -> None:
        await run.record(
            j.NoteMade(
                stage=stage.id,
                code="action-waits",
                text=f"the action waits: run {other} acts on {run.node} first, one at a time",
                remedy=f"see what it does: nvsx runs show {other}",
            )
        )

    began = run.now
    wish = ActionWish(run.node, run.run_id, weigh_fault_of_run(run.fault, run.trigger))
    async with run.ports.turns.take(wish, say_waiting) as turn:
        run.waited_to_act = run.now - began
        yield turn


async def _run_action_in_turn(
    run: RunContext,
    stage: Stage,
    action: Action,
    mine: list[HookState],
    limit: float | None,
    turn: ActionTurn | None,
) -> str:
    key = idempotency_key(run, stage.id, "action")
    script = Script(
        kind="action",
        path=str(run.root / action.script),
        args=tuple(action.args),
        facts=run.facts(stage.id, NVSX_IDEMPOTENCY_KEY=key, NVSX_ATTEMPT=str(len(mine) + 1)),
        timeout=limit,
        end_file=_find_end_file(run, key, len(mine) or 1),
    )
    if mine:
        result = await _find_action_end(run, stage, script, mine[-1])
        if result is not None:
            return await _record_action_end(run, stage, action.script, result)
        await _clear_orphan(run, stage.id, mine[-1], key)
        if not action.idempotent:
            why = "was cut in the middle when nvsx died; it is not idempotent, so not repeated"
            cut = ScriptResult(exit_code=None, detail=why)
            await _record_action_end(run, stage, action.script, cut)
            return f"action {action.script} {why}"
        script = msgspec.structs.replace(script, end_file=_find_end_file(run, key, len(mine) + 1))
    await run.record(j.ActionBegin(stage=stage.id, script=action.script), durable=True)
    done = await _run_script(run, script, stage.id, action.script, turn)
    result = done.result
    missing = [t for t in stage.expect if not any(t in line for line in done.lines)]
    if result.ok and missing:
        detail = f"did not print {missing[0]!r}"
        result = msgspec.structs.replace(result, exit_code=1, detail=detail)
    why = await _record_action_end(run, stage, action.script, result)
    done.go_on()
    return why


async def _find_action_end(
    run: RunContext, stage: Stage, script: Script, begun: HookState
) -> ScriptResult | None:
    """The end of an action that the owner before did not see. One that has to print something is
    never believed: what it printed is lost."""
    seen = begun.process
    identity = ProcessIdentity(seen.pid, seen.started) if seen else None
    left = (
        None
        if script.timeout is None
        else max(0.0, min(begun.began, run.now) + script.timeout - run.now)
    )
    result = await run.ports.scripts.find_end(script, identity, left)
    await asked_messages.take_in_messages(run)
    return None if result is None or (result.ok and stage.expect) else result


async def _record_action_end(run: RunContext, stage: Stage, name: str, result: ScriptResult) -> str:
    end = j.ActionEnd(stage=stage.id, script=name, exit_code=result.exit_code, detail=result.detail)
    await run.record(end, durable=True)
    return "" if result.ok else _why_failed(name, _scripts_of_stage(run, stage.id)[-1])


def idempotency_key(run: RunContext, stage: str, purpose: str) -> str:
    """Stable for one run, stage and hook, whatever the try."""
    return f"{run.run_id}.{stage}.{purpose}"


def _why_failed(script: str, end: HookState) -> str:
    if end.detail:
        return f"action {script}: {end.detail}"
    return f"action {script} ended with exit code {end.exit_code}"


def _scripts_of_stage(run: RunContext, stage: str) -> list[HookState]:
    found = run.state.stage(stage)
    return found.scripts if found is not None else []


async def _clear_orphan(run: RunContext, stage: str, script: HookState, key: str) -> None:
    seen = script.process
    identity = ProcessIdentity(seen.pid, seen.started) if seen else None
    if await run.ports.scripts.stop_orphan(identity, key):
        run.queue_for_next_commit(
            j.NoteMade(
                stage=stage,
                code="orphan-stopped",
                text=f"{script.script} was still running from before; it was stopped",
            )
        )


async def _run_script(
    run: RunContext, script: Script, stage: str, name: str, turn: ActionTurn | None = None
) -> _Done:
    await evidence_keeper.write_event(run)
    await write_incident(run)
    pump = _Pump(run, stage, "action" if script.kind == "action" else "hook")
    sink: LineSink = pump.take

    async def started(identity: ProcessIdentity) -> None:
        if turn is not None:
            turn.note_process(identity)
        await run.record(
            j.ProcessSeen(stage=stage, script=name, pid=identity.pid, started=identity.started)
        )

    cut = False
    try:
        async with asked_messages.hear_messages(run):
            result = await run.ports.scripts.run(script, sink, started)
    except asyncio.CancelledError:
        if run.state.cancelled is None:
            raise  # nvsx is going down: the script stays begun, and a resume repeats it
        cut = True
        result = ScriptResult(exit_code=None, detail=f"stopped: {run.state.cancelled.reason}")
    finally:
        await pump.close()
    await asked_messages.take_in_messages(run)
    _take_report(run, stage, result)
    return _Done(result, pump.text, cut)


def _take_report(run: RunContext, stage: str, result: ScriptResult) -> None:
    """The lines that are new in the report file go into the next record."""
    new = result.report[run.lines_reported :]
    run.lines_reported += len(new)
    run.queue_for_next_commit(*(j.Reported(stage=stage, line=line) for line in new))
