"""Why nothing is happening on a node, and what a person can do about it.

Pure: `explain` looks at a snapshot, the stage a run waits in, and what is known of the
installation, and answers with notes, the most telling first. The observer's `why` calls
it. A note states what was seen, never what is merely likely; its remedy is a command or a
sentence for somebody who was just woken up. Note codes are stable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nvsx.core import durations
from nvsx.core.watches.snapshot import Note, Pod, Snapshot
from nvsx.nvsentinel import maintenance, messages, names, waiting_findings
from nvsx.nvsentinel.case import WaitingCase
from nvsx.nvsentinel.installation import Installation

#: How long a healthy node may stay cordoned before that is worth a note. NVSentinel's own
#: runbook for cordoned nodes says ten minutes.
HEALTHY_BUT_CORDONED = 600.0
#: Janitor's limit for a reboot or a reset, by its chart (timeout: 25m).
REPAIR_LIMIT = 1500.0
_CHAIN = ("detect", "quarantine", "drain", "remediate", "recover")


def explain(
    snapshot: Snapshot, stage: str, installation: Installation | None, now: float
) -> list[Note]:
    """The notes for a run that waits in `stage`; [] for stages NVSentinel has no part in.

    A run in `drain`, 10:15 fault, breaker tripped since 10:00:

        10:16  no quarantine, so that is what is really waited for: breaker-tripped
        10:20  breaker closed, quarantined: nothing-yet, waiting for node-drainer
        10:21  an Event names pods: drain-waits
        10:50  released: the incident is over
    """
    if stage not in _CHAIN:
        return []
    session = snapshot.session
    if session.ending and not session.open and stage != "recover":
        over = f"the incident is over ({session.ending}): only what was not read yet can still come"
        return [Note("nothing-yet", over)]
    case = WaitingCase(snapshot, _stage_waited_for(snapshot, stage), installation, now)
    found = [note for finding in _FINDINGS[case.stage] for note in finding(case)]
    return found or list(_nothing_yet(case))


def _stage_waited_for(snapshot: Snapshot, stage: str) -> str:
    """The stage of NVSentinel's that `stage` really waits for: no drain without a quarantine."""
    session = snapshot.session
    waits_for_quarantine = stage in ("drain", "remediate") and not session.open
    return "quarantine" if waits_for_quarantine and not session.state else stage


# --- remediate --------------------------------------------------------------------------------


def _find_repair(case: WaitingCase) -> Iterator[Note]:
    """The newest repair of this session, whatever state it is in."""
    if not case.repairs:
        return
    newest = case.repairs[-1]
    outcome, detail = maintenance.read_outcome(newest)
    name = f"{newest.kind} {newest.name}"
    look = f"kubectl get {newest.plural}.{newest.group} {newest.name} -o yaml"
    if outcome == "manual" and newest.kind not in names.JANITORS_KINDS:
        yield Note("external-repair", f"{name}: {detail}", f"ask those who repair it; {look}")
    elif outcome == "manual":
        yield Note(
            "manual-mode",
            f"{name}: {detail}",
            f"janitor waits for a person to do this on {case.snap.node_name}; {look}",
        )
    elif outcome == "failed":
        refused = detail.startswith("signal refused")
        late = detail.startswith("timed out")
        code = "cr-refused" if refused else "cr-timeout" if late else "cr-failed"
        after = (
            "fault-remediation takes it for still running and will not try again"
            if refused
            else "look at the machine itself before another try"
        )
        yield Note(code, f"{name}: {detail}", f"{after}; {look}")
    elif outcome == "escalated":
        yield Note(
            "cr-escalated",
            f"{name}: {detail}",
            f"if no RebootNode follows within minutes, look why: "
            f"{case.kubectl('logs deploy/fault-remediation')}",
        )
    elif outcome == "in-progress":
        since = newest.started or newest.created
        limit = ""
        if newest.kind in names.JANITORS_KINDS:
            end = since + REPAIR_LIMIT
            limit = f"; janitor gives up at {case.clock(end)}"
            if case.now > end:
                limit = f"; that is longer than janitor's {durations.format(REPAIR_LIMIT)}"
        text = f"{name} runs since {case.clock(since)}: {detail}{limit}"
        yield Note("cr-running", text, look)


def _find_manual_mode(case: WaitingCase) -> Iterator[Note]:
    if case.repairs or case.inst is None or case.inst.manual.value is not True:
        return
    yield Note(
        "manual-mode",
        f"janitor is in manual mode ({case.inst.manual.evidence}): it sends no signal",
        f"be ready to repair {case.snap.node_name} by hand once the request is there",
    )


# --- recover ----------------------------------------------------------------------------------


