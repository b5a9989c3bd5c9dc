"""A run's marks and its incident's times are the same times."""

from __future__ import annotations

import pytest
from tests.core.incident.timelines import (
    NOON,
    done,
    fault,
    quarantined,
    released,
    repaired,
    sent,
    session,
)

from nvsx.core.incident.incident_times import put_into_marks, times_of_fault
from nvsx.core.incident.session import Times

SEEN = Times(generated=NOON - 9, quarantined=NOON + 9, unquarantined=NOON + 79, healthy=NOON + 80)


def test_the_incident_knows_when_the_fault_began_and_when_the_node_was_back() -> None:
    """Each figure is the difference of the marks shown beside it; others stay as the run saw."""
    incident = repaired().wait(200).incident
    marks = put_into_marks(SEEN, incident, incident.faults[0])
    assert marks.time_to_repair() == times_of_fault(incident, incident.faults[0]).to_repair_s
    assert (marks.generated, marks.unquarantined) == (incident.faults[0].latest.at, NOON + 70)
    assert marks.healthy == SEEN.healthy


def test_until_the_incident_is_over_the_release_is_what_the_run_saw() -> None:
    """Only the end says that the node was back from this fault."""
    incident = repaired().incident
    assert incident.ended is None
    marks = put_into_marks(SEEN, incident, incident.faults[0])
    assert marks.unquarantined == SEEN.unquarantined


def test_the_drain_is_the_incident_s_to_the_millisecond() -> None:
    """Nobody writes a time for its labels: two who look would have two times for it."""
    line = quarantined()
    line.at(4, session=session("e1", state="draining"))
    line.at(6, session=session("e1", state="drain-succeeded"))
    seen = Times(drain_began=NOON + 4.2, drain_finished=NOON + 6.3)
    marks = put_into_marks(seen, line.incident, line.incident.faults[0])
    assert (marks.drain_began, marks.drain_finished) == (NOON + 4, NOON + 6)


def test_a_later_fault_counts_from_itself() -> None:
    """XID 79 at noon, an NVLink fault at 12:01:40 in its session: 300 s to its repair."""
    line = quarantined().at(5, repairs=(sent("e1"),))
    line.at(60, ready=True, ready_at=NOON + 60, boot_id="boot-2", repairs=(done("e1"),))
    both = (*line.sight.faults, fault("SysLogsNVLink", "149", "e2"))
    line.at(100, faults=both, session=session("e1", "e2"))
    line.at(110, repairs=(done("e1"), sent("e2", "u2")))
    line.at(300, ready=True, ready_at=NOON + 300, boot_id="boot-3")
    line.at(310, repairs=(done("e1"), done("e2", "u2")))
    line.at(400, faults=(), session=released("r", 400)).wait(500)
    second = line.incident.faults[1]
    marks = put_into_marks(Times(generated=NOON), line.incident, second)
    assert marks.time_to_repair() == pytest.approx(300)
