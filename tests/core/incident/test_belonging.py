"""What belongs to an incident and what does not: requests, alerts, left-overs, side effects."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.incident.timelines import (
    HOUR,
    NOON,
    Timeline,
    alert,
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

from nvsx.core.incident.incident_events import AttemptChanged
from nvsx.core.incident.incident_keys import key_of_event, key_of_seen
from nvsx.core.incident.incident_times import times_of
from nvsx.core.incident.proofs import prove_stage
from nvsx.core.incident.session_news import is_another_session
from nvsx.core.incident.sight import SeenChain, SeenFault, SeenHold, SeenRepair, SeenSession

UNNAMED: dict[str, Any] = {"kind": "RebootNode", "name": "by-hand", "uid": "u9"}
OLD = SeenRepair(**UNNAMED, signal="sent", outcome="succeeded", created_at=NOON - 3 * HOUR)


def first_look(repair: SeenRepair, **marks: Any) -> Timeline:
    """nvsx comes while the node is quarantined for e1, and this request is there."""
    line = Timeline(looking=False)
    xid = fault("SysLogsXIDError", "79", "e1")
    return line.at(0, faults=(xid,), session=session("e1", **marks), repairs=(repair,))


@pytest.mark.parametrize(
    ("created", "cordoned", "attempts"),
    [
        (NOON - 60, NOON - 59.5, 1),
        (NOON - 61, NOON - 59.5, 0),
        (NOON - 60, 0.0, 0),
    ],
)
def test_at_the_first_look_a_finished_request_without_an_id_is_told_by_the_cluster_s_times(
    created: float, cordoned: float, attempts: int
) -> None:
    """Created in the second of the cordon or later; requests stay for two weeks."""
    repair = SeenRepair(**UNNAMED, outcome="succeeded", created_at=created)
    assert len(first_look(repair, cordoned_at=cordoned).incident.attempts) == attempts


def test_a_request_under_way_is_the_incident_s_whoever_made_it() -> None:
    """It is about this node, and it is at work."""
    assert len(first_look(SeenRepair(**UNNAMED)).incident.attempts) == 1


def test_the_session_s_own_request_is_never_set_aside() -> None:
    """Finished before nvsx came."""
    assert first_look(done("e1")).incident.opened.earlier_requests == ()


def test_a_finished_request_that_was_there_before_is_not_the_incident_s() -> None:
    """Seen at the look before, when there was no incident."""
    line = Timeline().at(0, repairs=(OLD,))
    xid = fault("SysLogsXIDError", "79", "e1")
    line.at(15, faults=(xid,), session=session("e1")).at(30)
    assert line.incident.attempts == ()


def test_a_finished_request_that_came_between_two_looks_is() -> None:
    """It was not there at the look before, and it has ended already."""
    line = quarantined(0).at(15, repairs=(SeenRepair(**UNNAMED, outcome="succeeded"),))
    assert len(line.incident.attempts) == 1


@pytest.mark.parametrize(("release_mark", "attempts"), [("released-1", 0), ("released-0", 1)])
def test_a_request_that_ended_before_a_release_is_of_the_session_released(
    release_mark: str, attempts: int
) -> None:
    """Of an earlier session, unless the release is that of the incident's own."""
    line = Timeline().at(0, session=released("released-0"))
    xid = fault("SysLogsXIDError", "79", "e1")
    line.at(5, faults=(xid,), session=session("e1", release_mark="released-0"))
    other = SeenRepair("RebootNode", "r-e7", "u7", "e7", outcome="succeeded", finished_at=NOON + 40)
    if attempts:
        line.at(60, faults=(), session=released("released-1", 50), repairs=(other,))
    else:
        line = Timeline().at(0, session=released("released-0"))
        marks = session("e1", release_mark=release_mark, released_at=NOON + 50)
        line.at(60, faults=(xid,), session=marks, repairs=(other,))
    assert len(line.incident.attempts) == attempts


def test_a_request_of_the_last_incident_is_not_the_next_one_s() -> None:
    """Its RebootNode is still listed as in progress, as one that outlived its release."""
    line = quarantined(0, "e1").at(5, repairs=(sent("e1"),)).at(60, boot_id="boot-2")
    line.at(70, faults=(), session=released()).at(100).at(101)
    line.at(200, faults=(fault("SysLogsXIDError", "48", "e2"),), session=session("e2"))
    assert (line.opened, line.incident.attempts) == (2, ())


