from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as fake
from tests.nvsentinel import fixtures as f
from tests.nvsentinel.diagnosing import INSTALLED, NOW, install, notes, sick

from nvsx.core.watches.snapshot import Snapshot
from nvsx.nvsentinel import names
from nvsx.nvsentinel.diagnosis import explain
from nvsx.nvsentinel.installation import Installation, Repair
from nvsx.nvsentinel.workloads import Fact, Module


def test_breaker_comes_first_in_quarantine_and_recover() -> None:
    """A tripped breaker is told first, with the command to look at it."""
    inst = install(breaker=Fact("TRIPPED", "ConfigMap circuit-breaker"))
    for stage in ("quarantine", "recover"):
        found = notes(stage, sick(), inst)
        assert next(iter(found)) == "breaker-tripped"
        remedy = found["breaker-tripped"].remedy
        assert "kubectl -n nvsentinel get cm circuit-breaker -o yaml" in remedy
    assert "breaker-tripped" not in notes("drain", sick(), inst)


def test_a_node_that_its_repair_took_away_is_waited_for() -> None:
    """Until the new machine registers, recover says what is awaited, and when it is in vain."""
    over = fake.ended(fake.session(), NOW - 60, ending="terminated")
    snap = msgspec.structs.replace(fake.snapshot(session=over), node=None)
    note = notes("recover", snap)["node-replaced"]
    assert f"waiting for a new Node {fake.NODE}" in note.text
    assert "another name" in note.remedy


def test_a_node_held_for_its_validation_says_so_at_once() -> None:
    """After the hand-over of v1.20 the note names the validation, and where to look."""
    labels = {"k8saas.nvidia.com/cordon-by": "NVSentinel"}
    node = fake.node(conditions=[fake.condition(healthy=True)], cordoned=True, labels=labels)
    note = notes("recover", fake.snapshot(of=node, session=fake.session()))["handed-over"]
    assert note.remedy == f"kubectl get validationrequests | grep {fake.NODE}"


def test_dry_run_from_arguments_and_from_marks() -> None:
    """A dry run shows in the modules' arguments, and without those in the bare annotation."""
    inst = install(dry_run=Fact(True, "--dry-run on fault-quarantine"))
    assert "dry-run" in notes("quarantine", sick(), inst)
    snap = fake.snapshot(of=f.node("alt_dry_run"), session=fake.session(state="", states=()))
    assert "dry-run" in notes("drain", snap, None)
    assert "dry-run" not in notes("drain", sick())


@pytest.mark.parametrize(
    ("stage", "module"),
    [
        ("quarantine", "fault-quarantine"),
        ("drain", "node-drainer"),
        ("remediate", "fault-remediation"),
        ("remediate", "janitor"),
        ("recover", "fault-quarantine"),
    ],
)
def test_missing_modules(stage: str, module: str) -> None:
    """The module a stage needs is not installed, or not ready."""
    others = {k: v for k, v in INSTALLED.modules.items() if k != module}
    found = notes(stage, sick(), install(modules=others))
    assert "not installed" in found[f"module-missing:{module}"].text
    broken = {**INSTALLED.modules, module: Module(module, "Deployment", (module,), 1, 0)}
    found = notes(stage, sick(), install(modules=broken))
    assert "0 of 1 ready" in found[f"module-missing:{module}"].text


def test_unknown_installation_accuses_no_module() -> None:
    """What could not be read is not missing."""
    blind = Installation("nvsentinel", unread={"workloads": "forbidden"})
    for stage in ("quarantine", "drain", "remediate"):
        assert not any(c.startswith("module-missing") for c in notes(stage, sick(), blind))


def test_opted_out() -> None:
    """The opt-out label is named, with the command that takes it off."""
    label = "k8saas.nvidia.com/ManagedByNVSentinel"
    node = fake.node(labels={label: "false"})
    note = notes("quarantine", fake.snapshot(of=node))["opted-out"]
    assert note.remedy.endswith(f"kubectl label node {fake.NODE} {label}-")


def test_store_only() -> None:
    """A stored-only event explains why the node does not change."""
    event = fake.health_event(check="GpuThermalMarginWatch", strategy="STORE_ONLY")
    found = notes("quarantine", fake.snapshot(health_events=(event,)))
    assert "GpuThermalMarginWatch is STORE_ONLY" in found["store-only"].text


def test_action_none_of_an_event() -> None:
    """A non-fatal fault leaves only an Event: that is said while waiting for a cordon."""
    event = f.event("GpuThermalWatchIsNotHealthy", last=NOW - 60)
    found = notes("quarantine", fake.snapshot(events=(event,)))
    assert "GpuThermalWatch is not fatal" in found["action-none"].text


