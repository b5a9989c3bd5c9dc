"""When a note is given and when not: rows on both sides of each rule."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as fake
from tests.nvsentinel.diagnosing import INSTALLED, NOW, install, notes, sick, untouched

from nvsx.core.watches.snapshot import Condition, Node, Pod, Snapshot
from nvsx.nvsentinel.installation import Installation, Repair
from nvsx.nvsentinel.workloads import Fact, Module

LISTED = '[{"checkName": "X", "nodeName": "n"}]'
CORDONED = {"k8saas.nvidia.com/cordon-by": "NVSentinel"}


def healthy(since: float, *, cordoned: bool = True, **changes: Any) -> Snapshot:
    """A node whose check turned healthy at that time."""
    node_fields = changes.pop("node", {})
    conditions = [fake.condition(healthy=True, at=since), Condition("Ready", "True")]
    of = fake.node(conditions=conditions, cordoned=cordoned, **node_fields)
    return fake.snapshot(of=of, **{"session": fake.session()} | changes)


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


@pytest.mark.parametrize(("since", "told"), [(NOW - 600, True), (NOW - 599, False)])
def test_healthy_and_cordoned_for_ten_minutes(since: float, told: bool) -> None:
    """Ten minutes from the last check that turned healthy."""
    assert ("healthy-but-cordoned" in notes("recover", healthy(since))) == told


@pytest.mark.parametrize(
    "snap",
    [
        healthy(NOW - 700, cordoned=False),
        healthy(NOW - 700, session=fake.session(events=())),
        sick(),
        msgspec.structs.replace(healthy(NOW - 700), node=None),
    ],
)
def test_no_cordon_that_needs_an_explanation(snap: Snapshot) -> None:
    """Schedulable, without checks of ours, still sick, or without a Node."""
    assert "healthy-but-cordoned" not in notes(
        "recover", snap, now=NOW + 9999 if snap.node is None else NOW
    )


@pytest.mark.parametrize(
    ("open_", "session_says", "node_says", "words"),
    [
        (False, True, False, "somebody had cordoned it"),
        (False, False, True, "somebody had cordoned it"),
        (True, True, True, "no mark"),
        (False, False, False, "no mark"),
    ],
)
def test_whose_cordon_is_left(open_: bool, session_says: bool, node_says: bool, words: str) -> None:
    """A cordon that was found stays when the session is over, and only then."""
    annotations = {"quarantineHealthEventCordonPreExisting": "True"} if node_says else {}
    session = fake.session(open=open_, cordon_preexisting=session_says)
    snap = healthy(NOW - 700, session=session, node={"annotations": annotations, "labels": {}})
    assert words in notes("recover", snap)["healthy-but-cordoned"].text


@pytest.mark.parametrize(
    ("open_", "gone", "ending", "told"),
    [
        (False, True, "terminated", True),
        (False, True, "recovered", False),
        (False, False, "terminated", False),
    ],
)
def test_a_replacement_is_awaited(open_: bool, gone: bool, ending: Any, told: bool) -> None:
    """The Node is gone because its repair took it away."""
    over = fake.ended(fake.session(open=open_), NOW - 60, ending=ending)
    of: Node | None = None if gone else fake.node()
    snap = msgspec.structs.replace(fake.snapshot(session=over), node=of)
    assert ("node-replaced" in notes("recover", snap)) == told


@pytest.mark.parametrize(
    ("now", "words"), [(1500.0, "gives up at"), (1500.5, "longer than janitor's 25m")]
)
def test_janitors_limit(now: float, words: str) -> None:
    """Until the limit it is told when that is, afterwards that it has passed."""
    repair = fake.resource(("SignalSent", "True", ""), started=NOW)
    found = notes("remediate", sick(resources=(repair,)), now=NOW + now)
    assert words in found["cr-running"].text
    other = msgspec.structs.replace(repair, kind="Swap", group="acme.io")
    assert "janitor" not in notes("remediate", sick(resources=(other,)))["cr-running"].text


@pytest.mark.parametrize(
    ("conditions", "kind", "code"),
    [
        ((("SignalSent", "False", "Failed"),), "RebootNode", "cr-refused"),
        ((("NodeReady", "False", "Timeout"),), "RebootNode", "cr-timeout"),
        ((("NodeReady", "False", "Failed"),), "RebootNode", "cr-failed"),
        ((("ManualMode", "True", ""),), "RebootNode", "manual-mode"),
        (
            (("NVSentinelOwnershipReleased", "True", ""),),
            "ExternalRemediationRequest",
            "external-repair",
        ),
        ((("NodeReady", "True", ""),), "RebootNode", None),
    ],
)
def test_each_end_of_a_repair_has_its_code(
    conditions: tuple[tuple[str, str, str], ...], kind: str, code: str | None
) -> None:
    """Codes are stable: hooks and messages compare them."""
    done = 0.0 if code in ("manual-mode", "external-repair") else NOW
    repair = fake.resource(*conditions, kind=kind, completed=done)
    found = notes("remediate", sick(resources=(repair,)))
    assert {c for c in found if c.startswith(("cr-", "manual", "external"))} == (
        {code} if code else set()
    )


@pytest.mark.parametrize(
    ("manual", "repaired", "told"),
    [(True, False, True), (False, False, False), (None, False, False), (True, True, False)],
)
def test_manual_mode_of_the_configuration(manual: bool | None, repaired: bool, told: bool) -> None:
    """As long as no request is there that says it itself."""
    inst = install(manual=Fact(manual, "ConfigMap janitor"))
    snap = sick(resources=(fake.resource(),) if repaired else ())
    assert ("manual-mode" in notes("remediate", snap, inst)) == told


@pytest.mark.parametrize(
    ("stage", "session", "words"),
    [
        ("drain", {}, "waiting for node-drainer"),
        ("drain", {"open": False}, "waiting for node-drainer"),
        ("drain", {"open": False, "state": ""}, "not quarantined"),
        ("remediate", {"open": False, "state": ""}, "not quarantined"),
        ("remediate", {}, "waiting for fault-remediation"),
        ("quarantine", {}, "has quarantined"),
        ("quarantine", {"open": False}, "not quarantined"),
        ("recover", {"events": ()}, "waiting for NVSentinel to take its marks off the node (state"),
        (
            "recover",
            {"events": (), "state": ""},
            "waiting for NVSentinel to take its marks off the node",
        ),
        ("recover", {"events": (), "open": False, "state": ""}, "no mark of NVSentinel's"),
        ("detect", {}, "no fault is shown"),
    ],
)
def test_what_is_awaited(stage: str, session: dict[str, Any], words: str) -> None:
    """Where nothing stands out, the stage and the session say what comes next."""
    snap = fake.snapshot(session=fake.session(**session))
    assert (
        notes(stage, snap)["nothing-yet"].text.startswith(words)
        or words in notes(stage, snap)["nothing-yet"].text
    )


@pytest.mark.parametrize(
    ("pod", "named"),
    [
        (fake.pod("a", owner="Job/a"), True),
        (fake.pod("a", owner="DaemonSet/a"), False),
        (fake.pod("a", phase="Succeeded"), False),
        (fake.pod("a", phase="Failed"), False),
    ],
)
def test_pods_a_drain_leaves_alone(pod: Pod, named: bool) -> None:
    """DaemonSets and pods that ended keep no drain waiting."""
    snap = sick(session=fake.session("quarantined", "draining"), pods=(pod,))
    assert ("ml/a still on the node" in notes("drain", snap)["nothing-yet"].text) == named


@pytest.mark.parametrize(
    ("unread", "told"), [({"pods": "forbidden"}, True), ({"logs/ml/x": "gone"}, False), ({}, False)]
)
def test_what_is_not_read_is_said_first(unread: dict[str, str], told: bool) -> None:
    """Node, pods and Events are what a judgement needs."""
    found = notes("drain", sick(unread=unread))["nothing-yet"].text
    assert found.startswith("not everything of the node is read") == told


@pytest.mark.parametrize(
    ("collects", "words"), [(True, "logs are collected first"), (False, ""), (None, "")]
)
def test_the_log_collector_is_named_where_it_is_on(collects: bool | None, words: str) -> None:
    """It takes up to ten minutes before the repair is asked for."""
    found = notes("remediate", sick(), install(log_collector=Fact(collects, "args")))
    assert ("logs are collected" in found["nothing-yet"].text) == bool(words)


@pytest.mark.parametrize(
    ("events", "told"),
    [((), True), (("SysLogsXIDError",), True), (("GpuMemWatch",), False)],
)
def test_which_check_recovery_waits_for(events: tuple[str, ...], told: bool) -> None:
    """Those of the session, or all where the session's are not known."""
    session = fake.session(events=tuple(fake.health_event(check=c) for c in events))
    found = notes("recover", sick(session=session))["nothing-yet"].text
    assert found.startswith("waiting for a healthy event of SysLogsXIDError") == told


@pytest.mark.parametrize(
    ("ending", "stage", "over"),
    [("recovered", "drain", True), ("recovered", "recover", False), ("", "drain", False)],
)
def test_only_recover_is_still_explained_after_the_end(ending: Any, stage: str, over: bool) -> None:
    """Other stages of an incident that is over wait for what was not read yet."""
    session = msgspec.structs.replace(fake.session(), open=False, ending=ending, state="")
    found = notes(stage, fake.snapshot(session=session))
    assert any("the incident is over" in n.text for n in found.values()) == over


def test_a_clock_has_its_day_only_when_it_is_another() -> None:
    """Times of today have no date."""
    session = fake.session("quarantined")
    of = fake.node(conditions=[fake.condition(healthy=True, at=NOW - 700)], cordoned=True)
    snap = fake.snapshot(of=of, session=session)
    assert " since 16:" in notes("recover", snap)["healthy-but-cordoned"].text
    late = notes("recover", snap, now=NOW + 86400)["healthy-but-cordoned"].text
    assert " since 2025-08-20 16:" in late
