"""What is new about faults and alerts: seen, seen anew, more of it, cleared, outlived.

Whatever breaks on a node joins its open incident. One fault is one record however often and
wherever it shows: its condition, its entry in the quarantine annotation and its Events.
"""

from __future__ import annotations

from msgspec.structs import replace

from nvsx.core import durations
from nvsx.core.incident.deciding import Deciding, hold_between, is_same_fault, name_of
from nvsx.core.incident.incident_events import (
    AlertAttached,
    AlertResolved,
    FaultCleared,
    FaultSeen,
    IncidentNoted,
    SideEffectOutlived,
)
from nvsx.core.incident.incident_state import AttemptRecord, FaultRecord, IncidentState, Stamp
from nvsx.core.incident.sight import EVENTS, SeenAlert, SeenFault, Sight
from nvsx.core.incident.tolerances import (
    CONFIRMED_WITHIN,
    NODE_CLOCK,
    NOTHING_SHOWN,
    SHOWN_WITHIN,
    SIDE_EFFECTS_AFTER_READY,
    SKEW_WORTH_A_NOTE,
    STILL_FIRING,
)


def tell_faults(d: Deciding, *, passing: bool) -> None:
    """Those that a reboot itself can cause come last: which reboots there are must be known."""
    for seen in d.sight.faults:
        if seen.passing == passing and counts_now(d, seen) and d.incident is not None:
            _tell_fault(d, d.incident, seen)


def counts_now(d: Deciding, seen: SeenFault) -> bool:
    """Whether it is there, and neither left over from an earlier incident nor history."""
    if d.fault_is_left(seen):
        return False
    if seen.only_event:
        since = d.since_event(seen)
        return since is not None and since < d.limits.clear
    return d.sight.node_is_there


def record_of(incident: IncidentState, seen: SeenFault) -> FaultRecord | None:
    return next((f for f in incident.faults if is_same_fault(_as_seen(f), seen)), None)


def _as_seen(record: FaultRecord) -> SeenFault:
    known = record.latest
    return SeenFault(
        known.check, known.error_codes, known.entities, known.ids, truncated=known.truncated
    )


def _tell_fault(d: Deciding, incident: IncidentState, seen: SeenFault) -> None:
    record = record_of(incident, seen)
    if record is None:
        at, skew = _time_of(d, seen)
        d.say(
            FaultSeen(
                fault=len(incident.faults) + 1,
                check=seen.check,
                error_codes=seen.error_codes,
                entities=seen.entities,
                ids=seen.ids,
                by=tuple(sorted(seen.by)),
                action=seen.action,
                fatal=seen.fatal,
                routed=seen.routed,
                planned=seen.planned,
                truncated=seen.truncated,
                message=seen.message,
                at=at,
                generated=seen.generated_at or None,
                skew_s=skew,
                side_effect_of=reboot_that_explains(incident, seen, d.sight),
            )
        )
        _tell_skew(d, incident, skew)
        return
    anew = record.cleared is not None
    grown = _with_more(record, seen, anew)
    if anew or grown != replace(record.latest, anew=False):
        d.say(grown)


def _tell_skew(d: Deciding, incident: IncidentState, skew: float | None) -> None:
    """Once an incident: a clock that is off is the node's, whichever fault showed it.

    12:00:15 a fault of n1 says that it began at 14:00:03: the clock of n1 is ahead by 1h59m48s
    """
    if skew is None or incident.has_note(NODE_CLOCK):
        return
    node, off = d.sight.node, durations.format(abs(skew))
    text = f"the clock of node {node} is at least {off} ahead of nvsx's"
    if skew < 0:
        text = (
            f"times of node {node} are {off} old when they come: its clock is behind, or it is late"
        )
    d.say(IncidentNoted(code=NODE_CLOCK, text=text))


def _with_more(record: FaultRecord, seen: SeenFault, anew: bool) -> FaultSeen:
    known = record.latest
    at = known.at
    finer = seen.ids and not known.ids and int(seen.generated_at) == int(known.generated or 0.0)
    if at is not None and finer:
        # A condition has whole seconds; the event that was behind it has all of them.
        at = min(max(at, seen.generated_at), record.seen.at)
    cut = seen.truncated and not known.truncated
    return replace(
        known,
        error_codes=known.error_codes if cut else seen.error_codes or known.error_codes,
        entities=known.entities if cut else seen.entities or known.entities,
        ids=tuple(dict.fromkeys((*known.ids, *seen.ids))),
        by=tuple(sorted({*known.by, *seen.by})),
        action=known.action if known.action not in ("", "UNKNOWN") else seen.action or known.action,
        fatal=known.fatal or seen.fatal,
        routed=known.routed or seen.routed,
        planned=known.planned or seen.planned,
        truncated=known.truncated and seen.truncated,
        message=known.message or seen.message,
        at=at,
        anew=anew,
    )


def _time_of(d: Deciding, seen: SeenFault) -> tuple[float | None, float | None]:
    """When it began, and by how much the sender's clock is off, None where that is little."""
    last_look = d.last_look_without(seen)
    if last_look is not None and last_look - SHOWN_WITHIN <= seen.generated_at < last_look:
        last_look = seen.generated_at
    at = hold_between(seen.generated_at, last_look, d.sight.at)
    nearest = at if at is not None else d.sight.at
    off = seen.generated_at - nearest if seen.generated_at else 0.0
    return at, round(off, 3) if abs(off) > SKEW_WORTH_A_NOTE else None


