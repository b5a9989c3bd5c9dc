"""How long history and stats take over 100,000 past runs.

    python benchmarks/history.py [RUNS]

Writes runs with their stages, faults and GPUs straight into the tables of a store in a
temporary folder (the journals themselves are not read by these commands), then times the
functions behind `nvsx history` and `nvsx stats`, each once after one to warm up.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from nvsx.core.journal.past_runs import RunFilter
from nvsx.core.runbook.stage_order import STAGE_ORDER
from nvsx.project.home import Home
from nvsx.screens.report import past_reports
from nvsx.store import open_store
from nvsx.store.run_list import list_runs

RUNBOOKS = ("gpu-off-bus", "ecc-double-bit", "nvlink-fault", "thermal-throttle", "driver-hang")
NOW = 1_767_600_000.0


def fill(folder: Path, count: int) -> None:
    """Write `count` finished runs on 2,000 nodes, over two years."""
    rng = random.Random(7)  # noqa: S311 - the same runs each time
    open_store(folder).close()
    db = sqlite3.connect(folder / "nvsx.db")
    runs, stages, words = [], [], []
    for n in range(count):
        run_id, began = f"r-{n:06d}", NOW - rng.random() * 730 * 86_400
        took, node = rng.lognormvariate(6.5, 0.8), rng.randrange(2_000)
        status = rng.choices(("passed", "failed", "cancelled"), (90, 8, 2))[0]
        mttr = took if status == "passed" else None
        index = (run_id, rng.choice(RUNBOOKS), "c", f"gpu-node-{node:04d}", "watch", status)
        ends = (began, began + took, f"s-{n}", mttr, False, "", False, False, "/p", "o", 1, 40)
        runs.append((*index, *ends))
        drilled = ("baseline", "inject")
        lengths = [None if s in drilled else rng.random() * took / 3 for s in STAGE_ORDER]
        stages.append((run_id, *lengths))
        words += [
            (run_id, "fault", rng.choice(("SysLogsXIDError 79", "GpuMemWatch DBE"))),
            (run_id, "gpu", f"GPU-{node:04d}-{rng.randrange(8)}"),
            (run_id, "pci", f"0000:{rng.randrange(8):02x}:00"),
            (run_id, "tag", "infra"),
        ]
    with db:
        db.executemany("INSERT INTO runs VALUES (?" + 17 * ", ?" + ")", runs)
        db.executemany("INSERT INTO run_lengths VALUES (?" + 9 * ", ?" + ")", stages)
        db.executemany("INSERT INTO run_words VALUES (?, ?, ?)", words)
    db.close()


def timed(name: str, work: Callable[[], Awaitable[Any]]) -> None:
    asyncio.run(_once(work))
    began, worked = time.perf_counter(), time.process_time()
    asyncio.run(_once(work))
    took, cpu = time.perf_counter() - began, time.process_time() - worked
    print(f"{name:<34} {took:6.2f} s, {cpu:6.2f} s of processor")


async def _once(work: Callable[[], Awaitable[Any]]) -> None:
    await work()


def main(arguments: list[str]) -> int:
    count = int(arguments[0]) if arguments else 100_000
    with tempfile.TemporaryDirectory(prefix="nvsx-bench-") as folder:
        os.environ["NVSX_STATE_DIR"] = folder
        fill(Path(folder), count)
        home = Home()
        print(f"{count} runs, {(Path(folder) / 'nvsx.db').stat().st_size / 1e6:.0f} MB")
        any_ = RunFilter()
        month = RunFilter(since=NOW - 30 * 86_400)
        timed(
            "history, the newest 50", lambda: asyncio.to_thread(list_runs, home.state_dir, any_, 50)
        )
        node = RunFilter(node="gpu-node-0042")
        timed("history of one node", lambda: asyncio.to_thread(list_runs, home.state_dir, node, 50))
        failed = RunFilter(outcome="failed", tag="infra")
        timed(
            "history, failed, by tag",
            lambda: asyncio.to_thread(list_runs, home.state_dir, failed, 50),
        )
        timed("history, all", lambda: asyncio.to_thread(list_runs, home.state_dir, any_, None))
        timed("stats of 30 days", lambda: past_reports.stats(home, month, "runbook"))
        timed("stats of everything, by runbook", lambda: past_reports.stats(home, any_, "runbook"))
        timed("stats of everything, by node", lambda: past_reports.stats(home, any_, "node"))
        timed("stats of everything, by fault", lambda: past_reports.stats(home, any_, "fault"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
