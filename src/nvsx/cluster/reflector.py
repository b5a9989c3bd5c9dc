"""The reflector: a local copy of one collection, kept current by list and watch.

One reflector serves every run that needs the same objects; waits are indexed by object
key, so a change costs what waits for that object and nothing else. It survives what
API servers and the boxes before them do: expired versions, torn lines, silent peers,
clean ends, restarts. While it cannot read, `error` says why and the last known objects
stay. It never writes, and it decides nothing about what the objects mean.
Rules: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

import msgspec

from nvsx.cluster import api_answers
from nvsx.cluster.framing import Lines
from nvsx.cluster.gateway import Gateway
from nvsx.cluster.listeners import Listeners, Unsubscribe
from nvsx.cluster.pace import REAL, Backoff, Pace
from nvsx.core.errors import (
    ClusterError,
    Forbidden,
    Gone,
    NotFound,
    Unauthorized,
    Unreachable,
)

T = TypeVar("T")
Decoder = Callable[[msgspec.Raw], tuple[str, T]]
Change = Callable[[str, T | None, T | None], None]

#: Objects of one page of a list: kubectl's own, some megabytes of nodes.
PAGE = 500
#: Seconds of silence that mean a dead peer. The API server sends a bookmark every minute.
IDLE = 70.0
#: A right or a resource kind appears when somebody adds it, not within a second.
SLOW_RETRY = 30.0
#: A watch that lasted so long was a good one: the next failure starts with short waits.
_STEADY = 10.0
#: Seconds a watch is asked to last: as client-go does, between five and ten minutes, so that
#: the watches of many clients do not end together.
_WATCH_LEAST, _WATCH_SPREAD = 290, 301
_log = logging.getLogger(__name__)


class _Meta(msgspec.Struct):
    resourceVersion: str | None = None  # noqa: N815
    continue_: str | None = msgspec.field(default=None, name="continue")


class _Versioned(msgspec.Struct):
    metadata: _Meta | None = None


class _Page(msgspec.Struct):
    metadata: _Meta | None = None
    items: list[msgspec.Raw] | None = None


class _WatchEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


_read_pages = msgspec.json.Decoder(_Page)
_events = msgspec.json.Decoder(_WatchEvent)
_versions = msgspec.json.Decoder(_Versioned)
_statuses = msgspec.json.Decoder(api_answers.Status)


class Reflector(Generic[T]):
    """A cache of the objects under `path` that match `params`, as `decode` projects them.

        list   version 100, in pages         everything is told as new
        watch  from 100: ADDED, MODIFIED     each is told once; version 130
        …      the stream breaks             watch from 130, nothing is told again
        …      410 Gone: 130 has expired     list again: only what differs is told
        …      403                           `error` says so, the last known objects stay

    `bookmarks` is false for collections without them (Events): then silence is normal and
    there is no idle limit. `idle` is in seconds, `page` in objects.
    """

    def __init__(
        self,
        gateway: Gateway,
        path: str,
        decode: Decoder[T],
        *,
        params: Mapping[str, str] | None = None,
        bookmarks: bool = True,
        pace: Pace = REAL,
        page: int = PAGE,
        idle: float = IDLE,
    ) -> None:
        self.path = path
        self.synced = False
        self.failure: ClusterError | None = None
        self.last_seen = 0.0
        self._gateway = gateway
        self._decode = decode
        self._params = dict(params or {})
        self._bookmarks = bookmarks
        self._pace = pace
        self._page = page
        self._idle = idle if bookmarks else None
        self._objects: dict[str, T] = {}
        self._version = ""
        self._backoff = Backoff(rng=pace.rng)
        self._refused = False
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._all: Listeners[str, T | None, T | None] = Listeners()
        self._by_key: dict[str, Listeners[str, T | None, T | None]] = {}
        self._status: Listeners[[]] = Listeners()

    # --- for readers --------------------------------------------------------------------

    @property
    def error(self) -> str:
        return "" if self.failure is None else self.failure.message

    def get(self, key: str) -> T | None:
        return self._objects.get(key)

    def items(self) -> Iterable[T]:
        return self._objects.values()

    @property
    def objects(self) -> Mapping[str, T]:
        """Key to object; live, not to be changed."""
        return self._objects

    def __len__(self) -> int:
        return len(self._objects)

    def __bool__(self) -> bool:
        return True  # an empty one is still there

    def subscribe(self, callback: Change[T], key: str | None = None) -> Unsubscribe:
        """Call `callback(key, old, new)` for every change, or only for those of `key`.

        `old` is None for a new object, `new` for a deleted one. Called on the event loop,
        after the cache holds the new state; it must not block.
        """
        if key is None:
            return self._all.add(callback)
        listeners = self._by_key.setdefault(key, Listeners())
        remove = listeners.add(callback)

        def unsubscribe() -> None:
            remove()
            if not listeners and self._by_key.get(key) is listeners:
                del self._by_key[key]

        return unsubscribe

    def on_status(self, callback: Callable[[], None]) -> Unsubscribe:
        """Call `callback()` whenever `synced` or `error` changes."""
        return self._status.add(callback)

    async def settled(self) -> None:
        """Wait until the first list is here, or until it is known why it cannot be read."""
        await self._settled.wait()

    # --- life ---------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to list and watch in the background; returns at once."""
        if self._task is None:
            self._task = asyncio.create_task(self._list_and_watch(), name=f"reflector {self.path}")

    async def stop(self) -> None:
        """End the watch and wait until its task and connection are gone."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _list_and_watch(self) -> None:
        """List when there is no version to go on from, then watch, for ever. Only a clean end
        or a success makes the waits short again; each failure makes the next one longer."""
        while True:
            wait = 0.0
            resumed = bool(self._version)
            try:
                if not resumed:
                    await self._locate_collection()
                    await self._list_all()
                await self._watch_changes()
            except Gone as error:
                _log.debug("%s: %s; listing again", self.path, error.message)
                self._version = ""
                if resumed:
                    # The server is back and answers: waiting on would only miss more. A
                    # version that was listed a moment ago waits like any other failure.
                    continue
            except ClusterError as error:
                if isinstance(error, NotFound):
                    self._version = ""
                wait = self._note_failure(error)
            except Exception as error:  # noqa: BLE001 - reported, and tried again
                # The last resort: an unforeseen answer must not end the watch for good.
                _log.exception("%s: unexpected", self.path)
                wait = self._note_failure(ClusterError(f"{self.path} cannot be read: {error!r}"))
            await self._pace.sleep(self._backoff.next(wait))

    def _note_failure(self, error: ClusterError) -> float:
        """Take note of a failure; returns the least seconds to wait."""
        if isinstance(error, api_answers.Broken):
            return 0.0
        if isinstance(error, Unauthorized) and not self._refused:
            # The next request makes kubectl, or us, fetch credentials once more.
            self._refused = True
            return 0.0
        self._report_failure(error)
        if isinstance(error, api_answers.Throttled):
            return error.retry_after
        return SLOW_RETRY if isinstance(error, Unauthorized | Forbidden | NotFound) else 0.0

    def _note_success(self) -> None:
        self._refused = False
        self.last_seen = self._pace.now()
        if self.failure is not None:
            self._report_failure(None)

    def _report_failure(self, failure: ClusterError | None) -> None:
        before = self.error
        self.failure = failure
        if failure is not None:
            self._settled.set()
        if self.error != before:
            self._status.tell()

    async def _locate_collection(self) -> None:
        """For collections whose path must be found first; called before every list."""

    # --- list ---------------------------------------------------------------------------

    async def _list_all(self) -> None:
        try:
            fresh, version = await self._read_pages(self._page)
        except Gone:
            # The continue token expired between pages: one answer cannot expire.
            fresh, version = await self._read_pages(0)
        before, self._objects, self._version = self._objects, fresh, version
        news = not self.synced or self.failure is not None
        self.synced, self.failure, self._refused = True, None, False
        self.last_seen = self._pace.now()
        for key, new in fresh.items():
            old = before.get(key)
            if old is not new:
                self._tell_change(key, old, new)
        for key, old in before.items():
            if key not in fresh:
                self._tell_change(key, old, None)
        # After the changes: who is told that all is listed has heard of every object.
        self._settled.set()
        if news:
            self._status.tell()

    async def _read_pages(self, limit: int) -> tuple[dict[str, T], str]:
        fresh: dict[str, T] = {}
        token = ""
        while True:
            params = dict(self._params)
            if limit:
                params["limit"] = str(limit)
            if token:
                params["continue"] = token
            body = await self._gateway.get(self.path, params)
            try:
                page = _read_pages.decode(body)
            except msgspec.DecodeError as error:
                raise Unreachable(f"{self.path}: the answer is not a list ({error})") from error
            del body
            for raw in page.items or ():
                self._take_listed(fresh, raw)
            meta = page.metadata or _Meta()
            token = meta.continue_ or ""
            if not token:
                return fresh, meta.resourceVersion or ""
            await asyncio.sleep(0)

    def _take_listed(self, fresh: dict[str, T], raw: msgspec.Raw) -> None:
        decoded = self._decode_object(raw)
        if decoded is None:
            return
        key, new = decoded
        old = self._objects.get(key)
        # An equal object keeps its identity: a relist of ten thousand nodes is not a change.
        fresh[key] = old if old is not None and old == new else new

    def _decode_object(self, raw: msgspec.Raw) -> tuple[str, T] | None:
        try:
            return self._decode(raw)
        except (msgspec.DecodeError, ValueError) as error:
            _log.warning("%s: an object cannot be read and is left out: %s", self.path, error)
            return None

    # --- watch --------------------------------------------------------------------------

    async def _watch_changes(self) -> None:
        params = {
            **self._params,
            "watch": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(_WATCH_LEAST + int(self._pace.rng() * _WATCH_SPREAD)),
        }
        if self._bookmarks:
            params["allowWatchBookmarks"] = "true"
        async with self._gateway.stream(self.path, params, idle=self._idle) as chunks:
            self._note_success()
            began = self.last_seen
            lines = Lines()
            async for chunk in chunks:
                self.last_seen = self._pace.now()
                complete = self._split_lines(lines, chunk)
                for line in complete:
                    self._take_event(line)
                if complete:
                    # A backlog of events must not keep the loop from everybody else.
                    await asyncio.sleep(0)
            if self._pace.now() - began >= _STEADY:
                self._backoff.reset()

    def _split_lines(self, lines: Lines, chunk: bytes) -> list[bytes]:
        try:
            return lines.feed(chunk)
        except ValueError as error:
            raise api_answers.Broken(f"{self.path}: {error}") from error

    def _take_event(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            event = _events.decode(line)
            if event.type == "ERROR":
                raise self._error_of_event(event.object)
            version = _version_of(event.object)
        except msgspec.DecodeError as error:
            raise api_answers.Broken(f"{self.path}: not a watch event: {error}") from error
        if event.type != "BOOKMARK":
            self._apply_event(event)
        if version:
            self._version = version
        self._backoff.reset()

    def _error_of_event(self, raw: msgspec.Raw) -> ClusterError:
        status = _statuses.decode(raw)
        return api_answers.error_of_status(self._gateway.name, self.path, status)

    def _apply_event(self, event: _WatchEvent) -> None:
        decoded = self._decode_object(event.object)
        if decoded is None:
            return
        key, new = decoded
        if event.type == "DELETED":
            old = self._objects.pop(key, None)
            if old is not None:
                self._tell_change(key, old, None)
            return
        old = self._objects.get(key)
        if old is not None and old == new:
            return
        self._objects[key] = new
        self._tell_change(key, old, new)

    def _tell_change(self, key: str, old: T | None, new: T | None) -> None:
        waiting = self._by_key.get(key)
        if waiting is not None:
            waiting.tell(key, old, new)
        self._all.tell(key, old, new)


def _version_of(raw: msgspec.Raw) -> str:
    meta = _versions.decode(raw).metadata
    return (meta.resourceVersion or "") if meta else ""
