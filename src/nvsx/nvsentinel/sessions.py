"""Quarantine sessions: follows one node's marks and says which session it is in.

A tracker is a pure state machine: it is given the node each time it changes and the time,
and answers with a core Session. A session opens with the quarantine annotation, grows
while events join it, and ends when annotation and state label are gone. The observer
keeps one for each followed node; a resumed run seeds it with what it knew.
NVSentinel's own timestamps are used before the time of looking. What cannot be known
(how a session ended that nobody watched) stays open-ended rather than guessed.

A whole session, as the node shows it:

    10:15:30  the fault is generated (in the annotation's event)
    10:15:32  annotation, state label, cordon with its time: the session opens, keyed by the
              event's id
    10:16:00  a second event joins the annotation: the same session, the same key
    10:29:31  the annotation is `[]`; cordon and state label stay: still open
    10:29:32  annotation, label and cordon gone, uncordon with its time: recovered at 10:29:32
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from nvsx.core.incident.session import NO_SESSION, Ending, HealthEvent, Session
from nvsx.core.watches.snapshot import Node
from nvsx.nvsentinel import marks, messages, names
from nvsx.nvsentinel.marks import Marks

#: Cordon times are whole seconds of one clock: two that differ by more are two cordons.
SAME_CORDON = 1.0
GONE = "the Node object is gone"


def event_identity(event: HealthEvent) -> str:
    """The database id of an event, or what stands in for it where there is none."""
    if event.id:
        return event.id
    codes = ",".join(sorted(event.error_codes))
    return _stand_in(event.node, event.check, codes, f"{event.generated_at:.6f}")


def _stand_in(*parts: str) -> str:
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass"))
    return f"event-{digest.hexdigest()[:16]}"


def session_key_of(events: Iterable[HealthEvent]) -> str:
    """The key of a session with these events: its earliest one's identity; "" for none."""
    first = min(events, key=lambda e: (e.generated_at or math.inf, event_identity(e)), default=None)
    return event_identity(first) if first is not None else ""


class SessionTracker:
    """The session of one node, as its marks tell it.

    With a seed that is still open, the first look decides whether that session goes on or
    has ended meanwhile; a session that took its place is reported by the next look:

        10:15  seed: session A, open            (nvsx stops)
        10:40  A released, 11:00 B quarantined  (nobody watches)
        11:05  first look: A has ended at 10:40; second look: B is open
    """

    def __init__(self, seed: Session | None = None) -> None:
        self._session = seed or NO_SESSION
        self._looked = False
        self._unmarked_before = False
        self._stale: frozenset[str] = frozenset()
        self._emptied = False

    @property
    def session(self) -> Session:
        return self._session

    def observe(self, node: Node | None, at: float) -> Session:
        """The session after seeing `node` at Unix time `at`; None for a node that is gone."""
        before = self._session
        if node is None:
            if before.open:
                self._session = _end_session(before, at, "terminated", GONE)
            self._looked = True
            return self._session
        seen = marks.read(node)
        # First of all: marks on another Node object say nothing of this session.
        if _is_other_node_object(before, node):
            self._session = _end_replaced(before, node, at)
        elif before.open:
            self._session = self._continue_session(before, node, seen, at)
        elif seen.annotated or (
            not self._looked and not before.known and _is_held_without_annotation(seen)
        ):
            self._session = self._begin_session(before, node, seen, at)
        # Uncordon labels stay for ever, so that only the first look may read an end off them.
        elif not self._looked and not before.known and seen.uncordoned_at:
            self._session = _ended_before_we_came(seen)
        if seen.annotated:
            self._stale = seen.by_hand
        # Fault-quarantine empties the list for healthy events alone.
        self._emptied = seen.emptied or (self._emptied and not seen.annotated)
        self._looked = True
        self._unmarked_before = not (seen.annotated or seen.state)
        return self._session

    def _begin_session(self, before: Session, node: Node, seen: Marks, at: float) -> Session:
        # The same events again: that session was not over, its marks were out of sight.
        if before.known and _shares_event(before, seen):
            return _grow_session(
                msgspec.structs.replace(before, open=True, ended_at=None), seen, at
            )
        # The time of looking is the quarantine's only where the look before showed no marks: else
        # it began at some time before nvsx came.
        quarantined = seen.cordoned_at or (at if self._unmarked_before else None)
        end = before.ended_at or (seen.uncordoned_at or None)
        fresh = Session(
            key=session_key_of(seen.events)
            or _stand_in(node.name, node.uid, f"{seen.cordoned_at:.0f}"),
            open=True,
            quarantined_at=quarantined,
            previous_end=end,
            node_uid=node.uid,
        )
        return _grow_session(fresh, seen, at)

    def _continue_session(self, before: Session, node: Node, seen: Marks, at: float) -> Session:
        """Whether the session that was open goes on, and if not, how it ended.

        annotation lists events             goes on (a later session's: ended unwatched)
        gone, uncordoned by NVSentinel      recovered at the uncordon's time
        gone, new mark of a person's        cancelled
        gone, state label or cordon stay    goes on: hand-over, or a release under way
        gone, nothing left, check unhealthy cancelled, unless the list was emptied first
        gone, nothing left, checks healthy  recovered at the time of looking
        """
        before = msgspec.structs.replace(before, node_uid=before.node_uid or node.uid)
        if seen.annotated:
            if _is_later_session(before, seen):
                return _end_unwatched(before, seen)
            return _grow_session(before, seen, at)
        if _was_uncordoned_since(before, seen):
            return _end_uncordoned(before, seen)
        # Marks of people from before this session are still on the node and cancel nothing.
        by_hand = seen.by_hand - self._stale
        if by_hand:
            return _end_session(before, at, "cancelled", _describe_by_hand(by_hand))
        # A cordon that was there before NVSentinel came stays after it has gone.
        if seen.state or (seen.held and not before.cordon_preexisting):
            return _grow_session(before, seen, at)
        sick = _list_still_unhealthy(before, node)
        # Marks and conditions travel by two queues: a release can be seen before the
        # condition turns healthy.
        if sick and not self._emptied:
            text = f"NVSentinel's marks were removed while {', '.join(sick)} is still unhealthy"
            return _end_session(before, at, "cancelled", text)
        return _end_session(before, at, "recovered", "NVSentinel's marks are gone")


