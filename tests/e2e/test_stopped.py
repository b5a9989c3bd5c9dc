"""Ctrl-C and SIGTERM to a real process: exit codes, scripts, postmortem, nothing left."""

from __future__ import annotations

import signal

import pytest
from tests.e2e.live import Live, running, until

pytestmark = [pytest.mark.kubectl, pytest.mark.slow, pytest.mark.timeout(240)]

#: Ignores SIGTERM, and has a child that does too.
STUBBORN = """
trap '' TERM
(trap '' TERM; while :; do sleep 1; done) &
echo "begin $NVSX_STAGE $! - $$" >>"$NVSX_PROJECT_ROOT/log"
while :; do sleep 1; done
"""


@pytest.mark.parametrize(
    ("signum", "code", "reason"),
    [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")],
)
async def test_signal_while_watching(live: Live, signum: int, code: int, reason: str) -> None:
    """Ctrl-C exits 130, SIGTERM 143; the run is cancelled, postmortem's hook has run."""
    run = await live.run(live.project.chain())
    await run.until("watch", stage="detect")
    assert await run.kill(signum) == code
    assert run.finish["status"] == "cancelled"
    assert run.finish["reason"] == reason
    assert run.statuses()["detect"] == "cancelled"
    assert run.statuses()["remediate"] == "skipped"
    assert [e[1] for e in live.project.log("end")] == ["preflight", "postmortem"]
    await live.nothing_left()


async def test_signal_in_a_hook_stops_its_whole_group(live: Live) -> None:
    """Ctrl-C in a hook that ignores TERM and has a child: both are dead, postmortem ran."""
    live.project.script("runbooks/hooks/t/stubborn.sh", STUBBORN)
    live.project.script("runbooks/hooks/t/last.sh", 'touch "$NVSX_PROJECT_ROOT/last"')
    book = live.project.runbook(
        [
            {"id": "preflight", "hook": "hooks/t/stubborn.sh", "hookTimeout": "10m"},
            {"id": "postmortem", "hook": "hooks/t/last.sh"},
        ]
    )
    run = await live.run(book)
    begun = (await until(lambda: live.project.log("begin"), "the hook runs"))[0]
    assert await run.kill(signal.SIGINT) == 130
    assert not running(int(begun[2]))
    assert not running(int(begun[4]))
    assert (live.project.root / "last").exists()
    assert "stopped: Ctrl-C" in run.of("hook_end", stage="preflight")[0]["detail"]
    await live.nothing_left()


async def test_second_signal_stops_at_once(live: Live) -> None:
    """A second Ctrl-C waits neither for postmortem nor for a hook of it that ignores TERM."""
    live.project.script("runbooks/hooks/t/stubborn.sh", STUBBORN)
    watch = {"kind": "node-condition", "type": "SysLogsXIDError"}
    last = {"id": "postmortem", "hook": "hooks/t/stubborn.sh", "hookTimeout": "10m"}
    run = await live.run(live.project.runbook([{"id": "detect", "watch": [watch]}, last]))
    await run.until("watch", stage="detect")
    run.process.send_signal(signal.SIGINT)
    await until(lambda: live.project.log("begin"), "postmortem's hook runs")
    assert await run.kill(signal.SIGINT) == 130  # the hook would stay for ten minutes
    await live.nothing_left()


async def test_signal_before_the_first_stage(live: Live) -> None:
    """Ctrl-C while nvsx is armed and has no node yet: 130, and no hook has run."""
    run = await live.nvsx("run", live.project.chain())
    await run.until("armed")
    assert await run.kill(signal.SIGINT) == 130
    assert not live.project.log()
    assert set(run.statuses().values()) == {"skipped"}
    await live.nothing_left()


async def test_a_person_closes_the_incident_from_another_terminal(live: Live) -> None:
    """The run by hand learns of it though nothing else happens on its node, and ends."""
    run = await live.run(live.project.chain())
    await run.until("watch", stage="detect")
    close = await live.nvsx("incidents", "close", run.run_id, "--reason", "x", "--yes")
    assert await close.end() == 0, close.err
    assert await run.end() == 1
    assert run.finish["reason"] == "closed: x"
    assert run.statuses()["detect"] == "skipped"
    await live.nothing_left()
