"""Resume after kill -9: the journal decides what is done, what is repeated, what is not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import fake_observer as build
from tests.fakes.fake_observer import NODE
from tests.fakes.fake_scripts import Behaviour
from tests.follow.harness import CHAIN, STATES, Story, runbook, statuses

from nvsx.core.errors import NodeClaimed, StaleOwner, StoreError, UsageError
from nvsx.core.incident.incident_events import RunJoined
from nvsx.core.journal import entries as j
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.ports import Fault, ScriptResult


@pytest.mark.parametrize("death", [2, 6, 7.5, 50, 95, 300, 599])
async def test_killed_in_any_stage_no_finished_hook_runs_again(
    tmp_path: Path, death: float
) -> None:
    """Killed at any time, the resumed run passes and every hook succeeds exactly once."""
    story = Story(tmp_path)
    await story.begin()
    life = asyncio.create_task(story.live())
    await story.clock.sleep(death)
    journal = await story.die()
    await story.clock.sleep(0.5)
    story.journal = journal
    await story.resume(journal)
    state = await story.finish()
    await life
    assert state.finish is not None
    assert state.finish.status == "passed"
    done = [c.script.path for c in story.scripts.calls if c.result is not None and c.result.ok]
    assert len(done) == len(set(done)) == 5


async def test_resumed_run_goes_on_at_its_stage(tmp_path: Path) -> None:
    """Stages that had ended are not begun again."""
    story = Story(tmp_path)
    await story.begin()
    life = asyncio.create_task(story.live())
    await story.clock.sleep(50)
    story.journal = await story.die()
    await story.resume(story.journal)
    await story.finish()
    await life
    events = [e.body for e in await story.journal.read(story.run_id)]
    begun = [b.stage for b in events if isinstance(b, j.StageBegin)]
    assert begun == [s["id"] for s in CHAIN]


async def test_a_hook_that_still_runs_is_waited_for(tmp_path: Path) -> None:
    """A hook of 8 s outlives nvsx, killed after 1 s: the next one waits for its end and does not
    start it again."""
    story = Story(tmp_path, runbook([{"id": "detect", "hook": "hooks/t/h.sh"}]))
    story.scripts.on("h.sh", Behaviour(seconds=8))
    await story.begin()
    await story.clock.sleep(1)
    story.journal = await story.die()
    story.scripts.survive("h.sh")
    await story.clock.sleep(2)
    await story.resume(story.journal)
    state = await story.finish()
    (call,) = story.scripts.ran("h.sh")
    assert not call.killed
    assert story.clock.elapsed == pytest.approx(8, abs=0.1)
    assert not state.degraded


async def test_an_overdue_hook_gets_its_end_though_the_stage_is_over_at_the_resume(
    tmp_path: Path,
) -> None:
    """nvsx dies while the overdue hook runs, after the drain and its own hook have ended: the next
    one records the overdue hook's end, and starts it no second time."""
    stage = {
        "id": "drain",
        "budget": "1m",
        "hook": "hooks/t/h.sh",
        "onOverdue": "hooks/t/late.sh",
        "watch": [{"kind": "nvsentinel-state", "state": "drain-succeeded"}],
    }
    story = Story(tmp_path, runbook([stage]))
    story.scripts.on("late.sh", Behaviour(seconds=20))
    story.set(story.fault("quarantined", "draining"))
    await story.begin()
    await story.clock.sleep(61)
    story.set(story.fault(*STATES[:3]))
    await story.clock.sleep(5)
    assert [story.scripts.ran(name) != [] for name in ("late.sh", "h.sh")] == [True, True]
    story.journal = await story.die()
    story.scripts.survive("late.sh")
    await story.resume(story.journal)
    state = await story.finish()
    (late,) = [s for s in state.stages[0].scripts if s.purpose == "overdue"]
    assert (late.ended is not None, late.exit_code) == (True, 0)
    assert len(story.scripts.ran("late.sh")) == 1
    assert state.stages[0].status == "pass"


