"""When an incident is over, what keeps it open until then, and as what it ends.

Nothing here looks at runs, except that one started by hand is waited for: whatever became of
them, the incident ends when the node is back.
"""

from __future__ import annotations

from collections.abc import Iterator

from nvsx.core.incident.attempt_news import (
    reboot_is_due,
    tell_unfinished_attempts,
    was_to_be_replaced,
)
from nvsx.core.incident.cause_view import tell_clock
from nvsx.core.incident.deciding import Deciding, name_of
from nvsx.core.incident.incident_events import IncidentEnded, IncidentEnding, LeftOver
from nvsx.core.incident.incident_state import IncidentState
from nvsx.core.incident.session_news import is_another_node
from nvsx.core.incident.sight import EVENTS, NODE, REPAIRS, SeenFault, SeenHold


def what_keeps_open(d: Deciding, incident: IncidentState) -> list[str]:
    """What has to come yet before it is over, in words for people; [] when nothing has.

    The node's marks went at 12:00:10, its condition turned at 12:00:11, and it is Ready: [] from
    12:00:11 on, and over at 12:00:41 if that stays so; the time that counts is 12:00:10.
    """
    sight = d.sight
    if not sight.was_read(NODE):
        return ["the node can be read"]
    if sight.node_is_gone:
        return ["a new Node of the name"]
    found = list(_of_the_node(d, incident))
    return [*found, *_of_a_warning(incident, found)]


def _of_the_node(d: Deciding, incident: IncidentState) -> Iterator[str]:
    sight = d.sight
    held = d.session_marked or (incident.open_session is not None and d.session_goes_on)
    if held:
        yield "NVSentinel releases the node"
    for seen in d.standing_faults():
        if "condition" in seen.by and seen.fatal:
            yield f"{name_of(seen)} clears"
    if sight.ready is not True:
        yield "the node is Ready"
    for hold in incident.holds:  # those of a source that cannot be read just now too
        if hold.keeps_open and not (held and hold.kind == "quarantine"):
            yield f"{hold.kind} {hold.name}".strip() + " is over"
    for attempt in incident.attempts:
        if reboot_is_due(attempt, sight):
            yield f"{attempt.title} takes effect"
        elif attempt.ended is None and not attempt.booted and not sight.was_read(REPAIRS):
            yield f"{attempt.title} can be read"
    if is_replaced(incident, d) and not sight.schedulable:
        yield "the new node is schedulable"


def _of_a_warning(incident: IncidentState, found: list[str]) -> Iterator[str]:
    """Where NVSentinel never held the node, faults and alerts themselves say when it is over.

    XID 79 in a condition, not quarantined yet: that it clears is awaited already, once is enough.
    """
    if incident.was_quarantined:
        return
    for fault in incident.faults:
        if f"{fault.name} clears" in found:
            continue
        if fault.cleared is None and not (fault.latest.by == ("event",) and incident.sessions):
            yield f"{fault.short} is quiet"
    if not incident.faults and not incident.sessions:
        for alert in incident.alerts:
            if not alert.resolved:
                yield f"{alert.attached.source or 'its sender'} takes {alert.attached.key} back"
    if incident.opened.by == "by hand" and incident.working_runs:
        yield "the run ends"


def is_replaced(incident: IncidentState, d: Deciding) -> bool:
    opened = incident.opened.node_uid
    other = opened not in ("", d.sight.node_uid)
    return d.sight.node_is_there and (other or is_another_node(incident, d))


def tell_end(d: Deciding, calm_since: float | None) -> None:
    """Ends the incident when it is time; `calm_since` is since when nothing has kept it open."""
    incident = d.incident
    if incident is None:
        return
    if d.sight.node_is_gone:
        if incident.node_since.age(d.sight) >= _missed_for(d, incident):
            say_end(d, "removed")
        return
    only_alerts = bool(incident.alerts) and not (incident.faults or incident.sessions)
    unanswered = only_alerts and not all(a.resolved for a in incident.alerts)
    if unanswered and incident.began.age(d.sight) >= d.limits.unseen:
        say_end(d, "unconfirmed")
        return
    if calm_since is None or d.sight.mono - calm_since < _calm_needed(d, incident, only_alerts):
        return
    if is_replaced(incident, d):
        say_end(d, "replaced")
    elif incident.was_quarantined:
        say_end(d, "recovered")
    else:
        say_end(d, "cleared")


def _missed_for(d: Deciding, incident: IncidentState) -> float:
    """After a TerminateNode the next Node comes soon or under another name."""
    replaced = was_to_be_replaced(incident, d.sight)
    return d.limits.replacement if replaced else d.limits.gone


