"""Findings about waiting: breaker, dry run, opt-out, missing modules, drains, actions.

Each takes a Case and yields the notes it justifies, often none; `diagnosis` says which of
them count in which stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nvsx.core.incident.session import HealthEvent
from nvsx.core.watches.snapshot import Note
from nvsx.nvsentinel import marks, messages, names
from nvsx.nvsentinel.case import WaitingCase

#: A note is a sentence: more pods than this are counted.
_SHOWN_PODS = 5
#: How long a non-fatal Event explains why nothing happens; Kubernetes keeps Events that long.
EVENT_EXPLAINS_FOR = 3600.0
#: NVSentinel's own acceptance test gives the cordon two minutes.
CORDONED_WITHIN = 120.0

# --- what holds in several stages -------------------------------------------------------------


def find_breaker_tripped(case: WaitingCase) -> Iterator[Note]:
    """TRIPPED stops fault-quarantine altogether, recovery included."""
    if case.inst is None or case.inst.breaker.value != "TRIPPED":
        return
    effect = (
        "recoveries are blocked too: nodes stay cordoned"
        if case.stage == "recover" and case.snap.session.open
        else ("no node is cordoned until it is reset")
    )
    yield Note(
        "breaker-tripped",
        f"NVSentinel's circuit breaker is TRIPPED: {effect}",
        f"find out why so many nodes failed, then {reset_breaker_command(case)}",
    )


def reset_breaker_command(case: WaitingCase) -> str:
    return (
        "set data.status to CLOSED and restart fault-quarantine: "
        f"{case.kubectl('get cm circuit-breaker -o yaml')}"
    )


def find_dry_run(case: WaitingCase) -> Iterator[Note]:
    known = case.inst is not None and case.inst.dry_run.value is True
    if known or (case.marks.dry_run and case.snap.session.open):
        where = (
            case.inst.dry_run.evidence
            if known and case.inst
            else "the annotations say cordoned, and the node is not"
        )
        yield Note(
            "dry-run",
            f"NVSentinel runs dry ({where}): it notes what it would do and does nothing",
            f"repair by hand, or switch it off (Helm value global.dryRun): "
            f"{case.kubectl('get deploy fault-quarantine -o yaml | grep dry-run')}",
        )


def find_opted_out(case: WaitingCase) -> Iterator[Note]:
    label = marks.opted_out(case.snap.node) if case.snap.node is not None else ""
    if label:
        key = label.partition("=")[0]
        yield Note(
            "opted-out",
            f"label {label} keeps NVSentinel away from this node",
            f"if it should be looked after: kubectl label node {case.snap.node_name} {key}-",
        )


def find_node_not_ready(case: WaitingCase) -> Iterator[Note]:
    node = case.snap.node
    if node is None or node.ready is True:
        return
    ready = node.condition("Ready")
    since = f" since {case.clock(ready.transition)}" if ready and ready.transition else ""
    state = "unknown" if node.ready is None else "not Ready"
    why = f": {ready.message or ready.reason}" if ready and (ready.message or ready.reason) else ""
    yield Note(
        "node-not-ready",
        f"the kubelet's state is {state}{since}{why}",
        f"kubectl describe node {node.name}; if it does not come back, look at its console",
    )


def make_missing_finding(*modules: str) -> Callable[[WaitingCase], Iterator[Note]]:
    def finding(case: WaitingCase) -> Iterator[Note]:
        if case.inst is None:
            return
        for name in modules:
            module = case.inst.modules.get(name)
            if case.inst.missing(name):
                yield Note(
                    f"module-missing:{name}",
                    f"{name} is not installed, so NVSentinel does not {_WORK[name]}",
                    f"do it by hand, or enable {name} in NVSentinel's Helm values",
                )
            elif module is not None and not module.works and module.kind == "Deployment":
                yield Note(
                    f"module-missing:{name}",
                    f"{name} is not ready ({module.evidence}), so NVSentinel does not "
                    f"{_WORK[name]}",
                    case.kubectl(f"describe deploy {module.objects[0]}"),
                )

    return finding


_WORK = {
    "fault-quarantine": "cordon nodes, nor uncordon them",
    "node-drainer": "drain nodes",
    "fault-remediation": "ask for repairs",
    "janitor": "carry repairs out",
}


# --- detect and quarantine ------------------------------------------------------------------


def find_no_effect(case: WaitingCase) -> Iterator[Note]:
    """Faults that NVSentinel records and does not act on; silent beside one it may act on."""
    if case.snap.session.known or case.sick:
        return
    for event in _recent_events(case):
        if event.strategy in (names.STORE_ONLY, names.STORE_AND_ANALYSE):
            yield Note(
                "store-only",
                f"{event.check} is {event.strategy}: it is stored and changes nothing on the node",
                "watch it with kind health-event, or change processingStrategy of its monitor",
            )
            return
    for found in case.snap.events:
        if messages.is_check_event(found) and found.last >= case.now - EVENT_EXPLAINS_FOR:
            event = messages.event_of_kubernetes_event(found)
            yield Note(
                "action-none",
                f"{event.check} is not fatal (recommended action {event.action}): NVSentinel "
                "writes an Event, no condition and no cordon",
                "watch it with kind node-event and type " + event.check,
            )
            return


def find_no_rule(case: WaitingCase) -> Iterator[Note]:
    """Faults that no rule set of fault-quarantine is for: those of the analyzer, for one."""
    if case.inst is None or case.snap.session.open or not case.sick:
        return
    agents = {c.type: names.agent_of(c.type) for c in case.sick}
    if any(not agent or case.inst.quarantines(agent) for agent in agents.values()):
        return
    who = ", ".join(sorted(set(agents.values())))
    yield Note(
        "no-rule",
        f"{', '.join(agents)}: no rule set of fault-quarantine is for events of {who}, so the "
        "node is not cordoned for it",
        f"decide by hand: kubectl cordon {case.snap.node_name}; or add a rule set "
        f"({case.kubectl('get cm fault-quarantine -o yaml')})",
    )


def find_not_quarantined(case: WaitingCase) -> Iterator[Note]:
    """Nothing explains it, and fault-quarantine takes seconds, not minutes.

    10:15:30  the condition is True
    10:17:29  no cordon: nothing is said yet
    10:17:30  no cordon: this is said
    """
    if case.snap.session.open or not case.sick:
        return
    since = min(c.transition for c in case.sick)
    if not since or case.now - since < CORDONED_WITHIN:
        return
    yield Note(
        "not-quarantined",
        f"{', '.join(c.type for c in case.sick)}: unhealthy since {case.clock(since)}, and "
        "fault-quarantine has not cordoned the node: perhaps none of its rule sets matches",
        f"see {case.kubectl('logs deploy/fault-quarantine')} | grep {case.snap.node_name}; if it "
        f"should be out of service: kubectl cordon {case.snap.node_name}",
    )


def _recent_events(case: WaitingCase) -> list[HealthEvent]:
    unhealthy = (e for e in case.snap.health_events if not e.healthy)
    return sorted(unhealthy, key=lambda e: -(e.created_at or e.generated_at))


def find_action_for_people(case: WaitingCase) -> Iterator[Note]:
    """Recommended actions that end with people: no resource will be created for them."""
    session = case.snap.session
    mapped = {r.action for r in case.inst.repairs} if case.inst and case.inst.repairs else set()
    repairing = mapped or names.REPAIRING_ACTIONS
    if mapped - set(names.ACTIONS.values()):
        repairing |= {"CUSTOM"}  # which of them it is stands in the document alone
    events = session.events
    if not events or case.repairs or any(e.action in repairing for e in events):
        return
    event = events[-1]
    codes = f" {', '.join(event.error_codes)}" if event.error_codes else ""
    if event.action == "NONE":
        yield Note(
            "action-none",
            f"the recommended action for {event.check}{codes} is NONE: no repair will come",
            "decide by hand whether the node needs one",
        )
        return
    yield Note(
        "action-contact-support",
        f"the recommended action for {event.check}{codes} is {event.action}: NVSentinel creates "
        "no repair for it, people have to act",
        f"{names.PEOPLES_PART.get(event.action, 'look at the event and decide by hand')}; node "
        f"{case.snap.node_name} stays cordoned until its checks are healthy",
    )


def find_repair_not_created(case: WaitingCase) -> Iterator[Note]:
    """A repair is due, and fault-remediation could not create the resource for it."""
    failed = case.snap.session.state == names.STATE_REMEDIATION_FAILED
    if not failed or case.repairs or any(find_action_for_people(case)):
        return
    yield Note(
        "repair-not-created",
        "the state is remediation-failed, and no repair of this incident exists: "
        "fault-remediation could not create it, and tries again with growing pauses",
        f"see why: {case.kubectl('logs deploy/fault-remediation')} | grep {case.snap.node_name}",
    )


# --- drain ----------------------------------------------------------------------------------


def find_drain_waits(case: WaitingCase) -> Iterator[Note]:
    """What the drain waits for, by the drainer's own Events of this session.

        10:16:00  Event: awaits ml/train-0, ml/train-1
        10:40:00  train-0 has ended: ml/train-1 alone is named
        10:50:00  state remediating: the drain is over, nothing is said

    The Event's list is cut to the pods that are still there, where the pods can be read.
    """
    session = case.snap.session
    node = case.snap.node_name
    if session.state == names.STATE_DRAIN_FAILED:
        yield Note(
            "drain-failed",
            "NVSentinel could not drain the node (drain-failed) and goes no further by itself",
            case.kubectl(f"logs deploy/node-drainer | grep {node}"),
        )
        return
    if session.state not in ("", names.STATE_QUARANTINED, names.STATE_DRAINING):
        return
    began = session.began or 0.0
    waits = [w for w in map(messages.parse_drain_wait, case.snap.events) if w is not None]
    waits = [w for w in waits if w.last >= began]
    running = {f"{p.namespace}/{p.name}": p for p in case.snap.pods_on_node()}
    known = bool(running) and "pods" not in case.snap.unread
    pods = [p for w in waits for p in w.pods if not known or p in running]
    forced = [w.force_delete_at for w in waits if w.force_delete_at]
    if forced and pods:
        yield Note(
            "drain-waits",
            f"the drain waits for {list_pods(pods)}; DeleteAfterTimeout deletes what is left at "
            f"{case.clock(min(forced))}",
            f"to end it earlier: {_delete_command(pods)}"
            if min(forced) > case.now
            else f"that has passed; see {case.kubectl('logs deploy/node-drainer')} | grep {node}",
        )
    elif pods:
        owner = running[pods[0]].owner if pods[0] in running else ""
        belongs = f" ({owner})" if owner else ""
        yield Note(
            "drain-waits",
            f"the drain waits for {list_pods(pods)}{belongs} to finish, without limit "
            "(AllowCompletion evicts nothing)",
            f"let them finish, or end them: {_delete_command(pods)}",
        )


def list_pods(pods: list[str]) -> str:
    unique = list(dict.fromkeys(pods))
    more = len(unique) - _SHOWN_PODS
    text = ", ".join(unique[:_SHOWN_PODS]) + (f" and {more} more" if more > 0 else "")
    return f"{'pod' if len(unique) == 1 else f'{len(unique)} pods'} {text}"


def _delete_command(pods: list[str]) -> str:
    namespace, _, name = pods[0].partition("/")
    return f"kubectl -n {namespace} delete pod {name}"
