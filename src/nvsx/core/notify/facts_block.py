"""The facts that nvsx adds to a message: one line for a phone at night, and rows for the rest.

    gpu-7: SysLogsXIDError 79 · needs people: look at the console of gpu-7 before another try
    Incident   i-20261122-0302-7k3f, since 03:02Z (10m)
    Repair     attempt 2, RebootNode (asked for again): at work
    Jobs hit   2

They are made when the message is sent, from the incident as it is then, so that no hook can get
them wrong. What was not seen is "not known" or left out, never guessed. Level `node` has counts,
and no name of a job or namespace, whoever put it into a cause; level `full` has them; `none` has
no facts.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from nvsx.core import durations
from nvsx.core.aliases import alias_of
from nvsx.core.incident.causes import CAUSES
from nvsx.core.incident.incident_lines import describe_hold
from nvsx.core.incident.incident_state import AttemptRecord, IncidentState
from nvsx.core.incident.incident_times import times_of
from nvsx.core.incident.last_known import list_awaited
from nvsx.core.notify.merging import tell_minute
from nvsx.core.notify.order import FactsBlock, FactsLevel
from nvsx.core.notify.subject import StormView, Subject
from nvsx.core.plain_text import one_line

NAMES_SHOWN = 8
"""Faults, jobs and nodes of a row; a phone shows no more, and `status` has them all."""
_WITHOUT_NAMES = {
    "drain-waits": "the drain waits for pods on the node",
    "drain-blocked": "a disruption budget refuses the eviction of pods on the node",
    "pods-left": "NVSentinel reports the drain as finished, and pods are still running there",
}
"""Causes whose own words name pods and namespaces, in words for targets that may not have them."""
_CODES = frozenset(rule.code for rule in CAUSES)

Row = tuple[str, str]


def make_facts(about: Subject, level: FactsLevel, now: float) -> FactsBlock:
    """The block of a message that is sent now."""
    full = level == "full"
    rows: Iterator[Row]
    if level == "none":
        return FactsBlock(as_of=now)
    if about.storm is not None:
        headline, rows = tell_storm_headline(about.storm), _rows_of_storm(about, about.storm)
    elif about.incident is not None:
        headline = tell_headline(about.incident, full=full)
        rows = _rows_of_incident(about, about.incident, now, full=full)
    else:
        return FactsBlock(as_of=now)
    clean = tuple((name, one_line(value)) for name, value in rows if value)
    return FactsBlock(headline=one_line(headline), rows=clean, as_of=now)


def make_reply_facts(facts: FactsBlock) -> FactsBlock:
    """Of a word in a thread: the thread has the rest. What to do is said each time."""
    rows = tuple(row for row in facts.rows if row[0] in ("Cause", "Remedy"))
    return msgspec.structs.replace(facts, rows=rows)


# --- the line for the phone -------------------------------------------------------------------


def tell_headline(incident: IncidentState, *, full: bool = False) -> str:
    """Node, fault, state, and what is wanted of the reader."""
    return f"{incident.opened.node}: {name_faults(incident)} · {_tell_state(incident, full=full)}"


def name_faults(incident: IncidentState) -> str:
    """What broke: planned work and the side effects of a reboot only where there is nothing else.
    An alert that the cluster does not show is named as its sender's."""
    broke = [f for f in incident.faults if not (f.latest.planned or f.is_side_effect)]
    names = list(dict.fromkeys(f.short for f in broke or incident.faults))
    if not names:
        checks = (" ".join((a.attached.check, *a.attached.error_codes)) for a in incident.alerts)
        alerts = list(dict.fromkeys(filter(None, checks)))
        names = [f"alert {name}" for name in alerts]
    if not names:
        return {
            "alert": "an alert that names no fault",
            "by hand": "a run by hand",
            "quarantine": "quarantined, its fault is not known",
        }.get(incident.opened.by, "its fault is not known")
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + more


def _tell_state(incident: IncidentState, *, full: bool) -> str:
    if incident.ended is not None:
        return tell_end(incident)
    state = incident.state
    if state == "needs people":
        wanted = tell_remedy(incident, full=full) or tell_cause(incident, full=full)
        # The first thing to do; commands to copy are in the row.
        wanted = wanted.partition("; ")[0]
        return f"needs people: {wanted}" if wanted else "needs people"
    if state == "observing":
        return "observing, nothing wanted of you now"
    attempt = incident.attempt
    which = f" (attempt {attempt.no})" if attempt is not None and attempt.no > 1 else ""
    return f"{state}{which}, nothing wanted of you now"


def tell_end(incident: IncidentState) -> str:
    """`over: recovered at 03:40Z, nothing wanted of you`; what still holds the node is said."""
    ended = incident.ended
    if ended is None:
        return ""
    how = f"closed by {ended.by}" if ended.how == "closed" and ended.by else ended.how
    at = f" at {tell_minute(ended.at)}" if ended.at is not None else ""
    if ended.how == "removed":
        return f"over: removed, not repaired{at}"
    if ended.still:
        return f"over: {how}{at}, still held: {', '.join(ended.still)}"
    return f"over: {how}{at}, nothing wanted of you"


def tell_cause(incident: IncidentState, *, full: bool) -> str:
    """Why it stands where it stands; without names of pods where they are not wanted. A code that
    is not known here may name anything."""
    cause = incident.cause
    if full or not cause.text:
        return cause.text
    if cause.code not in _CODES:
        return cause.code.replace("-", " ")
    return _WITHOUT_NAMES.get(cause.code, cause.text)


