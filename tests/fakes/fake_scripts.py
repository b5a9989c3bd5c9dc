"""A fake of the Scripts port: scripts that do what the test says, in virtual time.

Program it by the end of a script's path (or a prerequisite's command line); what is not
programmed passes silently. Every call is kept in `calls`. Nothing is spawned.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Literal

import msgspec

from nvsx.core.ports import Clock, LineSink, ProcessIdentity, Script, ScriptResult, StartSink
from nvsx.core.runbook import arguments

Stream = Literal["stdout", "stderr"]


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What one execution does: print `lines`, take `seconds`, then exit.

    A line is text for stdout or a (stream, text) pair. `hang` goes on until the time
    limit or a cancel. `missing` is a script that cannot be started; it says why.
    """

    exit_code: int = 0
    lines: tuple[str | tuple[Stream, str], ...] = ()
    seconds: float = 0.0
    hang: bool = False
    missing: str = ""


class Call(msgspec.Struct):
    """One execution: when it began and ended (Unix seconds) and how.

    `killed` is true when a time limit, a cancel or `stop_orphan` ended it.
    """

    script: Script
    identity: ProcessIdentity | None
    begun: float
    ended: float | None = None
    result: ScriptResult | None = None
    killed: bool = False
    behaviour: Behaviour = Behaviour()

    @property
    def key(self) -> str:
        """The idempotency key the script was given."""
        return self.script.facts.get("NVSX_IDEMPOTENCY_KEY", "")


class FakeScripts:
    """Scripts that behave as programmed with `on`."""

    def __init__(self, clock: Clock, default: Behaviour | None = None) -> None:
        self.calls: list[Call] = []
        #: end file → what it keeps of a script that ended while nvsx was dead
        self.ends: dict[str, ScriptResult] = {}
        self._clock = clock
        self._default = default or Behaviour()
        self._programmed: dict[str, list[Behaviour]] = {}
        self._orphans: dict[str, Call] = {}
        self._pids = itertools.count(1000)

    def on(self, path: str, *behaviours: Behaviour) -> None:
        """Program the scripts whose path or command ends with `path`.

        Several behaviours are used one after the other; the last one repeats.
        """
        self._programmed[path] = list(behaviours)

    def ran(self, path: str) -> Sequence[Call]:
        """The calls of scripts whose path or command ends with `path`, in order."""
        return [c for c in self.calls if (c.script.path or c.script.command).endswith(path)]

    def survive(self, path: str) -> None:
        """Let the latest call of `path` live on, as after a kill -9 of its owner."""
        call = self.ran(path)[-1]
        call.ended, call.killed = None, False
        self._orphans[call.key] = call

    async def run(self, script: Script, on_line: LineSink, on_start: StartSink) -> ScriptResult:
        behaviour = self._behaviour(script)
        args, unset = arguments.expand(script.args, script.facts)
        script = msgspec.structs.replace(script, args=tuple(args))
        call = Call(script=script, identity=None, begun=self._clock.now(), behaviour=behaviour)
        self.calls.append(call)
        if unset:
            return self._end(
                call, ScriptResult(exit_code=None, detail=arguments.explain_unset(unset))
            )
        if behaviour.missing:
            return self._end(call, ScriptResult(exit_code=None, detail=behaviour.missing))
        call.identity = ProcessIdentity(pid=next(self._pids), started=call.begun)
        try:
            await on_start(call.identity)
            return self._end(call, await self._play(script, behaviour, on_line))
        except asyncio.CancelledError:
            call.killed = True
            call.ended = self._clock.now()
            raise

    async def find_end(
        self, script: Script, identity: ProcessIdentity | None, limit: float | None
    ) -> ScriptResult | None:
        """One that `survive` let live on ends by itself when its `seconds` are over."""
        del identity
        call = self._orphans.get(script.facts.get("NVSX_IDEMPOTENCY_KEY", ""))
        if call is None:
            return self.ends.get(script.end_file)
        behaviour = call.behaviour
        left = call.begun + behaviour.seconds - self._clock.now()
        if behaviour.hang or (limit is not None and left > limit):
            await self._clock.sleep(limit or 0.0)
            return None
        await self._clock.sleep(max(0.0, left))
        del self._orphans[call.key]
        return self._end(call, ScriptResult(exit_code=behaviour.exit_code))

    async def stop_orphan(self, identity: ProcessIdentity | None, idempotency_key: str) -> bool:
        found = self._orphans.get(idempotency_key) if idempotency_key else None
        if found is None and identity is not None:
            found = next((c for c in self._orphans.values() if c.identity == identity), None)
        if found is None:
            return False
        del self._orphans[found.key]
        found.killed = True
        found.ended = self._clock.now()
        return True

    def _behaviour(self, script: Script) -> Behaviour:
        name = script.path or script.command
        best = max((p for p in self._programmed if name.endswith(p)), key=len, default=None)
        if best is None:
            return self._default
        queue = self._programmed[best]
        return queue.pop(0) if len(queue) > 1 else queue[0]

    async def _play(self, script: Script, behaviour: Behaviour, on_line: LineSink) -> ScriptResult:
        for line in behaviour.lines:
            if isinstance(line, str):
                on_line("stdout", line)
            else:
                on_line(*line)
        limit = script.timeout
        wanted = float("inf") if behaviour.hang else behaviour.seconds
        if limit is not None and wanted > limit:
            await self._clock.sleep(limit)
            return ScriptResult(
                exit_code=None, detail=f"timed out after {limit:g}s", timed_out=True
            )
        if behaviour.hang:
            await asyncio.get_running_loop().create_future()
        await self._clock.sleep(behaviour.seconds)
        return ScriptResult(exit_code=behaviour.exit_code)

    def _end(self, call: Call, result: ScriptResult) -> ScriptResult:
        call.ended = self._clock.now()
        call.killed = result.timed_out
        call.result = msgspec.structs.replace(result, duration=call.ended - call.begun)
        return call.result
