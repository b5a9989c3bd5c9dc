"""What every Inbox does, whichever way it stores: run on the fake and on SQLite."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.fake_inbox import FakeInbox
from tests.fakes.fake_journal import FakeJournal
from tests.fakes.virtual_clock import VirtualClock

from nvsx.core.errors import UsageError
from nvsx.core.incident.deciding import WatchMemory
from nvsx.core.incident.incident_events import (
    IncidentEvent,
    IncidentNoted,
    IncidentOpened,
    RunJoined,
)
from nvsx.core.incident.incident_state import NodeStory
from nvsx.core.incident.incident_store import StoredStory, StoryMoved
from nvsx.core.incident.node_look import StoryNews
from nvsx.core.incident.sight import Sight
from nvsx.core.journal.entries import CancelAsked, Finish
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.ports import Journal
from nvsx.core.routing.inbox import (
    Ask,
    Decision,
    Draft,
    Inbox,
    Ledger,
    Silence,
    StormFault,
    Taken,
)
from nvsx.core.routing.route import Explanation, RuleResult, TriggerFacts
from nvsx.core.routing.trigger_event import Outcome
from nvsx.store import inbox_of, open_store
from nvsx.store.sqlite_journal import SqliteJournal

DONE = Finish(ok=True, status="passed")


class World:
    """One store, and processes on it that can be started and killed."""

    def __init__(self, start: Callable[[], tuple[Any, Any]], kill: Callable[[Any], None]) -> None:
        self._start = start
        self.kill = kill
        self.journal: Journal
        self.inbox: Inbox
        self.journal, self.inbox = start()

    def another(self) -> tuple[Journal, Inbox]:
        return self._start()


@pytest.fixture(params=["fake", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A store of each kind; killing a process takes its lock away, as its death would."""
    if request.param == "fake":
        first = FakeJournal(VirtualClock())

        def fake() -> tuple[FakeJournal, FakeInbox]:
            journal = first.another()
            return journal, FakeInbox(journal)

        yield World(fake, FakeJournal.kill)
        return
    opened: list[SqliteJournal] = []

    def start() -> tuple[Any, Any]:
        opened.append(open_store(tmp_path / "state"))
        return opened[-1], inbox_of(opened[-1])

    yield World(start, lambda journal: journal._owner.release())
    for journal in opened:
        journal.close()


def draft(node: str = "n1", *keys: str, at: float = 100.0) -> Draft:
    """An XID 79 event on `node`, known by `keys`."""
    facts = TriggerFacts(node=node, check_name="SysLogsXIDError", error_codes=("79",))
    rule = RuleResult("triggers[0]", True, "it matches", (1, 2))
    return Draft(
        received=at,
        source="watch",
        keys=keys,
        facts=facts,
        cluster="c1",
        explanations=(Explanation("gpu-off-bus", (rule,)),),
        steps=("node: from data.node",),
    )


def fires(node: str = "n1", **more: Any) -> Decision:
    """The decision to run gpu-off-bus on `node`, with fields replaced."""
    run = NewRun(runbook="gpu-off-bus", cluster="c1", node=node, trigger="watch")
    fields: dict[str, Any] = {"outcome": "fired", "reason": "it matches", "runbook": "gpu-off-bus"}
    return Decision(**fields | {"create": run, "request": '{"node":"n1"}'} | more)


async def fire(world: World, node: str = "n1", *keys: str, **more: Any) -> Taken:
    """Store an event on `node` that fires."""
    return await world.inbox.take(draft(node, *keys), lambda _: fires(node, **more))


def _seen(keys: tuple[str, ...], since: float, ledger: Ledger) -> Any:
    return ledger.seen(keys, since)


def _silence(where: tuple[str, str, float], ledger: Ledger) -> Any:
    return ledger.silence(*where)


def ask_ledger(world: World, question: Callable[[Ledger], Any]) -> Any:
    """What a decision would be told."""
    told: list[Any] = []

    def decide(ledger: Ledger) -> Decision:
        told.append(question(ledger))
        return Decision(outcome="ignored", reason="only asked")

    async def consult() -> Any:
        await world.inbox.consult(decide)
        return told[0]

    return consult()