def test_a_terminate_node_that_was_sent_is_waited_for() -> None:
    """The marks went, and the machine is still to be taken away."""
    made = SeenRepair("TerminateNode", "t", "u1", "e1", effect="node gone", signal="sent")
    line = quarantined(0).at(5, repairs=(made,)).at(10, faults=(), session=released())
    assert line.wait(400).ending == ""


def test_a_reset_that_is_done_is_waited_for_no_longer() -> None:
    """It has no boot to show."""
    reset = SeenRepair("GPUReset", "g", "u1", "e1", signal="sent", outcome="succeeded")
    line = quarantined(0).at(5, repairs=(reset,)).at(10, faults=(), session=released()).at(40)
    assert (line.ending, line.attempts()) == ("recovered", [("first", "succeeded")])


def test_what_a_request_says_of_itself_is_told_when_it_changes() -> None:
    """NVSentinel writes how far it is."""
    line = quarantined(0).at(5, repairs=(reboot("e1", detail="a"),))
    line.at(6, repairs=(reboot("e1", detail="b"),)).at(7)
    told = [e.detail for _, e in line.events if isinstance(e, AttemptChanged)]
    assert told == ["a", "b"]


def test_a_second_request_without_an_id_is_a_retry() -> None:
    """Nothing else is there that it could be for."""
    first = SeenRepair(**UNNAMED, signal="sent", outcome="failed", failure="timeout")
    again = SeenRepair("RebootNode", "by-hand", "u10")
    line = quarantined(0).at(5, repairs=(first,)).at(9, repairs=(first, again))
    assert line.attempts() == [("first", "failed"), ("retry", "at work")]


def test_the_same_fault_with_an_event_of_its_own_is_a_new_fault() -> None:
    """It broke again after its repair, in the same session."""
    line = quarantined(0, "e1").at(5, repairs=(sent("e1"),)).at(60, boot_id="boot-2")
    line.at(70, faults=(), session=session("e1"))
    line.at(300, faults=(fault("SysLogsXIDError", "79", "e2"),), session=session("e1", "e2"))
    line.at(310, repairs=(done("e1"), reboot("e2", "u2")))
    assert [a.began.why for a in line.incident.attempts] == ["first", "new fault"]
    assert len(line.incident.faults) == 1


# --- side effects -----------------------------------------------------------------------------

LOST = fault("GpuDcgmConnectivityFailure", "LOST", by="condition", passing=True)


def test_while_the_node_stays_away_a_lost_connection_is_no_news() -> None:
    """The repair timed out, and the node has not come back."""
    line = quarantined(0).at(5, repairs=(sent("e1"),)).at(1500, repairs=(failed("e1", "timeout"),))
    line.at(3000, faults=(*line.sight.faults, LOST))
    assert line.incident.faults[1].latest.side_effect_of == 1


@pytest.mark.parametrize(("after", "attempt"), [(300.0, 1), (300.1, 0)])
def test_after_a_reboot_that_never_came_five_minutes_count_too(after: float, attempt: int) -> None:
    """NVSentinel reports it as done; no new boot within its time; then it is past."""
    line = quarantined(0).at(5, repairs=(sent("e1"),)).at(6, repairs=(done("e1"),)).at(306)
    assert line.attempts() == [("first", "succeeded")]
    line.at(306 + after, faults=(*line.sight.faults, LOST))
    assert line.incident.faults[1].latest.side_effect_of == attempt


def test_a_second_request_without_a_signal_hides_no_reboot_before_it() -> None:
    """The first reboot timed out, and the node is still away from it."""
    first = failed("e1", "timeout")
    line = quarantined(0).at(5, repairs=(sent("e1"),)).at(1500, repairs=(first,))
    line.at(1510, repairs=(first, reboot("e1", "u2")))
    line.at(1520, faults=(*line.sight.faults, LOST))
    assert len(line.incident.attempts) == 2
    assert line.incident.faults[1].latest.side_effect_of == 1


def test_a_connection_that_is_what_the_reboot_is_for_is_a_fault() -> None:
    """The request was made for its event."""
    own = fault("GpuDcgmConnectivityFailure", "LOST", "e1", passing=True)
    line = Timeline().at(0, repairs=(sent("e1"),), faults=(own,), session=session("e1"))
    assert line.incident.faults[0].latest.side_effect_of == 0
    assert line.incident.attempts[0].began.serves == (1,)
    assert line.incident.cause.code == ""


def test_a_lost_connection_seen_together_with_the_signal_is_its_side_effect() -> None:
    """Nobody looked between the two."""
    line = quarantined(0)
    line.at(15, repairs=(sent("e1"),), faults=(LOST, *line.sight.faults))
    told = {f.latest.check: f.latest.side_effect_of for f in line.incident.faults}
    assert told == {"SysLogsXIDError": 0, "GpuDcgmConnectivityFailure": 1}


