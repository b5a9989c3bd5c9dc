"""A row on both sides of every limit and tolerance."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.incident.timelines import (
    DAY,
    HOUR,
    NOON,
    Timeline,
    alert,
    done,
    failed,
    fault,
    quarantined,
    released,
    repaired,
    sent,
    session,
    warning,
)

from nvsx.core.incident.sight import SeenChain, SeenRepair
from nvsx.core.incident.tolerances import SANDBOX_LIMITS

GONE: dict[str, Any] = {"exists": False, "node_uid": "", "boot_id": "", "ready": None, "faults": ()}


@pytest.mark.parametrize(("after", "ending"), [(29.9, ""), (30.0, "recovered")])
def test_all_is_well_for_30_seconds(after: float, ending: str) -> None:
    """Counted from the first look at which nothing kept it open."""
    assert repaired().at(70 + after).ending == ending


@pytest.mark.parametrize(("after", "ending"), [(2.9, ""), (3.0, "recovered")])
def test_in_the_sandbox_3_seconds(after: float, ending: str) -> None:
    """The sandbox's nodes come back within seconds."""
    line = repaired()
    line.limits = SANDBOX_LIMITS
    assert line.at(70 + after).ending == ending


def test_the_quiet_begins_anew_when_something_comes_between() -> None:
    """20 s well, unready at once, well again: 30 s from then."""
    line = repaired().at(90, ready=False).at(91, ready=True).at(120.9)
    assert line.ending == ""
    assert line.at(121).ending == "recovered"


def test_the_quiet_begins_anew_after_a_restart() -> None:
    """What happened while nobody looked is not known."""
    line = repaired().restarted().at(1000).at(1029)
    assert line.ending == ""
    assert line.at(1030).ending == "recovered"


def test_a_wall_clock_that_jumps_does_not_end_the_quiet() -> None:
    """Limits run on the monotonic clock."""
    line = repaired()
    line.at(75, at=NOON + HOUR)
    assert line.ending == ""


@pytest.mark.parametrize(("after", "ending"), [(599.9, ""), (600.0, "cleared")])
def test_never_quarantined_is_quiet_for_ten_minutes(after: float, ending: str) -> None:
    """A condition that came and went."""
    line = Timeline().at(0, faults=(fault(),)).at(15, faults=())
    assert line.at(15 + after).ending == ending


@pytest.mark.parametrize(("after", "ending"), [(599.9, ""), (600.0, "cleared")])
def test_an_event_is_quiet_after_ten_minutes(after: float, ending: str) -> None:
    """Sent again at 100 s; its fault ends 10 minutes after that."""
    line = Timeline().at(0, faults=(warning("w/1"),)).at(100, faults=(warning("w/2"),))
    assert line.at(100 + after).ending == ending


@pytest.mark.parametrize(("sent_before", "opened"), [(599.0, 1), (601.0, 0)])
def test_an_event_at_the_first_look_is_news_for_ten_minutes(
    sent_before: float, opened: int
) -> None:
    """A sender's time only tells old from new."""
    line = Timeline(looking=False)
    line.at(0, faults=(warning("w/1", generated_at=NOON - sent_before),))
    assert line.opened == opened


def test_an_event_that_is_sent_again_is_news_whatever_its_sender_s_clock_says() -> None:
    """Two hours old by its own time; nvsx saw it change."""
    line = Timeline().at(0, faults=(warning("w/1", generated_at=NOON - 2 * HOUR),))
    assert line.opened == 1


@pytest.mark.parametrize(("after", "ending"), [(899.9, ""), (900.0, "removed")])
def test_after_a_terminate_node_a_new_one_is_awaited_for_a_while(after: float, ending: str) -> None:
    """Nobody follows up under this name."""
    terminate = SeenRepair("TerminateNode", "t", "u1", "e1", effect="node gone", signal="sent")
    line = quarantined(0, "e1").at(5, repairs=(terminate,)).at(60, **GONE)
    assert line.at(60 + after).ending == ending


@pytest.mark.parametrize(("after", "ending"), [(DAY - 0.1, ""), (DAY, "removed")])
def test_a_node_that_went_otherwise_is_awaited_for_a_day(after: float, ending: str) -> None:
    """Taken away by somebody else."""
    assert quarantined(0, "e1").at(60, **GONE).at(60 + after).ending == ending


