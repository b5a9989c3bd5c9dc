"""kill -9 of a real daemon at every point of a run's journal, one after the other."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.serve.conftest import ROOT, until

from nvsx.core.incident import incident_events as ev
from nvsx.core.journal import entries as j

if TYPE_CHECKING:
    from tests.serve.conftest import Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


#: Another one kills elsewhere: CRASH_SEED=7 make test ARGS=tests/serve/test_crash_points.py
SEED = os.environ.get("CRASH_SEED", "11")


async def test_killed_at_every_point_nothing_is_lost_and_no_finished_hook_repeats(
    site: Site, tmp_path: Path
) -> None:
    """Each life dies before or after it stores something new; the last one ends the one run,
    in which each hook ended once, under one key, and no stage began twice, and the one incident,
    with all that happened in it told once."""
    site.quick_hooks()
    await site.has_served_before()
    lives = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.serve.lives", SEED, str(tmp_path)),
        cwd=ROOT,
        env=site.env,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    site.steps.hold("drain_pickup")
    try:
        await site.sandbox.inject("xid-79", variant="drain-waits")

        async def fired() -> bool | None:
            return True if await site.rows() else None

        # The first lives are short: on a busy machine the whole repair is shorter.
        await until(fired, 60.0)
        site.steps.go("drain_pickup")
        [row] = await site.finished(within=180)

        async def over() -> bool | None:
            return True if all(i.how for i in await site.incidents()) else None

        await until(over, 60.0)
        assert await _stopped(lives, tmp_path / "life") == 0
    finally:
        await _stopped(lives, tmp_path / "life", signal.SIGKILL)
    [incident] = await site.incidents()
    assert (incident.how, incident.attempts, incident.runs) == ("recovered", 1, (row.run_id,))
    learnt = Counter(type(body) for body in await site.incident_events())
    once = (ev.IncidentOpened, ev.SessionBegan, ev.AttemptBegan, ev.AttemptEnded)
    assert {kind: learnt[kind] for kind in (*once, ev.SessionEnded, ev.RunEnded)} == dict.fromkeys(
        (*once, ev.SessionEnded, ev.RunEnded), 1
    )
    points = (tmp_path / "points").read_text().splitlines()
    events = await site.entries(row.run_id)
    ended = Counter((e.stage, e.purpose) for e in events if isinstance(e, j.HookEnd))
    keys: dict[tuple[str, str], set[str]] = {}
    for event in events:
        if isinstance(event, j.HookBegin):
            keys.setdefault((event.stage, event.purpose), set()).add(event.idempotency_key)
    stages = [e.stage for e in events if isinstance(e, j.StageBegin)]
    assert row.status == "passed"
    assert {"take", "take_over", "Start", "Finish"} <= set(points)
    assert len(points) >= 30
    assert set(ended.values()) == {1}
    assert ended.keys() == keys.keys()
    assert all(len(those) == 1 for those in keys.values())
    assert len(stages) == len(set(stages))


async def _stopped(
    lives: asyncio.subprocess.Process, life: Path, number: int = signal.SIGTERM
) -> int:
    """Tell the daemon that lives now to stop, until it has heard; the exit code."""
    while lives.returncode is None:
        with suppress(ProcessLookupError, FileNotFoundError):
            os.kill(int(life.read_text()), number)
        if number == signal.SIGKILL:
            lives.kill()
        with suppress(TimeoutError):
            await asyncio.wait_for(lives.wait(), 0.5)
    return lives.returncode