@pytest.mark.parametrize(("due", "opened"), [(True, 1), (False, 2)])
def test_a_new_quarantine_joins_while_a_reboot_is_due(due: bool, opened: int) -> None:
    """Released on a healthy event, with the second reboot still to come."""
    line = quarantined(0, "e1").at(5, repairs=(sent("e1"),)).at(60, boot_id="boot-2")
    second = (done("e1"), sent("e1", "u2"))
    line.at(70, repairs=second)
    if not due:
        line.at(100, boot_id="boot-3")
    line.at(110, faults=(), session=released())
    line.at(120, faults=(fault("B", "2", "e2"),), session=session("e2", release_mark="released-1"))
    assert line.opened == opened


@pytest.mark.parametrize(
    ("seen", "another"),
    [
        (session("e2", release_mark="r2"), True),
        (session("e2"), True),
        (SeenSession(marked=True, ids=("e2",)), False),
        (session("e1", "e2", release_mark="r2"), False),
        (SeenSession(marked=True, release_mark="r2"), False),
    ],
)
def test_another_session_has_no_id_in_common_and_another_mark(
    seen: SeenSession, another: bool
) -> None:
    """Without a new mark an event joined and another recovered."""
    known = quarantined(0, "e1").incident.session
    assert known is not None
    assert is_another_session(known, seen) is another


# --- alerts and left-overs --------------------------------------------------------------------


def resolved_alert_incident() -> Timeline:
    """An alert alone, taken back after a minute."""
    return Timeline().at(0, alerts=(alert(),)).at(60, alerts=(alert(firing=False),))


@pytest.mark.parametrize(("check", "again"), [("GpuHot", True), ("DiskFull", False)])
def test_the_same_alert_s_next_start_within_an_hour_is_again(check: str, again: bool) -> None:
    """The same thread, for the same check."""
    line = resolved_alert_incident()
    first = line.incident.key
    line.at(600, alerts=(alert("other", 590, check=check),))
    assert line.opened == 2
    assert (line.incident.opened.again_of == first) is again


def answered() -> Timeline:
    """An alert, a repaired fault of the node, and the alert fires on."""
    line = Timeline().at(0, alerts=(alert(),))
    line.at(10, faults=(fault("A", "1", "e1"),), session=session("e1"))
    return line.at(70, faults=(), session=released()).at(100)


def test_another_alert_s_resolve_does_not_free_this_one() -> None:
    """Key and start are one episode."""
    line = answered()
    assert line.ending == "recovered"
    line.at(110, alerts=(alert("Other", firing=False), alert()))
    line.at(111, alerts=(alert("GpuHot", -50, firing=False), alert())).at(120)
    assert line.opened == 1


def test_firing_after_resolved_is_news() -> None:
    """Taken back after the end, and fired again with another start."""
    line = answered().at(110, alerts=(alert(firing=False),))
    assert line.at(200, alerts=(alert(started=190),)).opened == 2


@pytest.mark.parametrize(("mark", "opened"), [("cordon-1", 1), ("cordon-2", 2)])
def test_a_quarantine_that_cannot_be_decoded_is_told_by_its_cordon(mark: str, opened: int) -> None:
    """No id is there; closed by a person, and the same cordon goes on."""
    held = SeenSession(marked=True, cordon_mark="cordon-1")
    line = Timeline().at(0, session=held).closed(60, "ada").at(75)
    line.at(90, session=SeenSession(marked=True, cordon_mark=mark))
    assert line.opened == opened


def test_a_session_that_was_left_over_and_went_may_open_again() -> None:
    """Closed by a person while quarantined; released; the same event quarantines anew."""
    line = quarantined(0).closed(60, "ada").at(90, faults=(), session=released())
    xid = fault("SysLogsXIDError", "79", "e1")
    assert line.at(200, faults=(xid,), session=session("e1")).opened == 2


def test_left_overs_of_an_older_incident_stay_through_the_next() -> None:
    """A condition was left over, another fault came and was repaired."""
    both = (fault(), fault("B", "2", "e2"))
    line = Timeline().at(0, faults=(fault(),)).closed(60, "ada")
    line.at(90, faults=both, session=session("e2")).at(120, faults=(fault(),), session=released())
    line.wait(200)
    assert (line.opened, line.ending) == (2, "recovered")
    assert line.restarted().wait(600).opened == 2


