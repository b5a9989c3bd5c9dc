"""The cluster's nodes as intake knows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from nvsx.core.errors import ClusterError, StoreBusy
from nvsx.core.ports import Clock, Observer

#: How long the number of GPU nodes that was counted stays good, in seconds.
FRESH = 60.0


class KnownNodes:
    """The nodes of the cluster, read anew when what is known is old or does not suffice."""

    def __init__(self, observer: Observer, clock: Clock) -> None:
        self._observer = observer
        self._clock = clock
        self._names: frozenset[str] = frozenset()
        self._gpu_nodes = 0
        self._counted_at = float("-inf")

    async def has(self, node: str) -> bool:
        if node not in self._names:
            # A node that left stays known until the next stranger: its run will say so.
            with ask_again_if_unreadable():
                self._names = frozenset(await self._observer.node_names())
        return node in self._names

    async def in_incident(self) -> set[str]:
        with ask_again_if_unreadable():
            return {fault.node for fault in await self._observer.nodes_in_incident()}

    async def count_gpu_nodes(self) -> int:
        """0 while they cannot be read: then only the set number makes a storm."""
        if self._clock.now() - self._counted_at >= FRESH:
            with suppress(ClusterError):
                self._gpu_nodes = await self._observer.count_gpu_nodes()
                self._counted_at = self._clock.now()
        return self._gpu_nodes


@contextmanager
def ask_again_if_unreadable() -> Iterator[None]:
    """A cluster that cannot be read is a reason to be asked again, not to lose an event."""
    try:
        yield
    except ClusterError as error:
        raise StoreBusy("the cluster cannot be read now", error.message) from error
