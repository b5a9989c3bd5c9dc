"""The answers that do not end by themselves: watches and followed logs.

Called by the API server, one coroutine per open request. A watch reads the watch cache
at its client's pace; what it waits for is a change, its time limit, its next bookmark, or
the server closing. Faults armed for a watch strike here. Framing follows the Kubernetes
API concepts document: one JSON event per line, ERROR carries a Status.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from nvsentinel_sandbox.kube import requests, watching
from nvsentinel_sandbox.kube.ages import parse_time
from nvsentinel_sandbox.kube.formats import Format
from nvsentinel_sandbox.kube.objects import ObjectStore
from nvsentinel_sandbox.kube.reading import asked_version, selection_of
from nvsentinel_sandbox.kube.requests import Target
from nvsentinel_sandbox.kube.resources import Resource
from nvsentinel_sandbox.kube.statuses import ApiError, BadRequest, Expired
from nvsentinel_sandbox.kube.streamfaults import StreamFault

if TYPE_CHECKING:
    from aiohttp import web

_BATCH = 64  # changes written at once: few system calls, and no long pause for other watches
_TORN = b'{"type":"MODIFIED","object":{"kind":"Node","apiVersion":"v1","metada'


class Watch:
    """One watch request, checked when made; `run` serves it on a prepared response."""

    def __init__(
        self,
        store: ObjectStore,
        cache: watching.WatchCache,
        target: Target,
        resource: Resource,
        query: Mapping[str, str],
    ) -> None:
        requests.check_list_options(query, watch=True)
        self._store, self._cache, self._resource = store, cache, resource
        self._window = cache.window(resource)
        self._selection = selection_of(target, resource, query)
        self._version = asked_version(store, query) or 0
        self._timeout = requests.number(query, "timeoutSeconds") or random.uniform(1800, 3600)  # noqa: S311
        self._initial = requests.flag(query, "sendInitialEvents")
        self._bookmarks = requests.flag(query, "allowWatchBookmarks")
        self._position = self._sent = 0

    async def run(
        self,
        response: web.StreamResponse,
        transport: asyncio.Transport | None,
        shape: Format,
        fault: StreamFault | None,
        bookmark_seconds: float,
    ) -> None:
        """Send events until the time is up, the client is too slow or the server closes."""
        # Events are not served from a real server's watch cache, so they get no bookmarks.
        paced = self._bookmarks and self._resource.plural != "events"
        every = bookmark_seconds if paced else math.inf
        sender = _Sender(response, fault)
        try:
            async with asyncio.timeout(self._timeout):
                await self._send_initial_events(sender, shape)
                await self._send_changes(sender, shape, every)
        except TimeoutError:
            if paced and not sender.faulted:
                last = watching.bookmark(self._resource, self._sent)
                await sender.send([last])
        except Expired as error:
            await sender.send([_error_line(error)])
        except _FaultReached:
            await self._break_stream(response, transport, fault)

    async def _send_initial_events(self, sender: _Sender, shape: Format) -> None:
        await sender.send([])
        replay = self._version and not self._initial
        self._position = self._window.position(self._version if replay else self._store.version)
        self._sent = self._version if replay else self._store.version
        if replay:
            return
        entries = self._store.entries(self._resource, self._selection)
        version = self._store.version
        for start in range(0, len(entries), _BATCH):
            await sender.send(list(watching.snapshot_lines(entries[start : start + _BATCH], shape)))
        if self._initial and self._bookmarks:
            end = watching.bookmark(self._resource, version, initial_events_end=True)
            await sender.send([end])

    async def _send_changes(self, sender: _Sender, shape: Format, every: float) -> None:
        loop = asyncio.get_running_loop()
        opened, due = self._cache.generation, loop.time() + every
        while opened == self._cache.generation:
            records = self._window.since(self._position, _BATCH)
            self._position += len(records)
            lines = [line for r in records if (line := r.line(self._selection, shape))]
            if lines:
                await sender.send(lines)
            if records:
                self._sent = records[-1].change.entry.version
                continue
            self._sent = self._store.version
            try:
                async with asyncio.timeout_at(None if math.isinf(due) else due):
                    await self._window.wait_for_change()
            except TimeoutError:
                await sender.send([watching.bookmark(self._resource, self._sent)])
                due = loop.time() + every

    async def _break_stream(
        self,
        response: web.StreamResponse,
        transport: asyncio.Transport | None,
        fault: StreamFault | None,
    ) -> None:
        if fault is None or fault.end == "close":
            return
        if fault.end == "gone":
            await response.write(
                _error_line(Expired("too old resource version: by request of a test"))
            )
        elif fault.end == "silent":
            opened = self._cache.generation
            while opened == self._cache.generation:
                await self._window.wait_for_change()
        else:
            await response.write(_TORN)
            if fault.end == "reset" and transport is not None:
                transport.abort()


class _FaultReached(Exception):
    """The armed fault strikes now."""


class _Sender:
    """Writes event lines, and stops where a fault is due."""

    def __init__(self, response: web.StreamResponse, fault: StreamFault | None) -> None:
        self._response = response
        self._fault = fault
        self.faulted = False
        self._count = 0

    async def send(self, lines: list[bytes]) -> None:
        if self._fault is not None and self._count + len(lines) >= self._fault.after:
            lines = lines[: self._fault.after - self._count]
            self.faulted = True
        self._count += len(lines)
        if lines:
            await self._response.write(b"".join(lines))
        if self.faulted:
            raise _FaultReached


def _error_line(error: ApiError) -> bytes:
    return watching.line("ERROR", msgspec.json.encode(error.status()))


class PodLog:
    """One request for a container's log, checked when made."""

    def __init__(self, store: ObjectStore, target: Target, query: Mapping[str, str]) -> None:
        pod = store.get("pods", target.name, namespace=target.namespace)
        self._store = store
        self._place = (target.namespace, target.name, _container_of(pod, query))
        self._timestamps = requests.flag(query, "timestamps")
        self._limit = requests.number(query, "limitBytes")
        self._tail = requests.number(query, "tailLines")
        self._since: float | None = None
        if seconds := requests.number(query, "sinceSeconds"):
            self._since = parse_time(store.timestamp()) - seconds
        elif since := query.get("sinceTime"):
            self._since = parse_time(since)
        self.follows = requests.flag(query, "follow")
        if requests.flag(query, "previous"):
            container = self._place[2]
            raise BadRequest(
                f'previous terminated container "{container}" in pod "{target.name}" not found'
            )

    def text(self) -> bytes:
        """What is there now."""
        lines = self._store.logs.read(*self._place, tail=self._tail, since=self._since)
        found = b"".join(line.render(timestamps=self._timestamps) for line in lines)
        return found if self._limit is None else found[: self._limit]

    async def run(self, response: web.StreamResponse) -> None:
        """Send what is there, then every line as it comes, until the pod goes."""
        after = self._store.logs.last(*self._place)
        if begun := self.text():
            await response.write(begun)
        async for lines in self._store.logs.follow(*self._place, after=after):
            fresh = (line.render(timestamps=self._timestamps) for line in lines)
            await response.write(b"".join(fresh))


def _container_of(pod: Mapping[str, Any], query: Mapping[str, str]) -> str:
    spec = pod.get("spec") or {}
    names = [c["name"] for c in spec.get("containers") or ()]
    every = names + [c["name"] for c in spec.get("initContainers") or ()]
    wanted, name = query.get("container", ""), pod["metadata"]["name"]
    if not wanted and len(names) == 1:
        return str(names[0])
    if not wanted:
        raise BadRequest(
            f"a container name must be specified for pod {name}, choose one of: [{' '.join(every)}]"
        )
    if wanted not in every:
        raise BadRequest(f"container {wanted} is not valid for pod {name}")
    return wanted
