"""What is the same for every watch: `absent`, `for`, groups, proofs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.asking import FAULTY, HEALTHY, NOW, ask
from tests.fakes import fake_observer as build
from tests.fakes.fake_observer import AT

from nvsx.core.watches.snapshot import Snapshot
from nvsx.core.watches.verdict import Verdict, failed, pending, satisfied, unknown

BOOT = {"kind": "crd", "resource": "maintenance"}
BOOTING = ("NodeReady", "Unknown", "Initializing")


def resources_of(*made: Any) -> Snapshot:
    """A snapshot in the usual session with these resources."""
    return build.snapshot(session=build.session(), resources=made)


QUIET = {"kind": "node-event", "type": "Hot", "absent": True, "for": "10m"}


@pytest.mark.parametrize(
    ("last", "began", "verdict"),
    [
        (NOW - 600, NOW, satisfied("none for 10m of 10m", NOW - 600)),
        (NOW - 599, NOW, pending("none for 9m59s of 10m", NOW + 1)),
        (NOW + 5, NOW, pending("none for 0s of 10m", NOW + 605)),
        (None, NOW - 600, satisfied("none for 10m of 10m", NOW - 600)),
        (None, NOW - 60, pending("none for 1m of 10m", NOW + 540)),
    ],
)
def test_quiet_time_is_counted_from_the_last_one(
    last: float | None, began: float, verdict: Verdict
) -> None:
    """Or from the stage's beginning where there was none."""
    events = (build.node_event("Hot", "hot", at=last),) if last else ()
    snap = build.snapshot(events=events)
    assert ask({**QUIET, "since": "ever"}, snap, stage_began=began) == verdict


def test_quiet_time_is_not_told_blind() -> None:
    """While Events cannot be read there may be some."""
    assert ask(QUIET, build.snapshot(unread={"events": "403"})) == unknown("403")


def test_time_runs_faster_on_a_sandbox() -> None:
    """`pace` shortens what a `for` takes, of states and of quiet times."""
    ready = {"kind": "node", "field": "ready", "for": "10m"}
    assert ask(ready, HEALTHY, now=0.0, pace=0.1) == pending(
        "node is Ready; must hold for 1m", 60.0
    )
    quiet = ask(QUIET, build.snapshot(), stage_began=NOW - 60, pace=0.1)
    assert quiet == satisfied("none for 1m of 1m", NOW - 60)


@pytest.mark.parametrize(("now", "kind"), [(59.9, "pending"), (60.0, "satisfied")])
def test_for_is_met_when_all_of_it_has_passed(now: float, kind: str) -> None:
    """At its very end, and not before."""
    held: dict[int, float] = {}
    watch = {"kind": "node", "field": "ready", "for": "1m"}
    ask(watch, HEALTHY, held, now=0.0)
    assert ask(watch, HEALTHY, held, now=now).kind == kind


def test_watches_of_a_group_hold_apart() -> None:
    """Each member of `anyOf` has a time of its own, and the group looks again at the first."""
    ready = {"kind": "node", "field": "ready", "for": "1m"}
    there = {"kind": "node", "field": "exists", "for": "2m"}
    held: dict[int, float] = {}
    verdict = ask({"anyOf": [there, ready]}, HEALTHY, held, now=0.0)
    assert verdict == pending(
        "the node is there; must hold for 2m; or node is Ready; must hold for 1m", 60.0
    )
    assert held == {1000: 0.0, 1001: 0.0}


@pytest.mark.parametrize(
    ("members", "verdict"),
    [
        (({"field": "bootID"},), unknown("the boot id before the incident is not known")),
        (
            ({"field": "bootID"}, {"field": "ready", "expect": False}),
            pending("node is Ready"),
        ),
        (({"field": "bootID"}, {"field": "ready"}), satisfied("node is Ready")),
    ],
)
def test_a_group_takes_the_best_of_its_members(
    members: tuple[dict[str, Any], ...], verdict: Verdict
) -> None:
    """Met before pending before unknown."""
    group = {"anyOf": [{"kind": "node", **m} for m in members]}
    assert ask(group, HEALTHY) == verdict


def test_a_group_fails_with_all_of_its_members() -> None:
    """One member that can still be met keeps it pending."""
    lost = build.resource(("SignalSent", "False", "Failed"), BOOTING, completed=AT + 99)
    snap = resources_of(lost)
    repaired = {**BOOT, "completed": True}
    verdict = ask({"anyOf": [repaired, repaired]}, snap, stage="remediate")
    one = ask(repaired, snap, stage="remediate").detail
    assert verdict == failed(f"{one}; and {one}")
    gone = {"kind": "node", "field": "exists", "expect": False}
    assert ask({"anyOf": [repaired, gone]}, snap, stage="remediate").kind == "pending"


def test_what_is_still_there_says_so() -> None:
    """`absent` turns met into pending, with the same words."""
    watch = {"kind": "node-condition", "type": "SysLogsXIDError", "absent": True}
    assert ask(watch, FAULTY) == pending("still: SysLogsXIDError is True 79")
    lost = build.resource(("SignalSent", "False", "Failed"), BOOTING, completed=AT + 99)
    failed_one = ask({**BOOT, "completed": True, "absent": True}, resources_of(lost))
    assert failed_one.kind == "satisfied"


def test_the_session_proves_what_was_not_seen() -> None:
    """A condition that has cleared was there: its event is in the session. `absent` needs none."""
    watch = {"kind": "node-condition", "type": "SysLogsXIDError"}
    snap = build.snapshot(of=HEALTHY.node, session=build.session())
    assert ask(watch, snap, stage="detect") == satisfied(
        "proven by the session: SysLogsXIDError 79"
    )
    assert ask({**watch, "absent": True}, snap, stage="detect").kind == "satisfied"
    unread = build.snapshot(session=build.session(), unread={"node": "timeout"})
    assert ask(watch, unread, stage="detect").kind == "satisfied"


def test_a_node_that_cannot_be_read_says_nothing_about_pods() -> None:
    """Only what comes with the node is unknown then."""
    pods = (build.pod("p", labels={"a": "b"}),)
    snap = build.snapshot(pods=pods, unread={"node": "timeout"})
    assert ask({"kind": "pod", "selector": "a=b"}, snap).kind == "satisfied"
    assert ask({"kind": "node", "field": "ready"}, snap) == unknown("timeout")


def test_a_resource_without_a_node_is_still_absent() -> None:
    """What does not come with the node is absent whether the node is there or not."""
    watch = {**BOOT, "absent": True}
    assert ask(watch, build.snapshot(node=None, session=build.session())).kind == "satisfied"
