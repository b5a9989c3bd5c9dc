from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.patience import patience

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "collect-metrics.sh"
TOOLS = (
    "bash env awk cat chmod cp cut date dirname find grep head mkdir mktemp rm sed sha256sum "
    "sleep sort tail timeout"
).split()
READ_VERBS = {"version", "config view", "get", "describe", "logs"}

#: A cluster with one node, one finished and one foreign RebootNode, two NVSentinel pods.
CLUSTER = r"""
printf '%s\n' "$*" >>"$RECORD"
shift # --request-timeout
case "$*" in
  version) echo "Server Version: v1.32" ;;
  "config view"*) printf 'https://gate.example.com/k8s/c-1/' ;;
  "get --raw /k8s/c-1/api/v1/namespaces/nvsentinel/pods/"*:2112/proxy/metrics)
    echo 'node_drainer_queue_depth 0' ;;
  *"get namespace"*) echo namespace/nvsentinel ;;
  *"get node "*) echo "kind: Node" ;;
  "describe node"*) echo "Name: gpu-07" ;;
  *"get configmap fault-remediation"*)
    printf '[remediationActions."X"]\napiGroup = "ops.example.com"\n'
    printf 'version = "v1"\nkind = "Ticket"\n' ;;
  *"get configmap circuit-breaker"*) echo "status: CLOSED" ;;
  *"get rebootnodes"*jsonpath*)
    printf '\tmaintenance-gpu-07-1\tgpu-07  \n\tmaintenance-gpu-070-2\tgpu-070  \n' ;;
  *"get Ticket.v1.ops.example.com"*jsonpath*) printf 'ops\tt-1\t gpu-07 \n' ;;
  *jsonpath*items*spec.healthEvent*)
    echo "error: the server doesn't have a resource type" >&2; exit 1 ;;
  *"get pods -n nvsentinel"*)
    printf 'fault-quarantine-1\tcpu-1\tfault-quarantine\n'
    printf 'syslog-health-monitor-a\tgpu-07\tsyslog-health-monitor\n'
    printf 'syslog-health-monitor-b\tgpu-08\tsyslog-health-monitor\n' ;;
  *"get events"*) echo 'Error from server (Forbidden): events is forbidden' >&2; exit 1 ;;
  logs*) echo 'dial mongodb://root:hunter2secret@mongo:27017' ;;
  *) echo "NAME" ;;
esac
"""


def tools(folder: Path, *leave_out: str) -> Path:
    """A PATH folder with the ordinary tools and no kubectl."""
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        if found and name not in leave_out:
            (folder / name).symlink_to(found)
    return folder


def collect(
    tmp_path: Path, kubectl: str | None, *arguments: str, **variables: str
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run the script with `kubectl` (a bash body) as the only kubectl; its artifact folder."""
    path = tools(tmp_path / "bin")
    if kubectl is not None:
        (path / "kubectl").write_text(f"#!{shutil.which('bash')}\n{kubectl}\n")
        (path / "kubectl").chmod(0o755)
    environment = {
        "PATH": str(path),
        "HOME": os.environ["HOME"],
        "NVSX_ARTIFACT_DIR": str(tmp_path / "artifacts"),
        "RECORD": str(tmp_path / "calls"),
        **variables,
    }
    done = subprocess.run(
        [SCRIPT, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=patience(50),
        check=False,
    )
    return done, tmp_path / "artifacts" / "cluster"


def calls(tmp_path: Path) -> list[list[str]]:
    """The arguments of each kubectl call, global flags left out."""
    lines = (tmp_path / "calls").read_text().splitlines()
    return [[a for a in line.split() if not a.startswith("--request-timeout")] for line in lines]


def test_without_kubectl_it_succeeds_and_says_so(tmp_path: Path) -> None:
    """With no kubectl on PATH the run is not failed, and the reason is kept."""
    done, folder = collect(tmp_path, None, "gpu-07")
    assert done.returncode == 0
    assert "kubectl is not on PATH" in done.stdout
    assert "kubectl is not on PATH" in (folder / "missing.txt").read_text()


def test_without_a_cluster_it_asks_once(tmp_path: Path) -> None:
    """A dead API server costs one question, not one for every source."""
    fake = 'echo "$*" >>"$RECORD"; echo "connection refused" >&2; exit 1'
    done, folder = collect(tmp_path, fake, "gpu-07")
    assert done.returncode == 0
    assert len(calls(tmp_path)) == 1
    assert "connection refused" in (folder / "missing.txt").read_text()


def test_it_keeps_what_is_there(tmp_path: Path) -> None:
    """Node, pods, this node's requests, logs and metrics of the right pods become files."""
    done, folder = collect(tmp_path, CLUSTER, "gpu-07")
    assert done.returncode == 0, done.stderr
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert files == {
        "MANIFEST.sha256",
        "missing.txt",
        "node.yaml",
        "node.json",
        "node-describe.txt",
        "pods-on-node.txt",
        "resources/rebootnodes.janitor.dgxc.nvidia.com/maintenance-gpu-07-1.yaml",
        "resources/Ticket.v1.ops.example.com/t-1.yaml",
        "nvsentinel/workloads.txt",
        "nvsentinel/circuit-breaker.yaml",
        "nvsentinel/logs/fault-quarantine-1.log",
        "nvsentinel/logs/syslog-health-monitor-a.log",
        "nvsentinel/metrics/fault-quarantine-1.prom",
        "nvsentinel/metrics/syslog-health-monitor-a.prom",
    }
    assert f"collected {len(files) - 2} files" in done.stdout
    assert "events-node.json: Error from server (Forbidden)" in (folder / "missing.txt").read_text()
    assert "resource" not in done.stdout  # kinds that are not installed are no loss
    namespaced = [c for c in calls(tmp_path) if "t-1" in c]
    assert namespaced[0][-4:] == ["-n", "ops", "-o", "yaml"]


def test_the_manifest_has_the_sum_of_every_file(tmp_path: Path) -> None:
    """MANIFEST.sha256 names every other file, with the sum of its bytes."""
    _, folder = collect(tmp_path, CLUSTER, "gpu-07")
    listed = {}
    for line in (folder / "MANIFEST.sha256").read_text().splitlines():
        digest, _, name = line.partition("  ")
        listed[name.removeprefix("./")] = digest
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "MANIFEST.sha256"]
    assert listed == {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }


def test_it_only_reads_and_never_secrets(tmp_path: Path) -> None:
    """Every kubectl call is a reading verb, and none asks for Secrets or whole pods."""
    collect(tmp_path, CLUSTER, "gpu-07")
    made = calls(tmp_path)
    assert len(made) > 15
    assert {" ".join(c[:2]) if c[0] == "config" else c[0] for c in made} == READ_VERBS
    for call in made:
        assert "secret" not in " ".join(call).lower()
        if call[1:2] == ["pods"]:
            assert call[call.index("-o") + 1].startswith(("wide", "jsonpath="))


def test_passwords_in_urls_are_masked(tmp_path: Path) -> None:
    """User and password of a URL in a log do not reach the artifacts."""
    done, folder = collect(tmp_path, CLUSTER, "gpu-07")
    log = (folder / "nvsentinel" / "logs" / "fault-quarantine-1.log").read_text()
    assert log == "dial mongodb://***@mongo:27017\n"
    assert "hunter2" not in done.stdout + done.stderr


def test_files_are_the_operators_own(tmp_path: Path) -> None:
    """Nobody else on the machine can read what was collected."""
    _, folder = collect(tmp_path, CLUSTER, "gpu-07")
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_source_that_hangs_is_given_up(tmp_path: Path) -> None:
    """When time runs out the rest is noted as missing, and it still ends well."""
    fake = CLUSTER.replace(
        '"describe node"*) echo "Name: gpu-07"', '"describe node"*) exec sleep 60'
    )
    done, folder = collect(tmp_path, fake, "gpu-07", COLLECT_SECONDS="3")
    assert done.returncode == 0
    missing = (folder / "missing.txt").read_text()
    assert "node-describe.txt: took longer than its time" in missing
    assert "no time left" in missing
    assert (folder / "node.yaml").exists()
    assert (folder / "MANIFEST.sha256").exists()


def test_a_node_that_is_gone_leaves_the_rest(tmp_path: Path) -> None:
    """A terminated node is noted, and NVSentinel's side is collected all the same."""
    gone = 'echo "Error from server (NotFound): nodes \\"gpu-07\\" not found" >&2; exit 1'
    done, folder = collect(tmp_path, CLUSTER.replace('echo "kind: Node"', gone), "gpu-07")
    assert done.returncode == 0
    assert "NotFound" in (folder / "missing.txt").read_text()
    assert (folder / "nvsentinel" / "workloads.txt").exists()


def test_no_node_is_not_an_error(tmp_path: Path) -> None:
    """Without a node it says so and collects NVSentinel's side."""
    done, folder = collect(tmp_path, CLUSTER)
    assert done.returncode == 0
    assert "no node given" in done.stdout
    assert (folder / "nvsentinel" / "logs" / "fault-quarantine-1.log").exists()


def test_an_unwritable_folder_fails(tmp_path: Path) -> None:
    """The one thing it cannot do without is a place to write."""
    (tmp_path / "artifacts").write_text("a file")
    done, _ = collect(tmp_path, CLUSTER, "gpu-07")
    assert done.returncode == 1
    assert "cannot write" in done.stderr


@pytest.mark.parametrize("name", ["collect-metrics.sh", "port-forward-all.sh"])
def test_scripts_are_executable(name: str) -> None:
    """A script a runbook or a person calls can be called."""
    assert os.access(SCRIPT.parent / name, os.X_OK)
