"""When a note about waiting is given and when not: rows on both sides of each rule."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes import fake_observer as fake
from tests.nvsentinel.diagnosing import INSTALLED, NOW, causes, install, sick, untouched

from nvsx.core.watches.snapshot import Pod, Snapshot
from nvsx.nvsentinel.installation import Installation
from nvsx.nvsentinel.workloads import Module

LISTED = '[{"checkName": "X", "nodeName": "n"}]'
CORDONED = {"k8saas.nvidia.com/cordon-by": "NVSentinel"}


def module(kind: str, desired: int, ready: int) -> Installation:
    """An installation whose node-drainer is so."""
    drainer = Module("node-drainer", kind, ("nd",), desired, ready)
    return install(modules={**INSTALLED.modules, "node-drainer": drainer})


@pytest.mark.parametrize(("last", "told"), [(NOW - 3600, True), (NOW - 3601, False)])
def test_an_event_explains_for_an_hour(last: float, told: bool) -> None:
    """Older non-fatal Events are not why nothing happens now."""
    event = fake.node_event("X", "XIsNotHealthy", at=last)
    assert ("action-none" in causes(fake.snapshot(events=(event,)))) == told
    other = fake.node_event("X", "Other", at=last)
    assert "action-none" not in causes(fake.snapshot(events=(other,)))


@pytest.mark.parametrize(
    ("strategy", "healthy", "session", "told"),
    [
        ("STORE_ONLY", False, False, True),
        ("STORE_AND_ANALYSE", False, False, True),
        ("EXECUTE_REMEDIATION", False, False, False),
        ("STORE_ONLY", True, False, False),
        ("STORE_ONLY", False, True, False),
    ],
)
def test_a_stored_event_without_effect(
    strategy: str, healthy: bool, session: bool, told: bool
) -> None:
    """Unhealthy, stored only, and nothing else is going on."""
    event = fake.health_event(strategy=strategy, healthy=healthy)
    changes: dict[str, Any] = {"session": fake.session()} if session else {}
    found = causes(fake.snapshot(health_events=(event,), **changes))
    assert ("store-only" in found) == told


def test_the_newest_stored_event_explains() -> None:
    """By its creation, else by its generation."""
    old = fake.health_event(check="Old", strategy="STORE_ONLY", created_at=5.0, generated_at=99.0)
    new = fake.health_event(check="New", strategy="STORE_ONLY", created_at=0.0, generated_at=9.0)
    found = causes(fake.snapshot(health_events=(old, new)))
    assert found["store-only"].text.startswith("New ")


@pytest.mark.parametrize(
    ("rules", "session", "told"),
    [
        (("event.agent == 'gpu-health-monitor'",), None, True),
        (("event.agent == 'gpu-health-monitor'",), fake.session(), False),
        (("event.agent == 'syslog-health-monitor'",), None, False),
        ((), None, False),
    ],
)
def test_no_rule_set_for_a_fault(rules: tuple[str, ...], session: Any, told: bool) -> None:
    """While the node is not quarantined and every rule set names other agents."""
    changes = {} if session is None else {"session": session}
    assert ("no-rule" in causes(untouched(**changes), install(rules=rules))) == told
    assert "no-rule" not in causes(fake.snapshot(), install(rules=rules))


def draining(
    *, waits: str = "[train-0 train-1]", last: float = NOW, state: str = "draining", **changes: Any
) -> Snapshot:
    """A node whose drain waits for pods, as the drainer's Event says."""
    event = fake.node_event("NodeDraining", "Waiting", f"{waits} in namespace ml", at=last)
    return sick(session=fake.session("quarantined", state), events=(event,), **changes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, True),
        ({"state": "quarantined"}, True),
        ({"state": ""}, True),
        ({"state": "remediating"}, False),
        ({"last": fake.AT}, True),
        ({"last": fake.AT - 1}, False),
        ({"waits": "[]"}, False),
    ],
)
def test_a_drain_that_waits(changes: dict[str, Any], told: bool) -> None:
    """An Event since the session began, while the state says nothing beyond a drain."""
    assert ("drain-waits" in causes(draining(**changes))) == told


@pytest.mark.parametrize(
    ("pods", "unread", "text"),
    [
        ((), {}, "2 pods ml/train-0, ml/train-1"),
        ((fake.pod("train-1"),), {}, "pod ml/train-1"),
        ((fake.pod("train-1"),), {"pods": "forbidden"}, "2 pods ml/train-0, ml/train-1"),
    ],
)
def test_pods_that_have_gone_are_not_waited_for(
    pods: tuple[Pod, ...], unread: dict[str, str], text: str
) -> None:
    """Where the pods are read, the Event's list is cut to those that are there."""
    assert text in causes(draining(pods=pods, unread=unread))["drain-waits"].text


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "pod ml/p0 "), (5, "5 pods ml/p0, ml/p1, ml/p2, ml/p3, ml/p4 "), (6, "ml/p4 and 1 more")],
)
def test_five_pods_are_named(count: int, text: str) -> None:
    """More are counted."""
    waits = f"[{' '.join(f'p{i}' for i in range(count))}]"
    assert text in causes(draining(waits=waits))["drain-waits"].text


@pytest.mark.parametrize(
    ("now", "words"), [(9, "to end it earlier"), (10, "that has passed"), (11, "that has passed")]
)
def test_before_and_after_the_time_of_deletion(now: float, words: str) -> None:
    """The remedy is to end it earlier, until there is nothing earlier left."""
    forced = "[train-0] force deleted on: 1970-01-01T00:00:10Z, then on"
    session = fake.session("draining", generated_at=1.0, quarantined_at=2.0)
    event = fake.node_event(
        "NodeDraining", "WaitingBeforeForceDelete", f"{forced} in namespace ml", at=5.0
    )
    found = causes(sick(session=session, events=(event,)), now=now)
    assert words in found["drain-waits"].remedy
