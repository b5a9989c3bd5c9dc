"""What becomes of an event: what it adds to the incident of its node, and whether it fires.

`settle` is pure over its ledger and runs inside the transaction that carries its decision out, so
that two sources that see one fault in the same instant give one incident with one run. It first
steps the node's story with what is seen now and what the event itself is evidence of; whatever is
answered then, that is on record. The order of the rules is the order of their answers: seen
before, not for us, a recovery, too old, nothing matches, the incident has its run, people asked
for silence, enough; else it fires.

    12:00:00 thermal warning on n1: an incident, thermal-throttle fires
    12:00:04 XID 79 on n1: the same incident, gpu-off-bus fires beside it
    12:00:05 XID 79 by another source: attached to the run of gpu-off-bus
    12:20:00 that run was cancelled; NVSentinel tries its repair again: attached, nothing fires
    18:00:00 an NVLink fault in the same session: a new fault, its runbook fires
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from nvsx.core import durations
from nvsx.core.incident.incident_events import IncidentEnded, IncidentOpened, RunJoined
from nvsx.core.incident.incident_state import FaultRecord, IncidentState, NodeStory
from nvsx.core.incident.node_look import StoryNews, step_look
from nvsx.core.journal.run_rows import RunRow
from nvsx.core.routing.inbox import SETTLED, Ask, Decision, Ledger, StormFault
from nvsx.serve.limits import Limits
from nvsx.serve.settling_case import SLACK, Case, faults_of_event, is_about
from nvsx.serve.storms import JOINING_CLOSES, Joining, find_storm


def settle(case: Case, limits: Limits, ledger: Ledger) -> Decision:
    """What becomes of the event, with what its node's incident has more."""
    news = None
    if case.look is not None:
        news = step_look(case.look, ledger.story(case.cluster, case.look.stored))
    decision = _decide_case(case, limits, ledger, news)
    return msgspec.structs.replace(decision, news=news)


def _decide_case(case: Case, limits: Limits, ledger: Ledger, news: StoryNews | None) -> Decision:
    before = ledger.seen(case.keys, case.now - case.horizon)
    if before is not None and before.outcome in SETTLED:
        return Decision(
            outcome="duplicate",
            reason=f"delivered before, as {before.event_id}: {before.outcome}",
            runbook=before.runbook,
            run_id=before.run_id,
            duplicate_of=before,
        )
    decision = _decide_anew(case, limits, ledger, news)
    same = before is not None and (decision.outcome, decision.reason) == (
        before.outcome,
        before.reason,
    )
    return msgspec.structs.replace(decision, duplicate_of=before) if same else decision


def _decide_anew(case: Case, limits: Limits, ledger: Ledger, news: StoryNews | None) -> Decision:
    if case.unwanted:
        return _ignore_case(case.unwanted)
    story = news.story if news is not None else NodeStory(case.node)
    if case.resolved or case.facts.is_healthy:
        return _take_recovery(case, ledger, news)
    age = case.age
    if (
        age is not None
        and age > limits.max_event_age
        and not _belongs_to_incident(case, story.open)
    ):
        reason = f"it is {durations.format(round(age))} old, and its incident is over"
        return Decision(outcome="missed", reason=reason, runbook=case.runbook)
    if not case.runbook:
        return _no_runbook(case, ledger, story.open)
    if not case.node:
        return (
            _join_armed_run(case, ledger)
            or _limit_case(case, limits, ledger)
            or _fire_run(case, Joining())
        )
    if news is None or story.open is None:
        return _answer_alert(case, story)
    return _in_incident(case, limits, ledger, news, story.open)


def _ignore_case(reason: str, runbook: str = "") -> Decision:
    return Decision(outcome="ignored", reason=reason, runbook=runbook)


def _no_runbook(case: Case, ledger: Ledger, incident: IncidentState | None) -> Decision:
    """A fault that no runbook takes, the catch-all neither: it is on record in its incident.

    Where a run is at work there for a fault that is to be repaired, people know of the node, and
    that run is told. Else it wakes nobody, which is counted and warned of: a thermal warning's
    run does not speak for it.
    """
    if not case.is_serious:
        return _ignore_case(case.no_match)
    row = _heavy_run(ledger, incident) if incident is not None else None
    if row is None:
        return msgspec.structs.replace(_ignore_case(case.no_match), unrouted=True)
    return Decision(
        outcome="attached",
        reason=f"no runbook is for it; run {row.run_id} is on {case.node}",
        runbook=row.runbook,
        run_id=row.run_id,
        asks=(_joined_note(case, row),),
    )