def _find_replacement(case: WaitingCase) -> Iterator[Note]:
    """The repair took the machine away; what follows is the provider's work."""
    session = case.snap.session
    if case.snap.node is None and session.ending == "terminated" and session.ended_at:
        yield Note(
            "node-replaced",
            f"the Node object is gone since {case.clock(session.ended_at)}, as NVSentinel's "
            f"repair wants it: waiting for a new Node {case.snap.node_name}",
            "see `kubectl get nodes`; if the new machine comes under another name, cancel this run",
        )


def _find_handed_over(case: WaitingCase) -> Iterator[Note]:
    if case.marks.handed_over and case.snap.session.open:
        yield Note(
            "handed-over",
            "NVSentinel has handed the node over and keeps it cordoned until a validation succeeds",
            f"kubectl get validationrequests | grep {case.snap.node_name}",
        )


def _find_healthy_but_cordoned(case: WaitingCase) -> Iterator[Note]:
    node, session = case.snap.node, case.snap.session
    if node is None or not node.unschedulable:
        return
    checks = {e.check for e in session.events}
    ours = [c for c in node.conditions if messages.is_check(c) and c.type in checks]
    if not ours or any(messages.is_unhealthy(c) for c in ours):
        return
    since = max(c.transition for c in ours)
    if case.now - since < HEALTHY_BUT_CORDONED:
        return
    holder, remedy = _tell_who_holds(case)
    yield Note(
        "healthy-but-cordoned",
        f"the checks are healthy since {case.clock(since)}, and the node is still cordoned: "
        f"{holder}",
        remedy,
    )


def _tell_who_holds(case: WaitingCase) -> tuple[str, str]:
    """Who holds the cordon, and what to do about it."""
    seen, session, node = case.marks, case.snap.session, case.snap.node_name
    if case.inst is not None and case.inst.breaker.value == "TRIPPED":
        return (
            "the tripped circuit breaker blocks recoveries",
            waiting_findings.reset_breaker_command(case),
        )
    if not session.open and (session.cordon_preexisting or seen.cordon_preexisting):
        return (
            "somebody had cordoned it before NVSentinel, which leaves that alone",
            f"ask who did, then: kubectl uncordon {node}",
        )
    if seen.events:
        left = sorted({e.check for e in seen.events})
        return (
            f"its annotation still lists {', '.join(left)}, which needs a healthy event",
            f"{_tell_when_taken_back(left[0])}; or end it by hand: kubectl uncordon {node}",
        )
    if seen.emptied:
        logs = case.kubectl(f"logs deploy/fault-quarantine | grep {node}")
        return (
            "fault-quarantine has begun to release it and did not finish",
            f"{logs}; or end it by hand: kubectl uncordon {node}",
        )
    if seen.handed_over:
        return (
            "NVSentinel has handed it over and waits for a validation",
            f"kubectl get validationrequests | grep {node}",
        )
    if seen.state:
        return (
            f"the state label is still {seen.state}",
            case.kubectl(f"logs deploy/fault-quarantine | grep {node}"),
        )
    return ("no mark of NVSentinel's is left on it", f"kubectl uncordon {node}, once you know why")


def _find_still_sick(case: WaitingCase) -> Iterator[Note]:
    """Recovery needs a healthy event for each fault; say which are outstanding."""
    checks = {e.check for e in case.snap.session.events}
    sick = [c.type for c in case.sick if c.type in checks or not checks]
    if not sick:
        return
    derived = [check for check in sick if names.agent_of(check) == names.ANALYZER]
    remedy = _tell_when_taken_back((derived or sick)[0])
    if derived and case.snap.session.open:
        remedy += f": end it by hand with kubectl uncordon {case.snap.node_name}"
    yield Note("nothing-yet", f"waiting for a healthy event of {', '.join(sick)}", remedy)


def _tell_when_taken_back(check: str) -> str:
    """When the monitor behind `check` takes its fault back, and what helps it.

    Sources: health-monitors/syslog-health-monitor (a new boot ID clears every check),
    gpu-health-monitor (a pod that starts reports every watch), csp-health-monitor.
    """
    agent = names.agent_of(check)
    if agent == names.ANALYZER:
        return f"{check} is derived and never gets a healthy event"
    if agent == "syslog-health-monitor":
        return (
            "the syslog monitor sends it after a reboot (a new boot ID) or a GPU reset; "
            "restarting its pod does not help"
        )
    if agent == "gpu-health-monitor":
        return (
            "the GPU monitor sends it when the watch passes again; if the GPU is healthy and it "
            "does not come, restart the monitor's pod on the node"
        )
    if agent == "csp-health-monitor":
        return "the CSP monitor sends it about 15 minutes after the maintenance"
    return f"the monitor sends it when {check} passes again"


