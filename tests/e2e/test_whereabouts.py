"""A cluster that `nvsx sandbox start` runs pages nobody, whoever works on it; a real one does."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.e2e.live import DEADLINE, FAULT, NODE, NVSX, ROOT, Nvsx, living, until
from tests.patience import patience

from nvsentinel_sandbox.kube.kubeconfig import write_kubeconfig
from nvsx.store import open_store

pytestmark = [pytest.mark.kubectl, pytest.mark.slow, pytest.mark.timeout(240)]


class Pagers:
    """A stand-in for Slack and PagerDuty; `asked` are the paths that were POSTed to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.url = ""

    @property
    def variables(self) -> dict[str, str]:
        return {
            "SLACK_WEBHOOK_URL": f"{self.url}/slack",
            "PAGERDUTY_ROUTING_KEY": "R0123456789abcdef0123456789abcde",
            "PAGERDUTY_EVENTS_URL": f"{self.url}/pagerduty",
        }


@pytest.fixture
def pagers() -> Iterator[Pagers]:
    """The stand-in, on loopback."""
    made = Pagers()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            made.asked.append(self.path)
            self.send_response(202)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield made
    server.shutdown()
    server.server_close()


class Desk:
    """A terminal with a project, a state folder and the team's pager variables exported."""

    def __init__(self, folder: Path, pagers: Pagers) -> None:
        self.project = folder / "project"
        for name in ("runbooks", "scripts"):
            shutil.copytree(ROOT / name, self.project / name)
        self.env = {
            **os.environ,
            **pagers.variables,
            "NVSX_STATE_DIR": str(folder / "state"),
            "NVSX_PROJECT_ROOT": str(self.project),
        }
        self._started: list[Nvsx] = []

    async def nvsx(self, *args: str) -> Nvsx:
        process = await asyncio.create_subprocess_exec(
            *(*NVSX, *args),
            env=self.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**24,
        )
        started = Nvsx(process)
        self._started.append(started)
        return started

    async def done(self, *args: str) -> Nvsx:
        ended = await self.nvsx(*args)
        assert await ended.end() == 0, ended.err
        return ended

    async def take_sandbox(self) -> None:
        """`nvsx sandbox start` in another terminal, and its line pasted here."""
        sandbox = await self.nvsx("sandbox", "start", "--speed", "4", "--seed", "7")
        line = await until(lambda: sandbox.raw.decode().strip(), "the sandbox has said where it is")
        assert line.startswith("export KUBECONFIG=")
        self.env["KUBECONFIG"] = line.partition("=")[2].splitlines()[0]

    async def inject(self) -> None:
        await self.done("sandbox", "inject", FAULT, "--node", NODE)

    async def runs(self, *options: str) -> list[dict[str, object]]:
        listed = await self.done("history", "-o", "json", *options)
        found: list[dict[str, object]] = json.loads(listed.out)
        return found

    async def ended(self) -> None:
        """Wait until the one run has ended."""
        journal = open_store(Path(self.env["NVSX_STATE_DIR"]))
        try:
            async with asyncio.timeout(patience(DEADLINE)):
                while True:
                    if any(row.finished for row in await journal.runs()):
                        return
                    await asyncio.sleep(0.1)
        finally:
            journal.close()

    async def close(self) -> None:
        for started in reversed(self._started):
            if started.process.returncode is None:
                started.process.send_signal(signal.SIGTERM)
                await started.end()
            await started.close()


@asynccontextmanager
async def _desk(folder: Path, pagers: Pagers) -> AsyncIterator[Desk]:
    made = Desk(folder, pagers)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def desk(tmp_path: Path, pagers: Pagers) -> AsyncIterator[Desk]:
    """A terminal whose KUBECONFIG is that of a started sandbox."""
    async with _desk(tmp_path, pagers) as made:
        await made.take_sandbox()
        yield made


@pytest.mark.parametrize("live", [False, True])
async def test_a_run_on_a_started_sandbox_pages_nobody_unless_told_to(
    desk: Desk, pagers: Pagers, live: bool
) -> None:
    """`nvsx run` with nothing but the sandbox's KUBECONFIG: not one request to Slack or the
    pager, and a run that history, report and stats know as the sandbox's; with `--live-hooks`
    both are asked."""
    more = ["--live-hooks"] if live else []
    run = await desk.nvsx("run", "gpu-off-bus", "--target-node", NODE, *more)
    await run.until("stage_begin", stage="detect")
    await desk.inject()
    assert await run.end() == 0, run.err
    told = "its hooks may page people" if live else "it pages nobody"
    assert f"nvsx-sandbox is a sandbox: the run is not in the statistics, and {told}" in run.err
    assert set(pagers.asked) == ({"/slack", "/pagerduty"} if live else set())
    assert await desk.runs() == []
    assert [r["run_id"] for r in await desk.runs("--sandbox")] == [run.run_id]
    assert "sandbox" in (await desk.done("report", run.run_id)).out
    assert "gpu-off-bus" not in (await desk.done("stats")).out
    assert "context nvsx-sandbox · sandbox" in (await desk.done("status")).out


@pytest.mark.parametrize("live", [False, True])
async def test_a_daemon_on_a_started_sandbox_pages_nobody_unless_told_to(
    desk: Desk, pagers: Pagers, live: bool
) -> None:
    """`nvsx serve --mode watch` with the sandbox's KUBECONFIG asks no pager and says so at its
    start; with `--live-hooks` it does."""
    more = ["--live-hooks"] if live else []
    daemon = await desk.nvsx("serve", "--mode", "watch", "--port", "0", *more)
    await until(lambda: "ready" in daemon.err, "the daemon is ready")
    assert f"a sandbox: {'its runs page people' if live else 'nobody is paged'}" in daemon.err
    await desk.inject()
    await desk.ended()
    assert set(pagers.asked) == ({"/slack", "/pagerduty"} if live else set())


