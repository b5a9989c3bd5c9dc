"""The entries of an incident's journal in words, for `incidents show` and the report. Pure.

What NVSentinel says of itself (its label, its request) is quoted; what the node shows is told as
seen; what is not known is said to be so. Times are UTC. A worked time line:

    12:00:02  incident opened: a fault was seen
    12:00:02  fault 1: SysLogsXIDError 79 on PCI 0000:b3:00, fatal, seen in the node's condition
    12:00:05  attempt 1 began: NVSentinel asked for RebootNode r-1, for SysLogsXIDError 79
    12:00:06  attempt 1 (RebootNode r-1): its signal was sent
    12:00:45  attempt 1 (RebootNode r-1): a new boot of the node was seen
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from nvsx.core import durations
from nvsx.core.incident import incident_events as ev
from nvsx.core.incident.incident_state import IncidentState, NodeStory, Stamp

_SAME_MOMENT = 1.0
"""Seconds. API server and NVSentinel write whole seconds: a time this near to the line's own adds
nothing."""


class TimelineLine(msgspec.Struct, frozen=True):
    """`t` is when nvsx learnt it; `kind` is the entry's."""

    t: float
    kind: str
    text: str


class _Told:
    """One event, the incident with it, and when nvsx learnt of it."""

    def __init__(self, incident: IncidentState, t: float) -> None:
        self.incident = incident
        self.t = t

    def when(self, at: float | None, word: str = "at") -> str:
        """`, at 12:00:02`; "" for the moment of the line itself."""
        if at is None:
            return ", when is not known"
        if abs(at - self.t) < _SAME_MOMENT:
            return ""
        return f", {word} {format_clock(at, near=self.t)}"

    def fault(self, no: int) -> str:
        found = next((f.short for f in self.incident.faults if f.no == no), "")
        return f"fault {no} ({found})" if found else f"fault {no}"

    def faults(self, numbers: Iterable[int]) -> str:
        names = {f.no: f.short for f in self.incident.faults}
        return ", ".join(dict.fromkeys(names.get(no, f"fault {no}") for no in numbers))

    def attempt(self, no: int) -> str:
        found = next((a.title for a in self.incident.attempts if a.no == no), "")
        return f"attempt {no} ({found})" if found else f"attempt {no}"


def tell_timeline(entries: Iterable[ev.IncidentEntry]) -> list[TimelineLine]:
    """All of one incident, in the order in which nvsx learnt it."""
    lines: list[TimelineLine] = []
    story = NodeStory("")
    for entry in entries:
        story = story.after(entry.body, Stamp(entry.t))
        incident = story.open or story.last
        if incident is not None:
            text = describe_event(entry.body, incident, entry.t)
            lines.append(TimelineLine(entry.t, ev.incident_event_kind(entry.body), text))
    return lines


def describe_event(event: ev.IncidentEvent, incident: IncidentState, t: float) -> str:
    """One event in words; `incident` has it already, and nvsx learnt it at `t`."""
    return _WORDS[type(event)](event, _Told(incident, t))


def format_clock(at: float, near: float | None = None) -> str:
    """`12:00:02`, with the day where that is not the day of `near`. UTC."""
    moment = datetime.fromtimestamp(at, UTC)
    same_day = near is not None and datetime.fromtimestamp(near, UTC).date() == moment.date()
    return moment.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S")


def describe_left_over(left: ev.LeftOver) -> str:
    if left.kind == "session":
        return "NVSentinel's quarantine"
    return f"alert {left.name}" if left.kind == "alert" else left.name


def describe_hold(hold: ev.HoldBegan | ev.HoldEnded) -> str:
    """`validation val-1 by NVSentinel`."""
    who = f" by {hold.who}" if hold.who else ", by whom is not known"
    return f"{hold.kind} {hold.name}".rstrip() + who


# --- the incident and its faults --------------------------------------------------------------

_OPENED: dict[ev.OpenedBy, str] = {
    "quarantine": "NVSentinel's quarantine of the node was seen",
    "fault": "a fault was seen",
    "alert": "an alert came in",
    "by hand": "a run was started by hand",
}


def _describe_opened(event: ev.IncidentOpened, _: _Told) -> str:
    words = [f"incident opened: {_OPENED[event.by]}"]
    if event.late:
        words.append("it was under way when nvsx first looked")
    if event.adopted:
        words.append("nvsx knew nothing of this cluster before, so nobody is paged for it")
    if event.again_of:
        after = event.again_after_s
        length = "" if after is None else f", {durations.format(after)} after its end"
        words.append(f"again: it continues {event.again_of}{length}")
    if event.sandbox or event.drill:
        words.append("on a sandbox" if event.sandbox else "a drill")
    return "; ".join(words)


def _describe_identified(event: ev.IncidentIdentified, _: _Told) -> str:
    return f"known as {event.key} from now on" if event.main else f"also known as {event.key}"


_SHOWN_BY = {
    "condition": "the node's condition",
    "annotation": "NVSentinel's quarantine annotation",
    "event": "a Kubernetes Event",
}


