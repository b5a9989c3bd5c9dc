"""How a node is followed: what is read of it, also while it is gone, and the wait for news."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from nvsx.core.errors import ClusterError
from nvsx.core.incident.session import Session
from nvsx.core.ports import Clock, NodeFeed, Observer
from nvsx.core.watches.snapshot import NOT_YET, Needs, ResourceSource, Snapshot
from nvsx.nvsentinel.sights import VALIDATION_PLURAL
from nvsx.serve.node_desk import NodeDesk

#: A feed that has just begun has its first lists within it.
READ_SOON = 2.0
#: A node that is gone is asked for again so often.
ASK_AGAIN = 30.0
_SOURCES = frozenset({"node", "events", "resources"})
NEEDS = Needs(
    resources=(ResourceSource(VALIDATION_PLURAL, "nvsentinel.nvidia.com", "v1alpha1"),),
    budgets=True,
)


class GoneNode:
    """The feed of a node that is gone, until one of its name is there again."""

    def __init__(
        self, observer: Observer, clock: Clock, node: str, session: Session | None
    ) -> None:
        self._observer, self._clock, self._node = observer, clock, node
        self._session = session
        self._feed: NodeFeed | None = None
        self._current = Snapshot(at=clock.now(), node_name=node)

    @property
    def current(self) -> Snapshot:
        return self._feed.current if self._feed is not None else self._current

    async def changed(self, seen: Snapshot) -> Snapshot:
        while self._feed is None:
            await self._clock.sleep(ASK_AGAIN)
            with suppress(ClusterError):
                self._feed = await self._observer.follow(self._node, NEEDS, self._session)
        return await self._feed.changed(seen) if self._feed.current is seen else self.current

    async def close(self) -> None:
        if self._feed is not None:
            await self._feed.close()


async def until_read(feed: NodeFeed) -> None:
    """Wait, not for long, until a feed that has just begun has read what incidents are made of: a
    first look with half of it is true, and knows the order of nothing."""
    with suppress(TimeoutError):
        async with asyncio.timeout(READ_SOON):
            while any(
                why == NOT_YET and source.split("/")[0] in _SOURCES
                for source, why in feed.current.unread.items()
            ):
                await feed.changed(feed.current)


async def wait_for_news(desk: NodeDesk, wake: float | None) -> None:
    """Until the node changes, somebody nudges, or it is time."""
    waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(desk.nudge.wait())]
    if desk.feed is not None and desk.looked_at is not None:
        waits.append(asyncio.ensure_future(desk.feed.changed(desk.looked_at)))
    try:
        async with asyncio.timeout_at(wake):
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        pass
    finally:
        for one in waits:
            one.cancel()


def read_monotonic() -> float:
    return asyncio.get_running_loop().time()
