"""One run along NVSentinel's chain, from fault to release, and the ways it goes wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as build
from tests.fakes.fake_observer import NODE
from tests.fakes.fake_scripts import Behaviour
from tests.fakes.virtual_clock import VirtualClock
from tests.follow.harness import CHAIN, STATES, Story, runbook, statuses

from nvsx.core.errors import StoreError
from nvsx.core.incident.session import Session
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.watches.snapshot import Note
from nvsx.follow.run_request import Patience


async def test_chain_passes_with_time_to_repair(tmp_path: Path) -> None:
    """A whole incident passes every stage and reports generated → un-quarantined."""
    story = Story(tmp_path)
    await story.begin()
    life = asyncio.create_task(story.live())
    state = await story.finish()
    await life
    assert set(statuses(state).values()) == {"pass"}
    assert state.finish is not None
    assert (state.finish.status, state.finish.exit_code) == ("passed", 0)
    assert state.finish.mttr_s == pytest.approx(600, abs=0.01)


async def test_journal_has_no_gaps_and_views_see_all(tmp_path: Path) -> None:
    """Sequence numbers count from 1 without a gap, and a view is shown each entry once."""
    story = Story(tmp_path)
    await story.begin()
    life = asyncio.create_task(story.live())
    await story.finish()
    await life
    seqs = [e.seq for e in story.view.entries]
    assert seqs == list(range(1, len(seqs) + 1))
    assert [e.seq for e in await story.journal.read(story.run_id)] == seqs


async def test_hooks_run_once_each_in_stage_order(tmp_path: Path) -> None:
    """Every stage's hook runs once, in order, and the postmortem action after all."""
    story = Story(tmp_path)
    await story.begin()
    life = asyncio.create_task(story.live())
    await story.finish()
    await life
    assert [c.script.path for c in story.scripts.calls] == [
        "/project/runbooks/hooks/t/on-detect.sh",
        "/project/runbooks/hooks/t/on-quarantine.sh",
        "/project/runbooks/hooks/t/on-remediate.sh",
        "/project/runbooks/hooks/t/on-recover.sh",
        "/project/scripts/collect.sh",
    ]


async def test_detect_hook_starts_when_the_condition_shows(tmp_path: Path) -> None:
    """The detect hook begins at the moment the condition appears, not later."""
    story = Story(tmp_path)
    await story.begin()
    life = asyncio.create_task(story.live())
    await story.finish()
    await life
    assert story.scripts.ran("on-detect.sh")[0].begun == pytest.approx(story.begin_at + 5)


async def test_recover_hook_is_told_the_time_to_repair(tmp_path: Path) -> None:
    """NVSX_MTTR_MS is empty before recover and has the time to repair from recover on."""
    story = Story(tmp_path)
    await story.begin()
    life = asyncio.create_task(story.live())
    await story.finish()
    await life
    facts = {c.script.facts["NVSX_STAGE"]: c.script.facts for c in story.scripts.calls}
    assert facts["remediate"]["NVSX_MTTR_MS"] == ""
    assert facts["recover"]["NVSX_MTTR_MS"] == "600000"
    assert facts["postmortem"]["NVSX_MTTR_MS"] == "600000"


async def test_refused_signal_fails_at_once(tmp_path: Path) -> None:
    """A refused reboot signal fails remediate at once with that cause; later stages skip."""
    story = Story(tmp_path, runbook(CHAIN, onFailure="hooks/t/on-failure.sh"))
    await story.begin()
    await story.at(5, lambda: story.fault(*STATES[:3]))
    refused = story.reboot(
        ("SignalSent", "False", "Failed"), ("NodeReady", "Unknown", "Initializing")
    )
    refused = msgspec.structs.replace(refused, completed=story.clock.now())
    await story.at(20, lambda: story.fault(*STATES, resources=(refused,)))
    state = await story.finish()
    assert statuses(state)["remediate"] == "fail"
    assert statuses(state)["recover"] == "skipped"
    assert statuses(state)["postmortem"] == "pass"
    assert state.finish is not None
    assert "signal refused" in state.finish.reason
    assert state.finish.mttr_s is None
    assert story.clock.elapsed == pytest.approx(20, abs=1)
    failure = story.scripts.ran("on-failure.sh")[0].script.facts
    assert (failure["NVSX_FAILED_STAGE"], failure["NVSX_RUN_STATUS"]) == ("remediate", "failed")


