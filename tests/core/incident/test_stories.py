"""The stories that incidents must tell truly, as far as sights alone decide them.

What is expected was written from the stories' words. `states()` has the states of the last
incident in order.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.incident.timelines import (
    DAY,
    HEALTHY,
    HOUR,
    MINUTE,
    NOON,
    Timeline,
    alert,
    cordon,
    done,
    failed,
    fault,
    quarantined,
    reboot,
    released,
    repaired,
    sent,
    session,
    warning,
)

from nvsx.core.incident.incident_events import FaultSeen, IncidentNoted, RunEnded
from nvsx.core.incident.incident_state import Stamp
from nvsx.core.incident.incident_store import incident_row
from nvsx.core.incident.incident_times import times_of
from nvsx.core.incident.last_known import list_awaited
from nvsx.core.incident.proofs import prove_stage
from nvsx.core.incident.sight import (
    NO_MARKS,
    REPAIRS,
    SeenCause,
    SeenChain,
    SeenHold,
    SeenRepair,
)
from nvsx.core.incident.wrong_clock import hold_in_the_past


def two_attempts() -> Timeline:
    """XID 79 at noon; the RebootNode times out at 12:25; a second, asked for at 12:26, works."""
    line = quarantined(0, "e1")
    line.at(10, repairs=(sent("e1"),)).at(20, ready=False)
    line.at(1500, repairs=(failed("e1", "timeout"),))
    line.at(1560, repairs=(failed("e1", "timeout"), reboot("e1", "u2")))
    line.at(1565, repairs=(failed("e1", "timeout"), sent("e1", "u2")))
    line.at(1700, ready=True, ready_at=NOON + 1700, boot_id="boot-2")
    line.at(1710, repairs=(failed("e1", "timeout"), done("e1", "u2")))
    return line.at(1720, faults=(), session=released(at=1720)).wait(1800)


def test_a_retry_belongs_to_the_incident_of_the_failed_repair() -> None:
    """1: one incident, two attempts, people needed between them, the whole time to repair."""
    line = two_attempts()
    assert line.opened == 1
    assert line.attempts() == [("first", "failed"), ("retry", "succeeded")]
    assert line.states() == [
        "observing",
        "repairing",
        "needs people",
        "repairing",
        "recovering",
        "over",
    ]
    assert line.ending == "recovered"
    assert times_of(line.incident).faults[0].to_repair_s == pytest.approx(1720, abs=16)


def test_a_cancelled_run_changes_nothing_of_the_incident() -> None:
    """2: as 1, with the person's cancel after the failure."""
    line = quarantined(0, "e1").run_by_hand(1)
    line.at(10, repairs=(sent("e1"),)).at(1500, repairs=(failed("e1", "timeout"),))
    line.story = line.story.after(RunEnded(run_id="run-1", status="cancelled"), Stamp(NOON + 1510))
    assert (line.incident.working_runs, line.incident.state) == ((), "needs people")
    line.at(1565, repairs=(failed("e1", "timeout"), sent("e1", "u2")))
    line.at(1700, boot_id="boot-2").at(1720, faults=(), session=released(at=1720)).wait(1800)
    assert (line.opened, line.ending) == (1, "recovered")
    assert line.attempts() == [("first", "failed"), ("retry", "succeeded")]


def test_a_warning_and_a_fault_of_one_node_are_one_incident() -> None:
    """3: thermal quiet after 10 min resolves nothing, and the repair is not thermal's."""
    line = Timeline().at(0, faults=(warning("w/1"),))
    assert (line.opened, line.incident.state) == (1, "observing")
    both = (warning("w/1"), fault("SysLogsXIDError", "79", "e1"))
    line.at(4, faults=both, session=session("e1", state="draining")).wait(3 * HOUR, 60)
    thermal, xid = line.incident.faults
    assert thermal.cleared is not None
    assert xid.cleared is None
    assert thermal.cleared.at == pytest.approx(NOON + 600, abs=61)
    assert (line.opened, line.incident.state) == (1, "repairing")
    line.at(3 * HOUR + 5, repairs=(sent("e1"),)).at(3 * HOUR + 60, boot_id="boot-2")
    line.at(3 * HOUR + 70, faults=(warning("w/1"),), session=released()).wait(3 * HOUR + 200)
    assert line.ending == "recovered"
    of_thermal, of_xid = times_of(line.incident).faults
    assert of_thermal.to_repair_s is None
    assert of_xid.to_repair_s == pytest.approx(3 * HOUR + 66, abs=20)


