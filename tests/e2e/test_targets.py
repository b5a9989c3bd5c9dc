"""Which node a run by hand is on, who has it already, and what a late start makes of it."""

from __future__ import annotations

import pytest
from tests.e2e.live import STAGES, Live, until

from nvsx.core.aliases import alias_of

pytestmark = [pytest.mark.kubectl, pytest.mark.slow, pytest.mark.timeout(240)]


async def test_second_run_on_a_node_is_refused(live: Live) -> None:
    """A second run on the node, by its alias: exit 2, and it names the first."""
    book = live.project.chain()
    first = await live.run(book)
    await first.until("watch", stage="detect")
    second = await live.done("run", book, "--target-node", alias_of(live.node))
    assert second.process.returncode == 2
    assert f"run {first.run_id} is on {live.node} already" in second.err
    assert f"nvsx attach {first.run_id}" in second.err
    assert not second.raw


async def test_node_of_a_killed_run_is_not_simply_taken(live: Live) -> None:
    """After kill -9 a new run on the node is refused with how to resume or drop the old one."""
    book = live.project.chain()
    first = await live.run(book)
    await first.until("watch", stage="detect")
    await first.kill()
    second = await live.run(book)
    assert await second.end() == 2
    assert f"nvsx run {book} --resume {first.run_id}" in second.err


async def test_no_incident_arms_the_run(live: Live) -> None:
    """No node in an incident: the run is armed, nothing runs; then it takes the node that
    breaks, and passes."""
    run = await live.nvsx("run", live.project.chain())
    await run.until("armed")
    assert not run.of("stage_begin")
    assert not live.project.log()
    await live.inject()
    target = await run.until("target")
    assert target["target_node"] == live.node
    assert await run.end() == 0
    assert set(run.statuses().values()) <= {"pass", "skipped"}
    assert run.statuses()["recover"] == "pass"


async def test_one_incident_is_the_target(live: Live) -> None:
    """Exactly one node in an incident: that one, without asking."""
    live.steps.hold("reboot")
    await live.inject()
    await until(lambda: _quarantined(live), "quarantine")
    run = await live.nvsx("run", live.project.chain())
    start = await run.until("start")
    assert start["target_node"] == live.node
    live.steps.go("reboot")
    assert await run.end() == 0


async def test_several_incidents_are_a_question(live: Live) -> None:
    """Two nodes in an incident and no terminal: exit 2, both named with aliases."""
    nodes = [n["name"] for n in live.sandbox.status()["nodes"]][:2]
    live.steps.hold("reboot")
    for node in nodes:
        await live.inject(node)
    await until(lambda: len(_quarantined(live)) == 2, "two quarantines")
    run = await live.done("run", live.project.chain())
    assert run.process.returncode == 2
    for node in nodes:
        assert f"{node} ({alias_of(node)})" in run.err
    assert "--target-node" in run.err


async def test_unknown_node_is_an_error_with_the_nearest(live: Live) -> None:
    """A node the cluster does not have: exit 2 and the name probably meant."""
    run = await live.done("run", live.project.chain(), "--target-node", live.node[:-1] + "x")
    assert run.process.returncode == 2
    assert "did you mean" in run.err


def _quarantined(live: Live) -> list[str]:
    return [n["name"] for n in live.sandbox.status()["nodes"] if n["state"]]


async def test_started_after_remediation_succeeded(live: Live) -> None:
    """Started when NVSentinel says remediation-succeeded: every stage passes by evidence."""
    live.steps.hold("reboot")
    await live.inject()
    state = "remediation-succeeded"
    await until(lambda: state in [n["state"] for n in live.sandbox.status()["nodes"]], state)
    run = await live.run(live.project.chain())
    for stage in ("detect", "quarantine", "drain"):
        await run.until("stage_end", stage=stage, status="pass")
    live.steps.go("reboot")
    assert await run.end() == 0
    assert run.statuses() == dict.fromkeys(STAGES, "pass")
    assert run.finish["mttr_s"] > 0


async def test_started_after_recovery(live: Live) -> None:
    """Started when all is over: the early stages were passed unseen, their hooks do not run."""
    await live.inject()
    await until(lambda: _quarantined(live), "quarantine")
    await until(lambda: not _quarantined(live), "recovery")
    run = await live.run(live.project.chain())
    assert await run.end() == 0
    unseen = ("detect", "quarantine", "drain", "remediate")
    for stage in unseen:
        (ended,) = run.of("stage_end", stage=stage)
        assert ended["status"] == "skipped"
        assert ended["reason"].startswith("passed unseen")
    assert [e[1] for e in live.project.log("end")] == ["preflight", "recover", "postmortem"]
