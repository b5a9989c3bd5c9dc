from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.patience import patience, wait_until

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "port-forward-all.sh"

KUBECTL = r"""
case "$1" in
  get) printf '%b' "$PODS" ;;
  port-forward)
    printf '%s %s\n' "$$" "$*" >>"$RECORD"
    echo "Forwarding from 127.0.0.1:$((40000 + $$ % 20000)) -> 2112"
    exec sleep 300 ;;
esac
"""
PODS = (
    r"fault-quarantine\tfq-1\tcpu-1\n"
    r"nvsentinel\tpc-a\tgpu-07\n"
    r"nvsentinel\tpc-b\tgpu-08\n"
    r"syslog-health-monitor\tslm-a\tgpu-07\n"
    r"syslog-health-monitor\tslm-b\tgpu-08\n"
)


class Forwards:
    """A running script, and the kubectl children it started."""

    def __init__(self, folder: Path, *arguments: str, pods: str = PODS) -> None:
        bins = folder / "bin"
        bins.mkdir()
        (bins / "kubectl").write_text(f"#!{shutil.which('bash')}\n{KUBECTL}")
        (bins / "kubectl").chmod(0o755)
        self.record = folder / "calls"
        self.temp = folder / "tmp"
        self.temp.mkdir()
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [SCRIPT, *arguments],
                env={
                    **os.environ,
                    "PATH": f"{bins}{os.pathsep}{os.environ['PATH']}",
                    "PODS": pods,
                    "RECORD": str(self.record),
                    "TMPDIR": str(self.temp),
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    @property
    def children(self) -> list[tuple[int, str]]:
        lines = self.record.read_text().splitlines()
        return [(int(pid), rest) for pid, _, rest in (line.partition(" ") for line in lines)]

    def ready(self) -> None:
        wait_until(lambda: "Ctrl-C" in self.text, lambda: f"ready: {self.text}")

    def nothing_left(self) -> bool:
        session = self.process.pid
        return not [p for p in psutil.pids() if p != session and _session(p) == session]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(patience(5))
        for pid, _ in self.children if self.record.exists() else []:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Forwards]]:
    """Starts the script; whatever is left at the end of the test is killed."""
    made: list[Forwards] = []

    def _start(*arguments: str, **options: str) -> Forwards:
        made.append(Forwards(tmp_path, *arguments, **options))
        return made[-1]

    yield _start
    for forwards in made:
        forwards.stop()


def test_each_module_gets_one_loopback_url(start: Callable[..., Forwards]) -> None:
    """One pod of each module is forwarded, on loopback, and its URL is printed."""
    forwards = start("gpu-08")
    forwards.ready()
    asked = sorted(rest for _, rest in forwards.children)
    assert asked == [
        f"port-forward -n nvsentinel --address 127.0.0.1 pod/{pod} :2112"
        for pod in ("fq-1", "pc-b", "slm-b")
    ]
    urls = [line.split() for line in forwards.text.splitlines() if "http://" in line]
    assert [name for name, _ in urls] == [
        "fault-quarantine",
        "platform-connectors",
        "syslog-health-monitor",
    ]
    ports = {str(40000 + pid % 20000) for pid, _ in forwards.children}
    assert {url.split(":")[2].split("/")[0] for _, url in urls} == ports


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_every_forward(start: Callable[..., Forwards], how: signal.Signals) -> None:
    """After Ctrl-C or TERM the script ends with 0 and nothing of it runs on."""
    forwards = start()
    forwards.ready()
    os.kill(forwards.process.pid, how)
    assert forwards.process.wait(patience(10)) == 0
    wait_until(forwards.nothing_left, "all forwards gone")
    assert "ended" not in forwards.text
    assert list(forwards.temp.iterdir()) == []


def test_a_killed_script_leaves_no_orphan(start: Callable[..., Forwards]) -> None:
    """Even kill -9 of the script stops its forwards."""
    forwards = start()
    forwards.ready()
    assert len(forwards.children) == 3
    forwards.process.kill()
    forwards.process.wait(patience(5))
    wait_until(forwards.nothing_left, "all forwards gone")


def test_a_forward_that_ends_is_told(start: Callable[..., Forwards]) -> None:
    """When a pod goes away its forward is named, and the others stay."""
    forwards = start()
    forwards.ready()
    os.kill(forwards.children[0][0], signal.SIGKILL)
    wait_until(lambda: "forward ended" in forwards.text, "told")
    assert forwards.process.poll() is None


def test_no_nvsentinel_is_told(start: Callable[..., Forwards]) -> None:
    """Without NVSentinel's pods it says where it looked, and ends with 1."""
    forwards = start(pods="")
    assert forwards.process.wait(patience(10)) == 1
    assert "no running NVSentinel pods in namespace nvsentinel" in forwards.text
