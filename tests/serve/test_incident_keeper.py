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

from nvsx.core.errors import StoreBusy
from nvsx.core.incident import incident_events as ev
from nvsx.core.incident.incident_store import IncidentFilter
from nvsx.core.incident.last_known import close_as_known
from nvsx.core.incident.tolerances import IncidentLimits
from nvsx.core.watches.snapshot import Resource, Snapshot
from nvsx.nvsentinel import names
from nvsx.serve.incident_keeper import IncidentKeeper
from nvsx.serve.incident_publisher import IncidentNews

CLUSTER = "uid-1"


class Ward:
    """One node n1 of a cluster, and a keeper on it."""

    def __init__(self, before: Ward | None = None) -> None:
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
        await ward.keeper.say("n1", [ev.RunJoined(run_id="r1", runbook="gpu-off-bus")])
        await ward.keeper.tell_run_ended("r1", "n1", "cancelled")
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
    """A daemon and a run by hand follow the same node: each event is stored once."""
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
    await ward.incidents.append_note(incident, note, ward.clock.now())
    assert await ward.keeper.take_in_what_people_wrote() == ["n1"]
    assert await ward.keeper.take_in_what_people_wrote() == []
    await ward.keeper.end()