async def test_manual_uncordon_is_no_recovery(tmp_path: Path) -> None:
    """A session cancelled by hand fails the run even where the marks of the fault are gone."""
    story = Story(tmp_path)
    await story.begin()
    await story.at(5, lambda: story.fault(*STATES[:2]))
    session = build.ended(story.session(*STATES[:2]), story.clock.now() + 10, ending="cancelled")
    session = msgspec.structs.replace(session, ending_detail="cancelled by a manual uncordon")
    await story.at(15, lambda: story.snap(session=session))
    state = await story.finish()
    assert state.finish is not None
    assert state.finish.status == "failed"
    assert "cancelled by a manual uncordon" in state.finish.reason
    assert state.finish.mttr_s is None


async def test_old_reboot_does_not_count(tmp_path: Path) -> None:
    """Last week's finished RebootNode satisfies nothing; this incident's does."""
    story = Story(tmp_path)
    old = build.resource(
        ("SignalSent", "True", "Succeeded"),
        ("NodeReady", "True", "Succeeded"),
        name=f"maintenance-{NODE}-11a5f2e71c9d4b0012ab34cd",
        created=story.begin_at - 7 * 86400,
        completed=story.begin_at - 7 * 86400 + 600,
    )
    await story.begin()
    await story.at(5, lambda: story.fault(*STATES, resources=(old,)))
    await story.clock.sleep(60)
    assert (await story.state()).stage("remediate").status == "running"  # type: ignore[union-attr]
    assert story.runner is not None
    story.runner.cancel("test", "enough")
    await story.finish()


async def test_late_start_is_satisfied_by_the_session(tmp_path: Path) -> None:
    """Begun after remediation-succeeded with the condition cleared: stages pass by evidence."""
    story = Story(tmp_path)
    done = story.reboot(("SignalSent", "True", "Succeeded"), ("NodeReady", "True", "Succeeded"))
    good = build.node(
        conditions=(build.condition(healthy=True),),
        cordoned=True,
        annotations={"quarantineHealthEvent": "[]"},
    )
    story.set(
        story.snap(of=good, session=story.session("remediation-succeeded"), resources=(done,))
    )
    await story.begin()
    await story.at(30, lambda: story.recovered(resources=(done,)))
    state = await story.finish()
    assert set(statuses(state).values()) == {"pass"}
    detect = state.stage("detect")
    assert detect is not None
    assert "proven by the session" in detect.watches[0].detail


async def test_begun_after_recovery_is_passed_unseen(tmp_path: Path) -> None:
    """Begun when all is over: early stages are skipped as passed unseen, recover passes."""
    story = Story(tmp_path)
    session = build.ended(story.session(*STATES), story.begin_at - 60, ending="recovered")
    story.set(story.snap(session=session))
    await story.begin()
    state = await story.finish()
    assert statuses(state)["detect"] == "skipped"
    assert statuses(state)["recover"] == "pass"
    assert "passed unseen" in state.stages[0].reason
    assert state.finish is not None
    assert state.finish.ok


async def test_end_told_by_labels_alone_is_passed_unseen(tmp_path: Path) -> None:
    """A session known only by its end (lingering uncordon labels) counts when it is recent."""
    story = Story(tmp_path)
    end = story.begin_at - 60
    story.set(story.snap(session=Session(ended_at=end, ending="recovered", previous_end=end)))
    await story.begin()
    state = await story.finish()
    assert [s.status for s in state.stages[:4]] == ["skipped"] * 4
    assert state.finish is not None
    assert (state.finish.status, state.finish.mttr_s) == ("passed", None)


async def test_drill_waits_for_a_fault_of_its_own(tmp_path: Path) -> None:
    """A drill never takes a session that ended before it began for its own."""
    story = Story(tmp_path, drill=True, fresh=True)
    end = story.begin_at - 60
    story.set(story.snap(session=Session(ended_at=end, ending="recovered", previous_end=end)))
    await story.begin()
    life = asyncio.create_task(story.live())
    state = await story.finish()
    await life
    assert set(statuses(state).values()) == {"pass"}


