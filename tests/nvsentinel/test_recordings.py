"""The recordings of NVSentinel's own modules: the incident is what each of them shows.

What is expected was read off the recordings' own times (seconds since each began), not off nvsx.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from tests.nvsentinel.replaying import NAMES, Followed, follow, going_on, load

from nvsx.core.incident.incident_events import StateChanged
from nvsx.core.incident.incident_state import AttemptRecord, IncidentState
from nvsx.core.incident.incident_times import times_of

#: Longer than all quiet times together.
AFTERWARDS = 1200.0


class Shown(NamedTuple):
    """What a recording shows of one incident: how it ended and when that was (between two
    moments), its attempts as (kind, why, outcome), its faults, the states in order."""

    how: str
    released: tuple[float, float] | None
    attempts: list[tuple[str, str, str]]
    faults: list[str]
    states: list[str]


REBOOTED = ("RebootNode", "first", "succeeded")
XID = "SysLogsXIDError"
EXPECTED: dict[str, list[Shown]] = {
    "00": [
        Shown(
            "recovered",
            (46.8, 47.7),
            [REBOOTED],
            [f"{XID} 79"],
            ["observing", "repairing", "recovering", "over"],
        )
    ],
    "01": [Shown("", None, [], [f"{XID} 74"], ["observing", "needs people"])],
    "02": [
        Shown(
            "recovered",
            (182.7, 183.5),
            [REBOOTED, ("RebootNode", "other check", "succeeded")],
            [f"{XID} 48", "GpuMemWatch DCGM_FR_VOLATILE_DBE_DETECTED"],
            ["observing", "repairing", "recovering", "over"],
        )
    ],
    "03": [Shown("", None, [], [f"{XID} 79"], ["observing", "repairing", "needs people"])],
    "07": [
        Shown(
            "",
            None,
            [("RebootNode", "first", "failed")],
            [f"{XID} 79"],
            ["observing", "repairing", "needs people"],
        )
    ],
    "08": [
        Shown(
            "",
            None,
            [("RebootNode", "first", "failed")],
            [f"{XID} 79"],
            ["observing", "repairing", "needs people"],
        )
    ],
    "10": [
        Shown(
            "recovered",
            (28.9, 29.6),
            [REBOOTED],
            [f"{XID} 79", "GpuDcgmConnectivityFailure DCGM_CONNECTIVITY_ERROR"],
            ["observing", "repairing", "recovering", "over"],
        )
    ],
    "12": [
        Shown(
            "recovered",
            (18.9, 19.6),
            [REBOOTED],
            [f"{XID} 79"],
            ["observing", "repairing", "recovering", "over"],
        )
    ],
    "13": [
        Shown(
            "recovered",
            (18.8, 19.2),
            [("RebootNode", "first", "failed")],
            [f"{XID} 79"],
            ["observing", "repairing", "recovering", "over"],
        )
    ],
    "16": [
        Shown(
            "recovered",
            (98.8, 99.8),
            [REBOOTED],
            [f"{XID} 79"],
            ["observing", "repairing", "recovering", "over"],
        )
    ],
    "18": [
        Shown(
            "cleared",
            (109.0, 110.6),
            [],
            [f"{XID} 79"],
            ["observing", "needs people", "recovering", "over"],
        )
    ],
    "28": [
        Shown(
            "replaced",
            (63.0, 64.0),
            [("TerminateNode", "first", "succeeded")],
            [f"{XID} 79"],
            ["observing", "repairing", "recovering", "over"],
        )
    ],
    "30": [
        Shown(
            "recovered",
            (16.5, 17.4),
            [REBOOTED],
            [f"{XID} 79"],
            ["observing", "repairing", "recovering", "over"],
        ),
        Shown(
            "recovered",
            (32.4, 32.8),
            [REBOOTED],
            [f"{XID} 79"],
            ["observing", "repairing", "recovering", "over"],
        ),
    ],
}


def replay(name: str) -> tuple[Followed, float]:
    """All of it, and twenty minutes after; with when it began."""
    recording = load(name)
    last = recording.sights[-1]
    followed = follow([*recording.sights, *going_on(last, AFTERWARDS)])
    return followed, recording.began


def shown_attempt(attempt: AttemptRecord) -> tuple[str, str, str]:
    """Kind, why and outcome."""
    ended = attempt.ended.outcome if attempt.ended else ""
    return attempt.began.kind, attempt.began.why, ended


def states_of(followed: Followed) -> list[list[str]]:
    """The states of each incident, in order, repetitions left out."""
    found: list[list[str]] = []
    for _, event in followed.events:
        kind = str(event.__struct_config__.tag)
        if kind == "opened":
            found.append(["observing"])
        elif isinstance(event, StateChanged) and found[-1][-1] != event.state:
            found[-1].append(event.state)
        elif kind == "ended":
            found[-1].append("over")
    return found


def test_every_recording_is_expected_something_of() -> None:
    """No recording is left out."""
    assert sorted(n[:2] for n in NAMES) == sorted(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_incidents_are_what_the_recording_shows(name: str) -> None:
    """As many incidents, and each with the end, the attempts and the faults recorded."""
    followed, began = replay(name)
    found = [
        (
            i.ended.how if i.ended else "",
            [shown_attempt(a) for a in i.attempts],
            [f.short for f in i.faults],
        )
        for i in followed.incidents
    ]
    assert found == [(s.how, s.attempts, s.faults) for s in EXPECTED[name]]
    for incident, shown in zip(followed.incidents, EXPECTED[name], strict=True):
        if shown.released is None:
            assert incident.ended is None
            continue
        assert incident.ended is not None
        assert incident.ended.at is not None
        assert shown.released[0] <= incident.ended.at - began <= shown.released[1]


@pytest.mark.parametrize("name", [n for n in sorted(EXPECTED) if n != "30"])
def test_the_states_follow_the_recording(name: str) -> None:
    """The states in order, and no other between them."""
    followed, _ = replay(name)
    assert states_of(followed) == [s.states for s in EXPECTED[name]]


def test_a_quarantine_right_after_a_release_begins_in_repair() -> None:
    """Recording 30 starts with quarantines; each incident goes its own whole way."""
    followed, _ = replay("30")
    assert states_of(followed) == [["observing", "repairing", "recovering", "over"]] * 2


def test_the_second_quarantine_is_in_the_thread_of_the_first_only_for_the_same_gpu() -> None:
    """Recording 30: XID 79 of another GPU 0.15 s after the release is no "again"."""
    followed, _ = replay("30")
    assert [i.opened.again_of for i in followed.incidents] == ["", ""]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("01", "unsupported-action"),
        ("03", "uncordoned-while-faulty"),
        ("07", "signal-refused"),
        ("08", "repair-timed-out"),
    ],
)
def test_people_are_told_why_they_are_needed(name: str, code: str) -> None:
    """The cause of an incident that stays with people."""
    followed, _ = replay(name)
    assert (followed.incidents[0].state, followed.incidents[0].cause.code) == ("needs people", code)
    assert followed.incidents[0].cause.remedy


def only(followed: Followed) -> IncidentState:
    """The one incident."""
    (incident,) = followed.incidents
    return incident


def test_a_reboot_counts_when_the_node_has_booted() -> None:
    """Recording 00: request done at 35.65, boot at 44.63: the attempt ends then."""
    followed, began = replay("00")
    (attempt,) = only(followed).attempts
    assert attempt.ended is not None
    assert attempt.ended.at is not None
    assert 43.8 <= attempt.ended.at - began <= 44.7
    told = [t for t, e in followed.events if str(e.__struct_config__.tag) == "attempt_ended"]
    assert told == [pytest.approx(44.626)]


def test_the_time_to_repair_is_from_fault_to_release() -> None:
    """Recording 00: generated at 1.72, released at 47.69."""
    followed, began = replay("00")
    (times,) = times_of(only(followed)).faults
    assert times.generated is not None
    assert times.generated - began == pytest.approx(1.717, abs=0.01)
    assert times.to_repair_s == pytest.approx(45.9, abs=0.2)
    assert times.to_quarantine_s == pytest.approx(0.29, abs=0.1)


def test_a_side_effect_of_the_reboot_changes_no_state() -> None:
    """Recording 10: DCGM is unreachable during the reboot, and the label goes to
    remediation-failed."""
    followed, _ = replay("10")
    incident = only(followed)
    assert [f.latest.side_effect_of for f in incident.faults] == [0, 1]
    assert "needs people" not in states_of(followed)[0]


def test_somebody_s_own_cordon_stays_and_keeps_nothing_open() -> None:
    """Recording 12: the node was cordoned before NVSentinel came."""
    incident = only(replay("12")[0])
    assert incident.ended is not None
    assert incident.ended.still == ("cordon by somebody or something",)


def test_a_node_that_comes_back_from_a_failed_repair_is_seen_to() -> None:
    """Recording 13: a poll error, and the node boots 6 s later."""
    (attempt,) = only(replay("13")[0]).attempts
    assert (attempt.failure, attempt.booted, attempt.has_worked) == ("poll error", True, True)


def test_a_request_that_cannot_be_made_is_a_cause_and_no_page_for_82_seconds() -> None:
    """Recording 16: the label flips 15 times."""
    followed, _ = replay("16")
    codes = [e.code for _, e in followed.events if isinstance(e, StateChanged)]
    assert codes.count("request-not-made") == 1


def test_dry_run_claims_no_quarantine_and_no_repair() -> None:
    """Recording 18: annotations and labels move, nothing is done."""
    incident = only(replay("18")[0])
    times = times_of(incident)
    assert (times.quarantined, times.released) == (None, None)
    assert times.faults[0].to_repair_s is None
    assert (incident.was_quarantined, incident.holds) == (False, ())


def test_an_old_request_is_not_taken_for_this_incident_s() -> None:
    """Recording 28 begins with a RebootNode of an hour before."""
    incident = only(replay("28")[0])
    assert len(incident.opened.earlier_requests) == 1
    assert [a.began.kind for a in incident.attempts] == ["TerminateNode"]


def test_the_session_s_first_event_names_the_incident() -> None:
    """A condition opens it 8 ms before the id is there; who comes later makes the same key."""
    whole = only(replay("00")[0])
    recording = load("00")
    late = follow([s for s in recording.sights if s.mono > 10])
    assert late.incidents[0].key == whole.key
    assert late.incidents[0].opened.late
