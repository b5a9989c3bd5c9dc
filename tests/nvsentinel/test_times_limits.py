"""Which timestamp makes a mark, on both sides of each tolerance."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as fake

from nvsx.core.incident.session import Times
from nvsx.core.watches.snapshot import Condition, Resource, Snapshot
from nvsx.nvsentinel import times

AT = 1_000_000.0
EARLIER = Times(generated=AT, node_ready=7.0, healthy=8.0)


def told(snap: Snapshot, known: Times = EARLIER, **trigger: Any) -> Times:
    """The times after one snapshot."""
    event = fake.health_event(**trigger) if trigger else None
    return times.add_times(known, snap, event)


def seen(*conditions: Condition, at: float = AT + 99, **session: Any) -> Snapshot:
    """A node with these conditions in a session that began at AT."""
    fields = {"generated_at": AT, "at": AT + 2} | session
    of = fake.node(conditions=conditions)
    return fake.snapshot(at, of=of, session=fake.session(**fields))


@pytest.mark.parametrize(
    ("transition", "heartbeat", "mark"),
    [
        (AT - 1, AT + 5, AT - 1),
        (AT - 1.5, AT + 5, AT + 5),
        (AT - 1.5, AT - 1.5, AT + 99),
        (0.0, AT + 5, AT + 5),
        (AT + 5, AT + 3, AT + 5),
    ],
)
def test_a_condition_is_ours_from_a_second_before_the_fault(
    transition: float, heartbeat: float, mark: float
) -> None:
    """Condition times are cut to the second; older ones are an earlier fault's."""
    sick = fake.condition(transition=transition, heartbeat=heartbeat)
    assert told(seen(sick)).condition_seen == mark


def test_the_first_of_several_conditions_is_when_it_was_seen() -> None:
    """Two checks for one fault: the earlier counts, and a check of nobody's does not."""
    events = tuple(fake.health_event(check=c) for c in ("SysLogsXIDError", "GpuMemWatch", "Ready"))
    found = (fake.condition(at=AT + 9), fake.condition(check="GpuMemWatch", at=AT + 4))
    assert told(seen(*found, events=events)).condition_seen == AT + 4


@pytest.mark.parametrize(
    ("known", "session", "trigger", "generated"),
    [
        (5.0, 3.0, {}, 3.0),
        (3.0, 5.0, {}, 3.0),
        (None, None, {"generated_at": 4.0}, 4.0),
        (None, None, {"generated_at": 0.0}, None),
        (5.0, None, {"generated_at": 4.0}, 5.0),
    ],
)
def test_the_earliest_fault_is_when_it_began(
    known: float | None, session: float | None, trigger: dict[str, float], generated: float | None
) -> None:
    """The session's time, else the trigger's; never a later one than was known."""
    snap = fake.snapshot(session=fake.session(generated_at=session))
    assert told(snap, Times(generated=known), **trigger).generated == generated


def request(*conditions: tuple[str, str, str], **changes: Any) -> Resource:
    """A repair of the session, asked for ten seconds after the fault."""
    return fake.resource(*conditions, **{"created": AT + 10} | changes)


@pytest.mark.parametrize(
    ("repair", "ready"),
    [
        (request(("NodeReady", "True", ""), completed=AT + 60), AT + 60),
        (request(("NodeReady", "True", "")), AT + 10),
        (request(("NodeReady", "False", "Timeout"), completed=AT + 60), 7.0),
        (request(("NodeReady", "Unknown", "")), None),
    ],
)
def test_the_newest_request_says_when_the_node_was_ready(
    repair: Resource, ready: float | None
) -> None:
    """Its completion, else its condition; one that runs takes the earlier mark back."""
    snap = msgspec.structs.replace(seen(), resources=(repair,))
    assert told(snap).node_ready == ready


