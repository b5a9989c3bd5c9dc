"""A whole sandbox: over HTTP, from other terminals, and under the command line."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.patience import patience

from nvsentinel_sandbox import control
from nvsentinel_sandbox.errors import AlreadyRunning, NotRunning, SandboxError, WrongCall
from nvsentinel_sandbox.host import Sandbox

DEADLINE = patience(20.0)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A started sandbox at high speed."""
    made = Sandbox(state_dir=tmp_path / "state", seed=7, speed=60)
    await made.start()
    yield made
    await made.stop()


def only_owner(path: Path) -> bool:
    """Whether nobody but the owner has any right on it."""
    return not stat.S_IMODE(path.stat().st_mode) & 0o077


# --- in this process --------------------------------------------------------------------


async def test_the_chain_is_seen_over_http(sandbox: Sandbox) -> None:
    """A client that watches a node over HTTP sees the cordon and the un-quarantine."""
    node = await sandbox.inject("xid-79")
    assert node == sandbox.default_node
    seen: list[bool] = []
    headers = {"Authorization": f"Bearer {sandbox.read_only_token}"}
    url = f"{sandbox.url}/api/v1/nodes?watch=true&fieldSelector=metadata.name={node}"
    async with (
        asyncio.timeout(DEADLINE),
        aiohttp.ClientSession(headers=headers, read_bufsize=2**20) as session,
        session.get(url) as answer,
    ):
        async for line in answer.content:
            obj = json.loads(line)["object"]
            seen.append(bool(obj["spec"].get("unschedulable")))
            if "k8saas.nvidia.com/uncordon-by" in obj["metadata"]["labels"]:
                break
    assert True in seen
    assert seen[-1] is False


async def test_the_kubeconfig_is_private_and_goes_away(tmp_path: Path) -> None:
    """Both kubeconfigs are readable by their owner alone, name the sandbox, and are removed."""
    made = Sandbox(state_dir=tmp_path / "state", seed=1)
    await made.start()
    for file, token in (
        (made.kubeconfig, made.token),
        (made.read_only_kubeconfig, made.read_only_token),
    ):
        assert only_owner(file)
        assert made.server.secure_url in file.read_text()
        assert token in file.read_text()
    await made.stop()
    assert list((tmp_path / "state").iterdir()) == []
    await made.stop()


async def test_status_tells_each_node(sandbox: Sandbox) -> None:
    """The status is JSON-able and shows the injected fault on its node alone."""
    node = await sandbox.inject("dcgm-connectivity")
    async with asyncio.timeout(DEADLINE):
        while True:
            found = json.loads(json.dumps(sandbox.status()))
            broken = {n["name"]: n for n in found["nodes"] if n["faults"]}
            if broken and broken[node]["state"] == "remediation-failed":
                break
            await asyncio.sleep(0.01)
    assert list(broken) == [node]
    assert broken[node]["cordoned"] is True
    assert list(broken[node]["faults"]) == ["GpuDcgmConnectivityFailure"]
    assert found["seed"] == 7
    assert found["url"] == sandbox.url


async def test_the_story_is_told_in_lines(sandbox: Sandbox) -> None:
    """A person watching is told of condition, cordon, states and the RebootNode, in order."""
    lines: list[str] = []
    done = asyncio.Event()

    def tell(line: str) -> None:
        lines.append(line)
        if line.endswith("state label removed"):
            done.set()

    sandbox.narrate(tell)
    node = await sandbox.inject("xid-79")
    await asyncio.wait_for(done.wait(), DEADLINE)
    told = [line.removeprefix(f"{node}: ") for line in lines]
    assert told[0].startswith("SysLogsXIDError=True: ErrorCode:79 ")
    assert told[1:3] == ["cordoned", "state quarantined"]
    assert "state remediating" in told
    assert told[-2:] == ["uncordoned", "state label removed"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"nodes": 0}, "0 nodes"),
        ({"speed": 0.0}, "speed 0"),
        ({"speed": float("nan")}, "speed nan"),
        ({"variant": "wild"}, "no variant 'wild'"),
    ],
)
async def test_impossible_sandboxes_are_refused(
    tmp_path: Path, arguments: dict[str, Any], told: str
) -> None:
    """Arguments that cannot be are WrongCalls, and no file is left behind."""
    with pytest.raises(WrongCall, match=told):
        await Sandbox(state_dir=tmp_path / "state", **arguments).start()
    assert not (tmp_path / "state").exists()