def test_what_shows_behind_a_left_over_can_be_left_over_too() -> None:
    """A person closes the next incident as well."""
    a, b = fault("A", "1"), fault("B", "2")
    line = Timeline().at(0, faults=(a,)).closed(60, "ada").at(90, faults=(a, b)).closed(100, "ada")
    assert line.opened == 2
    assert [left.name for left in line.story.left_overs] == ["A 1 GPU:0", "B 2 GPU:0"]


# --- times and the node -----------------------------------------------------------------------


def test_a_drain_has_its_times_from_the_state_label() -> None:
    """Quarantined at 0 s, drained from 5 s to 9 s; without a drain there are none."""
    line = quarantined(0, "e1")
    assert (times_of(line.incident).drain_began, times_of(line.incident).drained) == (None, None)
    for at, state in ((5, "draining"), (9, "drain-succeeded")):
        line.at(at, session=session("e1", state=state))
    times = times_of(line.incident)
    assert times.drain_began == pytest.approx(NOON + 5, abs=5)
    assert times.drained == pytest.approx(NOON + 9, abs=4)
    assert times.drain_began != times.quarantined


def test_an_incident_with_two_sessions_was_quarantined_at_the_first() -> None:
    """Released while the reboot is due; the next quarantine joins."""
    line = quarantined(0, "e1").at(5, repairs=(sent("e1"),))
    line.at(20, faults=(), session=released(at=20))
    second = session("e2", release_mark="released-1")
    line.at(60, faults=(fault("B", "2", "e2"),), session=second)
    first, later = line.incident.sessions
    assert (line.opened, times_of(line.incident).quarantined) == (1, first.began.at)
    assert later.began.at != first.began.at


def test_what_is_cleared_counts_from_the_last_that_cleared() -> None:
    """Two conditions without a quarantine."""
    both = (fault("A", "1"), fault("B", "2"))
    line = Timeline().at(0, faults=both).at(15, faults=both[:1]).at(60, faults=()).at(660)
    assert line.incident.ended is not None
    assert (line.ending, line.incident.ended.at) == ("cleared", NOON + 60)


def test_a_time_that_is_not_known_does_not_become_known_later() -> None:
    """The first look, and a sender whose clock is ahead; then the event behind it."""
    line = Timeline(looking=False)
    ahead = NOON + 500
    line.at(0, faults=(fault(generated_at=ahead),))
    line.at(1, faults=(fault("SysLogsXIDError", "79", "e1", generated_at=ahead + 0.5),))
    assert times_of(line.incident).faults[0].generated is None


def test_another_second_s_event_moves_no_beginning() -> None:
    """The condition has shown it since 12:00:05; what was written at 12:00:07 tells of it again."""
    line = Timeline().at(0).at(8, faults=(fault(generated_at=NOON + 5.0),))
    line.at(9, faults=(fault("SysLogsXIDError", "79", "e1", generated_at=NOON + 7.6),))
    assert line.incident.faults[0].latest.at == NOON + 5.0


def test_the_event_s_time_is_finer_than_the_condition_s() -> None:
    """The same second; never later than the sight."""
    line = Timeline().at(0).at(8, faults=(fault(generated_at=NOON + 7.0),))
    line.at(9, faults=(fault("SysLogsXIDError", "79", "e1", generated_at=NOON + 7.6),))
    assert times_of(line.incident).faults[0].generated == NOON + 7.6


def test_that_a_fault_is_planned_can_be_learnt_later() -> None:
    """The annotation tells what the condition did not."""
    line = Timeline().at(0, faults=(fault(),))
    line.at(1, faults=(fault("SysLogsXIDError", "79", "e1", planned=True),))
    assert line.incident.faults[0].latest.planned


def test_since_when_the_node_is_ready_is_its_own_time_at_the_first_sight() -> None:
    """It has been Ready since yesterday."""
    assert quarantined(0).incident.node.ready_at == NOON - 86400


@pytest.mark.parametrize(("theirs", "known"), [(50.0, 60.0), (65.0, 65.0), (80.0, 75.0)])
def test_since_when_it_is_ready_again_lies_between_two_looks(theirs: float, known: float) -> None:
    """A kubelet's clock is a clock."""
    line = quarantined(0).at(60, ready=False).at(75, ready=True, ready_at=NOON + theirs)
    assert line.incident.node.ready_at == NOON + known


@pytest.mark.parametrize(
    ("make", "manual"),
    [
        (lambda: quarantined(0).at(5, chain=SeenChain(manual=True)), True),
        (lambda: Timeline().at(0, faults=(fault(),)).at(5, chain=SeenChain(manual=True)), False),
    ],
)
def test_manual_mode_matters_once_nvsentinel_holds_the_node(make: Any, manual: bool) -> None:
    """Before, no request is coming."""
    assert (make().incident.cause.code == "manual-mode") is manual


