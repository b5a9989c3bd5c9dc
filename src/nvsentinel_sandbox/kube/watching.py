"""The watch cache: recent changes per kind, and what a watcher with a selection sees of them.

The API server's watches read it; the object store feeds it. A watcher holds nothing but a
position: one that reads too slowly falls out of the window and is told Expired, and never
holds up the store or the others. A change becomes bytes once for each representation,
however many watchers there are. Semantics follow the Kubernetes API concepts document
(https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes).
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import msgspec

from nvsentinel_sandbox.kube.formats import Format
from nvsentinel_sandbox.kube.objects import Change, Entry, ObjectStore
from nvsentinel_sandbox.kube.resources import Resource
from nvsentinel_sandbox.kube.selectors import Selection
from nvsentinel_sandbox.kube.statuses import Expired

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def line(kind: str, encoded: bytes) -> bytes:
    """One watch event as it goes over the wire."""
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), encoded)


def bookmark(resource: Resource, version: int, *, initial_events_end: bool = False) -> bytes:
    """A BOOKMARK event: all changes up to `version` have been sent."""
    meta: dict[str, Any] = {"resourceVersion": str(version), "creationTimestamp": None}
    if initial_events_end:
        meta["annotations"] = {INITIAL_EVENTS_END: "true"}
    kind = {"kind": resource.kind, "apiVersion": resource.api_version}
    return line("BOOKMARK", msgspec.json.encode({**kind, "metadata": meta}))


class Record:
    """One change in the window, with the bytes it has become so far."""

    __slots__ = ("_lines", "change")

    def __init__(self, change: Change) -> None:
        self.change = change
        self._lines: dict[tuple[str, str], bytes] = {}

    def line(self, selection: Selection, shape: Format) -> bytes | None:
        """The event a watcher sees, or None when the change is not its business.

        An object that starts to match is ADDED, one that stops matching is DELETED with
        its last matching state.
        """
        change = self.change
        entry, before = change.entry, change.before
        if selection.everything:
            return self._encode_line(change.type, entry, shape)
        now = change.type != "DELETED" and _is_selected(selection, entry)
        was = before is not None and _is_selected(selection, before)
        if now:
            return self._encode_line("MODIFIED" if was else "ADDED", entry, shape)
        if not was or before is None:
            return None
        if change.type == "DELETED":
            return self._encode_line("DELETED", entry, shape)
        return self._encode_line("DELETED", _at_version(before, entry.version), shape)

    def _encode_line(self, kind: str, entry: Entry, shape: Format) -> bytes:
        found = self._lines.get((kind, shape.name))
        if found is None:
            found = self._lines[kind, shape.name] = line(kind, shape.one(entry))
        return found


class Window:
    """The latest changes of one kind, at most `size`, numbered by position."""

    def __init__(self, size: int, floor: int) -> None:
        self._size = size
        self._floor = floor
        self._records: list[Record] = []
        self._versions: list[int] = []
        self._first = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def append(self, change: Change) -> None:
        self._records.append(Record(change))
        self._versions.append(change.entry.version)
        # Trimmed in blocks: a list that loses its head at every append costs its length.
        if len(self._records) >= 2 * self._size:
            self._drop_oldest(len(self._records) - self._size)
        self.wake()

    def wake(self) -> None:
        """Let whoever waits look again."""
        waiting, self._waiting = self._waiting, set()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def expire(self, version: int) -> None:
        """Forget everything: older versions than `version` are too old from now on."""
        self._drop_oldest(len(self._records))
        self._floor = version

    def position(self, version: int) -> int:
        """Where a watch from `version` begins; Expired when that is too long ago."""
        if version < self._oldest_version():
            raise Expired(f"too old resource version: {version} ({self._oldest_version()})")
        return self._first + bisect_right(self._versions, version)

    def since(self, position: int, limit: int) -> list[Record]:
        """At most `limit` records from `position` on; Expired when they are gone."""
        start = position - self._first
        if start < len(self._records) - self._size or start < 0:
            raise Expired(
                f"too old resource version: the watch fell behind ({self._oldest_version()})"
            )
        return self._records[start : start + limit]

    async def wait_for_change(self) -> None:
        """Return after the next change, or when woken."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)

    def _oldest_version(self) -> int:
        spare = len(self._records) - self._size
        return self._versions[spare - 1] if spare > 0 else self._floor

    def _drop_oldest(self, count: int) -> None:
        if count:
            self._floor = self._versions[count - 1]
            del self._records[:count], self._versions[:count]
            self._first += count


class WatchCache:
    """The windows of all kinds. Changes from before its construction are too old.

    `generation` rises when open watches are to end: one that finds another than it began
    with stops.
    """

    def __init__(self, store: ObjectStore, size: int) -> None:
        self._store = store
        self._size = size
        self._began = store.version
        self.generation = 0
        self._windows: dict[str, Window] = {}
        self._leave = store.subscribe(lambda c: self.window(c.entry.resource).append(c))

    def window(self, resource: Resource) -> Window:
        found = self._windows.get(resource.name)
        if found is None:
            found = self._windows[resource.name] = Window(self._size, self._began)
        return found

    def expire(self) -> None:
        """As after a compaction: every earlier resource version becomes too old."""
        self._began = self._store.version
        for window in self._windows.values():
            window.expire(self._store.version)

    def end_watches(self) -> None:
        """End every open watch, cleanly, as a restarting server does."""
        self.generation += 1
        for window in self._windows.values():
            window.wake()

    def close(self) -> None:
        """End the watches and stop listening to the store."""
        self.end_watches()
        self._leave()


def snapshot_lines(entries: list[Entry], shape: Format) -> Iterator[bytes]:
    """The synthetic ADDED events that begin a watch without a resource version."""
    return (line("ADDED", shape.one(entry)) for entry in entries)


def _is_selected(selection: Selection, entry: Entry) -> bool:
    return selection.matches(entry.key[0], entry.labels, entry.fields)


def _at_version(entry: Entry, version: int) -> Entry:
    obj = entry.decode()
    obj["metadata"]["resourceVersion"] = str(version)
    return msgspec.structs.replace(entry, version=version, encoded=msgspec.json.encode(obj))
