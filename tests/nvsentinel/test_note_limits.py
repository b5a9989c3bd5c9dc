"""When a note about waiting is given and when not: rows on both sides of each rule."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as fake
from tests.nvsentinel.diagnosing import INSTALLED, NOW, install, notes, sick, untouched

from nvsx.core.watches.snapshot import Condition, Pod, Snapshot
from nvsx.nvsentinel.installation import Installation, Repair
from nvsx.nvsentinel.workloads import Fact, Module

LISTED = '[{"checkName": "X", "nodeName": "n"}]'
CORDONED = {"k8saas.nvidia.com/cordon-by": "NVSentinel"}


@pytest.mark.parametrize(
    ("stage", "open_", "words"),
    [
        ("recover", True, "stay cordoned"),
        ("recover", False, "no node"),
        ("quarantine", True, "no node"),
    ],
)
def test_what_a_tripped_breaker_blocks(stage: str, open_: bool, words: str) -> None:
    """A recovery, while one is due; else the cordon."""
    snap = sick(session=fake.session(open=open_))
    assert (
        words in notes(stage, snap, install(breaker=Fact("TRIPPED", "x")))["breaker-tripped"].text
    )


@pytest.mark.parametrize(
    ("inst", "annotated", "open_", "told"),
    [
        (INSTALLED, False, True, False),
        (INSTALLED, True, True, True),
        (INSTALLED, True, False, False),
        (install(dry_run=Fact(True, "args")), False, False, True),
        (None, True, True, True),
        (None, False, True, False),
    ],
)
def test_a_dry_run_is_known_from_arguments_or_marks(
    inst: Installation | None, annotated: bool, open_: bool, told: bool
) -> None:
    """The arguments say it for every node, the marks for one that is in a session."""
    marks = {"quarantineHealthEvent": LISTED, "quarantineHealthEventIsCordoned": "True"}
    of = fake.node(conditions=[fake.condition()], annotations=marks if annotated else {})
    snap = fake.snapshot(of=of, session=fake.session(open=open_))
    assert ("dry-run" in notes("quarantine", snap, inst)) == told


@pytest.mark.parametrize(
    ("status", "message", "at", "text"),
    [
        ("True", "", 0.0, None),
        ("False", "", 0.0, "the kubelet's state is not Ready"),
        ("Unknown", "silent", 0.0, "the kubelet's state is unknown: silent"),
        ("False", "", NOW - 60, "not Ready since"),
    ],
)
def test_the_kubelets_state(status: str, message: str, at: float, text: str | None) -> None:
    """Anything but True is told, with since when and why where that is known."""
    of = msgspec.structs.replace(
        fake.node(), conditions=(Condition("Ready", status, message=message, transition=at),)
    )
    found = notes("quarantine", fake.snapshot(of=of))
    assert ("node-not-ready" in found) == (text is not None)
    if text is not None:
        assert text in found["node-not-ready"].text


def module(kind: str, desired: int, ready: int) -> Installation:
    """An installation whose node-drainer is so."""
    drainer = Module("node-drainer", kind, ("nd",), desired, ready)
    return install(modules={**INSTALLED.modules, "node-drainer": drainer})


@pytest.mark.parametrize(
    ("inst", "told"),
    [
        (module("Deployment", 1, 1), ""),
        (module("Deployment", 2, 1), "not ready"),
        (module("Deployment", 0, 0), "not installed"),
        (module("DaemonSet", 2, 1), ""),
        (None, ""),
    ],
)
def test_a_module_that_does_not_work(inst: Installation | None, told: str) -> None:
    """Scaled to nothing is not installed, and a DaemonSet lacks pods for many reasons."""
    found = notes("drain", sick(), inst).get("module-missing:node-drainer")
    assert (found is not None) == bool(told)
    if found is not None:
        assert told in found.text


@pytest.mark.parametrize(("last", "told"), [(NOW - 3600, True), (NOW - 3601, False)])
def test_an_event_explains_for_an_hour(last: float, told: bool) -> None:
    """Older non-fatal Events are not why nothing happens now."""
    event = fake.node_event("X", "XIsNotHealthy", at=last)
    assert ("action-none" in notes("detect", fake.snapshot(events=(event,)))) == told
    other = fake.node_event("X", "Other", at=last)
    assert "action-none" not in notes("detect", fake.snapshot(events=(other,)))


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
    found = notes("detect", fake.snapshot(health_events=(event,), **changes))
    assert ("store-only" in found) == told


def test_the_newest_stored_event_explains() -> None:
    """By its creation, else by its generation."""
    old = fake.health_event(check="Old", strategy="STORE_ONLY", created_at=5.0, generated_at=99.0)
    new = fake.health_event(check="New", strategy="STORE_ONLY", created_at=0.0, generated_at=9.0)
    found = notes("detect", fake.snapshot(health_events=(old, new)))
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
    assert ("no-rule" in notes("quarantine", untouched(**changes), install(rules=rules))) == told
    assert "no-rule" not in notes("quarantine", fake.snapshot(), install(rules=rules))


@pytest.mark.parametrize(
    ("since", "open_", "told"),
    [
        (NOW - 120, False, True),
        (NOW - 119, False, False),
        (0.0, False, False),
        (NOW - 500, True, False),
    ],
)
def test_two_minutes_without_a_cordon(since: float, open_: bool, told: bool) -> None:
    """From two minutes after the first fault; without its time nobody knows."""
    of = fake.node(
        conditions=[
            fake.condition(at=since),
            fake.condition(check="B", at=max(since, NOW - 1) if since else 0.0),
        ]
    )
    snap = fake.snapshot(of=of, session=fake.session(open=open_, state=""))
    assert ("not-quarantined" in notes("quarantine", snap)) == told


@pytest.mark.parametrize(
    ("action", "repairs", "code"),
    [
        ("RESTART_BM", (), None),
        ("CONTACT_SUPPORT", (), "action-contact-support"),
        ("NONE", (), "action-none"),
        ("RESTART_BM", ("REPLACE_VM",), "action-contact-support"),
        ("CUSTOM", ("REPLACE_VM",), "action-contact-support"),
        ("CUSTOM", ("OUR_OWN",), None),
    ],
)
def test_actions_that_people_carry_out(
    action: str, repairs: tuple[str, ...], code: str | None
) -> None:
    """What is mapped is repaired; a name of the operator's own can be what CUSTOM stands for."""
    inst = install(repairs=tuple(Repair(r, "g", "v1", "K") for r in repairs))
    event = fake.health_event(action=action)
    snap = sick(session=fake.session("quarantined", events=(event,)))
    told = {c for c in notes("remediate", snap, inst) if c.startswith("action-")}
    assert told == ({code} if code else set())
    other = fake.health_event(id="b" * 24, action=(repairs or ("RESTART_BM",))[0])
    both = sick(session=fake.session("quarantined", events=(other, event)))
    assert not any(c.startswith("action-") for c in notes("remediate", both, inst))
    repaired = msgspec.structs.replace(snap, resources=(fake.resource(),))
    assert not any(c.startswith("action-") for c in notes("remediate", repaired, inst))


@pytest.mark.parametrize(
    ("state", "action", "told"),
    [
        ("remediation-failed", "RESTART_BM", True),
        ("remediating", "RESTART_BM", False),
        ("remediation-failed", "CONTACT_SUPPORT", False),
    ],
)
def test_a_repair_that_was_not_created(state: str, action: str, told: bool) -> None:
    """The state says failed, a repair was due, and none is there."""
    session = fake.session("quarantined", state, events=(fake.health_event(action=action),))
    assert ("repair-not-created" in notes("remediate", sick(session=session))) == told


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
    assert ("drain-waits" in notes("drain", draining(**changes))) == told


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
    assert text in notes("drain", draining(pods=pods, unread=unread))["drain-waits"].text


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "pod ml/p0 "), (5, "5 pods ml/p0, ml/p1, ml/p2, ml/p3, ml/p4 "), (6, "ml/p4 and 1 more")],
)
def test_five_pods_are_named(count: int, text: str) -> None:
    """More are counted."""
    waits = f"[{' '.join(f'p{i}' for i in range(count))}]"
    assert text in notes("drain", draining(waits=waits))["drain-waits"].text


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
    found = notes("drain", sick(session=session, events=(event,)), now=now)
    assert words in found["drain-waits"].remedy
