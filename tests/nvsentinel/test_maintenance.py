import msgspec
import pytest
from tests.nvsentinel import fixtures as f

from nvsx.core.incident.session import NO_SESSION, Session
from nvsx.core.watches.snapshot import Condition
from nvsx.nvsentinel import maintenance
from nvsx.nvsentinel.sessions import SessionTracker

UUID = "3f0c9a52-6d4e-4a57-9b44-1de2a7c0f9b1"


def session() -> Session:
    """The open session of the samples."""
    return SessionTracker().observe(f.node("quarantined"), f.QUARANTINED)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (f"maintenance-gpu-node-a1-{f.KEY}", f.KEY),
        (f"maintenance-node-with-dashes-7-{UUID}", UUID),
        (f"maintenance-{'0' * 24}-{f.KEY}", f.KEY),
        ("maintenance-gpu-node-a1", ""),
        (f"x{f.KEY}", ""),
    ],
)
def test_the_event_id_ends_the_name(name: str, found: str) -> None:
    """ObjectIds and UUIDs are read from the right; node names have dashes too."""
    assert maintenance.event_id_in_name(name) == found


def test_a_resource_named_after_an_event_belongs() -> None:
    """The id in the name decides, whatever the times say."""
    mine = f.resource("completed", created=1.0)
    assert maintenance.belongs_to_session(mine, session(), node=f.NODE)


def test_old_resources_never_belong() -> None:
    """Last week's completed RebootNode of the same node is not this incident's."""
    old = f.resource("completed", name=f"maintenance-{f.NODE}-{'0' * 24}", created=1755100000.0)
    assert not maintenance.belongs_to_session(old, session(), node=f.NODE)
    assert not maintenance.belongs_to_session(old, NO_SESSION)


@pytest.mark.parametrize(
    ("created", "belongs"),
    [
        (f.GENERATED - 121, False),
        (f.GENERATED - 119, True),
        (f.GENERATED + 3000, True),
    ],
)
def test_unnamed_resources_belong_by_time(created: float, belongs: bool) -> None:
    """A template of the operator's may leave the id out: then creation decides."""
    custom = f.resource("just_created", name="reboot-it", created=created)
    assert maintenance.belongs_to_session(custom, session()) == belongs


def test_never_before_the_previous_end() -> None:
    """The two minutes of tolerance do not reach into the session before."""
    later = msgspec.structs.replace(session(), previous_end=f.GENERATED - 60)
    assert not maintenance.belongs_to_session(
        f.resource("completed", name="r", created=f.GENERATED - 61), later
    )
    assert maintenance.belongs_to_session(
        f.resource("completed", name="r", created=f.GENERATED - 59), later
    )


def test_another_nodes_resource_never_belongs() -> None:
    """Same id, other node: no."""
    assert not maintenance.belongs_to_session(
        f.resource("completed"), session(), node="gpu-node-b2"
    )


@pytest.mark.parametrize(
    ("case", "outcome", "words"),
    [
        ("just_created", "in-progress", "not sent"),
        ("in_progress", "in-progress", "req-8842"),
        ("completed", "succeeded", "after 10m3s"),
        ("timeout", "failed", "timed out after 25m3s"),
        ("signal_refused_looks_in_progress_to_FR", "failed", "permission denied by provider"),
        ("manual_mode", "manual", "person"),
        ("gpureset_done", "succeeded", "GPU reset after 1m20s"),
        ("extrr_released", "manual", "external"),
    ],
)
def test_outcomes_of_the_samples(case: str, outcome: str, words: str) -> None:
    """Every state of every kind has its word and says why."""
    found, detail = maintenance.read_outcome(f.resource(case))
    assert found == outcome
    assert words in detail


def test_signal_refused_says_so() -> None:
    """NodeReady stays Unknown for ever then: only SignalSent and the completion tell."""
    _, detail = maintenance.read_outcome(f.resource("signal_refused_looks_in_progress_to_FR"))
    assert detail.startswith("signal refused: ")


def test_completed_without_ready_is_failed() -> None:
    """A completion time without NodeReady True is a failure, whatever else is missing."""
    bare = f.resource("completed", conditions=())
    assert maintenance.read_outcome(bare)[0] == "failed"


@pytest.mark.parametrize(
    ("phase", "outcome"),
    [
        ("Pending", "in-progress"),
        ("Terminating", "in-progress"),
        ("Failed", "failed"),
        ("Succeeded", "succeeded"),
    ],
)
def test_gpu_reset_phases(phase: str, outcome: str) -> None:
    """A GPUReset's phase decides."""
    reset = f.resource("gpureset_done", phase=phase, completed=0.0, conditions=())
    assert maintenance.read_outcome(reset)[0] == outcome


def test_a_gpu_reset_whose_job_failed_goes_on_as_a_reboot() -> None:
    """The Job of a failed reset tells the syslog: a new fault, which ends in a reboot."""
    job = (Condition("ResetJobCreated", "True"), Condition("ResetJobCompleted", "False"))
    reset = f.resource("gpureset_done", phase="Failed", completed=9.0, conditions=job)
    outcome, detail = maintenance.read_outcome(reset)
    assert (outcome, detail.rpartition("; ")[2]) == (
        "escalated",
        "NVSentinel goes on with a reboot",
    )


@pytest.mark.parametrize(
    ("conditions", "completed", "outcome"),
    [
        ((Condition("Ready", "True"),), 0.0, "succeeded"),
        ((Condition("Complete", "False", message="broken"),), 9.0, "failed"),
        ((Condition("Complete", "False"),), 0.0, "in-progress"),
        ((Condition("Failed", "True", message="broken"),), 0.0, "failed"),
        ((), 0.0, "in-progress"),
    ],
)
def test_unknown_kinds(conditions: tuple[Condition, ...], completed: float, outcome: str) -> None:
    """A kind nvsx never heard of is read by the usual conditions."""
    other = f.resource("completed", kind="PowerCycle", conditions=conditions, completed=completed)
    assert maintenance.read_outcome(other)[0] == outcome


def test_the_configured_condition_decides() -> None:
    """Where the operator names the completing condition, nothing else counts."""
    other = f.resource(
        "completed",
        kind="PowerCycle",
        conditions=(Condition("Ready", "True"), Condition("Cycled", "Unknown")),
    )
    assert maintenance.read_outcome(other, complete_type="Cycled")[0] == "in-progress"
