"""What nvsx says by itself about an incident, where no hook is there to say it.

Words come from the runbook's hooks. By itself nvsx speaks for: the end, catching up, an alert that
the cluster does not confirm, a fault without a runbook, people needed where no run has said so,
and (in `storm_speaking`) a storm. It is asked after each change and when a wait is over, says what
is true and not said yet, and each thing under a call that is the same after a restart:

    12:25:00 the RebootNode timed out: people are needed. A run's hook has 30 s to page for it
    12:25:30 nobody has: page, call nvsx/i-7/people/repair-timed-out/1
    12:26:00 NVSentinel's second RebootNode: post, call nvsx/i-7/attempt/2
    12:41:00 the node is back, over: resolve of both pages and the ticket, and a post of the end
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from nvsx.core import durations
from nvsx.core.incident.catching_up import joined_late, tell_so_far
from nvsx.core.incident.incident_state import FaultRecord, IncidentState
from nvsx.core.incident.incident_times import times_of
from nvsx.core.notify.facts_block import name_faults, tell_cause, tell_remedy
from nvsx.core.notify.merging import ADOPTED, WHILE_AWAY, tell_minute
from nvsx.core.notify.message import Closes, Message, Severity
from nvsx.core.notify.subject import StormView

HOOKS_HAVE = 30.0
"""Seconds. A run fires its hook within a second, and a hook has 30 s by default: until then a run's
own words come first."""
RUNS_BEGIN_WITHIN = 60.0
"""Seconds. A run for a fault begins at once, or when its runbook's limit lets it; a fault that has
none by then has no runbook."""
FIRST_LOOKS = 60.0
"""Seconds. What the first looks at a cluster find, one after the other, was there before."""
REMINDED_EVERY = 86400.0


class Speaking(msgspec.Struct, frozen=True, kw_only=True):
    """One incident as it is asked about. `known` are the messages of it that were accepted, whoever
    asked for them. `silenced`: the node is silenced, and only what was begun is ended. `routed`:
    runbooks are looked for here (a daemon), so that a fault without a run has no runbook. `storm`
    is the one that it is part of."""

    incident_id: str
    incident: IncidentState
    known: Sequence[Message] = ()
    silenced: bool = False
    routed: bool = True
    storm: StormView | None = None

    @property
    def is_quiet_member(self) -> bool:
        """It joined a storm that had its page already."""
        members = self.storm.members if self.storm is not None else ()
        return any(m.incident == self.incident_id and not m.paged_itself for m in members)

    def knows(self, call: str) -> bool:
        return any(m.call == call for m in self.known)


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said now, and when to ask again for time's sake (Unix seconds)."""

    messages: tuple[Message, ...] = ()
    next_look: float | None = None


def speak(asked: Speaking, now: float) -> Spoken:
    """All that is true, not said yet, and nobody else's to say."""
    if asked.incident.ended is not None:
        said = list(_say_end(asked, now))
        if not asked.silenced:
            said += _say_still_firing(asked, now)
        return Spoken(messages=_not_said_yet(asked, said))
    if asked.silenced:
        return Spoken()
    said, waits = [], []
    for rule in (_say_late, _say_people_needed, _say_repairing_again, _say_no_runbook):
        for found in rule(asked, now):
            if isinstance(found, Message):
                said.append(found)
            else:
                waits.append(found)
    said += _say_unconfirmed(asked, now)
    return Spoken(
        messages=_not_said_yet(asked, said),
        next_look=min((t for t in waits if t > now), default=None),
    )


def _not_said_yet(asked: Speaking, said: list[Message]) -> tuple[Message, ...]:
    return tuple(_put_in_storm(asked, m) for m in said if not asked.knows(m.call))


def _put_in_storm(asked: Speaking, message: Message) -> Message:
    """The posts of a member that joined quietly are in the storm's thread, and wake nobody."""
    if not asked.is_quiet_member or message.kind != "post" or message.digest:
        return message
    storm = asked.storm.storm if asked.storm is not None else ""
    return replace(message, storm=storm, broadcast=False)


def _make_post(
    asked: Speaking, now: float, what: Sequence[str], title: str, text: str = ""
) -> Message:
    incident = asked.incident
    opened = incident.opened
    return Message(
        call="/".join(("nvsx", asked.incident_id, *what)),
        kind="post",
        title=title,
        text=text,
        severity="warning",
        by="nvsx",
        author="nvsx",
        incident=asked.incident_id,
        node=opened.node,
        cause=incident.cause.code,
        repair=_count_attempts(incident),
        rehearsal="drill" if opened.drill else "sandbox" if opened.sandbox else "",
        asked=now,
    )


# --- catching up ------------------------------------------------------------------------------


