"""From when on a happening counts for a stage: from the run's beginning, or the stage's own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.fakes import fake_observer as build
from tests.follow.harness import Story, runbook


@pytest.mark.parametrize(
    ("since", "seconds", "status"),
    [
        ("run", -2, "timeout"),
        ("run", 1, "pass"),
        ("stage", 99, "timeout"),
        ("stage", 101, "pass"),
    ],
)
async def test_a_happening_counts_from_the_beginning_that_is_asked_for(
    tmp_path: Path, since: str, seconds: float, status: str
) -> None:
    """The run begins at 0 s, its first stage passes at 100 s, and the second one looks back."""
    story = Story(
        tmp_path,
        runbook(
            [
                {"id": "detect", "watch": [{"kind": "node-condition", "type": "SysLogsXIDError"}]},
                {
                    "id": "drain",
                    "watch": [{"kind": "node-event", "reason": "Rebooted", "since": since}],
                    "timeout": "60s",
                    "onTimeout": "continue",
                },
            ]
        ),
    )
    happened = build.node_event("Normal", "Rebooted", at=story.begin_at + seconds)
    await story.begin()
    life = asyncio.create_task(story.at(100, story.fault))
    later = asyncio.create_task(story.at(130, lambda: story.fault(events=(happened,))))
    state = await story.finish()
    await asyncio.gather(life, later)
    drain = state.stage("drain")
    assert drain is not None
    assert drain.status == status
