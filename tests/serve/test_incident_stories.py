"""The stories of incidents at the daemon's level: what is on record, what fires, what is answered.

Expected results are written from the stories; the runs are real, the cluster and the store fakes,
the time virtual.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.fakes import fake_observer as build
from tests.serve.hall import CLUSTER, LISTED, THERMAL, Hall, book

from nvsx.core.incident import incident_events as ev
from nvsx.core.incident.incident_state import IncidentState
from nvsx.core.incident.incident_store import IncidentFilter, IncidentRow
from nvsx.core.ports import Fault
from nvsx.core.routing.inbox import Ask, Silence
from nvsx.core.watches.snapshot import Condition, Resource, Snapshot
from nvsx.nvsentinel import names
from nvsx.serve.limits import Limits

NVLINK = {
    "checkName": "GpuNvlinkWatch",
    "isFatal": True,
    "recommendedAction": 24,
    "errorCode": ["NVLINK_DOWN"],
    "entitiesImpacted": [{"entityType": "GPU", "entityValue": "3"}],
    "processingStrategy": 1,
}
LINK_BOOK = {"triggers": [{"check": "GpuNvlinkWatch"}]}
SENT = ("SignalSent", "True", "")
TIMED_OUT = ("NodeReady", "False", "Timeout")


class Cluster:
    """One node as NVSentinel shapes it, for a hall."""

    def __init__(self, hall: Hall, node: str = "n1") -> None:
        self.hall, self.node = hall, node
        self.listed: list[dict[str, Any]] = []
        self.conditions: dict[str, Condition] = {}
        self.requests: list[Resource] = []
        self.boot, self.ready = "boot-1", True
        self.labels: dict[str, str] = {}

    def show(self) -> None:
        now = self.hall.clock.now()
        marks, labels = {}, dict(self.labels)
        if self.listed:
            marks[names.QUARANTINE_ANNOTATION] = json.dumps(self.listed)
            labels[names.STATE_LABEL] = "quarantined"
        node = build.node(
            self.node,
            conditions=tuple(self.conditions.values()),
            ready=self.ready,
            cordoned=bool(self.listed),
            annotations=marks,
            labels=labels,
            boot_id=self.boot,
        )
        self.hall.observer.set(
            Snapshot(at=now, node_name=self.node, node=node, resources=tuple(self.requests))
        )

    def breaks(self, event_id: str, kind: dict[str, Any] = LISTED, *, told: bool = True) -> None:
        """NVSentinel quarantines the node for a fault; the stream of faults tells it."""
        at = self.hall.clock.now()
        check = str(kind["checkName"])
        self.listed.append(kind | {"id": event_id, "generatedTimestamp": self.stamp(at)})
        self.conditions[check] = build.condition(
            check=check,
            at=at,
            message=f"ErrorCode:{kind['errorCode'][0]} PCI:0000:b3:00 broken",
        )
        if kind is not LISTED:
            self.conditions[check] = build.condition(
                check=check, at=at, message=f"ErrorCode:{kind['errorCode'][0]} GPU:3 broken"
            )
        self.labels["k8saas.nvidia.com/cordon-timestamp"] = self.stamp(at, "%Y-%m-%dT%H-%M-%SZ")
        self.labels["k8saas.nvidia.com/cordon-by"] = "NVSentinel"
        self.show()
        event = build.health_event(
            self.node,
            id=event_id,
            check=check,
            error_codes=tuple(kind["errorCode"]),
            entities=tuple((e["entityType"], e["entityValue"]) for e in kind["entitiesImpacted"]),
            generated_at=at,
        )
        fault = Fault(self.node, event, self.listed[0]["id"])
        self.hall.observer.incidents = [fault]
        if told:
            self.hall.observer.add_fault(fault)

    def request(self, name: str, *conditions: tuple[str, str, str], **more: Any) -> None:
        now = self.hall.clock.now()
        self.requests = [r for r in self.requests if not r.name.endswith(name)]
        made = build.resource(
            *conditions, node=self.node, created=now, name=f"m-{name}", uid=f"u-{name}", **more
        )
        self.requests.append(made)
        self.show()

    def reboots(self, boot: str) -> None:
        self.boot, self.ready = boot, True
        self.show()

    def released(self) -> None:
        self.listed, self.conditions = [], {}
        now = self.hall.clock.now()
        for label in [label for label in self.labels if "/cordon-" in label]:
            del self.labels[label]
        self.labels["k8saas.nvidia.com/uncordon-timestamp"] = self.stamp(now, "%Y-%m-%dT%H-%M-%SZ")
        self.hall.observer.incidents = []
        self.show()

    @staticmethod
    def stamp(at: float, form: str = "") -> str:
        from datetime import UTC, datetime

        moment = datetime.fromtimestamp(at, UTC)
        return moment.strftime(form) if form else moment.isoformat()


async def rows(hall: Hall) -> list[IncidentRow]:
    """All incidents, oldest first."""
    return list(reversed(await hall.incidents.rows(IncidentFilter())))


async def state_on(hall: Hall, node: str = "n1") -> IncidentState:
    """The node's open incident, or its last."""
    stored = await hall.incidents.story(CLUSTER, node)
    found = stored.story.open or stored.story.last
    assert found is not None
    return found