def test_an_unread_source_clears_nothing_and_opens_nothing() -> None:
    """Unknown is neither absent nor healthy."""
    line = quarantined(0).at(5, faults=(), session=released(), unread=frozenset({"node"}))
    assert line.incident.open_session is not None
    assert line.incident.faults[0].cleared is None
    line.at(20, unread=frozenset({"node", "repairs"})).wait(400)
    assert line.ending == ""


def test_a_request_that_cannot_be_read_is_not_taken_away() -> None:
    """Forbidden for a while."""
    line = quarantined(0).at(5, repairs=(sent("e1"),))
    line.at(20, repairs=(), unread=frozenset({"repairs"}))
    assert line.attempts() == [("first", "at work")]
    assert line.at(40, unread=frozenset()).attempts() == [("first", "taken away")]


def test_repaired_twice_is_two_incidents_of_one_thread() -> None:
    """Three minutes after."""
    line = repaired().wait(200)
    line.at(250, faults=(fault("SysLogsXIDError", "79", "e2"),), session=session("e2"))
    opened = line.incident.opened
    assert line.story.last is not None
    assert opened.again_of == line.story.last.key
    assert opened.again_after_s == pytest.approx(180, abs=1)


def test_faults_that_were_seen_before_the_quarantine_are_quarantined_by_it() -> None:
    """Two conditions, a session for the first, and the second joins it."""
    a, b = fault("A", "1", "a1"), fault("B", "2", "b1")
    line = Timeline().at(0, faults=(fault("A", "1"), fault("B", "2")))
    line.at(1, faults=(a, fault("B", "2")), session=session("a1"))
    line.at(2, faults=(a, b), session=session("a1", "b1"))
    proofs = [prove_stage(line.incident, f, "quarantine") for f in line.incident.faults]
    assert [p.kind for p in proofs if p is not None] == ["own", "own"]


def test_a_drain_proves_nothing_for_a_fault_that_came_after_it() -> None:
    """Its own needs a mark of its own."""
    line = quarantined(0, "e1").at(5, session=session("e1", state="drain-succeeded"))
    both = (*line.sight.faults, fault("B", "2", "e2"))
    line.at(9, faults=both, session=session("e1", "e2", state="drain-succeeded"))
    proofs = [prove_stage(line.incident, f, "drain") for f in line.incident.faults]
    assert [p is not None for p in proofs] == [True, False]


@pytest.mark.parametrize(
    ("state", "proved"),
    [("quarantined", False), ("draining", False), ("drain-succeeded", True), ("remediating", True)],
)
def test_a_state_after_the_drain_proves_it(state: str, proved: bool) -> None:
    """The label only goes forward."""
    line = quarantined(0, "e1").at(5, session=session("e1", state=state))
    proof = prove_stage(line.incident, line.incident.faults[0], "drain")
    assert (proof is not None) is proved


def test_a_session_that_is_over_proves_a_quarantine_for_its_own_faults_only() -> None:
    """Another condition came after the release, while the reboot was still due."""
    line = quarantined(0, "e1").at(5, repairs=(sent("e1"),))
    line.at(20, faults=(fault("B", "2"),), session=released(at=20))
    proofs = [prove_stage(line.incident, f, "quarantine") for f in line.incident.faults]
    assert [p is not None for p in proofs] == [True, False]


def test_another_fault_s_drain_proves_nothing() -> None:
    """The session lists the event of one of two faults."""
    line = quarantined(0, "e1").at(5, faults=(fault(), fault("B", "2", "e2")))
    line.at(9, session=session("e1", state="drain-succeeded"))
    proofs = [prove_stage(line.incident, f, "drain") for f in line.incident.faults]
    assert [p is not None for p in proofs] == [True, False]


def test_of_two_faults_the_first_gives_the_key() -> None:
    """Whoever looks at the same node makes the same key."""
    first, second = fault("A", "1"), fault("B", "2")
    line = Timeline().at(0, faults=(first, second))
    assert line.incident.key == key_of_seen("cluster-1", "node-1", first)
    assert line.incident.key != key_of_seen("cluster-1", "node-1", second)


@pytest.mark.parametrize(("by", "how"), [("condition", "marks removed"), ("event", "released")])
def test_marks_that_go_while_a_condition_stands_were_removed(by: str, how: str) -> None:
    """NVSentinel takes them away when the condition has cleared; an Event does not clear."""
    seen = fault("A", "1", by=by, mark="e/1")
    line = (
        Timeline().at(0, faults=(seen,)).at(1, session=session("e1")).at(10, session=released(""))
    )
    ended = line.incident.sessions[0].ended
    assert ended is not None
    assert ended.how == how


