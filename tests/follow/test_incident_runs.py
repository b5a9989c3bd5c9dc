"""A run and its incident: through failures and further attempts, late, and to the node's return.

The incident is kept by the real `step`, from what the node shows; the run's hooks, stages and
messages are then what people get.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as build
from tests.fakes.fake_observer import EVENT_ID
from tests.follow.harness import CHAIN, STATES, Story, runbook, statuses

from nvsx.core.incident.incident_events import RunEnded
from nvsx.core.incident.sight import SeenCause
from nvsx.core.journal import entries as j
from nvsx.core.watches.snapshot import Note, Resource, Snapshot

SENT = ("SignalSent", "True", "Succeeded")
DONE = ("NodeReady", "True", "Succeeded")
LATE_HOOKS = {"onFailure": "hooks/t/on-failure.sh", "onAttempt": "hooks/t/on-attempt.sh"}


def kept(tmp_path: Path, stages: Any = None, **request: Any) -> Story:
    """A daemon's run on a node whose incident is kept."""
    book = runbook(stages, **LATE_HOOKS)
    return Story(tmp_path, book, **({"by_hand": False} | request))


class Life:
    """The node's requests, one after the other, as janitor works on them."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.requests: list[Resource] = []

    def ask(self) -> Snapshot:
        """NVSentinel asks for a reboot, and its signal is sent."""
        number = len(self.requests) + 1
        made = self.story.reboot(SENT, uid=f"uid-{number}", created=self.story.clock.now())
        self.requests = [*self.requests, made]
        return self.show()

    def end(self, *conditions: tuple[str, str, str], **node: Any) -> Snapshot:
        """The newest request ends so."""
        last = msgspec.structs.replace(
            self.requests[-1],
            completed=self.story.clock.now(),
            conditions=self.story.reboot(SENT, *conditions).conditions,
        )
        self.requests[-1] = last
        return self.show(**node)

    def time_out(self) -> Snapshot:
        return self.end(("NodeReady", "False", "Timeout"))

    def show(self, **node: Any) -> Snapshot:
        return self.story.held(*STATES[:4], resources=tuple(self.requests), node=node)

    def release(self) -> Snapshot:
        return self.story.recovered(self.story.session(*STATES), resources=tuple(self.requests))


def hooks(story: Story) -> list[tuple[str, str]]:
    """(script, NVSX_REPAIR_NO) of all that ran, in order."""
    return [
        (c.script.path.rsplit("/", 1)[-1], c.script.facts["NVSX_REPAIR_NO"])
        for c in story.scripts.calls
    ]


async def fail_once(story: Story, life: Life) -> None:
    """XID 79 at 5 s, quarantined, drained; the RebootNode of 96 s times out at 500 s."""
    await story.at(5, story.fault)
    await story.at(7, lambda: story.held("quarantined"))
    await story.at(90, lambda: story.held(*STATES[:3]))
    await story.at(96, life.ask)
    await story.at(500, life.time_out)


async def fail_then_work(story: Story) -> None:
    """Story 1: the second RebootNode, of 600 s, works; released at 900 s."""
    life = Life(story)
    await fail_once(story, life)
    await story.at(600, life.ask)
    await story.at(700, lambda: life.show(ready=False))
    await story.at(800, lambda: life.end(DONE, boot_id="boot-2"))
    await story.at(900, life.release)


async def test_a_second_attempt_that_works_makes_the_run_pass(tmp_path: Path) -> None:
    """Story 1: one run, two attempts; it passes, ends 30 s after the release, and the time to
    repair is the whole time."""
    story = kept(tmp_path)
    await story.begin()
    life = asyncio.create_task(fail_then_work(story))
    state = await story.finish()
    await life
    assert state.finish is not None
    assert (state.finish.status, state.finish.attempts) == ("passed", 2)
    assert state.finish.failed_stages == ("remediate",)
    assert set(statuses(state).values()) == {"pass"}
    assert state.finish.mttr_s == pytest.approx(895, abs=6)
    assert story.clock.elapsed == pytest.approx(930, abs=2)


async def test_people_are_called_once_and_told_of_the_second_attempt(tmp_path: Path) -> None:
    """Story 1: on-failure for attempt 1, on-attempt for 2, then remediate and recover; postmortem
    once, last."""
    story = kept(tmp_path)
    await story.begin()
    life = asyncio.create_task(fail_then_work(story))
    await story.finish()
    await life
    assert hooks(story) == [
        ("on-detect.sh", "1"),
        ("on-quarantine.sh", "1"),
        ("on-failure.sh", "1"),
        ("on-attempt.sh", "2"),
        ("on-remediate.sh", "2"),
        ("on-recover.sh", "2"),
        ("collect.sh", "2"),
    ]


async def test_the_failure_hook_has_the_incident_s_cause(tmp_path: Path) -> None:
    """Code, text and remedy of the cause reach the hook, and the stage's end says the same."""
    story = kept(tmp_path)
    await story.begin()
    life = asyncio.create_task(fail_then_work(story))
    state = await story.finish()
    await life
    facts = story.scripts.ran("on-failure.sh")[0].script.facts
    assert facts["NVSX_CAUSE_CODE"] == "repair-timed-out"
    assert facts["NVSX_CAUSE"] == state.failures[0].reason
    assert facts["NVSX_REMEDY"] != ""
    assert (facts["NVSX_FAILED_STAGE"], facts["NVSX_RUN_STATUS"]) == ("remediate", "failed")
    recover = story.scripts.ran("on-recover.sh")[0].script.facts
    assert (recover["NVSX_FAILED_STAGE"], recover["NVSX_RUN_STATUS"]) == ("", "running")