async def test_a_sandbox_that_was_not_started_says_so(tmp_path: Path) -> None:
    """Using it before `start` is a clear error."""
    with pytest.raises(SandboxError, match="has not been started"):
        await Sandbox(state_dir=tmp_path).inject("xid-79")


async def test_a_world_of_many_nodes_has_distinct_names(tmp_path: Path) -> None:
    """Racks hold eight nodes, and all names are DNS labels."""
    made = Sandbox(state_dir=tmp_path, nodes=300, seed=1)
    await made.start()
    names = [n["name"] for n in made.status()["nodes"]]
    await made.stop()
    assert len(set(names)) == 300
    assert {"gpu-node-a1", "gpu-node-a8", "gpu-node-b1", "gpu-node-al4"} <= set(names)


# --- from other terminals ---------------------------------------------------------------


async def test_other_terminals_reach_it_by_a_private_socket(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Injections and status go through; errors arrive as what they were; files are 0600."""
    folder, stop = tmp_path / "control", asyncio.Event()
    with control.claim_folder(folder):
        async with control.serve(sandbox, folder, stop):
            assert all(only_owner(path) for path in [folder, *folder.iterdir()])
            hit = await control.call(folder, "POST", "/inject", {"fault": "xid-94"})
            assert hit == {"node": sandbox.default_node}
            assert (await control.call(folder, "GET", "/status"))["pid"] == os.getpid()
            with pytest.raises(WrongCall, match="no fault 'nonsense'"):
                await control.call(folder, "POST", "/inject", {"fault": "nonsense"})
            await control.call(folder, "POST", "/stop")
            assert stop.is_set()
    assert [path.name for path in folder.iterdir()] == ["lock"]


async def test_a_deep_state_folder_still_gets_a_socket(sandbox: Sandbox, tmp_path: Path) -> None:
    """Where the path is too long for a Unix socket, a short private one is used."""
    folder = tmp_path / ("d" * 100)
    with control.claim_folder(folder):
        async with control.serve(sandbox, folder, asyncio.Event()):
            socket = Path(json.loads((folder / control.DISCOVERY).read_text())["socket"])
            assert only_owner(socket.parent)
            assert await control.call(folder, "GET", "/status")
    assert not socket.parent.exists()


async def test_a_second_sandbox_in_one_folder_is_refused(tmp_path: Path) -> None:
    """The folder belongs to one process at a time."""
    with (
        control.claim_folder(tmp_path),
        pytest.raises(AlreadyRunning, match="running already"),
        control.claim_folder(tmp_path),
    ):
        pass


async def test_files_of_a_killed_sandbox_are_seen_through(tmp_path: Path) -> None:
    """A discovery file whose process is gone counts as none, and is removed."""
    stale = tmp_path / control.DISCOVERY
    stale.write_text(json.dumps({"pid": 1, "socket": str(tmp_path / "s"), "kubeconfig": "k"}))
    with pytest.raises(NotRunning, match="no sandbox is running"):
        await control.call(tmp_path, "GET", "/status")
    assert not stale.exists()


# --- the command ------------------------------------------------------------------------


class Command:
    """`nvsx …` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.environment = {**os.environ, "NVSX_STATE_DIR": str(folder)}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            [sys.executable, "-m", "nvsx", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start `nvsx sandbox start` and wait until it says how to reach it."""
        child = subprocess.Popen(
            [sys.executable, "-m", "nvsx", "sandbox", "start", *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line.startswith("export KUBECONFIG="), child.communicate()[1]
        self.kubeconfig = line.removeprefix("export KUBECONFIG=").strip()
        return child


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The command line with a state folder of its own."""
    return Command(tmp_path / "state")


@pytest.fixture
def running(command: Command) -> Iterator[subprocess.Popen[str]]:
    """A sandbox started from the command line."""
    child = command.start("--seed", "7", "--speed", "60")
    yield child
    if child.poll() is None:
        child.kill()
    child.communicate()


def test_inject_status_and_stop_from_another_terminal(
    command: Command, running: subprocess.Popen[str]
) -> None:
    """The commands talk to the sandbox though KUBECONFIG leads elsewhere; start exits 0."""
    injected = command.run("sandbox", "inject", "dcgm-connectivity", "--node", "gpu-node-a3")
    assert injected.returncode == 0, injected.stderr
    assert "dcgm-connectivity injected on gpu-node-a3" in injected.stdout
    found = json.loads(command.run("sandbox", "status", "-o", "json").stdout)
    assert found["pid"] == running.pid
    assert command.run("sandbox", "heal", "gpu-node-a3").returncode == 0
    assert command.run("sandbox", "stop").returncode == 0
    assert running.wait(DEADLINE) == 0
    assert command.run("sandbox", "status").returncode == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(
    running: subprocess.Popen[str], command: Command, number: int
) -> None:
    """Ctrl-C and SIGTERM end it with exit code 0 and leave no kubeconfig behind."""
    running.send_signal(number)
    assert running.wait(DEADLINE) == 0
    assert not Path(command.kubeconfig).exists()


def test_after_a_kill_another_can_start(command: Command, running: subprocess.Popen[str]) -> None:
    """The files of a killed sandbox stop nobody."""
    running.kill()
    running.wait(DEADLINE)
    assert command.run("sandbox", "status").returncode == 3
    second = command.start()
    assert command.run("sandbox", "stop").returncode == 0
    assert second.wait(DEADLINE) == 0
    second.communicate()


def test_errors_are_messages(command: Command, running: subprocess.Popen[str]) -> None:
    """Wrong names exit 2 and a second start too, each with one message and no traceback."""
    for words, told in (
        (("inject", "nonsense"), "there is no fault 'nonsense'"),
        (("heal",), "which node? broken: no node is"),
        (("start",), "a sandbox is running already"),
    ):
        done = command.run("sandbox", *words)
        assert done.returncode == 2
        assert told in done.stderr
        assert "Traceback" not in done.stderr


def test_without_a_sandbox_the_next_step_is_told(command: Command) -> None:
    """Where none is running, inject, heal, status and stop exit 3 and say how to start one."""
    for words in (("inject", "xid-79"), ("heal", "n"), ("status",), ("stop",)):
        done = command.run("sandbox", *words)
        assert done.returncode == 3
        assert "nvsx sandbox start" in done.stderr


def test_faults_are_listed(command: Command) -> None:
    """Faults and variants are listed with their checks, for people and as JSON."""
    text = command.run("sandbox", "faults").stdout
    assert "xid-79" in text
    assert "three-checks" in text
    found = json.loads(command.run("sandbox", "faults", "-o", "json").stdout)
    fault = next(f for f in found["faults"] if f["name"] == "xid-79")
    assert fault["checks"] == ["SysLogsXIDError"]
    assert fault["recommended_actions"] == ["RESTART_BM"]
    assert {v["name"] for v in found["variants"]} >= {"stale-cr", "reboot-timeout", "no-ids"}


@pytest.mark.kubectl
def test_kubectl_sees_the_chain(command: Command, running: subprocess.Popen[str]) -> None:
    """Stock kubectl waits for the repair of an injected fault and shows what it left."""

    def kubectl(*words: str) -> str:
        done = subprocess.run(
            [shutil.which("kubectl") or "kubectl", *words],
            env={**command.environment, "KUBECONFIG": command.kubeconfig},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert kubectl("get", "nodes", "-o", "name").count("gpu-node-") == 4
    assert command.run("sandbox", "inject", "xid-79", "--node", "gpu-node-a1").returncode == 0
    label = "jsonpath={.metadata.labels.k8saas\\.nvidia\\.com/uncordon-by}=NVSentinel"
    kubectl("wait", "node/gpu-node-a1", f"--for={label}", "--timeout=15s")
    reboot = kubectl("get", "rebootnodes", "--no-headers")
    assert reboot.split()[1:4] == ["gpu-node-a1", "false", "True"]
    assert "ready again after reboot" in kubectl("get", "rebootnodes", "-o", "yaml")
    assert "AwaitingPodCompletion" in kubectl("get", "events", "-n", "default")
    assert "node quarantined" in kubectl("logs", "-n", "nvsentinel", "deploy/fault-quarantine")