def noted(hall: Hall) -> list[str]:
    """The codes of what was noted."""
    notes = [e for n in hall.news for e in n.events if isinstance(e, ev.IncidentNoted)]
    return [note.code for note in notes]


async def curl(hall: Hall, number: int = 1) -> Any:
    """The README's: it names a runbook and a node, and no fault."""
    return await hall.offer(
        "n1",
        source="webhook",
        runbook="gpu-off-bus",
        check_name="",
        error_codes=(),
        generated_at=None,
        delivery=f"curl-{number}",
    )


@pytest.mark.parametrize("cancelled", [False, True])
async def test_stories_1_and_2_a_second_attempt_is_the_same_incident(cancelled: bool) -> None:
    """The first RebootNode times out, the second works: one incident with two attempts, one run
    of its runbook whatever a person does, and the time to repair is the whole time."""
    hall = Hall("n1")
    await hall.begin()
    node = Cluster(hall)
    began = hall.clock.now()
    node.breaks("a")
    await hall.clock.sleep(5)
    node.request("one", SENT)
    await hall.clock.sleep(1500)
    node.request("one", SENT, TIMED_OUT, completed=hall.clock.now())
    await hall.clock.sleep(5)
    [run] = await hall.rows()
    assert (await state_on(hall)).state == "needs people"
    if cancelled:
        await hall.inbox.ask(Ask(run_id=run.run_id, kind="cancel", text="enough", by="ann"))
        await hall.clock.sleep(5)
        assert (await hall.journal.run(run.run_id)).finished is not None
    node.request("two", SENT)
    await hall.clock.sleep(5)
    assert (await state_on(hall)).state == "repairing"
    node.reboots("boot-2")
    await hall.clock.sleep(60)
    node.released()
    released = hall.clock.now()
    await hall.clock.sleep(40)
    [row] = await rows(hall)
    assert (row.attempts, row.failed_attempts, row.how) == (2, 1, "recovered")
    assert row.ended == released
    assert row.repair_s == pytest.approx(released - began, abs=1.0)
    assert [r.run_id for r in await hall.rows()] == [run.run_id]
    await hall.close()


async def test_story_3_a_heavier_fault_never_waits_for_a_lighter_one() -> None:
    """A thermal warning, 4 s later XID 79: both runbooks run in one incident, and the time to
    repair is under XID 79."""
    slow = {"id": "recover", "watch": [{"kind": "node-condition", "type": "Never"}]}
    hot = THERMAL | {"stages": [{"id": "detect"}, slow]}
    hall = Hall("n1", books=(book(), book("thermal-throttle", **hot)))
    await hall.begin(watch=False)
    node = Cluster(hall)
    node.show()
    heat = {"check_name": "GpuThermalWatch", "is_fatal": False, "error_codes": ()}
    warm = await hall.offer("n1", source="alertmanager", **heat)
    await hall.clock.sleep(4)
    node.breaks("a", told=False)
    event = build.health_event("n1", id="a", generated_at=hall.clock.now())
    answer = await hall.offer("n1", event=event, source="nvsentinel")
    assert (warm.outcome, answer.outcome) == ("fired", "fired")
    assert (await hall.journal.run(warm.run_id)).finished is None
    state = await state_on(hall)
    assert {joined.runbook: joined.faults for joined, _ in state.runs} == {
        "thermal-throttle": (),
        "gpu-off-bus": (1,),
    }
    assert len(await rows(hall)) == 1
    await hall.close()