def later_nvlink() -> Timeline:
    """XID 79 repaired within a minute and held by NVSentinel; six hours later an NVLink fault."""
    line = quarantined(0, "e1").at(5, repairs=(sent("e1"),))
    line.at(60, boot_id="boot-2", repairs=(done("e1"),)).wait(6 * HOUR, 600)
    nvlink = fault("GpuNvlinkWatch", "NVLINK_DOWN", "e2", passing=True)
    return line.at(6 * HOUR + 1, faults=(*line.sight.faults, nvlink), session=session("e1", "e2"))


def test_an_old_reboot_has_not_repaired_a_new_fault() -> None:
    """4: quarantine is "already since", drain and repair are not proven, and it is no side
    effect."""
    line = later_nvlink()
    old, new = line.incident.faults
    assert (line.opened, new.latest.side_effect_of) == (1, 0)
    repaired_old = prove_stage(line.incident, old, "remediate")
    assert repaired_old is not None
    assert repaired_old.kind == "own"
    assert prove_stage(line.incident, new, "remediate") is None
    assert prove_stage(line.incident, new, "drain") is None
    held = prove_stage(line.incident, new, "quarantine")
    assert held is not None
    assert held.kind == "already"
    assert held.at == pytest.approx(NOON, abs=16)
    assert times_of(line.incident).faults[1].to_quarantine_s is None
    line.at(6 * HOUR + 60, repairs=(*line.sight.repairs, reboot("e2", "u2")))
    assert line.attempts()[-1] == ("new fault", "at work")


@pytest.mark.parametrize("names_fault", [True, False])
def test_an_alert_after_the_recovery_is_a_new_incident(names_fault: bool) -> None:
    """5: five minutes later; nothing passes by old marks."""
    line = repaired().wait(200)
    assert line.ending == "recovered"
    line.at(370, alerts=(alert(started=365, names_fault=names_fault),))
    assert (line.opened, line.states()) == (2, ["observing"])
    assert (line.incident.sessions, line.incident.attempts) == ((), ())


@pytest.mark.parametrize(("check", "again"), [("GpuHot", True), ("", False)])
def test_only_who_names_a_fault_continues_an_incident(check: str, again: bool) -> None:
    """The same alert within an hour is "again"; two POSTs that name nothing have nothing in
    common but the node."""
    line = Timeline().at(0, alerts=(alert(check=check),)).at(60, alerts=())
    line.closed(70, "kim").at(120, alerts=(alert("another", 120, check=check),))
    assert line.opened == 2
    assert bool(line.incident.opened.again_of) is again


@pytest.mark.parametrize("firing_since", [20 * MINUTE, 30 * MINUTE, 5 * HOUR])
def test_a_sender_that_says_still_firing_is_believed(firing_since: float) -> None:
    """6: since 20 minutes, since 5 h, after nvsx was down."""
    line = Timeline(looking=False).at(0, alerts=(alert(started=-firing_since),))
    assert (line.opened, line.incident.opened.by) == (1, "alert")


def test_the_same_alert_after_the_repair_is_answered_and_its_next_start_is_not() -> None:
    """6: repeated after the repair: one post; its next start: fires."""
    line = Timeline().at(0, alerts=(alert(started=-5),))
    xid = fault("SysLogsXIDError", "79", "e1")
    line.at(10, faults=(xid,), session=session("e1")).at(20, repairs=(sent("e1"),))
    line.at(60, boot_id="boot-2").at(70, **HEALTHY).wait(120)
    assert (line.opened, line.ending) == (1, "recovered")
    line.wait(3 * HOUR, 60)
    posts = [n for n in line.incident.notes if n.code.startswith("still-firing")]
    assert (line.opened, len(posts)) == (1, 1)
    line.at(3 * HOUR + 60, alerts=(alert(started=3 * HOUR + 30),))
    assert line.opened == 2


