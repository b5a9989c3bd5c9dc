"""How long the flight deck takes from the start of the process to its first frame.

Starts a small program under a pseudo-terminal that flies the deck over a run that has just
begun, and reads the terminal until the runbook's name is on it; in turns with it the real
`nvsx run --sandbox`, which reads and checks the runbook first. Prints each time, the
medians, and the time that Python needs to import what the deck is built on. Then what a run
pays for each entry that it shows to a deck which does not get to drawing.

Usage: python benchmarks/deck_start.py [RUNS]
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time

from nvsx.core.journal import entries as j
from nvsx.screens.deck.deck_view import DeckView

AIM_S = 0.7
PROGRAM = """
import asyncio
from nvsx.core.journal import entries as j
from nvsx.screens.deck.flight import fly

async def run(view):
    stage = j.StagePlan(id="detect", title="first", watches=("the node exists",))
    start = j.Start("first-frame", "quick-quail", target_node="n1", stages=(stage,))
    view.show(j.Entry("r-1", 1, 1.0, start))
    view.show(j.Entry("r-1", 2, 1.0, j.StageBegin("detect")))
    await asyncio.sleep(30)

asyncio.run(fly(run, on_cancel=lambda by: None))
"""
PROGRAMS = {
    "the deck alone": (["-c", PROGRAM], b"first-frame"),
    "nvsx run gpu-off-bus --sandbox": (
        ["-m", "nvsx", "run", "gpu-off-bus", "--sandbox"],
        b"STARTING",
    ),
}
IMPORTS = "import textual.app, textual.screen, pydantic, msgspec"


def first_frame(command: list[str], awaited: bytes) -> float:
    """Seconds from fork until `awaited` is on the screen. Raises TimeoutError after 20 s."""
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, *command])  # noqa: S606
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen = b""
    try:
        while awaited not in seen:
            if time.perf_counter() - began > 20:
                raise TimeoutError(seen.decode(errors="replace"))
            if select.select([terminal], [], [], 1)[0]:
                seen += os.read(terminal, 65536)
        return time.perf_counter() - began
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


def imports() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.perf_counter() - began


def microseconds_an_entry(lines: int = 100_000) -> float:
    """What `DeckView.show` takes for each line of a talkative hook."""
    stage = j.StagePlan(id="drain", title="drain", watches=("the node is empty",))
    start = j.Start("talkative", "quick-quail", target_node="n1", stages=(stage,))
    view = DeckView()
    view.show(j.Entry("r-1", 1, 1.0, start))
    view.show(j.Entry("r-1", 2, 1.0, j.StageBegin("drain")))
    entries = [
        j.Entry("r-1", number, 2.0, j.Output("drain", "hook", "stdout", f"checkpoint {number:06d}"))
        for number in range(3, lines + 3)
    ]
    began = time.perf_counter()
    for entry in entries:
        view.show(entry)
    return (time.perf_counter() - began) / lines * 1e6


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    bare = []
    with tempfile.TemporaryDirectory() as state:
        os.environ["NVSX_STATE_DIR"] = state
        for _ in range(runs + 1):
            for name, (command, awaited) in PROGRAMS.items():
                times[name].append(first_frame(command, awaited))
            bare.append(imports())
    base = statistics.median(bare[1:])
    print(f"importing textual and pydantic alone: {base:.2f} s")
    for name, (_warm, *found) in times.items():
        median = statistics.median(found)
        print(f"{name}: " + " ".join(f"{t:.2f}" for t in found) + " s")
        print(
            f"  median {median:.2f} s, best {min(found):.2f} s, {median / base:.1f} x the imports"
        )
    print(f"aim: the first frame of nvsx run within {AIM_S} s on a quiet machine")
    print(f"an entry shown to a deck that never draws: {microseconds_an_entry():.1f} µs, aim < 50")


if __name__ == "__main__":
    main()
