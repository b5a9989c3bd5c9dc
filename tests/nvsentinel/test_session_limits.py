"""Where one session ends and another begins: rows on both sides of each rule."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as fake

from nvsx.core.incident.session import NO_SESSION, Session
from nvsx.core.watches.snapshot import Node
from nvsx.nvsentinel import names, sessions
from nvsx.nvsentinel.sessions import SessionTracker

#: 2025-08-20 10:00:00 UTC
TEN = 1755684000.0
LATER = TEN + 3600


def event(id_: str, generated: float = TEN) -> dict[str, Any]:
    """An event of the annotation."""
    return {"id": id_, "checkName": "SysLogsXIDError", "generatedTimestamp": generated}


def marked(
    *ids: str,
    cordon: float = 0.0,
    uncordon: float = 0.0,
    text: str = "",
    state: str = "",
    hand: bool = False,
    sick: bool = False,
    uid: str = "uid-1",
) -> Node:
    """A node with these marks; `text` is an annotation as it stands."""
    labels = {} if not state else {names.STATE_LABEL: state}
    for verb, at in (("cordon", cordon), ("uncordon", uncordon)):
        if at:
            minute, second = divmod(int(at - TEN), 60)
            labels[f"k8saas.nvidia.com/{verb}-by"] = "NVSentinel"
            labels[f"k8saas.nvidia.com/{verb}-timestamp"] = (
                f"2025-08-20T{10 + minute // 60}-{minute % 60:02}-{second:02}Z"
            )
    annotations = {names.UNCORDONED_BY_HAND_ANNOTATION: "True"} if hand else {}
    if ids or text:
        listed = text or json.dumps([event(i) for i in ids])
        annotations[names.QUARANTINE_ANNOTATION] = listed
    return fake.node(
        uid=uid,
        cordoned=bool(cordon),
        labels=labels,
        annotations=annotations,
        conditions=[fake.condition(healthy=not sick)],
    )


def following(*nodes: Node | None, seed: Session | None = None, at: float = LATER) -> Session:
    """The session after these sights, a second apart."""
    tracker = SessionTracker(seed)
    for i, node in enumerate(nodes):
        tracker.observe(node, at + i)
    return tracker.session


def opened(**changes: Any) -> Session:
    """An open session of event A, cordoned at ten."""
    return msgspec.structs.replace(following(marked("a", cordon=TEN)), **changes)


@pytest.mark.parametrize(("cordon", "same"), [(TEN, True), (TEN + 1, True), (TEN + 2, False)])
def test_another_event_under_a_later_cordon_is_another_session(cordon: float, same: bool) -> None:
    """Cordon times within a second are one cordon."""
    assert following(marked("b", cordon=cordon), seed=opened()).open == same


@pytest.mark.parametrize(
    "node",
    [
        marked("a", "b", cordon=LATER),
        marked(text="[{", cordon=LATER),
    ],
)
def test_a_known_event_or_none_that_can_be_read_is_the_same_session(node: Node) -> None:
    """One shared event is enough, and an annotation that cannot be read proves nothing."""
    assert following(node, seed=opened()).open


def test_a_session_whose_events_are_unknown_takes_those_it_sees() -> None:
    """Nothing can be compared: the session goes on."""
    assert following(marked("b", cordon=LATER), seed=opened(events=())).open


@pytest.mark.parametrize(
    ("changes", "uncordon", "same"),
    [
        ({}, TEN - 1, True),
        ({}, TEN, False),
        ({"quarantined_at": TEN + 0.9}, TEN, False),
        ({"quarantined_at": None, "generated_at": TEN}, TEN - 1, True),
        ({"quarantined_at": None, "generated_at": TEN}, TEN, False),
        ({"quarantined_at": None, "generated_at": None}, TEN, True),
        ({"previous_end": TEN}, TEN, True),
        ({}, 0.0, True),
    ],
)
def test_without_a_cordon_time_an_uncordon_since_it_began_tells(
    changes: dict[str, Any], uncordon: float, same: bool
) -> None:
    """An uncordon of the session's time or later ended it; an earlier one is another's."""
    seen = following(marked("b", uncordon=uncordon), seed=opened(**changes))
    assert seen.open == same
    if not same:
        assert (seen.ending, seen.ended_at) == ("recovered", uncordon)


@pytest.mark.parametrize(
    ("changes", "uncordon", "ended"),
    [
        ({}, TEN - 1, LATER),
        ({}, TEN, TEN),
        ({"quarantined_at": TEN + 0.9}, TEN, TEN),
        ({"previous_end": TEN}, TEN, LATER),
        ({"quarantined_at": None}, TEN, TEN),
    ],
)
def test_an_uncordon_label_of_an_earlier_session_gives_no_end(
    changes: dict[str, Any], uncordon: float, ended: float
) -> None:
    """Marks gone: the end is the uncordon's time, where it is this session's."""
    seen = following(marked(uncordon=uncordon), seed=opened(**changes))
    assert (seen.ending, seen.ended_at, seen.cordoned) == ("recovered", ended, False)


def test_a_later_session_nobody_saw_begin_ends_this_one_at_its_cordon() -> None:
    """How the earlier one ended is not known, only until when it can have lasted."""
    seen = following(marked("b", cordon=LATER - 60), seed=opened())
    assert (seen.open, seen.ending, seen.ended_at) == (False, "", LATER - 60)


def test_quarantined_again_in_the_second_of_the_release() -> None:
    """Released at 10:30:00 and quarantined at once: a session of its own, with its cordon."""
    half = TEN + 1800
    tracker = SessionTracker(opened())
    over = tracker.observe(marked(uncordon=half), half)
    assert (over.ending, over.ended_at) == ("recovered", half)
    again = tracker.observe(marked("b", cordon=half, uncordon=half), half + 0.15)
    assert (again.open, again.quarantined_at, again.cordon_preexisting) == (True, half, False)
    assert tracker.observe(marked(uncordon=half, hand=True), half + 60).ending == "cancelled"


def test_a_release_in_two_steps_is_one_recovery() -> None:
    """The emptied list does not end the session, and proves the release though the condition
    is healthy only a moment later."""
    tracker = SessionTracker(opened())
    half = tracker.observe(marked(text="[]", state="draining", sick=True), LATER)
    assert (half.open, half.state) == (True, "draining")
    over = tracker.observe(marked(sick=True), LATER + 0.25)
    assert (over.ending, over.ended_at) == ("recovered", LATER + 0.25)


@pytest.mark.parametrize(
    ("between", "ending"),
    [
        ((marked(text="[]", cordon=TEN, sick=True),), "recovered"),
        ((), "cancelled"),
        (
            (
                marked(text="[]", cordon=TEN, sick=True),
                marked("a", cordon=TEN, sick=True),
            ),
            "cancelled",
        ),
    ],
)
def test_only_an_emptied_list_tells_a_release_from_a_removal(
    between: tuple[Node, ...], ending: str
) -> None:
    """Marks gone at once while the check is unhealthy: somebody took them off. So too when
    events had come back after the list was empty."""
    assert following(*between, marked(sick=True), seed=opened()).ending == ending


def test_a_release_that_was_not_finished_keeps_the_session_open() -> None:
    """Fault-quarantine killed between its two updates: the cordon stays, and so does this."""
    seen = following(marked(text="[]", cordon=TEN), seed=opened())
    assert (seen.open, seen.cordoned) == (True, True)


@pytest.mark.parametrize(
    ("nodes", "quarantined"),
    [
        ((marked("a"),), None),
        ((marked(), marked("a")), LATER + 1),
        ((marked(state="draining"), marked("a")), None),
        ((marked(), marked("a", cordon=TEN)), TEN),
    ],
)
def test_the_time_of_looking_counts_only_for_who_saw_it_unmarked(
    nodes: tuple[Node, ...], quarantined: float | None
) -> None:
    """Without a cordon's time the quarantine began when the marks came, if that was seen."""
    assert following(*nodes).quarantined_at == quarantined


