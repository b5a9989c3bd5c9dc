"""The one door: what a sight adds to the story of a node.

`step` is level-triggered and deterministic. It is asked with each change of the node and with each
tick of a clock, whichever comes first; a sight that adds nothing gives no events.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from nvsx.core.incident import attempt_news, beginnings, fault_news, session_news
from nvsx.core.incident.deciding import Deciding, WatchMemory
from nvsx.core.incident.endings import say_end, tell_end, what_keeps_open
from nvsx.core.incident.incident_events import IncidentEvent, RunJoined
from nvsx.core.incident.incident_state import NodeStory
from nvsx.core.incident.sight import Sight
from nvsx.core.incident.state_news import tell_state
from nvsx.core.incident.tolerances import IncidentLimits

_DEFAULTS = IncidentLimits()


class Step(NamedTuple):
    """Append `events`, then go on with `story` and `memory`. An `opened` among them begins the
    journal of another incident; what stands before it belongs to the one before."""

    story: NodeStory
    memory: WatchMemory
    events: tuple[IncidentEvent, ...]


def step(
    story: NodeStory, memory: WatchMemory, sight: Sight, limits: IncidentLimits = _DEFAULTS
) -> Step:
    """What is new with `sight`."""
    d = Deciding(story, memory, sight, limits)
    beginnings.tell_left_overs(d)
    # What the known repairs have done decides whether a new quarantine is a new incident.
    attempt_news.tell_known_attempts(d)
    session_news.tell_session_end(d)
    session_news.tell_unseen_session(d)
    beginnings.tell_beginning(d)
    return _tell_the_rest(d)


def join_by_hand(
    story: NodeStory,
    memory: WatchMemory,
    sight: Sight,
    run: RunJoined,
    limits: IncidentLimits = _DEFAULTS,
) -> Step:
    """A person starts a run on the node: it joins the open incident, or begins one."""
    d = Deciding(story, memory, sight, limits)
    beginnings.tell_left_overs(d)
    beginnings.open_by_hand(d, run)
    return _tell_the_rest(d)


def close_by_hand(
    story: NodeStory,
    memory: WatchMemory,
    sight: Sight,
    by: str,
    text: str = "",
    limits: IncidentLimits = _DEFAULTS,
) -> Step:
    """A person closes the incident. What is still true is left over, and opens none by itself."""
    d = Deciding(story, memory, sight, limits)
    if d.incident is not None:
        say_end(d, "closed", by=by, text=text or f"closed by {by}")
    return Step(d.story, replace(memory, previous=sight, calm_since=None), tuple(d.said))


def _tell_the_rest(d: Deciding) -> Step:
    fault_news.tell_faults(d, passing=False)
    session_news.tell_session(d)
    attempt_news.tell_new_attempts(d, only_known_faults=True)
    fault_news.tell_faults(d, passing=True)
    attempt_news.tell_new_attempts(d)
    fault_news.tell_cleared_faults(d)
    fault_news.tell_alerts(d)
    session_news.tell_node(d)
    session_news.tell_holds(d)
    calm_since = _calm_since(d)
    fault_news.tell_unconfirmed(d)
    tell_state(d, calm=calm_since is not None)
    marks = fault_news.remember_marks(d)
    tell_end(d, calm_since)
    fault_news.tell_still_firing(d)
    memory = replace(
        d.memory,
        previous=d.sight,
        calm_since=calm_since if d.incident is not None else None,
        marks=marks,
    )
    return Step(d.story, memory, tuple(d.said))


def _calm_since(d: Deciding) -> float | None:
    """Since when, on the monotonic clock, nothing keeps the incident open."""
    if d.incident is None or what_keeps_open(d, d.incident):
        return None
    known = d.memory.calm_since
    opened_now = d.incident.began.mono == d.sight.mono
    return d.sight.mono if known is None or opened_now else known