# --- when nothing stands out ------------------------------------------------------------------


def _nothing_yet(case: WaitingCase) -> Iterator[Note]:
    """What is awaited; first of all, to see everything that counts."""
    unread = {k: v for k, v in case.snap.unread.items() if k in ("node", "pods", "events")}
    if unread:
        listed = "; ".join(f"{k}: {v}" for k, v in sorted(unread.items()))
        yield Note("nothing-yet", f"not everything of the node is read ({listed})")
        return
    yield Note("nothing-yet", _tell_what_is_awaited(case), _tell_next_step(case))


def _tell_next_step(case: WaitingCase) -> str:
    """Where to look while a module works and says nothing of itself on the node."""
    if (
        case.stage == "drain"
        and "Immediate" in (case.inst.drain_modes if case.inst else {}).values()
    ):
        return "node-drainer evicts them; see what may refuse that: kubectl get pdb -A"
    module = {"drain": "node-drainer", "remediate": "fault-remediation"}.get(case.stage)
    if module is None:
        return ""
    return f"see {case.kubectl(f'logs deploy/{module}')} | grep {case.snap.node_name}"


def _tell_what_is_awaited(case: WaitingCase) -> str:
    session = case.snap.session
    if case.stage == "detect":
        return (
            "no fault is shown: none of NVSentinel's conditions on the node is True (one that "
            "is not fatal, or STORE_ONLY, has none)"
            if not case.sick
            else (f"unhealthy now: {', '.join(c.type for c in case.sick)}")
        )
    if case.stage == "quarantine" and session.open:
        return (
            "NVSentinel has quarantined the node; what is missing is what the runbook asks besides"
        )
    if case.stage == "quarantine":
        return (
            "waiting for fault-quarantine to cordon the node, which takes seconds where a rule "
            "set matches the fault"
            if case.sick
            else "the node is not quarantined, and none of NVSentinel's conditions on it is True"
        )
    if case.stage == "drain":
        pods = [p for p in case.snap.pods_on_node() if _is_drainable(p)]
        listed = waiting_findings.list_pods([f"{p.namespace}/{p.name}" for p in pods])
        left = f": {listed} still on the node" if pods else ""
        return f"waiting for node-drainer{left}"
    if case.stage == "remediate":
        on = case.inst is not None and case.inst.log_collector.value is True
        logs = "; logs are collected first, for up to 10 minutes" if on else ""
        return f"waiting for fault-remediation to ask for a repair{logs}"
    if not (session.open or session.state):
        return "no mark of NVSentinel's is on the node: what is missing is the runbook's own"
    state = f" (state {session.state})" if session.state else ""
    return f"waiting for NVSentinel to take its marks off the node{state}"


def _is_drainable(pod: Pod) -> bool:
    """DaemonSet pods and finished ones are never touched by a drain."""
    return not pod.owner.startswith("DaemonSet/") and pod.phase not in ("Succeeded", "Failed")


_FINDINGS: dict[str, tuple[Callable[[WaitingCase], Iterator[Note]], ...]] = {
    "detect": (
        waiting_findings.find_opted_out,
        waiting_findings.find_no_effect,
        waiting_findings.find_node_not_ready,
    ),
    "quarantine": (
        waiting_findings.find_breaker_tripped,
        waiting_findings.find_dry_run,
        waiting_findings.find_opted_out,
        waiting_findings.make_missing_finding("fault-quarantine"),
        waiting_findings.find_no_effect,
        waiting_findings.find_no_rule,
        waiting_findings.find_not_quarantined,
        waiting_findings.find_node_not_ready,
    ),
    "drain": (
        waiting_findings.find_dry_run,
        waiting_findings.make_missing_finding("node-drainer"),
        waiting_findings.find_drain_waits,
    ),
    "remediate": (
        waiting_findings.find_dry_run,
        waiting_findings.find_drain_waits,
        _find_repair,
        waiting_findings.find_action_for_people,
        waiting_findings.find_repair_not_created,
        waiting_findings.make_missing_finding("fault-remediation", "janitor"),
        _find_manual_mode,
    ),
    "recover": (
        waiting_findings.find_breaker_tripped,
        waiting_findings.find_dry_run,
        _find_replacement,
        _find_handed_over,
        _find_healthy_but_cordoned,
        _find_repair,
        waiting_findings.find_action_for_people,
        waiting_findings.find_repair_not_created,
        waiting_findings.find_opted_out,
        waiting_findings.make_missing_finding("fault-quarantine"),
        waiting_findings.find_node_not_ready,
        _find_still_sick,
    ),
}