async def test_remediate_begins_anew_in_the_journal(tmp_path: Path) -> None:
    """JSONL has `repair` 1 and 2 at the two beginnings of remediate, and the first one's end."""
    story = kept(tmp_path)
    await story.begin()
    life = asyncio.create_task(fail_then_work(story))
    await story.finish()
    await life
    told = [
        (type(e.body).__name__, e.body.repair)
        for e in await story.journal.read(story.run_id)
        if isinstance(e.body, j.StageBegin | j.StageEnd) and e.body.stage == "remediate"
    ]
    assert told == [("StageBegin", 1), ("StageEnd", 1), ("StageBegin", 2), ("StageEnd", 2)]


async def test_a_failed_run_only_follows(tmp_path: Path) -> None:
    """From the failure on the run needs no turn among those that work, and says so once."""
    story = kept(tmp_path)
    runner = await story.begin()
    told: list[float] = []
    runner.run.only_following = lambda: told.append(story.clock.elapsed)
    life = asyncio.create_task(fail_then_work(story))
    await story.clock.sleep(499)
    assert not runner.run.is_only_following
    await story.finish()
    await life
    assert told == [pytest.approx(500, abs=1)]


async def test_each_failed_attempt_calls_with_a_key_of_its_own(tmp_path: Path) -> None:
    """Story 1: of three failed attempts each fires on-failure once, with its number in the key."""
    story = kept(tmp_path)
    await story.begin()
    node = Life(story)
    await fail_once(story, node)
    for at in (600, 1200):
        await story.at(at, node.ask)
        await story.at(at + 400, node.time_out)
    await story.at(1700, node.ask)
    await story.at(1800, lambda: node.end(DONE, boot_id="boot-2"))
    await story.at(1900, node.release)
    state = await story.finish()
    assert state.finish is not None
    assert (state.finish.status, state.finish.attempts) == ("passed", 4)
    called = [c.script.facts for c in story.scripts.ran("on-failure.sh")]
    assert [f["NVSX_REPAIR_NO"] for f in called] == ["1", "2", "3"]
    keys = [f["NVSX_IDEMPOTENCY_KEY"] for f in called]
    assert keys == [f"{story.run_id}.remediate.failure{end}" for end in ("", ".2", ".3")]
    assert len(story.scripts.ran("on-attempt.sh")) == 3