async def test_story_4_a_new_fault_six_hours_later_has_its_own_run() -> None:
    """An NVLink fault in the same session: a second run, in the same incident."""
    hall = Hall("n1", books=(book(), book("nvlink-fault", **LINK_BOOK)))
    await hall.begin()
    node = Cluster(hall)
    node.breaks("a")
    await hall.clock.sleep(6 * 3600)
    node.breaks("b", NVLINK)
    await hall.clock.sleep(5)
    state = await state_on(hall)
    assert {j.runbook: j.faults for j, _ in state.runs} == {
        "gpu-off-bus": (1,),
        "nvlink-fault": (2,),
    }
    assert len(await rows(hall)) == 1
    await hall.close()


@pytest.mark.parametrize("sender", ["curl", "alertmanager", "datadog"])
async def test_story_5_after_a_recovery_a_new_trouble_is_a_new_incident(sender: str) -> None:
    """Five minutes after the node is back: the curl, an alert that starts now, a plain body."""
    hall = Hall("n1")
    await hall.begin()
    node = Cluster(hall)
    node.breaks("a")
    await hall.clock.sleep(60)
    node.released()
    await hall.clock.sleep(300)
    if sender == "curl":
        answer = await curl(hall)
    else:
        answer = await hall.offer("n1", source=sender, delivery="d", alert="9f1")
    assert answer.outcome == "fired"
    found = await rows(hall)
    assert [row.how for row in found] == ["recovered", ""]
    assert (await state_on(hall)).opened.by == "alert"
    await hall.close()


@pytest.mark.parametrize("age", [20 * 60.0, 5 * 3600.0])
async def test_story_6_an_alert_that_is_still_firing_is_believed(age: float) -> None:
    """Firing since 20 minutes, since 5 h: it fires. A one-off event so old is missed."""
    hall = Hall("n1", "n2")
    await hall.begin()
    began = hall.clock.now() - age
    standing = await hall.offer(
        "n1", source="alertmanager", alert="f", generated_at=began, standing=True
    )
    once = await hall.offer("n2", source="webhook", generated_at=began)
    assert (standing.outcome, once.outcome) == ("fired", "missed")
    await hall.close()


async def test_story_6_an_answered_alert_is_told_once_and_its_next_start_fires() -> None:
    """The same alert repeated after the repair opens nothing and is one note half an hour after
    the end, through a restart too; its next start is a new incident."""
    hall = Hall("n1")
    await hall.begin()
    node = Cluster(hall)
    began = hall.clock.now()
    node.breaks("a")

    async def fires(at: Hall, start: float) -> str:
        answer = await at.offer(
            "n1",
            source="alertmanager",
            delivery=f"f-{start}",
            alert="f",
            generated_at=start,
            standing=True,
        )
        return answer.outcome

    assert await fires(hall, began) in ("fired", "attached")
    await hall.clock.sleep(60)
    node.released()
    await hall.clock.sleep(60)
    assert await fires(hall, began) == "duplicate"
    await hall.clock.sleep(600)
    assert "still-firing:alertmanager:f" not in noted(hall)
    await hall.die()
    later = hall.another()
    await later.begin()
    await later.clock.sleep(1300)
    assert await fires(later, began) == "duplicate"
    await later.clock.sleep(3600)
    assert noted(later) == ["still-firing:alertmanager:f"]
    assert len(await rows(later)) == 1
    assert await fires(later, later.clock.now()) == "fired"
    assert len(await rows(later)) == 2
    await later.close()


