"""The node a run by hand is about, by name and by alias."""

from __future__ import annotations

import itertools

import pytest

from nvsx.core.aliases import alias_of
from nvsx.core.errors import UsageError
from nvsx.core.watches.snapshot import Node
from nvsx.follow.target_node import resolve_target_node


class Nodes:
    """An observer of a cluster with these nodes, none in an incident."""

    def __init__(self, *names: str) -> None:
        self._names = names

    async def nodes(self) -> list[Node]:
        return [Node(name) for name in self._names]


def _of_one_alias() -> tuple[str, str]:
    """Two node names that share an alias."""
    seen: dict[str, str] = {}
    for number in itertools.count():
        name = f"gpu-{number}"
        if other := seen.get(alias_of(name)):
            return other, name
        seen[alias_of(name)] = name
    raise AssertionError


async def test_alias_of_one_node_is_that_node() -> None:
    """An alias that fits exactly one node names it, in any case of letters."""
    nodes = Nodes("gpu-0", "gpu-1")
    assert await resolve_target_node(nodes, alias_of("gpu-1").upper()) == "gpu-1"  # type: ignore[arg-type]


async def test_alias_of_two_nodes_is_an_error() -> None:
    """An alias is never an identity: of two nodes it is a usage error that names both."""
    one, two = _of_one_alias()
    with pytest.raises(UsageError) as caught:
        await resolve_target_node(Nodes(one, two), alias_of(one))  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    assert one in caught.value.message
    assert two in caught.value.message
    assert "name" in caught.value.hint


async def test_a_name_wins_over_an_alias() -> None:
    """A node that is called as another's alias is meant by its name."""
    nodes = Nodes("gpu-1", alias_of("gpu-1"))
    assert await resolve_target_node(nodes, alias_of("gpu-1")) == alias_of("gpu-1")  # type: ignore[arg-type]
