"""What each watch kind means: one table a kind, on hand-made snapshots."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.asking import ADAPTER, BLIND, FAULTY, GONE, HEALTHY, NOW, RUN, ask
from tests.fakes import fake_observer as build
from tests.fakes.fake_observer import AT, EVENT_ID

from nvsx.core.incident.session import HealthEvent, Session
from nvsx.core.watches.snapshot import Event, LogLine, LogSource, Snapshot, Taint
from nvsx.core.watches.watch_base import Look, Scope
from nvsx.nvsentinel.chain import NvsentinelChain


@pytest.mark.parametrize(
    ("fields", "snap", "kind"),
    [
        ({"type": "SysLogsXIDError"}, FAULTY, "satisfied"),
        ({"type": "SysLogsXIDError"}, HEALTHY, "pending"),
        ({"type": "SysLogsXIDError", "status": "False"}, HEALTHY, "satisfied"),
        ({"type": "SysLogsXIDError", "errorCode": "79"}, FAULTY, "satisfied"),
        ({"type": "SysLogsXIDError", "errorCode": "7"}, FAULTY, "pending"),
        ({"type": "SysLogsXIDError", "errorCode": ["31", "79"]}, FAULTY, "satisfied"),
        ({"type": "SysLogsXIDError", "reason": "SysLogsXIDErrorIsNotHealthy"}, FAULTY, "satisfied"),
        ({"type": "SysLogsXIDError", "reason": "Other"}, FAULTY, "pending"),
        ({"type": ["GpuMemWatch", "SysLogsXIDError"]}, FAULTY, "satisfied"),
        ({"type": "GpuMemWatch"}, FAULTY, "pending"),
        ({"type": "SysLogsXIDError", "absent": True}, FAULTY, "pending"),
        ({"type": "SysLogsXIDError", "absent": True}, HEALTHY, "satisfied"),
        ({"type": "SysLogsXIDError"}, GONE, "pending"),
        ({"type": "SysLogsXIDError", "absent": True}, GONE, "pending"),
        ({"type": "SysLogsXIDError"}, BLIND, "unknown"),
        ({"type": "SysLogsXIDError", "absent": True}, BLIND, "unknown"),
    ],
)
def test_node_condition(fields: dict[str, Any], snap: Snapshot, kind: str) -> None:
    """A condition holds by type, status, exact error code and reason; unread is unknown."""
    assert ask({"kind": "node-condition", **fields}, snap).kind == kind


def test_a_node_that_cannot_be_read_any_more_is_unknown() -> None:
    """What was last seen of a node decides nothing while it cannot be read."""
    stale = build.snapshot(of=FAULTY.node, unread={"node": "the API server does not answer"})
    for absent in (False, True):
        watch = {"kind": "node-condition", "type": "SysLogsXIDError", "absent": absent}
        assert ask(watch, stale).kind == "unknown"


@pytest.mark.parametrize(
    ("fields", "snap", "kind"),
    [
        ({"field": "spec.unschedulable"}, FAULTY, "satisfied"),
        ({"field": "spec.unschedulable", "expect": False}, HEALTHY, "satisfied"),
        ({"field": "ready"}, HEALTHY, "satisfied"),
        ({"field": "ready"}, build.snapshot(of=build.node(ready=False)), "pending"),
        ({"field": "exists"}, HEALTHY, "satisfied"),
        ({"field": "exists", "expect": False}, GONE, "satisfied"),
        ({"field": "exists", "expect": False}, BLIND, "unknown"),
        ({"field": "bootID"}, build.snapshot(of=build.node(boot_id="boot-2")), "satisfied"),
        ({"field": "bootID"}, HEALTHY, "pending"),
    ],
)
def test_node_field(fields: dict[str, Any], snap: Snapshot, kind: str) -> None:
    """Facts of the node itself; bootID holds once it has changed."""
    assert ask({"kind": "node", **fields}, snap, boot_id="boot-1").kind == kind


def test_boot_id_without_a_baseline_is_unknown() -> None:
    """A run that came after the reboot cannot say that the boot id changed."""
    assert ask({"kind": "node", "field": "bootID"}, HEALTHY).kind == "unknown"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"key": "nvidia.com/gpu-error"}, "satisfied"),
        ({"key": "nvidia.com/gpu-error", "value": "fatal", "effect": "NoSchedule"}, "satisfied"),
        ({"key": "nvidia.com/gpu-error", "effect": "NoExecute"}, "pending"),
        ({"key": "other"}, "pending"),
        ({"key": "other", "absent": True}, "satisfied"),
    ],
)
def test_taint(fields: dict[str, Any], kind: str) -> None:
    """A taint holds by key, and by value and effect where given."""
    node = build.node(taints=(Taint("nvidia.com/gpu-error", "fatal", "NoSchedule"),))
    assert ask({"kind": "taint", **fields}, build.snapshot(of=node)).kind == kind


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"key": "team"}, "satisfied"),
        ({"key": "team", "value": ["ml", "hpc"]}, "satisfied"),
        ({"key": "team", "value": "m"}, "pending"),
        ({"key": "team", "pattern": "^m"}, "satisfied"),
        ({"key": "nobody"}, "pending"),
        ({"key": "nobody", "absent": True}, "satisfied"),
    ],
)
def test_node_label(fields: dict[str, Any], kind: str) -> None:
    """A label holds by presence, exact value or pattern."""
    snap = build.snapshot(of=build.node(labels={"team": "ml"}))
    assert ask({"kind": "node-label", **fields}, snap).kind == kind


@pytest.mark.parametrize(
    ("wanted", "seen", "kind"),
    [
        ("quarantined", ("quarantined",), "satisfied"),
        ("draining", ("quarantined",), "pending"),
        ("draining", ("quarantined", "drain-succeeded"), "satisfied"),
        ("drain-succeeded", ("remediation-failed",), "satisfied"),
        ("remediation-succeeded", ("remediation-failed",), "pending"),
        (["remediation-succeeded", "remediation-failed"], ("remediation-failed",), "satisfied"),
        ("repaired", ("quarantined",), "invalid"),
    ],
)
def test_nvsentinel_state(wanted: Any, seen: tuple[str, ...], kind: str) -> None:
    """A state holds once it, or one of a later rank, was seen in this session."""
    snap = build.snapshot(session=build.session(*seen))
    assert ask({"kind": "nvsentinel-state", "state": wanted}, snap).kind == kind


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "satisfied"),
        ({"expect": "phase=Running"}, "satisfied"),
        ({"expect": "phase=Failed"}, "pending"),
        ({"count": 1}, "satisfied"),
        ({"count": 0}, "pending"),
        ({"count": 2, "onNode": False}, "satisfied"),
        ({"namespace": "other"}, "pending"),
    ],
)
def test_pod(fields: dict[str, Any], kind: str) -> None:
    """Pods count by selector, node, namespace and phase."""
    labels = {"app": "train"}
    pods = (build.pod("a", labels=labels), build.pod("b", labels=labels, node="elsewhere"))
    watch = {"kind": "pod", "selector": "app=train", **fields}
    assert ask(watch, build.snapshot(pods=pods)).kind == kind


def test_unread_pods_are_not_absent_pods() -> None:
    """Pods that cannot be listed are unknown, also to a watch that wants none."""
    snap = build.snapshot(unread={"pods": "forbidden"})
    verdict = ask({"kind": "pod", "selector": "a=b", "count": 0}, snap)
    assert (verdict.kind, verdict.detail) == ("unknown", "forbidden")


@pytest.mark.parametrize(
    ("fields", "at", "kind"),
    [
        ({"type": "NodeDraining"}, AT + 50, "satisfied"),
        ({"reason": "AwaitingPodCompletion"}, AT + 50, "satisfied"),
        ({"type": "NodeDraining", "pattern": "train-0"}, AT + 50, "satisfied"),
        ({"type": "NodeDraining", "pattern": "train-9"}, AT + 50, "pending"),
        ({"type": "NodeDraining"}, AT - 3600, "pending"),
        ({"type": "NodeDraining", "since": "ever"}, AT - 3600, "satisfied"),
        ({"type": "NodeDraining", "since": "run"}, RUN - 5, "pending"),
        ({"type": "NodeDraining", "since": "stage"}, RUN + 2, "pending"),
        ({"type": "Evicted"}, AT + 50, "pending"),
    ],
)
def test_node_event(fields: dict[str, Any], at: float, kind: str) -> None:
    """An Event counts from the incident on, by its last time, not its first."""
    event = build.node_event("NodeDraining", "AwaitingPodCompletion", "[ml/train-0]", at=at)
    snap = build.snapshot(events=(event,), session=build.session())
    assert ask({"kind": "node-event", **fields}, snap).kind == kind


def test_event_of_another_node_does_not_count() -> None:
    """An Event about another node satisfies nothing."""
    event = build.node_event("NodeDraining", "AwaitingPodCompletion", object_name="other")
    snap = build.snapshot(events=(event,), session=build.session())
    assert ask({"kind": "node-event", "type": "NodeDraining"}, snap).kind == "pending"


@pytest.mark.parametrize(
    ("last", "kind"), [(NOW - 30, "pending"), (NOW - 700, "satisfied"), (None, "pending")]
)
def test_quiet_event(last: float | None, kind: str) -> None:
    """`absent` with `for` holds when the last Event is that long ago."""
    events = (build.node_event("GpuThermalWatch", "hot", at=last),) if last else ()
    watch = {"kind": "node-event", "type": "GpuThermalWatch", "absent": True, "for": "10m"}
    assert ask({**watch, "since": "ever"}, build.snapshot(events=events)).kind == kind


def test_quiet_says_when_to_look_again() -> None:
    """A quiet time that has not passed yet says when it will have."""
    event = build.node_event("GpuThermalWatch", "hot", at=NOW - 30)
    watch = {"kind": "node-event", "type": "GpuThermalWatch", "absent": True, "for": "10m"}
    verdict = ask(watch, build.snapshot(events=(event,), session=build.session()))
    assert verdict.recheck_at == NOW + 570


DONE = (("SignalSent", "True", "Succeeded"), ("NodeReady", "True", "Succeeded"))
REFUSED = (("SignalSent", "False", "Failed"), ("NodeReady", "Unknown", "Initializing"))
WAITING = (("SignalSent", "True", "Succeeded"), ("NodeReady", "Unknown", "Initializing"))


@pytest.mark.parametrize(
    ("fields", "conditions_", "changes", "kind"),
    [
        ({}, WAITING, {}, "satisfied"),
        ({"completed": True}, WAITING, {}, "pending"),
        ({"completed": True}, DONE, {"completed": AT + 99}, "satisfied"),
        ({"completed": True}, REFUSED, {"completed": AT + 99}, "failed"),
        ({"condition": {"type": "SignalSent"}}, WAITING, {}, "satisfied"),
        ({"condition": {"type": "NodeReady"}}, WAITING, {}, "pending"),
        ({"condition": {"type": "NodeReady"}}, REFUSED, {"completed": AT + 99}, "failed"),
        ({"completed": True}, DONE, {"created": AT - 86400, "name": "maintenance-x"}, "pending"),
        ({"absent": True}, DONE, {}, "pending"),
    ],
)
def test_maintenance_resource(
    fields: dict[str, Any], conditions_: Any, changes: dict[str, Any], kind: str
) -> None:
    """A repair of this session holds, fails with its cause, or is not there; old ones never."""
    made = build.resource(*conditions_, **changes)
    snap = build.snapshot(session=build.session(), resources=(made,))
    watch = {"kind": "crd", "resource": "maintenance", **fields}
    assert ask(watch, snap, stage="remediate").kind == kind


def test_resource_is_found_by_plural_and_group() -> None:
    """`resource` may be a plural, with its group or without."""
    snap = build.snapshot(session=build.session(), resources=(build.resource(*DONE),))
    for name in ("rebootnodes", "rebootnodes.janitor.dgxc.nvidia.com"):
        assert ask({"kind": "crd", "resource": name}, snap).kind == "satisfied"
    assert ask({"kind": "crd", "resource": "gpuresets"}, snap).kind == "pending"


def test_resource_that_cannot_be_read_is_unknown() -> None:
    """A resource kind that is forbidden is unknown, with the reason."""
    snap = build.snapshot(unread={"resources/rebootnodes": "forbidden: …"})
    assert ask({"kind": "crd", "resource": "rebootnodes"}, snap).kind == "unknown"


def test_health_event_filter() -> None:
    """A health event is found by check, code and a MongoDB filter on its document."""
    event = build.health_event(
        created_at=AT + 1,
        document={"healthevent": {"checkname": "SysLogsXIDError", "isfatal": True}},
    )
    snap = build.snapshot(health_events=(event,), session=build.session())
    good = {"healthevent.isfatal": True}
    assert (
        ask({"kind": "health-event", "filter": good, "errorCode": "79"}, snap).kind == "satisfied"
    )
    assert (
        ask({"kind": "health-event", "filter": {"healthevent.isfatal": False}}, snap).kind
        == "pending"
    )


def test_log_line() -> None:
    """A log line counts by pattern and time."""
    watch = {"kind": "log", "namespace": "ml", "selector": "app=t", "pattern": "step \\d+"}
    source = ADAPTER.validate_python(watch).source
    line = LogLine(AT + 50, "ml", "t-0", "c", "step 12 done")
    assert ask(watch, build.snapshot(logs={source: (line,)})).kind == "satisfied"
    old = LogLine(AT - 5000, "ml", "t-0", "c", "step 12 done")
    assert ask(watch, build.snapshot(logs={source: (old,)})).kind == "pending"


def test_for_must_hold_without_a_break() -> None:
    """A `for` begins anew when the watch stops holding in between."""
    watch = {"kind": "node", "field": "ready", "for": "1m"}
    held: dict[int, float] = {}
    lost = build.snapshot(of=build.node(ready=False))
    assert ask(watch, HEALTHY, held, now=0).recheck_at == 60
    assert ask(watch, HEALTHY, held, now=59).kind == "pending"
    assert ask(watch, lost, held, now=59.5).kind == "pending"
    assert ask(watch, HEALTHY, held, now=61).kind == "pending"
    assert ask(watch, HEALTHY, held, now=121).kind == "satisfied"


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        ({"field": "ready"}, {"field": "exists", "expect": False}, "satisfied"),
        ({"field": "ready", "expect": False}, {"field": "exists", "expect": False}, "pending"),
        ({"field": "ready", "expect": False}, {"field": "bootID"}, "pending"),
    ],
)
def test_any_of_takes_the_best(first: dict[str, Any], second: dict[str, Any], kind: str) -> None:
    """A group holds when one member does; pending beats unknown."""
    group = {"anyOf": [{"kind": "node", **first}, {"kind": "node", **second}]}
    assert ask(group, HEALTHY).kind == kind


def test_happening_of_the_session_before_does_not_count() -> None:
    """What happened before the previous session ended belongs to that one."""
    event = build.node_event("NodeDraining", "AwaitingPodCompletion", at=AT - 30)
    snap = build.snapshot(events=(event,), session=build.session(previous_end=AT - 20))
    assert ask({"kind": "node-event", "type": "NodeDraining"}, snap).kind == "pending"


def test_fault_not_shown_yet_has_not_cleared() -> None:
    """Right after the event that fired the run, an absent condition is no recovery."""
    trigger = build.health_event()
    watch = {"kind": "node-condition", "type": "SysLogsXIDError", "absent": True}
    early = ask(watch, build.snapshot(), trigger=trigger, now=AT + 10)
    assert (early.kind, early.recheck_at) == ("pending", AT + 120)
    assert ask(watch, build.snapshot(), trigger=trigger, now=AT + 121).kind == "satisfied"
    healed = build.snapshot(of=build.node(conditions=(build.condition(healthy=True, at=AT + 5),)))
    assert ask(watch, healed, trigger=trigger, now=AT + 10).kind == "satisfied"


def test_earliest_is_floored_with_tolerance() -> None:
    """An incident's happenings count from two minutes before its whole second."""
    watch = ADAPTER.validate_python({"kind": "node-event", "type": "X"})
    scope = Scope(now=NOW, stage="drain", run_began=RUN, stage_began=RUN)
    snap = build.snapshot(session=Session(key=EVENT_ID, open=True, generated_at=AT))
    assert watch.counts_from(Look(snap, scope, NvsentinelChain())) == float(int(AT)) - 120