def _say_late(asked: Speaking, now: float) -> Iterator[Message | float]:
    """Found open on the first day: a line of one summary. Joined under way: what happened so far,
    once, together with the posts of the hooks whose stages are over."""
    incident = asked.incident
    node = incident.opened.node
    if incident.opened.adopted:
        found = _make_post(asked, now, ("adopted",), _tell_found(incident))
        digest = f"{ADOPTED}/{incident.opened.cluster_uid}"
        yield replace(found, late=True, digest=digest)
    elif incident.opened.late and joined_late(incident, incident.began.at):
        title = f"{node}: {name_faults(incident)}, found under way"
        text = tell_so_far(incident, now)
        yield replace(_make_post(asked, now, ("so-far",), title, text), late=True)


def _tell_found(incident: IncidentState) -> str:
    """`gpu-7: SysLogsXIDError 79, quarantined at 03:02Z; needs people: …`."""
    words = f"{incident.opened.node}: {name_faults(incident)}"
    if incident.was_quarantined:
        at = times_of(incident).quarantined
        words += f", quarantined at {tell_minute(at)}" if at is not None else ", quarantined"
    if incident.state == "needs people":
        words += f"; needs people: {tell_cause(incident, full=False)}"
    return words


# --- people are needed ------------------------------------------------------------------------


def _say_people_needed(asked: Speaking, now: float) -> Iterator[Message | float]:
    """A page where no run has said so, and a reminder each day in the thread, never at the pager.

    12:25:00 needs people · 12:25:29 a hook pages for it: nothing · or 12:25:30 nobody has: page.
    Three weeks later: the 21st reminder.
    """
    incident = asked.incident
    if incident.state != "needs people":
        return
    if incident.is_left_alone and not _has_moved(incident, incident.began.at + FIRST_LOOKS):
        return
    since, cause = incident.state_since.at, incident.cause
    which = (cause.code, f"{_count_attempts(incident)}")
    if not _somebody_paged(asked):
        if now < since + HOOKS_HAVE:
            yield since + HOOKS_HAVE
            return
        title = f"{incident.opened.node}: people are needed: {_tell_cause_and_attempt(incident)}"
        page = _make_post(asked, now, ("people", *which), title, _tell_what_to_do(incident))
        severity: Severity = "critical" if cause.code == "uncordoned-while-faulty" else "error"
        late = incident.opened.late and not asked.known
        yield replace(page, kind="page", severity=severity, late=late)
    day = math.floor((now - since) / REMINDED_EVERY)
    if day >= 1:
        length = durations.format(day * REMINDED_EVERY)
        title = f"{incident.opened.node} has waited for people for {length}: "
        title += _tell_cause_and_attempt(incident)
        text = _tell_what_to_do(incident)
        yield _make_post(asked, now, ("people", *which, "day", f"{day}"), title, text)
    yield since + (max(day, 0) + 1) * REMINDED_EVERY


def _count_attempts(incident: IncidentState) -> int:
    return incident.attempt.no if incident.attempt is not None else 0


def _somebody_paged(asked: Speaking) -> bool:
    """Whether a run or a person has asked for a page for this cause and attempt, or since it
    holds."""
    incident = asked.incident
    here = (incident.cause.code, _count_attempts(incident))
    return any(
        m.kind == "page"
        and m.by != "nvsx"
        and ((m.cause, m.repair) == here or m.asked >= incident.state_since.at)
        for m in asked.known
    )


def _has_moved(incident: IncidentState, since: float) -> bool:
    """Whether NVSentinel, the node or somebody did something after `since`: an attempt, a fault, a
    quarantine that began or ended. What only grew old is no change."""
    stamps = [f.seen for f in incident.faults]
    for attempt in incident.attempts:
        stamps += [attempt.seen, *filter(None, (attempt.ended_seen,))]
    for session in incident.sessions:
        stamps += [session.seen, *filter(None, (session.ended_seen,))]
    return any(stamp.at > since for stamp in stamps)


def _tell_cause_and_attempt(incident: IncidentState) -> str:
    words = tell_cause(incident, full=False) or name_faults(incident)
    number = _count_attempts(incident)
    return f"{words} (attempt {number})" if number > 1 else words


def _tell_what_to_do(incident: IncidentState) -> str:
    remedy = tell_remedy(incident, full=False)
    return f"What to do: {remedy}" if remedy else ""


def _say_repairing_again(asked: Speaking, now: float) -> Iterator[Message | float]:
    """From `needs people` back to `repairing` is told, by the run's hook where a run is at work."""
    incident, attempt = asked.incident, asked.incident.attempt
    if attempt is None or attempt.no < 2 or incident.state not in ("repairing", "recovering"):
        return
    if attempt.ended is not None or incident.working_runs:
        return
    called = any(m.kind == "page" and m.repair < attempt.no for m in asked.known)
    if called:
        title = f"{incident.opened.node}: attempt {attempt.no} has begun: {attempt.title}"
        text = "Nothing is wanted of you while it is at work."
        what = ("attempt", f"{attempt.no}")
        yield replace(_make_post(asked, now, what, title, text), broadcast=True)


# --- what nobody is for -----------------------------------------------------------------------


