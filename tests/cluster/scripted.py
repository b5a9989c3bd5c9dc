"""A tiny API server of nodes for these tests: every fault a stream can have, on demand.

It shares no code with the sandbox, so that one contract suite on both is two opinions.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from typing import Any

from aiohttp import web

from nvsx.cluster.pace import Pace

Body = dict[str, Any]


class Sleeps:
    """A sleep that writes down what was asked and hardly sleeps."""

    def __init__(self, most: float = 0.003) -> None:
        self.asked: list[float] = []
        self.most = most

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await asyncio.sleep(min(seconds, self.most))

    def pace(self) -> Pace:
        return Pace(time.time, self)


def node(name: str, **labels: str) -> Body:
    """A node as the API gives it, with hardly anything in it."""
    return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "labels": labels}}


class TinyServer:
    """Serves /api/v1/nodes: paged lists, watches from a version, and armed faults."""

    def __init__(self) -> None:
        self.objects: dict[str, Body] = {}
        self.version = 1
        self.floor = 1
        self.history: list[tuple[int, bytes]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.refusals: deque[tuple[str, int, Body, dict[str, str]]] = deque()
        self.ends: deque[tuple[str, int]] = deque()
        self.once: deque[bytes] = deque()
        self.expired_continues = 0
        self.chunk = 0
        self.open = 0
        self.port = 0
        self._news = asyncio.Event()
        self._generation = 0
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._runner = web.ServerRunner(
            web.Server(self._handle, handler_cancellation=True), shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.end_watches()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # --- the world ------------------------------------------------------------------------

    def put(self, body: Body) -> None:
        name = body["metadata"]["name"]
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.objects[name] = body
        self.send({"type": kind, "object": body})

    def drop(self, name: str) -> None:
        self.version += 1
        gone = self.objects.pop(name)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self.send({"type": "DELETED", "object": gone})

    def bookmark(self) -> None:
        self.version += 1
        meta = {"resourceVersion": str(self.version)}
        self.send({"type": "BOOKMARK", "object": {"kind": "Node", "metadata": meta}})

    def send(self, event: Body) -> None:
        line = json.dumps(event, ensure_ascii=False).encode() + b"\n"
        self.history.append((self.version, line))
        self._wake()

    def say(self, line: bytes) -> None:
        """Send one line to one open watch, and to no later one."""
        self.once.append(line + b"\n")
        self._wake()

    def expire(self) -> None:
        """Every version so far is too old."""
        self.floor = self.version + 1
        self.version += 1

    def end_watches(self) -> None:
        self._generation += 1
        self._wake()

    def refuse(self, verb: str, code: int, times: int = 1, **headers: str) -> None:
        reason = {401: "Unauthorized", 403: "Forbidden", 410: "Expired"}.get(code, "")
        body = {"kind": "Status", "code": code, "reason": reason, "message": f"refused: {code}"}
        self.refusals.extend([(verb, code, body, headers)] * times)

    def watches(self) -> list[dict[str, str]]:
        return [q for _, q in self.requests if "watch" in q]

    def lists(self) -> list[dict[str, str]]:
        return [q for _, q in self.requests if "watch" not in q]

    # --- serving --------------------------------------------------------------------------

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        query = dict(request.query)
        self.requests.append((request.method + " " + request.path, query))
        verb = "watch" if "watch" in query else "list"
        if self.refusals and self.refusals[0][0] == verb:
            _, code, body, headers = self.refusals.popleft()
            names = {k.replace("_", "-"): v for k, v in headers.items()}
            return web.json_response(body, status=code, headers=names)
        return await self._watch(request, query) if verb == "watch" else self._list(query)

    def _list(self, query: dict[str, str]) -> web.Response:
        start = int(query.get("continue", "0"))
        if start and self.expired_continues:
            self.expired_continues -= 1
            return web.json_response(
                {"kind": "Status", "code": 410, "reason": "Expired"}, status=410
            )
        names = sorted(self.objects)
        end = start + int(query.get("limit", "0")) if query.get("limit") else len(names)
        meta = {"resourceVersion": str(self.version)}
        if end < len(names):
            meta["continue"] = str(end)
        items = [self.objects[n] for n in names[start:end]]
        return web.json_response({"kind": "NodeList", "metadata": meta, "items": items})

    async def _watch(self, request: web.BaseRequest, query: dict[str, str]) -> web.StreamResponse:
        version = int(query.get("resourceVersion") or 0)
        if version < self.floor:
            status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            text = json.dumps({"type": "ERROR", "object": status}) + "\n"
            return web.Response(text=text, content_type="application/json")
        end, after = self.ends.popleft() if self.ends else ("", -1)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        generation, at, sent = self._generation, 0, 0
        self.open += 1
        try:
            while generation == self._generation:
                for number, line in self.history[at:]:
                    at += 1
                    if number > version and (not end or sent < after):
                        await self._write(response, line)
                        sent += 1
                while self.once:
                    await self._write(response, self.once.popleft())
                if end and sent >= after:
                    await self._break(request, response, end)
                    return response
                await self._news.wait()
        finally:
            self.open -= 1
        return response

    async def _write(self, response: web.StreamResponse, line: bytes) -> None:
        size = self.chunk or len(line)
        for start in range(0, len(line), size):
            await response.write(line[start : start + size])
            await asyncio.sleep(0)

    async def _break(
        self, request: web.BaseRequest, response: web.StreamResponse, end: str
    ) -> None:
        if end == "gone":
            status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            await response.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
        elif end == "silent":
            generation = self._generation
            while generation == self._generation:
                await self._news.wait()
        elif end in ("tear", "reset"):
            await response.write(b'{"type":"ADDED","object":{"kind":"Node","metadata":{"na')
            if end == "reset" and request.transport is not None:
                request.transport.abort()
