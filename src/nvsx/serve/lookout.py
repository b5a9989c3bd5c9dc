"""The lookout: looks in the cluster again for open incidents without a run, for a reason.

A message left faults out; a run ended on a node that may have another incident by now; a
throttle kept a fault waiting. Nobody sends such a fault a second time. What it finds is
offered as late by the watch source, and the intake decides.
"""

from __future__ import annotations

import asyncio
import logging

from nvsx.core.errors import ClusterError
from nvsx.core.ports import Clock
from nvsx.serve.watch_source import WatchSource

log = logging.getLogger(__name__)

PAUSE = 5.0
"""Seconds until a cluster that could not be listed is tried again."""


class Lookout:
    """Give it reasons at any time; `keep` looks, and never returns."""

    def __init__(self, watch: WatchSource, clock: Clock) -> None:
        self._watch = watch
        self._clock = clock
        self._everywhere = False
        self._nodes: set[str] = set()
        self._waiting: set[str] = set()
        self._reason = asyncio.Event()

    def everywhere(self) -> None:
        """Faults were cut off a message: look at all nodes. Hundred reasons are one look."""
        self._everywhere = True
        self._reason.set()

    def at(self, node: str) -> None:
        """A run on `node` has ended: what joined it there may have been another incident."""
        if node:
            self._nodes.add(node)
            self._reason.set()

    def later(self, node: str) -> None:
        """A fault on `node` was throttled: look when `again` is called."""
        if node:
            self._waiting.add(node)

    def again(self) -> None:
        """Some time has passed: what was throttled may have its turn."""
        if self._waiting:
            self._nodes |= self._waiting
            self._waiting.clear()
            self._reason.set()

    async def keep(self) -> None:
        """Look whenever there is a reason, until the cluster could be read."""
        while True:
            await self._reason.wait()
            self._reason.clear()
            everywhere, nodes = self._everywhere, self._nodes
            self._everywhere, self._nodes = False, set()
            try:
                await self._look(nodes, everywhere=everywhere)
            except ClusterError as error:
                log.warning("open incidents cannot be looked for now: %s", error)
                self._everywhere = self._everywhere or everywhere
                self._nodes |= nodes
                self._reason.set()
                await self._clock.sleep(PAUSE)
            except Exception:
                log.exception("looking for open incidents failed; it goes on")

    async def _look(self, nodes: set[str], *, everywhere: bool) -> None:
        if everywhere:
            began = await self._watch.adopt(all_ages=True)
            log.info("faults were cut off, so the cluster was listed; runs that began: %d", began)
        if nodes and await self._watch.adopt(nodes=nodes):
            log.info("an incident that had to wait for its turn has its run now")
