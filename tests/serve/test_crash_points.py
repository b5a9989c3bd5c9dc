"""kill -9 of a real daemon at every point of a run's journal, one after the other."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.patience import patience
from tests.serve.conftest import ROOT, until
from tests.serve.lives import SHARES

from nvsx.core.incident import incident_events as ev
from nvsx.core.journal import entries as j

if TYPE_CHECKING:
    from tests.serve.conftest import Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


#: Another one kills elsewhere: CRASH_SEED=7 make test ARGS=tests/serve/test_crash_points.py
SEED = os.environ.get("CRASH_SEED", "11")

#: Seconds between two new points. A dozen lives on a quiet machine: each starts in a second or so,
#: and one or two of them reach nothing new.
NEXT_POINT = 60.0


@pytest.mark.parametrize("share", range(SHARES))
async def test_killed_at_every_point_nothing_is_lost_and_no_finished_hook_repeats(
    site: Site, tmp_path: Path, share: int
) -> None:
    """Each life dies before or after it stores something new of this share; the last one ends the
    one run, in which each hook ended once, under one key, and no stage began twice, and the one
    incident, with all that happened in it told once."""
    site.quick_hooks()
    await site.has_served_before()
    with (tmp_path / "said").open("wb") as said:
        lives = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.serve.lives", SEED, str(share), str(tmp_path)),
            cwd=ROOT,
            env=site.env,
            stdout=said,
            stderr=said,
        )
    site.steps.hold("drain_pickup")
    try:
        await site.sandbox.inject("xid-79", variant="drain-waits")
        # The first lives are short: on a busy machine the whole repair is shorter, and a run that
        # has begun no stage before its incident is over passes the others by.
        await _reached("StageBegin detect", lives, tmp_path)
        site.steps.go("drain_pickup")
        await _reached("Finish", lives, tmp_path)
        [row] = await site.finished(within=60)

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


async def _reached(
    point: str, lives: asyncio.subprocess.Process, folder: Path, within: float = NEXT_POINT
) -> None:
    """Wait until a life has come to `point`; fails when the lives ended before, or when no new
    point is reached any more.

    How long all of them take depends on the machine, from one minute to ten. That they go on does
    not: 70 lives of 4 s each are well, and one that reaches nothing new in 60 s is stuck.
    """
    known: list[str] = []
    ends = time.monotonic() + patience(within)
    while point not in known:
        file = folder / "points"
        # The file alone: to open the store ten times a second would slow the lives down.
        now = file.read_text().splitlines() if file.exists() else []
        if now != known:
            known, ends = now, time.monotonic() + patience(within)
        words = f"{point!r} was not reached, after {known[-3:]}:\n"
        if lives.returncode is not None:
            said = (folder / "said").read_text()
            pytest.fail(f"{words}the daemon ended with {lives.returncode}\n{said}")
        if time.monotonic() > ends:
            pytest.fail(f"{words}no life reached anything new within {patience(within):g} s")
        await asyncio.sleep(0.1)


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
