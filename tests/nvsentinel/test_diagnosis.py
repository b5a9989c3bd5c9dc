from typing import Any

import pytest
from tests.fakes import fake_observer as fake
from tests.nvsentinel import fixtures as f
from tests.nvsentinel.diagnosing import INSTALLED, NOW, causes, install, notes, sick

from nvsx.core.selectors import Requirement
from nvsx.core.watches.snapshot import PodBudget, Snapshot
from nvsx.nvsentinel import names
from nvsx.nvsentinel.diagnosis import explain
from nvsx.nvsentinel.installation import Installation


def test_store_only() -> None:
    """A stored-only event explains why the node does not change."""
    event = fake.health_event(check="GpuThermalMarginWatch", strategy="STORE_ONLY")
    found = causes(fake.snapshot(health_events=(event,)))
    assert "GpuThermalMarginWatch is STORE_ONLY" in found["store-only"].text


def test_action_none_of_an_event() -> None:
    """A non-fatal fault leaves only an Event: that is said while waiting for a cordon."""
    event = f.event("GpuThermalWatchIsNotHealthy", last=NOW - 60)
    found = causes(fake.snapshot(events=(event,)))
    assert "GpuThermalWatch is not fatal" in found["action-none"].text


def test_drain_waits_names_the_pods() -> None:
    """AllowCompletion: the pods that still run are named, with how to end them."""
    event = f.event("AwaitingPodCompletion", last=NOW)
    pods = (fake.pod("train-1", owner="Job/train"),)
    snap = sick(session=fake.session("quarantined", "draining"), events=(event,), pods=pods)
    note = causes(snap)["drain-waits"]
    assert "pod ml/train-1 (Job/train)" in note.text
    assert "train-0" not in note.text
    assert "without limit" in note.text
    assert note.remedy.endswith("kubectl -n ml delete pod train-1")


def test_drain_waits_until_the_deletion() -> None:
    """DeleteAfterTimeout: the time left is from the Event's message."""
    event = f.event("WaitingBeforeForceDelete", last=NOW)
    snap = sick(session=fake.session("quarantined", "draining"), events=(event,))
    note = causes(snap, now=1755710131.0 - 600)["drain-waits"]
    assert "deletes what is left at 17:15:31 UTC" in note.text


def test_an_old_drain_event_is_not_ours() -> None:
    """An Event of an earlier incident names no pods of this one."""
    event = f.event("AwaitingPodCompletion", last=fake.AT - 5000)
    snap = sick(session=fake.session("quarantined", "draining"), events=(event,))
    assert "drain-waits" not in causes(snap)


def test_a_running_repair_says_how_long() -> None:
    """Since when, and when janitor gives up; the text stays the same while nothing changes."""
    repair = f.resource("in_progress")
    snap = sick(resources=(repair,))
    note = notes("remediate", snap, now=repair.started + 300)["cr-running"]
    assert "since 16:17:07 UTC" in note.text
    assert "gives up at 16:42:07 UTC" in note.text
    assert notes("remediate", snap, now=repair.started + 310)["cr-running"] == note
    late = notes("remediate", snap, now=repair.started + 1600)["cr-running"]
    assert "longer than janitor's 25m" in late.text


def healthy_node(since: float, **changes: Any) -> Snapshot:
    """Checks healthy since then, node still cordoned."""
    node = fake.node(
        conditions=[fake.condition(healthy=True, at=since)],
        cordoned=True,
        **{"annotations": {}} | changes.pop("node", {}),
    )
    return fake.snapshot(of=node, **{"session": fake.session()} | changes)


def test_healthy_but_cordoned_only_after_ten_minutes() -> None:
    """Right after the repair it is normal; ten minutes later it is not."""
    assert "healthy-but-cordoned" not in causes(healthy_node(NOW - 599))
    assert "healthy-but-cordoned" in causes(healthy_node(NOW - 601))


@pytest.mark.parametrize(
    ("snap", "inst", "words"),
    [
        (
            healthy_node(
                NOW - 700,
                node={
                    "annotations": {
                        names.QUARANTINE_ANNOTATION: '[{"checkName":"GpuMemWatch","nodeName":"n"}]'
                    }
                },
            ),
            INSTALLED,
            "still lists GpuMemWatch",
        ),
        (
            healthy_node(
                NOW - 700,
                session=fake.ended(
                    fake.session(cordon_preexisting=True), NOW - 650, ending="recovered"
                ),
            ),
            INSTALLED,
            "before NVSentinel",
        ),
        (
            healthy_node(NOW - 700, node={"labels": {names.STATE_LABEL: "draining"}}),
            INSTALLED,
            "state label is still draining",
        ),
    ],
)
def test_who_holds_the_cordon(snap: Snapshot, inst: Installation, words: str) -> None:
    """Other faults, a cordon found, or the label."""
    note = causes(snap, inst)["healthy-but-cordoned"]
    assert words in note.text
    assert note.remedy


