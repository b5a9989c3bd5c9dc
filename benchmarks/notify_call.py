"""What `nvsx notify` costs a hook: processor time from its start to its return.

    python benchmarks/notify_call.py [TIMES]

Each call stores a page in the spool of a run, flushed to disk, as a hook's does; an interpreter
that does nothing takes turns with it.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nvsx.follow.processes.nvsx_on_path import install_nvsx

GOAL = 150.0


def spent(*command: str, environ: dict[str, str]) -> tuple[float, float]:
    """Milliseconds of processor time, children too, and by the clock."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environ, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used * 1000, (time.perf_counter() - began) * 1000


def main(times: int) -> int:
    """Measure and print."""
    found: dict[str, list[tuple[float, float]]] = {"python -c pass": [], "nvsx notify page": []}
    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "spool"
        spool.mkdir()
        nvsx = str(install_nvsx(Path(folder)) / "nvsx")
        environ = {
            "PATH": os.environ["PATH"],
            "NVSX_NOTIFY_DIR": str(spool),
            "NVSX_IDEMPOTENCY_KEY": "r-1.quarantine.hook",
        }
        for number in range(times):
            words = ("page", "--severity", "critical", "--title", "XID 79", "--text", "lost")
            found["python -c pass"].append(spent(sys.executable, "-c", "pass", environ=environ))
            environ["NVSX_ATTEMPT"] = str(number)
            call = spent(nvsx, "notify", *words, environ=environ)
            found["nvsx notify page"].append(call)
    for name, values in found.items():
        used, took = (statistics.median(column) for column in zip(*values, strict=True))
        most = max(value[0] for value in values)
        print(f"{name:18} processor {used:6.1f} ms (most {most:.1f}), by the clock {took:6.1f} ms")
    met = statistics.median(value[0] for value in found["nvsx notify page"]) < GOAL
    print(f"goal: less than {GOAL:g} ms of processor time: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
