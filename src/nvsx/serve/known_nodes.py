"""The nodes of the cluster as the intake knows them: which a word names, and how many have GPUs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from nvsx.core.errors import ClusterError, StoreBusy
from nvsx.core.node_directory import NodeDirectory
from nvsx.core.ports import Clock, Observer
from nvsx.core.routing.node_choice import words_of_event
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.watches.snapshot import Node

#: How long what was read of the nodes stays good, in seconds: an address moves to another node
#: only with a new node, whose name is seen at once.
FRESH = 60.0


#: Nodes that are put in order without a thread: 30 ms.
_FEW = 1000


class KnownNodes:
    """The nodes of the cluster, read anew when what is known is old or does not suffice."""

    def __init__(self, observer: Observer, clock: Clock) -> None:
        self._observer = observer
        self._clock = clock
        self._directory = NodeDirectory(())
        self._read_at = float("-inf")
        self._gpu_nodes = 0
        self._counted_at = float("-inf")

    async def directory(self, event: TriggerEvent) -> NodeDirectory:
        """The look-up for the words of this event.

        A node that left stays known until the next stranger: its run will say so. Of a stranger
        the names alone are read again, since most strangers are no node of this cluster.
        """
        words = [said.word for said in words_of_event(event)]
        fresh = self._clock.now() - self._read_at < FRESH
        if not words or words[0] in self._directory.names:
            return self._directory
        if fresh and self._directory.find(words[0]).node:
            return self._directory
        with ask_again_if_unreadable():
            if not fresh or frozenset(await self._observer.node_names()) != self._directory.names:
                nodes = await self._observer.nodes()
                self._directory = await _make_directory(nodes)
                self._read_at = self._clock.now()
        return self._directory

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


async def _make_directory(nodes: Sequence[Node]) -> NodeDirectory:
    """Ten thousand nodes take a good part of a second, in which others are answered."""
    if len(nodes) <= _FEW:
        return NodeDirectory(nodes)
    return await asyncio.to_thread(NodeDirectory, nodes)