def _calm_needed(d: Deciding, incident: IncidentState, only_alerts: bool) -> float:
    """Events have been quiet for their ten minutes already when their faults are cleared, and a
    sender that took its alert back has said so itself."""
    if incident.was_quarantined:
        return d.limits.quiet
    only_events = bool(incident.faults) and all(f.latest.by == ("event",) for f in incident.faults)
    return 0.0 if (only_alerts or only_events) and not incident.sessions else d.limits.clear


def say_end(
    d: Deciding, how: IncidentEnding, *, by: str = "", text: str = "", at_release: bool = False
) -> None:
    """Ends the open incident. `at_release`: a new quarantine is there already, and what is seen
    now is its, and not left over."""
    incident = d.incident
    if incident is None:
        return
    tell_unfinished_attempts(d)
    still = () if at_release else tuple(_hold_text(d, incident, h) for h in d.sight.holds)
    d.say(
        IncidentEnded(
            how=how,
            at=_time_that_counts(d, incident, how),
            text=text or _TEXTS.get(how, "") + _tell_cordon_left(still),
            by=by,
            still=still,
            left_overs=_left_overs(d, incident, at_release=at_release),
        )
    )


_TEXTS = {
    "recovered": "the node is back",
    "cleared": "quiet, and NVSentinel never took the node out of service",
    "replaced": "a new node of the same name is in service",
    "removed": "removed, not repaired",
    "unconfirmed": "no source of the cluster confirmed it, and its sender never took it back",
}


def _time_that_counts(d: Deciding, incident: IncidentState, how: IncidentEnding) -> float | None:
    session = incident.session
    if how == "recovered" and session is not None and session.ended is not None:
        if session.ended.how == "released":
            return session.ended.at
        return max(
            (f.cleared.at for f in incident.faults if f.cleared and f.cleared.at), default=None
        )
    if how == "replaced":
        return incident.node.ready_at
    if how == "removed":
        return incident.node_since.at
    if how == "cleared":
        cleared = [f.cleared.at for f in incident.faults if f.cleared and f.cleared.at]
        return max(cleared, default=d.sight.at)
    return d.sight.at


_CORDON = "cordon by "


def _hold_text(d: Deciding, incident: IncidentState, hold: SeenHold) -> str:
    """`cordon by somebody with kubectl since 12:00:05 UTC`, with the time that holds were told."""
    known = (h for h in incident.holds if (h.kind, h.name) == (hold.kind, hold.name))
    at = next((h.since for h in known if h.since), None)
    since = f" since {tell_clock(at, d.sight.at)}" if at and hold.kind == "cordon" else ""
    return f"{hold.kind} by {hold.who}{since}" + (f" ({hold.detail})" if hold.detail else "")


def _tell_cordon_left(still: tuple[str, ...]) -> str:
    """Somebody's own cordon does not keep an incident open, and is told at its end."""
    left = next((text for text in still if text.startswith(_CORDON)), "")
    return f", still cordoned by {left.removeprefix(_CORDON)}" if left else ""


def _is_recent(d: Deciding, incident: IncidentState, seen: SeenFault) -> bool:
    """Whether an Event is the incident's, or new enough to be somebody's; the rest is history."""
    if any(f.name == name_of(seen) for f in incident.faults):
        return True
    since = d.since_event(seen)
    return since is not None and since < d.limits.clear


def _left_overs(d: Deciding, incident: IncidentState, *, at_release: bool) -> tuple[LeftOver, ...]:
    found = dict.fromkeys(d.story.left_overs)
    taken_back = {(a.key, a.started) for a in d.sight.alerts if not a.firing}
    for alert in incident.alerts:
        name, started = alert.attached.key, alert.attached.started
        if not alert.resolved and (name, started) not in taken_back:
            found[LeftOver(kind="alert", name=name, started=started)] = None
    for seen in d.sight.faults:
        # Of what shows beside a new quarantine only an Event is the old incident's.
        if (at_release and not seen.only_event) or d.fault_is_left(seen):
            continue
        if seen.only_event and not _is_recent(d, incident, seen):
            continue
        mark = seen.mark if seen.only_event else ""
        started = d.sight.at if seen.only_event and not mark else 0.0
        left = LeftOver(kind="fault", name=name_of(seen), ids=seen.ids, mark=mark, started=started)
        found[left] = None
    session = d.sight.session
    if d.session_marked and not at_release:
        mark = session.cordon_mark
        found[LeftOver(kind="session", ids=session.ids, mark=mark)] = None
    if not d.sight.was_read(EVENTS) and incident.faults:
        # Events that cannot be read now are still there.
        for fault in incident.faults:
            known = d.memory.marks.get(fault.name)
            if fault.latest.by == ("event",) and known is not None:
                found[LeftOver(kind="fault", name=fault.name, mark=known[0])] = None
    return tuple(found)
