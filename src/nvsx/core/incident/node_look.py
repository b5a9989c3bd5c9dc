"""A node as it is now, and what a step made of it: what the keeper and the intake hand each other.

The keeper makes a look, whoever decides steps it, inside the transaction that carries the decision
out; the events are appended there, and the keeper goes on from the news.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nvsx.core.incident.deciding import WatchMemory
from nvsx.core.incident.incident_events import IncidentEvent, IncidentOpened
from nvsx.core.incident.incident_state import NodeStory
from nvsx.core.incident.incident_store import StoredStory
from nvsx.core.incident.sight import Sight
from nvsx.core.incident.stepping import step
from nvsx.core.incident.tolerances import IncidentLimits


class NodeLook(msgspec.Struct, frozen=True):
    """A node, ready to be stepped: what is stored, remembered and seen. `cluster` is its UID,
    `sandbox` says that it is a simulated one."""

    cluster: str
    stored: StoredStory
    memory: WatchMemory
    sight: Sight
    limits: IncidentLimits
    sandbox: bool = False


class StoryNews(msgspec.Struct, frozen=True):
    """What a step made of a look: `events` go after `stored`, in one transaction with whatever
    else follows from them, and the keeper goes on with `memory`. `story` is the one after them."""

    cluster: str
    stored: StoredStory
    story: NodeStory
    memory: WatchMemory
    sight: Sight
    events: tuple[IncidentEvent, ...]


def step_look(look: NodeLook, stored: StoredStory) -> StoryNews:
    """What is new with a look; `stored` is the story as the transaction finds it."""
    made = step(stored.story, look.memory, look.sight, look.limits)
    events = mark_sandbox(made.events, sandbox=look.sandbox)
    return StoryNews(look.cluster, stored, made.story, made.memory, look.sight, events)


def mark_sandbox(events: Sequence[IncidentEvent], *, sandbox: bool) -> tuple[IncidentEvent, ...]:
    """An incident of a simulated cluster says so from its first entry on."""
    return tuple(
        msgspec.structs.replace(event, sandbox=sandbox)
        if isinstance(event, IncidentOpened)
        else event
        for event in events
    )
