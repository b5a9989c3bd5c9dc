"""The gateway through the real kubectl: what passes, what does not, and that nothing stays."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiohttp import web
from tests.cluster.conftest import Tls
from tests.cluster.scripted import Sleeps
from tests.patience import patience, until

from nvsentinel_sandbox.kube.apiserver import ApiServer
from nvsentinel_sandbox.kube.kubeconfig import write_kubeconfig
from nvsentinel_sandbox.kube.objects import ObjectStore
from nvsx.cluster import kubeconfig, projections
from nvsx.cluster.kubectl_proxy import ProxyGateway
from nvsx.cluster.reflector import Reflector
from nvsx.core.errors import ClusterError, Forbidden, Unauthorized, Unreachable, UsageError

pytestmark = pytest.mark.kubectl


class Behind:
    """A sandbox API server, its kubeconfig, and a gateway to it through kubectl."""

    def __init__(self, folder: Path) -> None:
        self.store = ObjectStore()
        self.server = ApiServer(self.store)
        self.folder = folder
        self.sleeps = Sleeps(most=0.05)

    async def open(self) -> None:
        await self.server.start()
        self.config = write_kubeconfig(self.folder / "config", self.server.url, self.server.token)
        self.gateway = ProxyGateway(kubeconfig=self.config, pace=self.sleeps.pace())
        await self.gateway.start()

    async def close(self) -> None:
        await self.gateway.close()
        await self.server.stop()

    async def ask(self, method: str, path: str) -> int:
        async with self.gateway._open_session().request(
            method, f"http://localhost{path}"
        ) as response:
            return response.status


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[Behind]:
    """Started, with one node."""
    made = Behind(tmp_path)
    made.store.create("nodes", {"metadata": {"name": "a"}})
    await made.open()
    yield made
    await made.close()


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    "path",
    [
        "/version",
        "/api/v1",
        "/apis",
        "/apis/janitor.dgxc.nvidia.com/v1alpha1/rebootnodes",
        "/api/v1/nodes",
        "/api/v1/nodes/a",
        "/api/v1/namespaces/kube-system",
        "/api/v1/namespaces/default/events",
    ],
)
async def test_reads_pass(behind: Behind, path: str) -> None:
    """What nvsx reads goes through."""
    assert json.loads(await behind.gateway.get(path))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/nodes"),
        ("PUT", "/api/v1/nodes/a"),
        ("PATCH", "/api/v1/nodes/a"),
        ("DELETE", "/api/v1/nodes/a"),
        ("POST", "/api/v1/namespaces/default/pods/p/eviction"),
        ("GET", "/api/v1/namespaces/default/pods/p/exec"),
        ("GET", "/api/v1/namespaces/default/pods/p/attach"),
        ("GET", "/api/v1/namespaces/default/pods/p/portforward"),
        ("GET", "/api/v1/namespaces/default/pods/p/proxy/x"),
        ("GET", "/api/v1/namespaces/default/pods/p%2Fexec"),
        ("GET", "/api/v1/namespaces/default/services/s/proxy"),
        ("GET", "/api/v1/nodes/a/proxy/logs"),
        ("GET", "/api/v1/namespaces/default/secrets"),
        ("GET", "/api/v1/namespaces/default/secrets/s"),
        ("GET", "/api/v1/secrets"),
    ],
)
async def test_everything_else_is_refused_by_the_proxy(
    behind: Behind, method: str, path: str
) -> None:
    """Writes, ways into pods and nodes, and Secrets get 403 before they reach the server."""
    before = len(behind.server.requests.latest)
    assert await behind.ask(method, path) == 403
    assert len(behind.server.requests.latest) == before


async def test_the_refusal_of_the_proxy_is_explained(behind: Behind) -> None:
    """A path the proxy does not let through is Forbidden in nvsx's own words."""
    with pytest.raises(Forbidden, match="nvsx's own kubectl proxy"):
        await behind.gateway.get("/api/v1/namespaces/default/secrets")


async def test_the_socket_is_private(behind: Behind) -> None:
    """The socket lies in a folder that only its owner can enter, on a short path."""
    folder = behind.gateway._folder
    assert folder is not None
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(os.fsencode(folder / "s")) < 104
    await behind.gateway.close()
    assert not folder.exists()


