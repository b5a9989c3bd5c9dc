import msgspec
import pytest
from tests.fakes import fake_observer as fake
from tests.nvsentinel import fixtures as f

from nvsx.core.incident.session import Times
from nvsx.core.watches.snapshot import Snapshot
from nvsx.nvsentinel import times
from nvsx.nvsentinel.sessions import SessionTracker

T0 = 1755706600.0
STORY = (
    ("quarantined", ()),
    ("draining", ()),
    ("drain_succeeded", ()),
    ("cr_created_rebooting", ("in_progress",)),
    ("rebooted_condition_clear_not_yet_uncordoned", ("completed",)),
    ("recovered", ("completed",)),
)


def fold(*story: tuple[str, tuple[str, ...]]) -> tuple[Times, Snapshot]:
    """The times after each stage in turn, ten seconds apart."""
    tracker, known, snap = SessionTracker(), Times(), fake.snapshot()
    for i, (stage, cases) in enumerate(story):
        node = f.node(stage)
        snap = Snapshot(
            at=T0 + 10 * i,
            node_name=f.NODE,
            node=node,
            resources=tuple(f.resource(c) for c in cases),
            session=tracker.observe(node, T0 + 10 * i),
        )
        known = times.add_times(known, snap)
    return known, snap


def test_a_whole_repair() -> None:
    """Every mark of the sample incident, from NVSentinel's own timestamps where it has them."""
    known, _ = fold(*STORY)
    assert known == Times(
        generated=f.GENERATED,
        condition_seen=1755706530.0,
        quarantined=f.QUARANTINED,
        drain_began=T0 + 10,
        drain_finished=T0 + 20,
        remediation_created=1755706626.0,
        node_ready=1755707230.0,
        healthy=1755707370.0,
        unquarantined=f.RECOVERED,
    )
    assert known.time_to_repair() == pytest.approx(841.88)
    assert known.time_to_repair_without_drain() == pytest.approx(831.88)


def test_nothing_is_made_up_for_a_late_look() -> None:
    """Somebody who came during the reboot never saw the drain: those marks stay empty."""
    known, _ = fold(*STORY[3:])
    assert (known.drain_began, known.drain_finished) == (None, None)
    assert known.time_to_repair() == pytest.approx(841.88)


@pytest.mark.parametrize("last", ["alt_manual_uncordon", None])
def test_cancelled_and_terminated_have_no_time_to_repair(last: str | None) -> None:
    """A manual uncordon and a node that is gone are no repairs."""
    known, snap = fold(*STORY[:4])
    tracker = SessionTracker(snap.session)
    node = f.node(last) if last else None
    end = Snapshot(T0 + 99, f.NODE, node, session=tracker.observe(node, T0 + 99))
    known = times.add_times(known, end)
    assert known.unquarantined is None
    assert known.time_to_repair() is None


def test_an_earlier_faults_transition_is_not_ours() -> None:
    """The condition was True before: its heartbeat is this fault's, its transition is not."""
    sick = fake.condition(at=fake.AT, transition=fake.AT - 5000)
    snap = fake.snapshot(of=fake.node(conditions=[sick]), session=fake.session())
    assert times.add_times(Times(), snap).condition_seen == fake.AT


def test_healthy_waits_for_the_last_check_and_can_be_lost_again() -> None:
    """Two faults: healthy is the later of both, and gone when one comes back."""
    events = (fake.health_event(), fake.health_event(check="GpuMemWatch", id="b" * 24))
    session = fake.session(events=events)

    def look(known: Times, memory_healthy: bool, at: float) -> Times:
        conditions = [
            fake.condition(healthy=True, at=fake.AT + 100),
            fake.condition(healthy=memory_healthy, check="GpuMemWatch", at=at),
        ]
        snap = fake.snapshot(at, of=fake.node(conditions=conditions), session=session)
        return times.add_times(known, snap)

    known = look(Times(), False, fake.AT + 50)
    assert known.healthy is None
    known = look(known, True, fake.AT + 200)
    assert known.healthy == fake.AT + 200
    assert look(known, False, fake.AT + 300).healthy is None


def test_node_ready_is_the_newest_repairs() -> None:
    """A second reboot in the same session takes the first one's Ready back until it is done."""
    first = f.resource("completed")
    running = f.resource("in_progress", name="second", created=first.completed + 60)
    session = SessionTracker().observe(f.node("cr_created_rebooting"), T0)
    snap = Snapshot(T0, f.NODE, f.node("cr_created_rebooting"), session=session)
    known = times.add_times(Times(), msgspec.structs.replace(snap, resources=(first,)))
    assert known.node_ready == first.completed
    known = times.add_times(known, msgspec.structs.replace(snap, resources=(first, running)))
    assert known.node_ready is None
    assert known.remediation_created == first.created


def test_the_trigger_stands_in_where_there_is_no_session() -> None:
    """Monitor-only: generated and healthy come from the event and its condition."""
    trigger = fake.health_event()
    healthy = fake.node(conditions=[fake.condition(healthy=True, at=fake.AT + 60)])
    known = times.add_times(Times(), fake.snapshot(of=healthy), trigger)
    assert (known.generated, known.healthy) == (fake.AT, fake.AT + 60)
    assert known.time_to_repair() is None