def _say_no_runbook(asked: Speaking, now: float) -> Iterator[Message | float]:
    """A warning, once an incident and no page: a catch-all is the team's to want."""
    incident = asked.incident
    if not asked.routed or incident.is_left_alone:
        return
    alone = [f for f in incident.faults if f.is_serious and not f.latest.planned]
    alone = [f for f in alone if not _has_run(incident, f)]
    if not alone:
        return
    due = min(f.seen.at for f in alone) + RUNS_BEGIN_WITHIN
    if now < due:
        yield due
        return
    names = ", ".join(dict.fromkeys(f.short for f in alone))
    title = f"{incident.opened.node}: no runbook is for {names}"
    text = "nvsx follows it and runs nothing. Give it a runbook, or one for all the rest: "
    text += "triggers: [{default: true}]"
    yield replace(_make_post(asked, now, ("no-runbook",), title, text), broadcast=True)


def _has_run(incident: IncidentState, fault: FaultRecord) -> bool:
    return any(not joined.faults or fault.no in joined.faults for joined, _ in incident.runs)


def _say_unconfirmed(asked: Speaking, now: float) -> Iterator[Message]:
    incident = asked.incident
    if not incident.has_note("nothing-shown") or incident.faults or incident.sessions:
        return
    source = next((a.attached.source for a in incident.alerts if a.attached.source), "its sender")
    title = f"{incident.opened.node}: {source} reports {name_faults(incident)}, and NVSentinel "
    title += "shows nothing so far"
    yield replace(_make_post(asked, now, ("nothing-shown",), title), broadcast=True)


# --- the end ----------------------------------------------------------------------------------


def _say_end(asked: Speaking, now: float) -> Iterator[Message]:
    """Closes what was opened, and says so where something was told. What nobody was told of ends
    as quietly, but for what began and ended while nvsx was not watching."""
    incident = asked.incident
    # What is asked for after the end (a postmortem's words, a person's page) is not ended by it.
    told = [m for m in asked.known if m.asked <= (incident.ended_at or now)]
    own = [m for m in told if not m.storm and not m.digest and m.kind != "resolve"]
    title = tell_how_it_ended(incident)
    closing: list[Closes] = []
    if any(m.kind == "page" for m in own):
        closing += ["watch", "people"]
    if any(m.kind == "ticket" for m in own):
        closing.append("ticket")
    for closes in closing:
        resolve = _make_post(asked, now, ("over", closes), title)
        yield replace(resolve, kind="resolve", closes=closes)
    if told:
        text = _tell_history(incident)
        yield replace(_make_post(asked, now, ("over",), title, text), broadcast=True)
    elif incident.opened.late and not incident.opened.adopted and not asked.silenced:
        began = times_of(incident).began
        since = f", since {tell_minute(began)}" if began is not None else ""
        missed = _make_post(asked, now, ("over",), f"{title}{since}")
        yield replace(missed, late=True, digest=WHILE_AWAY)


def tell_how_it_ended(incident: IncidentState) -> str:
    """`gpu-7 is back: SysLogsXIDError 79, recovered at 03:40Z after 38m`."""
    ended, node, faults = incident.ended, incident.opened.node, name_faults(incident)
    if ended is None:
        return ""
    total = times_of(incident).total_s
    after = f" after {durations.format(round(total))}" if total is not None else ""
    at = f" at {tell_minute(ended.at)}" if ended.at is not None else ""
    words = {
        "recovered": f"{node} is back: {faults}, recovered{at}{after}",
        "cleared": f"{node}: {faults} is quiet; NVSentinel never took the node out of service",
        "replaced": f"{node} was replaced{at}: a new node of the name is in service ({faults})",
        "removed": f"{node} was removed, not repaired ({faults}); its ticket stays open",
        "closed": f"{node}: closed by {ended.by or 'somebody'}{at}: {faults}",
        "unconfirmed": f"{node}: {faults}, closed as unconfirmed: no source of the cluster "
        "confirmed it, and its sender never took it back",
    }
    still = f"; still held: {', '.join(ended.still)}" if ended.still else ""
    return words[ended.how] + still


def _tell_history(incident: IncidentState) -> str:
    """Of more than one repair: how each ended."""
    if len(incident.attempts) < 2:
        return ""
    told = []
    for attempt in incident.attempts:
        how = attempt.ended.outcome if attempt.ended is not None else "not seen to end"
        told.append(f"attempt {attempt.no} ({attempt.title}): {how}")
    return "\n".join(told)


def _say_still_firing(asked: Speaking, now: float) -> Iterator[Message]:
    """Half an hour after the end: one post, no page."""
    for note in asked.incident.notes:
        kind, _, key = note.code.partition(":")
        if kind == "still-firing":
            title = f"{asked.incident.opened.node}: {note.text}, half an hour after the end"
            yield replace(_make_post(asked, now, ("still-firing", key), title), broadcast=True)
