"""What a note must not say: what will not come, and remedies that do not help."""

import pytest
from tests.fakes import fake_observer as fake
from tests.nvsentinel import fixtures as f
from tests.nvsentinel.diagnosing import INSTALLED, NOW, causes, install, notes, sick, untouched

from nvsx.core.watches.snapshot import Condition
from nvsx.nvsentinel import maintenance
from nvsx.nvsentinel.installation import Installation

GPU_RULES = install(rules=("event.agent == 'gpu-health-monitor' && event.isFatal == true",))


def test_a_fault_that_no_rule_set_is_for() -> None:
    """The rule sets are read: a Slurm check that none of them names cordons nothing."""
    note = causes(untouched("SlurmHealthCheck"), GPU_RULES)["no-rule"]
    assert "SlurmHealthCheck: no rule set" in note.text
    assert f"kubectl cordon {fake.NODE}" in note.remedy


@pytest.mark.parametrize(
    ("check", "inst"),
    [
        ("GpuMemWatch", GPU_RULES),
        ("SlurmHealthCheck", INSTALLED),
        ("SlurmHealthCheck", install(rules=("event.isFatal == true",))),
        ("SlurmHealthCheck", install(rules=("event.agent.startsWith('slurm-')",))),
        ("a-policy-of-ours", GPU_RULES),
    ],
)
def test_a_rule_set_that_may_match_is_not_accused(check: str, inst: Installation) -> None:
    """Rules that are unread, for every agent, or for agents that begin so may still match."""
    assert list(notes("quarantine", untouched(check), inst)) == ["nothing-yet"]


def test_a_fault_without_effect_is_not_blamed_beside_one_with() -> None:
    """A non-fatal Event says nothing about a fatal condition that is there too."""
    event = f.event("GpuThermalWatchIsNotHealthy", last=NOW - 60)
    assert "action-none" not in causes(untouched(events=(event,)))


@pytest.mark.parametrize("stage", ["drain", "remediate"])
def test_an_incident_that_is_over_promises_nothing(stage: str) -> None:
    """After the end neither a drain nor a repair is announced."""
    over = fake.ended(fake.session(), NOW - 5, ending="recovered")
    found = notes(stage, fake.snapshot(session=over))
    assert [n.text for n in found.values()] == [
        "NVSentinel's quarantine is over (recovered): only what was not read yet can still come"
    ]


def test_recover_without_marks_waits_for_no_marks() -> None:
    """A node NVSentinel never touched has nothing for it to take off."""
    assert "no mark" in notes("recover", fake.snapshot())["nothing-yet"].text


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("SysLogsXIDError", "restarting its pod does not help"),
        ("GpuMemWatch", "restart the monitor's pod"),
        ("XID74Reg0SoloNVLinkError", "never gets a healthy event"),
        ("CSPMaintenance", "after the maintenance"),
        ("InfiniBandStateCheck", "when InfiniBandStateCheck passes again"),
    ],
)
def test_what_brings_a_healthy_event_depends_on_the_monitor(check: str, words: str) -> None:
    """The advice is what the monitor behind the check really does."""
    node = fake.node(conditions=[fake.condition(check=check)], cordoned=True)
    session = fake.session(events=(fake.health_event(check=check),))
    note = notes("recover", fake.snapshot(of=node, session=session))["nothing-yet"]
    assert words in note.remedy
    assert ("kubectl uncordon" in note.remedy) == (check == "XID74Reg0SoloNVLinkError")


def test_a_deletion_whose_time_has_passed_is_no_unlimited_wait() -> None:
    """DeleteAfterTimeout stays what it is after its time, with where to look."""
    event = f.event("WaitingBeforeForceDelete", last=NOW)
    snap = sick(session=fake.session("quarantined", "draining"), events=(event,))
    note = causes(snap, now=1755710131.0 + 600)["drain-waits"]
    assert "without limit" not in note.text
    assert "logs deploy/node-drainer" in note.remedy


def test_immediate_eviction_points_at_disruption_budgets() -> None:
    """A pod that stays although it is evicted: something refuses it."""
    pods = (fake.pod("train-0", owner="Job/train"),)
    snap = sick(session=fake.session("quarantined", "draining"), pods=pods)
    note = notes("drain", snap, install(drain_modes={"*": "Immediate"}))["nothing-yet"]
    assert note.remedy.endswith("kubectl get pdb -A")


def test_a_release_that_was_not_finished_is_no_hand_over() -> None:
    """Fault-quarantine stopped between its two updates: no validation will come."""
    labels = {"k8saas.nvidia.com/cordon-by": "NVSentinel"}
    node = fake.node(
        conditions=[fake.condition(healthy=True, at=NOW - 700)],
        cordoned=True,
        labels=labels,
        annotations={"quarantineHealthEvent": "[]"},
    )
    found = causes(fake.snapshot(of=node, session=fake.session()))
    assert "handed-over" not in found
    note = found["healthy-but-cordoned"]
    assert "begun to release it" in note.text
    assert note.remedy.endswith(f"kubectl uncordon {fake.NODE}")


def test_a_step_under_way_is_no_reason_of_a_failed_reset() -> None:
    """Janitor writes False before each step's True: only a False that is final says why."""
    conditions = (
        Condition("ServicesTornDown", "False", "Pending", "waiting for the lease"),
        Condition("ResetJobCreated", "False", "Creating", "creating the Job"),
        Condition("Complete", "False", "JobFailed", "nvidia-smi ended with 15"),
    )
    reset = f.resource("gpureset_done", phase="Failed", conditions=conditions)
    assert maintenance.read_outcome(reset)[1] == "GPU reset failed: nvidia-smi ended with 15"