def test_an_alert_delivered_late_is_answered_by_the_end_it_is_older_than() -> None:
    """6: the sender groups for a minute; the fault and its repair took less."""
    line = repaired().wait(120)
    old = alert("XidAlert", 2, check="SysLogsXIDError")
    assert line.at(130, alerts=(old,)).opened == 1


def test_an_alert_that_the_cluster_does_not_confirm_is_said_to_be_so() -> None:
    """7: nothing for two minutes; a real fault joins; from then on only the cluster ends it."""
    line = Timeline().at(0, alerts=(alert(),), chain=SeenChain(current=True)).wait(130)
    notes = [n.code for n in line.incident.notes]
    assert notes == ["nothing-shown"]
    xid = fault("SysLogsXIDError", "79", "e1")
    line.at(300, faults=(xid,), session=session("e1"))
    assert (line.opened, line.incident.state) == (1, "repairing")
    line.at(310, alerts=(alert(firing=False),)).wait(600)
    assert (line.ending, line.incident.alerts[0].resolved) == ("", True)


def test_a_resolve_ends_an_incident_of_alerts_alone() -> None:
    """7: the cluster shows nothing, and the sender takes it back."""
    line = Timeline().at(0, alerts=(alert(),)).at(60, alerts=(alert(firing=False),)).at(75)
    assert line.ending == "cleared"


def test_a_fatal_fault_without_a_runbook_is_an_incident() -> None:
    """8: no fault is nobody's."""
    line = Timeline().at(0, faults=(fault(routed=False),))
    assert line.opened == 1


def test_a_thousand_warnings_that_no_runbook_wants_are_none() -> None:
    """8: a thousand XID 31."""
    line = Timeline()
    for count in range(1000):
        line.at(count, faults=(warning(f"w/{count}", routed=False),))
    assert line.opened == 0


def maintained(since: float) -> Timeline:
    """A maintenance request holds the node since `since`."""
    planned = fault(
        "MaintenanceRequested", "", "m1", by="annotation", planned=True, fatal=False, action="NONE"
    )
    hold = SeenHold("maintenance", "NVSentinel", name="fw-update")
    return Timeline().at(
        since, faults=(planned,), session=session("m1", planned=True), holds=(hold,)
    )


def test_planned_maintenance_needs_nobody() -> None:
    """8: posted, never paged."""
    line = maintained(0).wait(2 * HOUR, 300)
    assert "needs people" not in line.states()
    assert line.incident.cause.code == "maintenance"


def test_an_incident_is_planned_when_all_of_its_faults_are() -> None:
    """8: a fault beside the request makes it one to look at; so is a run by hand without any."""
    line = maintained(0)
    assert incident_row("i", "c", line.incident).planned
    line.at(5, faults=(*line.sight.faults, fault("SysLogsXIDError", "79", "e1")))
    assert not incident_row("i", "c", line.incident).planned
    assert not incident_row("i", "c", Timeline().run_by_hand(0).incident).planned


def test_joining_under_way_is_late_and_has_the_incident_s_times() -> None:
    """9: 20 s into an incident, rebooted already."""
    line = Timeline(looking=False)
    xid = fault("SysLogsXIDError", "79", "e1", generated_at=NOON - 20)
    line.at(0, faults=(xid,), session=session("e1", cordoned_at=NOON - 18), repairs=(done("e1"),))
    assert line.incident.opened.late
    assert not line.incident.opened.adopted
    times = times_of(line.incident)
    assert (times.began, times.quarantined) == (NOON - 20, NOON - 18)
    assert line.attempts() == [("first", "succeeded")]