def _heavy_run(ledger: Ledger, incident: IncidentState) -> RunRow | None:
    """A run at work for a fault that is to be repaired."""
    fatal = {f.no for f in incident.faults if f.latest.fatal}
    heavy = {joined.run_id for joined, _ in incident.runs if fatal & {*joined.faults}}
    return next((r for r in _runs_at_work(ledger, incident) if r.run_id in heavy), None)


def _joined_note(case: Case, row: RunRow) -> Ask:
    text = f"{case.source} also reports {case.what}"
    return Ask(run_id=row.run_id, kind="note", text=text, code="joined")


def _take_recovery(case: Case, ledger: Ledger, news: StoryNews | None) -> Decision:
    """A recovery notice is a note: the cluster ends incidents. It ends one of alerts alone."""
    story = news.story if news is not None else NodeStory(case.node)
    ended = news is not None and any(isinstance(e, IncidentEnded) for e in news.events)
    incident = story.last if ended else story.open
    if incident is None:
        return _ignore_case(
            f"a recovery notice, and no incident is open on {case.node or 'a node'}"
        )
    working = _runs_at_work(ledger, incident)
    text = f"{case.source} reports recovery of {case.what}"
    if ended:
        reason = "noted; with it the incident is over"
    elif working:
        reason = f"noted on run {working[0].run_id}; the cluster decides when it has recovered"
    else:
        reason = "noted; the cluster decides when it has recovered"
    return Decision(
        outcome="noted",
        reason=reason,
        runbook=working[0].runbook if working else "",
        run_id=working[0].run_id if working else "",
        asks=tuple(Ask(run_id=r.run_id, kind="note", text=text, code="resolved") for r in working),
    )


def _runs_at_work(ledger: Ledger, incident: IncidentState) -> list[RunRow]:
    rows = [ledger.run(run_id) for run_id in incident.working_runs]
    return [row for row in rows if row is not None and row.finished is None]


def _belongs_to_incident(case: Case, incident: IncidentState | None) -> bool:
    """Whether an old event is part of what is open on its node now."""
    if case.late or case.explicit:
        return True
    if incident is None:
        return False
    faults = faults_of_event(case, incident)
    if any(case.event_id and case.event_id in f.latest.ids for f in faults):
        return True
    at = case.facts.generated_at
    known = [f.latest.generated or f.latest.at for f in faults]
    if at is None or None in known:
        return at is not None and bool(faults)
    return at >= min([t for t in known if t is not None] or [incident.began.at]) - SLACK


def _answer_alert(case: Case, story: NodeStory) -> Decision:
    """Nothing is open on the node: an earlier incident has answered this, or it has gone."""
    last = story.last
    if last is None or last.ended is None:
        return _ignore_case(f"{case.node} does not show it", case.runbook)
    run_id = next((j.run_id for j, _ in reversed(last.runs) if j.runbook == case.runbook), "")
    text = last.ended.text or last.ended.how
    reason = f"its incident is over: {text}" + (f" (run {run_id})" if run_id else "")
    return Decision(outcome="attached", reason=reason, runbook=case.runbook, run_id=run_id)


def _in_incident(
    case: Case, limits: Limits, ledger: Ledger, news: StoryNews, incident: IncidentState
) -> Decision:
    """One run at work for each runbook of an incident; what has had its run gets no second."""
    faults = faults_of_event(case, incident)
    opened_now = any(isinstance(e, IncidentOpened) for e in news.events)
    stored = "" if opened_now else news.stored.open_id
    row = ledger.at_work(case.cluster, case.node, case.runbook, stored)
    if row is not None:
        return _join_run(case, row, incident, faults)
    if not case.explicit and faults and all(f.is_side_effect for f in faults):
        reason = "the repair that is under way explains it; it is news if it outlives that"
        return _ignore_case(reason, case.runbook)
    if not case.explicit:
        had = _had_its_run(case, news, incident, faults)
        if had is not None:
            return had
        if incident.is_left_alone and all(f.seen.at == incident.began.at for f in faults):
            reason = (
                "it was open when nvsx first looked at this cluster, and nobody is paged for it; "
                f"`nvsx incidents adopt {case.node}` does"
            )
            return _ignore_case(reason, case.runbook)
    limited = _limit_case(case, limits, ledger)
    if limited is not None:
        return limited
    fault = _storm_fault(case, faults)
    known = ledger.storm_faults(case.cluster, case.now - limits.storm_window - JOINING_CLOSES)
    storm = find_storm(fault, known, case.now, case.gpu_nodes, limits)
    if storm.leader:
        size = max(storm.size, ledger.storm_size(storm.leader) + 1)
        storm = msgspec.structs.replace(storm, size=size)
    joins = RunJoined(run_id="", runbook=case.runbook, faults=tuple(f.no for f in faults))
    decision = _fire_run(case, storm, late=incident.opened.late)
    return msgspec.structs.replace(decision, joins=joins, fault=fault)


