"""The keeper: it follows incidents to their end, in virtual time, on fakes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as build
from tests.fakes.fake_incidents import FakeIncidents
from tests.fakes.fake_observer import FakeObserver
from tests.fakes.virtual_clock import VirtualClock

from nvsx.core.errors import StoreBusy, Unreachable
from nvsx.core.incident import incident_events as ev
from nvsx.core.incident.incident_store import IncidentFilter
from nvsx.core.incident.last_known import close_as_known
from nvsx.core.incident.node_look import step_look
from nvsx.core.incident.tolerances import IncidentLimits
from nvsx.core.masking import Masker
from nvsx.core.watches.snapshot import Resource, Snapshot
from nvsx.nvsentinel import names
from nvsx.serve.incident_keeper import IncidentKeeper
from nvsx.serve.incident_publisher import IncidentNews

CLUSTER = "uid-1"


class Ward:
    """One node n1 of a cluster, and a keeper on it."""

    def __init__(self, before: Ward | None = None, masker: Masker | None = None) -> None:
        self.clock: VirtualClock = before.clock if before else VirtualClock()
        self.observer: FakeObserver = before.observer if before else FakeObserver(cluster=CLUSTER)
        self.incidents: FakeIncidents = before.incidents if before else FakeIncidents(["r1", "r2"])
        self.news: list[IncidentNews] = []
        if before is None:
            self.show()
        self.keeper = IncidentKeeper(
            incidents=self.incidents,
            observer=self.observer,
            clock=self.clock,
            cluster=CLUSTER,
            limits=IncidentLimits(),
            masker=masker,
        )
        self.keeper.listen(self.news.append)

    def show(
        self, *ids: str, ready: bool = True, boot: str = "boot-1", requests: Any = (), **more: Any
    ) -> None:
        """n1 with a quarantine for these events; healthy without any."""
        now = self.clock.now()
        listed = [
            {
                "id": i,
                "checkName": "SysLogsXIDError",
                "isFatal": True,
                "errorCode": ["79"],
                "message": "GPU has fallen off the bus",
                "recommendedAction": 24,
                "processingStrategy": 1,
                "entitiesImpacted": [{"entityType": "PCI", "entityValue": "0000:b3:00"}],
            }
            for i in ids
        ]
        marks = {names.QUARANTINE_ANNOTATION: json.dumps(listed)} if ids else {}
        labels = {names.STATE_LABEL: "quarantined"} if ids else {}
        node = build.node(
            "n1",
            conditions=(build.condition(healthy=not ids, at=now),),
            cordoned=bool(ids),
            annotations=marks,
            labels=labels,
            boot_id=boot,
            ready=ready,
        )
        self.observer.set(
            Snapshot(at=now, node_name="n1", node=node, resources=tuple(requests), **more)
        )
        first = build.fault("n1", session_key=ids[0], id=ids[0]) if ids else None
        self.observer.incidents = [first] if first else []

    def request(self, name: str, *conditions: tuple[str, str, str]) -> Resource:
        return build.resource(
            *conditions,
            node="n1",
            created=self.clock.now(),
            name=f"maintenance-n1-{name}",
            uid=f"uid-{name}",
        )

    def said(self, kind: type[ev.IncidentBody]) -> list[Any]:
        return [e for n in self.news for e in n.events if isinstance(e, kind)]

    async def rows(self) -> list[str]:
        return [r.how for r in await self.incidents.rows(IncidentFilter())]


SENT = ("SignalSent", "True", "")
TIMED_OUT = ("NodeReady", "False", "Timeout")


async def test_an_open_session_is_followed_to_its_end() -> None:
    """Found at the start, it is opened late, and over thirty seconds after all is well."""
    ward = Ward()
    ward.show("a")
    await ward.keeper.begin()
    await ward.clock.sleep(60)
    ward.show()
    released = ward.clock.now()
    await ward.clock.sleep(29)
    assert ward.said(ev.IncidentEnded) == []
    await ward.clock.sleep(2)
    [opened], [ended] = ward.said(ev.IncidentOpened), ward.said(ev.IncidentEnded)
    assert (opened.by, opened.late, ended.how, ended.at) == (
        "quarantine",
        True,
        "recovered",
        released,
    )
    assert ward.keeper.open_incidents == []
    await ward.keeper.end()


async def test_a_view_wakes_who_waits_and_outlives_the_incident() -> None:
    """A run that waits is woken by each change, and sees the end."""
    ward = Ward()
    ward.show("a")
    await ward.keeper.begin()
    [(incident, state)] = ward.keeper.open_incidents
    view = await ward.keeper.view_of(incident)
    assert view.current is state
    ward.show()
    changed = await view.changed(state)
    assert changed is not state
    await ward.clock.sleep(40)
    assert view.current.ended is not None
    assert (await ward.keeper.view_of(incident)).current.state == "over"
    await ward.keeper.end()


@pytest.mark.parametrize("still_watched", [True, False])
async def test_the_end_of_a_run_is_told_to_its_own_incident_once(still_watched: bool) -> None:
    """Its incident is over and the next one is open on the node, or the node is gone and nobody
    looks at it any more: whoever tells it, and however often, it is that incident's last entry."""
    ward = Ward()
    ward.show("a")
    await ward.keeper.begin()
    view = await ward.keeper.join_run("n1", ev.RunJoined(run_id="r1"))
    ward.show()
    await ward.clock.sleep(40)
    assert view.current.ended is not None
    if still_watched:
        ward.show("b")
        await ward.keeper.join_run("n1", ev.RunJoined(run_id="r2"))
    else:
        await ward.clock.sleep(3600)
        del ward.observer.feeds["n1"]
    await view.tell_run_ended("r1", "passed")
    await ward.keeper.tell_run_ended("r1", "passed")
    [told] = [n for n in ward.news for e in n.events if isinstance(e, ev.RunEnded)]
    assert told.incident == view.incident
    assert view.current.runs == ((ev.RunJoined(run_id="r1"), "passed"),)
    bodies = [type(e.body) for e in await ward.incidents.entries(view.incident)]
    assert (bodies[-1], bodies.count(ev.RunEnded)) == (ev.RunEnded, 1)
    await ward.clock.sleep(5)
    working = [state.working_runs for _, state in ward.keeper.open_incidents]
    assert working == ([("r2",)] if still_watched else [])
    await ward.keeper.end()