def test_with_an_empty_store_open_sessions_are_adopted() -> None:
    """10: the last of 125 old quarantines."""
    line = Timeline(looking=False)
    line.memory = type(line.memory)(adopting=True)
    line.at(0, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1"))
    assert line.incident.opened.adopted
    line.at(10, **HEALTHY).wait(60).at(100, faults=(fault(code="48"),))
    assert not line.incident.opened.adopted


def test_the_time_to_repair_is_the_fault_s_and_not_the_maintenance_s() -> None:
    """11: a request 5 h old, then XID 79, repaired in 44 s."""
    line = maintained(0).wait(5 * HOUR, 600)
    xid = fault("SysLogsXIDError", "79", "e1", generated_at=NOON + 5 * HOUR + 1)
    both = (*line.sight.faults, xid)
    line.at(5 * HOUR + 2, faults=both, session=session("m1", "e1"))
    line.at(5 * HOUR + 5, repairs=(sent("e1"),)).at(5 * HOUR + 40, boot_id="boot-2")
    line.at(5 * HOUR + 45, **{**HEALTHY, "holds": ()}).wait(5 * HOUR + 100)
    planned, broken = times_of(line.incident).faults
    assert (planned.to_repair_s, broken.to_repair_s) == (None, 44.0)
    assert times_of(line.incident).began == NOON + 5 * HOUR + 1


@pytest.mark.parametrize("off", [30.0, 2 * HOUR, -2 * HOUR])
def test_a_node_s_clock_invents_no_time(off: float) -> None:
    """12: 30 s and 2 h ahead, 2 h behind: the fault's time lies between two looks."""
    line = Timeline().at(0)
    line.at(15, faults=(fault("SysLogsXIDError", "79", "e1", generated_at=NOON + 10 + off),))
    (told,) = [e for _, e in line.events if isinstance(e, FaultSeen)]
    assert told.at is not None
    assert NOON <= told.at <= NOON + 15
    assert told.skew_s is not None
    assert told.skew_s == pytest.approx(off, abs=15)
    other = fault("GpuMemWatch", "48", "e2", generated_at=NOON + 25 + off)
    line.at(30, faults=(*line.sight.faults, other))
    (note,) = [n for n in line.incident.notes if n.code == "node-clock"]
    assert ("ahead of nvsx's" in note.text) is (off > 0)
    assert ("is behind, or it is late" in note.text) is (off < 0)


def test_where_nvsx_was_not_looking_a_time_in_the_future_is_not_known() -> None:
    """12: late, and the node's clock is 2 h ahead."""
    line = Timeline(looking=False)
    line.at(0, faults=(fault("SysLogsXIDError", "79", "e1", generated_at=NOON + 2 * HOUR),))
    assert times_of(line.incident).faults[0].generated is None
    assert times_of(line.incident).faults[0].to_detect_s is None


@pytest.mark.parametrize("off", [0.0, 2.0, -2.0])
def test_a_clock_that_is_nearly_right_is_not_worth_a_note(off: float) -> None:
    """12: whole seconds, and the way to the cluster."""
    line = Timeline().at(0)
    line.at(1, faults=(fault("SysLogsXIDError", "79", "e1", generated_at=NOON + 1 + off),))
    assert line.incident.notes == ()


@pytest.mark.parametrize("shift", [HOUR, -DAY])
def test_a_wall_clock_that_was_set_while_nvsx_was_down_ends_and_stalls_nothing(
    shift: float,
) -> None:
    """12: the release's thirty seconds, and a reboot that is due, count from the new start."""
    line = quarantined().at(5, repairs=(sent("e1"),)).at(6, repairs=(done("e1"),)).restarted()
    line.story = hold_in_the_past(line.story, NOON + 20 + shift, 20)
    line.at(20, at=NOON + 20 + shift)
    line.at(30, at=NOON + 30 + shift, faults=(), session=released(at=30)).at(
        31, at=NOON + 31 + shift
    )
    assert line.ending == ""
    line.at(330, at=NOON + 330 + shift).at(361, at=NOON + 361 + shift)
    assert (line.opened, line.ending) == (1, "recovered")


def test_a_release_and_a_new_quarantine_between_two_looks_are_two_incidents() -> None:
    """12: with a node whose clock is 2 h behind: the second fault bears an older time."""
    line = repaired()
    new = fault("SysLogsXIDError", "79", "e2", generated_at=NOON - 2 * HOUR)
    line = quarantined(0, "e1").at(5, repairs=(sent("e1"),)).at(60, boot_id="boot-2")
    line.at(75, faults=(new,), session=session("e2", release_mark="released-1"))
    assert line.opened == 2
    assert line.story.last is not None
    assert line.story.last.ended is not None
    assert line.story.last.ended.how == "recovered"
    assert line.incident.faults[0].latest.ids == ("e2",)


def test_a_request_that_is_done_before_the_node_goes_down_has_rebooted_nothing() -> None:
    """14: the node goes down a minute after; the healthy event releases it before."""
    line = quarantined(0, "e1").at(5, repairs=(sent("e1"),)).at(6, repairs=(done("e1"),))
    line.at(20, faults=(), session=released(at=20)).wait(65)
    assert (line.ending, line.attempts()) == ("", [("first", "at work")])
    line.at(66, ready=False).at(120, ready=True, boot_id="boot-2").wait(160)
    assert (line.ending, line.attempts()) == ("recovered", [("first", "succeeded")])
    assert line.incident.ended is not None
    assert line.incident.ended.at == NOON + 20


def test_a_provider_that_is_not_ready_for_5_minutes_holds_nothing_up() -> None:
    """14: booted and released before the request ends: over after 30 s."""
    line = quarantined(0, "e1").at(5, repairs=(sent("e1"),)).at(60, boot_id="boot-2")
    line.at(70, faults=(), session=released(at=70)).at(99).at(100)
    assert line.ending == "recovered"
    assert line.when("ended") == [100]


def test_a_reset_that_has_not_ended_keeps_the_incident_open() -> None:
    """14: the release came before ServicesRestored."""
    reset = SeenRepair("GPUReset", "reset-e1", "u1", "e1", signal="sent")
    line = quarantined(0, "e1").at(5, repairs=(reset,))
    line.at(20, faults=(), session=released(at=20)).wait(100)
    assert line.ending == ""
    ended = SeenRepair("GPUReset", "reset-e1", "u1", "e1", signal="sent", outcome="succeeded")
    line.at(110, repairs=(ended,)).wait(145)
    assert (line.ending, line.attempts()) == ("recovered", [("first", "succeeded")])


def test_monitor_only_with_a_flapping_condition_is_one_page() -> None:
    """15: one incident, and people are needed once."""
    line = Timeline().at(0, chain=SeenChain(monitor_only=True))
    for turn in range(20):
        line.at(15 + 30 * turn, faults=(fault(),)).at(30 + 30 * turn, faults=())
    assert line.opened == 1
    assert len(line.incident.faults) == 1
    needing = [e for _, e in line.events if getattr(e, "state", "") == "needs people"]
    assert [e.code for e in needing] == ["monitor-only"]  # type: ignore[union-attr]
    assert line.wait(2000).ending == "cleared"


def test_manual_mode_needs_people_at_once() -> None:
    """15: janitor waits for a person."""
    line = quarantined(0, "e1").at(5, repairs=(reboot("e1", outcome="manual"),))
    assert (line.incident.state, line.incident.cause.code) == ("needs people", "manual-mode")


def test_a_node_taken_away_by_another_controller_needs_people() -> None:
    """16: while the repair waits; re-made under the same name it is replaced."""
    line = quarantined(0, "e1").at(5, repairs=(reboot("e1"),))
    gone: dict[str, Any] = {"exists": False, "node_uid": "", "boot_id": "", "ready": None}
    line.at(60, **gone, **HEALTHY)
    assert (line.incident.state, line.incident.cause.code) == ("needs people", "node-taken-away")
    assert "taken away by somebody else" in line.incident.cause.text
    back = {"exists": True, "node_uid": "node-2", "boot_id": "boot-9", "ready": True}
    line.at(600, **back, repairs=(), session=released("")).wait(640)
    assert line.ending == "replaced"


def test_what_goes_with_the_node_is_not_healthy_and_holds_it_no_more() -> None:
    """Deleted while it drains: its fault was not seen to clear, nobody released it, and no
    quarantine holds it."""
    line = quarantined(0).at(5, holds=(SeenHold("quarantine", "NVSentinel"),))
    line.at(30, exists=False, node_uid="", ready=None, faults=(), session=NO_MARKS, holds=())
    cleared = line.incident.faults[0].cleared
    assert cleared is not None
    assert cleared.node_gone
    assert line.incident.holds == ()
    assert times_of(line.incident).released is None


def test_what_a_person_takes_out_of_the_quarantine_is_not_released() -> None:
    """Uncordoned by hand at 10 s, healthy at 60 s: the node is back then, and no release is told
    of either moment."""
    line = quarantined(0).at(10, faults=(fault(),), session=released("", by_hand=True))
    line.at(60, faults=()).wait(120)
    assert line.ending == "recovered"
    times = times_of(line.incident)
    assert times.released is None
    assert times.faults[0].released == NOON + 60


def test_a_condition_that_is_to_clear_is_awaited_once() -> None:
    """Before its quarantine a fatal fault is not awaited to be quiet as well."""
    line = Timeline().at(0, faults=(fault(),))
    assert list_awaited(line.incident, NOON) == ("SysLogsXIDError 79 GPU:0 clears",)


def test_after_a_terminate_node_a_machine_under_another_name_is_removed() -> None:
    """16: nobody follows under this name: "removed, not repaired"."""
    terminate = SeenRepair("TerminateNode", "t-e1", "u1", "e1", effect="node gone", signal="sent")
    line = quarantined(0, "e1").at(5, repairs=(terminate,))
    line.at(60, exists=False, node_uid="", ready=None, repairs=(), **HEALTHY).wait(HOUR)
    assert (line.ending, line.attempts()) == ("removed", [("first", "succeeded")])
    assert line.incident.ended is not None
    assert (line.incident.ended.at, line.incident.ended.text) == (
        NOON + 60,
        "removed, not repaired",
    )
    assert "needs people" not in line.states()


def test_a_terminate_node_that_was_never_seen_is_no_theft() -> None:
    """16: the request went with its Node, between two looks; the label had told it."""
    replace = fault("SysLogsXIDError", "79", "e1", action="REPLACE_VM")
    line = Timeline().at(0, faults=(replace,), session=session("e1", state="remediating"))
    line.at(15, exists=False, node_uid="", ready=None, **HEALTHY)
    assert (line.incident.state, line.incident.cause.code) == ("recovering", "replacement-awaited")


def test_a_node_uncordoned_while_faulty_is_raised_once() -> None:
    """17: then nvsx restarts three times."""
    line = quarantined(0, "e1")
    line.at(60, faults=(fault(),), session=released("", by_hand=True))
    assert (line.incident.state, line.incident.cause.code) == (
        "needs people",
        "uncordoned-while-faulty",
    )
    told = len(line.events)
    for restart in range(3):
        line.restarted().wait(200 + 200 * restart)
    assert (len(line.events), line.opened) == (told, 1)
    line.at(900, faults=()).wait(940)
    assert line.ending == "recovered"
    assert line.incident.ended is not None
    assert line.incident.ended.at is not None
    assert line.incident.ended.at >= NOON + 885


def test_an_uncordon_by_the_driver_upgrade_is_said_as_what_it_is() -> None:
    """17: by the GPU operator's upgrade."""
    upgrade = SeenHold("driver upgrade", "the GPU operator", detail="uncordon-required")
    line = quarantined(0, "e1").at(
        60, faults=(fault(),), session=released("", by_hand=True), holds=(upgrade,)
    )
    assert line.incident.cause.text.startswith("the GPU operator's driver upgrade put the node")


def test_a_new_quarantine_after_an_uncordon_joins() -> None:
    """17: until a new quarantine comes."""
    line = quarantined(0, "e1").at(60, faults=(fault(),), session=released("", by_hand=True))
    line.at(90, faults=(fault("SysLogsXIDError", "79", "e2"),), session=session("e2", by_hand=True))
    assert (line.opened, line.states()[-2:]) == (1, ["needs people", "repairing"])


def test_a_failed_validation_is_named_and_keeps_the_incident_open() -> None:
    """18: validation failed after the hand-over."""
    held = SeenHold("handed over", "NVSentinel", keeps_open=True)
    bad = SeenHold("validation", "NVSentinel", name="gpu-1-val", failed=True, keeps_open=True)
    line = repaired().at(75, session=released(handed_over=True), holds=(held, bad)).wait(600)
    assert (line.ending, line.incident.cause.code) == ("", "validation-failed")
    assert "gpu-1-val" in line.incident.cause.text
    assert line.at(700, holds=()).wait(740).ending == "recovered"


@pytest.mark.parametrize(("looked", "since"), [(True, NOON + 100), (False, None)])
def test_a_hand_over_is_no_older_than_the_look_that_shows_it(
    looked: bool, since: float | None
) -> None:
    """Cordoned at noon, handed over by 100 s: where nvsx was not looking before, nobody knows."""
    held = SeenHold("handed over", "NVSentinel", keeps_open=True)
    line = quarantined(0).at(85)
    if not looked:
        line.restarted()
    line.at(100, faults=(), session=released(handed_over=True), holds=(held,))
    assert [(h.kind, h.since) for h in line.incident.holds] == [("handed over", since)]


@pytest.mark.parametrize(
    ("release", "ending", "repair"), [("released-1", "recovered", 300.0), ("", "cleared", None)]
)
def test_a_quarantine_between_two_looks_is_told_by_its_release(
    release: str, ending: str, repair: float | None
) -> None:
    """19: XID 79 is seen, nvsx is killed, NVSentinel quarantines, reboots and releases the node by
    300 s, and nvsx looks again at 360 s. Without another release nothing of the kind is said."""
    line = Timeline().at(0, faults=(fault(),)).restarted()
    line.at(360, faults=(), session=released(release, 300), boot_id="boot-2").restarted()
    line.wait(360 + 700)
    assert line.ending == ending
    assert times_of(line.incident).faults[0].to_repair_s == repair
    assert len(line.incident.sessions) == (1 if repair else 0)


def test_a_cause_that_others_found_is_told_with_its_object() -> None:
    """18: a PDB blocks the eviction; people after five minutes."""
    pdb = SeenCause("drain-blocked", "pod ml/train-4 is kept by PDB ml/train", "wait")
    line = quarantined(0, "e1").at(10, causes=(pdb,)).at(309)
    assert (line.incident.state, line.incident.cause.text) == ("repairing", pdb.text)
    assert line.at(310).incident.state == "needs people"


def test_a_dead_kubelet_is_the_cause_in_any_stage() -> None:
    """18: dead for 3 h while draining."""
    line = quarantined(0, "e1").at(10, session=session("e1", state="draining"), ready=None)
    line.wait(3 * HOUR, 300)
    assert (line.incident.state, line.incident.cause.code) == ("needs people", "node-not-ready")


def test_an_opted_out_node_is_named_in_recover_too() -> None:
    """18: managed=false while the release is awaited."""
    line = quarantined(0, "e1").at(5, repairs=(sent("e1"),)).at(60, boot_id="boot-2")
    label = "nvsentinel.dgxc.nvidia.com/managed=false"
    line.at(70, chain=SeenChain(opted_out=label)).wait(400)
    assert (line.incident.state, line.incident.cause.code) == ("needs people", "opted-out")


def test_a_storm_of_sights_without_news_says_nothing() -> None:
    """A level, not an edge: the same sight again adds no event."""
    line = repaired()
    told = len(line.events)
    for _ in range(50):
        line.at(70)
    assert len(line.events) == told


def test_a_person_s_close_leaves_over_what_is_true() -> None:
    """The condition alone opens nothing after it, restarts neither; a new id does."""
    line = quarantined(0, "e1").closed(60, "ada")
    assert (line.ending, line.opened) == ("closed", 1)
    line.wait(600)
    line.restarted().wait(1200)
    assert line.opened == 1
    both = (fault("SysLogsXIDError", "79", "e1", "e2"),)
    assert line.at(1210, faults=both, session=session("e1", "e2")).opened == 2


def test_what_was_left_over_opens_when_it_comes_back() -> None:
    """Closed while XID 79 was there; it clears; an hour later it is there again."""
    line = Timeline().at(0, faults=(fault(),)).closed(60, "ada").at(90, faults=()).wait(HOUR)
    assert line.at(HOUR + 15, faults=(fault(),)).opened == 2


def test_a_run_by_hand_is_waited_for_and_finds_its_incident() -> None:
    """Nothing is shown by the cluster: quiet for ten minutes, and the run has ended."""
    line = Timeline().run_by_hand(0).wait(HOUR, 60)
    assert (line.ending, line.incident.opened.by) == ("", "by hand")
    line.story = line.story.after(RunEnded(run_id="run-1"), Stamp(line.sight.at))
    assert line.wait(2 * HOUR, 60).ending == "cleared"


def test_somebody_s_cordon_keeps_nothing_open() -> None:
    """Recovered, still cordoned by somebody with kubectl."""
    line = repaired().at(75, schedulable=False, holds=(cordon(),)).wait(120)
    assert line.incident.ended is not None
    told = "somebody with kubectl since 12:01:15 UTC"
    assert line.incident.ended.still == (f"cordon by {told}",)
    assert line.incident.ended.text == f"the node is back, still cordoned by {told}"


@pytest.mark.parametrize(
    ("theirs", "told"), [(40.0, 40.0), (0.0, 60.0), (-HOUR, 30.0), (HOUR, 60.0), (None, 60.0)]
)
def test_the_time_of_a_cordon_is_between_the_looks_around_it(
    theirs: float | None, told: float
) -> None:
    """Schedulable at 12:00:30, cordoned at 12:01:00: whatever its writer's clock says."""
    since = NOON + theirs if theirs is not None else 0.0
    hold = SeenHold("cordon", "somebody with kubectl", since if theirs else 0.0)
    line = quarantined().at(30).at(60, schedulable=False, holds=(hold,))
    (found,) = [h for h in line.incident.holds if h.kind == "cordon"]
    assert found.since == NOON + told


def test_notes_after_the_end_belong_to_the_incident() -> None:
    """A person's note after it was over."""
    line = repaired().wait(120)
    story = line.story.after(IncidentNoted(text="replaced the cable", author="ada"), Stamp(NOON))
    assert story.last is not None
    assert story.last.notes[-1].author == "ada"


def test_an_alert_nobody_confirms_or_takes_back_is_unconfirmed() -> None:
    """Rule 9: after 24 h."""
    line = Timeline().at(0, alerts=(alert(),)).wait(DAY + 60, 600)
    assert line.ending == "unconfirmed"


def test_a_story_that_was_stored_reads_the_same() -> None:
    """What is stored folds into what was decided."""
    line = two_attempts()
    before = line.incident
    after = line.restarted().incident
    assert (after.faults[0].latest, after.ended, after.key) == (
        before.faults[0].latest,
        before.ended,
        before.key,
    )
    assert [a.ended for a in after.attempts] == [a.ended for a in before.attempts]


def test_a_request_seen_after_the_new_boot_is_no_reboot_that_is_due() -> None:
    """nvsx was dead while the node rebooted: the first look has the new boot id and no requests,
    the next one the request. The reboot is behind, and the incident ends thirty seconds later."""
    line = quarantined().restarted()
    line.at(60, boot_id="boot-2", unread=frozenset({REPAIRS}), **HEALTHY)
    line.at(61, repairs=(done("e1", created_at=NOON + 8),), unread=frozenset())
    line.wait(95)
    assert line.attempts() == [("first", "succeeded")]
    assert line.ending == "recovered"