async def test_story_7_an_alert_that_the_cluster_does_not_show() -> None:
    """It fires at once; a real fault 5 minutes later joins; from then on the cluster ends it: the
    sender's resolve is a note."""
    hall = Hall("n1")
    await hall.begin()
    node = Cluster(hall)
    first = await hall.offer("n1", source="alertmanager", delivery="d", alert="f")
    await hall.clock.sleep(300)
    node.breaks("a")
    await hall.clock.sleep(5)
    state = await state_on(hall)
    assert (first.outcome, len(state.faults), len(state.alerts)) == ("fired", 1, 1)
    resolved = await hall.offer("n1", source="alertmanager", alert="f", resolved=True)
    await hall.clock.sleep(1200)
    assert resolved.outcome == "noted"
    assert (await state_on(hall)).ended is None
    node.released()
    await hall.clock.sleep(40)
    assert [row.how for row in await rows(hall)] == ["recovered"]
    await hall.close()


async def test_story_7_a_resolve_ends_an_incident_of_alerts_alone() -> None:
    """The cluster shows nothing: the sender's word is all there is, and ends it."""
    hall = Hall("n1")
    await hall.begin()
    await hall.offer("n1", source="alertmanager", delivery="d", alert="f")
    answer = await hall.offer("n1", source="alertmanager", alert="f", resolved=True)
    assert answer.outcome == "noted"
    assert [row.how for row in await rows(hall)] == ["cleared"]
    await hall.close()


@pytest.mark.parametrize(("waited", "how"), [(86_400 - 5, ""), (86_400 + 5, "unconfirmed")])
async def test_story_7_a_sender_that_never_resolves(waited: float, how: str) -> None:
    """Closed as unconfirmed after a day, and not before."""
    hall = Hall("n1")
    await hall.begin()
    await hall.offer("n1", source="alertmanager", delivery="d", alert="f")
    await hall.clock.sleep(waited)
    assert [row.how for row in await rows(hall)] == [how]
    await hall.close()


async def test_story_8_a_fault_without_a_runbook_is_on_record_and_told_to_be_nobodys() -> None:
    """A fatal fault that no runbook takes: an incident without a run, and the word for it; a
    thousand XID 31 that are not fatal leave nothing."""
    hall = Hall("n1")
    await hall.begin()
    Cluster(hall).breaks("a", NVLINK)
    await hall.clock.sleep(5)
    assert [a.outcome for a in hall.answers] == ["ignored"]
    assert [d.unrouted for d in hall.decisions] == [True]
    assert [row.faults for row in await rows(hall)] == [("GpuNvlinkWatch NVLINK_DOWN",)]
    quiet = Hall("n1")
    await quiet.begin()
    for number in range(1000):
        await quiet.offer("n1", error_codes=("31",), is_fatal=False, delivery=f"x{number}")
    assert not any(d.unrouted for d in quiet.decisions)
    assert await rows(quiet) == []
    for one in (hall, quiet):
        await one.close()


async def test_a_fault_without_a_runbook_is_not_silenced_by_a_warnings_run() -> None:
    """While only thermal-throttle is at work, an NVLink fault of nobody's is still nobody's."""
    slow = {"id": "recover", "watch": [{"kind": "node-condition", "type": "Never"}]}
    hot = THERMAL | {"stages": [{"id": "detect"}, slow]}
    hall = Hall("n1", books=(book(), book("thermal-throttle", **hot)))
    await hall.begin()
    await hall.offer("n1", check_name="GpuThermalWatch", is_fatal=False, error_codes=())
    Cluster(hall).breaks("a", NVLINK)
    await hall.clock.sleep(5)
    assert [d.unrouted for d in hall.decisions] == [False, True]
    await hall.close()


async def test_a_silenced_node_is_on_record_and_fires_late_when_the_silence_ends() -> None:
    """The incident is there from the first moment; its run comes when the silence is over."""
    hall = Hall("n1")
    now = hall.clock.now()
    await hall.inbox.silence(
        Silence(cluster="", node="n1", until=now + 600, reason="r", by="ann", created=now)
    )
    await hall.begin()
    Cluster(hall).breaks("a")
    await hall.clock.sleep(601)
    assert await hall.rows() == []
    assert len(await rows(hall)) == 1
    hall.lookout.start_over()
    await hall.clock.sleep(5)
    [run] = await hall.rows()
    start = (await hall.state(run.run_id)).start
    assert start is not None
    assert start.late
    await hall.close()


