"""The sandbox at scale: 10,000 nodes, a storm of 500 faults, and what watchers get of it.

    python benchmarks/sandbox_scale.py [--nodes N] [--faults N]

Starts one in this process, as `nvsx sandbox start` does. The storm hits 500 nodes at once
(with so many nodes the breaker stays closed) and is over when all are un-quarantined and
each had one RebootNode. Then 2,000 changes are made as fast as the store takes them, under
100 watchers that read over HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from nvsentinel_sandbox.host import Sandbox
from nvsentinel_sandbox.kube.objects import Change

SPEED = 2.0
WATCHERS, CHANGES = 100, 2_000
READY_SECONDS, READY_MB, DELIVERIES = 10.0, 500.0, 10_000.0
_STORM_SECONDS = 300


def memory_mb() -> float:
    """The most this process ever used."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024 * 1024 if sys.platform == "darwin" else 1024)


async def storm(sandbox: Sandbox, count: int) -> tuple[float, int, int]:
    """Seconds from the injections to the last un-quarantine; nodes recovered; RebootNodes."""
    hit = set(sandbox.simulator.nodes[:count])
    left, over = set(hit), asyncio.Event()

    def look(change: Change) -> None:
        name = change.entry.key[1]
        if change.entry.resource.plural != "nodes" or name not in left:
            return
        if "k8saas.nvidia.com/uncordon-by" in change.entry.labels:
            left.discard(name)
            if not left:
                over.set()

    forget = sandbox.store.subscribe(look)
    began = time.monotonic()
    for name in sorted(hit):
        await sandbox.inject("xid-79", name)
    try:
        async with asyncio.timeout(_STORM_SECONDS):
            await over.wait()
    except TimeoutError:
        pass  # how many are left is in the answer
    took = time.monotonic() - began
    forget()
    return took, count - len(left), len(sandbox.store.list("rebootnodes"))


async def deliveries(sandbox: Sandbox) -> tuple[float, int]:
    """Deliveries a second of a burst to all watchers, and how many changes the worst got."""
    store, counts = sandbox.store, [0] * WATCHERS
    store.create("namespaces", {"metadata": {"name": "bench"}})
    listed = asyncio.Semaphore(0)

    async def watch(index: int, session: aiohttp.ClientSession) -> None:
        path = f"/api/v1/namespaces/bench/configmaps?watch=true&resourceVersion={store.version}"
        headers = {"Authorization": f"Bearer {sandbox.read_only_token}"}
        async with session.get(sandbox.server.url + path, headers=headers) as answer:
            listed.release()
            rest = b""
            async for chunk in answer.content.iter_any():
                lines = (rest + chunk).split(b"\n")
                rest = lines.pop()
                counts[index] += len(lines)
                if counts[index] >= CHANGES:
                    return

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=2**20) as session:
        tasks = [asyncio.create_task(watch(i, session)) for i in range(WATCHERS)]
        for _ in tasks:
            await listed.acquire()
        began = time.monotonic()
        for index in range(CHANGES):
            body: dict[str, Any] = {"metadata": {"name": f"c{index}"}, "data": {"x": "y" * 4096}}
            store.create("configmaps", body, namespace="bench")
            if index % 50 == 49:
                await asyncio.sleep(0)
        await asyncio.wait(tasks, timeout=60)
        took = time.monotonic() - began
    return sum(counts) / took, min(counts)


async def main(nodes: int, faults: int) -> int:
    """Measure and print; 1 when a goal was missed."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        sandbox = Sandbox(state_dir=Path(folder), nodes=nodes, speed=SPEED, seed=1)
        await sandbox.start()
        ready, used = time.monotonic() - began, memory_mb()
        took, recovered, reboots = await storm(sandbox, faults)
        after = memory_mb()
        rate, fewest = await deliveries(sandbox)
        await sandbox.stop()
    print(f"load {os.getloadavg()[0]:.1f}")
    print(f"{nodes} nodes ready: {ready:.1f} s, {used:.0f} MB")
    print(f"storm of {faults} at speed {SPEED:g}: {took:.1f} s, {recovered} recovered, "
          f"{reboots} RebootNodes, {after:.0f} MB")  # fmt: skip
    print(
        f"{CHANGES} changes of 4 KB to {WATCHERS} watchers: {rate:,.0f}/s, the fewest got {fewest}"
    )
    good = (
        ready < READY_SECONDS
        and used < READY_MB
        and (recovered, reboots) == (faults, faults)
        and rate >= DELIVERIES
        and fewest == CHANGES
    )
    return 0 if good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--faults", type=int, default=500)
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.nodes, given.faults)))