@pytest.mark.parametrize(("code", "retries", "ran"), [(0, 0, 1), (0, 3, 1), (4, 0, 1), (4, 1, 2)])
async def test_a_hook_that_ended_meanwhile_is_not_run_again(
    tmp_path: Path, code: int, retries: int, ran: int
) -> None:
    """Its kept exit code counts as its end: only a failure with tries left has another one."""
    stage = {"id": "detect", "hook": "hooks/t/h.sh", "hookRetries": retries}
    story = Story(tmp_path, runbook([stage]))
    story.scripts.on("h.sh", Behaviour(seconds=8), Behaviour())
    await story.begin()
    await story.clock.sleep(1)
    story.journal = await story.die()
    end_file = story.scripts.calls[0].script.end_file
    story.scripts.ends[end_file] = ScriptResult(exit_code=code)
    await story.resume(story.journal)
    state = await story.finish()
    assert len(story.scripts.ran("h.sh")) == ran
    detect = state.stage("detect")
    assert detect is not None
    assert detect.scripts[0].exit_code == code


async def test_hook_cut_in_the_middle_is_stopped_and_repeated_with_its_key(tmp_path: Path) -> None:
    """A hook begun without an end: the orphan is stopped, then it runs with the same key."""
    story = Story(tmp_path, runbook([{"id": "detect", "hook": "hooks/t/h.sh"}]))
    story.scripts.on("h.sh", Behaviour(hang=True), Behaviour())
    await story.begin()
    await story.clock.sleep(1)
    story.journal = await story.die()
    story.scripts.survive("h.sh")
    await story.resume(story.journal)
    state = await story.finish()
    first, second = story.scripts.ran("h.sh")
    assert first.killed
    assert first.ended is not None
    assert first.ended <= second.begun
    assert first.key == second.key != ""
    assert second.script.facts["NVSX_ATTEMPT"] == "2"
    assert state.finish is not None
    assert state.finish.status == "passed"


async def test_action_cut_in_the_middle_is_not_repeated(tmp_path: Path) -> None:
    """An action that was cut fails its stage and says so; it never runs twice."""
    story = Story(tmp_path, runbook([{"id": "baseline", "action": {"script": "scripts/a.sh"}}]))
    story.scripts.on("a.sh", Behaviour(hang=True), Behaviour())
    await story.begin()
    await story.clock.sleep(1)
    story.journal = await story.die()
    await story.resume(story.journal)
    state = await story.finish()
    assert len(story.scripts.ran("a.sh")) == 1
    assert state.finish is not None
    assert state.finish.status == "failed"
    assert "not idempotent" in state.finish.reason


async def test_idempotent_action_is_repeated(tmp_path: Path) -> None:
    """An action marked idempotent runs again after it was cut."""
    action = {"script": "scripts/a.sh", "idempotent": True}
    story = Story(tmp_path, runbook([{"id": "baseline", "action": action}]))
    story.scripts.on("a.sh", Behaviour(hang=True), Behaviour())
    await story.begin()
    await story.clock.sleep(1)
    story.journal = await story.die()
    await story.resume(story.journal)
    state = await story.finish()
    assert len(story.scripts.ran("a.sh")) == 2
    assert state.finish is not None
    assert state.finish.status == "passed"


async def test_failure_hook_runs_once_across_a_crash(tmp_path: Path) -> None:
    """Killed between the failed stage and its failure hook, the hook still runs, once."""
    book = runbook(
        [
            {"id": "preflight"},
            {"id": "quarantine", "timeout": "1m", "watch": CHAIN[1]["watch"]},
            CHAIN[4],
        ],
        onFailure="hooks/t/on-failure.sh",
    )
    story = Story(tmp_path, book)
    story.scripts.on("on-failure.sh", Behaviour(seconds=5), Behaviour(seconds=5))
    await story.begin()
    await story.clock.sleep(62)
    story.journal = await story.die()
    await story.resume(story.journal)
    state = await story.finish()
    calls = story.scripts.ran("on-failure.sh")
    assert [c.result is not None for c in calls] == [False, True]
    assert state.finish is not None
    assert state.finish.status == "failed"


