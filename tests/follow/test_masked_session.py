"""What is journaled of a session went through the masks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.fakes import fake_observer as build
from tests.follow.harness import Story

from nvsx.core.journal import entries as j
from nvsx.core.masking import Masker


async def test_what_a_session_tells_is_masked_before_it_is_compared(tmp_path: Path) -> None:
    """Its events' text can hold a secret; a masked session seen again is no news."""
    story = Story(tmp_path)
    runner = await story.begin()
    runner.run.masker = Masker({"A_PASSWORD": "correct-horse-battery"})
    told = build.health_event(message="login with correct-horse-battery failed")
    for at in (1, 2, 3):
        held = story.session("quarantined", events=(told,))
        await story.at(at, partial(story.fault, "quarantined", session=held))
        await story.clock.sleep(0.5)
    entries = [e for e in story.view.entries if isinstance(e.body, j.SessionSeen)]
    assert len(entries) == 1
    assert "correct-horse-battery" not in str(entries)
    await story.die()
