"""Causes that only the objects of a cluster show: pods, budgets, Events, rule sets.

Each finding takes what is known of a node and yields the causes it justifies, often none. Which of
them counts, in which stage, and who is needed for it is decided in one list for all causes
(core/incident/causes); a finding states what was seen, never what is merely likely.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from nvsx.core.incident.session import HealthEvent
from nvsx.core.incident.sight import SeenCause
from nvsx.core.watches.snapshot import Pod, Snapshot
from nvsx.nvsentinel import messages, names
from nvsx.nvsentinel.case import WaitingCase
from nvsx.nvsentinel.installation import Installation

#: A cause is a sentence: more pods than this are counted.
_SHOWN_PODS = 5
#: How long a non-fatal Event explains why nothing happens; Kubernetes keeps Events that long.
EVENT_EXPLAINS_FOR = 3600.0
#: How long a healthy node may stay cordoned before that is worth a word. NVSentinel's own
#: runbook for cordoned nodes says ten minutes.
HEALTHY_BUT_CORDONED = 600.0
#: node-drainer never touches pods of these (charts/node-drainer/values.yaml, systemNamespaces).
_SYSTEM_NAMESPACES = frozenset(
    {"nvsentinel", "kube-system", "gpu-operator", "gmp-system", "network-operator", "skyhook"}
)
_IN_DRAIN = ("", names.STATE_QUARANTINED, names.STATE_DRAINING)


def find_seen_causes(
    snapshot: Snapshot, installation: Installation | None, now: float
) -> tuple[SeenCause, ...]:
    """Everything that the objects of the node's cluster explain now.

    10:16 quarantined, an Event names ml/train-0: drain-waits · 10:40 the kubelet is silent too:
    both are found, and the list says which counts · 10:50 released: neither
    """
    case = WaitingCase(snapshot, installation, now)
    return tuple(cause for finding in _FINDINGS for cause in finding(case))


# --- drain ----------------------------------------------------------------------------------


def _find_drain_waits(case: WaitingCase) -> Iterator[SeenCause]:
    """What the drain waits for, by the drainer's own Events of this session.

        10:16:00  Event: awaits ml/train-0, ml/train-1
        10:40:00  train-0 has ended: ml/train-1 alone is named
        10:50:00  state remediating: the drain is over, nothing is said

    The Event's list is cut to the pods that are still there, where the pods can be read.
    """
    session = case.snap.session
    node = case.snap.node_name
    if session.state not in _IN_DRAIN:
        return
    waits = _list_drain_waits(case)
    running = {f"{p.namespace}/{p.name}": p for p in case.snap.pods_on_node()}
    known = bool(running) and "pods" not in case.snap.unread
    pods = [p for w in waits for p in w.pods if not known or p in running]
    forced = [w.force_delete_at for w in waits if w.force_delete_at]
    if forced and pods:
        yield SeenCause(
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
        yield SeenCause(
            "drain-waits",
            f"the drain waits for {list_pods(pods)}{belongs} to finish, without limit "
            "(AllowCompletion evicts nothing)",
            f"let them finish, or end them: {_delete_command(pods)}",
        )


def _list_drain_waits(case: WaitingCase) -> list[messages.DrainWait]:
    """The drainer's own Events of this session."""
    began = case.snap.session.began or 0.0
    waits = (messages.parse_drain_wait(event) for event in case.snap.events)
    return [w for w in waits if w is not None and w.last >= began]


def _find_drain_blocked(case: WaitingCase) -> Iterator[SeenCause]:
    """Evictions that a PodDisruptionBudget refuses: node-drainer tries them again and again, and
    says so in its metrics alone. Pods whose end the drain only waits for are not evicted.

        10:16:00  draining, mode Immediate, budget ml/train allows no disruption: this is said
        10:20:00  another replica is ready, the budget allows one: nothing is said
    """
    session = case.snap.session
    if not session.open or session.state != names.STATE_DRAINING:
        return
    awaited = {pod for wait in _list_drain_waits(case) for pod in wait.pods}
    refused = [
        (pod, budget)
        for pod in case.snap.pods_on_node()
        for budget in case.snap.budgets
        if is_drainable(pod)
        and pod.phase == "Running"
        and not pod.deleting
        and budget.allowed < 1
        and budget.covers(pod)
        and f"{pod.namespace}/{pod.name}" not in awaited
        and _is_evicted(case, pod.namespace)
    ]
    if not refused:
        return
    pods = list_pods([f"{pod.namespace}/{pod.name}" for pod, _ in refused])
    one = refused[0][1]
    named = sorted({f"{budget.namespace}/{budget.name}" for _, budget in refused})
    which = "PodDisruptionBudget" if len(named) == 1 else "PodDisruptionBudgets"
    verb = "allows" if len(named) == 1 else "allow"
    yield SeenCause(
        "drain-blocked",
        f"{which} {', '.join(named)} {verb} no disruption now, so the eviction of {pods} is "
        "refused",
        f"have the job scaled or stopped by its owner, or its budget relaxed: "
        f"kubectl -n {one.namespace} describe pdb {one.name}",
    )


def _is_evicted(case: WaitingCase, namespace: str) -> bool:
    """Whether the drain evicts pods there: as configured, and maybe where that is not known."""
    modes = case.inst.drain_modes if case.inst is not None else {}
    fitting = [mode for pattern, mode in modes.items() if _is_namespace_meant(pattern, namespace)]
    return not modes or "Immediate" in fitting