def test_a_fault_that_is_seen_with_more_entities_has_them() -> None:
    """The same event, and both fragments are whole."""
    both = (("GPU", "0"), ("PCI", "0000:b3:00"))
    line = Timeline().at(0, faults=(fault("A", "1", "e1"),))
    line.at(1, faults=(fault("A", "1", "e1", entities=both),))
    (record,) = line.incident.faults
    assert record.latest.entities == both


def test_a_fragment_that_was_cut_grows() -> None:
    """The message had no room for the code."""
    cut = SeenFault("A", by=frozenset({"condition"}), fatal=True, truncated=True)
    line = Timeline().at(0, faults=(cut,)).at(1, faults=(fault("A", "1", "e1"),))
    (record,) = line.incident.faults
    assert (record.latest.error_codes, record.latest.entities) == (("1",), (("GPU", "0"),))
    shorter = SeenFault("A", ("1",), by=frozenset({"condition"}), fatal=True, truncated=True)
    for seconds, again in ((2, cut), (3, shorter)):
        line.at(seconds, faults=(again,))
    (record,) = line.incident.faults
    assert (record.latest.error_codes, record.latest.entities) == (("1",), (("GPU", "0"),))


def test_an_event_that_cannot_be_read_at_the_end_is_left_over_too() -> None:
    """Forbidden just then; it was there before."""
    line = Timeline().at(0, faults=(warning("w/1"),))
    line.at(15, faults=(), unread=frozenset({"events"})).closed(30, "ada")
    assert line.at(45, faults=(warning("w/1"),), unread=frozenset()).opened == 1
    assert line.at(60, faults=(warning("w/2"),)).opened == 2


def test_an_incident_began_with_its_first_fault() -> None:
    """The second was there before nvsx saw the first."""
    line = Timeline(looking=False)
    two = (fault("A", "1", generated_at=NOON - 10), fault("B", "2", generated_at=NOON - 40))
    assert times_of(line.at(0, faults=two).incident).began == NOON - 40


def test_an_incident_whose_first_fault_has_no_time_has_no_beginning() -> None:
    """Not known, rather than that of the other."""
    line = Timeline(looking=False)
    two = (fault("A", "1", generated_at=NOON - 10), fault("B", "2"))
    times = times_of(line.at(0, faults=two).incident)
    assert (times.began, times.seen) == (None, NOON)


def test_an_alert_that_was_taken_back_is_not_unconfirmed() -> None:
    """The node is not Ready for another reason, for more than a day."""
    line = resolved_alert_incident_of_an_unready_node()
    assert line.wait(25 * HOUR, 600).ending == ""


def resolved_alert_incident_of_an_unready_node() -> Timeline:
    """What keeps it open is the node."""
    line = Timeline().at(0, alerts=(alert(),), ready=False)
    return line.at(60, alerts=(alert(firing=False),))


def test_holds_of_a_node_that_cannot_be_read_stay() -> None:
    """And go when it is read without them."""
    hold = SeenHold("maintenance", "NVSentinel", name="fw")
    line = quarantined(0).at(5, holds=(hold,)).at(10, holds=(), unread=frozenset({"node"}))
    assert [h.name for h in line.incident.holds] == ["fw"]
    assert line.at(15, unread=frozenset()).incident.holds == ()


def test_a_hold_whose_words_change_is_told_anew_and_stands_once() -> None:
    """A driver upgrade goes through its states."""
    line = quarantined(0)
    for seconds, detail in ((5, "cordon-required"), (9, "drain-required")):
        hold = SeenHold("driver upgrade", "the GPU operator", detail=detail)
        line.at(seconds, holds=(hold,))
    assert [h.detail for h in line.incident.holds] == ["drain-required"]
    assert line.when("hold_began") == [5, 9]


def test_a_validation_that_cannot_be_read_is_not_over() -> None:
    """Its hold stays until it is read again."""
    hold = SeenHold("validation", "NVSentinel", name="v", keeps_open=True)
    line = quarantined(0).at(5, holds=(hold,)).at(10, holds=(), unread=frozenset({"validations"}))
    assert [h.name for h in line.incident.holds] == ["v"]
    line.at(20, faults=(), session=released()).at(60)
    assert line.ending == ""
    assert line.at(70, unread=frozenset()).at(100).ending == "recovered"


