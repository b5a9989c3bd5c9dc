"""LocalScripts: runs a runbook's scripts as child processes, each in a session of its own.

The engine calls it through the Scripts port. It promises that a time limit holds whatever
the script does, that a cancelled script leaves nobody of its group behind, and that output
arrives plain, masked and bounded. It never raises for what a script does.

A script has ended when its first process has. Children that still hold its output open get
`linger` seconds; then those of a hook or prerequisite are stopped, while those of an
action go on unread, since half a remediation is worse than an unread one. Children that
redirected their output and left are nobody's business here.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from nvsx.core import durations
from nvsx.core.masking import Masker
from nvsx.core.ports import LineSink, ProcessIdentity, Script, ScriptResult, StartSink
from nvsx.core.runbook import arguments, review
from nvsx.follow.processes import process_groups, script_environment
from nvsx.follow.processes.end_file import (
    explain_what_cannot_start,
    make_room_for_end,
    read_end,
    supervise,
)
from nvsx.follow.processes.report_file import hide_secrets, read_reported_lines
from nvsx.follow.processes.script_output import Budget, Stream

GRACE = 5.0
"""Seconds between TERM and KILL."""
LINGER = 2.0
"""Seconds that children may hold a finished script's output open."""
CHUNK = 16 * 1024
SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ETXTBSY})
"""What passes when other scripts end: a thousand hooks may be due in the same second."""
_MARKED_BYTES = 1024 * 1024
LOOK_AGAIN = 0.05
"""Seconds until the second look at a script that still runs; then longer and longer."""
RETRIES = 40
RETRY_AFTER = 0.25