@pytest.mark.parametrize("told_by_run", [True, False])
async def test_attempts_and_end_are_right_without_any_run_and_through_a_kill(
    told_by_run: bool,
) -> None:
    """With its run cancelled, or none at all, and the daemon killed between two attempts, the
    incident has two attempts, the first failed, and ends when the node is released."""
    ward = Ward()
    ward.show("a")
    await ward.keeper.begin()
    if told_by_run:
        await ward.keeper.join_run("n1", ev.RunJoined(run_id="r1", runbook="gpu-off-bus"))
        await ward.keeper.tell_run_ended("r1", "cancelled")
    await ward.clock.sleep(5)
    first = ward.request("one", SENT, TIMED_OUT)
    first = _completed(first, ward.clock.now())
    ward.show("a", requests=[first])
    await ward.clock.sleep(5)
    await ward.keeper.end()  # what a kill leaves is what is stored
    later = Ward(ward)
    await later.keeper.begin()
    await later.clock.sleep(5)
    second = later.request("two", SENT)
    later.show("a", requests=[first, second], ready=False)
    await later.clock.sleep(60)
    later.show("a", requests=[first, second], boot="boot-2")
    await later.clock.sleep(5)
    later.show(requests=[first, second], boot="boot-2")
    await later.clock.sleep(45)
    [row] = await later.incidents.rows(IncidentFilter())
    assert (row.how, row.attempts, row.failed_attempts) == ("recovered", 2, 1)
    await later.keeper.end()


def _completed(made: Resource, at: float) -> Resource:
    return msgspec.structs.replace(made, completed=at)


async def test_two_keepers_on_one_store_say_everything_once() -> None:
    """A daemon and a run by hand follow the same node: each event is stored once, and each tells
    its own listeners of it, whoever of the two was faster."""
    one = Ward()
    two = Ward(one)
    one.show("a")
    await one.keeper.begin()
    await two.keeper.begin()
    await one.clock.sleep(10)
    one.show()
    await one.clock.sleep(60)
    [row] = await one.incidents.rows(IncidentFilter())
    kinds = [type(e.body) for e in await one.incidents.entries(row.incident)]
    assert kinds.count(ev.IncidentOpened) == kinds.count(ev.IncidentEnded) == 1
    assert kinds.count(ev.SessionBegan) == kinds.count(ev.SessionEnded) == 1
    for ward in (one, two):
        assert len(ward.said(ev.SessionEnded)) == len(ward.said(ev.IncidentEnded)) == 1
        assert ward.news[-1].after.ended is not None
    await one.keeper.end()
    await two.keeper.end()


