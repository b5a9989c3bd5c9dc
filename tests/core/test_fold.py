"""A run's state is a fold over its journal, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvsx.core.incident.session import Session, Times
from nvsx.core.journal import entries as j
from nvsx.core.journal.fold import OUTPUT_KEPT, RunState, StageState
from nvsx.core.watches.verdict import Verdict


def entries(*bodies: j.RunEvent) -> list[j.Entry]:
    """Entries a second apart."""
    return [j.Entry("r", i, 1000.0 + i, body) for i, body in enumerate(bodies, 1)]


def entry_of(line: bytes) -> j.Entry:
    """The entry of a JSONL line, as a program that reads them gets it."""
    fields = msgspec.json.decode(line)
    return j.Entry(fields["run_id"], fields["seq"], fields["t"], j.decode_body(line))


START = j.Start(
    runbook="t",
    nickname="n",
    target_node="a",
    stages=(j.StagePlan(id="detect"), j.StagePlan(id="drain")),
)


def test_stages_go_from_planned_to_running_to_done() -> None:
    """A stage is planned at the start, current while it runs, done with status and reason."""
    state = RunState.of(entries(START, j.StageBegin(stage="detect")))
    assert [s.status for s in state.stages] == ["running", "planned"]
    assert state.current is not None
    assert state.current.id == "detect"
    state.apply(j.Entry("r", 3, 1005.0, j.StageEnd(stage="detect", status="pass", elapsed_s=3.0)))
    assert state.current is None
    assert (state.stages[0].status, state.stages[0].elapsed_s) == ("pass", 3.0)


def test_an_entry_counts_once() -> None:
    """Applying an entry again changes nothing."""
    journal = entries(START, j.NoteMade(stage="detect", text="x"))
    state = RunState.of([*journal, *journal])
    assert len(state.notes) == 1


def test_a_hook_that_succeeds_later_is_no_degradation() -> None:
    """Only a hook whose last attempt failed degrades the run."""
    begin = j.HookBegin(stage="detect", hook="h", attempt=1)
    failed = j.HookEnd(stage="detect", hook="h", exit_code=1, attempt=1)
    again = j.HookBegin(stage="detect", hook="h", attempt=2)
    done = j.HookEnd(stage="detect", hook="h", exit_code=0, attempt=2)
    assert RunState.of(entries(START, begin, failed)).degraded
    assert not RunState.of(entries(START, begin, failed, again, done)).degraded


def test_a_failed_action_is_no_degradation() -> None:
    """An action that failed fails its stage; it does not degrade the run."""
    begin = j.ActionBegin(stage="detect", script="s")
    end = j.ActionEnd(stage="detect", script="s", exit_code=1)
    assert not RunState.of(entries(START, begin, end)).degraded


def test_a_timeout_that_goes_on_is_not_the_failure() -> None:
    """A timeout the runbook lets pass does not count as the failed stage."""
    passed = j.StageEnd(stage="detect", status="timeout", elapsed_s=1, continued=True)
    failed = j.StageEnd(stage="drain", status="timeout", elapsed_s=1)
    state = RunState.of(entries(START, passed, failed))
    assert state.failed_stage is not None
    assert state.failed_stage.id == "drain"


def test_output_is_bounded() -> None:
    """Of a flood only the last lines are kept in memory."""
    line = j.Output(stage="detect", source="hook", stream="stdout", line="x")
    state = RunState.of(entries(START, *([line] * (OUTPUT_KEPT + 50))))
    assert len(state.output) == OUTPUT_KEPT


def test_a_script_without_an_end_is_open() -> None:
    """A script begun without an end has no end time: nobody knows how it went."""
    seen = j.ProcessSeen(stage="detect", script="h", pid=7, started=1.0)
    begin = j.HookBegin(stage="detect", hook="h", attempt=1)
    state = RunState.of(entries(START, begin, seen))
    script = state.stages[0].scripts[0]
    assert script.ended is None
    assert script.process == seen


def test_one_script_may_run_as_two_hooks() -> None:
    """An end belongs to the newest one of its purpose that runs, and to no other script."""
    begin: dict[str, Any] = {"stage": "detect", "hook": "h", "attempt": 1}
    state = RunState.of(
        entries(
            START,
            j.HookBegin(**begin),
            j.HookBegin(**begin, purpose="overdue"),
            j.HookBegin(stage="detect", hook="other", attempt=1),
            j.HookEnd(**begin, exit_code=3, detail="x"),
            j.HookEnd(**begin, exit_code=0),
        )
    )
    hook, overdue, other = state.stages[0].scripts
    assert (hook.ended, hook.exit_code, hook.detail, hook.ok) == (1005.0, 3, "x", False)
    assert (overdue.ended, overdue.purpose, other.ended) == (None, "overdue", None)


def test_an_action_is_tried_once() -> None:
    """It has its script, its process and its end; a process of nobody changes nothing."""
    seen = j.ProcessSeen(stage="detect", script="a", pid=7, started=1.0)
    strange = j.ProcessSeen(stage="detect", script="b", pid=8, started=1.0)
    end = j.ActionEnd(stage="detect", script="a", exit_code=0)
    begin = j.ActionBegin(stage="detect", script="a")
    (action,) = RunState.of(entries(START, begin, seen, strange, end)).stages[0].scripts
    assert (action.script, action.purpose, action.attempt) == ("a", "action", 1)
    assert (action.began, action.ended, action.ok, action.process) == (1002.0, 1005.0, True, seen)


@pytest.mark.parametrize(
    ("status", "done"), [("planned", False), ("running", False), ("pass", True), ("skipped", True)]
)
def test_a_stage_is_done_with_any_end(status: str, done: bool) -> None:
    """However it ended."""
    assert StageState(j.StagePlan(id="detect"), status=status).done is done


@pytest.mark.parametrize(
    ("events", "overdue"),
    [
        ((j.Overdue(stage="detect", budget_s=1),), True),
        ((j.StageEnd(stage="detect", status="pass", elapsed_s=1, overdue=True),), True),
        ((j.StageEnd(stage="detect", status="pass", elapsed_s=1),), False),
        (
            (
                j.Overdue(stage="detect", budget_s=1),
                j.StageEnd(stage="detect", status="pass", elapsed_s=1),
            ),
            True,
        ),
    ],
)
def test_a_stage_stays_overdue(events: tuple[j.RunEvent, ...], overdue: bool) -> None:
    """Whether that was told while it ran or at its end."""
    assert RunState.of(entries(START, *events)).stages[0].overdue is overdue


def test_a_stage_keeps_what_happened_in_it() -> None:
    """Verdicts by their place, words, notes, and how it ended."""
    state = RunState.of(
        entries(
            START,
            j.StageBegin(stage="drain"),
            j.WatchChange(stage="drain", index=1, kind="pod", verdict="pending", describe="0 pods"),
            j.WatchChange(stage="drain", index=1, kind="pod", verdict="unknown", detail="403"),
            j.NoteMade(stage="drain", text="waits"),
            j.Narrated(stage="drain", text="Drained."),
            j.StageEnd(
                stage="drain", status="timeout", elapsed_s=9.0, reason="late", continued=True
            ),
        )
    )
    drain = state.stages[1]
    assert (drain.began, drain.ended, drain.elapsed_s) == (1002.0, 1007.0, 9.0)
    assert (drain.status, drain.reason, drain.continued) == ("timeout", "late", True)
    assert (drain.watches, drain.watch_text) == ({1: Verdict("unknown", "403")}, {1: ""})
    assert [n.text for _, n in drain.notes] == [n.text for _, n in state.notes] == ["waits"]
    assert drain.narration == "Drained."
    assert state.failed_stage is None


def test_a_note_of_the_whole_run_makes_no_stage() -> None:
    """A stage that was not planned is added, so that nothing of it is lost."""
    state = RunState.of(
        entries(START, j.NoteMade(stage="", text="a"), j.NoteMade(stage="recover", text="b"))
    )
    assert [s.id for s in state.stages] == ["detect", "drain", "recover"]
    assert [n.text for _, n in state.notes] == ["a", "b"]
    assert state.stages[2].status == "planned"


def test_a_run_is_what_its_events_say() -> None:
    """Armed, then on its node; resumed, cancelled, finished; with all that was seen."""
    finish = j.Finish(ok=False, status="cancelled")
    cancel = j.CancelAsked(by="joe")
    checked = j.PrerequisiteChecked(name="p", ok=True)
    kept = j.EvidenceKept(path="node.json")
    told = j.Reported(stage="drain", line="notify target=x")
    output = j.Output(stage="drain", source="hook", stream="stdout", line="x")
    state = RunState.of(entries(j.Start(runbook="t", nickname="n"), j.Armed(waiting_for="XID")))
    assert (state.status, state.armed_for, state.target_node) == ("armed", "XID", "")
    for entry in entries(
        j.Start(runbook="t", nickname="n"),
        j.Armed(waiting_for="XID"),
        j.Target(target_node="n1", target_alias="keen-fox", reason="XID"),
        j.Baseline(boot_id="boot-1"),
        checked,
        kept,
        told,
        output,
        j.TimesSeen(times=Times(generated=5.0)),
        j.Resumed(owner="o", epoch=2),
        j.Resumed(owner="o", epoch=3),
        cancel,
    ):
        state.apply(entry)
    assert (state.status, state.target_node, state.target_alias) == ("running", "n1", "keen-fox")
    assert (state.began, state.boot_id, state.resumed) == (1001.0, "boot-1", 2)
    assert (state.prerequisites, state.evidence) == ([checked], [kept])
    assert (list(state.output), state.reported) == ([(1008.0, output)], [(1007.0, told)])
    assert (state.times.generated, state.cancelled, state.finish) == (5.0, cancel, None)
    state.apply(j.Entry("r", 13, 1050.0, finish))
    assert (state.status, state.finish, state.finished) == ("cancelled", finish, 1050.0)


@pytest.mark.parametrize(
    ("session", "text"),
    [
        (Session(ending="terminated", replaced_at=5.0), "the node was replaced, not repaired"),
        (Session(ending="terminated"), ""),
        (Session(ending="recovered", replaced_at=5.0), ""),
    ],
)
def test_a_replaced_node_was_not_repaired(session: Session, text: str) -> None:
    """Only a node that went, and came back as another machine, was replaced."""
    assert RunState.of(entries(START, j.SessionSeen(session=session))).replaced == text


def test_every_event_survives_its_line() -> None:
    """An entry read back from its JSONL line is the same entry."""
    session = j.SessionSeen(session=Session(key="k", states=(("quarantined", 1.5),)))
    for entry in entries(START, session, j.Finish(ok=True, status="passed", mttr_s=1.5)):
        assert entry_of(j.to_line(entry)) == entry


def test_a_line_has_the_public_head() -> None:
    """A JSONL line has v, event, run_id, seq and t, and says when it is replayed."""
    entry = entries(j.StageBegin(stage="detect"))[0]
    assert b"replayed" not in j.to_line(entry)
    line = j.to_line(entry, replayed=True)
    assert line == (
        b'{"v":1,"event":"stage_begin","run_id":"r","seq":1,"t":1001.0,"replayed":true,'
        b'"stage":"detect","title":"","repair":1}'
    )


def test_fields_of_a_newer_version_are_passed_over() -> None:
    """A reader knows nothing of fields that later versions add, and does not mind them."""
    assert j.decode_body(b'{"event":"stage_begin","stage":"detect","later":1}') == j.StageBegin(
        stage="detect"
    )


@given(st.text())
def test_any_text_survives_a_line(text: str) -> None:
    """Whatever a script prints stays one line and comes back the same."""
    body = j.Output(stage="s", source="hook", stream="stdout", line=text)
    try:
        line = j.to_line(j.Entry("r", 1, 1.0, body))
    except UnicodeEncodeError:
        return  # lone surrogates never reach a journal: output is decoded with replacement
    assert b"\n" not in line
    assert entry_of(line).body == body
