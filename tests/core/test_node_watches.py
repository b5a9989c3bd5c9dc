# ruff: noqa: E501 - one case a line: the tables are read by their columns
"""What the watches of the node itself say, on both sides of each of their limits."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from tests.core.asking import FAULTY, GONE, HEALTHY, ask
from tests.fakes import fake_observer as build
from tests.fakes.fake_observer import AT, NODE

from nvsx.core.watches.snapshot import Condition, Node, Snapshot, Taint
from nvsx.core.watches.verdict import Verdict, invalid, pending, satisfied, unknown
from nvsx.core.watches.watch_base import TOLERANCE

MISSING = pending(f"node {NODE} is not there")


def condition_of(**changes: Any) -> Snapshot:
    """A node with the XID condition, changed so."""
    return build.snapshot(of=build.node(conditions=(build.condition(**changes),)))


@pytest.mark.parametrize(
    ("fields", "snap", "verdict"),
    [
        ({}, FAULTY, satisfied("SysLogsXIDError is True 79", AT)),
        ({}, condition_of(transition=0.0), satisfied("SysLogsXIDError is True 79")),
        ({"status": "False"}, HEALTHY, satisfied("SysLogsXIDError is False", AT)),
        ({}, HEALTHY, pending("SysLogsXIDError is False")),
        ({}, build.snapshot(), pending("no condition SysLogsXIDError")),
        (
            {"errorCode": "7"},
            FAULTY,
            pending("SysLogsXIDError is True, with error code 79"),
        ),
        (
            {"errorCode": "7"},
            condition_of(message="odd"),
            pending("SysLogsXIDError is True, with error code none"),
        ),
        (
            {"reason": "Other"},
            FAULTY,
            pending("SysLogsXIDError is True, with reason SysLogsXIDErrorIsNotHealthy"),
        ),
        (
            {"type": ["A", "SysLogsXIDError"], "errorCode": "7"},
            FAULTY,
            pending("no condition A; SysLogsXIDError is True, with error code 79"),
        ),
        ({}, GONE, MISSING),
    ],
)
def test_a_condition_says_what_differs(
    fields: dict[str, Any], snap: Snapshot, verdict: Verdict
) -> None:
    """Its codes and when it changed where it is met; else how each type differs."""
    watch = {"kind": "node-condition", "type": "SysLogsXIDError", **fields}
    assert ask(watch, snap) == verdict


LATE = pending("NVSentinel has not shown this fault on the node yet", AT + TOLERANCE)


@pytest.mark.parametrize(
    ("type_", "heartbeat", "now", "kind"),
    [
        ("SysLogsXIDError", None, AT + TOLERANCE - 0.1, "pending"),
        ("SysLogsXIDError", None, AT + TOLERANCE, "satisfied"),
        ("SysLogsXIDError", math.floor(AT) - 1, AT + 1, "pending"),
        ("SysLogsXIDError", math.floor(AT), AT + 1, "satisfied"),
        ("GpuMemWatch", None, AT + 1, "satisfied"),
    ],
)
def test_absence_waits_until_the_fault_could_show(
    type_: str, heartbeat: float | None, now: float, kind: str
) -> None:
    """A heartbeat of the event's second shows the fault; after the tolerance none is needed."""
    seen = HEALTHY if heartbeat is None else condition_of(healthy=True, heartbeat=heartbeat)
    snap = build.snapshot() if heartbeat is None else seen
    watch = {"kind": "node-condition", "type": type_, "absent": True}
    verdict = ask(watch, snap, trigger=build.health_event(), now=now)
    assert verdict.kind == kind
    assert verdict == LATE or kind == "satisfied"


