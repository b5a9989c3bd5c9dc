"""Whose a repair request is and how it went, on both sides of each rule."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as fake

from nvsx.core.incident.session import NO_SESSION, Session
from nvsx.core.watches.snapshot import Condition, Resource
from nvsx.nvsentinel import maintenance

AT = 1_000_000.0


def request(*conditions: Condition, **changes: Any) -> Resource:
    """A request without an event id in its name."""
    fields: dict[str, Any] = {"name": "r", "created": AT + 10, "started": AT + 10}
    found = fake.resource(**fields | changes)
    return msgspec.structs.replace(found, conditions=conditions)


def told(*conditions: Condition, configured: str = "", **changes: Any) -> tuple[str, str]:
    """How a request with these conditions went."""
    return maintenance.read_outcome(request(*conditions, **changes), complete_type=configured)


def is_of(session: Session, created: float, **changes: Any) -> bool:
    """Whether a request of that time is part of the session."""
    return maintenance.belongs_to_session(request(created=created, **changes), session)


def session(**changes: Any) -> Session:
    """A session that began at AT + 0.5."""
    return fake.session(**{"generated_at": AT + 0.5, "quarantined_at": AT + 2} | changes)


@pytest.mark.parametrize(
    ("changes", "created", "ours"),
    [
        ({}, AT - 120, True),
        ({}, AT - 121, False),
        ({}, 0.0, False),
        ({"generated_at": None, "quarantined_at": None}, AT, False),
        ({"previous_end": AT - 5}, AT - 5, False),
        ({"previous_end": AT - 5}, AT - 4, True),
        ({"ended_at": AT + 50}, AT + 50, True),
        ({"ended_at": AT + 50}, AT + 51, False),
    ],
)
def test_a_request_belongs_by_its_time(changes: dict[str, Any], created: float, ours: bool) -> None:
    """From two minutes before the session, after the end before it, until its own end."""
    assert is_of(session(**changes), created) == ours


@pytest.mark.parametrize(
    ("name", "node", "known", "ours"),
    [
        (f"maintenance-n-{fake.EVENT_ID}", fake.NODE, True, True),
        (f"maintenance-n-{'e' * 24}", fake.NODE, True, False),
        (f"maintenance-n-{fake.EVENT_ID}", fake.NODE, False, False),
        (f"maintenance-n-{fake.EVENT_ID}", "other", True, False),
        (f"maintenance-n-{fake.EVENT_ID}", "", True, True),
    ],
)
def test_the_event_in_the_name_makes_it_ours(name: str, node: str, known: bool, ours: bool) -> None:
    """An old request with our event's id is ours; of no session or another node it is not."""
    wanted = session() if known else NO_SESSION
    old = request(name=name, node=node, created=AT - 9999)
    assert maintenance.belongs_to_session(old, wanted, node=fake.NODE) == ours


def test_requests_come_oldest_first_and_by_name_within_a_second() -> None:
    """Creation times are whole seconds: the name decides between two."""
    several = [request(name=n, created=AT + t) for n, t in (("b", 2), ("a", 2), ("c", 1))]
    other = request(name="x", created=AT + 1, group="acme.io")
    found = maintenance.repairs_of_session((*several, other), session())
    assert [r.name for r in found] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("group", "kind", "name", "counts"),
    [
        ("janitor.dgxc.nvidia.com", "RebootNode", "r", True),
        ("acme.io", "RebootNode", "r", False),
        ("acme.io", "Swap", "r", True),
        ("acme.io", "Other", f"maintenance-n-{fake.EVENT_ID}", True),
        ("acme.io", "Other", f"something-n-{fake.EVENT_ID}", False),
        ("acme.io", "Other", "maintenance-n", False),
    ],
)
def test_what_counts_as_a_repair(group: str, kind: str, name: str, counts: bool) -> None:
    """NVSentinel's kinds, configured ones, and what is named as NVSentinel names them."""
    found = request(group=group, kind=kind, name=name)
    configured = frozenset({("acme.io", "Swap")})
    assert maintenance.is_maintenance(found, configured) == counts


SENT = Condition("SignalSent", "True", "Succeeded", "rc-1")
END = {"completed": AT + 70}


@pytest.mark.parametrize(
    ("conditions", "changes", "outcome", "words"),
    [
        ((), {}, "in-progress", "signal not sent yet"),
        ((Condition("SignalSent", "Unknown"),), {}, "in-progress", "signal not sent yet"),
        ((SENT, Condition("NodeReady", "Unknown")), {}, "in-progress", "signal sent (rc-1)"),
        ((SENT, Condition("NodeReady", "True")), {}, "succeeded", "rebooted and Ready"),
        ((SENT, Condition("NodeReady", "True")), END, "succeeded", "rebooted and Ready after 1m"),
        (
            (SENT, Condition("NodeReady", "False", "Timeout", "late")),
            {},
            "failed",
            "timed out: late",
        ),
        ((SENT, Condition("NodeReady", "False", "Failed", "poll")), {}, "in-progress", "signal"),
        (
            (SENT, Condition("NodeReady", "False", "Failed", "poll")),
            END,
            "failed",
            "failed after 1m: poll",
        ),
        ((Condition("SignalSent", "False", "Failed"),), {}, "failed", "signal refused: Failed"),
        ((SENT, Condition("NodeReady", "Unknown")), END, "failed", "ended without NodeReady"),
        ((Condition("ManualMode", "True"),), {}, "manual", "a person"),
        ((Condition("ManualMode", "False"),), {}, "in-progress", "not sent"),
    ],
)
def test_a_reboot_from_request_to_end(
    conditions: tuple[Condition, ...], changes: dict[str, Any], outcome: str, words: str
) -> None:
    """Each state of a RebootNode, in the order janitor goes through them."""
    found, detail = told(*conditions, **changes)
    assert found == outcome
    assert words in detail


