"""From the API server's write of a condition to the start of the hook that waits for it.

    python benchmarks/run_latency.py [SAMPLES]

Three ways to wait for the same write, with the same script at the end: a run of nvsx; the
bare loop that reads the watch, parses each line and spawns the script; and a loop over
`kubectl get` every 2 s, where there is a kubectl. The first two take turns, so that a busy
machine is busy for both. Both ends read the same clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import aiohttp
from run_cluster import Cluster, serving
from run_world import Place, passed, until, waiting

from nvsx.follow.workplace import Workplace

GOAL = 2.0
POLLS = 8
PATH = "/api/v1/nodes"


async def by_nvsx(place: Place, world: Workplace, cluster: Cluster, node: str) -> float:
    """Milliseconds to the hook of a run."""
    runner = await place.runner(world, node)
    work = asyncio.create_task(runner.work())
    await until(lambda: waiting(runner))
    sent = await cluster.broken(node)
    passed(await work)
    return (place.starts()[node] - sent[node]) / 1e6


async def by_bare_loop(place: Place, cluster: Cluster, node: str) -> float:
    """Milliseconds to the script, in the shortest loop that does it."""
    token = {"Authorization": f"Bearer {cluster.read_only_token}"}
    async with aiohttp.ClientSession(cluster.url, headers=token, read_bufsize=2**18) as session:
        async with session.get(PATH) as answer:
            version = (await answer.json())["metadata"]["resourceVersion"]
        query = {"watch": "true", "resourceVersion": version}
        async with session.get(PATH, params=query) as response:
            writing = asyncio.create_task(cluster.broken(node))
            rest, found = b"", False
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                found = any(_is_broken(json.loads(line), node) for line in lines)
                if found:
                    break
            process = await asyncio.create_subprocess_exec(
                place.script,
                env=os.environ | {"NVSX_TARGET_NODE": node},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            await process.communicate()
    return (place.starts()[node] - (await writing)[node]) / 1e6


def _is_broken(event: dict, node: str) -> bool:
    obj = event["object"]
    return obj["metadata"]["name"] == node and any(
        c["type"] == "SysLogsXIDError" and c["status"] == "True"
        for c in obj["status"]["conditions"]
    )


async def by_polling(place: Place, cluster: Cluster, node: str) -> float:
    """Milliseconds to the script, by a shell loop over `kubectl get` every 2 s."""
    path = "jsonpath={.status.conditions[?(@.type=='SysLogsXIDError')].status}"
    loop = f'until [ "$(kubectl get node {node} -o "{path}")" = True ]; do sleep 2; done; '
    polling = await asyncio.create_subprocess_exec(
        *("sh", "-c", loop + str(place.script)),
        env=os.environ | {"NVSX_TARGET_NODE": node, "KUBECONFIG": str(cluster.kubeconfig)},
    )
    # At any moment of its two seconds, as a fault comes.
    await asyncio.sleep(1.0 + 2.0 * (hash(node) % 100) / 100)
    sent = await cluster.broken(node)
    await polling.wait()
    return (place.starts()[node] - sent[node]) / 1e6


def row(name: str, waits: list[float], base: float) -> None:
    """One line of the result."""
    p50, p99 = statistics.median(waits), statistics.quantiles(waits, n=100)[98]
    print(f"{name:22} p50 {p50:7.1f} ms ({p50 / base:5.2f} x)   p99 {p99:7.1f} ms   n={len(waits)}")


async def main(samples: int) -> None:
    """Measure all three and print them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = Place(folder)
        with serving(folder / "cluster", 2 * samples + POLLS + 2) as cluster:
            nodes = iter(cluster.nodes)
            ours: list[float] = []
            bare: list[float] = []
            async with place.world(cluster) as world:
                await by_nvsx(place, world, cluster, next(nodes))  # opens the shared watch
                await by_bare_loop(place, cluster, next(nodes))
                for _ in range(samples):
                    ours.append(await by_nvsx(place, world, cluster, next(nodes)))
                    bare.append(await by_bare_loop(place, cluster, next(nodes)))
            base = statistics.median(bare)
            row("bare loop", bare, base)
            row("nvsx run", ours, base)
            ratio = statistics.median(ours) / base
            print(f"goal: p50 within {GOAL:g} x: {'met' if ratio <= GOAL else 'MISSED'}")
            if shutil.which("kubectl"):
                polled = [await by_polling(place, cluster, next(nodes)) for _ in range(POLLS)]
                row("kubectl get every 2 s", polled, base)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
