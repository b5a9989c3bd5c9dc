"""A run's row in the index, folded from its events."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nvsx.core.incident.session import HealthEvent, Session
from nvsx.core.journal import entries as j
from nvsx.core.journal.run_index import (
    find_words,
    finish_abandoned,
    make_first_row,
    update_row,
)
from nvsx.core.journal.run_rows import NewRun, RunRow, mark_alive

AT = 1_700_000_000.0
ROW = make_first_row("r1", NewRun(runbook="b", node="n1"), AT)
ARMED = make_first_row("r1", NewRun(runbook="b"), AT)


def test_a_run_without_a_node_begins_armed() -> None:
    """With a node it runs; either way its owner is there."""
    row = make_first_row("r1", NewRun(runbook="b", node="n1"), AT)
    assert (row.status, row.alive, row.created, row.finished) == ("running", True, AT, None)
    assert make_first_row("r1", NewRun(runbook="b"), AT).status == "armed"


@pytest.mark.parametrize(
    ("row", "event", "changes"),
    [
        (ARMED, j.Start(runbook="b", nickname="n", target_node="n2"), {"node": "n2"}),
        (ROW, j.Start(runbook="b", nickname="n"), {}),
        (ROW, j.Armed(waiting_for="x"), {"status": "armed"}),
        (
            ARMED,
            j.Target(target_node="n2", target_alias="", reason=""),
            {"node": "n2", "status": "running"},
        ),
        (ARMED, j.StageBegin(stage="detect"), {"status": "running"}),
        (ARMED, j.Resumed(owner="o", epoch=2), {"status": "armed"}),
        (ROW, j.Resumed(owner="o", epoch=2), {"status": "running"}),
        (ROW, j.SessionSeen(session=Session(key="k")), {"session_key": "k"}),
        (ROW, j.SessionSeen(session=Session()), {}),
        (ROW, j.Narrated(stage="s", text="t"), {}),
        (
            ROW,
            j.Finish(ok=False, status="failed", mttr_s=5.0, degraded=True, reason="x"),
            {
                "status": "failed",
                "finished": AT + 9,
                "mttr_s": 5.0,
                "degraded": True,
                "reason": "x",
                "alive": False,
            },
        ),
    ],
)
def test_events_change_the_row(row: RunRow, event: j.RunEvent, changes: dict[str, Any]) -> None:
    """Node, status, session and end follow the events; the others change nothing."""
    assert update_row(row, event, AT + 9) == msgspec.structs.replace(row, **changes)


FAULT = HealthEvent(
    check="SysLogsXIDError",
    node="n1",
    error_codes=("94", "79"),
    entities=(("GPU_UUID", "GPU-1"), ("PCI", ""), ("NODE", "n1")),
)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (FAULT, {("fault", "SysLogsXIDError 79 94"), ("gpu", "GPU-1")}),
        (msgspec.structs.replace(FAULT, healthy=True), set()),
        (msgspec.structs.replace(FAULT, check=""), set()),
        (msgspec.structs.replace(FAULT, error_codes=(), entities=(("PCI", "0000:b3:00"),)),
         {("fault", "SysLogsXIDError"), ("pci", "0000:b3:00")}),
    ],
)  # fmt: skip
def test_a_run_is_found_by_its_faults(fault: HealthEvent, words: set[tuple[str, str]]) -> None:
    """Check with sorted codes, and the GPUs that are named; a healthy event is no fault."""
    assert find_words(j.SessionSeen(session=Session(events=(fault,)))) == words
    start = j.Start(
        runbook="b", nickname="n", tags=("infra",), trigger_event=msgspec.to_builtins(fault)
    )
    assert find_words(start) == words | {("tag", "infra")}


def test_other_events_have_no_words() -> None:
    """Nor has a start without a fault or tags."""
    assert find_words(j.Start(runbook="b", nickname="n")) == set()
    assert find_words(j.Narrated(stage="s", text="t")) == set()


@pytest.mark.parametrize(
    ("finished", "owner_alive", "alive", "status"),
    [
        (None, True, True, "running"),
        (None, False, False, "interrupted"),
        (AT, True, False, "running"),
        (AT, False, False, "running"),
        (0.0, False, False, "running"),
    ],
)
def test_an_unfinished_run_without_its_owner_is_interrupted(
    finished: float | None, owner_alive: bool, alive: bool, status: str
) -> None:
    """What has finished stays as it ended, whoever lives."""
    seen = mark_alive(msgspec.structs.replace(ROW, finished=finished), owner_alive)
    assert (seen.alive, seen.status) == (alive, status)


@pytest.mark.parametrize(("now", "total"), [(AT + 60, 60.0), (AT - 1, 0.0)])
def test_a_dropped_run_ends_as_interrupted(now: float, total: float) -> None:
    """With the time since it was made, never a negative one, and exit code 1."""
    end = finish_abandoned(msgspec.structs.replace(ROW, degraded=True), now)
    assert (end.ok, end.status, end.total_s, end.exit_code) == (False, "interrupted", total, 1)
    assert end.degraded