def _end_uncordoned(before: Session, seen: Marks) -> Session:
    return _end_session(before, seen.uncordoned_at, "recovered", "NVSentinel uncordoned the node")


def _end_unwatched(before: Session, seen: Marks) -> Session:
    """`before` is over and another session has begun; how it ended may be unknown."""
    if _was_uncordoned_since(before, seen):
        return _end_uncordoned(before, seen)
    return _end_session(
        before, seen.cordoned_at, "", "it ended while nobody watched; another one has begun"
    )


def _is_held_without_annotation(seen: Marks) -> bool:
    """Without the annotation, only a cordon of NVSentinel's makes a session: a state label
    alone can be a leftover that was written after the end."""
    return seen.held and not seen.by_hand


def _shares_event(session: Session, seen: Marks) -> bool:
    known = {event_identity(e) for e in session.events}
    return any(event_identity(e) in known for e in seen.events)


def _is_later_session(session: Session, seen: Marks) -> bool:
    """Whether the annotation is a later session's: none of our events, and a new cordon.

        10:15:32  ours: event A, cordoned at 10:15:32
        10:20:00  event B alone, cordoned at 10:15:32: B joined, A was cleared: still ours
        11:00:07  event C alone, cordoned at 11:00:05: a later session

    Without both cordon times an uncordon since ours began tells the same.
    """
    if not seen.events or not session.events or _shares_event(session, seen):
        return False
    if seen.cordoned_at and session.quarantined_at:
        return seen.cordoned_at > session.quarantined_at + SAME_CORDON
    return _was_uncordoned_since(session, seen)


def _was_uncordoned_since(session: Session, seen: Marks) -> bool:
    """Whether NVSentinel's uncordon is of this session: uncordon labels stay on the node for
    ever, so that one from before the session began is an earlier one's. Label times are cut
    to the second: a session that began at 10:15:32.9 can be over at 10:15:32."""
    began = session.quarantined_at or session.generated_at
    if began is None or seen.uncordoned_at == session.previous_end:
        return False
    return seen.uncordoned_at >= math.floor(began)


def _grow_session(session: Session, seen: Marks, at: float) -> Session:
    """`session` with what the marks add."""
    events = {event_identity(e): e for e in (*session.events, *seen.events)}
    ordered = tuple(sorted(events.values(), key=lambda e: (e.generated_at, event_identity(e))))
    generated = [e.generated_at for e in ordered if e.generated_at]
    states = session.states
    if seen.state and seen.state not in session.reached():
        first = seen.state == names.STATE_QUARANTINED and seen.cordoned_at
        states = (*states, (seen.state, first or at))
    return msgspec.structs.replace(
        session,
        ending="",
        ending_detail="",
        events=ordered,
        state=seen.state,
        states=states,
        generated_at=min(generated, default=session.generated_at),
        quarantined_at=session.quarantined_at or seen.cordoned_at or None,
        cordoned=seen.unschedulable,
        cordon_preexisting=session.cordon_preexisting or seen.cordon_preexisting,
    )


def _end_session(session: Session, at: float, ending: Ending, detail: str) -> Session:
    return msgspec.structs.replace(
        session,
        open=False,
        state="",
        cordoned=False,
        ended_at=at,
        ending=ending,
        ending_detail=detail,
    )


def _is_other_node_object(session: Session, node: Node) -> bool:
    """Whether `node` is not the Node object that an open or terminated session was about.

    10:16  RebootNode or TerminateNode for Node UID 1
    10:20  no Node: terminated
    10:24  Node UID 2 of the same name: told once as the replacement, and no recovery
    """
    if session.ending == "terminated":
        return session.replaced_at is None
    return session.open and "" not in (node.uid, session.node_uid) and node.uid != session.node_uid


def _end_replaced(session: Session, node: Node, at: float) -> Session:
    created = node.created or at
    when = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    text = f"{GONE}; a new one of the same name was created {when}"
    over = _end_session(session, session.ended_at or created, "terminated", text)
    return msgspec.structs.replace(over, replaced_at=created)


def _ended_before_we_came(seen: Marks) -> Session:
    """A node first seen after its session: only when it ended is left on it. No key, since
    what began it is gone."""
    return Session(
        ended_at=seen.uncordoned_at,
        ending="recovered",
        ending_detail="NVSentinel had uncordoned the node before nvsx looked",
        previous_end=seen.uncordoned_at,
    )


def _describe_by_hand(found: frozenset[str]) -> str:
    verb = "uncordoned" if names.UNCORDONED_BY_HAND_ANNOTATION in found else "untainted"
    return f"a person {verb} the node, which cancels NVSentinel's work on it"


def _list_still_unhealthy(session: Session, node: Node) -> list[str]:
    checks = {e.check for e in session.events}
    return [c.type for c in node.conditions if c.type in checks and messages.is_unhealthy(c)]
