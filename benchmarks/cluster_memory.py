"""How much memory a fleet's nodes take in the reflector, and how long the first list takes.

    python benchmarks/cluster_memory.py [NODES]

The server runs in a process of its own. "Empty" is this process with everything imported,
before its first request; the goal is 10,000 nodes of 12 KB in under 80 MB above it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time

import psutil
from cluster_server import serving

from nvsx.cluster import projections
from nvsx.cluster.gateway import DirectGateway
from nvsx.cluster.reflector import Reflector

GOAL_MB = 80


def rss() -> float:
    """Resident memory in MB."""
    gc.collect()
    return psutil.Process().memory_info().rss / 1e6


async def read(gateway: DirectGateway) -> int:
    """Bytes of all pages, read and thrown away."""
    size, token = 0, ""
    while True:
        body = await gateway.get("/api/v1/nodes", {"limit": "500", "continue": token or "0"})
        size += len(body)
        head = body[: body.index(b',"items"')] + b"}"
        token = json.loads(head)["metadata"].get("continue", "")
        if not token:
            return size


async def main(url: str, count: int) -> None:
    """List into the cache, then read the same bytes bare, and print both."""
    gateway = DirectGateway(url)
    await gateway.start()
    empty = rss()
    nodes = Reflector(gateway, "/api/v1/nodes", projections.decode_node)
    began = time.perf_counter()
    await nodes.start()
    await nodes.settled()
    took = time.perf_counter() - began
    held = rss()
    if len(nodes) != count:
        sys.exit(f"{len(nodes)} of {count} nodes: {nodes.error}")
    began = time.perf_counter()
    size = await read(gateway)
    bare = time.perf_counter() - began
    print(f"{count} nodes of {size / count / 1000:.1f} KB ({size / 1e6:.0f} MB of JSON)")
    print(f"empty process  {empty:7.1f} MB")
    print(f"with the nodes {held:7.1f} MB: {held - empty:.1f} MB above it (goal < {GOAL_MB})")
    print(f"first list into the cache     {took:6.2f} s ({took / bare:.1f} x)")
    print(f"the same pages, not decoded   {bare:6.2f} s")
    await nodes.stop()
    await gateway.close()


if __name__ == "__main__":
    fleet = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with serving(fleet, 0) as address:
        asyncio.run(main(address, fleet))
