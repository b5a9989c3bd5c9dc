"""Runs the benchmarks, one after the other, each in a process of its own.

    python benchmarks/run.py [NAME…]        (make bench ARGS='start run_latency')

A name is that of a file here. Without one: those below.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ALL = (
    "start",
    "notify_call",
    "deliveries",
    "run_latency",
    "run_many",
    "cluster_memory",
    "cluster_latency",
    "deck_start",
    "sandbox_scale",
    "history",
    "routing",
    "webhook_ingest",
    "serve_many",
    "soak",
)


def main(names: list[str]) -> int:
    """The worst exit code."""
    unknown = [n for n in names if not (HERE / f"{n}.py").is_file()]
    if unknown:
        print(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(ALL)}")
        return 2
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ",
        end="",
    )
    print(f"load {os.getloadavg()[0]:.1f}")
    worst = 0
    for name in names or ALL:
        print(f"\n== {name}", flush=True)
        done = subprocess.run([sys.executable, HERE / f"{name}.py"], check=False)
        worst = max(worst, abs(done.returncode))
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
