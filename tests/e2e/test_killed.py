"""kill -9 of a real process: what the next one finds, repeats and leaves alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.live import (
    CHAIN,
    HOOK,
    STAGES,
    STEP_BEFORE,
    Live,
    Project,
    running,
    until,
)

pytestmark = [pytest.mark.kubectl, pytest.mark.slow, pytest.mark.timeout(240)]

#: An action that says it ran, and stays while the test holds it.
ACTION = """
echo "act $NVSX_STAGE $NVSX_IDEMPOTENCY_KEY $NVSX_ATTEMPT $$" >>"$NVSX_PROJECT_ROOT/log"
while [ -e "$NVSX_PROJECT_ROOT/hold/$NVSX_STAGE" ]; do sleep 0.05; done
"""

#: What a script has from its beginning: one that outlives nvsx is waited for so long. It must be
#: enough for a busy machine to kill nvsx in it.
TIME_OF_SCRIPTS = "10s"


async def test_killed_twice_in_every_stage_it_still_passes(live: Live) -> None:
    """Killed in each stage, while it watches and again in its hook, the resumed run passes:
    finished hooks never run again, one that is over its time is stopped, then repeated with its
    key."""
    live.project.script("runbooks/hooks/t/hook.sh", HOOK)
    hook = {"hook": "hooks/t/hook.sh", "hookTimeout": TIME_OF_SCRIPTS}
    book = live.project.runbook([stage | hook for stage in CHAIN])
    live.steps.hold(*STEP_BEFORE.values())
    holds = {stage: live.project.hold(stage) for stage in STAGES}
    run = await live.run(book)
    await run.until("stage_begin", stage="preflight")
    await live.inject()
    for stage in STAGES:
        if stage in STEP_BEFORE:
            await run.until("stage_begin", stage=stage)
            await run.kill()
            run = await live.resume(book, run.run_id)
            await run.until("resumed")
            live.steps.go(STEP_BEFORE[stage])
        cut = await _begun(live, stage)
        await run.kill()
        assert running(cut)
        run = await live.resume(book, run.run_id)
        await run.until("hook_begin", stage=stage, attempt=2)
        assert not running(cut)
        holds[stage].unlink()
    assert await run.end() == 0
    assert run.statuses() == dict.fromkeys(STAGES, "pass")
    for stage in STAGES:
        begun = [b for b in live.project.log("begin") if b[1] == stage]
        ended = [e for e in live.project.log("end") if e[1] == stage]
        assert [b[3] for b in begun] == ["1", "2"]
        assert len({b[2] for b in begun}) == 1
        assert [e[3] for e in ended] == ["2"]
    await live.nothing_left()


async def _begun(live: Live, stage: str) -> int:
    """The process of the stage's hook, once it has said that it runs."""

    def begins() -> list[list[str]]:
        return [b for b in live.project.log("begin") if b[1] == stage]

    return int((await until(begins, f"hook of {stage} begins"))[-1][4])


@pytest.mark.parametrize("idempotent", [False, True])
async def test_cut_action_is_repeated_only_when_it_says_so(live: Live, idempotent: bool) -> None:
    """kill -9 in an action that does not end within its time: it is stopped, and repeated only if
    idempotent; else the stage fails and says why."""
    live.project.script("scripts/act.sh", ACTION)
    action: dict[str, Any] = {"script": "scripts/act.sh", "idempotent": idempotent}
    stage = {"id": "baseline", "action": action, "timeout": TIME_OF_SCRIPTS}
    book = live.project.runbook([stage, {"id": "postmortem"}])
    hold = live.project.hold("baseline")
    run = await live.run(book)
    await until(lambda: live.project.log("act"), "the action runs")
    await run.kill()
    cut = int(live.project.log("act")[0][4])
    again = await live.resume(book, run.run_id)
    await until(lambda: not running(cut), "the action is stopped")
    hold.unlink()
    code = await again.end()
    if idempotent:
        assert (code, again.finish["status"]) == (0, "passed")
        assert [a[3] for a in live.project.log("act")] == ["1", "2"]
        assert len({a[2] for a in live.project.log("act")}) == 1
    else:
        assert (code, again.finish["status"]) == (1, "failed")
        assert "cut in the middle" in again.finish["reason"]
        assert len(live.project.log("act")) == 1