class LocalScripts:
    """Scripts of one project on this machine.

    `environ` is what the operator exported. `kubeconfig` is the private file scripts get,
    `hook_kubeconfig` another one for hooks and prerequisites, where there is one;
    `guard_dir` comes from `install_guard` and is used when there is a kubectl to guard and
    not `kubectl_writes`; `nvsx_dir` comes from `install_nvsx`. A `sandboxed` run (sandbox or
    drill) has no variable that could page someone unless `live_hooks`.
    """

    def __init__(  # noqa: PLR0913 - each is one decision of the composition root
        self,
        project_root: Path,
        environ: Mapping[str, str],
        *,
        kubeconfig: Path | None = None,
        hook_kubeconfig: Path | None = None,
        guard_dir: Path | None = None,
        nvsx_dir: Path | None = None,
        sandboxed: bool = False,
        live_hooks: bool = False,
        kubectl_writes: bool = False,
        masker: Masker | None = None,
        grace: float = GRACE,
        linger: float = LINGER,
    ) -> None:
        self._root = project_root
        self._environ = dict(environ)
        self._kubeconfig = kubeconfig
        self._hook_kubeconfig = hook_kubeconfig or kubeconfig
        # A guard alone would make `command -v kubectl` find what is not there.
        kubectl = shutil.which("kubectl", path=self._environ.get("PATH") or os.defpath)
        self._guard = None if kubectl_writes or kubectl is None else guard_dir
        self._nvsx = nvsx_dir
        self._may_page = live_hooks or not sandboxed
        self._masker = masker or Masker(self._environ)
        self._grace = grace
        self._linger = linger

    async def run(self, script: Script, on_line: LineSink, on_start: StartSink) -> ScriptResult:
        """Run to the end; see the port. `on_start` is awaited once the script has started;
        when it raises, the script is stopped and the error goes on to the caller."""
        began = time.monotonic()
        problem = _find_problem(script, self._root)
        if problem:
            return ScriptResult(exit_code=None, detail=problem)
        child = _Child(Budget(on_line, self._masker))
        # A task of its own: a start that is cancelled half-way would leave a child unnoticed.
        starting = asyncio.create_task(self._start_script(child, script))
        try:
            problem = await asyncio.shield(starting)
            if problem:
                return ScriptResult(exit_code=None, detail=problem)
            await on_start(child.identity)
            result = await self._wait_for_end(child, script)
        except BaseException:
            await starting
            if child.identity.pid:
                await process_groups.stop_groups([child.identity.pid], self._grace)
            raise
        finally:
            await child.close()
        return ScriptResult(
            exit_code=result.exit_code,
            detail=result.detail,
            timed_out=result.timed_out,
            duration=time.monotonic() - began,
            report=self._read_report(script),
        )

    def _read_report(self, script: Script) -> tuple[str, ...]:
        path = script.facts.get("NVSX_REPORT_FILE", "")
        if path:
            hide_secrets(Path(path), self._masker)
        return read_reported_lines(path, self._masker)

    async def find_end(
        self, script: Script, identity: ProcessIdentity | None, limit: float | None
    ) -> ScriptResult | None:
        """How a script ended whose owner died; see the port."""
        key = script.facts.get("NVSX_IDEMPOTENCY_KEY", "")
        began, pause = time.monotonic(), LOOK_AGAIN
        while True:
            runs = await asyncio.to_thread(process_groups.find_orphans, identity, key)
            kept = read_end(script.end_file) if script.end_file else None
            if kept is not None:
                detail = "" if kept.code is not None else "killed by a signal"
                return ScriptResult(
                    exit_code=kept.code,
                    detail=detail,
                    duration=max(0.0, kept.at - identity.started) if identity else 0.0,
                    report=self._read_report(script),
                )
            over = limit is not None and time.monotonic() - began >= limit
            if not runs or over or not script.end_file:
                return None
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def stop_orphan(self, identity: ProcessIdentity | None, idempotency_key: str) -> bool:
        """Stop what is left of a script whose owner died, by TERM, then KILL."""
        found = await asyncio.to_thread(process_groups.find_orphans, identity, idempotency_key)
        if found:
            await process_groups.stop_groups(sorted(found), self._grace)
        return bool(found)

    def _build_environment(self, script: Script) -> dict[str, str]:
        acts = script.kind == "action"
        return script_environment.build_environment(
            self._environ,
            script.facts,
            project_root=self._root,
            kubeconfig=self._kubeconfig if acts else self._hook_kubeconfig,
            guard_dir=None if acts else self._guard,
            nvsx_dir=self._nvsx,
            may_page=self._may_page,
        )

    async def _start_script(self, child: _Child, script: Script) -> str:
        """Start the script; returns why it could not be."""
        variables = self._build_environment(script)
        args, unset = arguments.expand(script.args, variables)
        if unset:
            return arguments.explain_unset(unset)
        argv = _make_command_line(script, args)
        if script.end_file:
            try:
                make_room_for_end(script.end_file)
            except OSError as error:
                return f"{script.end_file} cannot be written: {error.strerror}"
            argv = supervise(argv, script.end_file)
        for attempt in range(RETRIES + 1):
            try:
                await child.start(argv, self._root, variables)
            except ValueError as error:
                return _why_not(script, error)
            except OSError as error:
                if error.errno not in SHORTAGES or attempt == RETRIES:
                    return _why_not(script, error)
                await asyncio.sleep(RETRY_AFTER)
            else:
                break
        return ""

    async def _wait_for_end(self, child: _Child, script: Script) -> ScriptResult:
        group = child.identity.pid
        try:
            async with asyncio.timeout(script.timeout):
                code = await child.exit_code()
        except TimeoutError:
            await process_groups.stop_groups([group], self._grace)
            await child.drained(self._linger)
            limit = durations.format(script.timeout or 0)
            return ScriptResult(exit_code=None, detail=f"timed out after {limit}", timed_out=True)
        detail = "" if await child.drained(self._linger) else await self._cut_off(child, script)
        if code < 0:
            detail = f"killed by {_signal_name(-code)}"
        return ScriptResult(exit_code=code if code >= 0 else None, detail=detail)

    async def _cut_off(self, child: _Child, script: Script) -> str:
        """The script is over, but somebody still holds its output open."""
        held = f"its background processes held its output open for {self._linger:g}s"
        if script.kind == "action":
            return f"{held} and go on unread"
        await process_groups.stop_groups([child.identity.pid], self._grace)
        await child.drained(self._linger)
        return f"{held} and were stopped"


