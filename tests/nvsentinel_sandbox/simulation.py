"""A simulator that waits for nothing, with all that became visible written down in order.

It is dated by its own story, and the order of events is the story's: a test sees the same
on any machine, however busy.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tests.patience import patience

from nvsentinel_sandbox.chain.simulator import Simulator
from nvsentinel_sandbox.world.timing import FASTEST

STATE = "dgxc.nvidia.com/nvsentinel-state"
DEADLINE = patience(60.0)
BEGAN = 1755706530.12

Object = dict[str, Any]


class Simulation:
    """Follows one node of a simulator."""

    def __init__(
        self,
        variant: str = "",
        *,
        seed: int | None = 7,
        nodes: int = 4,
        dated_from: float | None = BEGAN,
        alias_of: Callable[[str], str] | None = None,
    ) -> None:
        self.simulator = Simulator(
            variant=variant,
            seed=seed,
            nodes=nodes,
            speed=FASTEST,
            dated_from=dated_from,
            alias_of=alias_of,
        )
        self.store = self.simulator.store
        self.name = self.simulator.default_node
        self.changes: list[tuple[str, str, Object]] = []
        self._fresh = asyncio.Event()
        self.store.on_change(self._note)

    def _note(self, kind: str, plural: str, obj: Object) -> None:
        self.changes.append((kind, plural, obj))
        self._fresh.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; it is looked at after every change of the store."""
        async with asyncio.timeout(DEADLINE):
            while not holds():
                self._fresh.clear()
                await self._fresh.wait()

    async def settled(self) -> None:
        """Wait until no task of the simulator is at work."""
        async with asyncio.timeout(DEADLINE):
            while tasks := self.simulator._context._tasks:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert self.simulator._context.failures == []

    # --- what is there now --------------------------------------------------------------

    @property
    def node(self) -> Object:
        return self.store.get("nodes", self.name)

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.node["metadata"]["labels"])

    @property
    def annotations(self) -> dict[str, str]:
        return dict(self.node["metadata"]["annotations"])

    @property
    def state(self) -> str:
        return self.labels.get(STATE, "")

    def condition(self, kind: str) -> Object:
        return condition(self.node, kind)

    def quarantined_for(self) -> list[str]:
        """The checks in the quarantine annotation."""
        return checks(self.node)

    def reboots(self) -> list[Object]:
        return self.store.list("rebootnodes")

    @property
    def recovered(self) -> bool:
        """Un-quarantined, and nothing of it left to be tidied up."""
        return "k8saas.nvidia.com/uncordon-by" in self.labels and not self.annotations

    # --- what was seen ------------------------------------------------------------------

    def nodes_seen(self) -> list[Object]:
        return [
            o for _, p, o in self.changes if p == "nodes" and o["metadata"]["name"] == self.name
        ]

    def states_seen(self) -> list[str]:
        """The values of the state label in order, without repeats; "" is no label."""
        return distinct(o["metadata"]["labels"].get(STATE, "") for o in self.nodes_seen())

    def seen(self, plural: str) -> list[Object]:
        return [o for _, p, o in self.changes if p == plural]

    def first(self, holds: Callable[[Object], bool]) -> Object:
        """The node as it was when something first held."""
        return next(o for o in self.nodes_seen() if holds(o))


def condition(obj: Object, kind: str) -> Object:
    """The condition of this type."""
    found: Object = next(c for c in obj["status"]["conditions"] if c["type"] == kind)
    return found


def checks(node: Object) -> list[str]:
    """The checks in a node's quarantine annotation."""
    found = json.loads(node["metadata"]["annotations"].get("quarantineHealthEvent", "[]"))
    return [e["checkName"] for e in (found if isinstance(found, list) else [found])]


def state_is(value: str) -> Callable[[Object], bool]:
    """Whether a node's state label has this value."""
    return lambda node: node["metadata"]["labels"].get(STATE) == value


def distinct(values: Any) -> list[Any]:
    """The values in order, without immediate repeats."""
    kept: list[Any] = []
    for value in values:
        if not kept or kept[-1] != value:
            kept.append(value)
    return kept
