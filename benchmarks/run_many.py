"""A thousand runs waiting in one process, each on its own node, released at once.

    python benchmarks/run_many.py [RUNS]

Prints the memory and the processor time that waiting takes, what it asks of the API
server, and how long it is from the first write to the start of the last hook. One run is
worked before the first measurement: what all runs share is loaded by then.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from pathlib import Path

import psutil
from run_cluster import Cluster, serving
from run_world import Place, passed, until, waiting

from nvsx.follow.workplace import Workplace

GOAL_KB, GOAL_CPU = 40.0, 1.0
IDLE = 20.0
ME = psutil.Process()


def memory() -> int:
    """Resident bytes of this process."""
    gc.collect()
    return int(ME.memory_info().rss)


async def measure(place: Place, world: Workplace, cluster: Cluster, runs: int) -> None:
    """Wait, release, and print."""
    first, *nodes = cluster.nodes
    runner = await place.runner(world, first)
    work = asyncio.create_task(runner.work())
    await until(lambda: waiting(runner))
    await cluster.broken(first)
    passed(await work)
    before, asked_before = memory(), cluster.ask("requests")

    began = time.monotonic()
    runners = [await place.runner(world, node) for node in nodes[:runs]]
    works = [asyncio.create_task(r.work()) for r in runners]
    await until(lambda: all(waiting(r) for r in runners))
    took = time.monotonic() - began
    await asyncio.sleep(10.0)  # past the first look at why nothing happens
    each = (memory() - before) / runs / 1024
    print(f"{runs} runs wait after {took:.1f} s")
    verdict = "met" if each < GOAL_KB else "MISSED"
    print(f"memory of a waiting run         {each:6.1f} KB (goal < {GOAL_KB:g}: {verdict})")

    asked, spent = cluster.ask("requests"), sum(ME.cpu_times()[:2])
    await asyncio.sleep(IDLE)
    percent = (sum(ME.cpu_times()[:2]) - spent) / IDLE * 100
    verdict = "met" if percent < GOAL_CPU else "MISSED"
    print(f"processor while waiting         {percent:6.2f} %  (goal < {GOAL_CPU:g}: {verdict})")
    idle = cluster.ask("requests") - asked
    print(f"requests to begin all           {asked - asked_before:6d}")
    print(f"requests in {IDLE:g} s of waiting     {idle:6d}")

    sent = await cluster.broken(*nodes[:runs])
    for finish in await asyncio.gather(*works):
        passed(finish)
    starts = place.starts()
    missing = [n for n in nodes[:runs] if n not in starts]
    if missing:
        raise SystemExit(f"{len(missing)} hooks never began")
    zero = min(sent.values())
    delays = sorted((starts[n] - zero) / 1e9 for n in nodes[:runs])
    print(f"first, median and last hook     {delays[0]:.2f}, {delays[runs // 2]:.2f}, ", end="")
    print(f"{delays[-1]:.2f} s after the release; all {runs} began")
    print(f"requests in the end             {cluster.ask('requests') - asked:6d}")


async def main(runs: int) -> None:
    """Start the cluster, then measure; the bare cost of as many scripts comes last."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = Place(folder)
        with serving(folder / "cluster", runs + 1) as cluster:
            async with place.world(cluster) as world:
                await measure(place, world, cluster, runs)
        began = time.monotonic()
        limit = asyncio.Semaphore(32)
        await asyncio.gather(*(bare(place, limit) for _ in range(runs)))
        print(f"bare: {runs} scripts spawned and awaited {time.monotonic() - began:.2f} s")


async def bare(place: Place, limit: asyncio.Semaphore) -> None:
    """Spawn the script and wait for it."""
    async with limit:
        process = await asyncio.create_subprocess_exec(place.script)
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