def _describe_fault(event: ev.FaultSeen, told: _Told) -> str:
    record = next((f for f in told.incident.faults if f.no == event.fault), None)
    shown = " and ".join(_SHOWN_BY.get(source, source) for source in event.by) or "an alert"
    if event.anew:
        return f"{told.fault(event.fault)} is there again, seen in {shown}"
    if record is not None and record.first is not event and record.first != event:
        ids = f"; its events: {', '.join(event.ids)}" if event.ids else ""
        return f"more is seen of {told.fault(event.fault)}: now in {shown}{ids}"
    on = ", ".join(f"{kind} {value}" for kind, value in event.entities)
    words = [
        f"fault {event.fault}: {' '.join((event.check, *event.error_codes))}"
        + (f" on {on}" if on else ""),
        "planned work" if event.planned else "fatal" if event.fatal else "not fatal",
        f"seen in {shown}",
    ]
    if event.action:
        words.append(f"recommended action {event.action}")
    if event.side_effect_of:
        words.append(f"explained by the reboot of {told.attempt(event.side_effect_of)}")
    if event.skew_s is not None and abs(event.skew_s) >= _SAME_MOMENT:
        words.append(f"its sender's clock is off by {durations.format(abs(event.skew_s))}")
    since = "since when is not known" if event.at is None else told.when(event.at, "since")[2:]
    return ", ".join([*words, since] if since else words)


def _describe_cleared(event: ev.FaultCleared, told: _Told) -> str:
    return f"{told.fault(event.fault)} has cleared{told.when(event.at)}"


def _describe_outlived(event: ev.SideEffectOutlived, told: _Told) -> str:
    return f"{told.fault(event.fault)} is still there, so the reboot does not explain it"


def _describe_alert(event: ev.AlertAttached, _: _Told) -> str:
    about = " ".join((event.check, *event.error_codes)).strip()
    what = f"{about}, " if about else "" if event.names_fault else "it names no fault, "
    since = format_clock(event.started)
    return f"{event.source or 'a sender'} sent alert {event.key}: {what}firing since {since}"


def _describe_resolved(event: ev.AlertResolved, told: _Told) -> str:
    known = (a.attached for a in told.incident.alerts)
    source = next((a.source for a in known if a.key == event.key), "") or "its sender"
    return f"{source} took alert {event.key} back"


# --- NVSentinel's session and its repairs -----------------------------------------------------


def _quote_label(state: str) -> str:
    return f'; its label says "{state}"' if state else ""


def _describe_session(event: ev.SessionBegan, told: _Told) -> str:
    if event.dry_run:
        what = "NVSentinel marked the node in a dry run: nothing is cordoned"
    elif event.planned:
        what = "NVSentinel quarantined the node for planned work"
    else:
        what = "NVSentinel quarantined the node"
    return what + told.when(event.at) + _quote_label(event.state)


def _describe_session_change(event: ev.SessionChanged, told: _Told) -> str:
    session = next((s for s in told.incident.sessions if s.no == event.session), None)
    listed = f"it lists {len(event.ids)} event{'' if len(event.ids) == 1 else 's'}"
    moved = session is not None and session.states[-1:] and session.states[-1][2]
    if event.state and moved == told.incident.events:
        return f'NVSentinel\'s label says "{event.state}"; {listed}'
    return f"NVSentinel's quarantine changed: {listed}"


_SESSION_ENDED: dict[ev.SessionEnding, str] = {
    "released": "NVSentinel released the node",
    "by hand": "somebody took the node out of NVSentinel's quarantine by hand",
    "marks removed": "NVSentinel's marks are gone from the node, who removed them is not known",
    "node gone": "NVSentinel's quarantine went with the Node",
    "unwatched": "NVSentinel's quarantine had ended before the next one was seen, how is not known",
}


def _describe_session_end(event: ev.SessionEnded, told: _Told) -> str:
    return _SESSION_ENDED[event.how] + told.when(event.at)


_WHY: dict[ev.AttemptReason, str] = {
    "first": "",
    "retry": "",
    "other check": ", because of another check",
    "new fault": ", because of a new fault",
}


def _describe_attempt(event: ev.AttemptBegan, told: _Told) -> str:
    serves = told.faults(event.serves)
    asked = "asked again for" if event.why == "retry" else "asked for"
    request = f"{event.kind} {event.name}{_WHY[event.why]}"
    return f"attempt {event.attempt} began: NVSentinel {asked} {request}" + (
        (f", for {serves}" if serves else "") + told.when(event.at)
    )


def _describe_attempt_change(event: ev.AttemptChanged, told: _Told) -> str:
    record = next((a for a in told.incident.attempts if a.no == event.attempt), None)
    words = []
    if event.signal:
        said = "was sent" if event.signal == "sent" else "was refused"
        words.append(f"its signal {said}" + (told.when(event.signal_at) if event.signal_at else ""))
    if event.request:
        words.append(f'NVSentinel\'s request says "{event.request}"')
    if event.failure:
        words.append(f"failure: {event.failure}")
    if event.detail:
        words.append(event.detail)
    if event.booted:
        boots = record is None or record.began.effect != "node gone"
        words.append("a new boot of the node was seen" if boots else "the node is gone")
    if event.ready:
        words.append("the node is Ready" + told.when(event.ready_at, "since"))
    return f"{told.attempt(event.attempt)}: {'; '.join(words) or 'changed'}"


