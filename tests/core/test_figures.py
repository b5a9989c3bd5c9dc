"""The figures of an incident: how long each part took, or why that is not known."""

from __future__ import annotations

from typing import Any

import pytest

from nvsx.core.incident.session import Session, Times
from nvsx.core.journal import entries as j
from nvsx.core.journal.figures import (
    explain_no_repair,
    list_marks,
    measure_clock_ahead,
    measure_figures,
    read_notices,
)
from nvsx.core.journal.fold import RunState

AT = 1_700_000_000.0
OPEN = Session(key="k", open=True)
OVER = Session(key="k", ending="recovered")


def state_of(
    times: Times | None = None,
    *,
    session: Session = OVER,
    told: tuple[tuple[float, str], ...] = (),
    **finish: Any,
) -> RunState:
    """A finished run with these times, session and report lines."""
    state = RunState(times=times or Times(), session=session)
    state.reported = [(at, j.Reported(stage="drain", line=line)) for at, line in told]
    state.finish = j.Finish(ok=True, status="passed", **finish)
    return state


def figure(state: RunState, key: str) -> tuple[float | None, str]:
    """Seconds and reason of one figure."""
    (found,) = [f for f in measure_figures(state) if f.key == key]
    return found.seconds, found.why


def test_figures_come_in_the_order_of_the_chain() -> None:
    """The first notice stands right after the detection, the repair at the end."""
    assert [f.key for f in measure_figures(state_of())] == [
        "time_to_detect",
        "time_to_first_notice",
        "time_to_quarantine",
        "drain",
        "repair",
        "time_to_healthy",
        "time_to_repair",
        "time_to_repair_without_drain",
    ]


@pytest.mark.parametrize(
    ("times", "seconds", "why"),
    [
        (Times(drain_began=AT, drain_finished=AT + 60), 60.0, ""),
        (Times(drain_began=AT, drain_finished=AT), 0.0, ""),
        (Times(drain_began=AT, drain_finished=AT - 1), 0.0, ""),
        (Times(drain_began=AT, drain_finished=AT - 2), 0.0, ""),
        (
            Times(drain_began=AT, drain_finished=AT - 2.1),
            None,
            "drain finished before: drain began",
        ),
        (Times(drain_began=AT), None, "not seen: drain finished"),
        (Times(drain_finished=AT), None, "not seen: drain began"),
        (Times(), None, "not seen: drain began, drain finished"),
    ],
)
def test_a_span_lies_between_two_marks(times: Times, seconds: float | None, why: str) -> None:
    """Both marks must have been seen; clocks that disagree give no negative time."""
    assert figure(state_of(times), "drain") == (seconds, why)


@pytest.mark.parametrize(
    ("generated", "told", "seconds", "why"),
    [
        (AT, ((AT + 30, "notify target=#a"), (AT + 20, "notify target=pd")), 20.0, ""),
        (AT, ((AT - 5, "notify target=#a"),), 0.0, ""),
        (None, ((AT, "notify target=#a"),), None, "not seen: fault generated"),
        (AT, ((AT, "opened ticket 7"),), None, "nobody was told"),
        (AT, (), None, "nobody was told"),
    ],
)
def test_the_first_notice_counts(
    generated: float | None,
    told: tuple[tuple[float, str], ...],
    seconds: float | None,
    why: str,
) -> None:
    """From the fault to the earliest line that says whom a hook told."""
    state = state_of(Times(generated=generated), told=told)
    assert figure(state, "time_to_first_notice") == (seconds, why)


def test_a_notice_has_target_and_reference() -> None:
    """`ref=` may be left out; a line that only mentions notify is no notice."""
    lines = ("notify target=#gpu ref=17:4", "notify target=pd", "now notify target=x", "notify")
    found = read_notices(state_of(told=tuple((AT, line) for line in lines)))
    assert [(n.at, n.target, n.reference, n.stage) for n in found] == [
        (AT, "#gpu", "17:4", "drain"),
        (AT, "pd", "", "drain"),
    ]