def test_a_cause_needs_a_failed_request_since_the_last_repair() -> None:
    """The label was remediation-failed before the repair that is there now."""
    line = quarantined(0).at(5, session=session("e1", state="remediation-failed"))
    line.at(9, repairs=(sent("e1"),), session=session("e1", state="remediating"))
    line.at(60, boot_id="boot-2")
    line.at(70, faults=(*line.sight.faults, fault("B", "2", "e2")))
    line.at(80, session=session("e1", "e2", state="remediating"))
    assert line.incident.cause.code == ""
    line.at(90, session=session("e1", "e2", state="remediation-failed"))
    assert line.incident.cause.code == "request-not-made"


def test_the_oldest_of_several_faults_tells_that_nothing_quarantines() -> None:
    """The second came just now."""
    line = Timeline().at(0, faults=(fault("A", "1"),))
    line.at(119, faults=(fault("A", "1"), fault("B", "2"))).at(121)
    assert line.incident.cause.code == "not-quarantined"


def test_history_is_not_left_over_and_the_incident_s_own_event_is() -> None:
    """An Event of three hours ago, one of now."""
    old = warning("w/1", generated_at=NOON - 3 * HOUR)
    own = warning("v/1", check="GpuPowerWatch")
    line = Timeline(looking=False).at(0, faults=(old,))
    line.at(5, faults=(old, own)).closed(10, "ada")
    assert [left.mark for left in line.story.left_overs] == ["v/1"]


def test_an_action_is_learnt_when_the_fragment_was_cut() -> None:
    """UNKNOWN until the annotation tells."""
    line = Timeline().at(0, faults=(fault(action="UNKNOWN"),))
    line.at(1, faults=(fault("SysLogsXIDError", "79", "e1", action="RESTART_BM"),))
    line.at(2, faults=(fault("SysLogsXIDError", "79", "e1", action="UNKNOWN"),))
    assert line.incident.faults[0].latest.action == "RESTART_BM"


def closed_and_joined() -> Timeline:
    """Closed by a person after a refused signal; the node stays quarantined, and e2 joins."""
    line = quarantined(0, "e1").at(5, repairs=(failed("e1", "refused"),)).closed(60, "ada")
    both = (*line.sight.faults, fault("B", "2", "e2"))
    return line.at(90, faults=both, session=session("e1", "e2"))


def test_an_event_that_joins_after_a_close_names_its_own_incident() -> None:
    """The first event's key is the closed one's."""
    line = closed_and_joined()
    assert (line.opened, line.incident.opened.by) == (2, "quarantine")
    assert line.incident.key == key_of_event("cluster-1", "node-1", "e2")
    assert key_of_event("cluster-1", "node-1", "e1") not in line.incident.aliases
    assert [f.latest.check for f in line.incident.faults] == ["B"]


def test_a_finished_request_of_a_closed_incident_proves_nothing_for_the_next() -> None:
    """Its refused signal was the closed one's."""
    line = closed_and_joined()
    assert (line.incident.attempts, line.incident.state) == ((), "repairing")


def test_a_request_still_at_work_goes_on_in_the_next_incident() -> None:
    """Closed while the reboot was under way; its node goes down now."""
    line = quarantined(0, "e1").at(5, repairs=(sent("e1"),)).closed(6, "ada")
    both = (*line.sight.faults, fault("B", "2", "e2"))
    line.at(9, faults=both, session=session("e1", "e2"))
    assert line.attempts() == [("first", "at work")]


@pytest.mark.parametrize(("seen_at", "why"), [(50.0, "other check"), (150.0, "new fault")])
def test_after_a_failed_repair_its_end_tells_a_new_fault_from_another_check(
    seen_at: float, why: str
) -> None:
    """The first failed at 100 s and the node did not come back from it."""
    line = quarantined(0, "e1").at(5, repairs=(sent("e1"),))
    refused = failed("e1", "timeout")
    steps: list[tuple[float, dict[str, Any]]] = [
        (100, {"repairs": (refused,)}),
        (seen_at, {"faults": (*line.sight.faults, fault("B", "2", "e2"))}),
    ]
    for when, change in sorted(steps, key=lambda step: step[0]):
        line.at(when, **change)
    line.at(200, session=session("e1", "e2"), repairs=(refused, reboot("e2", "u2")))
    assert line.incident.attempts[1].began.why == why


def test_a_reboot_that_was_only_reported_is_told_as_that() -> None:
    """NVSentinel's word, and what was not seen."""
    line = quarantined(0).at(5, repairs=(sent("e1"),)).at(6, repairs=(done("e1"),)).at(306)
    ended = line.incident.attempts[0].ended
    assert ended is not None
    assert ended.text.startswith("NVSentinel reports it as done; no reboot was seen")