def reboot_that_explains(incident: IncidentState, seen: SeenFault, sight: Sight) -> int:
    """The attempt whose reboot causes such a fault by itself, 0 for none.

    Signal 12:00:00, `DCGM unreachable` 12:00:05, Ready 12:01:00: no news until 12:06:00. The
    same fault at 12:07:00, or before the signal, is a fault.
    """
    if not seen.passing:
        return 0
    for attempt in reversed(incident.attempts):
        if attempt.signal != "sent" or set(seen.ids) & {attempt.began.event_id}:
            continue
        back = back_since(attempt)
        if back is None or back.age(sight) <= SIDE_EFFECTS_AFTER_READY:
            return attempt.no
    return 0


def back_since(attempt: AttemptRecord) -> Stamp | None:
    """Since when the node is Ready after a repair, or nothing more of the repair is awaited."""
    done = attempt.ended is not None and attempt.ended.outcome != "failed"
    return attempt.ready or (attempt.ended_seen if done else None)


def tell_cleared_faults(d: Deciding) -> None:
    """What is no longer shown by any source that showed it, and side effects that stay."""
    incident = d.incident
    if incident is None:
        return
    for record in incident.faults:
        if record.cleared is not None:
            continue
        if _has_gone(d, record):
            earliest = d.previous.at if d.previous is not None else None
            at = hold_between(0.0, earliest, d.sight.at)
            d.say(FaultCleared(fault=record.no, at=at, node_gone=d.sight.node_is_gone))
        elif record.is_side_effect and _has_outlived(incident, record, d.sight):
            d.say(SideEffectOutlived(fault=record.no))


def _has_gone(d: Deciding, record: FaultRecord) -> bool:
    shown = [f for f in d.sight.faults if is_same_fault(_as_seen(record), f)]
    if record.latest.by == ("event",):
        if not d.sight.was_read(EVENTS):
            return False
        return not any(counts_now(d, f) for f in shown)
    if d.sight.node_is_gone:
        return True
    return d.sight.node_is_there and all(f.only_event for f in shown)


def _has_outlived(incident: IncidentState, record: FaultRecord, sight: Sight) -> bool:
    attempt = next((a for a in incident.attempts if a.no == record.latest.side_effect_of), None)
    back = back_since(attempt) if attempt is not None else None
    return back is not None and back.age(sight) > SIDE_EFFECTS_AFTER_READY


# --- alerts ----------------------------------------------------------------------------------


def alert_is_news(d: Deciding, alert: SeenAlert) -> bool:
    """Whether an alert that fires is one that no incident has had.

    A sender that says "still firing" is believed, since 20 minutes as since 5 hours. One that
    began before the release that ended an incident about the same check is answered by it; one
    that began after is a new trouble.
    """
    if not alert.firing or not alert.routed or d.alert_is_left(alert):
        return False
    return not _is_answered(d, alert)


def _is_answered(d: Deciding, alert: SeenAlert) -> bool:
    last = d.story.last
    if last is None or last.ended is None or last.ended.how not in ("recovered", "replaced"):
        return False
    ended_at = last.ended.at
    if ended_at is None or alert.started > ended_at:
        return False
    same = {f.latest.check for f in last.faults} | {a.attached.check for a in last.alerts}
    return alert.check in same


def tell_alerts(d: Deciding) -> None:
    for alert in d.sight.alerts:
        incident = d.incident
        if incident is None:
            return
        known = next(
            (
                a
                for a in incident.alerts
                if (a.attached.key, a.attached.started) == (alert.key, alert.started)
            ),
            None,
        )
        again = known is not None and known.resolved and alert.firing
        if again or (known is None and alert_is_news(d, alert)):
            d.say(
                AlertAttached(
                    key=alert.key,
                    started=alert.started,
                    source=alert.source,
                    check=alert.check,
                    error_codes=alert.error_codes,
                    names_fault=alert.names_fault,
                )
            )
        elif known is not None and not known.resolved and not alert.firing:
            d.say(AlertResolved(key=alert.key, started=alert.started))


def tell_unconfirmed(d: Deciding) -> None:
    """After two minutes in which NVSentinel's pipeline was current and showed nothing."""
    incident = d.incident
    if incident is None or incident.faults or incident.sessions or not d.sight.chain.current:
        return
    if incident.began.age(d.sight) >= CONFIRMED_WITHIN and not incident.has_note(NOTHING_SHOWN):
        d.say(IncidentNoted(code=NOTHING_SHOWN, text="NVSentinel shows nothing so far"))


def tell_still_firing(d: Deciding) -> None:
    """Half an hour after the end, once: the alert that it answered fires on."""
    last = d.story.last
    if d.incident is not None or last is None or last.ended_seen is None:
        return
    if last.ended_seen.age(d.sight) < STILL_FIRING:
        return
    for alert in d.sight.alerts:
        if not alert.firing or not (d.alert_is_left(alert) or _is_answered(d, alert)):
            continue
        code = f"still-firing:{alert.key}"
        told = d.story.last
        if told is not None and not told.has_note(code):
            source = alert.source or "its sender"
            d.say(IncidentNoted(code=code, text=f"{source} says that {alert.key} is still firing"))


def remember_marks(d: Deciding) -> dict[str, tuple[str, float]]:
    """For each fault that Events report: its mark, and when nvsx saw that change."""
    known = dict(d.memory.marks)
    if not d.sight.was_read(EVENTS):
        return known
    marks = {}
    for seen in d.sight.faults:
        if not seen.mark:
            continue
        name = name_of(seen)
        before = known.get(name)
        since = d.since_event(seen)
        if before is not None and before[0] == seen.mark:
            marks[name] = before
        else:
            age = d.limits.clear if since is None else since
            marks[name] = (seen.mark, d.sight.mono - age)
    return marks