@pytest.mark.parametrize(
    ("nodes", "opens"),
    [
        ((marked(cordon=TEN),), True),
        ((marked(cordon=TEN, hand=True),), False),
        ((marked(cordon=TEN, text="[]"),), True),
        ((marked(), marked(cordon=TEN)), False),
        ((None, marked(cordon=TEN)), False),
        ((marked(state="draining"),), False),
    ],
)
def test_a_bare_cordon_is_a_session_at_the_first_look_alone(
    nodes: tuple[Node | None, ...], opens: bool
) -> None:
    """NVSentinel's cordon without its annotation can only be the rest of a session that began
    before nvsx looked; a person's uncordon had ended it."""
    seen = following(*nodes)
    assert seen.open == opens
    assert seen.known == opens


@pytest.mark.parametrize(
    ("nodes", "ending"),
    [
        ((marked(uncordon=TEN),), "recovered"),
        ((marked(),), ""),
        ((marked(), marked(uncordon=TEN)), ""),
        ((None, marked(uncordon=TEN)), ""),
    ],
)
def test_an_end_before_the_first_look_is_read_once(
    nodes: tuple[Node | None, ...], ending: str
) -> None:
    """The uncordon label tells of an earlier end at the first look only."""
    seen = following(*nodes)
    assert (seen.key, seen.ending) == ("", ending)


