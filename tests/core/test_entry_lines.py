"""Journal entries as the lines people read."""

from __future__ import annotations

import pytest

from nvsx.core.incident.session import Session
from nvsx.core.journal import entries as j
from nvsx.core.journal.entry_lines import Line, lines_of, node_name

START = j.Start(runbook="gpu-off-bus", nickname="rogue-moose")


def lines(body: j.RunEvent) -> list[Line]:
    """The lines of an entry with this event."""
    return lines_of(j.Entry("r1", 1, 1000.0, body))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            j.Start(
                runbook="b",
                nickname="n",
                target_node="node-1",
                target_alias="keen-fox",
                sandbox=True,
                drill=True,
                late=True,
            ),
            [Line("●", "b (n) on node-1 (keen-fox) · sandbox · drill · late · run r1", "head")],
        ),
        (START, [Line("●", "gpu-off-bus (rogue-moose) on no node yet · run r1", "head")]),
        (j.Armed(waiting_for="XID 79"), [Line("…", "armed: waiting for XID 79", "head")]),
        (
            j.Target(target_node="node-1", target_alias="", reason="XID 79"),
            [Line("→", "target node-1: XID 79", "head")],
        ),
        (
            j.PrerequisiteChecked(name="janitor", ok=True, detail="ready"),
            [Line("✓", "prerequisite janitor: ready", "good")],
        ),
        (
            j.PrerequisiteChecked(name="janitor", ok=False, detail="absent"),
            [Line("!", "prerequisite janitor: absent", "warn")],
        ),
        (j.StageBegin(stage="drain", title="Drain"), [Line("▸", "drain: Drain", "head")]),
        (j.StageBegin(stage="drain"), [Line("▸", "drain", "head")]),
        (
            j.StageEnd(stage="drain", status="pass", elapsed_s=61),
            [Line("✓", "drain passed in 1m1s", "good")],
        ),
        (
            j.StageEnd(stage="drain", status="pass", elapsed_s=61, overdue=True),
            [Line("✓", "drain passed in 1m1s, overdue", "good")],
        ),
        (
            j.StageEnd(stage="drain", status="timeout", elapsed_s=5, reason="x", continued=True),
            [Line("✗", "drain timed out in 5s: x; going on", "bad")],
        ),
        (
            j.StageEnd(stage="drain", status="fail", elapsed_s=5, reason="x"),
            [Line("✗", "drain failed in 5s: x", "bad")],
        ),
        (
            j.StageEnd(stage="drain", status="cancelled", elapsed_s=5),
            [Line("✗", "drain cancelled in 5s", "warn")],
        ),
        (
            j.StageEnd(stage="drain", status="skipped", elapsed_s=5, reason="passed unseen"),
            [Line("-", "drain skipped: passed unseen", "dim")],
        ),
        (
            j.WatchChange(stage="s", index=0, kind="taint", verdict="unknown", detail="403"),
            [Line("?", "  taint (403)", "warn")],
        ),
        (
            j.WatchChange(stage="s", index=0, kind="taint", verdict="pending", describe="a taint"),
            [Line("·", "  a taint", "dim")],
        ),
        (
            j.NoteMade(stage="s", text="waits", remedy="do this", author="joe"),
            [Line("!", "  joe: waits", "warn"), Line(" ", "    do this", "warn")],
        ),
        (j.NoteMade(stage="s", text="waits"), [Line("!", "  waits", "warn")]),
        (
            j.Output(stage="s", source="hook", stream="stderr", line="oops"),
            [Line("│", "  oops", "dim")],
        ),
        (
            j.Output(stage="s", source="hook", stream="stdout", line="fine"),
            [Line("│", "  fine", "plain")],
        ),
        (j.Narrated(stage="s", text="Done."), [Line(" ", "  Done.")]),
        (j.Overdue(stage="s", budget_s=3600), [Line("!", "  overdue: longer than 1h", "warn")]),
        (j.Resumed(owner="o", epoch=2), [Line("↻", "resumed by o", "head")]),
        (j.CancelAsked(by="joe", reason="enough"), [Line("✗", "cancelled by joe: enough", "warn")]),
        (j.ActionBegin(stage="s", script="a.sh"), [Line("»", "  action a.sh")]),
        (j.HookBegin(stage="s", hook="h.sh", attempt=1), [Line("»", "  hook h.sh")]),
        (
            j.HookBegin(stage="s", hook="h.sh", attempt=2, purpose="overdue"),
            [Line("»", "  overdue hook h.sh, attempt 2")],
        ),
        (
            j.ActionEnd(stage="s", script="a.sh", exit_code=3),
            [Line("✗", "  action a.sh: exit code 3", "bad")],
        ),
        (
            j.ActionEnd(stage="s", script="a.sh", exit_code=None, detail="killed"),
            [Line("✗", "  action a.sh: killed", "bad")],
        ),
        (j.ActionEnd(stage="s", script="a.sh", exit_code=0), []),
        (
            j.HookEnd(stage="s", hook="h.sh", exit_code=1, attempt=1),
            [Line("✗", "  hook h.sh: exit code 1", "bad")],
        ),
        (j.HookEnd(stage="s", hook="h.sh", exit_code=0, attempt=1), []),
        (j.SessionSeen(session=Session()), []),
    ],
)
def test_an_entry_reads_as_lines(body: j.RunEvent, expected: list[Line]) -> None:
    """Mark, words and tone; facts that only programs read have no line."""
    assert lines(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            j.Finish(ok=True, status="passed", total_s=60, mttr_s=50, mttr_without_drain_s=20),
            [
                Line("✓", "run passed after 1m", "good"),
                Line(" ", "time to repair 50s (20s without drain)", "good"),
            ],
        ),
        (
            j.Finish(ok=True, status="passed", degraded=True, total_s=60, mttr_s=0),
            [
                Line("✓", "run passed (degraded) after 1m", "good"),
                Line(" ", "time to repair 0s", "good"),
            ],
        ),
        (
            j.Finish(ok=False, status="failed", total_s=60, reason="no drain"),
            [Line("✗", "run failed after 1m: no drain", "bad")],
        ),
        (
            j.Finish(ok=False, status="cancelled", total_s=60, condition_cleared_s=9),
            [
                Line("✗", "run cancelled after 1m", "warn"),
                Line(" ", "no quarantine; the condition cleared after 9s", "warn"),
            ],
        ),
    ],
)
def test_the_end_says_how_long(body: j.Finish, expected: list[Line]) -> None:
    """Outcome, reason, and the time to repair or to clear where there is one."""
    assert lines(body) == expected


def test_a_node_has_its_alias_beside_it() -> None:
    """Without an alias the name stands alone."""
    assert (node_name("node-1", "keen-fox"), node_name("node-1", "")) == (
        "node-1 (keen-fox)",
        "node-1",
    )