async def test_a_watch_streams_through_and_survives_a_killed_proxy(behind: Behind) -> None:
    """Changes arrive at once; after kill -9 the proxy is back, and so is the watch."""
    nodes = Reflector(
        behind.gateway, "/api/v1/nodes", projections.decode_node, pace=behind.sleeps.pace()
    )
    errors: list[str] = []
    nodes.on_status(lambda: errors.append(nodes.error))
    await nodes.start()
    await nodes.settled()
    behind.store.create("nodes", {"metadata": {"name": "b"}})
    await until(lambda: len(nodes) == 2)
    first = behind.gateway.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: behind.gateway.pid not in (None, first), within=15)
    behind.store.create("nodes", {"metadata": {"name": "c"}})
    await until(lambda: len(nodes) == 3, within=15)
    assert nodes.error == ""
    assert any("kubectl proxy was killed by signal 9" in e for e in errors)
    await nodes.stop()


async def test_closing_leaves_no_process(behind: Behind) -> None:
    """After close kubectl and its watcher are gone."""
    pid = behind.gateway.pid
    assert pid is not None
    group = [p.pid for p in psutil.process_iter() if os.getpgid(p.pid) == pid]
    assert len(group) >= 2
    await behind.gateway.close()
    await until(lambda: not any(alive(p) for p in group))


PROGRAM = """
import asyncio, os, signal, sys
from pathlib import Path
from nvsx.cluster import kubectl_children, kubectl_proxy

if sys.argv[2] == "watcher alone":
    kubectl_children.ends_with_parent = lambda: ()

async def main():
    gateway = kubectl_proxy.ProxyGateway(kubeconfig=Path(sys.argv[1]))
    await gateway.start()
    print(gateway.pid, gateway._folder, flush=True)
    if sys.argv[3] == "exception":
        raise RuntimeError("a crash")
    if sys.argv[3] == "os._exit":
        os._exit(3)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("guard", ["both", "watcher alone"])
@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "SIGINT", "exception", "os._exit"])
async def test_no_proxy_outlives_nvsx(behind: Behind, guard: str, end: str) -> None:
    """However nvsx ends, kubectl ends with it and the private folder is gone."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(behind.config), guard, end),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert program.stdout is not None
    pid, folder = (await asyncio.wait_for(program.stdout.readline(), patience(20))).decode().split()
    if end.startswith("SIG"):
        assert alive(int(pid))
        program.send_signal(getattr(signal, end))
    await asyncio.wait_for(program.wait(), patience(20))
    await until(lambda: not alive(int(pid)), within=10)
    await until(lambda: not Path(folder).exists(), within=10)


async def test_no_kubectl_on_path(tmp_path: Path) -> None:
    """Without kubectl: exit code 3, one message, the next step."""
    with pytest.raises(ClusterError, match="kubectl is not on PATH") as caught:
        await ProxyGateway(environ={"PATH": str(tmp_path)}).start()
    assert caught.value.exit_code == 3


async def test_no_context(tmp_path: Path) -> None:
    """With an empty configuration there is no context to use, and with a wrong name neither."""
    environ = {**os.environ, "KUBECONFIG": str(tmp_path / "none")}
    with pytest.raises(ClusterError, match="no current context"):
        await ProxyGateway(environ=environ).start()
    with pytest.raises(UsageError, match="no context red"):
        await ProxyGateway("red", environ=environ).start()


async def test_the_cluster_may_come_later(behind: Behind) -> None:
    """The proxy comes up while the API server is away; reading says why it fails."""
    await behind.server.stop()
    with pytest.raises(Unreachable, match="connection refused"):
        await behind.gateway.get("/version")
    port = int(behind.server.url.rpartition(":")[2])
    behind.server = ApiServer(behind.store, token=behind.server.token)
    await behind.server.start(port=port)
    assert json.loads(await behind.gateway.get("/version"))


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (401, Unauthorized, "does not accept these credentials"),
        (403, Forbidden, "forbids reading"),
    ],
)
async def test_refusals_of_the_api_server_come_through(
    behind: Behind, code: int, kind: type[ClusterError], words: str
) -> None:
    """Expired credentials and missing rights are told apart, each with its next step."""
    behind.server.faults.refuse(code, path="/api/v1/nodes")
    with pytest.raises(kind, match=words) as caught:
        await behind.gateway.get("/api/v1/nodes")
    assert caught.value.hint


