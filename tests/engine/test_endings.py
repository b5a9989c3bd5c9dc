"""How the end of an incident reaches a run: watches that lag behind, nodes that are replaced."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.engine.harness import STATES, Story, statuses

from nvsx.core.snapshot import Resource
from nvsx.engine.request import Patience

SENT = ("SignalSent", "True", "Succeeded")
DONE = ("NodeReady", "True", "Succeeded")
AWAY = {"resources/rebootnodes": "the cluster cannot be reached"}


def _finished(story: Story) -> Resource:
    return story.reboot(SENT, DONE, completed=story.clock.now())


async def test_repairs_that_cannot_be_read_are_waited_for_after_the_end(tmp_path: Path) -> None:
    """The node is back and its incident over before the repairs can be read again: remediate
    waits for them and passes, and its hook runs."""
    story = Story(tmp_path)
    await story.begin()
    await story.at(5, lambda: story.fault(*STATES, unread=AWAY))
    await story.at(100, lambda: story.recovered(unread=AWAY))
    await story.at(130, lambda: story.recovered(resources=(_finished(story),)))
    state = await story.finish()
    assert set(statuses(state).values()) == {"pass"}
    assert len(story.scripts.ran("on-remediate.sh")) == 1


async def test_a_repair_whose_end_comes_late_is_waited_for(tmp_path: Path) -> None:
    """The watch of the repairs lags behind the node's: the repair still passes its stage."""
    story = Story(tmp_path)
    await story.begin()
    running = story.reboot(SENT)
    await story.at(5, lambda: story.fault(*STATES, resources=(running,)))
    await story.at(100, lambda: story.recovered(resources=(running,)))
    await story.at(130, lambda: story.recovered(resources=(_finished(story),)))
    state = await story.finish()
    assert statuses(state)["remediate"] == "pass"


@pytest.mark.parametrize("unread", [AWAY, {}])
async def test_what_never_comes_is_passed_unseen_after_a_while(
    tmp_path: Path, unread: dict[str, str]
) -> None:
    """A repair that stays unseen after the end is passed unseen, once its watch had time."""
    story = Story(tmp_path)
    await story.begin()
    await story.at(5, lambda: story.fault(*STATES, unread=unread))
    await story.at(100, lambda: story.recovered(unread=unread))
    state = await story.finish()
    assert statuses(state)["remediate"] == "skipped"
    assert statuses(state)["recover"] == "pass"
    assert story.clock.elapsed == pytest.approx(100 + Patience().laggards, abs=1)


async def test_nothing_is_decided_while_the_node_cannot_be_read(tmp_path: Path) -> None:
    """However long the node could not be read, what lags behind it has its time afterwards."""
    story = Story(tmp_path)
    away = AWAY | {"node": "the cluster cannot be reached"}
    await story.begin()
    await story.at(5, lambda: story.fault(*STATES))
    await story.at(100, story.recovered)
    await story.at(110, lambda: story.recovered(unread=away))
    await story.at(4000, lambda: story.recovered(unread=AWAY))
    await story.at(4030, lambda: story.recovered(resources=(_finished(story),)))
    state = await story.finish()
    assert statuses(state)["remediate"] == "pass"


async def test_a_cancelled_incident_fails_without_patience(tmp_path: Path) -> None:
    """What somebody cancelled by hand is not waited for."""
    story = Story(tmp_path)
    await story.begin()
    await story.at(5, lambda: story.fault(*STATES, unread=AWAY))
    open_ = story.session(*STATES)
    over = story.recovered(open_, unread=AWAY).session
    cancelled = msgspec.structs.replace(over, ending="cancelled")
    await story.at(50, lambda: story.recovered(unread=AWAY, session=cancelled))
    state = await story.finish()
    assert statuses(state)["remediate"] == "fail"
    assert story.clock.elapsed == pytest.approx(50, abs=1)