async def test_a_cancel_after_the_failure_ends_the_run_alone(tmp_path: Path) -> None:
    """Story 2: the run ends as cancelled; the incident has two attempts and recovers as before."""
    story = kept(tmp_path)
    runner = await story.begin()
    life = asyncio.create_task(fail_then_work(story))
    await story.clock.sleep(520)
    runner.cancel("ann", "looked at it")
    assert story.task is not None
    await story.task
    state = await story.state()
    assert state.finish is not None
    assert state.finish.status == "cancelled"
    view = story.door.views[0]
    assert view.said == [RunEnded(run_id=story.run_id, status="cancelled")]
    await life
    await story.clock.sleep(40)
    assert view.current.ended is not None
    assert (view.current.ended.how, len(view.current.attempts)) == ("recovered", 2)
    assert story.looking is not None
    story.looking.cancel()


async def test_by_hand_the_failure_is_the_end(tmp_path: Path) -> None:
    """People's CI gets exit code 1 at the failure, at once."""
    story = kept(tmp_path, by_hand=True)
    await story.begin()
    await fail_once(story, Life(story))
    state = await story.finish()
    assert state.finish is not None
    assert (state.finish.status, state.finish.exit_code) == ("failed", 1)
    assert story.clock.elapsed == pytest.approx(500, abs=1)
    assert statuses(state)["recover"] == "skipped"


async def test_by_hand_the_end_of_the_incident_is_waited_for(tmp_path: Path) -> None:
    """After recover a run by hand waits the 30 s until the incident is over."""
    story = kept(tmp_path, by_hand=True)
    await story.begin()
    node = Life(story)
    await story.at(5, story.fault)
    await story.at(7, lambda: story.held(*STATES[:3]))
    await story.at(8, node.ask)
    await story.at(60, lambda: node.end(DONE, boot_id="boot-2"))
    await story.at(70, node.release)
    state = await story.finish()
    assert state.finish is not None
    assert state.finish.status == "passed"
    assert story.clock.elapsed == pytest.approx(100, abs=2)


@pytest.mark.parametrize(("by_hand", "ends"), [(True, 500), (False, 1100)])
async def test_without_a_quarantine_only_a_daemon_waits_for_quiet(
    tmp_path: Path, by_hand: bool, ends: float
) -> None:
    """NVSentinel leaves the node alone, people are called, and the condition clears at 500 s: a
    run by hand passes there; a daemon's goes on for the ten minutes in which it may come back."""
    story = kept(
        tmp_path, [CHAIN[0], {"id": "recover", "watch": CHAIN[4]["watch"][:1]}], by_hand=by_hand
    )
    story.look()
    await story.at(5, story.fault)
    await story.begin()
    good = build.condition(healthy=True, at=story.begin_at + 500)
    await story.at(500, lambda: story.snap(of=build.node(conditions=(good,))))
    state = await story.finish()
    assert state.finish is not None
    assert state.finish.status == "passed"
    assert story.clock.elapsed == pytest.approx(ends, abs=2)


async def test_a_poll_error_calls_nobody(tmp_path: Path) -> None:
    """Story 21: the provider errs once, and 9 s later the node is back: no failure, no page."""
    story = kept(tmp_path)
    await story.begin()
    node = Life(story)
    await story.at(5, story.fault)
    await story.at(7, lambda: story.held(*STATES[:3]))
    await story.at(8, node.ask)
    await story.at(60, lambda: node.end(("NodeReady", "False", "Failed")))
    await story.at(69, lambda: node.show(boot_id="boot-2"))
    await story.at(75, node.release)
    state = await story.finish()
    assert state.finish is not None
    assert state.finish.status == "passed"
    assert story.scripts.ran("on-failure.sh") == []
    assert len(story.scripts.ran("on-remediate.sh")) == 1


async def test_a_cause_is_noted_once_a_stage_in_the_incident_s_words(tmp_path: Path) -> None:
    """What people read in the run's notes is the incident's cause, with its remedy, once in each
    stage that waits for it: while there is one, nothing else is said beside it."""
    story = kept(tmp_path)
    story.observer.notes["*"] = [Note(code="other", text="another text", remedy="")]
    await story.begin()
    life = asyncio.create_task(fail_then_work(story))
    state = await story.finish()
    await life
    noted = [(n.stage, n.code, bool(n.remedy)) for _, n in state.notes]
    assert noted.count(("remediate", "repair-timed-out", True)) == 1
    during = [n.code for t, n in state.notes if 500 <= t - story.begin_at < 600]
    assert during == ["repair-timed-out", "repair-timed-out"]
    assert noted.count(("recover", "repair-timed-out", True)) == 1