def _join_run(
    case: Case, row: RunRow, incident: IncidentState, faults: tuple[FaultRecord, ...]
) -> Decision:
    """A fault for a runbook at work joins its run."""
    known = next((j for j, _ in incident.runs if j.run_id == row.run_id), None)
    served = known.faults if known is not None else ()
    both = tuple(dict.fromkeys((*served, *(f.no for f in faults))))
    joins = RunJoined(run_id=row.run_id, runbook=row.runbook, faults=both)
    return Decision(
        outcome="attached",
        reason=f"run {row.run_id} is on {case.node}",
        runbook=row.runbook,
        run_id=row.run_id,
        asks=(_joined_note(case, row),),
        joins=joins if known is None or both != served else None,
    )


def _had_its_run(
    case: Case, news: StoryNews, incident: IncidentState, faults: tuple[FaultRecord, ...]
) -> Decision | None:
    """The run that has ended and was about the same: a retry of NVSentinel's, a fault that comes
    and goes, a second sender. A new fault, or a person who names the runbook, starts another."""
    runs = [(j, status) for j, status in incident.runs if j.runbook == case.runbook]
    if not runs:
        return None
    for_alerts = any(not j.faults for j, _ in runs)
    alerts = news.stored.story.open.alerts if news.stored.story.open is not None else ()
    about = any(
        is_about(case.facts, case.event_id, a.attached.check, a.attached.error_codes, ())
        for a in alerts
    )
    served = {no for j, _ in runs for no in j.faults}
    if faults:
        done = all(f.no in served or (for_alerts and about) for f in faults)
    else:
        done = about or not case.look or not _is_new_alert(news)
    if not done:
        return None
    joined, status = runs[-1]
    return Decision(
        outcome="attached",
        reason=f"the incident has had its run {joined.run_id} ({status or 'running'})",
        runbook=joined.runbook,
        run_id=joined.run_id,
    )


def _is_new_alert(news: StoryNews) -> bool:
    known = news.stored.story.open.alerts if news.stored.story.open is not None else ()
    after = news.story.open.alerts if news.story.open is not None else ()
    return len(after) > len(known)


def _storm_fault(case: Case, faults: tuple[FaultRecord, ...]) -> StormFault:
    """The fault as storms count it, by its own time."""
    times = [f.latest.at for f in faults if f.latest.at is not None]
    at = min(times, default=case.facts.generated_at or case.now)
    first = faults[0].latest if faults else None
    return StormFault(
        node=case.node,
        domain=case.domain,
        check=first.check if first is not None else case.facts.check_name,
        codes=first.error_codes if first is not None else case.facts.error_codes,
        fatal=case.facts.is_fatal,
        at=at,
    )


def _join_armed_run(case: Case, ledger: Ledger) -> Decision | None:
    run = ledger.armed(case.cluster, case.runbook)
    if run is None:
        return None
    reason = f"run {run.run_id} waits for the first fault already"
    return Decision(outcome="attached", reason=reason, runbook=run.runbook, run_id=run.run_id)


def _limit_case(case: Case, limits: Limits, ledger: Ledger) -> Decision | None:
    silence = ledger.silence(case.cluster, case.node, case.now) if case.node else None
    if silence is not None:
        until = f"{datetime.fromtimestamp(silence.until, UTC):%Y-%m-%d %H:%M UTC}"
        reason = f"{case.node} is silenced by {silence.by} until {until}: {silence.reason}"
        return _ignore_case(reason, case.runbook)
    if limits.throttle_runs is None or case.explicit:
        return None
    since = case.now - limits.throttle_window
    fired = len(ledger.recent(case.cluster, case.runbook, since))
    if fired < limits.throttle_runs:
        return None
    window = durations.format(limits.throttle_window)
    reason = f"{case.runbook} is throttled: {fired} runs within {window}"
    return msgspec.structs.replace(_ignore_case(reason, case.runbook), throttled=True)


def _fire_run(case: Case, storm: Joining, *, late: bool = False) -> Decision:
    asks: tuple[Ask, ...] = ()
    if storm.leader:
        text = f"a storm: {storm.size} nodes within a short time; run {storm.leader} was first"
        told = ("", *storm.members)
        asks = tuple(Ask(run_id=r, kind="note", text=text, code="storm") for r in told)
    request = case.request
    if request is not None and late:
        request = msgspec.structs.replace(request, late=True)
    return Decision(
        outcome="fired",
        reason=case.matched,
        runbook=case.runbook,
        create=case.run,
        request=msgspec.json.encode(request).decode() if request is not None else "",
        asks=asks,
        storm=storm.leader,
        storm_size=storm.size,
        members=storm.members,
    )
