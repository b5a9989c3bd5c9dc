"""Statistics over incidents: each counts once in a group, whatever its runs did."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.incident.test_stories import two_attempts

from nvsx.core.incident.incident_store import IncidentRow, incident_row
from nvsx.core.journal.incident_statistics import fits, summarise_incidents
from nvsx.core.journal.past_runs import By, RunFilter


def row(**fields: Any) -> IncidentRow:
    """A recovered one on n1."""
    given: dict[str, Any] = {
        "incident": "i-1",
        "cluster": "c1",
        "node": "n1",
        "key": "k",
        "state": "over",
        "opened": 1.0,
        "ended": 100.0,
        "how": "recovered",
        "faults": ("XID 79",),
    }
    return IncidentRow(**(given | fields))


def test_a_failed_attempt_counts_in_the_incident_that_recovered() -> None:
    """Two attempts of which one failed, no run: one incident, with its whole time to repair."""
    (group,) = summarise_incidents([incident_row("i-1", "c1", two_attempts().incident)], "fault")
    assert (group.name, group.incidents, group.attempts, group.failed_attempts) == (
        "SysLogsXIDError 79",
        1,
        2,
        1,
    )
    assert (group.without_run, group.endings) == (1, {"recovered": 1})
    assert group.repair is not None
    assert group.repair.p50 == 1720.0


LIGHT_AND_HEAVY = row(
    faults=("Thermal", "XID 79"),
    repair_s=540.0,
    repairs=(("XID 79", 540.0),),
    runbooks=(("thermal-throttle", ("Thermal",)), ("gpu-off-bus", ("XID 79",))),
    runs=2,
    failed_runs=1,
)


@pytest.mark.parametrize(
    ("by", "repairs"),
    [
        ("fault", {"Thermal": None, "XID 79": 540.0}),
        ("runbook", {"thermal-throttle": None, "gpu-off-bus": 540.0}),
        ("node", {"n1": 540.0}),
    ],
)
def test_a_repair_counts_for_the_fault_that_had_it(
    by: By, repairs: dict[str, float | None]
) -> None:
    """A thermal warning beside XID 79 has no time to repair, and neither has its runbook."""
    groups = summarise_incidents([LIGHT_AND_HEAVY], by)
    assert {g.name: g.repair.p50 if g.repair else None for g in groups} == repairs
    assert all(g.run_not_passed == 1 for g in groups)


def test_planned_work_and_hand_overs_are_counted_apart() -> None:
    """Planned work has no time to repair; what is open has no end."""
    rows = [row(planned=True, repair_s=60.0), row(handed_over=True), row(ended=None, how="")]
    (group,) = summarise_incidents(rows, "node")
    assert (group.incidents, group.planned, group.handed_over, group.still_open) == (3, 1, 1, 1)
    assert (group.endings, group.repair) == ({"recovered": 2}, None)


@pytest.mark.parametrize(
    ("fields", "wanted", "fitting"),
    [
        ({}, RunFilter(), True),
        ({"sandbox": True}, RunFilter(), False),
        ({"drill": True}, RunFilter(), False),
        ({"drill": True}, RunFilter(kind="sandbox"), True),
        ({}, RunFilter(kind="sandbox"), False),
        ({}, RunFilter(node="n1"), True),
        ({}, RunFilter(node="mighty-moose"), True),
        ({}, RunFilter(node="n2"), False),
        ({"runbooks": (("a", ()),)}, RunFilter(runbook="a"), True),
        ({"runbooks": (("a", ()),)}, RunFilter(runbook="b"), False),
    ],
)
def test_an_incident_fits_what_is_asked_for(
    fields: dict[str, Any], wanted: RunFilter, fitting: bool
) -> None:
    """By kind, by the node's name or alias, by a runbook of its runs."""
    assert fits(row(**fields), wanted) is fitting
