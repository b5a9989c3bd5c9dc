"""Recordings of NVSentinel's own modules, replayed into sights through the projections.

A recording is what a watch saw of one node: first what was there, then each change with its time.
Each change gives one sight; after the last one time goes on, with everything as it was.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from nvsx.cluster import projections
from nvsx.core.incident.deciding import WatchMemory
from nvsx.core.incident.incident_events import IncidentEvent, IncidentOpened
from nvsx.core.incident.incident_state import IncidentState, NodeStory
from nvsx.core.incident.sight import Sight
from nvsx.core.incident.stepping import step
from nvsx.core.incident.tolerances import IncidentLimits
from nvsx.core.watches.snapshot import Event, Node, Resource, Snapshot
from nvsx.nvsentinel import names
from nvsx.nvsentinel.sights import sight_of

T = TypeVar("T")
FOLDER = Path(__file__).with_name("recordings")
NAMES = sorted(p.name.removesuffix(".jsonl.gz") for p in FOLDER.glob("*.jsonl.gz"))
_KINDS = {k.plural: k for k in names.MAINTENANCE_KINDS}


class Recording(NamedTuple):
    """`began` is Unix time; the sights' monotonic clock is seconds since."""

    began: float
    sights: tuple[Sight, ...]


def load(name: str, lags: dict[str, float] | None = None) -> Recording:
    """The recording whose name begins so; `lags` are seconds by which a resource comes late."""
    found = next(p for p in FOLDER.glob("*.jsonl.gz") if p.name.startswith(name))
    lines = [json.loads(line) for line in gzip.decompress(found.read_bytes()).splitlines()]
    head, changes = lines[0], lines[1:]
    for change in changes:
        late = (lags or {}).get(change["resource"], 0.0)
        change["at"] += late if change["at"] > 0 else 0.0
    changes.sort(key=lambda change: change["at"])
    return Recording(head["began"], tuple(_sights(head["node"], head["began"], changes)))


def _sights(node_name: str, began: float, changes: Iterable[dict[str, Any]]) -> Iterator[Sight]:
    nodes: dict[str, Node] = {}
    events: dict[str, Event] = {}
    resources: dict[str, Resource] = {}
    waiting = None
    for change in changes:
        if waiting is not None and change["at"] > 0:
            yield waiting
        _apply(change, nodes, events, resources)
        snapshot = Snapshot(
            at=began + change["at"],
            node_name=node_name,
            node=nodes.get(node_name),
            events=tuple(events.values()),
            resources=tuple(resources.values()),
        )
        waiting = sight_of(snapshot, change["at"], cluster_uid="cluster-1")
    if waiting is not None:
        yield waiting


def _apply(
    change: dict[str, Any],
    nodes: dict[str, Node],
    events: dict[str, Event],
    resources: dict[str, Resource],
) -> None:
    raw = msgspec.json.encode(change["object"])
    plural = change["resource"]
    gone = change["type"] == "DELETED"
    if plural == "nodes":
        name, node = projections.decode_node(raw)
        _put(nodes, name, None if gone else node)
    elif plural == "events":
        name, event = projections.decode_event(raw)
        _put(events, name, None if gone else event)
    else:
        kind = _KINDS[plural]
        decode = projections.make_resource_decoder(kind.group, kind.version, plural, kind.kind)
        name, resource = decode(raw)
        _put(resources, f"{plural}/{name}", None if gone else resource)


def _put(kept: dict[str, T], key: str, found: T | None) -> None:
    if found is None:
        kept.pop(key, None)
    else:
        kept[key] = found


def going_on(last: Sight, seconds: float, every: float = 5.0) -> Iterator[Sight]:
    """Sights in which nothing changes but the time."""
    passed = every
    while passed <= seconds:
        yield msgspec.structs.replace(last, at=last.at + passed, mono=last.mono + passed)
        passed += every


class Followed(NamedTuple):
    """What came of sights: the incidents in order, each as it is at the end, and all events with
    the seconds at which each was told."""

    incidents: tuple[IncidentState, ...]
    events: tuple[tuple[float, IncidentEvent], ...]
    story: NodeStory
    memory: WatchMemory

    def kinds(self) -> list[str]:
        return [str(event.__struct_config__.tag) for _, event in self.events]


def follow(
    sights: Iterable[Sight],
    limits: IncidentLimits | None = None,
    story: NodeStory | None = None,
    memory: WatchMemory | None = None,
) -> Followed:
    """Decide on each sight, one after the other."""
    told: list[tuple[float, IncidentEvent]] = []
    incidents: list[IncidentState] = []
    story, memory = story or NodeStory("node"), memory or WatchMemory()
    for sight in sights:
        story, memory, events = step(story, memory, sight, limits or IncidentLimits())
        told += [(sight.mono, event) for event in events]
        opened = sum(isinstance(event, IncidentOpened) for event in events)
        if (
            opened
            and story.last is not None
            and story.last.opened.key not in [i.opened.key for i in incidents]
        ):
            incidents.append(story.last)
        if story.last is not None:
            incidents = [
                story.last if i.opened.key == story.last.opened.key else i for i in incidents
            ]
    last = [i for i in (story.last, story.open) if i is not None]
    known = {i.opened.key for i in incidents}
    incidents += [i for i in last if i.opened.key not in known]
    return Followed(tuple(incidents), tuple(told), story, memory)