def test_what_recovery_waits_for() -> None:
    """Which checks still need a healthy event."""
    assert notes("recover", sick())["nothing-yet"].text.endswith("SysLogsXIDError")


def test_derived_faults_never_recover() -> None:
    """The analyzer's own checks get no healthy event: the note says to end it by hand."""
    check = "RepeatedXIDErrorOnSameGPU"
    node = fake.node(conditions=[fake.condition(check=check)], cordoned=True)
    session = fake.session(events=(fake.health_event(check=check),))
    note = notes("recover", fake.snapshot(of=node, session=session))["nothing-yet"]
    assert f"kubectl uncordon {fake.NODE}" in note.remedy


@pytest.mark.parametrize("stage", ["detect", "quarantine", "drain", "remediate"])
def test_something_is_always_said(stage: str) -> None:
    """With nothing to blame, the note says what is awaited."""
    found = notes(stage, fake.snapshot())
    assert list(found) == ["nothing-yet"]
    assert found["nothing-yet"].text


def test_other_stages_are_not_nvsentinels() -> None:
    """Preflight and postmortem wait for nothing of NVSentinel's."""
    assert explain(sick(), "preflight", INSTALLED, NOW) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, True),
        ({"state": "quarantined"}, False),
        ({"state": "drain-succeeded"}, False),
        ({"budget": {"allowed": 1}}, False),
        ({"budget": {"namespace": "other"}}, False),
        ({"budget": {"selector": (Requirement("app", "in", frozenset({"web"})),)}}, False),
        ({"budget": {"selector": ()}}, True),
        ({"budget": {"selector": None}}, False),
        ({"pod": {"owner": "DaemonSet/train"}}, False),
        ({"pod": {"phase": "Succeeded"}}, False),
        ({"pod": {"deleting": NOW - 5}}, False),
        ({"modes": {"*": "Immediate"}}, True),
        ({"modes": {"*": "AllowCompletion"}}, False),
        ({"modes": {"*": "AllowCompletion", "m*": "Immediate"}}, True),
        ({"modes": {"*": "AllowCompletion", "x*": "Immediate"}}, False),
        ({"events": (f.event("AwaitingPodCompletion", last=NOW),)}, False),
    ],
)
def test_a_budget_that_refuses_an_eviction(changes: dict[str, Any], told: bool) -> None:
    """Draining, a pod that is evicted and still runs, and a budget of its own that allows none."""
    wanted = {"selector": (Requirement("app", "in", frozenset({"train"})),)} | changes.get(
        "budget", {}
    )
    pod = fake.pod("train-1", **({"labels": {"app": "train"}} | changes.get("pod", {})))
    budget = PodBudget(**({"namespace": "ml", "name": "train"} | wanted))
    session = fake.session("quarantined", changes.get("state", "draining"))
    snap = sick(session=session, pods=(pod,), events=changes.get("events", ()), budgets=(budget,))
    found = causes(snap, install(drain_modes=changes.get("modes", {})))
    assert ("drain-blocked" in found) == told
    if told:
        assert found["drain-blocked"].text == (
            "PodDisruptionBudget ml/train allows no disruption now, so the eviction of pod "
            "ml/train-1 is refused"
        )
        assert found["drain-blocked"].remedy.endswith("kubectl -n ml describe pdb train")


@pytest.mark.parametrize(
    ("state", "pod", "told"),
    [
        ("drain-succeeded", {}, True),
        ("remediating", {}, True),
        ("draining", {}, False),
        ("drain-succeeded", {"owner": "DaemonSet/x"}, False),
        ("drain-succeeded", {"owner": "Node/gpu-node-01"}, False),
        ("drain-succeeded", {"namespace": "kube-system"}, False),
        ("drain-succeeded", {"phase": "Failed"}, False),
    ],
)
def test_pods_that_a_finished_drain_left(state: str, pod: dict[str, Any], told: bool) -> None:
    """NVSentinel's word, and what is seen beside it."""
    snap = sick(session=fake.session("quarantined", state), pods=(fake.pod("train-4", **pod),))
    found = causes(snap)
    assert ("pods-left" in found) == told
    if told:
        assert found["pods-left"].text == (
            "NVSentinel reports the drain as finished; still running there: pod ml/train-4"
        )