@pytest.mark.parametrize("node", [marked(cordon=LATER), marked(uncordon=LATER)])
def test_a_seed_that_is_over_stays_as_it_is(node: Node) -> None:
    """A resumed run knows how its session ended; left-over marks change nothing."""
    over = following(marked(uncordon=TEN + 5), seed=opened())
    assert following(node, seed=over) == over


@pytest.mark.parametrize(
    ("seed", "uid", "over"),
    [
        ("uid-1", "uid-1", False),
        ("uid-1", "uid-2", True),
        ("", "uid-2", False),
        ("uid-1", "", False),
    ],
)
def test_another_uid_is_another_machine(seed: str, uid: str, over: bool) -> None:
    """Two UIDs that are both known and differ are two Nodes."""
    seen = following(marked("a", cordon=TEN, uid=uid), seed=opened(node_uid=seed))
    assert (seen.ending == "terminated") == over
    if not over:
        assert seen.node_uid == seed or uid


def test_a_replacement_is_told_once() -> None:
    """After the new Node was told its marks are its own."""
    tracker = SessionTracker(opened())
    tracker.observe(None, LATER)
    tracker.observe(marked(uid="uid-2"), LATER + 60)
    fresh = tracker.observe(marked("b", cordon=LATER, uid="uid-2"), LATER + 120)
    assert (fresh.open, fresh.key, fresh.node_uid) == (True, "b", "uid-2")


def test_an_ended_session_goes_on_when_its_event_is_listed_again() -> None:
    """Taken for over while the marks were off for a moment: open again, under the same key."""
    over = following(marked(), seed=opened())
    again = following(marked("a", cordon=TEN), seed=over)
    assert (again.open, again.key, again.ended_at, again.ending) == (True, "a", None, "")


@pytest.mark.parametrize("cordon", [0.0, TEN])
def test_the_key_without_events_is_a_stand_in_of_fixed_length(cordon: float) -> None:
    """An annotation nobody can read still gives a key, the same for every observer."""
    keys = {following(marked(text="[{", cordon=cordon)).key for _ in range(2)}
    (key,) = keys
    assert key.startswith("event-")
    assert len(key) == len("event-") + 16


def test_the_earliest_event_gives_the_key_and_undated_ones_come_last() -> None:
    """Time first, then the id; an event without a time is never the first while another is."""
    events = [
        fake.health_event(id=i, generated_at=t) for i, t in (("c", 0.0), ("b", 5.0), ("a", 5.0))
    ]
    assert sessions.session_key_of(events) == "a"
    assert sessions.session_key_of(events[:1]) == "c"
    assert sessions.session_key_of([]) == ""


def test_states_are_kept_once_each() -> None:
    """A state that was reached is not reached again, and none is no state."""
    states = ("quarantined", "draining", "quarantined", "")
    seen = following(*(marked("a", cordon=TEN, state=s) for s in states))
    assert seen.states == (("quarantined", TEN), ("draining", LATER + 1))
    assert seen.state == ""


def test_nothing_seen_is_no_session() -> None:
    """A tracker without a seed that saw an unmarked node knows of none."""
    assert following(marked()) == NO_SESSION