async def test_a_person_may_run_it_again_and_nvsentinels_retry_does_not() -> None:
    """After the run has ended: the same fault again starts nothing, a POST does."""
    hall = Hall("n1", books=(book(stages=[{"id": "detect"}]),))
    await hall.begin()
    node = Cluster(hall)
    node.breaks("a")
    await hall.clock.sleep(60)
    node.request("two", SENT)
    same = await hall.offer("n1", delivery="later")
    await hall.clock.sleep(60)
    assert same.outcome == "attached"
    assert len(await hall.rows()) == 1
    assert (await curl(hall)).outcome == "fired"
    assert len(await hall.rows()) == 2
    assert len(await rows(hall)) == 1
    await hall.close()


async def test_a_fault_that_no_source_offered_is_routed_by_the_lookout() -> None:
    """In a mode that only listens to senders a second fault on the node starts its runbook."""
    hall = Hall("n1", books=(book(), book("nvlink-fault", **LINK_BOOK)))
    await hall.begin(watch=False)
    node = Cluster(hall)
    node.breaks("a", told=False)
    await hall.offer("n1", event=build.health_event("n1", id="a"))
    node.breaks("b", NVLINK, told=False)
    await hall.clock.sleep(5)
    assert sorted(r.runbook for r in await hall.rows()) == ["gpu-off-bus", "nvlink-fault"]
    await hall.close()


async def test_a_repairs_own_side_effect_starts_nothing_until_it_outlives_it() -> None:
    """A link fault during the reboot: nothing for five minutes after Ready, then its runbook."""
    hall = Hall("n1", books=(book(), book("nvlink-fault", **LINK_BOOK)))
    await hall.begin()
    node = Cluster(hall)
    node.breaks("a")
    await hall.clock.sleep(5)
    node.request("one", SENT)
    await hall.clock.sleep(1)
    node.ready = False
    node.breaks("b", NVLINK)
    await hall.clock.sleep(60)
    node.reboots("boot-2")
    await hall.clock.sleep(295)
    assert [r.runbook for r in await hall.rows()] == ["gpu-off-bus"]
    await hall.clock.sleep(15)
    assert [r.runbook for r in await hall.rows()] == ["gpu-off-bus", "nvlink-fault"]
    await hall.close()


async def test_story_9_a_run_that_comes_late_finds_the_incident_it_joins() -> None:
    """20 s into an incident a person's run joins it: what has happened is in its view."""
    hall = Hall("n1")
    await hall.begin(watch=False)
    node = Cluster(hall)
    node.breaks("a", told=False)
    await hall.offer("n1", error_codes=("31",), event=build.health_event("n1", id="a"))
    node.request("one", SENT)
    await hall.clock.sleep(1)
    node.reboots("boot-2")
    await hall.clock.sleep(20)
    hall.incidents.add_run("r-hand")
    joined = ev.RunJoined(run_id="r-hand", runbook="gpu-off-bus")
    view = await hall.keeper.join_run("n1", joined)
    assert view.current.attempts[0].booted
    assert view.current.working_runs == ("r-hand",)
    assert len(await rows(hall)) == 1
    await hall.close()


async def test_story_17_uncordoned_by_hand_is_needed_people_once_through_three_restarts() -> None:
    """Somebody removes NVSentinel's marks while the fault is there: raised, once, and no end;
    three restarts open nothing and say nothing again."""
    hall = Hall("n1")
    await hall.begin()
    node = Cluster(hall)
    node.breaks("a")
    await hall.clock.sleep(30)
    node.listed = []
    node.show()
    hall.observer.incidents = []
    await hall.clock.sleep(60)
    assert (await state_on(hall)).state == "needs people"
    for _ in range(3):
        await hall.die()
        hall = hall.another()
        await hall.begin()
        await hall.clock.sleep(120)
        told = [e for n in hall.news for e in n.events if isinstance(e, ev.StateChanged)]
        assert told == []
    state = await state_on(hall)
    assert (state.state, state.ended) == ("needs people", None)
    assert len(await rows(hall)) == len(await hall.rows()) == 1
    await hall.close()