@pytest.mark.parametrize(
    ("session", "times", "why"),
    [
        (Session(key="k", ending="terminated"), Times(), "the node is gone"),
        (
            Session(key="k", ending="terminated", replaced_at=AT),
            Times(),
            "the node was replaced, not repaired",
        ),
        (
            Session(key="k", ending="cancelled"),
            Times(),
            "the incident was cancelled: by hand",
        ),
        (
            Session(key="k", ending="cancelled", ending_detail="uncordoned by joe"),
            Times(),
            "the incident was cancelled: uncordoned by joe",
        ),
        (OPEN, Times(), "the node was still in quarantine when the run ended"),
        (Session(), Times(), "NVSentinel did not quarantine the node"),
        (OVER, Times(), "not seen: fault generated"),
        (OVER, Times(generated=AT), "not seen: back in service"),
    ],
)
def test_why_there_is_no_time_to_repair(session: Session, times: Times, why: str) -> None:
    """The most telling reason first: how the session ended, then what was not seen."""
    state = state_of(times, session=session)
    assert explain_no_repair(state) == why
    assert figure(state, "time_to_repair") == (None, why)
    assert figure(state, "time_to_repair_without_drain") == (None, why)


def test_a_run_that_has_not_finished_has_no_repair_yet() -> None:
    """Nothing is concluded before the end."""
    state = state_of(Times(generated=AT))
    state.finish = None
    assert figure(state, "time_to_repair") == (None, "the run has not finished")
    assert [f.key for f in measure_figures(state)][-1] == "time_to_repair_without_drain"


@pytest.mark.parametrize(
    ("bare", "why"), [(500.0, ""), (0.0, ""), (None, "the end of the drain was not seen")]
)
def test_the_repair_is_what_the_run_concluded(bare: float | None, why: str) -> None:
    """Whole time and time without drain; the second needs the end of the drain."""
    state = state_of(mttr_s=600.0, mttr_without_drain_s=bare)
    assert explain_no_repair(state) == ""
    assert figure(state, "time_to_repair") == (600.0, "")
    assert figure(state, "time_to_repair_without_drain") == (bare, why)


@pytest.mark.parametrize(
    ("session", "generated", "cleared", "found"),
    [
        (Session(), AT, 90.0, [(90.0, "")]),
        (Session(), None, 90.0, [(90.0, "")]),
        (Session(), AT, None, [(None, "it was not seen to")]),
        (Session(), None, None, []),
        (OVER, AT, None, []),
    ],
)
def test_a_fault_without_quarantine_has_a_clearing(
    session: Session,
    generated: float | None,
    cleared: float | None,
    found: list[tuple[float | None, str]],
) -> None:
    """Where NVSentinel did not quarantine, the time until the condition cleared is told."""
    state = state_of(Times(generated=generated), session=session, condition_cleared_s=cleared)
    figures = measure_figures(state)
    assert [(f.seconds, f.why) for f in figures if f.key == "condition_cleared"] == found


def test_marks_are_listed_in_the_order_of_the_chain() -> None:
    """Only those that were seen, by name, words and time; a mark at 0 was seen."""
    assert list_marks(Times(unquarantined=AT, generated=0.0)) == [
        ("generated", "fault generated", 0.0),
        ("unquarantined", "back in service", AT),
    ]


@pytest.mark.parametrize(
    ("marks", "ahead"),
    [
        ((), 0.0),
        ((AT - 60,), 0.0),
        ((AT + 2.0,), 0.0),
        ((AT + 2.5,), 2.5),
        ((AT + 30, AT + 90, AT - 60), 90.0),
    ],
)
def test_the_cluster_clock_is_ahead_by_its_latest_mark(
    marks: tuple[float, ...], ahead: float
) -> None:
    """No mark can be later than nvsx wrote it down; whole seconds are no difference."""
    assert measure_clock_ahead((AT, Times(generated=at)) for at in marks) == ahead