async def test_a_run_its_claim_request_and_event_come_together(world: World) -> None:
    """After `take` the run exists, holds its node, has its request, and its event explains it."""
    taken = await fire(world, "n1", "watch:1")
    assert taken.lease is not None
    row = await world.journal.run(taken.lease.run_id)
    holder = await ask_ledger(world, lambda ledger: ledger.at_work("c1", "n1", "gpu-off-bus", ""))
    event = await world.inbox.event(taken.event.event_id)
    assert (row.node, row.runbook, row.trigger) == ("n1", "gpu-off-bus", "watch")
    assert (holder.run_id, holder.alive) == (row.run_id, True)
    assert await world.inbox.request_of(row.run_id) == '{"node":"n1"}'
    assert event == taken.event
    assert (event.run_id, event.outcome, event.facts.node) == (row.run_id, "fired", "n1")
    assert event.explanations[0].rules[0].specificity == (1, 2)
    assert event.steps == ("node: from data.node",)


async def test_seen_finds_by_any_key_within_the_horizon(world: World) -> None:
    """An event is recognised by each of its keys, and no longer than asked for."""
    taken = await fire(world, "n1", "watch:1", "key:abc")
    for keys, since, found in (
        (("watch:1",), 0.0, True),
        (("x", "key:abc"), 0.0, True),
        (("watch:1",), 100.5, False),
        (("watch:2",), 0.0, False),
        ((), 0.0, False),
    ):
        seen = await ask_ledger(world, partial(_seen, keys, since))
        assert (seen.event_id if seen else None) == (taken.event.event_id if found else None)


async def test_duplicates_are_counted_and_store_nothing_else(world: World) -> None:
    """A duplicate adds one to the repeats of the event it repeats, and no event or run."""
    taken = await fire(world, "n1", "watch:1")
    again = Decision(outcome="duplicate", reason="seen", duplicate_of=taken.event)
    second = await world.inbox.take(draft("n1", "watch:1", at=160.0), lambda _: again)
    events = await world.inbox.events()
    assert second.lease is None
    assert [(e.repeats, e.last_received) for e in events] == [(1, 160.0)]
    assert len(await world.journal.runs()) == 1


async def test_concurrent_decisions_see_one_another(world: World) -> None:
    """Of fifty events on one node in the same instant exactly one finds the node free."""

    def decide(ledger: Ledger) -> Decision:
        holder = ledger.at_work("c1", "n1", "gpu-off-bus", "")
        if holder is None:
            return fires("n1")
        return Decision(outcome="attached", reason="joined", run_id=holder.run_id)

    taken = await asyncio.gather(
        *(world.inbox.take(draft("n1", f"k{i}"), decide) for i in range(50))
    )
    assert sorted(t.event.outcome for t in taken) == ["attached"] * 49 + ["fired"]
    assert len({t.event.run_id for t in taken}) == 1


async def test_interrupted_holder_is_told_as_dead(world: World) -> None:
    """The claim of a dead process is still there, and the ledger says that nobody works it."""
    await fire(world)
    world.kill(world.journal)
    _, inbox = world.another()
    seen: list[Any] = []

    def decide(ledger: Ledger) -> Decision:
        seen.append(ledger.at_work("c1", "n1", "gpu-off-bus", ""))
        return Decision(outcome="ignored", reason="")

    await inbox.consult(decide)
    assert (seen[0].alive, seen[0].status) == (False, "interrupted")


def news(*events: IncidentEvent, known: StoredStory | None = None) -> StoryNews:
    """What a step has to say of n1."""
    stored = known or StoredStory(NodeStory("n1"))
    sight = Sight(at=100.0, mono=0.0, node="n1")
    return StoryNews("c1", stored, stored.story, WatchMemory(), sight, events)


OPENED = IncidentOpened(key="k1", node="n1", by="alert")


