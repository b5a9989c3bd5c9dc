"""How long the flight deck takes from the start of the process to its first frame.

Starts a small program under a pseudo-terminal that flies the deck over a run that has just
begun, and reads the terminal until the runbook's name is on it. Prints each time, the
median, and the time that Python needs to import what the deck is built on.

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
import termios
import time

AIM_S = 0.7
PROGRAM = """
import asyncio
from nvsx.core import journal as j
from nvsx.tui.flight import fly

async def run(view):
    stage = j.StagePlan(id="detect", title="first", watches=("the node exists",))
    start = j.Start("first-frame", "quick-quail", target_node="n1", stages=(stage,))
    view.show(j.Entry("r-1", 1, 1.0, start))
    view.show(j.Entry("r-1", 2, 1.0, j.StageBegin("detect")))
    await asyncio.sleep(30)

asyncio.run(fly(run, on_cancel=lambda by: None))
"""
IMPORTS = "import textual.app, textual.screen, pydantic, msgspec"


def first_frame() -> float:
    """Seconds from fork to the first frame. Raises TimeoutError after 20 s."""
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", PROGRAM])  # noqa: S606
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen = b""
    try:
        while b"first-frame" not in seen:
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


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    first_frame()
    times = [first_frame() for _ in range(runs)]
    bare = statistics.median(imports() for _ in range(3))
    print("first frame:", " ".join(f"{t:.2f}" for t in times), "s")
    median = statistics.median(times)
    print(f"median {median:.2f} s, best {min(times):.2f} s (aim {AIM_S} s)")
    print(f"of which importing the libraries alone takes {bare:.2f} s")


if __name__ == "__main__":
    main()
