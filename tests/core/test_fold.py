"""A run's state is a fold over its journal, and nothing else."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from nvsx.core.incident.session import Session
from nvsx.core.journal import entries as j
from nvsx.core.journal.fold import OUTPUT_KEPT, RunState


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


def test_every_event_survives_its_line() -> None:
    """An entry read back from its JSONL line is the same entry."""
    session = j.SessionSeen(session=Session(key="k", states=(("quarantined", 1.5),)))
    for entry in entries(START, session, j.Finish(ok=True, status="passed", mttr_s=1.5)):
        assert entry_of(j.to_line(entry)) == entry


def test_a_line_has_the_public_head() -> None:
    """A JSONL line has v, event, run_id, seq and t, and says when it is replayed."""
    entry = entries(j.StageBegin(stage="detect"))[0]
    line = j.to_line(entry, replayed=True)
    assert line == (
        b'{"v":1,"event":"stage_begin","run_id":"r","seq":1,"t":1001.0,"replayed":true,'
        b'"stage":"detect","title":""}'
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
