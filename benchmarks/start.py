"""How long the quickest commands take, against an interpreter that does nothing.

    python benchmarks/start.py [TIMES]

`nvsx --help` and `nvsx list` of a project with 200 runbooks; the three take turns.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOAL = 2.0
RUNBOOKS = 200
STARTER = Path(__file__).resolve().parents[1] / "runbooks" / "gpu-off-bus.yaml"


def took(*command: str) -> float:
    """Milliseconds of one start, output thrown away."""
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1000


def project(folder: Path) -> Path:
    """A project of 200 runbooks, each as long as a real one."""
    (folder / "runbooks").mkdir()
    text = STARTER.read_text(encoding="utf-8").replace("  nickname: rogue-moose\n", "")
    for number in range(RUNBOOKS):
        name = f"fault-{number:03d}"
        body = text.replace("name: gpu-off-bus", f"name: {name}", 1)
        (folder / "runbooks" / f"{name}.yaml").write_text(body, encoding="utf-8")
    return folder


def main(times: int) -> None:
    """Measure and print."""
    nvsx = str(Path(sys.executable).with_name("nvsx"))
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "python -c pass": (sys.executable, "-c", "pass"),
            "nvsx --help": (nvsx, "--help"),
            f"nvsx list, {RUNBOOKS} runbooks": (
                nvsx,
                "--project",
                str(project(Path(folder))),
                "list",
            ),
        }
        found: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(times):
            for name, command in commands.items():
                found[name].append(took(*command))
    medians = {name: statistics.median(values) for name, values in found.items()}
    base = medians["python -c pass"]
    for name, median in medians.items():
        print(f"{name:26} {median:7.1f} ms ({median / base:5.2f} x)")
    ratio = medians["nvsx --help"] / base
    print(f"goal: --help within {GOAL:g} x: {'met' if ratio <= GOAL else 'MISSED'}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