@pytest.mark.parametrize(
    ("fields", "node", "verdict"),
    [
        ({"field": "ready"}, build.node(), satisfied("node is Ready")),
        ({"field": "ready"}, build.node(ready=False), pending("node is not Ready")),
        (
            {"field": "ready"},
            Node(NODE),
            pending("node is Ready: Unknown"),
        ),
        (
            {"field": "ready", "expect": False},
            build.node(ready=False),
            satisfied("node is not Ready"),
        ),
        ({"field": "spec.unschedulable"}, build.node(), pending("node is schedulable")),
        (
            {"field": "spec.unschedulable"},
            build.node(cordoned=True),
            satisfied("node is cordoned"),
        ),
        ({"field": "bootID"}, build.node(boot_id="boot-2"), satisfied("boot id changed")),
        ({"field": "bootID"}, build.node(), pending("boot id unchanged")),
        (
            {"field": "bootID", "expect": "unchanged"},
            build.node(),
            satisfied("boot id unchanged"),
        ),
        (
            {"field": "bootID"},
            build.node(boot_id=""),
            unknown("the boot id before the incident is not known"),
        ),
        ({"field": "exists"}, build.node(), satisfied("the node is there")),
        ({"field": "exists", "expect": False}, build.node(), pending("the node is there")),
    ],
)
def test_a_field_says_how_it_is(fields: dict[str, Any], node: Any, verdict: Verdict) -> None:
    """In words, whether that is what is waited for or not."""
    assert ask({"kind": "node", **fields}, build.snapshot(of=node), boot_id="boot-1") == verdict


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"field": "exists"}, MISSING),
        ({"field": "exists", "expect": False}, satisfied(f"{NODE} is gone")),
        ({"field": "exists", "absent": True}, satisfied(f"node {NODE} is not there")),
        ({"field": "ready"}, MISSING),
        ({"field": "ready", "expect": False}, MISSING),
        ({"field": "ready", "absent": True}, MISSING),
    ],
)
def test_a_missing_node_only_answers_whether_it_exists(
    fields: dict[str, Any], verdict: Verdict
) -> None:
    """It is neither ready nor not ready, and nothing of it has gone."""
    assert ask({"kind": "node", **fields}, GONE) == verdict


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"key": "a"}, satisfied("taint a=b:NoExecute")),
        ({"key": "a", "value": "c"}, pending("no taint a")),
        ({"key": "a", "value": "b", "effect": "NoExecute"}, satisfied("taint a=b:NoExecute")),
        ({"key": "a", "value": "b", "effect": "NoSchedule"}, pending("no taint a")),
    ],
)
def test_a_taint_is_met_by_all_that_is_given(fields: dict[str, Any], verdict: Verdict) -> None:
    """Key, value and effect together, of one taint."""
    node = build.node(taints=(Taint("x", "b", "NoSchedule"), Taint("a", "b", "NoExecute")))
    assert ask({"kind": "taint", **fields}, build.snapshot(of=node)) == verdict
    assert ask({"kind": "taint", **fields}, GONE) == MISSING


@pytest.mark.parametrize(
    ("value", "shown"), [("v" * 60, "v" * 60), ("v" * 61, "v" * 57 + "..."), ("", "")]
)
@pytest.mark.parametrize(
    ("kind", "word"), [("node-label", "label"), ("node-annotation", "annotation")]
)
def test_a_long_value_is_cut(kind: str, word: str, value: str, shown: str) -> None:
    """Sixty characters of a label or an annotation are shown, an empty value counts."""
    snap = build.snapshot(of=msgspec.structs.replace(Node(NODE), **{f"{word}s": {"k": value}}))
    assert ask({"kind": kind, "key": "k"}, snap) == satisfied(f"{word} k={shown}")
    assert ask({"kind": kind, "key": "k", "value": "w"}, snap) == pending(f"{word} k is {shown}")
    assert ask({"kind": kind, "key": "k", "pattern": "w"}, snap) == pending(
        f"{word} k does not match"
    )
    assert ask({"kind": kind, "key": "l"}, snap) == pending(f"no {word} l")
    assert ask({"kind": kind, "key": "k"}, GONE) == MISSING


@pytest.mark.parametrize(
    ("wanted", "snap", "verdict"),
    [
        ("draining", {"session": build.session("draining")}, satisfied("state draining", AT + 2)),
        (
            "draining",
            {"session": build.session("quarantined", "remediating")},
            satisfied("state remediating, which comes later", AT + 3),
        ),
        (["draining", "remediating"], {"session": build.session()}, pending("state is quarantined")),
        (
            ["remediation-failed", "draining"],
            {"session": build.session("drain-succeeded")},
            satisfied("state drain-succeeded, which comes later", AT + 2),
        ),
        ("draining", {"session": build.session("odd", "draining")}, satisfied("state draining", AT + 3)),
        ("drain-succeeded", {"session": build.session("drain-failed")}, pending("state is drain-failed")),
        ("quarantined", {"session": build.session("odd")}, pending("state is odd")),
        ("quarantined", {}, pending("no state label")),
        ("quarantined", {"node": None}, MISSING),
        ("quarantined", {"node": None, "session": build.session()}, satisfied("state quarantined", AT + 2)),
        (["quarantined", "odd"], {"session": build.session()}, invalid("NVSentinel has no state odd")),
    ],
)  # fmt: skip
def test_a_state_counts_when_it_or_a_later_one_was_seen(
    wanted: Any, snap: dict[str, Any], verdict: Verdict
) -> None:
    """Of the whole session, also while the node is away; a state of nobody's proves nothing."""
    assert ask({"kind": "nvsentinel-state", "state": wanted}, build.snapshot(**snap)) == verdict


def test_ready_is_unknown_without_the_condition() -> None:
    """Neither a missing Ready condition nor one that is Unknown says that a node is not ready."""
    for one in (Node(NODE), Node(NODE, conditions=(Condition("Ready", "Unknown"),))):
        assert one.ready is None
        for expect, kind in ((True, "pending"), (False, "satisfied")):
            watch = {"kind": "node", "field": "ready", "expect": expect}
            assert ask(watch, build.snapshot(of=one)).kind == kind
