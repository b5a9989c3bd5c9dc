"""What is new about NVSentinel's hold on the node: sessions, the node itself, other holds.

A release and the next quarantine can lie between two looks, and clocks can put the second before
the first. Both are told from NVSentinel's own marks: the ids it lists, and the texts of its last
cordon and its last release, which change with each.
"""

from __future__ import annotations

from nvsx.core.incident.deciding import Deciding, hold_between
from nvsx.core.incident.incident_events import (
    HoldBegan,
    HoldEnded,
    IncidentIdentified,
    NodeChanged,
    SessionBegan,
    SessionChanged,
    SessionEnded,
    SessionEnding,
)
from nvsx.core.incident.incident_keys import key_of_event
from nvsx.core.incident.incident_state import IncidentState, SessionRecord
from nvsx.core.incident.sight import SeenHold, SeenSession


def tell_session_end(d: Deciding) -> None:
    incident = d.incident
    session = incident.open_session if incident is not None else None
    if incident is None or session is None:
        return
    if d.sight.node_is_gone or is_another_node(incident, d):
        d.say(SessionEnded(session=session.no, how="node gone", at=d.sight.at))
    elif d.sight.node_is_there and not d.session_goes_on:
        d.say(
            SessionEnded(
                session=session.no, how=_how_it_ended(d, session), at=_tell_release(d, session)
            )
        )
    elif d.sight.node_is_there and is_another_session(session, d.sight.session):
        released = d.sight.session.release_mark != session.began.release_mark
        how: SessionEnding = "released" if released else "unwatched"
        at = _tell_release(d, session) if released else None
        d.say(SessionEnded(session=session.no, how=how, at=at))


def tell_unseen_session(d: Deciding) -> None:
    """A quarantine that came and went between two looks, of which only its release is left.

    12:00:00 XID 79 is seen, and nvsx is killed; 12:00:01 to 12:05:00 NVSentinel holds, reboots and
    releases the node; 12:06 nvsx looks again: the node's release is another than at 12:00:00. It
    was quarantined and has recovered, at 12:05:00.
    """
    incident, seen = d.incident, d.sight.session
    if incident is None or incident.sessions or seen.marked or not d.sight.node_is_there:
        return
    before = incident.opened.release_mark
    # The mark is that of the machine which was there then. One that has replaced it brings its own.
    same_machine = incident.opened.node_uid in ("", d.sight.node_uid)
    if before is None or seen.release_mark in ("", before) or not same_machine:
        return
    at = hold_between(seen.released_at, incident.began.at, d.sight.at)
    d.say(SessionBegan(session=1, release_mark=before, unseen=True))
    d.say(SessionEnded(session=1, how="released", at=at))


def is_another_node(incident: IncidentState, d: Deciding) -> bool:
    known = incident.node.uid or incident.opened.node_uid
    return (
        d.sight.node_is_there and "" not in (known, d.sight.node_uid) and known != d.sight.node_uid
    )


def is_another_session(known: SessionRecord, seen: SeenSession) -> bool:
    """Whether the marks are a later quarantine's, though no look fell between the two.

    Listed [a], released 12:00:00; listed [b] since 12:00:00.15. A look at each list finds no id in
    common and another release mark: another session. Without a new mark it is the same one, in
    which b joined and a recovered.
    """
    if not known.ids or not seen.ids or set(known.ids) & set(seen.ids):
        return False
    if seen.release_mark != known.began.release_mark:
        return True
    marks = (known.began.cordon_mark, seen.cordon_mark)
    return "" not in marks and marks[0] != marks[1]


def _how_it_ended(d: Deciding, session: SessionRecord) -> SessionEnding:
    seen = d.sight.session
    if seen.by_hand and not session.began.noted_by_hand:
        return "by hand"
    if seen.emptied or seen.handed_over or seen.release_mark != session.began.release_mark:
        return "released"
    return "marks removed" if any("condition" in f.by for f in d.standing_faults()) else "released"


def _tell_release(d: Deciding, session: SessionRecord) -> float | None:
    seen, before = d.sight.session, d.previous
    new = seen.release_mark != session.began.release_mark
    held = before is not None and before.node_is_there and before.session.marked
    earliest = before.at if before is not None and held else None
    return hold_between(seen.released_at if new else 0.0, earliest, d.sight.at)


