"""When a note of diagnosis is given and what it says: rows on both sides of each rule."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as fake
from tests.nvsentinel.diagnosing import NOW, causes, install, notes, sick

from nvsx.core.watches.snapshot import Condition, Pod, Snapshot
from nvsx.nvsentinel.workloads import Fact


def healthy(since: float, *, cordoned: bool = True, **changes: Any) -> Snapshot:
    """A node whose check turned healthy at that time."""
    node_fields = changes.pop("node", {})
    conditions = [fake.condition(healthy=True, at=since), Condition("Ready", "True")]
    of = fake.node(conditions=conditions, cordoned=cordoned, **node_fields)
    return fake.snapshot(of=of, **{"session": fake.session()} | changes)


@pytest.mark.parametrize(("since", "told"), [(NOW - 600, True), (NOW - 599, False)])
def test_healthy_and_cordoned_for_ten_minutes(since: float, told: bool) -> None:
    """Ten minutes from the last check that turned healthy."""
    assert ("healthy-but-cordoned" in causes(healthy(since))) == told


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
    assert "healthy-but-cordoned" not in causes(snap, now=NOW + 9999 if snap.node is None else NOW)


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
    assert words in causes(snap)["healthy-but-cordoned"].text


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
    assert any("quarantine is over" in n.text for n in found.values()) == over


def test_a_clock_has_its_day_only_when_it_is_another() -> None:
    """Times of today have no date."""
    session = fake.session("quarantined")
    of = fake.node(conditions=[fake.condition(healthy=True, at=NOW - 700)], cordoned=True)
    snap = fake.snapshot(of=of, session=session)
    assert " since 16:" in causes(snap)["healthy-but-cordoned"].text
    late = causes(snap, now=NOW + 86400)["healthy-but-cordoned"].text
    assert " since 2025-08-20 16:" in late
