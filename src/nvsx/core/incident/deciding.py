"""What is being decided about one node: what is known, what is seen now, what has been said.

`step` in `stepping` makes one `Deciding` for each sight and hands it from rule to rule; each
rule says events, and the next one finds them in `incident` already.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nvsx.core.incident.incident_events import IncidentEvent, LeftOver
from nvsx.core.incident.incident_keys import fault_name
from nvsx.core.incident.incident_state import IncidentState, NodeStory, Stamp
from nvsx.core.incident.sight import EVENTS, NODE, SeenAlert, SeenFault, SeenSession, Sight
from nvsx.core.incident.tolerances import IncidentLimits


class WatchMemory(msgspec.Struct, frozen=True):
    """What a living process remembers of a node and does not store: after a restart it is empty,
    and every wait begins anew.

    `marks` has for each fault that Events report its last mark and when that changed.
    `adopting`: nvsx knew nothing of this cluster when the process began (an empty store).
    """

    previous: Sight | None = None
    calm_since: float | None = None
    marks: Mapping[str, tuple[str, float]] = {}
    adopting: bool = False


class Deciding:
    """One sight at work. `incident` is the node's open incident, if there is one by now."""

    def __init__(
        self, story: NodeStory, memory: WatchMemory, sight: Sight, limits: IncidentLimits
    ) -> None:
        self.story = story
        self.memory = memory
        self.sight = sight
        self.limits = limits
        self.said: list[IncidentEvent] = []

    def say(self, event: IncidentEvent) -> None:
        self.said.append(event)
        self.story = self.story.after(event, Stamp(self.sight.at, self.sight.mono))

    @property
    def incident(self) -> IncidentState | None:
        return self.story.open

    @property
    def previous(self) -> Sight | None:
        return self.memory.previous

    @property
    def session_marked(self) -> bool:
        """NVSentinel holds the node, for something that no earlier incident left over."""
        session = self.sight.session
        return self.sight.node_is_there and session.marked and not self.session_is_left(session)

    @property
    def session_goes_on(self) -> bool:
        session = self.sight.session
        return self.session_marked or (self.sight.node_is_there and session.labelled)

    @property
    def fresh_ids(self) -> tuple[str, ...]:
        """What the session lists and no earlier incident has left over: somebody closed one, the
        node stayed quarantined, and another event joined."""
        old = {i for left in self.story.left_overs if left.kind == "session" for i in left.ids}
        return tuple(i for i in self.sight.session.ids if i not in old)

    def session_is_left(self, session: SeenSession) -> bool:
        for left in self.story.left_overs:
            if left.kind != "session":
                continue
            if (
                set(session.ids) <= set(left.ids)
                if session.ids
                else left.mark == session.cordon_mark
            ):
                return True
        return False

    def fault_is_left(self, seen: SeenFault) -> bool:
        """Whether an earlier incident left this over. Somebody closed an incident while XID 79
        was there: the condition alone opens nothing; an event with an id of its own does."""
        return any(left.kind == "fault" and is_still(left, seen) for left in self.story.left_overs)

    def alert_is_left(self, alert: SeenAlert) -> bool:
        return any(
            left.kind == "alert" and (left.name, left.started) == (alert.key, alert.started)
            for left in self.story.left_overs
        )

    def standing_faults(self) -> list[SeenFault]:
        """What conditions and annotation show now, without what was left over."""
        if not self.sight.node_is_there:
            return []
        return [f for f in self.sight.faults if not f.only_event and not self.fault_is_left(f)]

    def since_event(self, seen: SeenFault) -> float | None:
        """Seconds since an Event was sent last, as nvsx saw it; on the first look the sender's
        time decides, and only that an old one is old. None for one that is history."""
        known = self.memory.marks.get(name_of(seen))
        if known is not None and known[0] == seen.mark:
            return self.sight.mono - known[1]
        if self.previous is not None and self.previous.was_read(EVENTS):
            return 0.0
        age = max(0.0, self.sight.at - seen.generated_at)
        return age if age < self.limits.clear else None

    def last_look_without(self, seen: SeenFault) -> float | None:
        """When nvsx looked last and did not see it; None where it was not looking."""
        before = self.previous
        source = EVENTS if seen.only_event else NODE
        if before is None or not before.was_read(source) or not before.exists:
            return None
        if any(is_same_fault(seen, other) for other in before.faults):
            return None
        return before.at


def name_of(seen: SeenFault) -> str:
    return fault_name(seen.check, seen.error_codes, seen.entities)


def is_still(left: LeftOver, seen: SeenFault) -> bool:
    """Whether `seen` is what was left over, and nothing new of the same name."""
    if left.name != name_of(seen):
        return False
    if seen.only_event:
        # Who closed the incident without a look at the cluster knew no mark, but the time.
        return left.mark == seen.mark if left.mark else seen.generated_at <= left.started
    return set(seen.ids) <= set(left.ids)


def is_same_fault(one: SeenFault, other: SeenFault) -> bool:
    """Whether two reports are about the same thing, though one was cut short."""
    if one.check != other.check:
        return False
    if set(one.ids) & set(other.ids):
        return True
    cut = one.truncated or other.truncated
    return _values_agree(one.error_codes, other.error_codes, cut) and _values_agree(
        one.entities, other.entities, cut
    )


def _values_agree(one: tuple[object, ...], other: tuple[object, ...], cut: bool) -> bool:
    if not cut:
        return set(one) == set(other)
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def hold_between(theirs: float, earliest: float | None, latest: float) -> float | None:
    """A time that somebody else wrote, held between two looks of nvsx; None for "not known".

    nvsx looked at 12:00:00 and did not see it, at 12:00:15 it did. A sender that says 12:00:03
    is believed; one whose clock is 2 h behind says 10:00:03, and it was 12:00:00 at the earliest;
    one that is 2 h ahead says 14:00:03, and it was 12:00:15 at the latest. Where nvsx was not
    looking before, 10:00:03 is believed, and 14:00:03 is known to be wrong and nothing else.
    """
    if earliest is None:
        return theirs if 0 < theirs <= latest else None
    return min(max(theirs, earliest), latest) if theirs else latest