async def test_a_run_beside_a_daemon_sees_what_the_daemon_has_told() -> None:
    """Whichever of two keepers is the faster, the views of both show every step and the end."""
    one = Ward()
    two = Ward(one)
    one.show("a")
    await one.keeper.begin()
    await two.keeper.begin()
    [(incident, _)] = one.keeper.open_incidents
    views = [await ward.keeper.view_of(incident) for ward in (one, two)]
    one.show("a", ready=False)
    await one.clock.sleep(10)
    assert [view.current.node.ready for view in views] == [False, False]
    one.show()
    await one.clock.sleep(60)
    assert [view.current.state for view in views] == ["over", "over"]
    assert two.keeper.open_incidents == []
    await one.keeper.end()
    await two.keeper.end()


async def test_what_another_process_said_before_an_event_was_taken_is_told_too() -> None:
    """Intake decides on the story as its transaction finds it: what stands there that the keeper
    has not read yet reaches its listeners as well."""
    ward = Ward()
    ward.show("a")
    await ward.keeper.begin()
    known = await ward.incidents.story(CLUSTER, "n1")
    joined = ev.RunJoined(run_id="r1", runbook="gpu-off-bus")
    await ward.incidents.append(CLUSTER, "n1", known.position, [joined], ward.clock.now())
    async with ward.keeper.desks.at("n1") as desk:
        stored = await ward.incidents.story(CLUSTER, "n1")
        ward.keeper.desks.take_in(desk, step_look(ward.keeper.desks.look_at(desk), stored), None)
    await ward.clock.sleep(1)
    assert ward.said(ev.RunJoined) == [joined]
    [(_, state)] = ward.keeper.open_incidents
    assert state.working_runs == ("r1",)
    await ward.keeper.end()


async def test_a_run_that_joins_and_leaves_has_its_node_followed_once() -> None:
    """Who begins an incident by joining it has the node's objects listed once. The word of its end
    needs no look at the node: it is stored after the end, also while the cluster is away."""
    ward = Ward()
    view = await ward.keeper.join_run("n1", ev.RunJoined(run_id="r1", runbook="gpu-off-bus"))
    await ward.clock.sleep(10)
    await ward.keeper.close_by_hand("n1", "mara")
    await ward.clock.sleep(300)
    assert ward.observer.feeds["n1"].closed
    ward.observer.errors["follow"] = Unreachable("no answer")
    await view.tell_run_ended("r1", "passed")
    assert len(ward.observer.followed) == 1
    assert view.current.runs[0][1] == "passed"
    await ward.keeper.end()


async def test_a_run_that_is_resumed_gets_the_incident_that_it_had_joined() -> None:
    """Also when that is over, and the node has none."""
    ward = Ward()
    joined = ev.RunJoined(run_id="r1", runbook="gpu-off-bus")
    view = await ward.keeper.join_run("n1", joined)
    await ward.keeper.close_by_hand("n1", "mara")
    assert (await ward.keeper.join_run("n1", joined)).incident == view.incident
    assert ward.keeper.open_incidents == []
    await ward.keeper.end()


async def test_what_is_stored_of_a_node_has_no_secret_and_is_said_once() -> None:
    """Secrets in the words of a fault and of a request go before these are stored; looks that
    follow see the same, and say nothing of it again."""
    ward = Ward(masker=Masker({"BUS_TOKEN": "fallen off the bus", "A_TOKEN": "for NodeReady"}))
    await ward.keeper.begin()
    ward.show("a", requests=[ward.request("one", SENT)])
    async with ward.keeper.desks.at("n1"):
        pass
    for _ in range(3):
        await ward.clock.sleep(60)
        ward.show("a", requests=[ward.request("one", SENT)])
    [row] = await ward.incidents.rows(IncidentFilter())
    entries = await ward.incidents.entries(row.incident)
    stored = b"".join(ev.encode_incident_entry(e) for e in entries)
    assert (stored.count(b"fallen"), stored.count(b"NodeReady")) == (0, 0)
    [fault] = ward.said(ev.FaultSeen)
    [attempt] = ward.said(ev.AttemptChanged)
    assert "***" in fault.message
    assert "***" in attempt.detail
    await ward.keeper.end()


