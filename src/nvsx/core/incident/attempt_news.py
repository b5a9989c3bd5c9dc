"""What is new about repairs: a request, its signal, the boot that followed, how it ended.

NVSentinel's word about a request and what the node shows are kept apart. A RebootNode that has
"succeeded" before the node went down has not rebooted anything yet: the attempt has succeeded
with a new boot id and Ready. A request that failed on one poll error stays a failure, and the
node's return from it is noted beside.
"""

from __future__ import annotations

import math

from nvsx.core.incident.deciding import Deciding, hold_between
from nvsx.core.incident.incident_events import (
    AttemptBegan,
    AttemptChanged,
    AttemptEnded,
    AttemptReason,
)
from nvsx.core.incident.incident_state import AttemptRecord, IncidentState
from nvsx.core.incident.sight import REPAIRS, SeenRepair, Sight
from nvsx.core.incident.tolerances import REBOOT_DUE


def request_id(repair: SeenRepair) -> str:
    """A request that is made again can have the same name."""
    return f"{repair.kind}/{repair.name}/{repair.uid}"


def tell_new_attempts(d: Deciding, *, only_known_faults: bool = False) -> None:
    """With `only_known_faults` those made for faults that are told already: which reboots there
    are must be known before it is said what a reboot itself has caused."""
    if not d.sight.was_read(REPAIRS):
        return
    for repair in sorted(d.sight.repairs, key=lambda r: (r.created_at, r.name)):
        incident = d.incident
        if incident is None or _record_of(incident, repair) is not None:
            continue
        told = {i for fault in incident.faults for i in fault.latest.ids}
        if only_known_faults and repair.event_id not in told:
            continue
        if repair_is_ours(d, incident, repair):
            d.say(_make_began(d, incident, repair))
    tell_known_attempts(d)


def known_events(incident: IncidentState) -> set[str]:
    of_faults = {i for f in incident.faults for i in f.latest.ids}
    return of_faults | {i for s in incident.sessions for i in s.ids}


def repair_is_ours(d: Deciding, incident: IncidentState | None, repair: SeenRepair) -> bool:
    """Whether a request belongs to the incident: by its event id, by order of sight, and only
    where neither tells (the first look, with completed requests of two weeks) by the times
    that the cluster itself wrote."""
    last = d.story.last
    named = incident is not None and repair.event_id in known_events(incident)
    if last is not None and _record_of(last, repair) is not None:
        return named and not repair.finished  # an earlier incident's, unless it is still at work
    if named or (repair.event_id and repair.event_id in d.fresh_ids):
        return True
    if incident is not None and request_id(repair) in incident.opened.earlier_requests:
        return False
    if last is not None and repair.event_id in known_events(last):
        return False
    if not repair.finished:
        return True
    released = d.sight.session.released_at
    if 0 < repair.finished_at <= released and not _is_our_release(d, incident):
        return False  # it ended before the release of a session that is not this incident's
    before = d.previous
    if before is not None and before.was_read(REPAIRS):
        return all(request_id(r) != request_id(repair) for r in before.repairs)
    cordoned = d.sight.session.cordoned_at
    return bool(cordoned) and repair.created_at >= math.floor(cordoned)


def _is_our_release(d: Deciding, incident: IncidentState | None) -> bool:
    session = incident.session if incident is not None else None
    return session is not None and session.began.release_mark != d.sight.session.release_mark


def _record_of(incident: IncidentState, repair: SeenRepair) -> AttemptRecord | None:
    return next(
        (
            a
            for a in incident.attempts
            if (a.began.kind, a.began.name, a.began.uid) == (repair.kind, repair.name, repair.uid)
        ),
        None,
    )


def _make_began(d: Deciding, incident: IncidentState, repair: SeenRepair) -> AttemptBegan:
    before = d.previous
    looked = before is not None and before.was_read(REPAIRS)
    earliest = before.at if before is not None and looked else None
    boot = _boot_before(d, incident, repair)
    return AttemptBegan(
        attempt=len(incident.attempts) + 1,
        kind=repair.kind,
        name=repair.name,
        uid=repair.uid,
        event_id=repair.event_id,
        serves=_find_served_faults(incident, repair),
        why=_why_it_came(incident, repair),
        at=hold_between(repair.created_at, earliest, d.sight.at),
        boot_before=boot,
        effect=repair.effect,
        look=repair.look,
    )