async def test_limits_count_from_the_stages_begin(tmp_path: Path) -> None:
    """A stage's limit goes on counting while nobody works the run."""
    story = Story(
        tmp_path, runbook([{"id": "quarantine", "timeout": "10m", "watch": CHAIN[1]["watch"]}])
    )
    await story.begin()
    await story.clock.sleep(60)
    story.journal = await story.die()
    await story.clock.sleep(300)
    await story.resume(story.journal)
    await story.finish()
    assert story.clock.elapsed == pytest.approx(600, abs=0.1)


async def test_session_that_ended_meanwhile_is_passed_unseen(tmp_path: Path) -> None:
    """What happened while nobody looked is skipped as passed unseen; recover still counts."""
    story = Story(tmp_path)
    await story.begin()
    await story.at(5, lambda: story.fault(*STATES[:2]))
    await story.clock.sleep(1)
    story.journal = await story.die()
    await story.at(700, story.recovered)
    await story.resume(story.journal)
    state = await story.finish()
    assert statuses(state)["recover"] == "pass"
    assert state.finish is not None
    assert state.finish.ok
    assert state.finish.mttr_s == pytest.approx(695, abs=1)  # the fault came at 5 s


async def test_one_run_per_node(tmp_path: Path) -> None:
    """A second run on the same node is refused, naming the first."""
    story = Story(tmp_path)
    await story.begin()
    await story.clock.sleep(1)
    with pytest.raises(NodeClaimed) as caught:
        await story.journal.create(NewRun(runbook="t", node=NODE, cluster="c"))
    assert caught.value.run_id == story.run_id
    assert story.runner is not None
    story.runner.cancel("test", "enough")
    await story.finish()


async def test_live_run_cannot_be_taken_over(tmp_path: Path) -> None:
    """Nobody resumes a run whose owner lives: no two copies at once."""
    story = Story(tmp_path)
    await story.begin()
    await story.clock.sleep(1)
    with pytest.raises((NodeClaimed, UsageError)):
        await story.journal.another().take_over(story.run_id)
    assert story.runner is not None
    story.runner.cancel("test", "enough")
    await story.finish()


async def test_stale_owner_stops(tmp_path: Path) -> None:
    """An owner that was taken over stops at its next write instead of going on."""
    story = Story(tmp_path)
    await story.begin()
    await story.clock.sleep(1)
    old = story.task
    assert old is not None
    other = story.journal.another()
    story.journal.kill()
    await other.take_over(story.run_id)
    story.set(story.fault("quarantined"))
    with pytest.raises(StaleOwner):
        await old


async def test_armed_run_remembers_its_fault_when_resumed(tmp_path: Path) -> None:
    """Killed after it took its node, an armed run still knows the event that fired it."""
    story = Story(tmp_path, runbook([{"id": "detect", "hook": "hooks/t/h.sh"}]), node="")
    story.scripts.on("h.sh", Behaviour(hang=True), Behaviour())
    await story.begin(matches=lambda _: True)
    await story.clock.sleep(1)
    story.observer.add_fault(build.fault())
    await story.clock.sleep(1)
    story.journal = await story.die()
    story.artifacts.files.clear()
    runner = await story.resume(story.journal)
    await story.finish()
    assert runner.run.trigger == build.fault().event
    assert b"RESTART_BM" in story.artifacts.files["event.json"]