def test_contact_support_needs_people() -> None:
    """No resource will come for CONTACT_SUPPORT, and the note says so."""
    event = fake.health_event(error_codes=("74",), action="CONTACT_SUPPORT")
    snap = sick(session=fake.session("quarantined", "remediation-failed", events=(event,)))
    note = notes("remediate", snap)["action-contact-support"]
    assert "SysLogsXIDError 74 is CONTACT_SUPPORT" in note.text
    mapped = install(repairs=(Repair("CONTACT_SUPPORT", "g", "v1", "Ticket"),))
    assert "action-contact-support" not in notes("remediate", snap, mapped)


def test_drain_waits_names_the_pods() -> None:
    """AllowCompletion: the pods that still run are named, with how to end them."""
    event = f.event("AwaitingPodCompletion", last=NOW)
    pods = (fake.pod("train-1", owner="Job/train"),)
    snap = sick(session=fake.session("quarantined", "draining"), events=(event,), pods=pods)
    note = notes("drain", snap)["drain-waits"]
    assert "pod ml/train-1 (Job/train)" in note.text
    assert "train-0" not in note.text
    assert "without limit" in note.text
    assert note.remedy.endswith("kubectl -n ml delete pod train-1")


def test_drain_waits_until_the_deletion() -> None:
    """DeleteAfterTimeout: the time left is from the Event's message."""
    event = f.event("WaitingBeforeForceDelete", last=NOW)
    snap = sick(session=fake.session("quarantined", "draining"), events=(event,))
    note = notes("drain", snap, now=1755710131.0 - 600)["drain-waits"]
    assert "deletes what is left at 17:15:31 UTC" in note.text


def test_an_old_drain_event_is_not_ours() -> None:
    """An Event of an earlier incident names no pods of this one."""
    event = f.event("AwaitingPodCompletion", last=fake.AT - 5000)
    snap = sick(session=fake.session("quarantined", "draining"), events=(event,))
    assert "drain-waits" not in notes("drain", snap)


def test_drain_failed() -> None:
    """drain-failed is the end of the chain, and says where to look."""
    snap = sick(session=fake.session("quarantined", "draining", "drain-failed"))
    assert "logs deploy/node-drainer" in notes("drain", snap)["drain-failed"].remedy


@pytest.mark.parametrize(
    ("case", "code", "words"),
    [
        ("in_progress", "cr-running", "signal sent"),
        ("timeout", "cr-timeout", "timed out after 25m3s"),
        ("signal_refused_looks_in_progress_to_FR", "cr-refused", "permission denied by provider"),
        ("manual_mode", "manual-mode", "person"),
    ],
)
def test_repairs(case: str, code: str, words: str) -> None:
    """The newest repair's state is told, with the command that shows it."""
    repair = f.resource(case)
    note = notes("remediate", sick(resources=(repair,)), now=repair.created + 120)[code]
    assert words in note.text
    assert f"kubectl get rebootnodes.janitor.dgxc.nvidia.com {repair.name} -o yaml" in note.remedy


def test_a_repair_that_could_not_be_created() -> None:
    """remediation-failed with a mapped action and no resource says where to look."""
    snap = sick(session=fake.session("quarantined", "drain-succeeded", "remediation-failed"))
    note = notes("remediate", snap)["repair-not-created"]
    assert "could not create it" in note.text
    assert "logs deploy/fault-remediation" in note.remedy
    assert "repair-not-created" not in notes("remediate", sick(resources=(f.resource("timeout"),)))


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


def test_configured_manual_mode() -> None:
    """Janitor's configuration says it before the resource does."""
    inst = install(manual=Fact(True, "ConfigMap janitor: manualMode true"))
    assert "manual-mode" in notes("remediate", sick(), inst)


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
    assert "healthy-but-cordoned" not in notes("recover", healthy_node(NOW - 599))
    assert "healthy-but-cordoned" in notes("recover", healthy_node(NOW - 601))


@pytest.mark.parametrize(
    ("snap", "inst", "words"),
    [
        (
            healthy_node(NOW - 700),
            install(breaker=Fact("TRIPPED", "x")),
            "circuit breaker",
        ),
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
        (
            healthy_node(NOW - 700, node={"labels": {"k8saas.nvidia.com/cordon-by": "NVSentinel"}}),
            INSTALLED,
            "waits for a validation",
        ),
    ],
)
def test_who_holds_the_cordon(snap: Snapshot, inst: Installation, words: str) -> None:
    """Breaker, other faults, a cordon found, the label, or a validation."""
    note = notes("recover", snap, inst)["healthy-but-cordoned"]
    assert words in note.text
    assert note.remedy


def test_node_not_ready() -> None:
    """The kubelet's state is told while recovery waits for it."""
    snap = fake.snapshot(of=fake.node(ready=False), session=fake.session())
    assert "not Ready" in notes("recover", snap)["node-not-ready"].text


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
