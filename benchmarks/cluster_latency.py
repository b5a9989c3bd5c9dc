"""How much later the reflector hears of a change than a bare aiohttp loop would.

    python benchmarks/cluster_latency.py [EVENTS]

Both read the same watch of 12 KB nodes from a server process; the bare loop splits lines
and parses them with json, the reflector decodes, keeps and tells a subscriber. Rounds
alternate, so that a busy machine is busy for both. Then both drink from a full stream.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time

import aiohttp
from cluster_server import serving

from nvsx.cluster import projections
from nvsx.cluster.gateway import DirectGateway
from nvsx.cluster.reflector import Reflector
from nvsx.core.watches.snapshot import Node

NODES = 1000
ROUNDS = 4


async def bare(address: str, count: int) -> list[float]:
    """Milliseconds from write to parsed, in the shortest loop that does it."""
    waits: list[float] = []
    url = f"{address}/api/v1/nodes?watch=true"
    async with aiohttp.ClientSession(read_bufsize=2**18) as session, session.get(url) as response:
        rest = b""
        async for chunk in response.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                sent = json.loads(line)["object"]["metadata"]["annotations"]["sent"]
                waits.append((time.monotonic_ns() - int(sent)) / 1e6)
            if len(waits) >= count:
                break
    return waits[:count]


async def reflected(address: str, count: int) -> list[float]:
    """Milliseconds from write to a subscriber's callback."""
    waits: list[float] = []
    done = asyncio.Event()
    gateway = DirectGateway(address)
    nodes = Reflector(gateway, "/api/v1/nodes", projections.decode_node)

    def heard(_key: str, _old: Node | None, new: Node | None) -> None:
        if new is not None and "sent" in new.annotations:
            waits.append((time.monotonic_ns() - int(new.annotations["sent"])) / 1e6)
            if len(waits) >= count:
                done.set()

    nodes.subscribe(heard)
    await nodes.start()
    await done.wait()
    await nodes.stop()
    await gateway.close()
    return waits[:count]


async def latencies(address: str, count: int) -> None:
    """Alternate, then compare p50 and p99."""
    found: dict[str, list[float]] = {"bare loop": [], "reflector": []}
    for _ in range(ROUNDS):
        found["bare loop"] += await bare(address, count // ROUNDS)
        found["reflector"] += await reflected(address, count // ROUNDS)
    base = statistics.median(found["bare loop"])
    for name, waits in found.items():
        p50, p99 = statistics.median(waits), statistics.quantiles(waits, n=100)[98]
        print(f"{name:10} p50 {p50:6.2f} ms ({p50 / base:.2f} x)  p99 {p99:6.2f} ms")


async def throughput(address: str, count: int) -> None:
    """Events a second from a stream that never pauses."""
    rates = {}
    for name, run in (("bare loop", bare), ("reflector", reflected)):
        took = []
        for _ in range(2):
            began = time.perf_counter()
            await run(address, count)
            took.append(time.perf_counter() - began)
        rates[name] = count / min(took)
        print(f"{name:10} {rates[name]:7.0f} events/s ({rates[name] / rates['bare loop']:.2f} x)")


if __name__ == "__main__":
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with serving(NODES, 100) as paced:
        asyncio.run(latencies(paced, events))
    with serving(NODES, -1) as unpaced:
        asyncio.run(throughput(unpaced, events * 5))
