"""A real `nvsx serve` on the cluster of run_cluster.py, for the benchmarks of the daemon."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from run_cluster import Cluster

PROJECT = """\
apiVersion: nvsx/v1
kind: Project
cluster: {names: [bench]}
limits: {maxConcurrentRuns: 2000}
"""


class Site:
    """A project and a state folder; `start` a daemon on them, kill it, start it again."""

    def __init__(self, folder: Path, cluster: Cluster, runbooks: dict[str, str]) -> None:
        self.state = folder / "state"
        self.project = folder / "project"
        (self.project / "runbooks").mkdir(parents=True)
        (self.project / "nvsx.yaml").write_text(PROJECT)
        for name, text in runbooks.items():
            (self.project / "runbooks" / f"{name}.yaml").write_text(text)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._env = {
            **os.environ,
            "KUBECONFIG": str(cluster.kubeconfig),
            "NVSX_STATE_DIR": str(self.state),
            "NVSX_PROJECT_ROOT": str(self.project),
            "BENCH_STARTS": str(folder / "starts"),
        }
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    # --- the process ------------------------------------------------------------------------

    def start(self) -> None:
        """Start it; returns at once."""
        command = (sys.executable, "-m", "nvsx", "serve", "--mode", "webhook", "--port")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                (*command, str(self.port)), env=self._env, stdout=log, stderr=log
            )

    def ready(self) -> bool:
        """Whether it said so. It takes webhooks then."""
        if self._process is not None and self._process.poll() is not None:
            raise SystemExit(f"nvsx serve ended: {self._log.read_text()[-2000:]}")
        return re.search(rb"\bready\b", self._log.read_bytes()[:20_000]) is not None

    @property
    def token(self) -> str:
        """What lets a sender in."""
        return (self.state / "webhook-token").read_text().strip()

    def end(self, sign: int = signal.SIGKILL) -> None:
        """End it, by default with kill -9."""
        if self._process is not None:
            self._process.send_signal(sign)
            self._process.wait(60)
            self._process = None

    # --- what it uses -----------------------------------------------------------------------

    def memory(self) -> float:
        """Its resident megabytes."""
        return self._status("VmRSS") / 1024

    def threads(self) -> int:
        """How many it has."""
        return self._status("Threads")

    def processor(self) -> float:
        """Seconds of processor it has used."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _status(self, key: str) -> int:
        text = Path(f"/proc/{self._pid}/status").read_text()
        return int(re.search(rf"^{key}:\s+(\d+)", text, re.MULTILINE)[1])  # type: ignore[index]

    @property
    def _pid(self) -> int:
        return self._process.pid if self._process else 0

    def on_disk(self, name: str = "nvsx.db") -> float:
        """Megabytes of a file in the state folder."""
        path = self.state / name
        return path.stat().st_size / 1e6 if path.exists() else 0.0

    # --- what it knows ----------------------------------------------------------------------

    def sql(self, query: str) -> list[Any]:
        """Rows of the store."""
        with sqlite3.connect(self.state / "nvsx.db", timeout=30) as db:
            return db.execute(query).fetchall()

    def count(self, query: str) -> int:
        """`SELECT COUNT(*) FROM …`."""
        return int(self.sql(f"SELECT COUNT(*) FROM {query}")[0][0])  # noqa: S608 - ours

    def metric(self, name: str) -> float:
        """One number of /metrics; -1 while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as told:
                text = told.read().decode()
        except OSError:
            return -1.0
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else -1.0


def until(holds: Callable[[], bool], limit: float = 120.0) -> float:
    """Wait until something holds; seconds it took."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > limit:
            raise SystemExit(f"it did not come about within {limit:g} s")
        time.sleep(0.05)
    return time.monotonic() - began