KILLED = Event(
    namespace="ml",
    name="train-1.1",
    kind="Pod",
    object_name="train-1",
    type="Normal",
    reason="Killing",
    message="Stopping container train",
    last=RUN + 6,
)
TRAIN = build.pod("train-1", labels={"app": "train"})


@pytest.mark.parametrize(
    ("fields", "snap", "kind"),
    [
        ({"reason": "Killing"}, {"pods": (TRAIN,)}, "satisfied"),
        ({"reason": "Killing"}, {"departed": (TRAIN,)}, "satisfied"),
        ({"reason": "Killing", "selector": "app=train"}, {"departed": (TRAIN,)}, "satisfied"),
        ({"reason": "Killing", "selector": "app=web"}, {"departed": (TRAIN,)}, "pending"),
        ({"reason": "Killing"}, {"pods": (build.pod("train-1", node="other"),)}, "pending"),
        ({"reason": "Evicted"}, {"pods": (TRAIN,)}, "pending"),
        ({"reason": "Killing"}, {"pods": (TRAIN,), "unread": {"events": "403"}}, "satisfied"),
        ({"reason": "Evicted"}, {"unread": {"events": "403"}}, "unknown"),
    ],
)
def test_pod_event(fields: dict[str, Any], snap: dict[str, Any], kind: str) -> None:
    """An Event for a pod of the node counts, also when the pod has gone by now."""
    seen = build.snapshot(events=(KILLED,), **snap)
    assert ask({"kind": "pod-event", **fields}, seen).kind == kind


