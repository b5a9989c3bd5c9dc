"""Objects by node: one small watch a node while few nodes matter, one shared watch beyond.

The door keeps one of these for pods and one for Events. A watch with a field selector
costs the API server little and nvsx nothing for the other ten thousand nodes; past about
fifty of them one watch of everything is cheaper. Readers hold a view and notice nothing
of the switch, in either direction: what feeds a view ends only when the next has listed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from nvsx.cluster.listeners import Listeners, Unsubscribe
from nvsx.cluster.reflector import Change, Reflector
from nvsx.core.errors import ClusterError

T = TypeVar("T")
#: Nodes with a watch of their own. Each costs the API server and nvsx a connection;
#: past this one watch of everything costs less.
LIMIT = 50


class _Entry(Generic[T]):
    """What is known of one node, whichever reflector feeds it now."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.views = 0
        self.own: Reflector[T] | None = None
        self.source: Reflector[T] | None = None
        self.objects: dict[str, T] = {}
        self.synced = False
        self.failure: ClusterError | None = None
        self.settled = asyncio.Event()
        self.changes: Listeners[str, T | None, T | None] = Listeners()
        self.status: Listeners[[]] = Listeners()

    def apply(self, source: Reflector[T], key: str, new: T | None) -> None:
        """Take one change from `source`, unless another reflector feeds this entry."""
        if self.source is not source:
            return
        old = self.objects.get(key)
        if old == new:
            return
        if new is None:
            del self.objects[key]
        else:
            self.objects[key] = new
        self.changes.tell(key, old, new)

    def feed(self, source: Reflector[T], objects: Mapping[str, T]) -> None:
        """Let `source` feed this entry from now on; `objects` is all it knows of the node."""
        self.source = source
        for key in [k for k in self.objects if k not in objects]:
            self.apply(source, key, None)
        for key, new in tuple(objects.items()):
            self.apply(source, key, new)
        self.tell(source)

    def tell(self, source: Reflector[T]) -> None:
        """Pass on the status of `source`."""
        before = (self.synced, self.failure)
        if self.source is source:
            self.synced = self.synced or source.synced
        self.failure = source.failure
        if self.synced or self.failure:
            self.settled.set()
        if before != (self.synced, self.failure):
            self.status.tell()


class NodeView(Generic[T]):
    """The objects of one node, read like a reflector. Close it when nobody reads it any more."""

    def __init__(self, owner: ByNode[T], entry: _Entry[T]) -> None:
        self._owner = owner
        self._entry = entry
        self._subscriptions: list[Unsubscribe] = []
        self._closed = False

    @property
    def synced(self) -> bool:
        return self._entry.synced

    @property
    def error(self) -> str:
        return "" if self._entry.failure is None else self._entry.failure.message

    @property
    def failure(self) -> ClusterError | None:
        return self._entry.failure

    def items(self) -> Iterable[T]:
        return self._entry.objects.values()

    def __len__(self) -> int:
        return len(self._entry.objects)

    def __bool__(self) -> bool:
        return True  # an empty one is still there

    def subscribe(self, callback: Change[T]) -> Unsubscribe:
        """Call `callback(key, old, new)` for every change of this node's objects."""
        return self._keep_subscription(self._entry.changes.add(callback))

    def on_status(self, callback: Callable[[], None]) -> Unsubscribe:
        """Call `callback()` whenever `synced` or `error` changes."""
        return self._keep_subscription(self._entry.status.add(callback))

    async def settled(self) -> None:
        """Wait until it is synced or known to be unreadable."""
        await self._entry.settled.wait()

    async def close(self) -> None:
        """Stop listening; the last view of a node ends the node's watch."""
        if self._closed:
            return
        self._closed = True
        for unsubscribe in self._subscriptions:
            unsubscribe()
        await self._owner.release(self._entry)

    def _keep_subscription(self, unsubscribe: Unsubscribe) -> Unsubscribe:
        self._subscriptions.append(unsubscribe)
        return unsubscribe