def tell_session(d: Deciding) -> None:
    incident = d.incident
    if incident is None or not d.session_marked:
        return
    seen, known = d.sight.session, incident.open_session
    if known is None:
        before = d.previous
        looked = before is not None and before.node_is_there and not before.session.marked
        earliest = before.at if before is not None and looked else None
        d.say(
            SessionBegan(
                session=len(incident.sessions) + 1,
                ids=seen.ids,
                at=hold_between(seen.cordoned_at, earliest, d.sight.at),
                state=seen.state,
                cordon_mark=seen.cordon_mark,
                release_mark=seen.release_mark,
                noted_by_hand=seen.by_hand,
                dry_run=seen.dry_run,
                planned=seen.planned,
            )
        )
    else:
        changed = SessionChanged(
            session=known.no,
            ids=tuple(dict.fromkeys((*known.ids, *seen.ids))),
            state=seen.state,
            dry_run=seen.dry_run,
            planned=seen.planned,
        )
        before_it = (known.ids, known.state, known.dry_run, known.planned)
        if before_it != (changed.ids, changed.state, changed.dry_run, changed.planned):
            d.say(changed)
    _tell_keys(d)


def _tell_keys(d: Deciding) -> None:
    """The session's first event names the incident; each other one is a name for it too."""
    incident = d.incident
    if incident is None:
        return
    opened, known = incident.opened, incident.aliases
    for place, event_id in enumerate(d.fresh_ids):
        key = key_of_event(opened.cluster_uid, opened.node_uid, event_id)
        if key not in known:
            main = place == 0 and len(known) == 1 and opened.by != "quarantine"
            d.say(IncidentIdentified(key=key, main=main))


def tell_node(d: Deciding) -> None:
    incident, sight = d.incident, d.sight
    if incident is None or not (sight.node_is_there or sight.node_is_gone):
        return
    known = incident.node
    if sight.node_is_gone:
        if known.there:
            d.say(NodeChanged(uid=known.uid, boot_id=known.boot_id, there=False))
        return
    first = known == NodeChanged()
    changed = (known.uid, known.boot_id, known.ready, known.there) != (
        sight.node_uid,
        sight.boot_id,
        sight.ready,
        True,
    )
    if first or changed:
        earliest = d.previous.at if d.previous is not None and not first else None
        ready_at = known.ready_at
        if known.uid and known.uid != sight.node_uid:
            ready_at = sight.at  # another machine: its own times may be older than itself here
        elif first or sight.ready != known.ready:
            ready_at = hold_between(sight.ready_at, earliest, sight.at)
        d.say(
            NodeChanged(
                uid=sight.node_uid, boot_id=sight.boot_id, ready=sight.ready, ready_at=ready_at
            )
        )


def tell_holds(d: Deciding) -> None:
    incident, sight = d.incident, d.sight
    if incident is None or not (sight.node_is_there or sight.node_is_gone):
        return
    known = {(h.kind, h.name): h for h in incident.holds}
    for hold in sight.holds:
        before = known.pop((hold.kind, hold.name), None)
        if before is None or (before.who, before.detail) != (hold.who, hold.detail):
            d.say(_hold_began(d, hold))
    for gone in known.values():
        if gone.kind != "validation" or sight.was_read("validations"):
            d.say(HoldEnded(kind=gone.kind, who=gone.who, name=gone.name))


def _hold_began(d: Deciding, hold: SeenHold) -> HoldBegan:
    """Schedulable at 12:00:00, cordoned at 12:00:15, and its writer says 11:20: since 12:00:00.

    Quarantined 11:00, handed over between 12:00:00 and 12:00:15: the cordon is of 11:00, and the
    hand-over of 12:00:00 at the earliest.
    """
    before, earliest = d.previous, None
    if before is not None and before.node_is_there:
        fresh = hold.kind == "cordon" and before.schedulable
        earliest = before.at if fresh or hold.kind == "handed over" else None
    return HoldBegan(
        kind=hold.kind,
        who=hold.who,
        since=hold_between(hold.since, earliest, d.sight.at),
        name=hold.name,
        detail=hold.detail,
        keeps_open=hold.keeps_open,
    )