async def test_condition_without_quarantine_reports_when_it_cleared(tmp_path: Path) -> None:
    """On a monitor-only install there is no time to repair, only when the condition cleared."""
    book = runbook([CHAIN[0], {"id": "recover", "watch": CHAIN[4]["watch"][:1]}])
    story = Story(tmp_path, book, event=build.health_event(generated_at=VirtualClock().now()))
    await story.begin()
    await story.at(5, story.fault)
    good = build.condition(healthy=True, at=story.begin_at + 400)
    await story.at(400, lambda: story.snap(of=build.node(conditions=(good,))))
    state = await story.finish()
    assert state.finish is not None
    assert state.finish.mttr_s is None
    assert state.finish.condition_cleared_s == pytest.approx(400, abs=1)


async def test_last_weeks_session_is_not_this_run(tmp_path: Path) -> None:
    """A session that ended long ago leaves the run waiting for the next fault."""
    story = Story(tmp_path)
    old = build.ended(
        story.session(*STATES, key="old"), story.begin_at - 7 * 86400, ending="recovered"
    )
    story.set(story.snap(session=old))
    await story.begin()
    await story.clock.sleep(3600)
    state = await story.state()
    assert state.stage("detect").status == "running"  # type: ignore[union-attr]
    assert state.session.key == ""
    assert story.runner is not None
    story.runner.cancel("test", "enough")
    await story.finish()


async def test_timeout_names_what_was_awaited(tmp_path: Path) -> None:
    """A stage that stays pending ends at its limit, saying what it waited for."""
    stages = [{"id": "quarantine", "timeout": "2m", "watch": CHAIN[1]["watch"]}]
    story = Story(tmp_path, runbook(stages))
    await story.begin()
    state = await story.finish()
    assert story.clock.elapsed == pytest.approx(120)
    assert state.stages[0].status == "timeout"
    assert "NVSentinel's state" in state.stages[0].reason or "quarantined" in state.stages[0].reason


async def test_timeout_may_go_on(tmp_path: Path) -> None:
    """`onTimeout: continue` ends the stage as timed out, and the run passes."""
    stages = [
        {"id": "quarantine", "timeout": "2m", "onTimeout": "continue", "watch": CHAIN[1]["watch"]},
        {"id": "recover", "watch": [{"kind": "node", "field": "ready"}]},
    ]
    story = Story(tmp_path, runbook(stages))
    await story.begin()
    state = await story.finish()
    assert statuses(state) == {"quarantine": "timeout", "recover": "pass"}
    assert state.finish is not None
    assert state.finish.ok


async def test_overdue_fires_its_hook_once_and_goes_on(tmp_path: Path) -> None:
    """A drain longer than its budget is marked overdue, its hook fires once, the run goes on."""
    stages = [
        {
            "id": "drain",
            "budget": "1m",
            "onOverdue": "hooks/t/on-overdue.sh",
            "watch": [{"kind": "nvsentinel-state", "state": "drain-succeeded"}],
        }
    ]
    story = Story(tmp_path, runbook(stages))
    story.set(story.fault("quarantined", "draining"))
    await story.begin()
    await story.at(600, lambda: story.fault(*STATES[:3]))
    state = await story.finish()
    assert state.stages[0].overdue
    assert state.stages[0].status == "pass"
    assert [c.begun - story.begin_at for c in story.scripts.ran("on-overdue.sh")] == [60.0]


async def test_waiting_says_why_once(tmp_path: Path) -> None:
    """While a stage waits, each reason is noted once, with its remedy."""
    story = Story(tmp_path)
    story.observer.notes["*"] = [Note("breaker-tripped", "the breaker is tripped", "reset it")]
    await story.begin()
    await story.clock.sleep(300)
    notes = [n for _, n in (await story.state()).notes]
    assert [(n.code, n.remedy) for n in notes] == [("breaker-tripped", "reset it")]
    assert story.runner is not None
    story.runner.cancel("test", "enough")
    await story.finish()


async def test_unknown_store_is_said_not_guessed(tmp_path: Path) -> None:
    """A watch on an unreadable source is unknown with the reason, and times out saying so."""
    stages = [
        {"id": "detect", "timeout": "1m", "watch": [{"kind": "health-event", "check": "X"}]},
    ]
    story = Story(tmp_path, runbook(stages))
    story.set(story.snap(unread={"health-events": "no store configured"}))
    await story.begin()
    state = await story.finish()
    assert state.stages[0].watches[0].kind == "unknown"
    assert "no store configured" in state.stages[0].reason


