"""What of an incident concerns one of its runs, and what somebody late is told of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.incident.timelines import (
    HOUR,
    NOON,
    Timeline,
    done,
    failed,
    fault,
    quarantined,
    repaired,
    sent,
    session,
)

from nvsx.core.incident.catching_up import (
    LATE_AFTER,
    find_stages_over,
    joined_late,
    tell_so_far,
)
from nvsx.core.incident.incident_events import RunJoined
from nvsx.core.incident.incident_state import IncidentState, Stamp, fold_event
from nvsx.core.incident.run_share import (
    find_attempts_of_run,
    find_fault_of_run,
    needs_people_for_run,
    only_waits_for_quiet,
)
from nvsx.core.incident.session import HealthEvent
from nvsx.core.incident.sight import SeenCause, SeenChain
from nvsx.core.incident.stage_times import find_stage_time
from nvsx.core.incident.tolerances import PATIENCE, QUARANTINED_WITHIN

NVLINK = HealthEvent(check="SysLogsNVLink", node="gpu-1", id="e2", error_codes=("149",))


def two_faults() -> Timeline:
    """XID 79 at noon, rebooted a minute later; six hours later an NVLink fault in its session."""
    line = quarantined()
    line.at(5, repairs=(sent("e1"),))
    line.at(60, ready=True, ready_at=NOON + 60, boot_id="boot-2", repairs=(done("e1"),))
    faults = (fault("SysLogsXIDError", "79", "e1"), fault("SysLogsNVLink", "149", "e2"))
    line.at(6 * HOUR, faults=faults, session=session("e1", "e2"))
    return line.at(6 * HOUR + 9, repairs=(done("e1"), sent("e2", "u2")))


def with_runs(incident: IncidentState) -> IncidentState:
    """A run for each of the two faults."""
    for run_id, no in (("r1", 1), ("r2", 2)):
        joined = RunJoined(run_id=run_id, faults=(no,))
        incident = fold_event(incident, joined, Stamp(NOON))
    return incident


def test_a_run_is_for_the_fault_of_its_trigger() -> None:
    """By the event's id, else by check and code; without a trigger by what it joined for."""
    incident = with_runs(two_faults().incident)
    by_id = find_fault_of_run(incident, "r1", NVLINK)
    assert by_id is not None
    assert by_id.no == 2
    by_check = find_fault_of_run(incident, "r1", HealthEvent("SysLogsXIDError", "gpu-1"))
    assert by_check is not None
    assert by_check.no == 1
    by_run = find_fault_of_run(incident, "r2", None)
    assert by_run is not None
    assert by_run.no == 2


@pytest.mark.parametrize(("run", "attempts"), [("r1", [1]), ("r2", [2]), ("by-hand", [1, 2])])
def test_a_repair_concerns_the_run_of_its_fault(run: str, attempts: list[int]) -> None:
    """Story 4: the reboot for the NVLink fault is no second attempt of XID 79's run."""
    incident = with_runs(two_faults().incident)
    assert [a.no for a in find_attempts_of_run(incident, run)] == attempts


def test_a_failed_repair_needs_people_for_the_run_of_its_fault_alone() -> None:
    """The second reboot is refused: for the NVLink fault's run, not for the other."""
    line = two_faults()
    line.at(6 * HOUR + 20, repairs=(done("e1"), failed("e2", "refused", "u2")))
    incident = with_runs(line.incident)
    assert incident.state == "needs people"
    assert needs_people_for_run(incident, "r2")
    assert not needs_people_for_run(incident, "r1")


def test_a_fault_that_is_gone_leaves_nothing_but_quiet_to_wait_for() -> None:
    """Monitor-only: while the condition is there people are needed for it, after it for nothing;
    for a node that is not Ready besides, they are."""
    line = Timeline().at(0, chain=SeenChain(monitor_only=True))
    line.at(1, faults=(fault("SysLogsXIDError", "79", ""),))
    assert not only_waits_for_quiet(line.incident)
    line.at(60, faults=())
    assert line.incident.state == "needs people"
    assert only_waits_for_quiet(line.incident)
    line.at(70, ready=False)
    assert not only_waits_for_quiet(line.incident)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("dry-run", {"chain": SeenChain(dry_run=True)}),
        ("monitor-only", {"chain": SeenChain(monitor_only=True)}),
        ("breaker-tripped", {"chain": SeenChain(breaker_tripped=True)}),
        ("module-missing", {"chain": SeenChain(missing=("fault-quarantine",))}),
        ("module-not-ready", {"chain": SeenChain(unwell=(("fault-quarantine", "0 of 1"),))}),
        (
            "opted-out",
            {"chain": SeenChain(opted_out="k8saas.nvidia.com/ManagedByNVSentinel=false")},
        ),
        ("no-rule", {"causes": (SeenCause("no-rule", "no rule set is for it", "cordon it"),)}),
        ("not-quarantined", {}),
    ],
)
def test_no_cause_of_a_fault_alone_outlives_the_fault(code: str, why: dict[str, Any]) -> None:
    """Whatever kept NVSentinel from the fault: people are needed while it is there; then only
    quiet is awaited, and a run by hand that waits for the fault to go can end."""
    line = Timeline().run_by_hand(0).at(1, faults=(fault(),), **why)
    line.wait(QUARANTINED_WITHIN + PATIENCE + 30)
    assert (line.incident.state, line.incident.cause.code) == ("needs people", code)
    assert not only_waits_for_quiet(line.incident)
    line.at(line.sight.mono + 1, faults=(), causes=())
    assert line.incident.state == "needs people"
    assert only_waits_for_quiet(line.incident)


@pytest.mark.parametrize(("after", "late"), [(LATE_AFTER, False), (LATE_AFTER + 1, True)])
def test_who_comes_within_a_minute_of_the_quarantine_is_not_late(after: float, late: bool) -> None:
    """A quarantine of a minute ago is news; of longer ago it is told as late."""
    assert joined_late(quarantined().incident, NOON + after) is late


def test_who_comes_when_a_repair_has_begun_is_late() -> None:
    """However soon: a reboot under way must not be announced."""
    assert joined_late(quarantined().at(5, repairs=(sent("e1"),)).incident, NOON + 6)


def test_stages_over_are_those_proven_for_the_fault() -> None:
    """After XID 79's reboot: over for it; for the later NVLink fault detect and quarantine are."""
    incident = two_faults().incident
    first, second = incident.faults
    assert find_stages_over(incident, first) == ("detect", "quarantine", "remediate")
    assert find_stages_over(incident, second) == ("detect", "quarantine")


def test_the_note_of_one_who_comes_after_the_end_says_so() -> None:
    """What has happened stands there with its times, and nothing is awaited."""
    incident = repaired().wait(200).incident
    assert tell_so_far(incident, NOON + 200) == (
        "joined late, at 12:03:20Z, 3m20s after its first fault. So far: SysLogsXIDError 79 at "
        "12:00:00Z; quarantined at 12:00:00Z; RebootNode maintenance-e1 asked for at 12:00:05Z "
        "(node back at 12:01:00Z); released at 12:01:10Z. It is over: the node is back"
    )


def test_stages_take_the_time_between_the_incident_s_marks() -> None:
    """remediate from request to Ready, recover from there to the release; the drain, whose marks
    were not seen, is not known."""
    incident = repaired().wait(200).incident
    first = incident.faults[0]
    assert find_stage_time(incident, first, "remediate") == pytest.approx(55, abs=1)
    assert find_stage_time(incident, first, "recover") == pytest.approx(10, abs=1)
    assert find_stage_time(incident, first, "drain") is None