async def test_an_incident_its_run_and_its_event_are_one_commit(world: World) -> None:
    """A decision that opens an incident and fires: the run is on its record, and a second run of
    the incident is found by its runbook and the incident alone."""
    taken = await fire(world, news=news(OPENED), joins=RunJoined(run_id="", runbook="gpu-off-bus"))
    assert taken.lease is not None
    assert taken.appended is not None
    stored = taken.appended.stored
    assert stored.story.open is not None
    assert stored.story.open.working_runs == (taken.lease.run_id,)
    at_work = [
        await ask_ledger(world, partial(_at_work, book, incident))
        for book, incident in (
            ("gpu-off-bus", stored.open_id),
            ("gpu-off-bus", "i-other"),
            ("ecc", stored.open_id),
        )
    ]
    assert [row and row.run_id for row in at_work] == [taken.lease.run_id, None, None]
    found = await ask_ledger(world, lambda led: led.story("c1", StoredStory(NodeStory("n1"))))
    assert (found.position, found.open_id) == (2, stored.open_id)
    assert await ask_ledger(world, lambda led: led.story("c1", stored)) is stored


async def test_a_repeated_delivery_still_adds_to_its_incident(world: World) -> None:
    """A duplicate makes no run, and what was seen meanwhile is on record all the same."""
    first = await fire(world, "n1", "k", news=news(OPENED))
    assert first.appended is not None
    known = first.appended.stored
    again = Decision(
        outcome="duplicate",
        reason="seen",
        duplicate_of=first.event,
        news=news(IncidentNoted(text="more"), known=known),
    )
    second = await world.inbox.take(draft("n1", "k"), lambda _: again)
    assert second.appended is not None
    assert second.appended.stored.position == known.position + 1


async def test_a_story_that_moved_on_stores_nothing(world: World) -> None:
    """News for a position that is another's already: no event, no run, no entry."""
    await fire(world, news=news(OPENED))
    with pytest.raises(StoryMoved):
        await fire(world, "n1", "late", news=news(OPENED))
    assert len(await world.inbox.events()) == 1
    assert len(await world.journal.runs()) == 1


def _at_work(book: str, incident: str, ledger: Ledger) -> Any:
    return ledger.at_work("c1", "n1", book, incident)


async def test_silences_cover_a_node_until_they_end(world: World) -> None:
    """A silence holds for its node and cluster until its time or until it is ended."""
    made = Silence(cluster="c1", node="n1", until=500.0, reason="riser", by="ann", created=100.0)
    await world.inbox.silence(made)
    found = await ask_ledger(world, lambda led: led.silence("c1", "n1", 400.0))
    assert (found.reason, found.by) == ("riser", "ann")
    for cluster, node, now in (("c1", "n2", 400.0), ("c2", "n1", 400.0), ("c1", "n1", 500.0)):
        wanted = (cluster, node, now)
        assert await ask_ledger(world, partial(_silence, wanted)) is None
    assert await world.inbox.end_silence("n1", 450.0)
    assert not await world.inbox.end_silence("n1", 460.0)
    assert await world.inbox.silences(460.0) == []


async def test_storm_size_grows_with_its_members(world: World) -> None:
    """A storm has its leader, the earlier runs made members, and each run that joins later."""

    def fault(node: str) -> StormFault:
        return StormFault(node=node, check="X", codes=("79",), at=90.0, domain="rack-1")

    first = await fire(world, "n1", fault=fault("n1"))
    second = await fire(world, "n2", fault=fault("n2"))
    assert first.lease is not None
    assert second.lease is not None
    assert await world.inbox.storm_of(first.lease.run_id) is None
    leader = first.lease.run_id
    members = (leader, second.lease.run_id)
    third = await fire(world, "n3", fault=fault("n3"), storm=leader, members=members)
    await fire(world, "n4", fault=fault("n4"), storm=leader)
    assert third.lease is not None
    for lease in (first.lease, second.lease, third.lease):
        mark = await world.inbox.storm_of(lease.run_id)
        assert mark is not None
        assert (mark.leader, mark.size) == (leader, 4)
    await world.journal.append(first.lease, [DONE])
    known = await ask_ledger(world, lambda led: led.storm_faults("c1", 0.0))
    assert [(k.node, k.leader, k.domain, k.at, k.open) for k in known] == [
        (f"n{i}", leader, "rack-1", 90.0, i != 1) for i in (1, 2, 3, 4)
    ]
    later = max(k.seen for k in known) + 1
    assert await ask_ledger(world, lambda led: led.storm_faults("c1", later)) == []
    assert await ask_ledger(world, lambda led: led.storm_faults("c2", 0.0)) == []
    recent = await ask_ledger(world, lambda led: led.recent("c1", "gpu-off-bus", 0.0))
    assert [row.node for row in recent] == ["n1", "n2", "n3", "n4"]
    assert await ask_ledger(world, lambda led: led.recent("c1", "ecc", 0.0)) == []