async def test_action_that_goes_on_without_nvsx_is_waited_for(live: Live) -> None:
    """kill -9 in an action that then ends by itself: its end counts, and it is not repeated."""
    live.project.script("scripts/act.sh", ACTION)
    action: dict[str, Any] = {"script": "scripts/act.sh", "idempotent": True}
    book = live.project.runbook([{"id": "baseline", "action": action}, {"id": "postmortem"}])
    hold = live.project.hold("baseline")
    run = await live.run(book)
    await until(lambda: live.project.log("act"), "the action runs")
    await run.kill()
    assert running(int(live.project.log("act")[0][4]))
    again = await live.resume(book, run.run_id)
    await again.until("resumed")
    hold.unlink()
    assert (await again.end(), again.finish["status"]) == (0, "passed")
    assert len(live.project.log("act")) == 1


async def test_action_that_had_ended_is_not_repeated(live: Live) -> None:
    """Killed after its action, while it watches, a stage goes on without acting again."""
    live.project.script("scripts/act.sh", ACTION)
    watch = {"kind": "node-condition", "type": "SysLogsXIDError"}
    book = live.project.runbook(
        [{"id": "baseline", "action": {"script": "scripts/act.sh"}, "watch": [watch]}]
    )
    run = await live.run(book)
    await run.until("action_end")
    await run.until("watch", verdict="pending")
    await run.kill()
    again = await live.resume(book, run.run_id)
    await again.until("resumed")
    await live.inject()
    assert await again.end() == 0
    assert len(live.project.log("act")) == 1


async def test_of_two_resumes_one_works(live: Live) -> None:
    """Two processes resume one run at once: one goes on, the other exits 2 and names it."""
    book = live.project.chain()
    hold = live.project.hold("preflight")
    first = await live.run(book)
    await first.until("process")
    await first.kill()
    both = await asyncio.gather(*(live.resume(book, first.run_id) for _ in range(2)))
    await until(lambda: [r for r in both if r.process.returncode is not None], "one gives up")
    loser, winner = sorted(both, key=lambda r: r.process.returncode is None)
    assert await loser.end() == 2
    assert f"run {first.run_id}" in loser.err
    assert not loser.of("resumed")
    await live.inject()
    hold.unlink()
    assert await winner.end() == 0
    assert [e[1] for e in live.project.log("end")] == list(STAGES)


async def test_kill_takes_kubectl_along(live: Live) -> None:
    """After kill -9 no kubectl of nvsx lives on, and its socket is gone."""
    run = await live.run(live.project.chain())
    await run.until("watch", stage="detect")
    words = [word for p in live.processes() for word in p.cmdline()]
    socket = next(Path(w.partition("=")[2]) for w in words if w.startswith("--unix-socket="))
    assert socket.is_socket()
    await run.kill()
    await live.nothing_left()
    assert not socket.parent.exists()


async def test_resume_from_another_project_is_refused(live: Live) -> None:
    """--resume never goes on with the scripts of another project; it says where to go."""
    book = live.project.chain()
    run = await live.run(book)
    await run.until("watch", stage="detect")
    await run.kill()
    other = Project(live.folder / "other")
    other.chain()
    env = live.env(NVSX_PROJECT_ROOT=str(other.root))
    refused = await live.done("run", book, "--resume", run.run_id, env=env)
    assert refused.process.returncode == 2
    assert f"is of the project {live.project.root}" in refused.err
    assert f"nvsx --project {live.project.root} run t --resume {run.run_id}" in refused.err


async def test_resume_needs_a_run_that_can_go_on(live: Live) -> None:
    """--resume of an unknown run, a finished one, or one of another runbook exits 2 and says so."""
    book = live.project.one_hook("true")
    live.project.runbook([{"id": "preflight"}], "other")
    finished = await live.run(book)
    assert await finished.end() == 0
    for args, words in (
        ((book, "r-19700101-0000-none"), "there is no run"),
        ((book, finished.run_id), "finished"),
        (("other", finished.run_id), f"is of runbook {book}"),
    ):
        refused = await live.resume(*args)
        assert await refused.end() == 2, refused.err
        assert words in refused.err