@pytest.mark.parametrize(
    ("status", "transition", "ready"),
    [
        ("True", AT + 11, AT + 11),
        ("True", AT + 10, 7.0),
        ("True", AT + 9, 7.0),
        ("False", AT + 11, 7.0),
    ],
)
def test_a_request_without_the_condition_asks_the_kubelet(
    status: str, transition: float, ready: float
) -> None:
    """A GPUReset has no NodeReady: the kubelet's Ready counts when it is newer than the request."""
    kubelet = Condition("Ready", status, transition=transition)
    of = msgspec.structs.replace(fake.node(), conditions=(kubelet,))
    snap = msgspec.structs.replace(seen(), node=of, resources=(request(kind="GPUReset"),))
    assert told(snap).node_ready == ready


def test_without_a_node_the_earlier_marks_stay() -> None:
    """A Node that is gone says nothing new."""
    snap = msgspec.structs.replace(seen(), node=None, resources=(request(kind="GPUReset"),))
    known = told(snap)
    assert (known.node_ready, known.healthy, known.condition_seen) == (7.0, 8.0, None)


def test_the_first_request_is_when_remediation_began() -> None:
    """Of several requests the earliest counts, and those without a time do not."""
    several = (
        request(created=AT + 30),
        request(created=AT + 20, name=f"maintenance-{fake.NODE}-{'b' * 24}"),
        request(created=0.0),
    )
    snap = msgspec.structs.replace(seen(), resources=several)
    assert told(snap).remediation_created == AT + 20


@pytest.mark.parametrize(
    ("turned", "healthy"),
    [(AT - 1, AT - 1), (AT - 1.5, 8.0), (AT + 50, AT + 50)],
)
def test_a_condition_that_was_healthy_before_the_fault_says_nothing(
    turned: float, healthy: float
) -> None:
    """It turned healthy a second before the fault at most, else it was never unhealthy of it."""
    assert told(seen(fake.condition(healthy=True, at=turned))).healthy == healthy


def test_a_healthy_condition_without_a_time_has_none() -> None:
    """No transition time: no mark, and no fault time: nothing to compare with."""
    assert (
        told(seen(fake.condition(healthy=True, at=0.0), generated_at=None), Times()).healthy is None
    )
    turned = seen(fake.condition(healthy=True, at=5.0), generated_at=None)
    assert told(turned, Times()).healthy == 5.0


@pytest.mark.parametrize(("ending", "healthy"), [("recovered", 8.0), ("", None)])
def test_unhealthy_again_takes_the_mark_back_only_inside_the_session(
    ending: str, healthy: float | None
) -> None:
    """After the end it is another fault's condition."""
    assert told(seen(fake.condition(at=AT + 50), ending=ending)).healthy == healthy


@pytest.mark.parametrize(
    ("ended", "generated", "mark"),
    [(AT - 1, AT, AT - 1), (AT - 1.5, AT, None), (AT + 50, None, None), (None, AT, None)],
)
def test_a_release_counts_from_a_second_before_the_fault(
    ended: float | None, generated: float | None, mark: float | None
) -> None:
    """The uncordon's time is cut to the second; an older one is an earlier session's."""
    snap = seen(ending="recovered", ended_at=ended, generated_at=generated)
    assert told(snap, Times(generated=generated)).unquarantined == mark


@pytest.mark.parametrize(
    ("states", "began", "finished"),
    [
        (("draining", "drain-succeeded"), AT + 2, AT + 3),
        (("draining", "drain-failed"), AT + 2, AT + 3),
        (("quarantined",), None, None),
    ],
)
def test_the_state_label_tells_of_the_drain(
    states: tuple[str, ...], began: float | None, finished: float | None
) -> None:
    """A drain that failed is finished too."""
    snap = fake.snapshot(session=fake.session(*states, at=AT + 2))
    known = told(snap)
    assert (known.drain_began, known.drain_finished) == (began, finished)


def test_marks_that_were_seen_stay() -> None:
    """What is known is not replaced by what a later snapshot shows."""
    known = Times(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
    snap = msgspec.structs.replace(
        seen(
            fake.condition(at=AT + 5),
            states=(("draining", AT), ("drain-succeeded", AT), ("drain-failed", AT)),
            ending="recovered",
            ended_at=AT + 70,
        ),
        resources=(request(("NodeReady", "False", "Timeout"), completed=AT + 60),),
    )
    assert told(snap, known) == known
