"""A bare node server for the cluster benchmarks: pre-encoded bytes, nothing in the way.

    python benchmarks/cluster_server.py NODES RATE

Serves NODES nodes of about 12 KB at /api/v1/nodes, in pages, and a watch that sends RATE
events a second, each stamped with the time it was written (CLOCK_MONOTONIC nanoseconds in
annotation `sent`). RATE 0 sends nothing; -1 as fast as it can. Prints its port.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

SIZE = 12_000


def node(number: int) -> dict[str, object]:
    """A GPU node as fleets have them: ~60 labels, 20 conditions, images and managedFields."""
    name = f"gpu-node-{number:05d}"
    now = f"2026-01-01T00:{number % 60:02d}:00Z"
    labels = {f"nvidia.com/gpu.feature-{i}": f"value-{i}" for i in range(55)}
    labels |= {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"z{number % 3}"}
    conditions = [
        {
            "type": f"GpuWatch{i}",
            "status": "False",
            "reason": f"GpuWatch{i}IsHealthy",
            "message": "No Health Failures",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        for i in range(20)
    ]
    body: dict[str, object] = {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "uid": f"00000000-0000-4000-8000-{number:012d}",
            "resourceVersion": str(number + 1),
            "creationTimestamp": now,
            "labels": labels,
            "annotations": {f"example.com/annotation-{i}": f"{i}" for i in range(10)},
        },
        "spec": {"providerID": f"aws:///z/{name}"},
        "status": {"conditions": conditions, "nodeInfo": {"bootID": f"boot-{number}"}},
    }
    missing = SIZE - len(json.dumps(body))
    body["metadata"]["managedFields"] = [{"fieldsV1": "x" * max(0, missing - 40)}]  # type: ignore[index]
    return body


class Server:
    def __init__(self, count: int, rate: float) -> None:
        self.items = [json.dumps(node(i)).encode() for i in range(count)]
        self.rate = rate

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if "watch" in request.query:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            try:
                await self.watch(request, response)
            except ConnectionError:
                pass  # the reader has what it wanted
            return response
        start = int(request.query.get("continue", "0"))
        end = min(len(self.items), start + int(request.query.get("limit") or len(self.items)))
        meta = {"resourceVersion": str(len(self.items) + 1)}
        if end < len(self.items):
            meta["continue"] = str(end)
        head = b'{"kind":"NodeList","metadata":' + json.dumps(meta).encode() + b',"items":['
        body = head + b",".join(self.items[start:end]) + b"]}"
        return web.Response(body=body, content_type="application/json")

    async def watch(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        response.enable_chunked_encoding()
        await response.prepare(request)
        number = 0
        while True:
            if self.rate >= 0:
                await asyncio.sleep(1 / self.rate if self.rate else 3600)
            version = len(self.items) + 2 + number
            item = self.items[number % len(self.items)]
            stamp = f'"annotations": {{"sent": "{time.monotonic_ns()}", '.encode()
            item = item.replace(b'"annotations": {', stamp, 1)
            item = item.replace(b'"resourceVersion": "', b'"resourceVersion": "%d' % version, 1)
            await response.write(b'{"type":"MODIFIED","object":' + item + b"}\n")
            number += 1


@contextmanager
def serving(count: int, rate: float) -> Iterator[str]:
    """A server in a process of its own; gives its URL and ends it."""
    command = [sys.executable, __file__, str(count), str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline()) if process.stdout else 0
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


async def main() -> None:
    """Serve until killed."""
    server = Server(int(sys.argv[1]), float(sys.argv[2]))
    runner = web.ServerRunner(web.Server(server.handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