async def test_joining_late_tells_once_what_has_happened(tmp_path: Path) -> None:
    """Story 9: 20 s into an incident, rebooted already: one note with the incident's times."""
    story = kept(tmp_path, by_hand=True)
    node = Life(story)
    story.look()
    await story.at(1, lambda: story.held("quarantined"))
    await story.at(3, lambda: story.held(*STATES[:3]))
    await story.at(4, node.ask)
    await story.at(18, lambda: node.end(DONE, boot_id="boot-2"))
    await story.clock.sleep(3)
    await story.begin()
    await story.at(30, node.release)
    state = await story.finish()
    (note,) = [n for _, n in state.notes if n.code == "joined-late"]
    assert note.text == (
        "joined late, at 08:00:21Z, 20s after its first fault. So far: SysLogsXIDError 79 at "
        "08:00:01Z; quarantined at 08:00:01Z; NVSentinel reports the drain as finished, seen at "
        f"08:00:03Z; RebootNode maintenance-gpu-node-a1-{EVENT_ID} asked for at 08:00:04Z (node "
        "back at 08:00:18Z). Awaited: NVSentinel releases the node"
    )
    late = {c.script.facts["NVSX_STAGE"]: c.script.facts["NVSX_LATE"] for c in story.scripts.calls}
    assert late == {
        "detect": "1",
        "quarantine": "1",
        "remediate": "1",
        "recover": "",
        "postmortem": "",
    }


async def test_a_run_from_the_beginning_is_not_late(tmp_path: Path) -> None:
    """A run that joins 2 s after the quarantine tells news: no note, no NVSX_LATE."""
    story = kept(tmp_path)
    await story.at(5, story.fault)
    await story.at(7, lambda: story.held("quarantined"))
    await story.at(9, lambda: story.held(*STATES[:2]))
    await story.begin()
    node = Life(story)
    await story.at(20, node.ask)
    await story.at(60, lambda: node.end(DONE, boot_id="boot-2"))
    await story.at(70, node.release)
    state = await story.finish()
    assert [n for _, n in state.notes if n.code == "joined-late"] == []
    assert {c.script.facts["NVSX_LATE"] for c in story.scripts.calls} == {""}


@pytest.mark.parametrize(("late", "fired"), [("fire", 1), ("skip", 0)])
async def test_a_late_hook_can_be_left_out(tmp_path: Path, late: str, fired: int) -> None:
    """Story 10: down from detect to drain; a page of a stage that is over fires once, marked
    late, and `late: skip` leaves it out. What is over is not narrated."""
    stages = [CHAIN[0], CHAIN[1] | {"late": late}, *CHAIN[2:]]
    book = runbook(stages, **LATE_HOOKS, narration={"quarantine": "It is about to be cordoned."})
    story = Story(tmp_path, book, by_hand=False)
    node = Life(story)
    await story.at(100, lambda: story.held(*STATES[:2]))
    await story.clock.sleep(200)
    await story.begin()
    await story.at(400, node.ask)
    await story.at(500, lambda: node.end(DONE, boot_id="boot-2"))
    await story.at(600, node.release)
    state = await story.finish()
    assert state.finish is not None
    assert state.finish.status == "passed"
    assert len(story.scripts.ran("on-quarantine.sh")) == fired
    assert state.stage("quarantine").narration == ""  # type: ignore[union-attr]
    (note,) = [n for _, n in state.notes if n.code == "joined-late"]
    assert "Awaited: NVSentinel drains the node" in note.text


async def test_of_an_incident_that_is_over_the_stages_are_skipped(tmp_path: Path) -> None:
    """Story 10: from before the fault to after the recovery: no hook of a stage fires."""
    story = kept(tmp_path)
    node = Life(story)
    runner = await story.begin()
    await story.clock.sleep(1)
    journal = await story.die()
    assert runner is not None
    story.journal = journal
    await story.at(5, lambda: story.held(*STATES[:2]))
    await story.at(20, node.ask)
    await story.at(60, lambda: node.end(DONE, boot_id="boot-2"))
    await story.at(70, node.release)
    await story.clock.sleep(100)
    await story.resume(journal)
    state = await story.finish()
    assert state.finish is not None
    assert state.finish.status == "passed"


