"""When an incident begins, when a new quarantine is a new incident, and what is left over.

By order of sight and by ids, never by the time a sender wrote. 12:00:17.39 NVSentinel releases
the node, 12:00:17.54 the next XID 79 quarantines it: two incidents, whatever time the second
fault bears; the first ends with its release. A quarantine after somebody *uncordoned* the node is
none: that incident was not over.
"""

from __future__ import annotations

from nvsx.core.incident.attempt_news import reboot_is_due, repair_is_ours, request_id
from nvsx.core.incident.deciding import Deciding, is_still
from nvsx.core.incident.endings import say_end
from nvsx.core.incident.fault_news import alert_is_news, counts_now
from nvsx.core.incident.incident_events import (
    IncidentOpened,
    LeftOver,
    LeftOverGone,
    OpenedBy,
    RunJoined,
)
from nvsx.core.incident.incident_keys import key_of_event, key_of_fault, key_of_seen
from nvsx.core.incident.incident_state import IncidentState
from nvsx.core.incident.sight import EVENTS, SeenAlert, SeenFault
from nvsx.core.incident.tolerances import AGAIN_WITHIN


def tell_beginning(d: Deciding) -> None:
    """Opens an incident when one begins: a quarantine, a fatal condition's new fragment or a new
    event id, an Event or an alert that some runbook wants."""
    if d.incident is not None:
        if not (d.session_marked and _is_released_for_good(d, d.incident)):
            return
        say_end(d, "recovered", at_release=True)
    faults = [f for f in d.sight.faults if opens(f) and counts_now(d, f)]
    if d.session_marked:
        _open_incident(d, "quarantine", faults[0] if faults else None)
    elif faults:
        _open_incident(d, "fault", faults[0])
    else:
        alert = next((a for a in d.sight.alerts if alert_is_news(d, a)), None)
        if alert is not None:
            _open_incident(d, "alert", alert)


def opens(seen: SeenFault) -> bool:
    return seen.fatal or seen.routed


def _is_released_for_good(d: Deciding, incident: IncidentState) -> bool:
    """NVSentinel had released the node before this new quarantine, and nothing was outstanding:
    a reboot that is still due, or a validation, makes the new quarantine join."""
    session = incident.session
    if session is None or session.ended is None or session.ended.how != "released":
        return False
    if not incident.was_quarantined:
        return False  # a dry run's: it wants its ten minutes of quiet
    if any(h.keeps_open and h.kind != "quarantine" for h in incident.holds):
        return False
    return not any(reboot_is_due(a, d.sight) for a in incident.attempts)


def _open_incident(
    d: Deciding, by: OpenedBy, seen: SeenFault | SeenAlert | None, *, drill: bool = False
) -> None:
    sight, before = d.sight, d.previous
    late = by in ("quarantine", "fault") and (before is None or not before.node_is_there)
    ids = d.fresh_ids
    if by == "quarantine" and ids:
        key = key_of_event(sight.cluster_uid, sight.node_uid, ids[0])
    elif seen is not None:
        key = key_of_seen(sight.cluster_uid, sight.node_uid, seen)
    else:
        start = sight.session.cordoned_at if by == "quarantine" else sight.at
        key = key_of_fault(sight.cluster_uid, sight.node_uid, by, (), (), start)
    again_of, thread, after = _find_continued_incident(d, seen)
    d.say(
        IncidentOpened(
            key=key,
            node=sight.node,
            cluster_uid=sight.cluster_uid,
            node_uid=sight.node_uid,
            by=by,
            late=late,
            adopted=late and d.memory.adopting,
            again_of=again_of,
            again_after_s=after,
            thread=thread or key,
            boot_id=sight.boot_id,
            drill=drill,
            release_mark=sight.session.release_mark if sight.node_is_there else None,
            earlier_requests=tuple(
                request_id(r) for r in sight.repairs if not repair_is_ours(d, None, r)
            ),
        )
    )


def _find_continued_incident(
    d: Deciding, seen: SeenFault | SeenAlert | None
) -> tuple[str, str, float | None]:
    """The incident it continues, that one's thread, and how long after its end."""
    last = d.story.last
    if last is None or last.ended is None or last.ended_seen is None:
        return "", "", None
    if seen is None or not seen.check:
        return "", "", None  # who names no fault does not say that it is the same
    if last.ended.at is not None:
        after = max(0.0, d.sight.at - last.ended.at)
    else:
        after = last.ended_seen.age(d.sight)
    entities = set(seen.entities)
    same = any(
        f.latest.check == seen.check
        and (bool(set(f.latest.entities) & entities) or set(f.latest.entities) == entities)
        for f in last.faults
    ) or any(a.attached.check == seen.check for a in last.alerts if not entities)
    if not same or after > AGAIN_WITHIN:
        return "", "", None
    return last.key, last.opened.thread or last.key, after


def open_by_hand(d: Deciding, run: RunJoined) -> None:
    """A person starts a run: it joins the node's incident, or begins one. A drill that finds none
    has opened its own before it causes its fault, and nobody is paged for that."""
    if d.incident is None:
        tell_beginning(d)
    if d.incident is None:
        _open_incident(d, "by hand", None, drill=run.drill)
    d.say(run)


def tell_left_overs(d: Deciding) -> None:
    """What was left over and is true no more can open an incident again."""
    for left in d.story.left_overs:
        if _is_gone(d, left):
            d.say(LeftOverGone(left_over=left))


def _is_gone(d: Deciding, left: LeftOver) -> bool:
    sight = d.sight
    if left.kind == "alert":
        return any(
            (a.key, a.started) == (left.name, left.started) and not a.firing for a in sight.alerts
        )
    if not (sight.node_is_there or sight.node_is_gone):
        return False
    if left.kind == "session":
        listed = set(sight.session.ids) & set(left.ids)
        return not (sight.session.marked and (listed or not sight.session.ids))
    if (left.mark or left.started) and not sight.was_read(EVENTS):
        return False
    return not any(
        is_still(left, f) or (f.check in left.name and f.truncated) for f in sight.faults
    )