class _Child:
    """One started script: its process and the two pipes it prints to.

    The pipes are ours and not asyncio's, for whose `wait` a process has not ended until
    everybody who inherited its output has.
    """

    def __init__(self, budget: Budget) -> None:
        self.identity = ProcessIdentity(0, 0.0)
        self._budget = budget
        self._process: asyncio.subprocess.Process | None = None
        self._transports: list[asyncio.ReadTransport] = []
        self._pumps: list[asyncio.Task[None]] = []
        self._streams: list[Stream] = []

    async def start(self, argv: list[str], folder: Path, env: dict[str, str]) -> None:
        """Raises OSError or ValueError when the script cannot be started."""
        pipes: list[tuple[int, int]] = []
        began = time.time()
        try:
            pipes += [os.pipe()]
            pipes += [os.pipe()]
            self._process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=pipes[0][1],
                stderr=pipes[1][1],
                cwd=folder,
                env=env,
                start_new_session=True,
            )
        except BaseException:
            for reading, writing in pipes:
                os.close(reading)
                os.close(writing)
            raise
        self.identity = process_groups.identify(self._process.pid, began)
        for _, writing in pipes:
            os.close(writing)
        await self._listen_to("stdout", pipes[0][0])
        await self._listen_to("stderr", pipes[1][0])

    async def exit_code(self) -> int:
        assert self._process is not None  # noqa: S101 - started before it is waited for
        return await self._process.wait()

    async def drained(self, limit: float) -> bool:
        """Wait for the end of both streams; false when `limit` seconds were not enough."""
        _, pending = await asyncio.wait(self._pumps, timeout=limit)
        return not pending

    async def close(self) -> None:
        """Stop reading, deliver what was read, and reap the process if it has just ended."""
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        for transport in self._transports:
            transport.close()
        for stream in self._streams:
            stream.finish()
        if self._process is not None and self._process.returncode is None:
            await asyncio.wait([asyncio.create_task(self._process.wait())], timeout=LINGER)

    async def _listen_to(self, name: Literal["stdout", "stderr"], fd: int) -> None:
        stream = Stream(name, self._budget)
        reader = asyncio.StreamReader(limit=CHUNK)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", 0)
        )
        self._streams.append(stream)
        self._transports.append(transport)
        self._pumps.append(asyncio.create_task(_pump_output(reader, stream)))


async def _pump_output(reader: asyncio.StreamReader, stream: Stream) -> None:
    while data := await reader.read(CHUNK):
        stream.feed(data)
        # read() does not yield while there is data: a flood must not starve other runs.
        await asyncio.sleep(0)


def _make_command_line(script: Script, args: list[str]) -> list[str]:
    if script.command:
        return ["/bin/sh", "-c", script.command, *args]
    return [script.path, *args]


def _find_problem(script: Script, root: Path) -> str:
    """Why a script cannot be started, as far as a look at the files tells."""
    if not root.is_dir():
        return f"the project folder {root} is gone"
    if script.command:
        return ""
    path = Path(script.path)
    if not path.exists():
        return f"{path} does not exist"
    if not path.is_file():
        return f"{path} is not a file"
    if not os.access(path, os.X_OK):
        return f"{path} is not executable: chmod +x {path}"
    if script.end_file and (problem := explain_what_cannot_start(path)):
        return problem
    if _is_unreviewed(path):
        return f"{path} {review.explain_unreviewed(script.facts.get('NVSX_RUNBOOK', ''))}"
    return ""


def _is_unreviewed(path: Path) -> bool:
    """Whether a model wrote it and nobody has accepted it; a program is no text to mark."""
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!" and review.is_unreviewed(file.read(_MARKED_BYTES))
    except OSError:
        return False


def _why_not(script: Script, error: OSError | ValueError) -> str:
    """What the operating system's refusal means for the author of the script."""
    name = script.path or script.command
    if isinstance(error, ValueError):
        return f"{name} could not be started: an argument or variable holds a null byte"
    if isinstance(error, FileNotFoundError):
        first = _first_line(name)
        ending = ": the file has Windows line endings" if first.endswith("\r") else ""
        return f"{name}: its interpreter {first[2:].strip()} does not exist{ending}"
    if "Exec format error" in str(error):
        return f"{name} has no interpreter: begin it with #!/usr/bin/env bash"
    return f"{name} could not be started: {error.strerror}"


def _first_line(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.readline(200).decode("utf-8", "replace").rstrip("\n")
    except OSError:
        return ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