Plugged = Callable[[str], ProxyGateway]


@pytest.fixture
async def plugged(tls: Tls, tmp_path: Path) -> AsyncIterator[Plugged]:
    """Makes a gateway to a TLS server whose user has a credential plug-in of this script."""

    async def version(_: web.BaseRequest) -> web.Response:
        return web.json_response({"gitVersion": "v1"})

    runner = web.ServerRunner(web.Server(version), shutdown_timeout=0.1)
    await runner.setup()
    context: ssl.SSLContext = tls.server()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    made: list[ProxyGateway] = []

    def make(script: str) -> ProxyGateway:
        plugin = tmp_path / "login"
        plugin.write_text(f"#!/bin/sh\n{script}\n")
        plugin.chmod(0o755)
        body: dict[str, Any] = {
            "current-context": "c",
            "clusters": [
                {
                    "name": "c",
                    "cluster": {
                        "server": f"https://127.0.0.1:{runner.addresses[0][1]}",
                        "insecure-skip-tls-verify": True,
                    },
                }
            ],
            "users": [
                {
                    "name": "u",
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1",
                            "command": str(plugin),
                            "interactiveMode": "IfAvailable",
                        }
                    },
                }
            ],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
        (tmp_path / "config").write_text(json.dumps(body))
        made.append(ProxyGateway(kubeconfig=tmp_path / "config", first_answer=1.5))
        return made[-1]

    yield make
    for gateway in made:
        await gateway.close()
    await runner.cleanup()


TOKEN = json.dumps(
    {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "t"},
    }
)


async def test_a_plugin_that_works(plugged: Plugged) -> None:
    """Credentials from an exec plug-in are kubectl's business and just work."""
    gateway = plugged(f"echo '{TOKEN}'")
    await gateway.start()
    assert json.loads(await gateway.get("/version")) == {"gitVersion": "v1"}


async def test_a_plugin_that_waits_for_a_person(
    plugged: Plugged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plug-in that hangs is timed out, the message says what to run, nothing stays."""
    monkeypatch.setattr(kubeconfig, "_TIMEOUT", 1.5)
    gateway = plugged(f"echo $$ >> {tmp_path}/pids; exec sleep 60")

    async def first_read() -> None:
        # A dispatcher before kubectl hangs at the start already, kubectl itself at a read.
        await gateway.start()
        await gateway.get("/version")

    with pytest.raises(ClusterError, match=r"did not (answer in time|end in)") as caught:
        await first_read()
    assert "run `kubectl get nodes` once" in caught.value.hint
    assert "plug-in" in str(caught.value)
    await gateway.close()
    hung = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert hung
    await until(lambda: not any(alive(pid) for pid in hung))


async def test_a_proxy_that_dies_while_its_plugin_hangs(plugged: Plugged, tmp_path: Path) -> None:
    """A plug-in that lives on and holds kubectl's pipes cannot hide that kubectl died."""
    hang = tmp_path / "hang"
    # Expired at once, so that kubectl asks the plug-in before every request.
    expired = TOKEN.replace('"token"', '"expirationTimestamp": "2020-01-01T00:00:00Z", "token"')
    gateway = plugged(
        f"[ -e {hang} ] || exec echo '{expired}'\necho $$ >> {tmp_path}/pids; exec sleep 60"
    )
    await gateway.start()
    hang.touch()
    with pytest.raises(Unreachable, match="did not answer in time") as caught:
        await gateway.get("/version")
    assert "run `kubectl get nodes` once" in caught.value.hint
    first = gateway.pid
    assert first is not None
    hang.unlink()
    os.kill(first, signal.SIGKILL)
    await until(lambda: gateway.pid not in (None, first) and gateway._down is None, within=15)
    assert json.loads(await gateway.get("/version")) == {"gitVersion": "v1"}
    hung = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    await until(lambda: not any(alive(pid) for pid in hung))


async def test_a_plugin_that_fails(plugged: Plugged) -> None:
    """A plug-in that fails is a matter of credentials, in its own words."""
    gateway = plugged("echo 'session expired' >&2; exit 7")
    await gateway.start()
    with pytest.raises(Unauthorized, match="exit code 7"):
        await gateway.get("/version")