@pytest.mark.parametrize("size", [8, 18])
async def test_story_20_a_rack_is_one_storm_that_ends_with_the_last(size: int) -> None:
    """The nodes of one NVLink domain fail over 30 s; the first one recovers first."""
    nodes = [f"n{i:02}" for i in range(size)]
    hall = Hall(*nodes)
    await hall.begin()
    racks = [Cluster(hall, name) for name in nodes]
    for rack in racks:
        rack.labels["nvidia.com/gpu.clique"] = "clique-7.0"
        rack.show()
    for number, rack in enumerate(racks):
        rack.breaks(f"e{number}")
        await hall.clock.sleep(30 / size)
    await hall.clock.sleep(60)
    runs = {r.node: r.run_id for r in await hall.rows()}
    marks = {n: await hall.inbox.storm_of(runs[n]) for n in nodes}
    assert {n: m and (m.leader, m.size) for n, m in marks.items()} == dict.fromkeys(
        nodes, (runs["n00"], size)
    )
    racks[0].released()
    await hall.clock.sleep(120)
    late = Cluster(hall, "late")
    late.labels["nvidia.com/gpu.clique"] = "clique-7.0"
    late.show()
    late.breaks("late")
    await hall.clock.sleep(5)
    mark = await hall.inbox.storm_of((await hall.rows())[-1].run_id)
    assert mark is not None
    assert (mark.leader, mark.size) == (runs["n00"], size + 1)
    await hall.close()


async def test_story_20_three_unrelated_faults_are_no_storm() -> None:
    """Three nodes of a large cluster within two minutes: each is told by itself."""
    names_ = ("a1", "b2", "c3")
    hall = Hall(*names_, limits=Limits())
    await hall.begin()
    for number, name in enumerate(names_):
        Cluster(hall, name).breaks(f"e{number}")
        await hall.clock.sleep(30)
    assert [await hall.inbox.storm_of(r.run_id) for r in await hall.rows()] == [None] * 3
    await hall.close()


@pytest.mark.parametrize(
    ("planned", "fired"), [(False, ["any-fault", "gpu-off-bus"]), (True, ["gpu-off-bus"])]
)
async def test_story_8_a_quarantine_for_what_is_not_fatal_is_not_nobodys(
    planned: bool, fired: list[str]
) -> None:
    """It joins the session, no source has offered it as quarantined, and the catch-all takes it;
    planned work it leaves alone."""
    hall = Hall("n1", books=(book(), book("any-fault", triggers=[{"default": True}])))
    await hall.begin()
    node = Cluster(hall)
    node.breaks("a")
    await hall.clock.sleep(5)
    more = {"metadata": {"maintenanceRequestName": "m-1"}} if planned else {}
    node.listed.append(LISTED | {"id": "b", "checkName": "FabricCheck", "isFatal": False} | more)
    node.show()
    await hall.clock.sleep(30)
    assert sorted(row.runbook for row in await hall.journal.runs()) == fired
    await hall.close()


@pytest.mark.parametrize("by", [3600.0, -86_400.0])
async def test_story_12_a_wall_clock_that_is_set_stalls_no_alert(by: float) -> None:
    """Set while nvsx was down: an alert alone is closed a day after the new start at the latest,
    and nothing is closed at the start."""
    hall = Hall("n1")
    await hall.begin()
    await hall.offer("n1", source="alertmanager", delivery="d", alert="f")
    await hall.clock.sleep(60)
    await hall.die()
    hall.clock.set_wall_clock(by)
    again = hall.another()
    await again.begin()
    await again.clock.sleep(60)
    assert [row.how for row in await rows(again)] == [""]
    await again.clock.sleep(86_400)
    assert [row.how for row in await rows(again)] == ["unconfirmed"]
    await again.close()