def _boot_before(d: Deciding, incident: IncidentState, repair: SeenRepair) -> str:
    """The node's boot id before the repair, "" where nvsx did not see it.

    nvsx was away while the node rebooted: its first look shows the new boot id, the next one the
    request, made before both. The boot id that the incident began with is the one before, unless
    an earlier attempt had the node reboot too.
    """
    before = d.previous
    if incident.node.boot_id and 0 < repair.created_at < incident.node_since.at:
        rebooted = any(a.booted for a in incident.attempts)
        return "" if rebooted else incident.opened.boot_id
    boot = incident.node.boot_id or (before.boot_id if before is not None else "")
    return boot if boot or repair.signal == "sent" else d.sight.boot_id


def _find_served_faults(incident: IncidentState, repair: SeenRepair) -> tuple[int, ...]:
    """The fault it was made for; where the request names none, all that were there."""
    if repair.event_id:
        return tuple(f.no for f in incident.faults if repair.event_id in f.latest.ids)
    return tuple(f.no for f in incident.faults if f.is_serious)


def _why_it_came(incident: IncidentState, repair: SeenRepair) -> AttemptReason:
    """Only a `retry` is "again".

    12:00 XID 48 (event a) and DCGM's memory error (event b); RebootNode for a: `first`, done
    12:01; RebootNode for b: `other check`, since b was there before the first was done. A
    RebootNode for a once more: `retry`. At 18:00 an NVLink fault (event c) and a RebootNode for
    it: `new fault`.
    """
    before = incident.attempt
    if before is None:
        return "first"
    served = {no for attempt in incident.attempts for no in incident.served_by(attempt)}
    if repair.event_id and repair.event_id in {a.began.event_id for a in incident.attempts}:
        return "retry"
    if repair.event_id:
        mine = [f for f in incident.faults if repair.event_id in f.latest.ids]
    else:
        mine = [f for f in incident.faults if f.is_serious and f.no not in served]
    if not mine:
        # Made for an event that nvsx never saw: another one, which is all that is known.
        return "other check" if repair.event_id else "retry"
    fault = mine[0]
    if fault.no in served:
        return "new fault"  # the same thing broke again: an event of its own was made for it
    done = before.ready_at or (before.ended.at if before.ended is not None else None)
    began = fault.first.at if fault.first.at is not None else fault.seen.at
    return "other check" if done is None or began <= done else "new fault"


def tell_known_attempts(d: Deciding) -> None:
    incident = d.incident
    if incident is None:
        return
    for record in incident.attempts:
        repair = (
            next((r for r in d.sight.repairs if request_id(r) == _request_of(record)), None)
            if d.sight.was_read(REPAIRS)
            else None
        )
        _tell_change(d, record, repair)
        _tell_end(d, record.no, repair)


def _request_of(record: AttemptRecord) -> str:
    return f"{record.began.kind}/{record.began.name}/{record.began.uid}"


def _tell_change(d: Deciding, record: AttemptRecord, repair: SeenRepair | None) -> None:
    sight = d.sight
    signal = repair.signal if repair is not None else record.signal
    earliest = d.previous.at if d.previous is not None else None
    booted = record.booted or (signal == "sent" and _has_booted(record, sight))
    finished = repair.finished if repair is not None else record.request_done is not None
    back = booted or (not record.began.effect and signal == "sent" and finished)
    ready = record.ready is not None or (back and sight.node_is_there and sight.ready is True)
    new_signal = repair is not None and repair.signal not in ("", record.signal)
    change = AttemptChanged(
        attempt=record.no,
        signal=repair.signal if repair is not None and new_signal else "",
        signal_at=hold_between(repair.signal_at, earliest, sight.at)
        if repair is not None and new_signal
        else None,
        request=repair.outcome if repair is not None and repair.outcome != record.request else "",
        failure=repair.failure if repair is not None and repair.failure != record.failure else "",
        detail=repair.detail if repair is not None and repair.detail != record.detail else "",
        booted=booted and not record.booted,
        ready=ready and record.ready is None,
        ready_at=hold_between(sight.ready_at, earliest, sight.at)
        if ready and record.ready is None
        else None,
    )
    if change != AttemptChanged(attempt=record.no):
        d.say(change)


