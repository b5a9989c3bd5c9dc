"""What is known of an incident: a fold over its journal, and the story of a node over several.

`NodeStory.after` takes events in order and is the only way anything changes. All values are
immutable, so a decision can be tried and thrown away. `Stamp.mono` is there for events of the
living process only: after a restart how long ago something was is told by the wall clock, and
never as less than nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from nvsx.core.incident import incident_events as ev
from nvsx.core.incident.seen_records import (
    AlertRecord,
    AttemptRecord,
    FaultRecord,
    SessionRecord,
    Stamp,
)

__all__ = [
    "AlertRecord",
    "AttemptRecord",
    "FaultRecord",
    "IncidentState",
    "NodeStory",
    "SessionRecord",
    "Stamp",
    "fold_event",
]


class IncidentState(msgspec.Struct, frozen=True, kw_only=True):
    """One incident, as far as it has been seen. `state_since` is when state or cause changed.
    `holds` are those that hold now, `held_by` has the kinds of all that ever did."""

    opened: ev.IncidentOpened
    began: Stamp
    key: str
    aliases: tuple[str, ...]
    events: int = 1
    faults: tuple[FaultRecord, ...] = ()
    sessions: tuple[SessionRecord, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
    alerts: tuple[AlertRecord, ...] = ()
    holds: tuple[ev.HoldBegan, ...] = ()
    held_by: frozenset[str] = frozenset()
    runs: tuple[tuple[ev.RunJoined, str], ...] = ()
    told: tuple[ev.PeopleTold, ...] = ()
    notes: tuple[ev.IncidentNoted, ...] = ()
    node: ev.NodeChanged = ev.NodeChanged()
    node_since: Stamp = Stamp(0.0)
    cause: ev.StateChanged = ev.StateChanged(state="observing")
    state_since: Stamp = Stamp(0.0)
    ended: ev.IncidentEnded | None = None
    ended_seen: Stamp | None = None

    @property
    def state(self) -> ev.IncidentPhase:
        return self.cause.state

    @property
    def ended_at(self) -> float | None:
        """When it was seen to be over; None while it is not."""
        return self.ended_seen.at if self.ended_seen is not None else None

    @property
    def session(self) -> SessionRecord | None:
        """The session the node is in, or was in last."""
        return self.sessions[-1] if self.sessions else None

    @property
    def open_session(self) -> SessionRecord | None:
        return self.session if self.session is not None and self.session.is_open else None

    @property
    def attempt(self) -> AttemptRecord | None:
        return self.attempts[-1] if self.attempts else None

    def served_by(self, attempt: AttemptRecord) -> tuple[int, ...]:
        """The faults an attempt serves: those of its event, once that is known; a request can be
        seen before the fault it was made for has its id, or without that fault at all."""
        event_id = attempt.began.event_id
        named = tuple(f.no for f in self.faults if event_id and event_id in f.latest.ids)
        return named or attempt.began.serves

    @property
    def was_quarantined(self) -> bool:
        """In dry run NVSentinel writes its marks and does nothing."""
        return any(not s.dry_run for s in self.sessions)

    @property
    def working_runs(self) -> tuple[str, ...]:
        return tuple(joined.run_id for joined, status in self.runs if not status)

    @property
    def is_left_alone(self) -> bool:
        """It was open when nvsx first looked at its cluster: nobody is paged for it until a person
        adopts it."""
        return self.opened.adopted and not self.has_note(ev.ADOPTED_BY_HAND)

    def has_note(self, code: str) -> bool:
        return any(note.code == code for note in self.notes)


class NodeStory(msgspec.Struct, frozen=True):
    """The incidents of one node: the open one, the last that ended, and what that left over."""

    node: str
    open: IncidentState | None = None
    last: IncidentState | None = None
    left_overs: tuple[ev.LeftOver, ...] = ()

    def after(self, event: ev.IncidentEvent, stamp: Stamp) -> NodeStory:
        """The story with one event more. Events before an `opened` or for no incident that is
        known are passed over, so that a cut journal can still be read."""
        if isinstance(event, ev.IncidentOpened):
            return replace(self, open=_fold_opened(event, stamp))
        if isinstance(event, ev.LeftOverGone):
            left_overs = tuple(left for left in self.left_overs if left != event.left_over)
            counted = self.last and replace(self.last, events=self.last.events + 1)
            return replace(self, left_overs=left_overs, last=counted)
        if self.open is None:
            # Notes and messages still come after the end.
            last = fold_event(self.last, event, stamp) if self.last is not None else None
            return replace(self, last=last)
        changed = fold_event(self.open, event, stamp)
        if isinstance(event, ev.IncidentEnded):
            return replace(self, open=None, last=changed, left_overs=event.left_overs)
        return replace(self, open=changed)

    def after_entries(self, entries: Iterable[ev.IncidentEntry]) -> NodeStory:
        """The story after a restart: rows of the store, of one incident after the other."""
        story = self
        for entry in entries:
            story = story.after(entry.body, Stamp(entry.t))
        return story


def _fold_opened(event: ev.IncidentOpened, stamp: Stamp) -> IncidentState:
    return IncidentState(
        opened=event, began=stamp, key=event.key, aliases=(event.key,), state_since=stamp
    )


def fold_event(state: IncidentState, event: ev.IncidentEvent, stamp: Stamp) -> IncidentState:
    """`state` with one event more."""
    change = _CHANGES.get(type(event))
    fields: dict[str, Any] = change(state, event, stamp) if change is not None else {}
    return replace(state, events=state.events + 1, **fields)


def _fold_identified(
    state: IncidentState, event: ev.IncidentIdentified, _: Stamp
) -> dict[str, Any]:
    aliases = tuple(dict.fromkeys((*state.aliases, event.key)))
    return {"aliases": aliases, "key": event.key if event.main else state.key}


def _fault_seen(state: IncidentState, event: ev.FaultSeen, stamp: Stamp) -> dict[str, Any]:
    known = next((f for f in state.faults if f.no == event.fault), None)
    if known is None:
        fresh = FaultRecord(
            no=event.fault,
            first=event,
            latest=event,
            seen=stamp,
            renewed=stamp,
            order=state.events + 1,
        )
        return {"faults": (*state.faults, fresh)}
    cleared = None if event.anew else known.cleared
    renewed = stamp if event.anew else known.renewed
    changed = replace(known, latest=event, cleared=cleared, renewed=renewed)
    return {"faults": _replace_record(state.faults, changed)}


def _fault_cleared(state: IncidentState, event: ev.FaultCleared, _: Stamp) -> dict[str, Any]:
    return {"faults": _change_record(state.faults, event.fault, cleared=event)}


def _fold_outlived(state: IncidentState, event: ev.SideEffectOutlived, _: Stamp) -> dict[str, Any]:
    return {"faults": _change_record(state.faults, event.fault, outlived=True)}


def _session_began(state: IncidentState, event: ev.SessionBegan, stamp: Stamp) -> dict[str, Any]:
    order = state.events + 1
    fresh = SessionRecord(
        no=event.session,
        began=event,
        seen=stamp,
        order=order,
        ids=event.ids,
        state=event.state,
        states=((event.state, stamp.at, order),) if event.state else (),
        dry_run=event.dry_run,
        planned=event.planned,
    )
    return {"sessions": (*state.sessions, fresh)}


def _session_changed(
    state: IncidentState, event: ev.SessionChanged, stamp: Stamp
) -> dict[str, Any]:
    known = next((s for s in state.sessions if s.no == event.session), None)
    if known is None:
        return {}
    states = known.states
    if event.state and event.state != known.state:
        states = (*states, (event.state, stamp.at, state.events + 1))
    changed = replace(
        known,
        ids=event.ids,
        state=event.state,
        states=states,
        dry_run=event.dry_run,
        planned=event.planned,
    )
    return {"sessions": _replace_record(state.sessions, changed)}


def _session_ended(state: IncidentState, event: ev.SessionEnded, at: Stamp) -> dict[str, Any]:
    return {"sessions": _change_record(state.sessions, event.session, ended=event, ended_seen=at)}


def _alert_attached(state: IncidentState, event: ev.AlertAttached, at: Stamp) -> dict[str, Any]:
    """Anew, when one that was taken back fires again."""
    wanted = (event.key, event.started)
    others = [a for a in state.alerts if (a.attached.key, a.attached.started) != wanted]
    return {"alerts": (*others, AlertRecord(attached=event, seen=at))}


def _alert_resolved(state: IncidentState, event: ev.AlertResolved, _: Stamp) -> dict[str, Any]:
    wanted = (event.key, event.started)
    return {
        "alerts": tuple(
            replace(a, resolved=True) if (a.attached.key, a.attached.started) == wanted else a
            for a in state.alerts
        )
    }


def _attempt_began(state: IncidentState, event: ev.AttemptBegan, stamp: Stamp) -> dict[str, Any]:
    fresh = AttemptRecord(no=event.attempt, began=event, seen=stamp, order=state.events + 1)
    return {"attempts": (*state.attempts, fresh)}


def _attempt_changed(
    state: IncidentState, event: ev.AttemptChanged, stamp: Stamp
) -> dict[str, Any]:
    known = next((a for a in state.attempts if a.no == event.attempt), None)
    if known is None:
        return {}
    done = known.request_done
    if event.request:  # janitor can go back to a stale copy of its request
        finished = event.request in ("succeeded", "failed")
        done = (done or stamp) if finished else None
    ended = known.ended
    if event.request in ("in progress", "manual") and not known.booted:
        ended = None  # it is at work again, and will end again
    changed = replace(
        known,
        signal=event.signal or known.signal,
        signal_at=event.signal_at if event.signal_at is not None else known.signal_at,
        request=event.request or known.request,
        request_done=done,
        ended=ended,
        failure=event.failure or known.failure,
        detail=event.detail or known.detail,
        booted=event.booted or known.booted,
        ready=stamp if event.ready and known.ready is None else known.ready,
        ready_at=event.ready_at if event.ready and known.ready is None else known.ready_at,
    )
    return {"attempts": _replace_record(state.attempts, changed)}


def _attempt_ended(state: IncidentState, event: ev.AttemptEnded, at: Stamp) -> dict[str, Any]:
    return {"attempts": _change_record(state.attempts, event.attempt, ended=event, ended_seen=at)}


def _hold_began(state: IncidentState, event: ev.HoldBegan, _: Stamp) -> dict[str, Any]:
    return {
        "holds": (*_without_hold(state, event), event),
        "held_by": state.held_by | {event.kind},
    }


def _hold_ended(state: IncidentState, event: ev.HoldEnded, _: Stamp) -> dict[str, Any]:
    return {"holds": _without_hold(state, event)}


def _without_hold(
    state: IncidentState, event: ev.HoldBegan | ev.HoldEnded
) -> tuple[ev.HoldBegan, ...]:
    return tuple(h for h in state.holds if (h.kind, h.name) != (event.kind, event.name))


def _run_joined(state: IncidentState, event: ev.RunJoined, _: Stamp) -> dict[str, Any]:
    others = tuple(r for r in state.runs if r[0].run_id != event.run_id)
    return {"runs": (*others, (event, ""))}


def _run_ended(state: IncidentState, event: ev.RunEnded, _: Stamp) -> dict[str, Any]:
    return {
        "runs": tuple(
            (joined, event.status or "ended") if joined.run_id == event.run_id else (joined, status)
            for joined, status in state.runs
        )
    }


def _state_changed(state: IncidentState, event: ev.StateChanged, at: Stamp) -> dict[str, Any]:
    """Other words for the same cause (one pod less) do not begin its time anew."""
    before = state.cause
    same = (before.state, before.code) == (event.state, event.code)
    return {"cause": event, "state_since": state.state_since if same else at}


def _fold_ended(_: IncidentState, event: ev.IncidentEnded, stamp: Stamp) -> dict[str, Any]:
    over = ev.StateChanged(state="over", code=event.how, text=event.text)
    return {"ended": event, "ended_seen": stamp, "cause": over, "state_since": stamp}


def _replace_record(records: tuple[Any, ...], changed: Any) -> tuple[Any, ...]:
    return tuple(changed if r.no == changed.no else r for r in records)


def _change_record(records: tuple[Any, ...], number: int, **fields: Any) -> tuple[Any, ...]:
    return tuple(replace(r, **fields) if r.no == number else r for r in records)


_CHANGES: dict[type, Callable[[IncidentState, Any, Stamp], dict[str, Any]]] = {
    ev.IncidentIdentified: _fold_identified,
    ev.FaultSeen: _fault_seen,
    ev.FaultCleared: _fault_cleared,
    ev.SideEffectOutlived: _fold_outlived,
    ev.SessionBegan: _session_began,
    ev.SessionChanged: _session_changed,
    ev.SessionEnded: _session_ended,
    ev.AlertAttached: _alert_attached,
    ev.AlertResolved: _alert_resolved,
    ev.AttemptBegan: _attempt_began,
    ev.AttemptChanged: _attempt_changed,
    ev.AttemptEnded: _attempt_ended,
    ev.HoldBegan: _hold_began,
    ev.HoldEnded: _hold_ended,
    ev.NodeChanged: lambda _s, event, stamp: {"node": event, "node_since": stamp},
    ev.StateChanged: _state_changed,
    ev.RunJoined: _run_joined,
    ev.RunEnded: _run_ended,
    ev.PeopleTold: lambda state, event, _: {"told": (*state.told, event)},
    ev.IncidentNoted: lambda state, event, _: {"notes": (*state.notes, event)},
    ev.IncidentEnded: _fold_ended,
}
