"""What a watch of custom resources says: of which kind, whose, and how far."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.core.asking import RUN, ask
from tests.fakes import fake_observer as build
from tests.fakes.fake_observer import AT, NODE

from nvsx.core.watches.snapshot import Snapshot
from nvsx.core.watches.verdict import Verdict, failed, pending, satisfied, unknown
from nvsx.core.watches.watch_base import TOLERANCE

BOOT = {"kind": "crd", "resource": "maintenance"}


def resources_of(*made: Any, **changes: Any) -> Snapshot:
    """A snapshot in the usual session with these resources."""
    return build.snapshot(**{"session": build.session(), "resources": made, **changes})


NAMED = f"RebootNode maintenance-{NODE}-{build.EVENT_ID}"
READY = ("NodeReady", "True", "Succeeded")
BOOTING = ("NodeReady", "Unknown", "Initializing")
SENT = ("SignalSent", "True", "Succeeded")


@pytest.mark.parametrize(
    ("fields", "snap", "verdict"),
    [
        ({}, resources_of(), pending("none yet")),
        ({}, resources_of(build.resource(SENT)), satisfied(f"{NAMED} was created", AT + 96)),
        (
            {},
            resources_of(build.resource(name="old-1", created=AT - 999)),
            pending("none of this incident (1 of earlier ones)"),
        ),
        (
            {"condition": {"type": "NodeReady"}},
            resources_of(build.resource(SENT)),
            pending(f"{NAMED}: NodeReady is absent"),
        ),
        (
            {"condition": {"type": "NodeReady"}},
            resources_of(build.resource(SENT, BOOTING)),
            pending(f"{NAMED}: NodeReady is Unknown"),
        ),
        (
            {"condition": {"type": "NodeReady", "status": "Unknown"}},
            resources_of(build.resource(SENT, BOOTING)),
            satisfied(f"{NAMED}: NodeReady is Unknown", AT + 96),
        ),
        (
            {"condition": {"type": "SignalSent"}},
            resources_of(build.resource(SENT, READY, completed=AT + 99)),
            satisfied(f"{NAMED}: SignalSent is True", AT + 96),
        ),
    ],
)
def test_a_resource_says_how_far_it_is(
    fields: dict[str, Any], snap: Snapshot, verdict: Verdict
) -> None:
    """Created, or the condition that is asked for, with its time."""
    assert ask({**BOOT, **fields}, snap, stage="remediate") == verdict


@pytest.mark.parametrize(
    ("completed", "at", "kind"),
    [(False, 0.0, "satisfied"), (False, AT + 99, "pending"), (True, AT + 99, "satisfied")],
)
def test_a_resource_may_be_awaited_while_it_works(completed: bool, at: float, kind: str) -> None:
    """`completed: false` is met while it has no completion time."""
    made = build.resource(SENT, READY if at else BOOTING, completed=at)
    verdict = ask({**BOOT, "completed": completed}, resources_of(made), stage="remediate")
    assert verdict.kind == kind
    assert verdict.at == (at if completed else None)


def test_the_newest_resource_decides() -> None:
    """By time, then by name; an earlier failure does not count once there is another try."""
    lost = build.resource(("SignalSent", "False", "Failed"), created=AT + 10, completed=AT + 20)
    again = build.resource(SENT, BOOTING, created=AT + 30)
    for made in ((lost, again), (again, lost)):
        assert ask({**BOOT, "completed": True}, resources_of(*made)).kind == "pending"


def test_without_a_session_time_says_whose_a_resource_is() -> None:
    """Created since two minutes before the run; a session known, its event id decides."""
    begin = math.floor(RUN) - TOLERANCE
    for created, kind in ((begin, "satisfied"), (begin - 1, "pending")):
        snap = build.snapshot(resources=(build.resource(name="x", created=created),))
        assert ask(BOOT, snap, stage="remediate").kind == kind


@pytest.mark.parametrize(
    ("since", "created", "kind"),
    [
        ("run", math.floor(RUN), "satisfied"),
        ("run", math.floor(RUN) - 1, "pending"),
        ("incident", math.floor(RUN) - 1, "satisfied"),
    ],
)
def test_a_resource_may_have_to_be_new(since: str, created: float, kind: str) -> None:
    """With another beginning only time counts, whosever id it carries."""
    snap = resources_of(build.resource(created=created))
    assert ask({**BOOT, "since": since}, snap, stage="remediate").kind == kind


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"resource": "rebootnodes"}, True),
        ({"resource": "rebootnodes", "group": "janitor.dgxc.nvidia.com"}, True),
        ({"resource": "rebootnodes", "group": "other.io"}, False),
        ({"resource": "rebootnodes.other.io"}, False),
        ({"resource": "rebootnodes", "namespace": "n"}, True),
        ({"resource": "rebootnodes", "namespace": "m"}, False),
        ({"resource": "maintenance", "namespace": "m"}, False),
        ({"resource": "gpuresets"}, False),
    ],
)
def test_a_resource_is_of_its_kind(fields: dict[str, Any], found: bool) -> None:
    """By plural, group and namespace, each where it is given."""
    snap = resources_of(build.resource(SENT, namespace="n"))
    assert (ask({"kind": "crd", **fields}, snap).kind == "satisfied") is found


REFUSED = {"resources/rebootnodes": "forbidden", "resources/gpuresets": "X is not installed"}


@pytest.mark.parametrize(
    ("resource", "unread", "verdict"),
    [
        ("rebootnodes", REFUSED, unknown("forbidden")),
        ("gpuresets", REFUSED, unknown("X is not installed")),
        ("terminatenodes", REFUSED, pending("none yet")),
        ("maintenance", REFUSED, unknown("forbidden")),
        ("maintenance", {"resources/gpuresets": "X is not installed"}, pending("none yet")),
        (
            "maintenance",
            {"resources/a": "b refused", "resources/c": "a refused", "pods": "no"},
            unknown("a refused; b refused"),
        ),
    ],
)
def test_resources_that_cannot_be_read_are_not_absent(
    resource: str, unread: dict[str, str], verdict: Verdict
) -> None:
    """A kind that is not installed can hide no repair, but can be asked for itself."""
    snap = build.snapshot(unread=unread, session=build.session())
    assert ask({"kind": "crd", "resource": resource}, snap, stage="remediate") == verdict


@pytest.mark.parametrize(
    ("conditions", "kind"), [((SENT, READY), "satisfied"), ((SENT, BOOTING), "unknown")]
)
def test_a_resource_that_ended_stays_so(conditions: Any, kind: str) -> None:
    """While its kind cannot be read, what had not ended may have."""
    made = build.resource(*conditions, completed=AT + 99 if kind == "satisfied" else 0.0)
    snap = resources_of(made, unread={"resources/rebootnodes": "forbidden"})
    assert ask({**BOOT, "completed": True}, snap, stage="remediate").kind == kind


def test_a_failed_repair_fails_its_watch() -> None:
    """With what the resource says of it."""
    made = build.resource(("SignalSent", "False", "Failed"), BOOTING, completed=AT + 99)
    for fields in ({"completed": True}, {"condition": {"type": "NodeReady"}}):
        verdict = ask({**BOOT, **fields}, resources_of(made), stage="remediate")
        assert verdict == failed(verdict.detail)
        assert verdict.detail.startswith(f"{NAMED}: ")