def _is_namespace_meant(pattern: str, namespace: str) -> bool:
    """`*` stands for any text, as in node-drainer's userNamespaces."""
    wanted = ".*".join(re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(wanted, namespace) is not None


def _find_pods_left(case: WaitingCase) -> Iterator[SeenCause]:
    """NVSentinel's label is its word, and the pods are what is seen: both are told."""
    session = case.snap.session
    drained = (names.STATE_DRAIN_SUCCEEDED, names.STATE_REMEDIATING)
    if not session.open or session.state not in drained or "pods" in case.snap.unread:
        return
    left = [
        f"{p.namespace}/{p.name}"
        for p in case.snap.pods_on_node()
        if is_drainable(p) and p.namespace not in _SYSTEM_NAMESPACES and p.phase == "Running"
    ]
    if left:
        yield SeenCause(
            "pods-left",
            f"NVSentinel reports the drain as finished; still running there: {list_pods(left)}",
            f"a repair will cut them off; to end them in order: {_delete_command(left)}",
        )


def is_drainable(pod: Pod) -> bool:
    """DaemonSet pods, static ones and finished ones are never touched by a drain."""
    return not pod.owner.startswith(("DaemonSet/", "Node/")) and pod.phase not in (
        "Succeeded",
        "Failed",
    )


def list_pods(pods: list[str]) -> str:
    unique = list(dict.fromkeys(pods))
    more = len(unique) - _SHOWN_PODS
    text = ", ".join(unique[:_SHOWN_PODS]) + (f" and {more} more" if more > 0 else "")
    return f"{'pod' if len(unique) == 1 else f'{len(unique)} pods'} {text}"


def _delete_command(pods: list[str]) -> str:
    namespace, _, name = pods[0].partition("/")
    return f"kubectl -n {namespace} delete pod {name}"


# --- faults that nothing comes of --------------------------------------------------------------


def _find_no_rule(case: WaitingCase) -> Iterator[SeenCause]:
    """Faults that no rule set of fault-quarantine is for: those of the analyzer, for one."""
    if case.inst is None or case.snap.session.open or not case.sick:
        return
    agents = {c.type: names.agent_of(c.type) for c in case.sick}
    if any(not agent or case.inst.quarantines(agent) for agent in agents.values()):
        return
    who = ", ".join(sorted(set(agents.values())))
    yield SeenCause(
        "no-rule",
        f"{', '.join(agents)}: no rule set of fault-quarantine is for events of {who}, so the "
        "node is not cordoned for it",
        f"decide by hand: kubectl cordon {case.snap.node_name}; or add a rule set "
        f"({case.kubectl('get cm fault-quarantine -o yaml')})",
    )


def _find_no_effect(case: WaitingCase) -> Iterator[SeenCause]:
    """Faults that NVSentinel records and does not act on; silent beside one it may act on."""
    if case.snap.session.known or case.sick:
        return
    for event in _recent_events(case):
        if event.strategy in (names.STORE_ONLY, names.STORE_AND_ANALYSE):
            yield SeenCause(
                "store-only",
                f"{event.check} is {event.strategy}: it is stored and changes nothing on the node",
                f"look at {case.snap.node_name} yourself; its monitor's processingStrategy makes "
                "it so",
            )
            return
    for found in case.snap.events:
        if messages.is_check_event(found) and found.last >= case.now - EVENT_EXPLAINS_FOR:
            event = messages.event_of_kubernetes_event(found)
            yield SeenCause(
                "action-none",
                f"{event.check} is not fatal (recommended action {event.action}): NVSentinel "
                "writes an Event, no condition and no cordon",
                f"look at {case.snap.node_name} yourself: kubectl describe node "
                f"{case.snap.node_name}",
            )
            return


def _recent_events(case: WaitingCase) -> list[HealthEvent]:
    unhealthy = (e for e in case.snap.health_events if not e.healthy)
    return sorted(unhealthy, key=lambda e: -(e.created_at or e.generated_at))


# --- recover ----------------------------------------------------------------------------------


def _find_healthy_but_cordoned(case: WaitingCase) -> Iterator[SeenCause]:
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
    yield SeenCause(
        "healthy-but-cordoned",
        f"the checks are healthy since {case.clock(since)}, and the node is still cordoned: "
        f"{holder}",
        remedy,
    )


def _tell_who_holds(case: WaitingCase) -> tuple[str, str]:
    """Who holds the cordon, and what to do about it; a breaker or a hand-over is told before."""
    seen, session, node = case.marks, case.snap.session, case.snap.node_name
    if not session.open and (session.cordon_preexisting or seen.cordon_preexisting):
        return (
            "somebody had cordoned it before NVSentinel, which leaves that alone",
            f"ask who did, then: kubectl uncordon {node}",
        )
    if seen.events:
        left = sorted({e.check for e in seen.events})
        return (
            f"its annotation still lists {', '.join(left)}, which needs a healthy event",
            f"{tell_when_taken_back(left[0])}; or end it by hand: kubectl uncordon {node}",
        )
    if seen.emptied:
        logs = case.kubectl(f"logs deploy/fault-quarantine | grep {node}")
        return (
            "fault-quarantine has begun to release it and did not finish",
            f"{logs}; or end it by hand: kubectl uncordon {node}",
        )
    if seen.state:
        return (
            f"the state label is still {seen.state}",
            case.kubectl(f"logs deploy/fault-quarantine | grep {node}"),
        )
    return ("no mark of NVSentinel's is left on it", f"kubectl uncordon {node}, once you know why")


def tell_when_taken_back(check: str) -> str:
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


_FINDINGS: tuple[Callable[[WaitingCase], Iterator[SeenCause]], ...] = (
    _find_no_rule,
    _find_no_effect,
    _find_drain_blocked,
    _find_drain_waits,
    _find_pods_left,
    _find_healthy_but_cordoned,
)
