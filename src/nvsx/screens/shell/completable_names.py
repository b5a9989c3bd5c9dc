"""The names that can be completed, found where they live: runbooks, nodes, runs, faults.

Files and the journal are read when asked and kept for a moment. Nodes take a connection to
the cluster, so a thread fetches them, at the first need and when they are old. Who asks first
waits for them a moment (the shell asks in a thread: typing goes on); after that what is known
is offered. A name that cannot be found is no error here: the command
itself will say what is wrong.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

from nvsentinel_sandbox.world.faults import FAULTS
from nvsentinel_sandbox.world.variants import VARIANTS
from nvsx.core.aliases import alias_of
from nvsx.core.errors import NvsxError
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.core.senders.registry import SENDERS
from nvsx.follow import situation
from nvsx.project import loader
from nvsx.project.home import Home
from nvsx.store.glimpse import newest_incidents

Found = Sequence[tuple[str, str]]

KEPT = 3.0
NODES_KEPT = 60.0
"""Seconds for which what was found is offered again."""
FIRST_WAIT = 2.0
"""Seconds the first Tab waits for the cluster's answer."""


class Background:
    """Nodes, fetched in a thread of its own. `close` ends a fetch that is under way."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._names: tuple[str, ...] = ()
        self._at = float("-inf")
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] = lambda: None

    def nodes(self) -> tuple[str, ...]:
        """What is known; begins a fetch when that is nothing, or old."""
        fetching = self._thread is not None and self._thread.is_alive()
        if not fetching and time.monotonic() - self._at > NODES_KEPT:
            self._at = time.monotonic()
            self._thread = threading.Thread(
                target=self._fetch_nodes, name="nvsx-nodes", daemon=True
            )
            self._thread.start()
        if not self._names and self._thread is not None:
            self._thread.join(FIRST_WAIT)
        return self._names

    def _fetch_nodes(self) -> None:
        try:
            asyncio.run(self._ask_cluster())
        except (NvsxError, OSError, TimeoutError, asyncio.CancelledError):
            pass  # there is no cluster just now; completion is no place to say so

    async def _ask_cluster(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(situation.node_names(self._home))
        self._stop = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            self._names = tuple(await task)
        finally:
            self._stop = lambda: None

    def close(self, timeout: float) -> None:
        self._stop()
        if self._thread is not None:
            self._thread.join(timeout)


class KnownNames:
    """`names(kind)`: what `completion.complete` asks for."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._background = Background(home)
        self._kept: dict[str, tuple[float, Found]] = {}
        self._find: dict[str, Callable[[], Found]] = {
            "runbook": self._find_runbooks,
            "run": self._find_runs,
            "fault": _list_faults,
            "variant": _list_variants,
            "sender": _list_senders,
        }

    def __call__(self, kind: str) -> Found:
        if kind == "node":
            return self._known_nodes()
        if kind == "incident":
            return [*self._find_incidents(), *self._known_nodes(), *self("run")]
        find = self._find.get(kind)
        if find is None:
            return ()
        at, found = self._kept.get(kind, (float("-inf"), ()))
        if time.monotonic() - at > KEPT:
            try:
                found = find()
            except (NvsxError, OSError):
                found = ()
            self._kept[kind] = (time.monotonic(), found)
        return found

    def close(self, timeout: float = 2.0) -> None:
        self._background.close(timeout)

    def _known_nodes(self) -> Found:
        nodes = self._background.nodes()
        aliased = [(name, alias_of(name)) for name in nodes]
        return [*aliased, *((alias, name) for name, alias in aliased)]

    def _find_runbooks(self) -> Found:
        found = [
            e for e in loader.discover(self._home.project.root) if isinstance(e, LoadedRunbook)
        ]
        names = [(e.name, e.runbook.metadata.title) for e in found]
        return [*names, *((e.nickname, e.name) for e in found)]

    def _find_runs(self) -> Found:
        return [
            (row.run_id, f"{row.runbook} on {row.node or 'no node yet'}, {row.status}")
            for row in situation.recent_runs(self._home)
        ]

    def _find_incidents(self) -> Found:
        return [
            (found.incident, f"on {found.node}, {'open' if found.is_open else 'over'}")
            for found in newest_incidents(self._home.state_dir)
        ]


def fixed_names() -> dict[str, Found]:
    """The names that are the same everywhere, by kind."""
    return {"fault": _list_faults(), "variant": _list_variants(), "sender": _list_senders()}


def _list_faults() -> Found:
    return [(fault.name, fault.title) for fault in FAULTS.values()]


def _list_variants() -> Found:
    return [(variant.name, variant.title) for variant in VARIANTS.values()]


def _list_senders() -> Found:
    found = SENDERS.values()
    return [(sender.name, "a run by " + sender.starts.replace("`", "")) for sender in found]