async def test_resumed_armed_run_finds_the_fault_it_slept_through(tmp_path: Path) -> None:
    """A fault that appeared while nobody worked an armed run is not missed."""
    story = Story(tmp_path, runbook([{"id": "detect", "hook": "hooks/t/h.sh"}]), node="")
    await story.begin(matches=lambda _: True)
    await story.clock.sleep(1)
    story.journal = await story.die()
    story.observer.incidents = [build.fault(session_key="s")]
    await story.resume(story.journal, matches=lambda _: True)
    state = await story.finish()
    assert state.target_node == NODE
    assert state.finish is not None
    assert state.finish.status == "passed"


@pytest.mark.parametrize("incidents", [[build.fault(session_key="s")], []])
async def test_a_node_claimed_just_before_the_kill_is_gone_on_with(
    tmp_path: Path, incidents: list[Fault]
) -> None:
    """Killed between its claim on a node and the entry that tells of it, a run is on that node,
    whatever else is broken by then."""
    story = Story(tmp_path, runbook([{"id": "preflight"}, {"id": "postmortem"}]), node="")
    await story.begin(matches=lambda _: True)
    await story.clock.sleep(1)
    assert story.runner is not None
    await story.journal.claim(story.runner.run.lease, NODE)
    story.journal = await story.die()
    story.observer.incidents = [build.fault("gpu-node-b7"), *incidents]
    await story.resume(story.journal, matches=lambda _: True)
    state = await story.finish()
    assert state.target_node == NODE
    assert story.observer.followed[-1][0] == NODE
    assert state.finish is not None
    assert state.finish.status == "passed"


async def test_postmortem_after_a_long_outage_still_runs_its_action(tmp_path: Path) -> None:
    """An action that a late resume starts gets its stage's whole limit, not what is left."""
    action = {"script": "scripts/c.sh", "idempotent": True}
    story = Story(tmp_path, runbook([{"id": "postmortem", "action": action}]))
    story.scripts.on("c.sh", Behaviour(hang=True), Behaviour(seconds=60))
    await story.begin()
    await story.clock.sleep(1)
    story.journal = await story.die()
    await story.clock.sleep(7200)
    await story.resume(story.journal)
    state = await story.finish()
    assert story.scripts.ran("c.sh")[-1].script.timeout == 600
    assert state.finish is not None
    assert state.finish.status == "passed"


async def test_changed_runbook_is_told_on_resume(tmp_path: Path) -> None:
    """A run that goes on with another text of its runbook says so."""
    story = Story(tmp_path, runbook([{"id": "detect", "hook": "hooks/t/h.sh"}]))
    story.scripts.on("h.sh", Behaviour(hang=True), Behaviour())
    story.runbook_hash = "old"
    await story.begin()
    await story.clock.sleep(1)
    story.journal = await story.die()
    story.runbook_hash = "new"
    await story.resume(story.journal)
    state = await story.finish()
    assert state.start is not None
    assert state.start.runbook_hash == "old"
    assert [n.code for _, n in state.notes] == ["runbook-changed"]


async def test_failure_hook_of_postmortem_survives_a_kill(tmp_path: Path) -> None:
    """Killed in the failure hook of a failed postmortem, the hook runs again."""
    stage = {
        "id": "postmortem",
        "action": {"script": "scripts/c.sh"},
        "onFailure": "hooks/t/on-failure.sh",
    }
    story = Story(tmp_path, runbook([stage]))
    story.scripts.on("c.sh", Behaviour(exit_code=1))
    story.scripts.on("on-failure.sh", Behaviour(hang=True), Behaviour())
    await story.begin()
    await story.clock.sleep(1)
    story.journal = await story.die()
    await story.resume(story.journal)
    await story.finish()
    attempts = [c.script.facts["NVSX_ATTEMPT"] for c in story.scripts.ran("on-failure.sh")]
    assert attempts == ["1", "2"]