@pytest.mark.parametrize(
    ("started", "completed", "words"),
    [
        (AT, AT + 60, " after 1m"),
        (0.0, AT + 70, " after 1m"),
        (AT, 0.0, ""),
        (AT, AT - 5, " after 0s"),
    ],
)
def test_how_long_it_took(started: float, completed: float, words: str) -> None:
    """From its start, else its creation; clocks that disagree give no negative time."""
    _, detail = told(Condition("NodeReady", "True"), started=started, completed=completed)
    assert detail == f"rebooted and Ready{words}"


@pytest.mark.parametrize(
    ("conditions", "changes", "outcome", "words"),
    [
        ((), {}, "in-progress", "phase not set yet"),
        (
            (Condition("Ready", "True"), Condition("Other", "False")),
            {"phase": "InProgress"},
            "in-progress",
            "phase InProgress, done: Ready",
        ),
        ((Condition("Complete", "True", "Done", "all good"),), {}, "succeeded", "all good"),
        ((Condition("Complete", "True", "JobFailed"),), {}, "failed", "JobFailed"),
        ((Condition("Complete", "True", "JobTimeout"),), {}, "failed", "JobTimeout"),
        ((Condition("Complete", "False"),), {}, "in-progress", "phase not set yet"),
        ((), END, "failed", "in phase unknown"),
        ((), END | {"phase": "Stuck"}, "failed", "in phase Stuck"),
        ((), {"phase": "Failed"}, "failed", "no reason given"),
        (
            (Condition("Ready", "False", "Broken", "no GPU"),),
            {"phase": "Failed"},
            "failed",
            "no GPU",
        ),
        (
            (Condition("Ready", "False", "Broken"),),
            {"phase": "Failed"},
            "failed",
            "no reason given",
        ),
        (
            (Condition("Ready", "True", "", "fine"),),
            {"phase": "Failed"},
            "failed",
            "no reason given",
        ),
        (
            (Condition("ResetJobCreated", "False"),),
            {"phase": "Failed"},
            "failed",
            "no reason given",
        ),
    ],
)
def test_a_gpu_reset_from_request_to_end(
    conditions: tuple[Condition, ...], changes: dict[str, Any], outcome: str, words: str
) -> None:
    """Phase first, then the condition Complete, then the completion time."""
    found, detail = told(*conditions, kind="GPUReset", **changes)
    assert found == outcome
    assert detail.endswith(words)


@pytest.mark.parametrize(
    ("conditions", "outcome"),
    [
        ((), "in-progress"),
        ((Condition("NVSentinelOwnershipReleased", "False"),), "in-progress"),
        ((Condition("NVSentinelOwnershipReleased", "True"),), "manual"),
        ((Condition("ExternalRemediationComplete", "True"),), "succeeded"),
        ((Condition("ExternalRemediationComplete", "False"),), "failed"),
        ((Condition("ExternalRemediationComplete", "Unknown"),), "in-progress"),
    ],
)
def test_an_external_repair(conditions: tuple[Condition, ...], outcome: str) -> None:
    """Those outside say how it went; until then the node is theirs once it was released."""
    assert told(*conditions, kind="ExternalRemediationRequest")[0] == outcome


@pytest.mark.parametrize(
    ("conditions", "changes", "outcome", "words"),
    [
        ((), {}, "in-progress", "no result yet"),
        ((), {"phase": "Waiting"}, "in-progress", "phase Waiting"),
        ((), {"phase": "Completed"}, "succeeded", "phase Completed"),
        ((), {"phase": "Error"}, "failed", "phase Error"),
        ((Condition("Failed", "False"),), {}, "in-progress", "no result yet"),
        ((Condition("Failed", "True"), Condition("Ready", "True")), {}, "failed", "Failed"),
        ((Condition("Done", "True", "", "swapped"),), {}, "succeeded", "swapped"),
        ((Condition("Done", "False", "", "stuck"),), {}, "in-progress", "no result yet"),
        ((Condition("Done", "False", "", "stuck"),), END, "failed", "stuck"),
    ],
)
def test_a_kind_nobody_configured(
    conditions: tuple[Condition, ...], changes: dict[str, Any], outcome: str, words: str
) -> None:
    """The usual phases, then bad conditions before good ones."""
    assert told(*conditions, kind="Swap", **changes) == (outcome, words)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("True", "succeeded"), ("False", "failed"), ("Unknown", "in-progress"), ("", "in-progress")],
)
def test_a_configured_condition_alone_decides(status: str, outcome: str) -> None:
    """True and False are its ends; unknown or absent, it is waited for, whatever the phase."""
    found = (Condition("Swapped", status),) if status else ()
    assert told(*found, kind="Swap", phase="Failed", configured="Swapped")[0] == outcome
