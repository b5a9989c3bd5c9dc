"""Clusters that cannot be read: one clear message with the next step, exit 3, in good time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.live import Live, Nvsx

pytestmark = [pytest.mark.kubectl, pytest.mark.slow, pytest.mark.timeout(240)]


async def _refused(live: Live, *words: str, env: dict[str, str] | None = None) -> Nvsx:
    """A run that exits 3 by itself, says these words and a next step, and starts nothing."""
    book = live.project.one_hook('touch "$NVSX_PROJECT_ROOT/ran"')
    run = await live.run(book, env=env)
    assert await run.end() == 3, run.err
    message, hint = run.err.strip().splitlines()
    assert message.startswith("nvsx: ")
    assert hint.startswith("  ")
    for word in words:
        assert word in run.err
    assert not run.raw
    assert not (live.project.root / "ran").exists()
    await live.nothing_left()
    return run


async def test_no_kubectl(live: Live, tmp_path: Path) -> None:
    """Without kubectl on PATH, nvsx says so and names the sandbox."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "sh", "env", "touch"):
        (tools / name).symlink_to(shutil.which(name) or name)
    await _refused(live, "kubectl is not on PATH", "--sandbox", env=live.env(PATH=str(tools)))


async def test_no_context(live: Live, tmp_path: Path) -> None:
    """A kubeconfig without a current context: nvsx says how to name one."""
    empty = tmp_path / "empty"
    empty.touch()
    await _refused(live, "no current context", "--context", env=live.env(KUBECONFIG=str(empty)))


async def test_unknown_context(live: Live) -> None:
    """--context with a name kubectl does not know is a usage error that lists the known ones."""
    book = live.project.one_hook("true")
    run = await live.done("run", book, "--context", "prod")
    assert run.process.returncode == 2
    assert "kubectl has no context prod" in run.err
    assert "nvsx-sandbox" in run.err


async def test_expired_credentials(live: Live, tmp_path: Path) -> None:
    """401: log in again."""
    expired = _kubeconfig(live, tmp_path, token="expired")
    env = live.env(KUBECONFIG=str(expired))
    await _refused(live, "does not accept these credentials", "log in again", env=env)


async def test_forbidden_nodes(live: Live) -> None:
    """403 on nodes: what is forbidden, and which rights to grant."""
    live.server.faults.refuse(403, path="/api/v1/nodes", times=-1)
    await _refused(live, "forbids reading /api/v1/nodes", "nvsx doctor --print-rbac")


async def test_nobody_listens(live: Live) -> None:
    """A cluster that is away: the address, and how to see for oneself."""
    await live.without_server()
    await _refused(live, "connection refused")


async def test_interactive_plugin_hangs(live: Live, tmp_path: Path) -> None:
    """A credential plug-in that waits for a person: run `kubectl get nodes` once."""
    plugin = live.project.script("plugin.sh", "sleep 600")
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "interactiveMode": "IfAvailable",
        }
    }
    config = _kubeconfig(live, tmp_path, token="", user=user)
    env = live.env(KUBECONFIG=str(config))
    await _refused(live, "credential plug-in", "run `kubectl get nodes` once", env=env)


def _kubeconfig(
    live: Live, folder: Path, *, token: str, user: dict[str, Any] | None = None
) -> Path:
    """The sandbox's kubeconfig, with other credentials."""
    config = json.loads(live.sandbox.kubeconfig.read_text())
    server = live.server.url + (f"/token/{token}" if token else "")
    if user:  # client-go asks no plug-in for credentials it would send over plain HTTP
        server = server.replace("http:", "https:")
    config["clusters"][0]["cluster"]["server"] = server
    config["users"][0]["user"] = user or {"token": token}
    path = folder / "kubeconfig-changed"
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    return path
