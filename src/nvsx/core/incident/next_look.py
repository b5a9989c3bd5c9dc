"""When time alone can change something about an incident, so that nobody has to poll.

Every rule that waits compares the age of something nvsx saw with a limit. The next moment at which
a rule can say something new without any news of the cluster is the earliest of all these sums.
It may be one at which nothing happens; it is never too late.
"""

from __future__ import annotations

from collections.abc import Iterator

from nvsx.core.incident import tolerances
from nvsx.core.incident.deciding import WatchMemory
from nvsx.core.incident.incident_state import IncidentState, NodeStory, Stamp
from nvsx.core.incident.sight import Sight
from nvsx.core.incident.tolerances import IncidentLimits

#: A look a moment after a limit finds it passed, whatever rounding does.
JUST_AFTER = 0.01


def find_next_look(
    story: NodeStory, memory: WatchMemory, sight: Sight, limits: IncidentLimits
) -> float | None:
    """The monotonic time of the next look for time's sake; None when only news can matter.

    Marks went and all was well at 12:00:10, quiet is 30 s: 12:00:40. An attempt failed on a poll
    error at 12:04: 12:09. An alert alone since 12:00: 12:02, then 12:00 tomorrow.
    """
    waits = (*_fixed_waits(), limits.quiet, limits.clear, limits.unseen)
    waits = (*waits, limits.replacement, limits.gone)
    ages = [stamp.age(sight) for stamp in _times_of_stamps(story)]
    ages += [sight.mono - since for since in _times_of_memory(memory)]
    coming = [wait - age for age in ages for wait in waits if wait - age > -JUST_AFTER]
    return sight.mono + max(0.0, min(coming)) + JUST_AFTER if coming else None


def _fixed_waits() -> tuple[float, ...]:
    return (
        tolerances.SIDE_EFFECTS_AFTER_READY,
        tolerances.REBOOT_DUE,
        tolerances.PATIENCE,
        tolerances.CLEARED_AFTER_RELEASE,
        tolerances.QUARANTINED_WITHIN,
        tolerances.CONFIRMED_WITHIN,
        tolerances.STILL_FIRING,
    )


def _times_of_memory(memory: WatchMemory) -> Iterator[float]:
    if memory.calm_since is not None:
        yield memory.calm_since
    for _, since in memory.marks.values():
        yield since


def _times_of_stamps(story: NodeStory) -> Iterator[Stamp]:
    if story.open is not None:
        yield from _stamps_of(story.open)
        return
    ended = story.last.ended_seen if story.last is not None else None
    if ended is not None and any(left.kind == "alert" for left in story.left_overs):
        yield ended


def _stamps_of(incident: IncidentState) -> Iterator[Stamp]:
    yield from (incident.began, incident.state_since, incident.node_since)
    for fault in incident.faults:
        yield from (fault.seen, fault.renewed)
    for session in incident.sessions:
        yield session.seen
        if session.ended_seen is not None:
            yield session.ended_seen
    for attempt in incident.attempts:
        known = (attempt.seen, attempt.request_done, attempt.ready, attempt.ended_seen)
        yield from (stamp for stamp in known if stamp is not None)