async def test_blind_run_does_not_time_out(tmp_path: Path) -> None:
    """While the node cannot be read the limit passes nothing; the first look decides."""
    stages = [{"id": "quarantine", "timeout": "1m", "watch": CHAIN[1]["watch"]}]
    story = Story(tmp_path, runbook(stages))
    story.set(story.snap(unread={"node": "the API server does not answer"}))
    await story.begin()
    await story.at(300, lambda: story.fault("quarantined"))
    state = await story.finish()
    assert state.stages[0].status == "pass"


async def test_evidence_is_kept_at_every_transition(tmp_path: Path) -> None:
    """The node's objects are kept when a stage ends, beside the run, and once where the run ends
    with it."""
    story = Story(tmp_path)
    story.observer.files[NODE] = {"node.json": b"{}"}
    await story.begin()
    life = asyncio.create_task(story.live())
    state = await story.finish()
    await life
    kept = [e.path for e in state.evidence if e.path.endswith("node.json")]
    moments = [p.split("/")[1].split("-", 1)[1] for p in kept]
    assert {*moments} >= {"detect-pass", "quarantine-pass", "recover-pass"}
    assert [m for m in moments if m.startswith("postmortem")] == ["postmortem-pass"]
    assert set(kept) <= set(story.artifacts.files)


async def test_impact_lists_pods_as_of_quarantine(tmp_path: Path) -> None:
    """impact.json has the pods that were on the node when it was quarantined."""
    story = Story(tmp_path)
    await story.begin()
    pods = (build.pod("train-0", owner="Job/train"),)
    await story.at(5, lambda: story.fault("quarantined", pods=pods))
    await story.clock.sleep(1)
    assert story.runner is not None
    story.runner.cancel("test", "enough")
    await story.finish()
    impact = msgspec.json.decode(story.artifacts.files["impact.json"])
    assert [(p["name"], p["gpus"], p["owner"]) for p in impact["pods"]] == [
        ("train-0", 8, "Job/train")
    ]


async def test_failed_hook_degrades_and_run_goes_on(tmp_path: Path) -> None:
    """A failing hook leaves the run passed and degraded."""
    story = Story(tmp_path)
    story.scripts.on("on-detect.sh", Behaviour(exit_code=3))
    await story.begin()
    life = asyncio.create_task(story.live())
    state = await story.finish()
    await life
    assert state.finish is not None
    assert (state.finish.status, state.finish.degraded) == ("passed", True)


async def test_strict_turns_a_failed_hook_into_a_failure(tmp_path: Path) -> None:
    """With --strict a failing hook fails the run."""
    story = Story(tmp_path, strict=True)
    story.scripts.on("on-detect.sh", Behaviour(exit_code=3))
    await story.begin()
    await story.at(5, story.fault)
    state = await story.finish()
    assert state.finish is not None
    assert (state.finish.status, state.finish.exit_code) == ("failed", 1)


async def test_hook_retries_until_it_succeeds(tmp_path: Path) -> None:
    """hookRetries repeats a failing hook with the same idempotency key; success undoes it."""
    stages = [{"id": "detect", "hook": "hooks/t/h.sh", "hookRetries": 2}]
    story = Story(tmp_path, runbook(stages))
    story.scripts.on("h.sh", Behaviour(exit_code=1), Behaviour(exit_code=1), Behaviour())
    await story.begin()
    state = await story.finish()
    calls = story.scripts.ran("h.sh")
    assert [c.script.facts["NVSX_ATTEMPT"] for c in calls] == ["1", "2", "3"]
    assert len({c.key for c in calls}) == 1
    assert state.finish is not None
    assert not state.finish.degraded


async def test_missing_expected_text_fails_the_stage(tmp_path: Path) -> None:
    """An action that does not print what the stage expects fails it."""
    stages = [{"id": "baseline", "action": {"script": "scripts/a.sh"}, "expect": ["OK"]}]
    story = Story(tmp_path, runbook(stages))
    story.scripts.on("a.sh", Behaviour(lines=("nearly",)))
    await story.begin()
    state = await story.finish()
    assert state.stages[0].status == "fail"
    assert "did not print 'OK'" in state.stages[0].reason


async def test_action_arguments_are_expanded_without_a_shell(tmp_path: Path) -> None:
    """`$NVSX_…` in an action's arguments is replaced; anything else stays as written."""
    action = {
        "script": "scripts/a.sh",
        "args": ["--node=$NVSX_TARGET_NODE", "$(rm -rf /)", "$HOME"],
    }
    story = Story(tmp_path, runbook([{"id": "baseline", "action": action}]))
    await story.begin()
    await story.finish()
    assert story.scripts.calls[0].script.args == (f"--node={NODE}", "$(rm -rf /)", "$HOME")