#: RE2 cannot read it, and any other matcher would take years over these letters.
KILLER = "(?!x)(a+)+$"


@pytest.mark.parametrize(
    ("watch", "snap"),
    [
        (
            {"kind": "log", "namespace": "ml", "pod": "p", "pattern": KILLER},
            build.snapshot(
                logs={
                    LogSource(namespace="ml", pod="p", pattern=KILLER): (
                        LogLine(AT + 50, "ml", "p", "c", "a" * 4000 + "!"),
                    )
                }
            ),
        ),
        (
            {"kind": "health-event", "filter": {"healthevent.message": {"$regex": KILLER}}},
            build.snapshot(
                health_events=(
                    HealthEvent(
                        "SysLogsXIDError",
                        "gpu-node-a1",
                        id="1",
                        generated_at=AT + 50,
                        document={"healthevent": {"message": "a" * 4000 + "!"}},
                    ),
                )
            ),
        ),
    ],
)
@pytest.mark.parametrize("grouped", [False, True])
def test_a_pattern_that_takes_too_long_is_invalid(
    watch: dict[str, Any], snap: Snapshot, grouped: bool
) -> None:
    """The verdict names the watch and the pattern, alone and in a group, also when negated."""
    for asked in (watch, {**watch, "absent": True}):
        verdict = ask({"anyOf": [asked]} if grouped else asked, snap)
        assert verdict.kind == "invalid"
        assert f"pattern /{KILLER}/" in verdict.detail
        assert verdict.detail.startswith("watch 1, anyOf 1 (" if grouped else "watch 1 (")
