import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.patience import patience

from nvsx.core.ports import Script
from nvsx.follow.processes.kubectl_guard import install_guard
from nvsx.follow.processes.local_scripts import LocalScripts


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with the guard before a kubectl that prints its arguments."""
    real = tmp_path / "bin" / "kubectl"
    real.parent.mkdir()
    real.write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    real.chmod(0o755)
    return f"{install_guard(tmp_path)}:{real.parent}:/usr/bin:/bin"


def kubectl(path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run kubectl with this PATH."""
    return subprocess.run(
        ["/usr/bin/env", "kubectl", *arguments],
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=patience(10),
    )


READS = """
get pods
get nodes n1 -o jsonpath={.status.phase}
--context x -n ns get pods
--context=x --namespace=ns get pods -w
-v=6 -nns get pods
-v 6 --request-timeout 5s describe node n1
--context delete get pods
--as admin --insecure-skip-tls-verify logs pod -f
logs -n nvsentinel deploy/fault-quarantine --since=1h
top nodes
explain pods.spec
version --client
api-resources
api-versions
auth can-i delete pods
auth -n x can-i create pods
auth whoami
cluster-info
wait --for=condition=Ready node/n1
config view --minify
config current-context
config get-contexts
events --for node/n1
rollout status deploy/x
-n x rollout -n y history deploy/x
get --raw /readyz
get --raw=/apis/metrics.k8s.io/v1beta1/nodes
get --raw /api/v1/namespaces/nvsentinel/services/x:2112/proxy/metrics
--help
help delete
"""

REFUSED = """
delete pod x
apply -f x.yaml
create ns x
patch node n1 -p {}
label node n1 a=b
annotate node n1 a=b
taint node n1 a=b:NoSchedule
cordon n1
uncordon n1
drain n1
scale deploy/x --replicas=0
set image deploy/x a=b
replace -f x
edit node n1
run x --image=y
exec pod -- get
attach pod
cp a pod:b
port-forward svc/x 1:1
proxy
debug node/n1
expose deploy x
autoscale deploy x
certificate approve x
rollout restart deploy/x
rollout undo deploy/x
rollout --timeout 5s status deploy/x
auth reconcile -f x
config view --raw
config use-context x
config set-context x
config delete-context x
config set clusters.x.server y
--context get delete pod x
--context=x -n get delete pod x
-v 6 delete pod x
-n ns --as get drain n1
--token get delete node n1
-o json delete pod x
-- delete pod x
neat get pods
plugin list
get --raw /api/v1/nodes/n1/proxy/run/ns/pod/c?cmd=reboot
get --raw=/api/v1/namespaces/x/pods/y/exec?command=reboot
get --raw /api/v1/namespaces/x/services/y/proxy/shutdown
"""


@pytest.mark.parametrize("line", READS.strip().splitlines())
def test_reads_pass(path: str, line: str) -> None:
    """A read reaches the real kubectl with its arguments as they were."""
    result = kubectl(path, *line.split())
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "".join(f"<{argument}>" for argument in line.split())


@pytest.mark.parametrize("line", REFUSED.strip().splitlines())
def test_everything_else_is_refused(path: str, line: str) -> None:
    """Writes, exec, tunnels, config changes and plugins end with 64 and the way out."""
    result = kubectl(path, *line.split())
    assert result.returncode == 64
    assert result.stdout == ""
    assert "is refused: hooks and prerequisites only read the cluster" in result.stderr
    assert "kubectlWrites: allow" in result.stderr


def test_arguments_stay_whole(path: str) -> None:
    """Blanks, stars and empty arguments are passed on untouched; no argument is fine too."""
    arguments = ["get", "pods", "-l", "a in (b, c)", "*", ""]
    assert kubectl(path, *arguments).stdout == "".join(f"<{a}>" for a in arguments)
    assert kubectl(path).returncode == 0


def test_no_kubectl(tmp_path: Path) -> None:
    """Without a real kubectl the guard says so, with the shell's own code for it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "bash").symlink_to(shutil.which("bash") or "/bin/bash")
    result = kubectl(f"{install_guard(tmp_path)}:{tools}", "get", "pods")
    assert result.returncode == 127
    assert "no kubectl on PATH" in result.stderr


def test_two_guards_do_not_call_each_other(path: str, tmp_path: Path) -> None:
    """A guard passes over the guard of an outer run."""
    other = install_guard(tmp_path / "outer")
    assert kubectl(f"{other}:{path}", "get", "pods").stdout == "<get><pods>"


def test_install_repairs(tmp_path: Path) -> None:
    """Installing again restores a guard that was changed or lost its mode."""
    guard = install_guard(tmp_path) / "kubectl"
    whole = guard.read_bytes()
    guard.write_text("#!/bin/sh\n")
    guard.chmod(0o600)
    assert install_guard(tmp_path) == guard.parent
    assert guard.read_bytes() == whole
    assert os.access(guard, os.X_OK)
    assert guard.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("kind", "writes", "code"),
    [
        ("hook", False, 64),
        ("prerequisite", False, 64),
        ("action", False, 0),
        ("hook", True, 0),
    ],
)
async def test_who_is_guarded(
    path: str, tmp_path: Path, kind: str, writes: bool, code: int
) -> None:
    """Hooks and prerequisites meet the guard unless it is lifted; actions never do."""
    guard, _, outside = path.partition(":")
    scripts = LocalScripts(
        tmp_path, {"PATH": outside}, guard_dir=Path(guard), kubectl_writes=writes
    )

    async def on_start(_: object) -> None:
        pass

    script = Script(kind=kind, command="kubectl drain n1")  # type: ignore[arg-type]
    result = await scripts.run(script, lambda *_: None, on_start)
    assert result.exit_code == code


async def test_guard_does_not_pretend(tmp_path: Path) -> None:
    """Where there is no kubectl a hook does not find the guard in its place."""
    tools = tmp_path / "tools"
    tools.mkdir()
    scripts = LocalScripts(tmp_path, {"PATH": str(tools)}, guard_dir=install_guard(tmp_path))

    async def on_start(_: object) -> None:
        pass

    script = Script(kind="hook", command="command -v kubectl")
    assert not (await scripts.run(script, lambda *_: None, on_start)).ok