async def test_unmet_prerequisite_by_hand_runs_no_stage(tmp_path: Path) -> None:
    """By hand an unmet prerequisite ends the run with exit code 3 and runs nothing."""
    book = runbook(CHAIN, prerequisites=[{"name": "fq", "deployment": "fault-quarantine"}])
    story = Story(tmp_path, book)
    story.observer.ready["deployment", "fault-quarantine"] = (False, "0 of 1 ready")
    await story.begin()
    state = await story.finish()
    assert state.finish is not None
    assert (state.finish.status, state.finish.exit_code) == ("failed", 3)
    assert "0 of 1 ready" in state.finish.reason
    assert story.scripts.calls == []
    assert "run.json" in story.artifacts.files


async def test_unmet_prerequisite_in_the_daemon_degrades(tmp_path: Path) -> None:
    """Fired by an event, an unmet prerequisite is noted and the run goes on degraded."""
    book = runbook(
        [{"id": "preflight"}], prerequisites=[{"name": "fq", "deployment": "fault-quarantine"}]
    )
    story = Story(tmp_path, book, by_hand=False)
    story.observer.ready["deployment", "fault-quarantine"] = (False, "0 of 1 ready")
    await story.begin()
    state = await story.finish()
    assert state.finish is not None
    assert (state.finish.status, state.finish.degraded) == ("passed", True)


async def test_armed_run_takes_the_first_matching_fault(tmp_path: Path) -> None:
    """Without a node the run is armed: no hook runs until a fault its triggers match."""
    story = Story(tmp_path, runbook([{"id": "detect", "hook": "hooks/t/h.sh"}]), node="")
    await story.begin(matches=lambda f: "79" in f.event.error_codes)
    await story.observer.until_listening()
    story.observer.add_fault(build.fault(error_codes=("31",)))
    await story.clock.sleep(60)
    assert (await story.state()).status == "armed"
    assert story.scripts.calls == []
    story.observer.add_fault(build.fault())
    state = await story.finish()
    assert state.target_node == NODE
    assert story.scripts.calls[0].script.facts["NVSX_TARGET_NODE"] == NODE


async def test_cancel_stops_the_script_and_runs_postmortem(tmp_path: Path) -> None:
    """A cancel kills the running hook, ends the stage as cancelled, and runs postmortem."""
    stages = [{"id": "detect", "hook": "hooks/t/h.sh", "hookTimeout": "1h"}, CHAIN[-1]]
    story = Story(tmp_path, runbook(stages))
    story.scripts.on("h.sh", Behaviour(hang=True))
    await story.begin()
    await story.clock.sleep(5)
    assert story.runner is not None
    story.runner.cancel("operator", "Ctrl-C", 130)
    state = await story.finish()
    assert statuses(state) == {"detect": "cancelled", "postmortem": "pass"}
    assert story.scripts.ran("h.sh")[0].killed
    assert state.finish is not None
    assert (state.finish.status, state.finish.exit_code) == ("cancelled", 130)


async def test_cancel_while_armed_ends_the_run(tmp_path: Path) -> None:
    """An armed run can be cancelled: nothing has run, postmortem neither, as it has no node."""
    story = Story(tmp_path, node="")
    await story.begin(matches=lambda _: False)
    await story.observer.until_listening()
    assert story.runner is not None
    story.runner.cancel("operator", "Ctrl-C", 130)
    state = await story.finish()
    assert state.finish is not None
    assert state.finish.status == "cancelled"
    assert story.scripts.calls == []
    last = state.stage("postmortem")
    assert last is not None
    assert (last.status, last.reason) == ("skipped", "no node was ever targeted")


async def test_every_journalled_entry_is_shown(tmp_path: Path) -> None:
    """What quick hooks print reaches the views, and the folded state, as it does the journal."""
    stages = [{"id": s, "hook": "hooks/t/h.sh"} for s in ("preflight", "detect", "quarantine")]
    story = Story(tmp_path, runbook(stages))
    story.scripts.on("h.sh", Behaviour(lines=("one", "two")))
    slow = story.journal.append

    async def append(*args: Any, **options: Any) -> Any:
        entries = await slow(*args, **options)
        await story.clock.sleep(0.01)  # committed, but not yet answered
        return entries

    story.journal.append = append  # type: ignore[method-assign]
    runner = await story.begin()
    await story.finish()
    written = await story.journal.read(story.run_id)
    assert story.view.entries == list(written)
    assert runner.run.state.seq == len(written)