async def test_a_store_that_is_busy_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing can be appended nothing is told; afterwards all of it is."""
    ward = Ward()
    ward.show("a")
    await ward.keeper.begin()

    async def refuse(*_: Any) -> Any:
        raise StoreBusy("the store is locked")

    with monkeypatch.context() as busy:
        busy.setattr(ward.incidents, "append", refuse)
        ward.show()
        await ward.clock.sleep(60)
        assert ward.said(ev.SessionEnded) == []
    await ward.clock.sleep(60)
    assert len(ward.said(ev.SessionEnded)) == len(ward.said(ev.IncidentEnded)) == 1
    await ward.keeper.end()


async def test_an_empty_store_adopts_and_a_known_one_does_not() -> None:
    """On install day open sessions are adopted; what comes later is not."""
    ward = Ward()
    ward.show("a")
    assert await ward.keeper.begin() is False
    [opened] = ward.said(ev.IncidentOpened)
    assert opened.adopted
    ward.show()
    await ward.clock.sleep(60)
    await ward.keeper.end()
    later = Ward(ward)
    later.show("b")
    assert await later.keeper.begin() is True
    [opened] = later.said(ev.IncidentOpened)
    assert (opened.adopted, opened.late) == (False, True)
    await later.keeper.end()


async def test_a_node_that_is_gone_is_kept_until_its_time_is_over() -> None:
    """A Node that somebody took away: removed after a day, not before."""
    ward = Ward()
    ward.show("a")
    await ward.keeper.begin()
    ward.observer.set(Snapshot(at=ward.clock.now(), node_name="n1", node=None))
    await ward.clock.sleep(86400 - 5)
    assert ward.said(ev.IncidentEnded) == []
    await ward.clock.sleep(10)
    [ended] = ward.said(ev.IncidentEnded)
    assert ended.how == "removed"
    await ward.keeper.end()


async def test_a_person_closes_what_stays_and_it_opens_nothing_by_itself() -> None:
    """Closed by NAME; the same marks open nothing again, after a restart neither."""
    ward = Ward()
    ward.show("a")
    await ward.keeper.begin()
    await ward.keeper.close_by_hand("n1", "mara", "bad board, RMA 7")
    assert await ward.rows() == ["closed"]
    await ward.keeper.end()
    later = Ward(ward)
    await later.keeper.begin()
    await later.clock.sleep(300)
    assert await later.rows() == ["closed"]
    await later.keeper.end()


async def test_one_that_a_person_closed_elsewhere_is_over_here_too() -> None:
    """The next look at the store tells it, and the quarantine that stays opens no other."""
    ward = Ward()
    await ward.keeper.begin()
    ward.show("a")
    await ward.keeper.begin_for_one()
    ward.show("a")
    async with ward.keeper.desks.at("n1"):
        pass
    await ward.clock.sleep(1)
    stored = await ward.incidents.story(CLUSTER, "n1")
    at = ward.clock.now()
    closing = close_as_known(stored.story, "sam", "to the vendor", at)
    await ward.incidents.append(CLUSTER, "n1", stored.position, closing, at)
    assert len(ward.keeper.open_incidents) == 1
    assert await ward.keeper.take_in_what_people_wrote() == []
    assert ward.keeper.open_incidents == []
    assert ward.news[-1].after.ended is not None
    assert ward.news[-1].events == closing
    await ward.clock.sleep(600)
    assert len(ward.said(ev.IncidentOpened)) == 1
    await ward.keeper.end()


async def test_one_that_a_person_adopts_is_named_once() -> None:
    """Open at the first look at a cluster: its node is told at the next look, and not again."""
    ward = Ward()
    ward.show("a")
    await ward.keeper.begin()
    assert await ward.keeper.take_in_what_people_wrote() == []
    [(incident, state)] = ward.keeper.open_incidents
    assert state.is_left_alone
    note = ev.IncidentNoted(text="page", code=ev.ADOPTED_BY_HAND, author="sam")
    await ward.incidents.append_to(incident, note, ward.clock.now())
    assert await ward.keeper.take_in_what_people_wrote() == ["n1"]
    assert await ward.keeper.take_in_what_people_wrote() == []
    await ward.keeper.end()
