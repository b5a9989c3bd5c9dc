"""Which node a run by hand is about: the one that was named, or the one in an incident."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nvsx.core.aliases import alias_of
from nvsx.core.errors import UsageError
from nvsx.core.node_directory import NodeDirectory
from nvsx.core.ports import Fault, Observer

Choose = Callable[[Sequence[Fault]], str | None]


async def resolve_target_node(
    observer: Observer, wanted: str | None, choose: Choose | None = None
) -> str:
    """The node's name; "" when no node is in an incident and the run shall wait for one.

    `wanted` is anything that names exactly one node. Without it, exactly one node in an
    incident is taken; of several, `choose` picks one, else it is an error. Raises
    UsageError and ClusterError.
    """
    if wanted:
        return find_named_node(wanted, NodeDirectory(await observer.nodes()))
    faults = list(await observer.nodes_in_incident())
    if not faults:
        return ""
    if len(faults) == 1:
        return faults[0].node
    chosen = choose(faults) if choose is not None else None
    if chosen is None:
        nodes = ", ".join(f"{f.node} ({alias_of(f.node)})" for f in faults)
        raise UsageError(
            f"{len(faults)} nodes are in an incident: {nodes}", "name one with --target-node"
        )
    return chosen


def find_named_node(wanted: str, directory: NodeDirectory) -> str:
    """The one node that `wanted` names. Raises UsageError with the nearest, or with all it fits."""
    found = directory.find(wanted)
    if found.node:
        return found.node
    if found.several:
        raise UsageError(found.reason, "use the node's name")
    hint = f"did you mean {found.nearest}?" if found.nearest else "see `kubectl get nodes`"
    raise UsageError(f"the cluster has no node {wanted}", hint)
