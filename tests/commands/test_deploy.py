"""deploy/: the unit and the manifests say what nvsx is, and what they start works."""

from __future__ import annotations

import asyncio
import configparser
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.patience import patience

from nvsentinel_sandbox.host import Sandbox
from nvsentinel_sandbox.kube.requests import target_of
from nvsx.nvsentinel import rbac

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "systemd" / "nvsx.service"
KUBERNETES = DEPLOY / "kubernetes"


def objects(name: str) -> dict[str, Any]:
    """The objects of a manifest by kind."""
    return {o["kind"]: o for o in yaml.safe_load_all((KUBERNETES / name).read_text())}


def container() -> dict[str, Any]:
    """The one container of the Deployment."""
    (found,) = objects("nvsx.yaml")["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_services_ask_everybody_for_the_token() -> None:
    """Nobody sits at the keyboard of a service: the exception is switched off."""
    assert "--require-auth" in shlex.split(unit()["ExecStart"][0])
    assert "--require-auth" in container()["args"]


class _Repeated(dict[str, Any]):
    """systemd lets a key come again: values of one key are kept together, as lines."""

    def __setitem__(self, key: str, value: Any) -> None:
        if isinstance(value, list) and isinstance(self.get(key), list):
            value = [*self[key], *value]
        super().__setitem__(key, value)


def unit() -> dict[str, list[str]]:
    """The [Service] section: key → its values."""
    parser = configparser.RawConfigParser(dict_type=_Repeated, strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text())
    return {k: v.split("\n") for k, v in parser["Service"].items()}


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A cluster to deploy to."""
    made = Sandbox(state_dir=tmp_path / "sandbox")
    (tmp_path / "sandbox").mkdir()
    await made.start()
    yield made
    await made.stop()


def test_the_roles_are_what_doctor_prints() -> None:
    """rbac.yaml and `nvsx doctor --print-rbac` are the same text."""
    assert (KUBERNETES / "rbac.yaml").read_text() == rbac.render_manifest()


def test_names_fit_together() -> None:
    """The account, claim, labels and ports of the manifests are each other's."""
    made, roles = objects("nvsx.yaml"), objects("rbac.yaml")
    pod = made["Deployment"]["spec"]["template"]
    account = {"kind": "ServiceAccount", "name": "nvsx", "namespace": "nvsx"}
    assert pod["spec"]["serviceAccountName"] == made["ServiceAccount"]["metadata"]["name"]
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        assert roles[kind]["subjects"] == [account]
    assert made["Service"]["spec"]["selector"] == pod["metadata"]["labels"]
    assert made["Deployment"]["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    claim = objects("storage.yaml")["PersistentVolumeClaim"]["metadata"]["name"]
    claims = [v.get("persistentVolumeClaim", {}).get("claimName") for v in pod["spec"]["volumes"]]
    assert claim in claims
    assert {made[k]["metadata"].get("namespace") for k in ("Deployment", "Service")} == {"nvsx"}


def test_the_pod_is_restricted() -> None:
    """It meets Kubernetes' restricted profile, with a read-only root and two folders to write."""
    pod = objects("nvsx.yaml")["Deployment"]["spec"]["template"]["spec"]
    limits = container()["securityContext"]
    assert limits["readOnlyRootFilesystem"]
    assert limits["allowPrivilegeEscalation"] is False
    assert limits["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert objects("nvsx.yaml")["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    mounts = [m["mountPath"] for m in container()["volumeMounts"]]
    env = {e["name"]: e["value"] for e in container()["env"]}
    assert sorted(mounts) == ["/tmp", "/var/lib/nvsx"]
    assert Path(env["NVSX_STATE_DIR"]).parent == Path("/var/lib/nvsx")


@pytest.mark.server("systemd-analyze")
def test_systemd_accepts_the_unit_as_hardened(tmp_path: Path) -> None:
    """systemd finds no mistake in the unit, and calls its exposure at most 2 of 10."""
    stand_in = tmp_path / "nvsx.service"
    stand_in.write_text(UNIT.read_text().replace("/opt/nvsx/bin/nvsx", sys.executable))
    checked = _systemd("verify", str(stand_in))
    assert (checked.returncode, checked.stderr) == (0, "")
    rated = _systemd("security", "--offline=yes", str(stand_in))
    score = re.search(r"exposure level for \S+: ([\d.]+)", rated.stdout)
    assert score is not None, rated.stdout + rated.stderr
    assert float(score[1]) <= 2.0


def _systemd(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=patience(30),
    )


@pytest.mark.kubectl
async def test_an_api_server_takes_the_manifests(sandbox: Sandbox) -> None:
    """Each manifest passes a server-side dry run (the claim's kind, the sandbox has not)."""
    sandbox.store.create("namespaces", {"metadata": {"name": "nvsx"}})
    for name, count in (("rbac.yaml", 4), ("nvsx.yaml", 4)):
        path = str(KUBERNETES / name)
        code, out = await _kubectl(sandbox, "apply", "--dry-run=server", "-f", path)
        assert code == 0, out
        assert out.count("(server dry run)") == count


@pytest.mark.kubectl
async def test_applied_for_real_the_objects_are_there(sandbox: Sandbox) -> None:
    """`kubectl apply` creates every object, a second one changes nothing, and what the server
    has are the roles and the pod of the files."""
    paths = [word for name in ("nvsx.yaml", "rbac.yaml") for word in ("-f", str(KUBERNETES / name))]
    code, out = await _kubectl(sandbox, "apply", *paths)
    assert code == 0, out
    assert out.count(" created\n") == 8
    code, out = await _kubectl(sandbox, "apply", *paths)
    assert (code, out.count(" unchanged\n")) == (0, 8), out
    role = sandbox.store.get("clusterroles", "nvsx-reader")
    assert role["rules"] == objects("rbac.yaml")["ClusterRole"]["rules"]
    assert {v for rule in role["rules"] for v in rule["verbs"]} == {"get", "list", "watch"}
    stored = sandbox.store.get("deployments", "nvsx", namespace="nvsx")
    (there,) = stored["spec"]["template"]["spec"]["containers"]
    assert there["args"] == container()["args"]
    assert there["securityContext"] == container()["securityContext"]


async def _kubectl(sandbox: Sandbox, *args: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "kubectl", *args,
        env={**os.environ, "KUBECONFIG": str(sandbox.kubeconfig)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


@pytest.mark.kubectl
@pytest.mark.slow
async def test_a_run_needs_no_right_beyond_the_roles(tmp_path: Path) -> None:
    """Whatever nvsx itself reads during a whole incident, the roles allow."""
    (tmp_path / "sandbox").mkdir()
    for name in ("runbooks", "scripts"):
        shutil.copytree(DEPLOY.parent / name, tmp_path / "project" / name)
    sandbox = Sandbox(state_dir=tmp_path / "sandbox", speed=8)
    await sandbox.start()
    try:
        node = sandbox.default_node
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "nvsx", "--project", str(tmp_path / "project"),
            "run", "gpu-off-bus", "--target-node", node, "-o", "jsonl",
            env={**os.environ, "KUBECONFIG": str(sandbox.kubeconfig)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdout is not None
        async for line in process.stdout:
            if b'"stage_begin"' in line and b'"detect"' in line:
                await sandbox.inject("xid-79", node)
        assert await process.wait() == 0
        asked = [r for r in sandbox.server.requests.latest if r.user_agent.startswith("nvsx/")]
        assert len(asked) > 10
        assert {
            beyond for r in asked if (beyond := _beyond_the_roles(sandbox, r.path, r.verb))
        } == set()
    finally:
        await sandbox.stop()


def _beyond_the_roles(sandbox: Sandbox, path: str, verb: str) -> str:
    """What of a request no right of the list allows; "" when one does, or it is discovery."""
    target = target_of(sandbox.store.registry, "GET", re.sub(r"^/token/[^/]+", "", path), {})
    if target is None:
        return ""
    name = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
    for right in rbac.RIGHTS:
        inside = not right.inside or target.namespace == "nvsentinel"
        if (right.group, right.resource) == (target.group, name) and verb in right.verbs and inside:
            return ""
    return f"{verb} {name} {target.namespace}"


# --- what they start ----------------------------------------------------------------------


def started_by_the_unit(state: Path) -> tuple[list[str], dict[str, str]]:
    """The arguments and environment of the unit, with its folders as the test has them."""
    said = unit()
    (program, *args) = shlex.split(said["ExecStart"][0])
    assert program == "/opt/nvsx/bin/nvsx"
    env = dict(e.split("=", 1) for e in said["Environment"])
    assert env["KUBECONFIG"] == "%d/kubeconfig"
    assert said["LoadCredential"][0].startswith("kubeconfig:")
    assert env["NVSX_STATE_DIR"] == f"%S/{said['StateDirectory'][0]}"
    return args, {"NVSX_STATE_DIR": str(state), "HOME": str(state)}


def started_by_the_pod(state: Path) -> tuple[list[str], dict[str, str]]:
    """The same of the Deployment's container."""
    env = {e["name"]: e["value"] for e in container()["env"]}
    (state / "volume").mkdir(parents=True)
    name = Path(env["NVSX_STATE_DIR"]).name
    return list(container()["args"]), {
        "NVSX_STATE_DIR": str(state / "volume" / name),
        "HOME": str(state),
    }


@pytest.mark.kubectl
@pytest.mark.parametrize("of", [started_by_the_unit, started_by_the_pod])
async def test_what_is_started_serves_and_stops(sandbox: Sandbox, tmp_path: Path, of: Any) -> None:
    """With the given arguments, on a file system that is read-only but for state and /tmp,
    the daemon answers the probes, and SIGTERM ends it with 0."""
    args, env = of(tmp_path / "state")
    port = _free_port()
    args = [str(port) if a == "8080" else a for a in args]
    args += [] if "--port" in args else ["--port", str(port)]
    command = [*_read_only_but(tmp_path / "state"), sys.executable, "-m", "nvsx", *args]
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "KUBECONFIG": str(sandbox.kubeconfig), **env},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        probes = [container()[p]["httpGet"]["path"] for p in ("livenessProbe", "readinessProbe")]
        for path in probes:
            assert await _answers(f"http://127.0.0.1:{port}{path}", process), path
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _read_only_but(state: Path) -> list[str]:
    """A prefix that makes the root read-only for one command, where that is allowed."""
    state.mkdir(exist_ok=True)
    script = (
        'mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,bind,ro / && '
        'mount -o remount,bind,rw "$0" && exec "$@"'
    )
    unshare = shutil.which("unshare")
    prefix = [unshare or "", "-m", "sh", "-c", script, str(state)]
    if unshare is None:
        return []
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return [*prefix, "env", f"TMPDIR={state}"] if tried.returncode == 0 else []


async def _answers(url: str, process: asyncio.subprocess.Process) -> bool:
    """Whether a URL answers 200 before the process ends or half a minute is over."""
    async with asyncio.timeout(patience(30)):
        while process.returncode is None:
            try:
                if await asyncio.to_thread(_status, url) == 200:
                    return True
            except OSError:
                pass
            await asyncio.sleep(0.1)
    return False


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=patience(5)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