_OUTCOME: dict[ev.AttemptOutcome, str] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "taken away": "was taken away before it had ended",
    "unseen": "was not seen to end",
}


def _describe_attempt_end(event: ev.AttemptEnded, told: _Told) -> str:
    why = ": ".join(part for part in (event.failure, event.text) if part)
    known = event.outcome in ("succeeded", "failed")
    when = told.when(event.at) if known else ""
    return f"{told.attempt(event.attempt)} {_OUTCOME[event.outcome]}{when}" + (
        f": {why}" if why else ""
    )


# --- the node and the rest --------------------------------------------------------------------


def _describe_hold_began(event: ev.HoldBegan, told: _Told) -> str:
    since = ", since when is not known" if event.since is None else told.when(event.since, "since")
    detail = f": {event.detail}" if event.detail else ""
    return f"held: {describe_hold(event)}{since}{detail}"


def _describe_hold_ended(event: ev.HoldEnded, _: _Told) -> str:
    return f"no longer held: {describe_hold(event)}"


def _describe_node(event: ev.NodeChanged, told: _Told) -> str:
    if not event.there:
        return "the Node is gone"
    ready = {True: "is Ready", False: "is not Ready", None: "may be Ready or not: it is unknown"}
    since = told.when(event.ready_at, "since") if event.ready and event.ready_at else ""
    boot = f"; boot {event.boot_id}" if event.boot_id else ""
    return f"the node {ready[event.ready]}{since}{boot}"


def _describe_state(event: ev.StateChanged, _: _Told) -> str:
    why = f": {event.text} ({event.code})" if event.text else ""
    return f"state: {event.state}{why}" + (
        f"; remedy: {event.remedy.strip(' ;')}" if event.remedy else ""
    )


def _describe_run(event: ev.RunJoined, told: _Told) -> str:
    of = f" of {event.runbook}" if event.runbook else ""
    faults = told.faults(event.faults)
    return f"run {event.run_id}{of} joined" + (f", for {faults}" if faults else "")


def _describe_run_end(event: ev.RunEnded, _: _Told) -> str:
    return f"run {event.run_id} ended: {event.status or 'how is not known'}"


def _describe_told(event: ev.PeopleTold, _: _Told) -> str:
    """`told oncall: open page "gpu-7 fell off the bus" (nvsx/inc-7/watch)`."""
    details = event.details or {}
    title = f' "{details["title"]}"' if details.get("title") else ""
    what = f": {event.what}{title}" if event.what else ""
    verb = "would tell" if details.get("would") else "told"
    return f"{verb} {event.target}{what}" + (f" ({event.ref})" if event.ref else "")


def _describe_note(event: ev.IncidentNoted, _: _Told) -> str:
    return f"{event.author or 'nvsx'} noted: {event.text}" + (
        f" ({event.code})" if event.code else ""
    )


def _describe_end(event: ev.IncidentEnded, told: _Told) -> str:
    how = f"closed by {event.by}" if event.how == "closed" and event.by else event.how
    text = f": {event.text}" if event.text and event.text != how else ""
    words = [f"over: {how}{text}{told.when(event.at, 'as of')}"]
    if event.still:
        words.append(f"still held: {', '.join(event.still)}")
    if event.left_overs:
        words.append("left over: " + ", ".join(describe_left_over(x) for x in event.left_overs))
    return "; ".join(words)


def _describe_gone(event: ev.LeftOverGone, _: _Told) -> str:
    return f"after the end: {describe_left_over(event.left_over)} is over too"


_WORDS: dict[type[Any], Callable[[Any, _Told], str]] = {
    ev.IncidentOpened: _describe_opened,
    ev.IncidentIdentified: _describe_identified,
    ev.FaultSeen: _describe_fault,
    ev.FaultCleared: _describe_cleared,
    ev.SideEffectOutlived: _describe_outlived,
    ev.SessionBegan: _describe_session,
    ev.SessionChanged: _describe_session_change,
    ev.SessionEnded: _describe_session_end,
    ev.AlertAttached: _describe_alert,
    ev.AlertResolved: _describe_resolved,
    ev.AttemptBegan: _describe_attempt,
    ev.AttemptChanged: _describe_attempt_change,
    ev.AttemptEnded: _describe_attempt_end,
    ev.HoldBegan: _describe_hold_began,
    ev.HoldEnded: _describe_hold_ended,
    ev.NodeChanged: _describe_node,
    ev.StateChanged: _describe_state,
    ev.RunJoined: _describe_run,
    ev.RunEnded: _describe_run_end,
    ev.PeopleTold: _describe_told,
    ev.IncidentNoted: _describe_note,
    ev.IncidentEnded: _describe_end,
    ev.LeftOverGone: _describe_gone,
}
