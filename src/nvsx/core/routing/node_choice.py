"""Which node an event is about: the first of its sender's words that names one node.

words of an alert                             the cluster has      it is about
label node = gpu-node-a1                      gpu-node-a1          gpu-node-a1
label Hostname = dcgm-x7k2p, rule: 10.0.0.3   gpu-node-a3, that IP gpu-node-a3
label node = gpu-b7                           neither              none: the reason names it
"""

from __future__ import annotations

import msgspec

from nvsx.core.node_directory import NodeDirectory, NodeLookup
from nvsx.core.routing.trigger_event import NodeWord, TriggerEvent


class NodeChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The `node`, or in `reason` why there is none; `steps` tell what each word came to."""

    node: str = ""
    steps: tuple[str, ...] = ()
    reason: str = ""


def words_of_event(event: TriggerEvent) -> tuple[NodeWord, ...]:
    """The words for its node; a source without any of its own names the node itself."""
    if event.node_words or not event.facts.node:
        return event.node_words
    return (NodeWord("the node it names", event.facts.node),)


def choose_node(event: TriggerEvent, directory: NodeDirectory) -> NodeChoice:
    """The node an event is about.

    NVSentinel names nodes as Kubernetes does: of its own events only the exact name counts, so
    that a stored event of another cluster never falls on a node that resembles it.
    """
    steps: list[str] = []
    missed: list[NodeLookup] = []
    for said in words_of_event(event):
        found = directory.find(said.word)
        if event.event is not None and found.node != said.word:
            found = NodeLookup(reason=f"this cluster has no node {said.word}")
        if found.node:
            if found.node != said.word:
                steps.append(f"node: {said.word} in {said.place} is {found.node}, by {found.how}")
            return NodeChoice(node=found.node, steps=tuple(steps))
        steps.append(f"node: {said.place}: {found.reason}")
        missed.append(found)
    if not missed:
        return NodeChoice()
    told = next((m for m in missed if m.several), missed[0])
    where = f"; {event.node_rule} in nvsx.yaml says where else it is" if event.node_rule else ""
    return NodeChoice(steps=tuple(steps), reason=told.reason + where)
