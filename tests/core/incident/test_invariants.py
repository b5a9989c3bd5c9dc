"""What holds for every sequence of sights, however little sense it makes.

Sights are put together at random from parts that exist: marks of two sessions, conditions, reboots
in every state, boots, an unreadable node, a Node that is gone or another one.
"""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.incident.timelines import (
    NOON,
    Timeline,
    alert,
    done,
    failed,
    fault,
    reboot,
    released,
    sent,
    session,
    warning,
)

from nvsx.core.incident.incident_events import (
    AttemptBegan,
    IncidentEnded,
    IncidentOpened,
    SessionBegan,
    StateChanged,
)
from nvsx.core.incident.incident_state import IncidentState
from nvsx.core.incident.sight import EVENTS, NODE, REPAIRS, SeenHold, SeenRepair, SeenSession, Sight

SESSIONS = [
    SeenSession(),
    session("e1"),
    session("e1", "e2", state="remediating"),
    session("e3", release_mark="released-1"),
    SeenSession(emptied=True, state="remediation-succeeded", cordon_mark="cordon-e1"),
    released(),
    released("released-2"),
    released("", by_hand=True),
]
FAULTS = [
    (),
    (fault(),),
    (fault("SysLogsXIDError", "79", "e1"),),
    (fault("SysLogsXIDError", "79", "e3"), warning("w/2")),
    (fault("GpuDcgmConnectivityFailure", "LOST", passing=True, action="CONTACT_SUPPORT"),),
    (warning("w/1"),),
]
REPAIRS_SEEN: list[tuple[SeenRepair, ...]] = [
    (),
    (reboot("e1"),),
    (sent("e1"),),
    (done("e1"),),
    (failed("e1", "refused"),),
    (failed("e1", "timeout"), sent("e1", "u2")),
    (done("e1"), sent("e3", "u3")),
    (SeenRepair("GPUReset", "reset-e1", "u4", "e1", signal="sent"),),
]
HOLDS = [(), (SeenHold("validation", "NVSentinel", name="v", keeps_open=True),)]
NODES: list[dict[str, Any]] = [
    {"exists": True, "node_uid": "node-1", "ready": True},
    {"exists": True, "node_uid": "node-1", "ready": False},
    {"exists": True, "node_uid": "node-1", "ready": None},
    {"exists": True, "node_uid": "node-2", "ready": True},
    {"exists": False, "node_uid": "", "ready": None},
]
ALERTS = [(), (alert(),), (alert(firing=False),)]
UNREAD = [frozenset[str](), frozenset({NODE}), frozenset({REPAIRS}), frozenset({EVENTS})]


def sights() -> st.SearchStrategy[list[tuple[float, dict[str, Any]]]]:
    """Pauses in seconds, and what changes after each."""
    change = st.fixed_dictionaries(
        {},
        optional={
            "session": st.sampled_from(SESSIONS),
            "faults": st.sampled_from(FAULTS),
            "repairs": st.sampled_from(REPAIRS_SEEN),
            "holds": st.sampled_from(HOLDS),
            "boot_id": st.sampled_from(["boot-1", "boot-2", "boot-3", ""]),
            "alerts": st.sampled_from(ALERTS),
            "unread": st.sampled_from([UNREAD[0], *UNREAD]),
            "_node": st.sampled_from(NODES),
        },
    )
    pause = st.sampled_from([0.0, 0.1, 15.0, 31.0, 301.0, 601.0, 4000.0])
    return st.lists(st.tuples(pause, change), max_size=14)


def played(changes: list[tuple[float, dict[str, Any]]]) -> Timeline:
    """The time line, each step checked."""
    line = Timeline()
    now = 0.0
    for pause, change in changes:
        now += pause
        parts = dict(change)
        parts |= parts.pop("_node", {})
        told = len(line.events)
        before = line.story.open
        line.at(now, **parts)
        new = [event for _, event in line.events[told:]]
        check_ends(line.sight, before, new)
    return line


