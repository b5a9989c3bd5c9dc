"""The registry of watch kinds: what a stage can wait for.

A kind is one class with its fields, `evaluate` and `describe`, in a module beside this one;
`Watch` lists the classes, and everything else follows from it: loader, JSON Schema, the
reference in runbooks/README.md, hints for a misspelt kind, what a run follows.
"""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from nvsx.core import durations
from nvsx.core.fields import Model
from nvsx.core.watches.event_watches import NodeEventWatch, PodEventWatch
from nvsx.core.watches.health_event_watch import HealthEventWatch
from nvsx.core.watches.log_watch import LogWatch
from nvsx.core.watches.node_watches import (
    NodeAnnotationWatch,
    NodeConditionWatch,
    NodeFieldWatch,
    NodeLabelWatch,
    NvsentinelStateWatch,
    TaintWatch,
)
from nvsx.core.watches.pod_watch import PodWatch
from nvsx.core.watches.resource_watch import CrdWatch
from nvsx.core.watches.watch_base import WatchBase

Watch = Annotated[
    NodeConditionWatch
    | NodeFieldWatch
    | TaintWatch
    | NodeLabelWatch
    | NodeAnnotationWatch
    | NvsentinelStateWatch
    | PodWatch
    | PodEventWatch
    | NodeEventWatch
    | CrdWatch
    | HealthEventWatch
    | LogWatch,
    Field(discriminator="kind"),
]

#: The classes by every name of their kind, old names too.
KINDS: dict[str, type[WatchBase]] = {
    name: cls for cls in get_args(get_args(Watch)[0]) for name in cls.names()
}


class AnyOf(Model):
    """A group that holds when one of its watches holds."""

    any_of: tuple[Watch, ...] = Field(min_length=1, description="One of these must hold.")


def describe(item: Watch | AnyOf) -> str:
    """One plain line for a plan: `node condition SysLogsXIDError is True with error code 79`."""
    if isinstance(item, AnyOf):
        return "any of: " + "; or ".join(describe(w) for w in item.any_of)
    text = item.describe()
    if item.absent:
        text = f"not: {text}"
    if item.for_:
        text += f", for {durations.format(item.for_)}"
    if item.since:
        text += ", at any time" if item.since == "ever" else f", since the {item.since} began"
    return text