@pytest.mark.parametrize(("after", "ending"), [(DAY - 0.1, ""), (DAY, "unconfirmed")])
def test_an_alert_that_nobody_confirms_is_kept_for_a_day(after: float, ending: str) -> None:
    """Its sender never takes it back."""
    assert Timeline().at(0, alerts=(alert(),)).at(after).ending == ending


@pytest.mark.parametrize(("after", "state"), [(299.9, "repairing"), (300.0, "needs people")])
def test_nvsentinel_is_left_to_try_again_for_five_minutes(after: float, state: str) -> None:
    """A poll error of the provider."""
    line = quarantined(0, "e1").at(10, repairs=(failed("e1", "poll error"),))
    assert line.at(10 + after).incident.state == state


@pytest.mark.parametrize(("after", "state"), [(299.9, "repairing"), (300.0, "needs people")])
def test_a_request_that_cannot_be_made_is_left_for_five_minutes(after: float, state: str) -> None:
    """The label flips all the time, which is no change."""
    line = quarantined(0, "e1")
    for turn in range(10):
        label = "remediation-failed" if turn % 2 == 0 else "remediating"
        line.at(10 + turn, session=session("e1", state=label))
    assert line.at(10 + after).incident.state == state


@pytest.mark.parametrize(("after", "code"), [(119.9, ""), (120.0, "not-quarantined")])
def test_a_fault_is_quarantined_within_two_minutes(after: float, code: str) -> None:
    """It takes fault-quarantine seconds."""
    assert Timeline().at(0, faults=(fault(),)).at(after).incident.cause.code == code


@pytest.mark.parametrize(("after", "code"), [(29.9, ""), (30.0, "released-while-faulty")])
def test_a_condition_may_turn_a_little_after_the_release(after: float, code: str) -> None:
    """Marks and conditions travel by two queues."""
    line = quarantined(0, "e1").at(60, session=released(), faults=(fault(),))
    assert line.at(60 + after).incident.cause.code == code


@pytest.mark.parametrize(("after", "notes"), [(119.9, 0), (120.0, 1)])
def test_an_alert_is_confirmed_within_two_minutes(after: float, notes: int) -> None:
    """With a pipeline that is known to be current."""
    line = Timeline().at(0, alerts=(alert(),), chain=SeenChain(current=True))
    assert len(line.at(after).incident.notes) == notes


@pytest.mark.parametrize("current", [None, False])
def test_a_pipeline_that_may_be_behind_proves_nothing(current: bool | None) -> None:
    """Not seen is not healthy."""
    line = Timeline().at(0, alerts=(alert(),), chain=SeenChain(current=current)).at(500)
    assert line.incident.notes == ()


@pytest.mark.parametrize(("after", "posts"), [(1799.9, 0), (1800.0, 1)])
def test_an_answered_alert_may_fire_on_for_half_an_hour(after: float, posts: int) -> None:
    """Counted from when the end was told."""
    line = Timeline().at(0, alerts=(alert(),)).at(1, faults=(fault("A", "1", "e1"),))
    line.at(2, session=session("e1")).at(10, faults=(), session=released()).at(40)
    assert line.ending == "recovered"
    assert len(line.at(40 + after).incident.notes) == posts


@pytest.mark.parametrize(("after", "again"), [(3600.0, True), (3600.1, False)])
def test_the_same_fault_within_an_hour_is_again(after: float, again: bool) -> None:
    """Counted from the release at 70 s; the same thread and ticket."""
    line = repaired().at(110)
    before = line.incident
    line.at(70 + after, faults=(fault("SysLogsXIDError", "48", "e9"),), session=session("e9"))
    assert (line.incident.opened.again_of == before.key) is again
    assert (line.incident.opened.thread == before.opened.thread) is again
    assert line.opened == 2


def test_a_third_time_stays_in_the_first_one_s_thread() -> None:
    """Each continues the one before, and all are told in one thread."""
    line = repaired().at(110)
    keys = [line.incident.key]
    for at, event_id in ((200.0, "e2"), (400.0, "e3")):
        line.at(at, faults=(fault("SysLogsXIDError", "79", event_id),), session=session(event_id))
        assert line.incident.opened.again_of == keys[-1]
        keys.append(line.incident.key)
        done_at = released(f"released-{event_id}", at + 10)
        line.at(at + 10, faults=(), session=done_at).at(at + 50)
    assert line.opened == 3
    assert line.incident.opened.thread == keys[0] != keys[1]


GPU_0, GPU_5 = ("GPU", "0"), ("GPU", "5")


