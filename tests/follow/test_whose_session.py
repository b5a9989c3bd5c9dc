"""Whose an ended session is: the run's own, or that of the incident before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.fakes import fake_observer as build
from tests.follow.harness import Story

from nvsx.core.incident.session import Session
from nvsx.core.journal import entries as j
from nvsx.follow.own_session import ended_session_is_ours
from nvsx.follow.run_request import Patience

WINDOW = Patience().late_window


@pytest.mark.parametrize(
    ("ended", "request_", "ours"),
    [
        (-WINDOW, {}, True),
        (-WINDOW - 1, {}, False),
        (1, {"fresh": True}, True),
        (0, {"fresh": True}, True),
        (-1, {"fresh": True}, False),
        (-60, {"event": -60}, True),
        (-60, {"event": -59}, False),
        (0, {"by_hand": False}, True),
        (-1, {"by_hand": False}, False),
        (-60, {"event": -60, "by_hand": False}, True),
        (None, {}, False),
    ],
)
async def test_an_end_without_marks_is_told_by_time(
    tmp_path: Path, ended: float | None, request_: dict[str, Any], ours: bool
) -> None:
    """An end that bears no key is the run's own up to two hours before it, never for a drill
    or for a POST without a fault, and never when the run's fault is younger. Seconds from the
    run's begin."""
    story = Story(tmp_path)
    if "event" in request_:
        at = story.begin_at + request_["event"]
        request_ = request_ | {"event": build.health_event(generated_at=at)}
    story = Story(tmp_path, **request_)
    runner = await story.begin()
    await runner.run.record(j.Start(runbook="t", nickname="t"))
    session = Session(ended_at=None if ended is None else runner.run.state.began + ended)
    assert ended_session_is_ours(runner.run, session) is ours
    await story.die()


async def test_a_session_that_was_followed_is_ours_whenever_it_ended(tmp_path: Path) -> None:
    """By its key, however wrong the clock that wrote its end; another's key proves nothing."""
    story = Story(tmp_path)
    runner = await story.begin()
    await runner.run.record(
        j.Start(runbook="t", nickname="t"), j.SessionSeen(session=Session(key="s-1", open=True))
    )
    long_ago = runner.run.state.began - WINDOW - 1
    assert ended_session_is_ours(runner.run, Session(key="s-1", ended_at=long_ago))
    assert not ended_session_is_ours(runner.run, Session(key="s-2", ended_at=long_ago))
    await story.die()