async def test_a_reboot_that_is_done_before_the_node_goes_down(tmp_path: Path) -> None:
    """Story 14: on-remediate comes before on-recover, and nothing is over before the boot."""
    story = kept(tmp_path)
    await story.begin()
    node = Life(story)
    await story.at(5, story.fault)
    await story.at(7, lambda: story.held(*STATES[:3]))
    await story.at(8, node.ask)
    await story.at(9, lambda: node.end(DONE))
    await story.at(20, lambda: node.show(ready=False))
    await story.at(60, lambda: node.show(boot_id="boot-2"))
    await story.at(65, node.release)
    state = await story.finish()
    ran = [name for name, _ in hooks(story)]
    assert ran.index("on-remediate.sh") < ran.index("on-recover.sh")
    assert state.finish is not None
    assert (state.finish.status, state.finish.attempts) == ("passed", 1)
    assert story.clock.elapsed == pytest.approx(95, abs=2)


async def test_a_release_before_the_request_ends_makes_no_pause(tmp_path: Path) -> None:
    """Story 14: released at 65 s, the request ends at 70 s: remediate passes, then recover; no
    minute is waited, and nothing is skipped."""
    story = kept(tmp_path)
    await story.begin()
    node = Life(story)
    await story.at(5, story.fault)
    await story.at(7, lambda: story.held(*STATES[:3]))
    await story.at(8, node.ask)
    await story.at(60, lambda: node.show(boot_id="boot-2"))
    await story.at(65, node.release)

    def late_end() -> Snapshot:
        node.end(DONE)
        return node.release()

    await story.at(70, late_end)
    state = await story.finish()
    assert set(statuses(state).values()) == {"pass"}
    ran = [name for name, _ in hooks(story)]
    assert ran.index("on-remediate.sh") < ran.index("on-recover.sh")
    assert story.clock.elapsed == pytest.approx(95, abs=6)


async def test_marks_from_before_a_fault_prove_nothing_for_it(tmp_path: Path) -> None:
    """Rule 8: an NVLink fault in the session of XID 79, after its reboot: already quarantined;
    its drain and its repair are still to come."""
    event = build.health_event(check="SysLogsNVLink", id="e2", error_codes=("149",))
    detect = {
        "id": "detect",
        "watch": [{"kind": "node-condition", "type": "SysLogsNVLink", "errorCode": "149"}],
    }
    story = kept(tmp_path, [detect, *CHAIN[1:]], event=event)
    node = Life(story)
    await story.at(5, story.fault)
    await story.at(7, lambda: story.held(*STATES[:3]))
    await story.at(8, node.ask)
    await story.at(60, lambda: node.end(DONE, boot_id="boot-2"))
    two = (EVENT_ID, "e2")
    await story.at(100, lambda: story.held(*STATES[:4], ids=two, resources=tuple(node.requests)))
    await story.begin()
    await story.clock.sleep(30)
    state = await story.state()
    quarantine, drain = state.stage("quarantine"), state.stage("drain")
    assert quarantine is not None
    assert drain is not None
    assert quarantine.status == "pass"
    assert quarantine.watches[0].detail == "already quarantined since 08:00:07Z"
    assert drain.status == "running"
    assert "from before SysLogsNVLink 149" in drain.watches[0].detail
    story.runner.cancel("test", "enough")  # type: ignore[union-attr]
    await story.finish()


async def test_a_resumed_run_calls_nobody_twice(tmp_path: Path) -> None:
    """Killed while it follows after the failure, the next process goes on: one call for attempt 1,
    and the second attempt is told."""
    story = kept(tmp_path)
    await story.begin()
    life = asyncio.create_task(fail_then_work(story))
    await story.clock.sleep(520)
    story.journal = await story.die()
    await story.clock.sleep(10)
    await story.resume(story.journal)
    state = await story.finish()
    await life
    assert state.finish is not None
    assert state.finish.status == "passed"
    assert len(story.scripts.ran("on-failure.sh")) == 1
    assert [c.script.facts["NVSX_REPAIR_NO"] for c in story.scripts.ran("on-attempt.sh")] == ["2"]


