"""A sandbox in the test's process, a small project, and real `nvsx` processes beside them.

The test hosts the cluster, so it can hold NVSentinel at a step (`Steps`), arm faults of the
connection and read what was asked of the API server; nvsx runs as people run it: a process
with a kubeconfig, a state folder and pipes. Nothing here sleeps to synchronise: everything
waits for a condition, with a deadline.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import yaml
from tests.patience import patience
from tests.patience import until as wait_until_true

from nvsentinel_sandbox.host import Sandbox
from nvsentinel_sandbox.kube.apiserver import ApiServer
from nvsentinel_sandbox.kube.kubeconfig import write_kubeconfig

#: Seconds; generous, since a busy machine takes ten times as long as an idle one.
DEADLINE = 90.0
until = partial(wait_until_true, within=DEADLINE)
SPEED = 12.0
ROOT = Path(__file__).resolve().parents[2]
#: How `nvsx` is started here.
NVSX = (sys.executable, "-P", str(ROOT / "tests/e2e/briskly.py"))
NODE = "gpu-node-a1"
FAULT = "xid-79"

Event = dict[str, Any]

#: NVSentinel's steps that open the stages quarantine, drain, remediate and recover.
STEP_BEFORE = {
    "detect": "detect",
    "quarantine": "quarantine",
    "drain": "drain_pickup",
    "remediate": "reboot",
    "recover": "boot_seen",
}
STAGES = ("preflight", "detect", "quarantine", "drain", "remediate", "recover", "postmortem")

#: Says begin and end in a file, and while a file named after its stage exists, stays.
HOOK = """#!/usr/bin/env bash
say() { echo "$1 $NVSX_STAGE $NVSX_IDEMPOTENCY_KEY $NVSX_ATTEMPT $$" >>"$NVSX_PROJECT_ROOT/log"; }
say begin
while [ -e "$NVSX_PROJECT_ROOT/hold/$NVSX_STAGE" ]; do sleep 0.05; done
say end
"""

CHAIN: list[dict[str, Any]] = [
    {"id": "preflight", "watch": [{"kind": "node", "field": "exists"}]},
    {
        "id": "detect",
        "watch": [{"kind": "node-condition", "type": "SysLogsXIDError", "errorCode": "79"}],
    },
    {"id": "quarantine", "watch": [{"kind": "nvsentinel-state", "state": "quarantined"}]},
    {"id": "drain", "watch": [{"kind": "nvsentinel-state", "state": "drain-succeeded"}]},
    {"id": "remediate", "watch": [{"kind": "crd", "resource": "maintenance", "completed": True}]},
    {
        "id": "recover",
        "watch": [
            {"kind": "node-condition", "type": "SysLogsXIDError", "absent": True},
            {"kind": "node-annotation", "key": "quarantineHealthEvent", "absent": True},
            {"kind": "node-label", "key": "dgxc.nvidia.com/nvsentinel-state", "absent": True},
        ],
    },
    {"id": "postmortem"},
]


def pass_for_real(sandbox: Sandbox) -> None:
    """From now on the sandbox answers as a real cluster: its version has no mark."""
    sandbox.server.version = {"major": "1", "minor": "32", "gitVersion": "v1.32.4"}


def running(pid: int) -> bool:
    """Whether a process is at work; one that ended and that nobody has reaped is not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Project:
    """A project folder with runbooks made by the test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log_file = root / "log"
        (root / "hold").mkdir(parents=True)
        (root / "nvsx.yaml").write_text("apiVersion: nvsx/v1\nkind: Project\n")

    def script(self, path: str, text: str, mode: int = 0o755) -> Path:
        """An executable at `path` in the project."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text if text.startswith("#!") else f"#!/usr/bin/env bash\n{text}\n")
        file.chmod(mode)
        return file

    def runbook(self, stages: Iterable[dict[str, Any]], name: str = "t", **more: Any) -> str:
        """A runbook of these stages; fires for xid-79."""
        body = {
            "apiVersion": "nvsx/v1",
            "kind": "Runbook",
            "metadata": {"name": name},
            "triggers": [{"check": "SysLogsXIDError", "errorCode": ["79"]}],
            "drill": {"fault": FAULT},
            "stages": list(stages),
        } | more
        file = self.root / "runbooks" / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump(body, sort_keys=False))
        return name

    def chain(self, hook: str = HOOK, name: str = "t", **more: Any) -> str:
        """The whole chain, each stage with the same hook."""
        self.script("runbooks/hooks/t/hook.sh", hook)
        return self.runbook([s | {"hook": "hooks/t/hook.sh"} for s in CHAIN], name, **more)

    def one_hook(self, text: str, name: str = "t", **stage: Any) -> str:
        """A runbook of one stage, whose hook has this text."""
        self.script("runbooks/hooks/t/hook.sh", text)
        return self.runbook([{"id": "preflight", "hook": "hooks/t/hook.sh"} | stage], name)

    def hold(self, stage: str) -> Path:
        """Let the hook of `stage` stay until the file that is returned is removed."""
        file = self.root / "hold" / stage
        file.touch()
        return file

    def log(self, word: str = "") -> list[list[str]]:
        """What hooks wrote: lists of word, stage, key, attempt, pid."""
        if not self.log_file.exists():
            return []
        lines = [line.split() for line in self.log_file.read_text().splitlines()]
        return [line for line in lines if not word or line[0] == word]