async def test_cancelled_run_stays_cancelled_when_resumed(tmp_path: Path) -> None:
    """Killed after somebody ended it, a run only does its postmortem: no later stage runs."""
    stages: list[dict[str, Any]] = [
        {"id": "detect", "hook": "hooks/t/a.sh"},
        {"id": "quarantine", "hook": "hooks/t/b.sh"},
        {"id": "postmortem", "action": {"script": "scripts/c.sh"}},
    ]
    story = Story(tmp_path, runbook(stages))
    story.scripts.on("a.sh", Behaviour(hang=True))
    story.scripts.on("c.sh", Behaviour(hang=True), Behaviour())
    runner = await story.begin()
    await story.clock.sleep(1)
    runner.cancel("operator", "Ctrl-C", 130)
    await story.clock.sleep(1)
    story.journal.fail_appends = StoreError("killed")
    story.journal = await story.die()
    written = story.journal._found(story.run_id).entries  # killed before it wrote any more
    asked_at = next(i for i, e in enumerate(written) if isinstance(e.body, j.CancelAsked))
    del written[asked_at + 1 :]
    await story.resume(story.journal)
    state = await story.finish()
    assert statuses(state) == {"detect": "cancelled", "quarantine": "skipped", "postmortem": "pass"}
    assert not story.scripts.ran("b.sh")
    assert len(story.scripts.ran("c.sh")) == 2
    assert state.finish is not None
    assert (state.finish.status, state.finish.exit_code) == ("cancelled", 130)
    asked = [e for e in await story.journal.read(story.run_id) if isinstance(e.body, j.CancelAsked)]
    assert len(asked) == 1


async def test_an_action_that_ended_meanwhile_is_not_cut(tmp_path: Path) -> None:
    """Its kept exit code is its end: the stage passes, though it may not be repeated."""
    action = {"script": "scripts/fix.sh"}
    story = Story(tmp_path, runbook([{"id": "inject", "action": action}]))
    story.scripts.on("fix.sh", Behaviour(seconds=8))
    await story.begin()
    await story.clock.sleep(1)
    story.journal = await story.die()
    end_file = story.scripts.calls[0].script.end_file
    story.scripts.ends[end_file] = ScriptResult(exit_code=0)
    await story.resume(story.journal)
    state = await story.finish()
    assert statuses(state) == {"inject": "pass"}
    assert len(story.scripts.calls) == 1


@pytest.mark.parametrize("by", [3600.0, -86_400.0])
async def test_a_wall_clock_that_was_set_meanwhile_stalls_no_limit(
    tmp_path: Path, by: float
) -> None:
    """A stage with a limit of 30 s, begun a day in the future: it ends 30 s after the resume at
    the latest."""
    wait = {"kind": "node-annotation", "key": "quarantineHealthEvent"}
    story = Story(tmp_path, runbook([{"id": "quarantine", "timeout": "30s", "watch": [wait]}]))
    await story.begin()
    await story.clock.sleep(10)
    story.journal = await story.die()
    story.clock.set_wall_clock(by)
    resumed = story.clock.now()
    await story.resume(story.journal)
    state = await story.finish()
    assert statuses(state)["quarantine"] == "timeout"
    assert story.clock.now() - resumed <= 31


async def test_preflight_passes_in_a_run_that_first_looks_when_its_incident_is_over(
    tmp_path: Path,
) -> None:
    """nvsx died between firing a run and its first stage, and a person closed the incident: that
    the node is there is true all the same. What is about the incident was not seen, and nobody is
    called for it."""
    chain = {"kind": "nvsentinel-state", "state": "quarantined"}
    book = runbook(
        [
            {"id": "preflight", "watch": [{"kind": "node", "field": "exists"}], "timeout": "2m"},
            {"id": "quarantine", "watch": [chain], "onFailure": "hooks/t/failed.sh"},
        ]
    )
    story = Story(tmp_path, book)
    await story.begin()
    story.journal = await story.die()
    await story.door.join(NODE, RunJoined(run_id=story.run_id))
    story.door.close_by("mara")
    await story.resume(story.journal)
    state = await story.finish()
    assert statuses(state) == {"preflight": "pass", "quarantine": "skipped"}
    assert story.scripts.calls == []
    assert story.clock.elapsed < 1