def check_ends(sight: Sight, before: IncidentState | None, new: list[Any]) -> None:
    """An end by itself needs a node that shows nothing against it. One that a new quarantine brings
    is followed by what it opened."""
    for place, event in enumerate(new):
        if not isinstance(event, IncidentEnded):
            continue
        if any(isinstance(later, IncidentOpened) for later in new[place:]):
            continue
        if event.how in ("recovered", "cleared", "replaced"):
            assert sight.exists
            assert NODE not in sight.unread
            assert sight.ready is True
            assert not sight.session.marked
            assert not any(f.fatal and "condition" in f.by for f in sight.faults)
            assert not any(h.keeps_open for h in sight.holds)
        if event.how in ("recovered", "cleared"):
            assert before is not None or any(isinstance(e, IncidentOpened) for e in new)
            for repair in sight.repairs if REPAIRS not in sight.unread else ():
                known = [
                    a for a in (before.attempts if before else ()) if a.began.uid == repair.uid
                ]
                if known and repair.signal == "sent" and not repair.finished:
                    assert known[0].booted or sight.boot_id != known[0].began.boot_before


@settings(max_examples=300)
@given(sights())
def test_no_incident_is_over_while_something_says_otherwise(
    changes: list[tuple[float, dict[str, Any]]],
) -> None:
    """No mark, no True condition, no unReady node, no hold, no reboot under way at an end."""
    played(changes)


@settings(max_examples=200)
@given(sights())
def test_the_journal_is_well_formed(changes: list[tuple[float, dict[str, Any]]]) -> None:
    """An incident opens before anything of it, ends once, and its attempts and sessions count
    from 1 without gaps."""
    is_open, attempts, sessions = False, 0, 0
    for _, event in played(changes).events:
        if isinstance(event, IncidentOpened):
            assert not is_open
            is_open, attempts, sessions = True, 0, 0
        elif isinstance(event, IncidentEnded):
            assert is_open
            is_open = False
        elif isinstance(event, AttemptBegan):
            attempts += 1
            assert event.attempt == attempts
        elif isinstance(event, SessionBegan):
            sessions += 1
            assert event.session == sessions
        elif isinstance(event, StateChanged):
            assert is_open


@settings(max_examples=200)
@given(sights())
def test_the_stored_journal_folds_into_what_was_decided(
    changes: list[tuple[float, dict[str, Any]]],
) -> None:
    """Written, read and folded: the same incident, but for the clock of a process that is gone."""
    line = played(changes)
    before = without_mono(line.story)
    line.restarted()
    assert without_mono(line.story) == before


def without_mono(value: Any) -> Any:
    """Builtins of a story, monotonic times left out."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        return {k: without_mono(v) for k, v in value.items() if k != "mono"}
    if isinstance(value, list | tuple):
        return [without_mono(v) for v in value]
    return round(value, 3) if isinstance(value, float) else value


@settings(max_examples=200)
@given(sights(), st.integers(0, 13))
def test_a_sight_said_again_says_nothing(
    changes: list[tuple[float, dict[str, Any]]], place: int
) -> None:
    """Any sight of a time line, at once a second time."""
    line = played(changes[: place + 1])
    told = len(line.events)
    line.at(line.sight.mono)
    assert [e for _, e in line.events[told:]] == []


@settings(max_examples=100)
@given(sights())
def test_every_incident_comes_to_an_end_once_the_node_is_well(
    changes: list[tuple[float, dict[str, Any]]],
) -> None:
    """Whatever happened: healthy for two days, and nothing is open."""
    line = played(changes)
    well: dict[str, Any] = {
        "exists": True,
        "node_uid": "node-2",
        "ready": True,
        "ready_at": NOON,
        "session": released("released-9"),
        "faults": (),
        "repairs": (),
        "holds": (),
        "alerts": (alert(firing=False),),
        "unread": frozenset(),
    }
    line.at(line.sight.mono + 1, **well)
    line.wait(line.sight.mono + 4000, every=100)
    assert line.story.open is None
