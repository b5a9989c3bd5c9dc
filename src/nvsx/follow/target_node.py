"""Which node a run by hand is about: the one that was named, or the one in an incident."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches

from nvsx.core.aliases import alias_of
from nvsx.core.errors import UsageError
from nvsx.core.ports import Fault, Observer

Choose = Callable[[Sequence[Fault]], str | None]


async def resolve_target_node(
    observer: Observer, wanted: str | None, choose: Choose | None = None
) -> str:
    """The node's name; "" when no node is in an incident and the run shall wait for one.

    `wanted` is a name or an alias that fits exactly one node. Without it, exactly one node
    in an incident is taken; of several, `choose` picks one, else it is an error. Raises
    UsageError and ClusterError.
    """
    if wanted:
        return _match_node_name(wanted, await observer.node_names())
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


def _match_node_name(wanted: str, nodes: Sequence[str]) -> str:
    if wanted in nodes:
        return wanted
    fitting = [n for n in nodes if alias_of(n) == wanted.lower()]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UsageError(
            f"the alias {wanted} fits {len(fitting)} nodes: {', '.join(sorted(fitting))}",
            "use the node's name",
        )
    near = get_close_matches(wanted, [*nodes, *(alias_of(n) for n in nodes)], n=1)
    hint = f"did you mean {near[0]}?" if near else "see `kubectl get nodes`"
    raise UsageError(f"the cluster has no node {wanted}", hint)