@pytest.mark.parametrize("heir", ["resume", "daemon"])
async def test_a_killed_sandbox_run_pages_nobody_when_another_goes_on_with_it(
    desk: Desk, pagers: Pagers, heir: str
) -> None:
    """kill -9 of a run on the sandbox in the middle: neither `--resume` nor the daemon that
    takes it up asks a pager."""
    run = await desk.nvsx("run", "gpu-off-bus", "--target-node", NODE)
    await run.until("stage_begin", stage="detect")
    await desk.inject()
    await run.until("stage_begin", stage="drain")
    await run.kill()
    if heir == "resume":
        await desk.done("run", "gpu-off-bus", "--resume", run.run_id)
    else:
        daemon = await desk.nvsx("serve", "--mode", "watch", "--port", "0")
        await until(lambda: "1 interrupted runs go on" in daemon.err, "the run was taken up")
        await desk.ended()
    [row] = await desk.runs("--sandbox")
    assert (row["run_id"], row["outcome"]) == (run.run_id, "passed")
    assert pagers.asked == []


async def test_a_run_on_a_real_cluster_pages(tmp_path: Path, pagers: Pagers) -> None:
    """The same run where the API server's version has no mark asks both, and counts. The
    context's name, which anybody may choose, changes nothing."""
    async with living(tmp_path, speed=20) as live, _desk(tmp_path, pagers) as desk:
        desk.env["KUBECONFIG"] = str(live.kubeconfig)
        run = await desk.nvsx("run", "gpu-off-bus", "--target-node", live.node)
        await run.until("stage_begin", stage="detect")
        await live.inject()
        assert await run.end() == 0, run.err
        assert [r["run_id"] for r in await desk.runs()] == [run.run_id]
    assert set(pagers.asked) == {"/slack", "/pagerduty"}


async def test_live_hooks_are_refused_to_a_daemon_on_a_real_cluster(
    tmp_path: Path, pagers: Pagers
) -> None:
    """`serve --live-hooks` is about sandboxes; on a real cluster it is a usage error."""
    async with living(tmp_path) as live, _desk(tmp_path, pagers) as desk:
        desk.env["KUBECONFIG"] = str(live.kubeconfig)
        daemon = await desk.nvsx("serve", "--mode", "watch", "--port", "0", "--live-hooks")
        assert await daemon.end() == 2
        assert "is a real cluster" in daemon.err


async def test_a_run_meant_for_a_sandbox_that_has_ended_begins_nowhere(
    tmp_path: Path, pagers: Pagers
) -> None:
    """KUBECONFIG still names the sandbox's file, before the file of a real cluster: nvsx stops
    with exit code 3 and the next step, and nothing has begun on the real cluster."""
    async with living(tmp_path) as live, _desk(tmp_path, pagers) as desk:
        real = write_kubeconfig(
            tmp_path / "config", live.server.secure_url, live.server.token, "prod"
        )
        stale = tmp_path / "state" / "sandbox" / "kubeconfig"
        desk.env["KUBECONFIG"] = f"{stale}{os.pathsep}{real}"
        run = await desk.nvsx("run", "gpu-off-bus", "--target-node", live.node)
        assert await run.end() == 3
        assert f"KUBECONFIG names {stale}, and that sandbox has ended" in run.err
        assert "unset KUBECONFIG" in run.err
        assert await desk.runs() == []


async def test_a_killed_sandbox_is_told_as_ended(desk: Desk, pagers: Pagers) -> None:
    """kill -9 of the sandbox leaves its kubeconfig: a run ends with exit code 3 and says that
    the sandbox may have ended, and what to do."""
    [sandbox] = desk._started
    await sandbox.kill()
    run = await desk.nvsx("run", "gpu-off-bus", "--target-node", NODE)
    assert await run.end() == 3
    assert "has the sandbox ended?" in run.err
    assert "nvsx sandbox start" in run.err
    assert pagers.asked == []


async def test_a_drill_beside_a_daemon_with_its_store_pages_nobody(
    tmp_path: Path, pagers: Pagers
) -> None:
    """On a real cluster that a daemon of the same state folder serves, a drill that names no
    node is refused; with one its fault joins the drill's run, and no pager is asked."""
    async with living(tmp_path, speed=20) as live, _desk(tmp_path, pagers) as desk:
        desk.env["KUBECONFIG"] = str(live.kubeconfig)
        daemon = await desk.nvsx("serve", "--mode", "watch", "--port", "0")
        await until(lambda: "ready" in daemon.err, "the daemon is ready")
        unnamed = await desk.nvsx("run", "gpu-off-bus", "--drill")
        assert await unnamed.end() == 2
        assert "name the node with --target-node" in unnamed.err
        drill = await desk.nvsx("run", "gpu-off-bus", "--drill", "--target-node", live.node)
        await drill.until("stage_begin", stage="detect")
        await live.inject()
        assert await drill.end() == 0, drill.err
        assert "attached" in daemon.err
        assert [r["run_id"] for r in await desk.runs("--sandbox")] == [drill.run_id]
        assert await desk.runs() == []
    assert pagers.asked == []