class Steps:
    """NVSentinel's steps, each of which a test can hold."""

    def __init__(self, sandbox: Sandbox) -> None:
        assert sandbox._simulator is not None
        self._pace = sandbox._simulator._context.pace
        self._sleep = self._pace.sleep
        self._held: dict[str, asyncio.Event] = {}
        self._pace.sleep = self._held_sleep  # type: ignore[method-assign]

    def hold(self, *names: str) -> None:
        for name in names:
            self._held[name] = asyncio.Event()

    def go(self, name: str) -> None:
        self._held.pop(name).set()

    async def _held_sleep(self, name: str, variant: Any = None) -> None:
        await self._sleep(name, variant)
        if name in self._held:
            await self._held[name].wait()


class Nvsx:
    """One `nvsx` process. `events` are its JSONL lines, `err` its standard error."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.raw = b""
        self.events: list[Event] = []
        self.err = ""
        self._readers = [asyncio.create_task(r) for r in (self._read_out(), self._read_err())]

    async def _read_out(self) -> None:
        if self.process.stdout is None:
            return
        async for line in self.process.stdout:
            self.raw += line
            if line.startswith(b"{"):
                self.events.append(json.loads(line))

    async def _read_err(self) -> None:
        if self.process.stderr is None:
            return
        while chunk := await self.process.stderr.read(65536):
            self.err += chunk.decode("utf-8", "replace")

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def run_id(self) -> str:
        return str(self.events[0]["run_id"])

    def of(self, event: str, **fields: Any) -> list[Event]:
        """Fresh (not replayed) events of a kind, with these fields."""
        wanted = {"event": event, **fields}
        fresh = [e for e in self.events if not e.get("replayed")]
        return [e for e in fresh if wanted.items() <= e.items()]

    def statuses(self) -> dict[str, str]:
        """Stage → status, over everything shown."""
        return {e["stage"]: e["status"] for e in self.events if e["event"] == "stage_end"}

    @property
    def finish(self) -> Event:
        return self.of("finish")[-1]

    async def until(self, event: str, **fields: Any) -> Event:
        """The first fresh event of a kind with these fields."""

        def seen() -> Event | None:
            found = self.of(event, **fields)
            if not found and self.process.returncode is not None:
                raise AssertionError(f"nvsx ended ({self.process.returncode}): {self.err}")
            return found[0] if found else None

        try:
            found: Event = await until(seen, f"{event} {fields}")
        except AssertionError as error:
            last = "\n".join(str(e) for e in self.events[-5:])
            raise AssertionError(f"{error}\n{self.err}\n{last}") from None
        return found

    async def end(self) -> int:
        """Its exit code, once it has ended and everything it wrote was read."""
        try:
            async with asyncio.timeout(patience(DEADLINE)):
                code = await self.process.wait()
                await asyncio.gather(*self._readers)
        except TimeoutError:
            raise AssertionError(f"nvsx has not ended; so far:\n{self.err}") from None
        assert "Traceback" not in self.err, self.err
        return code

    async def kill(self, signum: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(signum)
        return await self.end()

    async def close(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)


class Live:
    """One cluster, one project, one state folder, and the processes a test starts."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.project = Project(folder / "project")
        self.state = folder / "state"
        self.kubeconfig = sandbox.kubeconfig
        self.steps = Steps(sandbox)
        self._started: list[Nvsx] = []
        self._gone = self.server

    @property
    def server(self) -> ApiServer:
        assert self.sandbox._server is not None
        return self.sandbox._server

    def read_only(self) -> Path:
        """From now on nvsx and its scripts get the account that only reads."""
        self.kubeconfig = self.folder / "viewer" / "kubeconfig"
        write_kubeconfig(self.kubeconfig, self.sandbox.url, self.server.read_only_token)
        return self.kubeconfig

    def env(self, **more: str) -> dict[str, str]:
        own = {
            "NVSX_STATE_DIR": str(self.state),
            "NVSX_PROJECT_ROOT": str(self.project.root),
            "KUBECONFIG": str(self.kubeconfig),
        }
        env = {**os.environ, **own, **more}
        # Dozens of processes start: where the machine keeps no bytecode, they share their own.
        if env.pop("PYTHONDONTWRITEBYTECODE", ""):
            env["PYTHONPYCACHEPREFIX"] = str(self.folder.parent / "bytecode")
        return env

    async def nvsx(self, *args: str, env: dict[str, str] | None = None, **pipes: Any) -> Nvsx:
        """Start `nvsx ARGS`."""
        process = await asyncio.create_subprocess_exec(
            *(*NVSX, *args),
            env=env or self.env(),
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            limit=2**24,
            **{"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE} | pipes,
        )
        started = Nvsx(process)
        self._started.append(started)
        return started

    async def run(self, *args: str, **more: Any) -> Nvsx:
        """Start `nvsx run ARGS` on the sandbox's node."""
        return await self.nvsx("run", *args, "--target-node", self.node, **more)

    async def resume(self, runbook: str, run_id: str) -> Nvsx:
        return await self.nvsx("run", runbook, "--resume", run_id)

    async def done(self, *args: str, **more: Any) -> Nvsx:
        """`nvsx ARGS`, run to its end."""
        started = await self.nvsx(*args, **more)
        await started.end()
        return started

    async def without_server(self) -> None:
        """The API server goes away; the cluster lives on."""
        self._gone = self.server
        self.sandbox._server = None
        await self._gone.stop()

    async def server_back(self) -> None:
        """A new API server at the old addresses, with the old accounts and an empty watch cache."""
        old = self._gone
        new = ApiServer(old.store, token=old.token, read_only_token=old.read_only_token)
        new.version = old.version
        port, secure_port = (int(u.rpartition(":")[2]) for u in (old.url, old.secure_url))
        await new.start(port=port, secure_port=secure_port)
        self.sandbox._server = new

    @property
    def node(self) -> str:
        return self.sandbox.default_node

    async def inject(self, node: str = "") -> None:
        await self.sandbox.inject(FAULT, node or None, people=True)

    def processes(self) -> list[psutil.Process]:
        """What still lives of all that was started here: children carry the state folder's name."""
        found = []
        for process in psutil.process_iter():
            try:
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and process.environ().get("NVSX_STATE_DIR") == str(self.state):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    async def nothing_left(self) -> None:
        """Every process that was started here, and their children, are gone."""
        left: list[psutil.Process] = []

        def gone() -> bool:
            left[:] = self.processes()
            return not left

        try:
            await until(gone, "no process left")
        except AssertionError:
            told = [f"{p.pid} {' '.join(p.cmdline())[:200]}" for p in left]
            raise AssertionError("still alive: " + "; ".join(told)) from None

    async def close(self) -> None:
        for started in self._started:
            await started.close()
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):  # it may end by itself meanwhile
                process.kill()


@asynccontextmanager
async def living(folder: Path, *, as_sandbox: bool = False, **sandbox: Any) -> AsyncIterator[Live]:
    """A running sandbox in this process, and everything else of a Live. nvsx takes it for a
    real cluster unless `as_sandbox`."""
    # Held steps take as long as the test takes; the janitor's patience must not end first.
    defaults: dict[str, Any] = {"speed": SPEED, "seed": 7, "timings": {"reboot_timeout": 1e6}}
    host = Sandbox(state_dir=folder / "sandbox", **defaults | sandbox)
    (folder / "sandbox").mkdir(parents=True)
    await host.start()
    if not as_sandbox:
        pass_for_real(host)
    live = Live(folder, host)
    try:
        yield live
    finally:
        try:
            await live.close()
        finally:
            await host.stop()