@pytest.mark.parametrize(
    ("before", "after", "again"),
    [
        ((GPU_0,), (GPU_0,), True),
        ((GPU_0,), (GPU_5,), False),
        ((GPU_0,), (GPU_0, GPU_5), True),
        ((GPU_0,), (), False),
        ((), (), True),
    ],
)
def test_the_same_check_is_again_on_what_it_was_on(
    before: tuple[tuple[str, str], ...], after: tuple[tuple[str, str], ...], again: bool
) -> None:
    """One entity in common is enough, and a fault of the whole node has none."""
    line = Timeline().at(0, faults=(fault("A", "1", "e1", entities=before),))
    line.at(1, session=session("e1")).at(10, faults=(), session=released(at=10)).at(40)
    first = line.incident.key
    line.at(200, faults=(fault("A", "1", "e9", entities=after),), session=session("e9"))
    assert line.opened == 2
    assert (line.incident.opened.again_of == first) is again


PASSING = fault(
    "GpuDcgmConnectivityFailure", "LOST", by="condition", passing=True, action="CONTACT_SUPPORT"
)


def rebooted() -> Timeline:
    """Signal at 5 s, Ready after the boot at 60 s, still in NVSentinel's hands."""
    return quarantined(0, "e1").at(5, repairs=(sent("e1"),)).at(60, boot_id="boot-2")


@pytest.mark.parametrize(
    ("began", "attempt"), [(4.0, 0), (6.0, 1), (359.9, 1), (360.0, 1), (360.1, 0)]
)
def test_a_reboot_explains_what_begins_between_signal_and_ready_plus_5_minutes(
    began: float, attempt: int
) -> None:
    """Before the signal, and later than five minutes after Ready, a fault is a fault."""
    line = quarantined(0, "e1")
    both = (*line.sight.faults, PASSING)
    steps: list[tuple[float, dict[str, Any]]] = [
        (5, {"repairs": (sent("e1"),)}),
        (60, {"boot_id": "boot-2"}),
        (began, {"faults": both}),
    ]
    for when, change in sorted(steps, key=lambda step: step[0]):
        line.at(when, **change)
    assert line.incident.faults[1].latest.side_effect_of == attempt


@pytest.mark.parametrize(("after", "outlived"), [(300.0, False), (300.1, True)])
def test_a_side_effect_that_stays_is_a_fault(after: float, outlived: bool) -> None:
    """It is routed once it has outlived Ready by five minutes."""
    line = rebooted()
    line.at(70, faults=(*line.sight.faults, PASSING)).at(60 + after)
    assert line.incident.faults[1].outlived is outlived


def test_a_fault_that_no_reboot_causes_is_never_a_side_effect() -> None:
    """XID 48 during the reboot."""
    line = rebooted()
    line.at(70, faults=(*line.sight.faults, fault("SysLogsXIDError", "48", "e2")))
    assert line.incident.faults[1].latest.side_effect_of == 0


@pytest.mark.parametrize(("after", "ending"), [(299.9, ""), (300.0, "recovered")])
def test_a_reboot_that_was_reported_as_done_is_due_for_five_minutes(
    after: float, ending: str
) -> None:
    """Released, and the boot id never changes; calm from the fifth minute on."""
    line = quarantined(0, "e1").at(5, repairs=(sent("e1"),)).at(6, repairs=(done("e1"),))
    line.at(20, faults=(), session=released())
    line.at(6 + after)
    assert line.at(6 + after + 30).ending == ending


@pytest.mark.parametrize(("off", "noted"), [(2.0, None), (2.1, 2.1), (-10.0, None), (-12.0, -12.0)])
def test_a_clock_that_is_off_by_little_is_not_worth_a_note(off: float, noted: float | None) -> None:
    """Conditions have whole seconds."""
    line = Timeline().at(0)
    at = 10.0 + off if off > 0 else off
    line.at(10, faults=(fault("A", "1", "e1", generated_at=NOON + at),))
    assert line.incident.faults[0].first.skew_s == (
        None if noted is None else pytest.approx(noted, abs=0.01)
    )


@pytest.mark.parametrize(("before", "at"), [(10.0, 20.0), (10.1, 30.0)])
def test_a_fault_may_take_ten_seconds_to_show(before: float, at: float) -> None:
    """nvsx looked at 30 s and did not see it; its sender says that it was there before that."""
    line = Timeline().at(30)
    line.at(31, faults=(fault("A", "1", "e1", generated_at=NOON + 30 - before),))
    assert line.incident.faults[0].first.at == pytest.approx(NOON + at)