async def test_asks_wait_until_done_or_their_run_has_finished(world: World) -> None:
    """An ask stays, for any process, until it is done; the asks of a finished run vanish."""
    one = await fire(world, "n1", asks=(Ask(run_id="", kind="note", text="storm", code="storm"),))
    two = await fire(world, "n2")
    assert one.lease is not None
    assert two.lease is not None
    await world.inbox.ask(Ask(run_id=two.lease.run_id, kind="cancel", text="enough", by="ann"))
    _, other = world.another()
    asks = await other.asks()
    assert [(a.run_id, a.kind, a.text) for a in asks] == [
        (one.lease.run_id, "note", "storm"),
        (two.lease.run_id, "cancel", "enough"),
    ]
    await world.inbox.asked([asks[0].ask_id])
    assert [a.kind for a in await world.inbox.asks()] == ["cancel"]
    await world.journal.append(two.lease, [CancelAsked(by="ann"), DONE])
    assert list(await world.inbox.asks()) == []


async def test_armed_run_is_found_by_its_runbook(world: World) -> None:
    """A run that waits for its node is found, until it has one."""
    run = NewRun(runbook="gpu-off-bus", cluster="c1")
    taken = await world.inbox.take(draft(""), lambda _: fires("", create=run))
    assert taken.lease is not None
    armed = await ask_ledger(world, lambda led: led.armed("c1", "gpu-off-bus"))
    assert armed.run_id == taken.lease.run_id
    await world.journal.claim(taken.lease, "n1")
    assert await ask_ledger(world, lambda led: led.armed("c1", "gpu-off-bus")) is None


async def test_events_are_listed_newest_first_and_pruned_by_age(world: World) -> None:
    """Events come newest first, of one run when asked; old ones and their keys are forgotten."""
    ignored = Decision(outcome="ignored", reason="no runbook matches")
    for i in range(3):
        await world.inbox.take(draft("n1", f"k{i}", at=100.0 + i), lambda _: ignored)
    taken = await fire(world, "n2", "fired")
    times = [e.received for e in await world.inbox.events(limit=2)]
    assert times == [102.0, 101.0]
    mine = await world.inbox.events(run_id=taken.event.run_id)
    assert [e.event_id for e in mine] == [taken.event.event_id]
    assert await world.inbox.prune(101.5) == 3
    assert await ask_ledger(world, lambda led: led.seen(["k0", "k1"], 0.0)) is None
    with pytest.raises(UsageError):
        await world.inbox.event(taken.event.event_id)


async def test_cursor_is_what_was_set_last(world: World) -> None:
    """A cursor is None before it is set, and then whatever JSON was set last."""
    assert await world.inbox.cursor("mongodb") is None
    await world.inbox.set_cursor("mongodb", {"at": 1})
    await world.inbox.set_cursor("mongodb", {"at": 2, "seen": ["a"]})
    assert await world.inbox.cursor("mongodb") == {"at": 2, "seen": ["a"]}
    await world.inbox.probe()


@pytest.mark.parametrize("outcome", ["ignored", "missed", "noted", "attached"])
async def test_outcomes_without_a_run_are_kept_too(world: World, outcome: Outcome) -> None:
    """Whatever became of an event is kept with its reason."""
    decision = Decision(outcome=outcome, reason="because")
    taken = await world.inbox.take(draft("n1", "k"), lambda _: decision)
    event = await world.inbox.event(taken.event.event_id)
    assert (event.outcome, event.reason, taken.lease) == (outcome, "because", None)