def test_only_a_node_that_is_back_proves_the_recovery() -> None:
    """Recovered does, cleared does not."""
    back = repaired().wait(120).incident
    proof = prove_stage(back, back.faults[0], "recover")
    assert proof is not None
    assert proof.at == NOON + 70
    quiet = Timeline().at(0, faults=(fault(),)).at(15, faults=()).at(615).incident
    assert quiet.ended is not None
    assert prove_stage(quiet, quiet.faults[0], "recover") is None


def test_a_request_that_cannot_be_read_keeps_the_incident_open() -> None:
    """Its signal may have been sent meanwhile."""
    line = quarantined(0).at(5, repairs=(reboot("e1"),))
    line.at(10, faults=(), session=released(), repairs=(), unread=frozenset({"repairs"})).wait(400)
    assert line.ending == ""


def test_a_request_that_goes_back_to_an_older_state_is_at_work_again() -> None:
    """Janitor reconciles a stale copy: done, and then signalled once more."""
    line = quarantined(0).at(5, repairs=(done("e1"),)).at(6, repairs=(sent("e1"),))
    line.at(10, faults=(), session=released()).wait(600)
    assert line.ending == ""
    line.at(601, boot_id="boot-2").at(631)
    assert line.ending == "recovered"


@pytest.mark.parametrize(("after", "ending"), [(299.0, ""), (300.0, "recovered")])
def test_a_signalled_request_that_was_taken_away_is_due_for_five_minutes(
    after: float, ending: str
) -> None:
    """The signal was sent, and nobody can ask the request any more."""
    line = quarantined(0).at(5, repairs=(sent("e1"),)).at(10, repairs=())
    line.at(20, faults=(), session=released()).at(10 + after)
    assert line.at(10 + after + 30).ending == ending


def test_a_request_that_was_refused_and_is_at_work_again_ends_again() -> None:
    """Signalled at the second try; then it is taken away."""
    line = quarantined(0).at(5, repairs=(failed("e1", "refused"),)).at(9, repairs=(sent("e1"),))
    assert (line.incident.state, line.attempts()) == ("repairing", [("first", "at work")])
    line.at(12, repairs=())
    assert line.attempts() == [("first", "taken away")]


@pytest.mark.parametrize(("kind", "opened"), [("validation", 1), ("quarantine", 2)])
def test_a_new_quarantine_joins_while_a_validation_is_under_way(kind: Any, opened: int) -> None:
    """NVSentinel's own hold was not over; that of the quarantine which was released was."""
    hold = SeenHold(kind, "NVSentinel", keeps_open=True)
    line = quarantined(0, "e1").at(5, holds=(hold,))
    line.at(60, faults=(), session=released())
    line.at(75, faults=(fault("B", "2", "e2"),), session=session("e2", release_mark="released-1"))
    assert line.opened == opened


def test_an_event_that_cannot_be_read_is_not_gone() -> None:
    """Left over, unread for a while, and still the same."""
    line = Timeline().at(0, faults=(warning("w/1"),)).closed(15, "ada")
    line.at(30, faults=(), unread=frozenset({"events"}))
    assert line.at(45, faults=(warning("w/1"),), unread=frozenset()).opened == 1


@pytest.mark.parametrize("boot_id", ["boot-1", ""])
def test_without_the_boot_before_a_finished_request_is_enough(boot_id: str) -> None:
    """nvsx came after the signal, or the node shows no boot id: nothing can be compared."""
    line = Timeline(looking=False)
    xid = fault("SysLogsXIDError", "79", "e1")
    line.at(0, faults=(xid,), session=session("e1"), repairs=(done("e1"),), boot_id=boot_id)
    line.at(10, faults=(), session=released()).at(40)
    assert (line.ending, line.attempts()) == ("recovered", [("first", "succeeded")])


def test_a_node_that_shows_no_boot_id_any_more_is_waited_for_no_longer() -> None:
    """The boot before is known, the one now is not."""
    line = quarantined(0).at(5, repairs=(sent("e1"),)).at(6, repairs=(done("e1"),), boot_id="")
    assert line.at(10, faults=(), session=released()).at(40).ending == "recovered"


def test_the_state_label_alone_goes_on_with_a_session_and_begins_none() -> None:
    """It can be written after the end."""
    line = quarantined(0).at(5, faults=(), session=SeenSession(labelled=True, state="draining"))
    assert line.wait(100).ending == ""
    line.at(110, session=released()).at(115, session=released(labelled=True)).at(140)
    assert line.ending == "recovered"
    assert line.at(155).opened == 1