def _has_booted(record: AttemptRecord, sight: Sight) -> bool:
    before = record.began.boot_before
    return sight.node_is_there and bool(before and sight.boot_id) and sight.boot_id != before


def _tell_end(d: Deciding, number: int, repair: SeenRepair | None) -> None:
    incident = d.incident
    record = next((a for a in incident.attempts if a.no == number), None) if incident else None
    if record is None or record.ended is not None:
        return
    ended = _end_of(d, record, repair)
    if ended is not None:
        d.say(ended)


def _end_of(d: Deciding, record: AttemptRecord, repair: SeenRepair | None) -> AttemptEnded | None:
    sight, no = d.sight, record.no
    earliest = d.previous.at if d.previous is not None else None
    finished_at = hold_between(repair.finished_at if repair else 0.0, earliest, sight.at)
    if record.began.effect == "node gone" and _node_was_taken(d, sight):
        return AttemptEnded(attempt=no, outcome="succeeded", at=sight.at, text="the Node is gone")
    if record.request == "failed" and not record.has_worked:
        return AttemptEnded(
            attempt=no, outcome="failed", at=finished_at, failure=record.failure, text=record.detail
        )
    if record.began.effect == "boot" and record.has_worked:
        text = "rebooted and Ready"
        return AttemptEnded(attempt=no, outcome="succeeded", at=record.ready_at, text=text)
    if record.request == "succeeded" and _effect_is_past(record, sight):
        return AttemptEnded(
            attempt=no, outcome="succeeded", at=finished_at, text=_without_effect(record)
        )
    gone = repair is None and sight.was_read(REPAIRS) and sight.node_is_there
    if gone and record.request_done is None:
        text = "the request was taken away before it had ended"
        return AttemptEnded(attempt=no, outcome="taken away", at=sight.at, text=text)
    return None


def _node_was_taken(d: Deciding, sight: Sight) -> bool:
    opened = d.incident.opened.node_uid if d.incident is not None else ""
    return sight.node_is_gone or (sight.node_is_there and opened not in ("", sight.node_uid))


def _effect_is_past(record: AttemptRecord, sight: Sight) -> bool:
    """Nothing more of it is to be waited for: it has no effect that shows, the boot before it is
    not known, or the reboot that was due has not come."""
    if record.began.effect != "boot" or not record.began.boot_before:
        return record.began.effect != "node gone"
    return record.request_done is not None and record.request_done.age(sight) >= REBOOT_DUE


def _without_effect(record: AttemptRecord) -> str:
    if record.began.effect == "boot":
        return f"NVSentinel reports it as done; no reboot was seen: {record.detail}"
    return record.detail


def reboot_is_due(record: AttemptRecord, sight: Sight) -> bool:
    """Whether the node may still go down for it: the incident must not be over before.

    Signal 12:00:00, request done 12:00:01, released on a healthy event 12:00:05, reboot 12:01:00:
    due until the new boot id. With a provider whose reboot gives none: until 12:05:01.
    """
    if record.signal != "sent" or record.booted:
        return False
    if record.began.effect == "node gone":
        return record.ended is None
    taken_away = record.ended is not None and record.ended.outcome == "taken away"
    done = record.request_done or (record.ended_seen if taken_away else None)
    if done is None:
        return True
    known = bool(record.began.boot_before and sight.boot_id)
    return record.began.effect == "boot" and known and done.age(sight) < REBOOT_DUE


def was_to_be_replaced(incident: IncidentState, sight: Sight) -> bool:
    """Whether NVSentinel itself takes the machine away. The request goes with the Node, and may
    never have been seen: then its label and the action of a fault tell it."""
    if any(a.began.effect == "node gone" for a in incident.attempts):
        return True
    asked = any(f.latest.action in sight.chain.replacing for f in incident.faults)
    labels = {state for s in incident.sessions for state, _, _ in s.states}
    return asked and not labels.isdisjoint(("remediating", "remediation-succeeded"))


def tell_unfinished_attempts(d: Deciding) -> None:
    """At the end of the incident nothing stays open: what was not seen to end is `unseen`."""
    incident = d.incident
    for record in incident.attempts if incident is not None else ():
        if record.ended is None:
            worked = record.has_worked
            d.say(
                AttemptEnded(
                    attempt=record.no,
                    outcome="succeeded" if worked else "unseen",
                    at=record.ready_at if worked else None,
                    text="" if worked else "the incident ended before the request did",
                )
            )
