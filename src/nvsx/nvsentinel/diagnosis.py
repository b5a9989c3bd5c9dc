"""What is awaited of NVSentinel on a node, where no cause explains why it does not come.

Pure: `explain` looks at a snapshot, the stage a run waits in, and what is known of the
installation. The observer's `why` calls it. What stands in the way is no matter of this module:
causes are found in one place for everybody (core/incident/causes). Codes are stable.
"""

from __future__ import annotations

from collections.abc import Iterator

from nvsx.core import durations
from nvsx.core.watches.snapshot import Note, Snapshot
from nvsx.nvsentinel import maintenance, names
from nvsx.nvsentinel.case import WaitingCase
from nvsx.nvsentinel.installation import Installation
from nvsx.nvsentinel.seen_causes import is_drainable, list_pods, tell_when_taken_back

#: Janitor's limit for a reboot or a reset, by its chart (timeout: 25m).
REPAIR_LIMIT = 1500.0
_CHAIN = ("detect", "quarantine", "drain", "remediate", "recover")


def explain(
    snapshot: Snapshot, stage: str, installation: Installation | None, now: float
) -> list[Note]:
    """The notes for a run that waits in `stage`; [] for stages NVSentinel has no part in.

    A run in `drain`, 10:15 fault:

        10:16  no quarantine yet, so that is what is really waited for
        10:20  quarantined: waiting for node-drainer, these pods are still on the node
        10:50  released: NVSentinel's quarantine is over
    """
    if stage not in _CHAIN:
        return []
    session = snapshot.session
    if session.ending and not session.open and stage != "recover":
        over = f"NVSentinel's quarantine is over ({session.ending})"
        return [Note("nothing-yet", f"{over}: only what was not read yet can still come")]
    case = WaitingCase(snapshot, installation, now)
    awaited = _stage_waited_for(snapshot, stage)
    found = [*_find_running_repair(case), *_find_still_sick(case)] if awaited == "recover" else []
    if awaited == "remediate":
        found = list(_find_running_repair(case))
    return found or list(_nothing_yet(case, awaited))


def _stage_waited_for(snapshot: Snapshot, stage: str) -> str:
    """The stage of NVSentinel's that `stage` really waits for: no drain without a quarantine."""
    session = snapshot.session
    waits_for_quarantine = stage in ("drain", "remediate") and not session.open
    return "quarantine" if waits_for_quarantine and not session.state else stage


def _find_running_repair(case: WaitingCase) -> Iterator[Note]:
    """The newest repair of this session, while it is at work."""
    newest = case.repairs[-1] if case.repairs else None
    outcome, detail = maintenance.read_outcome(newest) if newest else ("", "")
    if newest is None or outcome != "in-progress":
        return
    since = newest.started or newest.created
    limit = ""
    if newest.kind in names.JANITORS_KINDS:
        end = since + REPAIR_LIMIT
        limit = f"; janitor gives up at {case.clock(end)}"
        if case.now > end:
            limit = f"; that is longer than janitor's {durations.format(REPAIR_LIMIT)}"
    yield Note(
        "cr-running",
        f"{newest.kind} {newest.name} runs since {case.clock(since)}: {detail}{limit}",
        f"kubectl get {newest.plural}.{newest.group} {newest.name} -o yaml",
    )


def _find_still_sick(case: WaitingCase) -> Iterator[Note]:
    """Recovery needs a healthy event for each fault; say which are outstanding."""
    checks = {e.check for e in case.snap.session.events}
    sick = [c.type for c in case.sick if c.type in checks or not checks]
    if not sick:
        return
    derived = [check for check in sick if names.agent_of(check) == names.ANALYZER]
    remedy = tell_when_taken_back((derived or sick)[0])
    if derived and case.snap.session.open:
        remedy += f": end it by hand with kubectl uncordon {case.snap.node_name}"
    yield Note("nothing-yet", f"waiting for a healthy event of {', '.join(sick)}", remedy)


def _nothing_yet(case: WaitingCase, stage: str) -> Iterator[Note]:
    """What is awaited; first of all, to see everything that counts."""
    unread = {k: v for k, v in case.snap.unread.items() if k in ("node", "pods", "events")}
    if unread:
        listed = "; ".join(f"{k}: {v}" for k, v in sorted(unread.items()))
        yield Note("nothing-yet", f"not everything of the node is read ({listed})")
        return
    yield Note("nothing-yet", _tell_what_is_awaited(case, stage), _tell_next_step(case, stage))


def _tell_next_step(case: WaitingCase, stage: str) -> str:
    """Where to look while a module works and says nothing of itself on the node."""
    if stage == "drain" and "Immediate" in (case.inst.drain_modes if case.inst else {}).values():
        return "node-drainer evicts them; see what may refuse that: kubectl get pdb -A"
    module = {"drain": "node-drainer", "remediate": "fault-remediation"}.get(stage)
    if module is None:
        return ""
    return f"see {case.kubectl(f'logs deploy/{module}')} | grep {case.snap.node_name}"


def _tell_what_is_awaited(case: WaitingCase, stage: str) -> str:
    session = case.snap.session
    if stage == "detect":
        return (
            "no fault is shown: none of NVSentinel's conditions on the node is True (one that "
            "is not fatal, or STORE_ONLY, has none)"
            if not case.sick
            else (f"unhealthy now: {', '.join(c.type for c in case.sick)}")
        )
    if stage == "quarantine" and session.open:
        return (
            "NVSentinel has quarantined the node; what is missing is what the runbook asks besides"
        )
    if stage == "quarantine":
        return (
            "waiting for fault-quarantine to cordon the node, which takes seconds where a rule "
            "set matches the fault"
            if case.sick
            else "the node is not quarantined, and none of NVSentinel's conditions on it is True"
        )
    if stage == "drain":
        pods = [p for p in case.snap.pods_on_node() if is_drainable(p)]
        listed = list_pods([f"{p.namespace}/{p.name}" for p in pods])
        left = f": {listed} still on the node" if pods else ""
        return f"waiting for node-drainer{left}"
    if stage == "remediate":
        on = case.inst is not None and case.inst.log_collector.value is True
        logs = "; logs are collected first, for up to 10 minutes" if on else ""
        return f"waiting for fault-remediation to ask for a repair{logs}"
    if not (session.open or session.state):
        return "no mark of NVSentinel's is on the node: what is missing is the runbook's own"
    state = f" (state {session.state})" if session.state else ""
    return f"waiting for NVSentinel to take its marks off the node{state}"
