"""One incident, one run: what becomes of an event, given what the store knows.

`settle` is pure over its ledger and runs inside the transaction that carries its decision
out, so that two sources that see one fault in the same instant still give one run. The
order of its rules is the order of their answers: seen before, not for us, a recovery, too
old, nothing matches, the incident has its run, people asked for silence, enough; else it
fires.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import msgspec

from nvsx.core import durations
from nvsx.core.journal.run_rows import NewRun, RunRow
from nvsx.core.routing.inbox import SETTLED, Ask, Decision, Ledger, Received
from nvsx.core.routing.route import TriggerFacts
from nvsx.serve.limits import Limits
from nvsx.serve.storms import joining

#: Clocks of nodes may differ by so much: a fault that began later than this after its run was
#: made is not the fault the run was made for.
SLACK = 120.0


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """An event after routing, with all that needs no store to know.

    `runbook` is "" when nothing matches; then `no_match` says why. `explicit` is true when
    the sender named the runbook. `unwanted` says why the event is not for this cluster, or
    that its source rules a run out. `horizon` is how long a delivery may be repeated.
    `age` is None when the event has no time; `in_open_session` says that an old event
    belongs to what is open on the node now. `fresh` marks a fault that was seen appearing;
    `there_since` is when a fault without a session that was found there began.
    `alike` are the runbooks a storm of this one can have. `run` is the run to create and
    `request` what it is asked for.
    """

    now: float
    keys: tuple[str, ...]
    horizon: float
    cluster: str
    source: str
    facts: TriggerFacts
    runbook: str = ""
    no_match: str = ""
    matched: str = ""
    explicit: bool = False
    unwanted: str = ""
    resolved: bool = False
    age: float | None = None
    in_open_session: bool = False
    fresh: bool = False
    session_key: str = ""
    there_since: float | None = None
    alike: frozenset[str] = frozenset()
    run: NewRun
    request: str = ""

    @property
    def node(self) -> str:
        return self.facts.node

    @property
    def what(self) -> str:
        """The fault in a few words."""
        codes = ", ".join(self.facts.error_codes)
        return f"{self.facts.check_name or 'an event'} {codes}".strip()


def incident_key(facts: TriggerFacts) -> str:
    """What tells one fault of a node from another where there is no quarantine session."""
    codes = sorted(facts.error_codes)
    entities = sorted("=".join(e) for e in facts.entities)
    said = "\0".join((facts.check_name, ",".join(codes), ",".join(entities)))
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def settle(case: Case, limits: Limits, ledger: Ledger) -> Decision:
    """What becomes of the event."""
    before = ledger.seen(case.keys, case.now - case.horizon)
    if before is not None and before.outcome in SETTLED and not _waited(case, before, ledger):
        said = f"delivered before, as {before.event_id}: {before.outcome}"
        return Decision(
            outcome="duplicate",
            reason=said,
            runbook=before.runbook,
            run_id=before.run_id,
            duplicate_of=before,
        )
    decision = _anew(case, limits, ledger)
    if before is not None and (decision.outcome, decision.reason) == (
        before.outcome,
        before.reason,
    ):
        return msgspec.structs.replace(decision, duplicate_of=before)
    return decision


def _waited(case: Case, before: Received, ledger: Ledger) -> bool:
    """Whether the event joined a run that had its own incident still to end, and has ended
    without following this one: a node has one run at a time, so it waited for its turn."""
    if before.outcome != "attached" or not case.node:
        return False
    last = ledger.last_on(case.cluster, case.node)
    return last is not None and last.run_id == before.run_id and _began_after(case, last)


def _began_after(case: Case, run: RunRow) -> bool:
    """Whether the incident is another one than that of `run`, which has ended, and later.

    Where there is no session, a run that passed has seen its fault go; any other may have
    given up on a fault that stayed, with what it brought along.
    """
    if case.session_key:
        return bool(run.session_key) and run.session_key != case.session_key
    if case.there_since is None or run.finished is None:
        return False
    over = run.created + SLACK if run.status == "passed" else run.finished
    return case.there_since > over


def _anew(case: Case, limits: Limits, ledger: Ledger) -> Decision:
    if case.unwanted:
        return _ignored(case.unwanted)
    holder = ledger.holder(case.cluster, case.node) if case.node else None
    if case.resolved or case.facts.is_healthy:
        return _recovery(case, holder)
    if case.age is not None and case.age > limits.max_event_age and not case.in_open_session:
        old = durations.format(round(case.age))
        reason = f"it is {old} old, and its incident is over"
        return Decision(outcome="missed", reason=reason, runbook=case.runbook)
    if holder is not None:
        return _joins(case, holder)
    if not case.runbook:
        return _ignored(case.no_match)
    known = _known_run(case, ledger)
    if known is not None:
        return known
    return _limited(case, limits, ledger) or _fires(case, limits, ledger)


def _ignored(reason: str, runbook: str = "") -> Decision:
    return Decision(outcome="ignored", reason=reason, runbook=runbook)


def _recovery(case: Case, holder: RunRow | None) -> Decision:
    """A recovery notice is a note on the open run: the cluster ends stages, nobody else."""
    if holder is None:
        return _ignored(f"a recovery notice, and no run is on {case.node or 'a node'}")
    text = f"{case.source} reports recovery of {case.what}"
    return Decision(
        outcome="noted",
        reason=f"noted on run {holder.run_id}; the cluster decides when it has recovered",
        runbook=holder.runbook,
        run_id=holder.run_id,
        asks=(Ask(run_id=holder.run_id, kind="note", text=text, code="resolved"),),
    )


def _joins(case: Case, holder: RunRow) -> Decision:
    """The node has an open run. What would fire nothing and repairs nothing stays out of it."""
    chain = case.facts.is_fatal and case.facts.processing_strategy == "EXECUTE_REMEDIATION"
    same = bool(case.session_key) and case.session_key == holder.session_key
    if not (case.runbook or chain or same):
        return _ignored(case.no_match)
    text = f"{case.source} also reports {case.what}"
    if case.session_key:
        text += f" (session {case.session_key})"
    return Decision(
        outcome="attached",
        reason=f"run {holder.run_id} is on {case.node}",
        runbook=holder.runbook,
        run_id=holder.run_id,
        asks=(Ask(run_id=holder.run_id, kind="note", text=text, code="joined"),),
    )


def _known_run(case: Case, ledger: Ledger) -> Decision | None:
    """The run this incident has had already; a person who names a runbook gets a new one."""
    if case.explicit:
        return _armed(case, ledger) if not case.node else None
    if case.session_key:
        run = ledger.of_session(case.cluster, case.node, case.session_key)
        if run is not None:
            return _had(run, f"session {case.session_key}")
    elif not case.fresh:
        run = ledger.of_incident(case.cluster, case.node, incident_key(case.facts))
        if run is not None and not _began_after(case, run):
            return _had(run, "the fault has been there since")
    last = ledger.last_on(case.cluster, case.node)
    at = case.facts.generated_at
    if last is None or last.finished is None or at is None or not at <= last.finished:
        return None
    earlier = at < last.created - 3600.0
    if earlier or _began_after(case, last):
        return None
    return _had(last, "the fault is older than its end")


def _had(run: RunRow, why: str) -> Decision:
    return Decision(
        outcome="attached",
        reason=f"the incident has had its run {run.run_id} ({run.status}): {why}",
        runbook=run.runbook,
        run_id=run.run_id,
    )


def _armed(case: Case, ledger: Ledger) -> Decision | None:
    run = ledger.armed(case.cluster, case.runbook)
    if run is None:
        return None
    reason = f"run {run.run_id} waits for the first fault already"
    return Decision(outcome="attached", reason=reason, runbook=run.runbook, run_id=run.run_id)


def _limited(case: Case, limits: Limits, ledger: Ledger) -> Decision | None:
    silence = ledger.silence(case.cluster, case.node, case.now) if case.node else None
    if silence is not None:
        until = f"{datetime.fromtimestamp(silence.until, UTC):%Y-%m-%d %H:%M UTC}"
        reason = f"{case.node} is silenced by {silence.by} until {until}: {silence.reason}"
        return _ignored(reason, case.runbook)
    if limits.throttle_runs is None or case.explicit:
        return None
    since = case.now - limits.throttle_window
    fired = len(ledger.recent(case.cluster, (case.runbook,), since))
    if fired < limits.throttle_runs:
        return None
    window = durations.format(limits.throttle_window)
    reason = f"{case.runbook} is throttled: {fired} runs within {window}"
    return msgspec.structs.replace(_ignored(reason, case.runbook), throttled=True)


def _fires(case: Case, limits: Limits, ledger: Ledger) -> Decision:
    storm = joining(ledger, case.cluster, case.alike, case.node, case.now, limits)
    asks: tuple[Ask, ...] = ()
    if storm.leader:
        text = f"a storm: {storm.size} nodes within a short time; run {storm.leader} leads"
        told = ("", *storm.members)
        asks = tuple(Ask(run_id=r, kind="note", text=text, code="storm") for r in told)
    return Decision(
        outcome="fired",
        reason=case.matched,
        runbook=case.runbook,
        create=case.run,
        request=case.request,
        asks=asks,
        incident="" if case.session_key or not case.node else incident_key(case.facts),
        storm=storm.leader,
        storm_size=storm.size,
        members=storm.members,
    )