class ByNode(Generic[T]):
    """Hands out views by node and decides which watches feed them.

        node 1 … 50   a watch each
        node 51       the shared watch begins; when it has listed, it feeds all 51 views and
                      the 50 watches end
        25 are left   a watch each begins again; when the last of them has listed, the
                      shared one ends

    `one(node)` and `everything()` make the reflectors, `node_of` places an object.
    """

    def __init__(
        self,
        one: Callable[[str], Reflector[T]],
        everything: Callable[[], Reflector[T]],
        node_of: Callable[[T], str],
        *,
        limit: int = LIMIT,
    ) -> None:
        self._one = one
        self._everything = everything
        self._node_of = node_of
        self._limit = limit
        self._entries: dict[str, _Entry[T]] = {}
        self._shared: Reflector[T] | None = None
        self._index: dict[str, dict[str, T]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def reflectors(self) -> list[Reflector[T]]:
        """All that run now."""
        own = [e.own for e in self._entries.values() if e.own is not None]
        return own + ([self._shared] if self._shared is not None else [])

    async def view(self, node: str) -> NodeView[T]:
        entry = self._entries.get(node)
        if entry is None:
            entry = self._entries[node] = _Entry(node)
            if len(self._entries) > self._limit:
                await self._follow_by_shared_watch(entry)
            else:
                await self._follow_one_node(entry)
        entry.views += 1
        return NodeView(self, entry)

    async def release(self, entry: _Entry[T]) -> None:
        entry.views -= 1
        if entry.views > 0 or self._entries.get(entry.node) is not entry:
            return
        del self._entries[entry.node]
        entry.source = None
        self._end_watch(entry.own)
        entry.own = None
        # Half the limit: a storm that hovers at the limit must not switch back and forth.
        if self._shared is not None and len(self._entries) <= self._limit // 2:
            await self._return_to_own_watches()
        await self._wait_until_ended()

    async def close(self) -> None:
        for entry in self._entries.values():
            self._end_watch(entry.own)
            entry.own = entry.source = None
        self._entries.clear()
        self._end_shared()
        await self._wait_until_ended()

    # --- one watch a node -----------------------------------------------------------------

    async def _follow_one_node(self, entry: _Entry[T]) -> None:
        """Start the node's own watch; it feeds the entry at once, or when it has listed."""
        own = entry.own = self._one(entry.node)
        if entry.source is None:
            entry.source = own

        def status() -> None:
            if entry.source is own:
                entry.tell(own)
            elif own.synced and entry.own is own:
                entry.feed(own, own.objects)
                self._end_unused_shared()

        own.subscribe(lambda key, _old, new: entry.apply(own, key, new))
        own.on_status(status)
        await own.start()

    # --- one watch for all ----------------------------------------------------------------

    async def _follow_by_shared_watch(self, entry: _Entry[T]) -> None:
        if self._shared is None:
            shared = self._shared = self._everything()
            shared.subscribe(lambda key, old, new: self._place_object(shared, key, old, new))
            shared.on_status(lambda: self._pass_on_shared_status(shared))
            await shared.start()
        elif self._shared.synced:
            entry.feed(self._shared, self._index.get(entry.node, {}))
        elif self._shared.failure is not None:
            entry.tell(self._shared)

    def _place_object(self, shared: Reflector[T], key: str, old: T | None, new: T | None) -> None:
        before = "" if old is None else self._node_of(old)
        after = "" if new is None else self._node_of(new)
        if before and before != after:
            self._index.get(before, {}).pop(key, None)
            if before in self._entries:
                self._entries[before].apply(shared, key, None)
            if not self._index.get(before):
                self._index.pop(before, None)
        if new is not None and after:
            self._index.setdefault(after, {})[key] = new
            if after in self._entries:
                self._entries[after].apply(shared, key, new)

    def _pass_on_shared_status(self, shared: Reflector[T]) -> None:
        for entry in tuple(self._entries.values()):
            if entry.source is shared or (entry.source is None and not shared.synced):
                entry.tell(shared)
            elif shared.synced and len(self._entries) > self._limit // 2:
                entry.feed(shared, self._index.get(entry.node, {}))
                self._end_watch(entry.own)
                entry.own = None

    async def _return_to_own_watches(self) -> None:
        for entry in tuple(self._entries.values()):
            if entry.own is None:
                await self._follow_one_node(entry)
        self._end_unused_shared()

    def _end_unused_shared(self) -> None:
        if all(e.source is not self._shared for e in self._entries.values()):
            self._end_shared()

    def _end_shared(self) -> None:
        self._end_watch(self._shared)
        self._shared = None
        self._index.clear()

    # --- ending ---------------------------------------------------------------------------

    def _end_watch(self, reflector: Reflector[Any] | None) -> None:
        if reflector is not None:
            # Often called from inside that reflector's own task, which cannot await itself.
            task = asyncio.create_task(reflector.stop())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _wait_until_ended(self) -> None:
        await asyncio.gather(*self._ending)
