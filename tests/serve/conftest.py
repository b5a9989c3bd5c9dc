"""A sandbox cluster in the test's process, and real `nvsx serve` processes on it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from tests.e2e.live import Steps
from tests.patience import patience

from nvsentinel_sandbox.host import Sandbox
from nvsx.core.incident.incident_store import IncidentFilter
from nvsx.core.journal.fold import RunState
from nvsx.core.journal.run_rows import RunRow
from nvsx.core.routing.inbox import Received
from nvsx.store import inbox_of, incidents_of, open_store

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")

HOOK = """#!/usr/bin/env bash
echo "$NVSX_RUN_ID $NVSX_STAGE $NVSX_ATTEMPT $NVSX_IDEMPOTENCY_KEY" >> "$NVSX_PROJECT_ROOT/fired"
sleep 0.2
"""


class Followed(NamedTuple):
    """An incident in the store."""

    node: str
    how: str
    attempts: int
    runs: tuple[str, ...]


class Site:
    """One project, state folder and sandbox; `serve` starts daemons on them.

    A daemon can take longer to start on a busy machine than the whole repair in the sandbox: where
    it must find the fault there, the test holds the repair at one of the `steps`.
    """

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.steps = Steps(sandbox)
        self.project = folder / "project"
        self.state = folder / "state"
        self.env = {
            **os.environ,
            "KUBECONFIG": str(sandbox.kubeconfig),
            "NVSX_STATE_DIR": str(self.state),
            "NVSX_PROJECT_ROOT": str(self.project),
        }
        for name in ("runbooks", "scripts"):
            shutil.copytree(ROOT / name, self.project / name)
        self._daemons: list[Daemon] = []

    def quick_hooks(self) -> None:
        """Replace every hook of gpu-off-bus by one that leaves a line in `fired`."""
        for path in (self.project / "runbooks/hooks/gpu-off-bus").glob("*.sh"):
            path.write_text(HOOK, encoding="utf-8")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    async def serve(
        self,
        *args: str,
        ready: bool = True,
        within: Sequence[str] = (),
        program: Sequence[str] = ("nvsx",),
    ) -> Daemon:
        """Start `nvsx serve`, by the command `within`, and wait until it says that it is ready.
        `program` is a module with its own arguments that stands for nvsx."""
        process = await asyncio.create_subprocess_exec(
            *(*within, sys.executable, "-m", *program, "serve", *args),
            env=self.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        daemon = Daemon(process)
        self._daemons.append(daemon)
        if ready:
            await daemon.said("ready")
        return daemon

    async def nvsx(self, *args: str) -> tuple[int, str]:
        """Run one command; its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "nvsx", *args),
            env=self.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()

    async def rows(self) -> list[RunRow]:
        """All runs in the store, oldest first."""
        journal = open_store(self.state)
        try:
            return list(reversed(await journal.runs(limit=10_000)))
        finally:
            journal.close()

    async def incidents(self) -> list[Followed]:
        """All incidents in the store, oldest first."""
        journal = open_store(self.state)
        try:
            store = incidents_of(journal)
            rows = list(reversed(await store.rows(IncidentFilter())))
            return [
                Followed(r.node, r.how, r.attempts, tuple(await store.runs_of(r.incident)))
                for r in rows
            ]
        finally:
            journal.close()

    async def incident_events(self) -> list[Any]:
        """All that is on record of all incidents."""
        journal = open_store(self.state)
        try:
            store = incidents_of(journal)
            rows = await store.rows(IncidentFilter())
            return [e.body for r in rows for e in await store.entries(r.incident)]
        finally:
            journal.close()

    async def has_served_before(self) -> None:
        """As after an earlier start: what is open at the next one is no install day's."""
        found = self.sandbox.store.find("namespaces", "kube-system")
        assert found is not None
        journal = open_store(self.state)
        try:
            await inbox_of(journal).set_cursor(f"watched:{found['metadata']['uid']}", {"at": 0})
        finally:
            journal.close()

    async def run_state(self, run_id: str) -> RunState:
        journal = open_store(self.state)
        try:
            return RunState.of(await journal.read(run_id))
        finally:
            journal.close()

    async def entries(self, run_id: str) -> list[Any]:
        journal = open_store(self.state)
        try:
            return [entry.body for entry in await journal.read(run_id)]
        finally:
            journal.close()

    async def events(self) -> list[Received]:
        journal = open_store(self.state)
        try:
            return list(await inbox_of(journal).events(limit=10_000))
        finally:
            journal.close()

    async def finished(self, count: int = 1, within: float = 100.0) -> list[RunRow]:
        """All runs, once `count` of them have ended."""

        async def look() -> list[RunRow] | None:
            rows = await self.rows()
            return rows if sum(r.finished is not None for r in rows) >= count else None

        return await until(look, within)

    async def close(self) -> None:
        for daemon in self._daemons:
            await daemon.kill()


class Daemon:
    """A running `nvsx serve`; `output` is what it has printed so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = ""
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while chunk := await self.process.stdout.read(65536):
            self.output += chunk.decode(errors="replace")

    async def said(self, text: str, within: float = 20.0) -> None:
        """Wait until it printed `text`; fails at once when it has ended without."""

        async def look() -> bool | None:
            if text in self.output:
                return True
            if self.process.returncode is not None and self._reading.done():
                pytest.fail(f"nvsx serve ended without saying {text!r}:\n{self.output}")
            return None

        await until(look, within)

    async def kill(self) -> None:
        """kill -9, if it still lives."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reading

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(patience(40)):
            code = await self.process.wait()
        await self._reading
        return code


async def until(look: Callable[[], Awaitable[T | None]], within: float = 20.0) -> T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + patience(within)
    while True:
        found = await look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"nothing was found within {patience(within):g} s")
        await asyncio.sleep(0.1)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A project on a sandbox that runs four times as fast as usual."""
    sandbox = Sandbox(state_dir=tmp_path / "sandbox", speed=4.0, seed=5)
    await sandbox.start()
    made = Site(tmp_path, sandbox)
    try:
        yield made
    finally:
        await made.close()
        await sandbox.stop()