def tell_remedy(incident: IncidentState, *, full: bool) -> str:
    cause = incident.cause
    if full or not cause.remedy or (cause.code in _CODES and cause.code not in _WITHOUT_NAMES):
        return cause.remedy.strip(" ;")
    return "`nvsx status` shows what to do"


# --- rows -------------------------------------------------------------------------------------


def _rows_of_incident(
    about: Subject, incident: IncidentState, now: float, *, full: bool
) -> Iterator[Row]:
    node = incident.opened.node
    if incident.ended is None:
        yield "Cause", tell_cause(incident, full=full)
        yield "Remedy", tell_remedy(incident, full=full)
    yield "Node", f"{node} ({alias_of(node)})" + (f" in {about.cluster}" if about.cluster else "")
    yield "Incident", f"{about.subject}, {_tell_since(incident, now)}"
    yield "Faults", _list_names([_name_fault(incident, n) for n in range(len(incident.faults))])
    yield "NVSentinel", _tell_session(incident)
    yield "Repair", _tell_attempt(incident.attempt)
    yield "Held by", ", ".join(describe_hold(h) for h in incident.holds if h.kind != "quarantine")
    if incident.state != "needs people":
        yield "Awaited", ", ".join(_list_awaited_briefly(incident, now))
    if about.jobs is not None:
        names = [f"{job.namespace}/{job.name}" for job in about.jobs]
        listed = f": {_list_names(names)}" if full and names else ""
        yield "Jobs hit", f"{len(about.jobs)}{listed}"
    if incident.opened.again_of:
        after = incident.opened.again_after_s
        length = f", {durations.format(round(after))} after its end" if after is not None else ""
        yield "Again", f"continues {incident.opened.again_of}{length}"


def _tell_since(incident: IncidentState, now: float) -> str:
    times = times_of(incident)
    if times.began is None:
        return "since when is not known"
    until = times.ended if times.ended is not None else now
    length = durations.format(round(max(0.0, until - times.began)))
    if incident.ended is not None:
        return f"from {tell_minute(times.began)}, {length} long"
    return f"since {tell_minute(times.began)} ({length})"


def _name_fault(incident: IncidentState, index: int) -> str:
    fault = incident.faults[index]
    if fault.cleared is not None:
        return f"{fault.short} (cleared)"
    if fault.is_side_effect:
        return f"{fault.short} (explained by the reboot)"
    return f"{fault.short} (planned)" if fault.latest.planned else fault.short


def _tell_session(incident: IncidentState) -> str:
    session = incident.session
    if session is None:
        return "has not quarantined the node"
    if session.dry_run:
        return "runs dry: nothing is cordoned, drained or repaired"
    if session.ended is not None:
        how = {"released": "released the node", "by hand": "was overruled by hand"}
        said = how.get(session.ended.how, "no longer holds the node")
        return said + (f" at {tell_minute(session.ended.at)}" if session.ended.at else "")
    since = f" since {tell_minute(session.began.at)}" if session.began.at is not None else ""
    label = f'; its label says "{session.state}"' if session.state else ""
    return f"holds the node{since}{label}"


def _tell_attempt(attempt: AttemptRecord | None) -> str:
    if attempt is None:
        return ""
    why = {"retry": " (asked for again)", "new fault": " (for a new fault)"}.get(
        attempt.began.why, ""
    )
    if attempt.began.why == "other check":
        why = " (for another check)"
    how: str
    if attempt.ended is not None:
        how = attempt.ended.outcome
    elif attempt.signal == "refused":
        how = "its signal was refused"
    else:
        how = "at work"
    return f"attempt {attempt.no}, {attempt.began.kind}{why}: {how}"


def _list_awaited_briefly(incident: IncidentState, now: float) -> list[str]:
    """Faults by check and code, requests by their kind: `nvsx status` has the long names, and UUIDs
    are not read on a phone. What clears has not to be quiet, too."""
    told: list[str] = []
    for whole in list_awaited(incident, now):
        words = whole
        for fault in incident.faults:
            words = words.replace(fault.name, fault.short)
        for attempt in incident.attempts:
            words = words.replace(attempt.title, f"the {attempt.began.kind}")
        told.append(words)
    unique = list(dict.fromkeys(told))
    clearing = {f"{words.removesuffix(' clears')} is quiet" for words in unique}
    return [words for words in unique if words not in clearing]


def _list_names(names: list[str]) -> str:
    unique = list(dict.fromkeys(names))
    more = len(unique) - NAMES_SHOWN
    listed = ", ".join(unique[:NAMES_SHOWN])
    return f"{listed} and {more} more" if more > 0 else listed


# --- a storm ----------------------------------------------------------------------------------


def tell_storm_headline(storm: StormView) -> str:
    """`storm: SysLogsXIDError 79 on 8 nodes of rack-4 · 3 back, 1 needs people`."""
    where = f" of {storm.domain}" if storm.domain else ""
    over = sum(m.is_over for m in storm.members)
    wanting = sum(m.needs_people for m in storm.members if not m.is_over)
    if storm.is_over:
        state = "over: all are back or closed"
    else:
        state = f"{over} over, {len(storm.members) - over} open"
        state += f", {wanting} {'needs' if wanting == 1 else 'need'} people" if wanting else ""
    return f"storm: {storm.fault or 'the same fault'} on {len(storm.nodes)} nodes{where} · {state}"


def _rows_of_storm(about: Subject, storm: StormView) -> Iterator[Row]:
    if about.cluster:
        yield "Cluster", about.cluster
    yield "First", storm.nodes[0] if storm.nodes else ""
    wanting = [m.node for m in storm.members if m.needs_people and not m.is_over]
    if wanting:
        yield "Need people", _list_names(wanting)
    yield "Nodes", _list_names(list(storm.nodes))