async def test_closed_by_a_person_the_run_has_failed(tmp_path: Path) -> None:
    """A person closes the incident: the run ends, as failed, and says who."""
    story = kept(tmp_path)
    await story.begin()
    await fail_once(story, Life(story))
    await story.clock.sleep(10)
    story.door.close_by("ann")
    state = await story.finish()
    assert state.finish is not None
    assert (state.finish.status, state.finish.reason) == ("failed", "closed: closed by ann")
    assert statuses(state)["recover"] == "skipped"


async def test_the_incident_file_is_the_incident_as_it_is(tmp_path: Path) -> None:
    """NVSX_INCIDENT_FILE has faults, attempts, state and cause of the moment, and the pods that
    the quarantine hit, those of DaemonSets apart."""
    story = kept(tmp_path)
    seen: list[dict[str, Any]] = []
    await story.begin()
    node = Life(story)
    pods = (build.pod("train-4"), build.pod("dcgm", owner="DaemonSet/dcgm"))
    await story.at(5, lambda: story.fault(pods=pods))
    await story.at(7, lambda: story.held("quarantined", pods=pods))
    await story.at(90, lambda: story.held(*STATES[:3]))
    await story.at(96, node.ask)
    await story.at(500, node.time_out)
    await story.clock.sleep(5)
    seen.append(json.loads(story.artifacts.files["incident.json"]))
    story.runner.cancel("test", "enough")  # type: ignore[union-attr]
    await story.finish()
    (found,) = seen
    assert found["incident"] == "i-1"
    assert found["state"] == "needs people"
    assert found["cause"]["code"] == "repair-timed-out"
    assert [(a["no"], a["outcome"]) for a in found["attempts"]] == [(1, "failed")]
    assert [f["check"] for f in found["faults"]] == ["SysLogsXIDError"]
    assert [p["name"] for p in found["jobs"]] == ["train-4"]
    assert [p["name"] for p in found["daemons"]] == ["dcgm"]
    facts = story.scripts.ran("on-failure.sh")[0].script.facts
    assert facts["NVSX_INCIDENT_ID"] == "i-1"
    assert facts["NVSX_INCIDENT_FILE"].endswith("incident.json")


async def test_the_start_names_the_incident(tmp_path: Path) -> None:
    """JSONL: the incident's id is in `start`, and an `incident` event tells its key."""
    story = kept(tmp_path)
    await story.begin()
    await story.at(5, lambda: story.held("quarantined"))
    story.runner.cancel("test", "enough")  # type: ignore[union-attr]
    state = await story.finish()
    assert state.start is not None
    assert state.incident is not None
    assert state.start.incident == state.incident.incident == "i-1"


async def test_people_are_called_while_a_stage_can_still_come_true(tmp_path: Path) -> None:
    """Manual mode: people are called once, remediate stays open, and when they have rebooted the
    node its hook fires as always; nothing has failed."""
    story = kept(tmp_path)
    await story.begin()
    node = Life(story)
    await story.at(5, story.fault)
    await story.at(7, lambda: story.held(*STATES[:3]))
    by_hand = ("ManualMode", "True", "OutsideActorRequired")

    def ask() -> Snapshot:
        node.requests = [story.reboot(by_hand, uid="uid-1")]
        return node.show()

    await story.at(8, ask)
    await story.at(600, lambda: node.end(DONE, boot_id="boot-2"))
    await story.at(610, node.release)
    state = await story.finish()
    assert set(statuses(state).values()) == {"pass"}
    (call,) = story.scripts.ran("on-failure.sh")
    assert call.script.facts["NVSX_CAUSE_CODE"] == "manual-mode"
    assert call.script.facts["NVSX_FAILED_STAGE"] == "remediate"
    assert call.begun - story.begin_at < 15
    assert state.finish is not None
    assert (state.finish.status, state.finish.failed_stages) == ("passed", ())


