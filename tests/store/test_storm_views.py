"""Storms as messages know them, on a real store: who joined quietly, and when it is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import insert
from tests.notify.delivery_stage import BOOK

from nvsx.core.incident.incident_events import IncidentEnded, IncidentOpened, StateChanged
from nvsx.core.notify.message import Message, MessageKind
from nvsx.core.notify.outbox import OutboxFilter
from nvsx.core.routing.inbox import StormFault
from nvsx.notify.message_desk import MessageDesk
from nvsx.notify.speaker import IncidentSpeaker
from nvsx.store import incidents_of, open_store, outbox_of, storms_of
from nvsx.store.inbox_tables import storm_faults
from nvsx.store.incident_tables import incident_runs
from nvsx.store.sqlite_journal import SqliteJournal


class Rack:
    """Nodes of one rack, each with an incident and a run; `join` makes them one storm."""

    def __init__(self, journal: SqliteJournal) -> None:
        self.journal = journal
        self.incidents = incidents_of(journal)
        self.outbox = outbox_of(journal)
        self.storms = storms_of(journal)
        self.at = 1000.0
        storm_of = self.storms.storm_of
        self.desk = MessageDesk(self.outbox, BOOK, self.now, storm_of=storm_of)
        self.speaker = IncidentSpeaker(self.outbox, self.desk.accept, self, storm_of=storm_of)

    def now(self) -> float:
        """Unix seconds."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Nobody waits here."""

    async def begin(self, node: str, leader: str = "") -> str:
        """XID 79 on a node; its incident. `leader` is the node that was first."""
        self.at += 1
        opened = IncidentOpened(key=f"k-{node}", node=node, by="fault")
        incident = (await self.incidents.append("c", node, 0, (opened,), self.at)).stored.open_id
        fault = StormFault(
            node=node, domain="rack-4", check="SysLogsXIDError", codes=("79",), at=self.at
        )
        values = {
            "run_id": f"r-{node}",
            "cluster": "c",
            "leader": f"r-{leader}" if leader else "",
            "seen": self.at,
            "body": msgspec.json.encode(fault).decode(),
        }
        await self.journal.transact(lambda db: db.execute(insert(storm_faults).values(values)))
        run = {"run_id": f"r-{node}", "incident": incident}
        await self.journal.transact(lambda db: db.execute(insert(incident_runs).values(run)))
        return incident

    async def join(self, leader: str, *nodes: str) -> None:
        """They belong to one storm from now on."""
        names = [f"r-{n}" for n in nodes]
        change = storm_faults.update().where(storm_faults.c.run_id.in_(names))
        await self.journal.transact(lambda db: db.execute(change.values(leader=f"r-{leader}")))

    async def hook(self, incident: str, kind: MessageKind, title: str) -> str:
        """A hook asks; which subject it goes to."""
        self.at += 1
        call = f"{incident}/{kind}/{title}"
        message = Message(call=call, kind=kind, title=title, incident=incident, asked=self.at)
        return (await self.desk.accept([message]))[0].message.subject

    async def tell(self, incident: str, *events: StateChanged | IncidentEnded) -> None:
        """What becomes of an incident; nvsx speaks of it."""
        self.at += 1
        row = await self.incidents.row(incident)
        if events:
            stored = await self.incidents.story("c", row.node)
            await self.incidents.append("c", row.node, stored.position, events, self.at)
        story = (await self.incidents.story("c", row.node)).story
        state = story.open or story.last
        assert state is not None
        await self.speaker.speak_now(incident, state)

    async def said(self, storm: str) -> list[tuple[str, str]]:
        """What was said of a storm: kind and title."""
        found = await self.outbox.deliveries(OutboxFilter(subject=storm, limit=None))
        words = [(d.message.kind, d.message.title) for d in found if not d.fallback]
        return list(dict.fromkeys(words))


@pytest.fixture
async def rack(tmp_path: Path) -> AsyncIterator[Rack]:
    """A store of its own."""
    journal = open_store(tmp_path)
    yield Rack(journal)
    journal.close()


async def test_no_storm_is_no_storm(rack: Rack) -> None:
    """Two nodes with the same fault speak for themselves."""
    one = await rack.begin("n1")
    await rack.begin("n2")
    assert await rack.storms.storm_of(one) is None
    assert await rack.storms.storm("storm-i-unknown") is None
    assert await rack.hook(one, "page", "XID 79") == one


async def test_a_storm_has_a_page_of_its_own_and_ends_with_its_last_member(rack: Rack) -> None:
    """n1 and n2 paged before it was seen to be one; n3 joins quietly; the storm's page is closed
    when the last of them is over."""
    one, two = await rack.begin("n1"), await rack.begin("n2")
    for incident in (one, two):
        assert await rack.hook(incident, "page", "XID 79") == incident
    await rack.join("n1", "n1", "n2")
    three = await rack.begin("n3", leader="n1")
    storm = f"storm-{one}"
    assert await rack.hook(three, "page", "XID 79") == storm
    assert await rack.hook(one, "post", "drained") == one
    await rack.tell(three)
    view = await rack.storms.storm(storm)
    assert view is not None
    assert (view.key, view.domain, view.fault) == ("storm-k-n1", "rack-4", "SysLogsXIDError 79")
    assert [(m.node, m.paged_itself) for m in view.members] == [
        ("n1", True), ("n2", True), ("n3", False),
    ]  # fmt: skip
    begun = "Storm: SysLogsXIDError 79 on 3 nodes of rack-4: n1, n2, n3"
    assert await rack.said(storm) == [("page", "n3: XID 79"), ("page", begun), ("post", begun)]
    for incident in (one, three):
        await rack.tell(incident, IncidentEnded(how="recovered", at=rack.at))
    assert not any(kind == "resolve" for kind, _ in await rack.said(storm))
    await rack.tell(two, IncidentEnded(how="recovered", at=rack.at))
    over = "The storm is over: SysLogsXIDError 79 on 3 nodes of rack-4: n1, n2, n3"
    assert ("resolve", over) in await rack.said(storm)
    assert ("post", over) in await rack.said(storm)


async def test_a_quiet_member_that_needs_people_pages_for_itself(rack: Rack) -> None:
    """And its words before and after stay with the storm."""
    one = await rack.begin("n1")
    await rack.hook(one, "page", "XID 79")
    await rack.join("n1", "n1")
    two = await rack.begin("n2", leader="n1")
    storm = f"storm-{one}"
    assert await rack.hook(two, "page", "XID 79") == storm
    await rack.tell(two, StateChanged(state="needs people"))
    assert await rack.hook(two, "page", "the reboot timed out") == two
    assert await rack.hook(two, "post", "still broken") == storm