async def test_event_file_has_the_sessions_first_event_without_a_payload(tmp_path: Path) -> None:
    """By hand nobody sends an event: a hook finds the session's first one once it is seen."""
    story = Story(tmp_path)
    await story.begin()
    life = asyncio.create_task(story.live())
    await story.clock.sleep(1)
    assert story.artifacts.files["event.json"] == b"{}"
    await story.finish()
    await life
    told = msgspec.json.decode(story.artifacts.files["event.json"])
    assert (told["check"], told["action"], told["strategy"]) == (
        "SysLogsXIDError",
        "RESTART_BM",
        "EXECUTE_REMEDIATION",
    )


async def test_artifact_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    """A full disk under the artifacts is noted; the run passes all the same."""
    story = Story(tmp_path)
    story.artifacts.broken = StoreError("the disk is full", "free some space there")
    await story.begin()
    life = asyncio.create_task(story.live())
    state = await story.finish()
    await life
    assert state.finish is not None
    assert state.finish.status == "passed"
    lost = [n for _, n in state.notes if n.code == "evidence-lost"]
    assert {(n.text, n.remedy) for n in lost} == {
        ("evidence was not kept: the disk is full", "free some space there")
    }


async def test_whatever_breaks_in_a_stage_postmortem_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect of nvsx in a stage fails it with its words; failure hook and postmortem run."""
    story = Story(tmp_path, runbook(CHAIN, onFailure="hooks/t/on-failure.sh"))
    await story.begin()

    def broken(*_: object) -> int:
        raise ZeroDivisionError("a defect")

    await story.clock.sleep(1)
    assert story.runner is not None
    monkeypatch.setattr(story.runner.run.ports.chain, "state_rank", broken)
    await story.at(5, lambda: story.fault(*STATES[:1]))
    state = await story.finish()
    assert state.finish is not None
    assert state.finish.status == "failed"
    assert "a defect" in state.finish.reason
    assert story.scripts.ran("on-failure.sh")
    assert story.scripts.ran("collect.sh")


async def test_hooks_without_a_limit_of_their_own_get_the_projects(tmp_path: Path) -> None:
    """`hooks.timeout` of the project bounds hooks whose stage says no `hookTimeout`."""
    stages = [
        {"id": "detect", "hook": "hooks/t/a.sh"},
        {"id": "quarantine", "hook": "hooks/t/b.sh", "hookTimeout": "7s"},
    ]
    story = Story(tmp_path, runbook(stages))
    story.patience = Patience(hook_timeout=90)
    await story.begin()
    await story.finish()
    assert [c.script.timeout for c in story.scripts.calls] == [90, 7]


async def test_armed_run_whose_node_is_taken_ends_with_a_usage_error(tmp_path: Path) -> None:
    """An armed run by hand whose fault another run of its runbook has: exit 2, naming that run."""
    story = Story(tmp_path, node="")
    other = await story.journal.create(NewRun(runbook="t", cluster="c", node=NODE))
    await story.begin(matches=lambda _: True)
    await story.clock.sleep(1)
    story.observer.add_fault(build.fault())
    state = await story.finish()
    assert state.finish is not None
    assert state.finish.exit_code == 2
    assert other.run_id in state.finish.reason


async def test_cancel_during_postmortem_is_answered(tmp_path: Path) -> None:
    """Asked to end while postmortem runs, a run finishes it, keeps its outcome, and says so."""
    stage = {"id": "postmortem", "action": {"script": "scripts/collect.sh"}}
    story = Story(tmp_path, runbook([stage]))
    story.scripts.on("collect.sh", Behaviour(seconds=60))
    runner = await story.begin()
    await story.clock.sleep(10)
    runner.cancel("operator", "Ctrl-C", 130)
    state = await story.finish()
    assert state.finish is not None
    assert (state.finish.status, state.finish.exit_code) == ("passed", 0)
    assert not story.scripts.calls[0].killed
    assert [n.code for _, n in state.notes] == ["cancel-late"]
