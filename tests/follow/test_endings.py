"""How the end of an incident reaches a run: watches that lag behind, nodes that are replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as build
from tests.follow.harness import STATES, Story, statuses

from nvsx.core.incident.session import Session
from nvsx.core.incident.tolerances import IncidentLimits
from nvsx.core.watches.snapshot import Resource

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
    """A repair that stays unseen is passed unseen once the incident is over: the node was well for
    as long as that takes, which is the time its watch has."""
    story = Story(tmp_path)
    await story.begin()
    await story.at(5, lambda: story.fault(*STATES, unread=unread))
    await story.at(100, lambda: story.recovered(unread=unread))
    state = await story.finish()
    assert statuses(state)["remediate"] == "skipped"
    assert statuses(state)["recover"] == "pass"
    assert story.clock.elapsed == pytest.approx(100 + IncidentLimits().quiet, abs=1)


async def test_nothing_is_decided_while_the_node_cannot_be_read(tmp_path: Path) -> None:
    """However long the node could not be read, what lags behind it has its time afterwards."""
    story = Story(tmp_path)
    away = AWAY | {"node": "the cluster cannot be reached"}
    await story.begin()
    await story.at(5, lambda: story.fault(*STATES))
    await story.at(100, story.recovered)
    await story.at(110, lambda: story.recovered(unread=away))
    await story.at(1500, lambda: story.recovered(unread=AWAY))
    await story.at(1510, lambda: story.recovered(resources=(_finished(story),)))
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


# --- a node that is replaced, held, or repaired a second time ----------------------------------


def _terminating(story: Story, *conditions: tuple[str, str, str]) -> Resource:
    return story.reboot(SENT, *conditions, kind="TerminateNode")


def _gone(session: Session, **changes: Any) -> Session:
    over = build.ended(session, session.began or 0.0, ending="terminated")
    return msgspec.structs.replace(over, ending_detail="the Node object is gone", **changes)


async def test_a_replaced_node_is_waited_for(tmp_path: Path) -> None:
    """NVSentinel's TerminateNode takes the Node away: the run waits for the new one, says that
    it is another machine, and passes without a time to repair."""
    story = Story(tmp_path)
    await story.begin()
    doing = _terminating(story)
    done = msgspec.structs.replace(
        _terminating(story, ("NodeTerminated", "True", "Succeeded")), completed=story.begin_at + 60
    )
    session = story.session(*STATES)
    await story.at(5, lambda: story.fault(*STATES, resources=(doing,)))
    away = msgspec.structs.replace(story.snap(session=_gone(session), resources=(done,)), node=None)
    await story.at(60, lambda: away)
    await story.clock.sleep(300)
    assert statuses(await story.state())["recover"] == "running"
    new = build.node(uid="uid-new", boot_id="boot-9")
    told = "the Node object is gone; a new one of the same name was created at noon"
    fresh = msgspec.structs.replace(
        _gone(session), replaced_at=story.clock.now(), ending_detail=told
    )
    await story.at(400, lambda: story.snap(of=new, session=fresh))
    state = await story.finish()
    assert set(statuses(state).values()) == {"pass"}
    assert state.finish is not None
    assert (state.finish.mttr_s, state.finish.reason) == (
        None,
        "the node was replaced, not repaired",
    )
    recover = story.scripts.ran("on-recover.sh")[0].script.facts
    assert recover["NVSX_REASON"] == "the node was replaced, not repaired"
    assert [told in n.text for _, n in state.notes if n.code == "node-replaced"] == [True]


async def test_a_node_that_nobody_replaces_fails_the_run(tmp_path: Path) -> None:
    """A Node that goes while NVSentinel reboots it ends the run at once, without recovery."""
    story = Story(tmp_path)
    await story.begin()
    await story.at(5, lambda: story.fault(*STATES, resources=(_finished(story),)))
    gone = _gone(story.session(*STATES))
    await story.at(60, lambda: msgspec.structs.replace(story.snap(session=gone), node=None))
    state = await story.finish()
    assert statuses(state)["recover"] == "fail"
    assert state.finish is not None
    assert state.finish.reason.startswith("recover: the Node object was taken away by somebody")


async def test_a_node_held_for_its_validation_has_not_recovered(tmp_path: Path) -> None:
    """Annotation and state label are gone, NVSentinel's cordon is not: recover waits."""
    story = Story(tmp_path)
    await story.begin()
    done = _finished(story)
    await story.at(5, lambda: story.fault(*STATES, resources=(done,)))
    labels = {"k8saas.nvidia.com/cordon-by": "NVSentinel"}
    good = build.condition(healthy=True, at=story.begin_at + 60)
    held = build.node(conditions=(good,), cordoned=True, labels=labels)
    session = story.session(*STATES)
    await story.at(60, lambda: story.snap(of=held, session=session, resources=(done,)))
    await story.clock.sleep(600)
    recover = (await story.state()).stage("recover")
    assert recover is not None
    assert recover.status == "running"
    assert "until a validation succeeds" in recover.watches[1].detail
    await story.at(700, lambda: story.recovered(session, resources=(done,)))
    state = await story.finish()
    assert statuses(state)["recover"] == "pass"


async def test_a_failed_gpu_reset_is_followed_to_the_reboot(tmp_path: Path) -> None:
    """A GPU reset that failed in its Job is a new fault: the reboot that follows decides."""
    story = Story(tmp_path)
    await story.begin()
    failed = msgspec.structs.replace(
        story.reboot(
            ("ResetJobCreated", "True", "ResetJobCreationSucceeded"),
            ("ResetJobCompleted", "False", "ResetJobFailed"),
            kind="GPUReset",
            phase="Failed",
        ),
        completed=story.begin_at + 60,
    )
    await story.at(60, lambda: story.fault(*STATES, resources=(failed,)))
    await story.clock.sleep(120)
    assert statuses(await story.state())["remediate"] == "running"
    done = story.reboot(SENT, DONE, completed=story.clock.now(), name="maintenance-again")
    await story.at(300, lambda: story.fault(*STATES, resources=(failed, done)))
    await story.at(400, lambda: story.recovered(resources=(failed, done)))
    state = await story.finish()
    assert set(statuses(state).values()) == {"pass"}