async def test_by_hand_manual_mode_is_waited_for(tmp_path: Path) -> None:
    """A person sits before the notes: no failure hook, the note names the cause, and the run
    passes when the node is back."""
    story = kept(tmp_path, by_hand=True)
    await story.begin()
    node = Life(story)
    await story.at(5, story.fault)
    await story.at(7, lambda: story.held(*STATES[:3]))

    def ask() -> Snapshot:
        node.requests = [story.reboot(("ManualMode", "True", "x"), uid="uid-1")]
        return node.show()

    await story.at(8, ask)
    await story.at(600, lambda: node.end(DONE, boot_id="boot-2"))
    await story.at(610, node.release)
    state = await story.finish()
    assert state.finish is not None
    assert state.finish.status == "passed"
    assert story.scripts.ran("on-failure.sh") == []
    assert "manual-mode" in [n.code for _, n in state.notes]


async def test_a_stage_that_ran_out_of_time_leaves_the_later_ones_open(tmp_path: Path) -> None:
    """quarantine, whose watch is a label of the team's, times out at 60 s: people are called once;
    what comes true after it fires its hooks, also hours later, and the run passes."""
    label = {"kind": "node-label", "key": "team/held", "value": "yes"}
    held = {**CHAIN[1], "watch": [label], "timeout": "1m"}
    story = kept(tmp_path, [CHAIN[0], held, *CHAIN[2:]])
    await story.begin()
    node = Life(story)
    await story.at(5, story.fault)
    await story.at(7, lambda: story.held(*STATES[:2]))
    await story.at(4 * 3600, lambda: story.held(*STATES[:3]))
    await story.at(4 * 3600 + 9, node.ask)
    await story.at(4 * 3600 + 300, lambda: node.end(DONE, boot_id="boot-2"))
    await story.at(4 * 3600 + 310, node.release)
    state = await story.finish()
    assert statuses(state) == {
        "detect": "pass",
        "quarantine": "timeout",
        "drain": "pass",
        "remediate": "pass",
        "recover": "pass",
        "postmortem": "pass",
    }
    assert state.finish is not None
    assert (state.finish.status, state.finish.failed_stages) == ("passed", ("quarantine",))
    assert [c.begun - story.begin_at for c in story.scripts.ran("on-failure.sh")] == [
        pytest.approx(65, abs=2)
    ]


async def test_a_later_stage_passes_by_one_that_never_came_true(tmp_path: Path) -> None:
    """After a failure drain waits for a label that never comes; the node is repaired and released
    all the same: on-remediate and on-recover fire, and drain is skipped at the end."""
    label = {"kind": "node-label", "key": "team/empty", "value": "yes"}
    held = {**CHAIN[1], "watch": [label], "timeout": "1m"}
    drain = {**CHAIN[2], "watch": [label]}
    story = kept(tmp_path, [CHAIN[0], held, drain, *CHAIN[3:]])
    await story.begin()
    node = Life(story)
    await story.at(5, story.fault)
    await story.at(7, lambda: story.held(*STATES[:3]))
    await story.at(200, node.ask)
    await story.at(300, lambda: node.end(DONE, boot_id="boot-2"))
    await story.at(310, node.release)
    state = await story.finish()
    found = statuses(state)
    assert (found["drain"], found["remediate"], found["recover"]) == ("skipped", "pass", "pass")
    assert len(story.scripts.ran("on-remediate.sh")) == len(story.scripts.ran("on-recover.sh")) == 1
    assert state.finish is not None
    assert state.finish.status == "passed"


@pytest.mark.parametrize("by_hand", [True, False])
async def test_a_fault_without_a_rule_set_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_hand: bool
) -> None:
    """No quarantine can come by fault-quarantine's configuration: said at once, not after 15
    minutes."""
    why = "SlurmHealthCheck: no rule set of fault-quarantine is for events of slurm"
    found = (SeenCause("no-rule", why, "decide by hand: kubectl cordon n1"),)
    monkeypatch.setattr("nvsx.nvsentinel.sights.find_seen_causes", lambda *_: found)
    story = kept(tmp_path, by_hand=by_hand)
    await story.begin()
    await story.at(5, story.fault)
    await story.at(60, story.fault)
    state = await story.state()
    stage = state.stage("quarantine")
    assert stage is not None
    assert (stage.status, stage.reason) == ("fail", why)
    assert story.clock.now() - story.begin_at <= 60
    assert ("on-failure.sh" in str(hooks(story))) is True
    story.task.cancel()  # type: ignore[union-attr]
