"""What the watches of pods, Events, logs and stored events say, and from when on it counts."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from tests.core.asking import ADAPTER, RUN, ask
from tests.fakes import fake_observer as build
from tests.fakes.fake_observer import AT

from nvsx.core.incident.session import Session
from nvsx.core.watches.snapshot import LogLine
from nvsx.core.watches.verdict import Verdict, pending, satisfied, unknown
from nvsx.core.watches.watch_base import TOLERANCE


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 pods"),
        (1, "1 pods: ml/p1"),
        (3, "3 pods: ml/p1, ml/p2, ml/p3"),
        (4, "4 pods: ml/p1, ml/p2, ml/p3 and 1 more"),
        (5, "5 pods: ml/p1, ml/p2, ml/p3 and 2 more"),
    ],
)
def test_three_pods_are_named(number: int, text: str) -> None:
    """The first by name, and how many more there are."""
    pods = tuple(build.pod(f"p{n}", labels={"a": "b"}) for n in range(number, 0, -1))
    verdict = ask({"kind": "pod", "selector": "a=b"}, build.snapshot(pods=pods))
    assert verdict == (satisfied(text) if number else pending(text))


def test_a_pod_watch_looks_on_its_node_only() -> None:
    """A pod elsewhere counts only with `onNode: false`, one of another phase or label never."""
    pods = (
        build.pod("here", labels={"a": "b"}),
        build.pod("there", labels={"a": "b"}, node="other"),
        build.pod("done", labels={"a": "b"}, phase="Succeeded"),
        build.pod("else", labels={"a": "c"}),
    )
    watch = {"kind": "pod", "selector": "a=b", "expect": "phase=Running"}
    snap = build.snapshot(pods=pods)
    assert ask(watch, snap).detail == "1 pods: ml/here"
    assert ask({**watch, "onNode": False}, snap).detail == "2 pods: ml/here, ml/there"


@pytest.mark.parametrize(
    ("count", "last", "verdict"),
    [
        (1, AT + 50, satisfied("Drained: gone", AT + 50)),
        (2, AT + 50, satisfied("Drained: gone (seen 2 times)", AT + 50)),
        (1, math.floor(AT) - TOLERANCE, satisfied("Drained: gone", math.floor(AT) - TOLERANCE)),
        (1, math.floor(AT) - TOLERANCE - 1, pending("no such Event in this incident")),
    ],
)
def test_an_event_counts_from_two_minutes_before_the_session(
    count: int, last: float, verdict: Verdict
) -> None:
    """And says how often it was seen, when that was more than once."""
    event = build.node_event("X", "Drained", "gone", at=last, count=count)
    snap = build.snapshot(events=(event,), session=build.session())
    assert ask({"kind": "node-event", "reason": "Drained"}, snap) == verdict


def test_the_newest_event_is_told() -> None:
    """Whatever the order they came in; Events of another place or text do not count."""
    events = tuple(build.node_event("X", "Drained", text, at=AT + at) for text, at in
                   (("a", 1), ("c", 9), ("b", 5)))  # fmt: skip
    snap = build.snapshot(events=events, session=build.session())
    watch = {"kind": "node-event", "type": "X"}
    assert ask(watch, snap) == satisfied("Drained: c", AT + 9)
    assert ask({**watch, "pattern": "a|b"}, snap) == satisfied("Drained: b", AT + 5)
    assert ask({**watch, "namespace": "default"}, snap).kind == "satisfied"
    assert ask({**watch, "namespace": "ml"}, snap).kind == "pending"
    assert ask({**watch, "reason": "Other"}, snap).kind == "pending"


def test_a_pod_event_is_about_a_pod() -> None:
    """An Event about something else of the same name and place is not."""
    pod = build.pod("train-1")
    about: dict[str, Any] = {"object_name": "train-1", "object_namespace": "ml"}
    for kind, expected in (("Pod", "satisfied"), ("Job", "pending")):
        event = build.node_event("Normal", "Killing", **about)
        event = msgspec.structs.replace(event, kind=kind)
        snap = build.snapshot(events=(event,), pods=(pod,), session=build.session())
        assert ask({"kind": "pod-event", "reason": "Killing"}, snap).kind == expected


def test_a_name_that_is_used_again_is_the_new_pod() -> None:
    """An Event about a name belongs to the pod that has it now, and its labels count."""
    gone = build.pod("train-1", labels={"app": "old"})
    now = build.pod("train-1", labels={"app": "new"})
    event = build.node_event("Normal", "Killing", object_name="train-1", object_namespace="ml")
    event = msgspec.structs.replace(event, kind="Pod")
    snap = build.snapshot(events=(event,), departed=(gone,), pods=(now,), session=build.session())
    watch = {"kind": "pod-event", "reason": "Killing"}
    assert ask({**watch, "selector": "app=new"}, snap).kind == "satisfied"
    assert ask({**watch, "selector": "app=old"}, snap).kind == "pending"


@pytest.mark.parametrize(
    ("since", "at", "kind"),
    [
        ("run", math.floor(RUN), "satisfied"),
        ("run", math.floor(RUN) - 1, "pending"),
        ("stage", math.floor(RUN + 5), "satisfied"),
        ("stage", math.floor(RUN + 5) - 1, "pending"),
        ("ever", 0.0, "satisfied"),
    ],
)
def test_since_draws_a_line(since: str, at: float, kind: str) -> None:
    """Whole seconds: what happened in the second that a run or stage began counts."""
    snap = build.snapshot(events=(build.node_event("X", "R", at=at),), session=build.session())
    assert ask({"kind": "node-event", "type": "X", "since": since}, snap).kind == kind


@pytest.mark.parametrize(
    ("session", "trigger", "begin"),
    [
        (build.session(), None, math.floor(AT) - TOLERANCE),
        (Session(), AT + 40, math.floor(AT + 40) - TOLERANCE),
        (Session(), 0.0, math.floor(RUN) - TOLERANCE),
        (Session(), None, math.floor(RUN) - TOLERANCE),
        (build.session(), AT + 40, math.floor(AT) - TOLERANCE),
        (build.session(previous_end=AT - 60), None, AT - 60),
        (build.session(previous_end=AT - 600), None, math.floor(AT) - TOLERANCE),
    ],
)
def test_an_incident_begins_with_its_first_mark(
    session: Session, trigger: float | None, begin: float
) -> None:
    """The session's, else the trigger's, else the run's; never before the last one's end."""
    fired = None if trigger is None else build.health_event(generated_at=trigger)
    for at, kind in ((begin, "satisfied"), (begin - 0.5, "pending")):
        snap = build.snapshot(events=(build.node_event("X", "R", at=at),), session=session)
        assert ask({"kind": "node-event", "type": "X"}, snap, trigger=fired).kind == kind


def test_the_beginning_of_time_is_the_earliest() -> None:
    """Where nothing is known of a session before, nothing before 1970 counts either."""
    snap = build.snapshot(events=(build.node_event("X", "R", at=-0.5),))
    watch = {"kind": "node-event", "type": "X"}
    assert ask(watch, snap, run_began=60.0).kind == "pending"
    assert ask({**watch, "since": "ever"}, snap).kind == "pending"


@pytest.mark.parametrize(
    ("fields", "changes", "verdict"),
    [
        ({}, {}, satisfied("SysLogsXIDError 79", AT)),
        ({}, {"error_codes": (), "generated_at": 0.0}, satisfied("SysLogsXIDError")),
        ({"check": "SysLogsXIDError"}, {}, satisfied("SysLogsXIDError 79", AT)),
        ({"check": "Other"}, {}, pending("no such health event in this incident")),
        ({"errorCode": ["48", "79"]}, {}, satisfied("SysLogsXIDError 79", AT)),
        ({"errorCode": "48"}, {}, pending("no such health event in this incident")),
    ],
)
def test_a_stored_event_is_told_with_its_codes(
    fields: dict[str, Any], changes: dict[str, Any], verdict: Verdict
) -> None:
    """By check and codes, with the time it was generated."""
    event = build.health_event(**{"created_at": AT + 1, **changes})
    snap = build.snapshot(health_events=(event,), session=build.session())
    assert ask({"kind": "health-event", **fields}, snap) == verdict


@pytest.mark.parametrize(
    ("created", "generated", "kind"),
    [
        (math.floor(AT) - TOLERANCE, 0.0, "satisfied"),
        (math.floor(AT) - TOLERANCE - 1, AT, "pending"),
        (0.0, math.floor(AT) - TOLERANCE, "satisfied"),
        (0.0, math.floor(AT) - TOLERANCE - 1, "pending"),
    ],
)
def test_a_stored_event_counts_by_the_time_of_the_store(
    created: float, generated: float, kind: str
) -> None:
    """Where the store has none, by the time it was generated."""
    event = build.health_event(created_at=created, generated_at=generated)
    snap = build.snapshot(health_events=(event,), session=build.session())
    assert ask({"kind": "health-event"}, snap).kind == kind


def test_the_newest_stored_event_is_told() -> None:
    """Newest by the store, whenever it was generated."""
    old = build.health_event(created_at=AT + 1, generated_at=AT + 9, error_codes=("1",))
    new = build.health_event(created_at=AT + 5, generated_at=AT + 2, error_codes=("2",))
    for events in ((old, new), (new, old)):
        snap = build.snapshot(health_events=events, session=build.session())
        assert ask({"kind": "health-event"}, snap) == satisfied("SysLogsXIDError 2", AT + 2)
    blind = build.snapshot(unread={"health-events": "no store"})
    assert ask({"kind": "health-event"}, blind) == unknown("no store")


@pytest.mark.parametrize(("length", "shown"), [(200, 200), (201, 200)])
def test_the_latest_line_is_told_and_cut(length: int, shown: int) -> None:
    """The last line that matches, 200 characters of it."""
    watch = {"kind": "log", "pod": "p", "pattern": "x+"}
    source = ADAPTER.validate_python(watch).source
    lines = [LogLine(AT + n, "default", "p", "c", text) for n, text in
             enumerate(("x", "x" * length, "y"))]  # fmt: skip
    verdict = ask(watch, build.snapshot(logs={source: tuple(lines)}))
    assert verdict == satisfied(f"default/p: {'x' * shown}", AT + 1)


@pytest.mark.parametrize(
    ("at", "kind"),
    [(math.floor(RUN) - TOLERANCE, "satisfied"), (math.floor(RUN) - TOLERANCE - 1, "pending")],
)
def test_a_line_counts_from_the_incident_on(at: float, kind: str) -> None:
    """As Events do."""
    watch = {"kind": "log", "pod": "p", "pattern": "x"}
    line = LogLine(at, "default", "p", "c", "x")
    source = ADAPTER.validate_python(watch).source
    assert ask(watch, build.snapshot(logs={source: (line,)})).kind == kind


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"pod": "p"}, "logs/default/p"),
        ({"pod": "p", "namespace": "n"}, "logs/n/p"),
        ({"selector": "a=b", "namespace": "n"}, "logs/n/a=b"),
    ],
)
def test_logs_that_cannot_be_read_are_unknown(fields: dict[str, Any], where: str) -> None:
    """By namespace and selector or pod; other logs say nothing about these."""
    watch = {"kind": "log", "pattern": "x", **fields}
    assert ask(watch, build.snapshot(unread={where: "gone"})) == unknown("gone")
    assert ask(watch, build.snapshot(unread={"logs/x/y": "gone"})) == pending("no such line yet")
