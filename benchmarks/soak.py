"""100,000 events through a real `nvsx serve`: does anything grow, does anything slow down?

    python benchmarks/soak.py [EVENTS]

Of fifty events one fires a run that works a hook and ends, ten repeat what was delivered
before, ten concern nodes that have a run, and the rest matches no runbook, each with a text
of its own. They come 400 a second over 16 connections. After each fifth: the daemon's
memory, the database and its log of writes, and how long answers took. Linux only.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from daemon import Site, until
from run_cluster import serving
from serve_many import event, require
from webhook_ingest import connected

NODES, HELD, RATE, CONNECTIONS, AGAIN = 1000, 20, 400, 16, 500
GROWTH_MB, WAL_MB = 10.0, 64.0
QUICK = """\
apiVersion: nvsx/v1
kind: Runbook
metadata: {name: quick}
triggers: [{check: GpuPcieWatch}]
stages:
  - id: detect
    hook: hooks/quick/on-detect.sh
"""
HELD_BOOK = """\
apiVersion: nvsx/v1
kind: Runbook
metadata: {name: held}
triggers: [{check: SysLogsGPUFallenOff}]
stages:
  - id: quarantine
    timeout: none
    watch: [{kind: node-label, key: bench.example/never}]
"""


class Block(NamedTuple):
    """What was found after a part of the events."""

    sent: int
    rss: float
    database: float
    wal: float
    p50: float
    p99: float
    rate: float


def bodies(nodes: list[str], count: int) -> Iterator[bytes]:
    """All events, in the order in which they are sent."""
    before: dict[int, bytes] = {}
    held, free = nodes[:HELD], nodes[HELD:]
    for number in range(count):
        kind = number % 50
        if kind == 0:
            node = free[number // 50 % len(free)]
            entity = [{"entityType": "GPU", "entityValue": f"{number}"}]
            body = event(node, "GpuPcieWatch", f"{number}", entitiesImpacted=entity)
        elif kind <= 10 and number > AGAIN:
            body = before[number * 7 % AGAIN]
        elif kind <= 20:
            body = event(held[number % HELD], "SysLogsGPUFallenOff", "")
        else:
            text = f"event {number} of the soak says something of its own"
            body = event(free[number % len(free)], "GpuMemWatch", "", isFatal=False, message=text)
        before[number % AGAIN] = body
        yield body


async def send(site: Site, todo: Iterator[bytes], count: int) -> list[float]:
    """Send the next `count`, `RATE` a second: milliseconds of each answer."""
    began, took, token = time.monotonic(), list[float](), site.token
    turn = iter(range(count))

    async def sender() -> None:
        async with connected(site.port, token) as answer:
            for place in turn:
                await asyncio.sleep(max(0.0, began + place / RATE - time.monotonic()))
                body, at = next(todo), time.monotonic()
                await answer(body)
                took.append((time.monotonic() - at) * 1000)

    await asyncio.gather(*(sender() for _ in range(CONNECTIONS)))
    return took


def soak(site: Site, nodes: list[str], count: int) -> list[Block]:
    """One block a fifth, as it is found."""
    todo, found = bodies(nodes, count), list[Block]()
    print(f"{'events':>8}{'RSS MB':>9}{'threads':>9}{'db MB':>8}{'WAL MB':>8}", end="")
    print(f"{'p50 ms':>8}{'p99 ms':>8}{'/s':>7}{'load':>7}")
    for part in range(1, 6):
        began = time.monotonic()
        took = asyncio.run(send(site, todo, count // 5))
        rate = len(took) / (time.monotonic() - began)
        until(lambda: site.metric("nvsx_runs_working") == HELD)
        cuts = statistics.quantiles(took, n=100)
        block = Block(
            count // 5 * part,
            site.memory(),
            site.on_disk(),
            site.on_disk("nvsx.db-wal"),
            cuts[49],
            cuts[98],
            rate,
        )
        found.append(block)
        print(f"{block.sent:8}{block.rss:9.1f}{site.threads():9}{block.database:8.1f}", end="")
        print(f"{block.wal:8.1f}{block.p50:8.1f}{block.p99:8.1f}{rate:7.0f}", end="")
        print(f"{os.getloadavg()[0]:7.1f}", flush=True)
    return found


def main(count: int) -> int:
    """The figures; 1 when something grows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(folder / "cluster", NODES) as cluster:
            site = Site(folder, cluster, {"quick": QUICK, "held": HELD_BOOK})
            hook = site.project / "runbooks" / "hooks" / "quick" / "on-detect.sh"
            hook.parent.mkdir(parents=True)
            hook.write_text("#!/bin/sh\nexit 0\n")
            hook.chmod(0o755)
            site.start()
            try:
                until(site.ready)
                found = soak(site, cluster.nodes, count)
                return judged(site, found, count)
            finally:
                site.end()


def judged(site: Site, found: list[Block], count: int) -> int:
    """What has to be true, and the goals."""
    kept = site.sql("SELECT SUM(1 + repeats) FROM events")[0][0]
    require(kept == count, f"all {kept} events are kept")
    fired = site.count("runs WHERE runbook = 'quick' AND status = 'passed'")
    require(fired == count // 50, f"{fired} runs fired and passed, one an incident")
    grown = found[-1].rss - found[1].rss
    wal = max(block.wal for block in found)
    print(f"memory from {found[1].sent} to {count} events: {grown:+.1f} MB; ", end="")
    print(f"{found[-1].database / count * 1e3:.2f} KB of database an event")
    met = grown < GROWTH_MB and wal < WAL_MB
    print(f"goal: growth < {GROWTH_MB:g} MB, WAL < {WAL_MB:g} MB: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
