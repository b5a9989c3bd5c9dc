"""Sights: what a snapshot of a node shows, in the terms in which incidents are decided.

All that is NVSentinel's own is read here and nowhere behind it: which condition is a check's, what
an annotation means, how a request went. `sight_of` remembers nothing and invents nothing: what a
snapshot could not read is `unread` in the sight.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from nvsx.core.incident.session import HealthEvent
from nvsx.core.incident.sight import (
    EVENTS,
    NODE,
    REPAIRS,
    VALIDATIONS,
    Failure,
    RepairOutcome,
    SeenAlert,
    SeenChain,
    SeenFault,
    SeenHold,
    SeenRepair,
    SeenSession,
    Sight,
)
from nvsx.core.routing.vocabulary import PLANNED_METADATA, is_planned_work
from nvsx.core.watches.snapshot import NOT_INSTALLED, NOT_YET, Node, Resource, Snapshot
from nvsx.nvsentinel import maintenance, marks, messages, names
from nvsx.nvsentinel.installation import ACTING, Installation
from nvsx.nvsentinel.marks import Marks
from nvsx.nvsentinel.pipeline import is_pipeline_current
from nvsx.nvsentinel.seen_causes import find_seen_causes

#: What a reboot itself causes: connectivity, not-ready and link faults.
_PASSING_CHECKS = frozenset(
    {"GpuDcgmConnectivityFailure", "GpuDcgmUnresponsive", "GpuNvlinkWatch", "node-not-ready"}
)
_PASSING_PREFIXES = ("InfiniBand", "Ethernet")

VALIDATION_PLURAL = "validationrequests"
#: The GPU operator's, while it exchanges the driver
#: (github.com/NVIDIA/k8s-operator-libs, pkg/upgrade/consts.go).
_UPGRADE_LABEL = "nvidia.com/gpu-driver-upgrade-state"
_UPGRADE_AT_WORK = frozenset(
    {
        "cordon-required",
        "wait-for-jobs-required",
        "pod-deletion-required",
        "drain-required",
        "node-maintenance-required",
        "post-maintenance-required",
        "pod-restart-required",
        "validation-required",
        "uncordon-required",
        "upgrade-failed",
    }
)
_CLIENT_LABEL = "nvidia.com/gpu.deploy.client"
_CLIENT_PAUSED = "paused-for-driver-upgrade"
_GPU_OPERATOR = "the GPU operator"

#: Programs that write managedFields, as people know them.
_PROGRAMS = {
    "nvidia-gpu-operator": _GPU_OPERATOR,
    "gpu-operator": _GPU_OPERATOR,
    "fault-quarantine": "NVSentinel",
    "cluster-autoscaler": "the cluster autoscaler",
    "karpenter": "Karpenter",
    "kured": "kured",
    "node-problem-detector": "node-problem-detector",
}

#: Where a connection began, in the words of Go.
_OWN_PORT = re.compile(r"[0-9a-fA-F.:\[\]]+:\d+->")

Routes = Callable[[SeenFault], bool]


def sight_of(
    snapshot: Snapshot,
    mono: float,
    *,
    cluster_uid: str = "",
    installation: Installation | None = None,
    alerts: Sequence[SeenAlert] = (),
    routes: Routes = lambda _fault: False,
) -> Sight:
    """What `snapshot` shows. `mono` is the monotonic clock at that moment. `alerts` are those that
    intake knows of the node. `routes` says whether a runbook wants a fault that is not fatal."""
    node = snapshot.node
    unread = _list_unread(snapshot)
    seen = marks.read(node) if node is not None else Marks()
    ready = node.condition("Ready") if node is not None else None
    faults = [*_faults_of_node(node, seen), *_faults_of_events(snapshot)]
    return Sight(
        at=snapshot.at,
        mono=mono,
        node=snapshot.node_name,
        cluster_uid=cluster_uid,
        exists=node is not None,
        node_uid=node.uid if node is not None else "",
        boot_id=node.boot_id if node is not None else "",
        ready=node.ready if node is not None else None,
        ready_at=ready.transition if ready is not None else 0.0,
        ready_why=(ready.message or ready.reason) if ready is not None else "",
        schedulable=node is not None and not node.unschedulable,
        session=_read_session(node, seen),
        faults=tuple(
            msgspec.structs.replace(f, routed=f.fatal or routes(f)) for f in _merge_faults(faults)
        ),
        alerts=tuple(alerts),
        repairs=tuple(_read_repairs(snapshot, installation)),
        holds=tuple(_read_holds(snapshot, node, seen)),
        causes=find_seen_causes(snapshot, installation, snapshot.at),
        chain=_read_chain(snapshot, installation),
        unread=frozenset(unread),
        node_unread=_explain_unread(snapshot),
    )


def _list_unread(snapshot: Snapshot) -> Iterable[str]:
    """A kind that is not installed is read: there is none of it. A Node that is None without a
    reason is certainly gone."""
    for source, why in snapshot.unread.items():
        if source in (NODE, EVENTS):
            yield source
        plural = source.removeprefix("resources/")
        if plural == source or why.startswith(NOT_INSTALLED):
            continue
        yield VALIDATIONS if plural == VALIDATION_PLURAL else REPAIRS


def _explain_unread(snapshot: Snapshot) -> str:
    """Why the node cannot be read; the same words at each try, though each has a port of its own:
    `read udp 10.1.2.3:45122->10.0.0.10:53: i/o timeout`."""
    why = snapshot.unread.get(NODE, "")
    return "" if why == NOT_YET else _OWN_PORT.sub("", why)


# --- faults -----------------------------------------------------------------------------------


def _faults_of_node(node: Node | None, seen: Marks) -> Iterable[SeenFault]:
    if node is None:
        return
    for event in seen.events:
        if not event.healthy:
            yield _fault_of(event, "annotation")
    for condition in node.conditions:
        if not messages.is_unhealthy(condition):
            continue
        fragments = messages.parse_fragments(condition.message) or [messages.Fragment()]
        for fragment in fragments:
            event = messages.event_of_fragment(node.name, condition, fragment)
            fault = _fault_of(event, "condition")
            yield msgspec.structs.replace(
                fault, start=condition.transition, truncated=fragment.truncated
            )


def _faults_of_events(snapshot: Snapshot) -> Iterable[SeenFault]:
    for found in snapshot.events:
        if messages.is_check_event(found) and found.object_name == snapshot.node_name:
            fault = _fault_of(messages.event_of_kubernetes_event(found), "event")
            mark = f"{found.name}/{found.count}/{found.last:.0f}"
            yield msgspec.structs.replace(fault, start=found.first, mark=mark)


def _fault_of(event: HealthEvent, by: str) -> SeenFault:
    passing = event.check in _PASSING_CHECKS or event.check.startswith(_PASSING_PREFIXES)
    return SeenFault(
        check=event.check,
        error_codes=event.error_codes,
        entities=event.entities,
        ids=(event.id,) if event.id else (),
        by=frozenset({by}),
        action=event.action,
        fatal=event.fatal and event.strategy == names.EXECUTE_REMEDIATION,
        planned=is_planned_work(event.check, event.metadata),
        passing=passing,
        message=event.message,
        generated_at=event.generated_at,
    )


def _merge_faults(faults: Iterable[SeenFault]) -> list[SeenFault]:
    """One fault for all that show the same thing; the annotation, which comes first, knows most."""
    merged: list[SeenFault] = []
    for fault in faults:
        place = next((i for i, known in enumerate(merged) if _is_same(known, fault)), None)
        if place is None:
            merged.append(fault)
            continue
        known = merged[place]
        merged[place] = msgspec.structs.replace(
            known,
            ids=tuple(dict.fromkeys((*known.ids, *fault.ids))),
            by=known.by | fault.by,
            fatal=known.fatal or fault.fatal,
            planned=known.planned or fault.planned,
            start=known.start or fault.start,
            mark=known.mark or fault.mark,
        )
    return merged


def _is_same(one: SeenFault, other: SeenFault) -> bool:
    if one.check != other.check:
        return False
    a, b = (
        messages.Fragment(f.error_codes, f.entities, f.message, truncated=f.truncated)
        for f in (one, other)
    )
    alike = {*one.error_codes} == {*other.error_codes} and {*one.entities} == {*other.entities}
    return messages.same_fault(a, b) or (alike and bool(one.error_codes or one.entities))


# --- marks ------------------------------------------------------------------------------------


def _read_session(node: Node | None, seen: Marks) -> SeenSession:
    """A state label alone counts for little: it can be written after the end."""
    if node is None:
        return SeenSession()
    text = node.annotations.get(names.QUARANTINE_ANNOTATION)
    emptied = text is not None and not seen.annotated
    return SeenSession(
        marked=seen.annotated,
        labelled=bool(seen.state) and text is None and not seen.by_hand,
        ids=tuple(e.id for e in seen.events if e.id),
        state=seen.state,
        emptied=emptied,
        cordon_mark=marks.cordon_label(node, "cordon-timestamp"),
        release_mark=marks.cordon_label(node, "uncordon-timestamp"),
        cordoned_at=seen.cordoned_at,
        released_at=seen.uncordoned_at,
        by_hand=bool(seen.by_hand),
        dry_run=seen.dry_run,
        planned=bool(seen.events) and all(_fault_of(e, "annotation").planned for e in seen.events),
        handed_over=_is_handed_over(node, seen),
    )


# --- repairs ----------------------------------------------------------------------------------

_EFFECTS: Mapping[str, str] = {"RebootNode": "boot", "TerminateNode": "node gone"}
_OUTCOMES: Mapping[str, tuple[RepairOutcome, Failure]] = {
    "in-progress": ("in progress", ""),
    "succeeded": ("succeeded", ""),
    "manual": ("manual", ""),
    "escalated": ("failed", "escalated"),
    "failed": ("failed", "other"),
}


def _read_repairs(snapshot: Snapshot, installation: Installation | None) -> Iterable[SeenRepair]:
    configured = installation.repairs if installation is not None else ()
    pairs = frozenset((r.group, r.kind) for r in configured)
    completes = {(r.group, r.kind): r.complete_condition for r in configured}
    for resource in snapshot.resources:
        if resource.plural == VALIDATION_PLURAL or resource.node not in ("", snapshot.node_name):
            continue
        if maintenance.is_maintenance(resource, pairs):
            complete = completes.get((resource.group, resource.kind), "")
            yield _read_repair(resource, complete)


def _read_repair(resource: Resource, complete_type: str) -> SeenRepair:
    word, detail = maintenance.read_outcome(resource, complete_type=complete_type)
    outcome, failure = _OUTCOMES[word]
    signal = resource.condition("SignalSent")
    sent = signal is not None and signal.status == "True"
    refused = signal is not None and signal.status == "False" and word == "failed"
    if outcome == "failed" and failure == "other":
        failure = _failure_of(resource, refused=refused)
    began = signal is None and bool(resource.started)  # kinds without a signal of their own
    effect = _EFFECTS.get(resource.kind, "")
    return SeenRepair(
        kind=resource.kind,
        name=resource.name,
        uid=resource.uid,
        event_id=maintenance.event_id_in_name(resource.name),
        effect="boot" if effect == "boot" else "node gone" if effect else "",
        created_at=resource.created,
        signal="sent" if sent or began else "refused" if refused else "",
        signal_at=(signal.transition if signal is not None else 0.0) or resource.started,
        outcome=outcome,
        failure=failure,
        detail=detail,
        finished_at=resource.completed,
        look=f"kubectl get {resource.plural}.{resource.group} {resource.name} -o yaml",
    )


def _failure_of(resource: Resource, *, refused: bool) -> Failure:
    """NodeReady=False with reason Timeout is janitor's own limit; with another one it is what the
    provider answered when it was asked, after which NVSentinel tries again."""
    if refused:
        return "refused"
    done = resource.condition("NodeReady") or resource.condition("NodeTerminated")
    if done is not None and done.status == "False":
        return "timeout" if done.reason == "Timeout" else "poll error"
    return "other"


# --- holds ------------------------------------------------------------------------------------


def _read_holds(snapshot: Snapshot, node: Node | None, seen: Marks) -> Iterable[SeenHold]:
    if node is None:
        return
    # While the annotation is there the label is this quarantine's, however close the last release.
    label = bool(marks.cordon_label(node, "cordon-by")) and not seen.cordon_preexisting
    text = node.annotations.get(names.QUARANTINE_ANNOTATION)
    theirs = text is not None and label
    handed_over = _is_handed_over(node, seen)
    if handed_over:
        # Since when is not written anywhere: the time on the node is that of the cordon.
        yield SeenHold("handed over", "NVSentinel", keeps_open=True)
    elif (seen.annotated and not seen.dry_run) or (node.unschedulable and theirs):
        yield SeenHold("quarantine", "NVSentinel", seen.cordoned_at, keeps_open=seen.annotated)
    if node.unschedulable and not (theirs or handed_over):
        yield SeenHold("cordon", program_of(node.cordoned_with), node.cordoned_at)
    planned = [name for e in seen.events if (name := e.metadata.get(PLANNED_METADATA))]
    for name in dict.fromkeys(planned):
        yield SeenHold("maintenance", "NVSentinel", name=name)
    yield from _read_validation(snapshot, node)
    upgrade = node.labels.get(_UPGRADE_LABEL, "")
    if upgrade in _UPGRADE_AT_WORK or node.labels.get(_CLIENT_LABEL) == _CLIENT_PAUSED:
        yield SeenHold("driver upgrade", _GPU_OPERATOR, detail=upgrade)


def _is_handed_over(node: Node, seen: Marks) -> bool:
    gone = names.QUARANTINE_ANNOTATION not in node.annotations
    return gone and seen.handed_over and not seen.by_hand


def _read_validation(snapshot: Snapshot, node: Node) -> Iterable[SeenHold]:
    """The newest one. Failed is terminal, and such a request stays for weeks: it holds the node
    only while that is cordoned."""
    of_node = [
        r
        for r in snapshot.resources
        if r.plural == VALIDATION_PLURAL and r.node == snapshot.node_name
    ]
    newest = max(of_node, key=lambda r: (r.created, r.name), default=None)
    phase = newest.phase.lower() if newest is not None else "succeeded"
    failed = phase == "failed"
    if newest is None or phase == "succeeded" or (failed and not node.unschedulable):
        return
    yield SeenHold(
        "validation",
        "NVSentinel",
        newest.created,
        newest.name,
        newest.phase,
        failed=failed,
        keeps_open=True,
    )


def program_of(manager: str) -> str:
    """A managedFields manager as it may be told: it names a program, never a person."""
    if not manager:
        return "somebody or something"
    if manager.startswith("kubectl"):
        return "somebody with kubectl"
    return _PROGRAMS.get(manager, manager)


# --- the installation -------------------------------------------------------------------------


def _read_chain(snapshot: Snapshot, installation: Installation | None) -> SeenChain:
    node = snapshot.node
    opted_out = marks.opted_out(node) if node is not None else ""
    if installation is None:
        return SeenChain(repairing=names.REPAIRING_ACTIONS, opted_out=opted_out)
    mapped = frozenset(r.action for r in installation.repairs)
    repairing = mapped or names.REPAIRING_ACTIONS
    if mapped - set(names.ACTIONS.values()):
        repairing |= {"CUSTOM"}  # which of them it is stands in the stored document alone
    breaker = installation.breaker.value
    monitor_only = _yes_or_no(installation.monitor_only.value)
    return SeenChain(
        dry_run=_yes_or_no(installation.dry_run.value),
        breaker_tripped=None if breaker is None else breaker == "TRIPPED",
        manual=_yes_or_no(installation.manual.value),
        monitor_only=monitor_only,
        missing=tuple(m for m in ACTING if not monitor_only and installation.missing(m)),
        unwell=() if monitor_only else tuple(_list_unwell_modules(installation)),
        repairing=repairing,
        replacing=frozenset(r.action for r in installation.repairs if r.kind == "TerminateNode")
        or frozenset({"REPLACE_VM"}),
        opted_out=opted_out,
        namespace=installation.namespace,
        current=is_pipeline_current(snapshot, installation),
    )


def _list_unwell_modules(installation: Installation) -> Iterable[tuple[str, str]]:
    """Deployments with too few pods. A DaemonSet lacks some for many reasons."""
    for name in ACTING:
        module = installation.modules.get(name)
        if module is None or module.kind != "Deployment" or installation.missing(name):
            continue
        if not module.works:
            yield name, module.evidence


def _yes_or_no(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
