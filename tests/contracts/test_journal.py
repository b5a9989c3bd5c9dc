"""What every Journal does, whichever way it stores: run on the fake and on SQLite."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.fakes.fake_journal import FakeJournal
from tests.fakes.virtual_clock import VirtualClock
from tests.patience import patience

from nvsx.core.errors import NodeClaimed, StaleOwner, UsageError
from nvsx.core.incident.session import Session
from nvsx.core.journal.entries import (
    Armed,
    Entry,
    Finish,
    Narrated,
    SessionSeen,
    StageBegin,
    Start,
    Target,
)
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.ports import Journal
from nvsx.store import open_store
from nvsx.store.sqlite_journal import SqliteJournal

START = Start(runbook="gpu-off-bus", nickname="rogue-moose", target_node="n1")
DONE = Finish(ok=True, status="passed", mttr_s=812.5, degraded=True, reason="all stages passed")
RUN = NewRun(runbook="gpu-off-bus", cluster="c1", node="n1")


class World:
    """One store, and processes on it that can be started and killed."""

    def __init__(self, start: Callable[[], Any], kill: Callable[[Any], None]) -> None:
        self.start: Callable[[], Journal] = start
        self.kill: Callable[[Journal], None] = kill


@pytest.fixture(params=["fake", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A store of each kind; killing a process takes its lock away, as its death would."""
    if request.param == "fake":
        first = FakeJournal(VirtualClock())
        yield World(first.another, FakeJournal.kill)
        return
    opened: list[SqliteJournal] = []

    def start() -> SqliteJournal:
        opened.append(open_store(tmp_path / "state"))
        return opened[-1]

    yield World(start, lambda journal: journal._owner.release())
    for journal in opened:
        journal.close()


async def test_sequence_has_no_gaps(world: World) -> None:
    """Appends number their entries from 1 on, and read gives them back in order."""
    journal = world.start()
    lease = await journal.create(RUN)
    first = await journal.append(lease, [START, StageBegin(stage="detect")])
    second = await journal.append(lease, [Narrated(stage="detect", text="so far")], durable=True)
    assert [e.seq for e in [*first, *second]] == [1, 2, 3]
    assert await journal.read(lease.run_id) == [*first, *second]
    assert await journal.read(lease.run_id, after=2) == list(second)
    assert {e.run_id for e in first} == {lease.run_id}


async def test_empty_append(world: World) -> None:
    """Appending nothing stores nothing."""
    journal = world.start()
    lease = await journal.create(RUN)
    assert list(await journal.append(lease, [])) == []
    assert list(await journal.read(lease.run_id)) == []


async def test_concurrent_appends_stay_in_order(world: World) -> None:
    """Appends made in one go get consecutive numbers in the order they were made."""
    journal = world.start()
    lease = await journal.create(RUN)
    texts = [str(i) for i in range(50)]
    await asyncio.gather(
        *(
            journal.append(lease, [Narrated(stage="detect", text=t)], durable=t == "7")
            for t in texts
        )
    )
    entries = await journal.read(lease.run_id)
    assert [e.seq for e in entries] == list(range(1, 51))
    assert [e.body.text for e in entries if isinstance(e.body, Narrated)] == texts


async def test_index_follows_the_journal(world: World) -> None:
    """A run's row tells node, status, session and the outcome of its last event."""
    journal = world.start()
    lease = await journal.create(NewRun(runbook="gpu-off-bus", cluster="c1", trigger="pagerduty"))
    assert (await journal.run(lease.run_id)).status == "armed"
    await journal.append(lease, [START, Armed(waiting_for="xid-79")])
    await journal.claim(lease, "n7")
    await journal.append(lease, [Target(target_node="n7", target_alias="brave-gazelle", reason="")])
    row = await journal.run(lease.run_id)
    assert (row.node, row.status, row.alive, row.trigger) == ("n7", "running", True, "pagerduty")
    await journal.append(lease, [SessionSeen(session=Session(key="s1", open=True)), DONE])
    row = await journal.run(lease.run_id)
    assert (row.status, row.session_key, row.mttr_s) == ("passed", "s1", 812.5)
    assert (row.degraded, row.reason, row.alive) == (True, "all stages passed", False)
    assert row.finished is not None
    assert row.finished >= row.created


async def test_runs_are_newest_first(world: World) -> None:
    """The list begins with the newest run; `active` leaves out what has finished."""
    journal = world.start()
    leases = [
        await journal.create(NewRun(runbook="r", cluster="c1", node=f"n{i}")) for i in range(3)
    ]
    await journal.append(leases[1], [DONE])
    ids = [lease.run_id for lease in leases]
    assert [r.run_id for r in await journal.runs()] == ids[::-1]
    assert [r.run_id for r in await journal.runs(limit=2)] == ids[:0:-1]
    assert [r.run_id for r in await journal.runs(active=True)] == [ids[2], ids[0]]


async def test_runs_of_two_runbooks_are_on_a_node_side_by_side(world: World) -> None:
    """Another runbook's run may be there too, by hand and armed; each gives back its own claim."""
    journal = world.start()
    lease = await journal.create(RUN)
    other = msgspec.structs.replace(RUN, runbook="other")
    beside = await journal.create(other)
    armed = await journal.create(NewRun(runbook="third", cluster="c1"))
    await journal.claim(armed, "n1")
    await journal.append(beside, [DONE])
    await journal.create(other)
    with pytest.raises(NodeClaimed) as refused:
        await journal.create(RUN)
    assert refused.value.run_id == lease.run_id


async def test_one_run_a_node(world: World) -> None:
    """A second run of the runbook is refused and told which run has the node, from any process."""
    one, two = world.start(), world.start()
    lease = await one.create(RUN)
    for journal in (one, two):
        with pytest.raises(NodeClaimed) as refused:
            await journal.create(RUN)
        assert (refused.value.run_id, refused.value.interrupted) == (lease.run_id, False)
        assert f"nvsx attach {lease.run_id}" in refused.value.hint
    assert len(await two.runs()) == 1


async def test_claims_are_per_cluster(world: World) -> None:
    """Nodes of the same name in two clusters, and runs without a node, do not collide."""
    journal = world.start()
    await journal.create(RUN)
    await journal.create(NewRun(runbook="r", cluster="c2", node="n1"))
    await journal.create(NewRun(runbook="r", cluster="c1"))
    await journal.create(NewRun(runbook="r", cluster="c1"))
    assert len(await journal.runs(active=True)) == 4


async def test_finish_releases_the_node(world: World) -> None:
    """After a run's finish its node can be claimed again, and nothing can be appended."""
    journal = world.start()
    lease = await journal.create(RUN)
    await journal.append(lease, [START, DONE], durable=True)
    again = await journal.create(RUN)
    assert again.run_id != lease.run_id
    with pytest.raises(StaleOwner):
        await journal.append(lease, [Narrated(stage="detect", text="too late")])
    assert [e.seq for e in await journal.read(lease.run_id)] == [1, 2]


async def test_armed_run_claims_later(world: World) -> None:
    """An armed run claims a free node, is refused a taken one, and may claim its own again."""
    journal = world.start()
    await journal.create(RUN)
    lease = await journal.create(NewRun(runbook="gpu-off-bus", cluster="c1"))
    with pytest.raises(NodeClaimed):
        await journal.claim(lease, "n1")
    await journal.claim(lease, "n2")
    await journal.claim(lease, "n2")
    with pytest.raises(NodeClaimed):
        await journal.create(NewRun(runbook="gpu-off-bus", cluster="c1", node="n2"))


async def test_dead_owner_shows_as_interrupted(world: World) -> None:
    """A run whose process died is interrupted, and keeps its node, with the way out named."""
    one, two = world.start(), world.start()
    lease = await one.create(RUN)
    await one.append(lease, [START])
    world.kill(one)
    row = await two.run(lease.run_id)
    assert (row.status, row.alive, row.finished) == ("interrupted", False, None)
    with pytest.raises(NodeClaimed) as refused:
        await two.create(RUN)
    assert refused.value.interrupted
    assert f"nvsx run gpu-off-bus --resume {lease.run_id}" in refused.value.hint


async def test_take_over_goes_on_with_the_journal(world: World) -> None:
    """The new owner appends where the dead one stopped; the old lease is stale."""
    one, two = world.start(), world.start()
    old = await one.create(RUN)
    await one.append(old, [START])
    world.kill(one)
    new = await two.take_over(old.run_id)
    assert new.epoch == old.epoch + 1
    await two.append(new, [StageBegin(stage="detect")])
    with pytest.raises(StaleOwner):
        await one.append(old, [Narrated(stage="detect", text="a ghost")])
    with pytest.raises(StaleOwner):
        await one.claim(old, "n9")
    assert [e.seq for e in await two.read(old.run_id)] == [1, 2]
    assert (await two.run(old.run_id)).alive


async def test_take_over_is_refused_while_the_owner_lives(world: World) -> None:
    """A living owner's run cannot be taken, nor abandoned; a finished or unknown one neither."""
    one, two = world.start(), world.start()
    lease = await one.create(RUN)
    for attempt in (two.take_over, two.abandon):
        with pytest.raises(NodeClaimed):
            await attempt(lease.run_id)
    await one.append(lease, [DONE])
    world.kill(one)
    for attempt in (two.take_over, two.abandon):
        for run_id in (lease.run_id, "r-20200101-0000-none"):
            with pytest.raises(UsageError):
                await attempt(run_id)


async def test_only_one_takes_over(world: World) -> None:
    """Of several processes that take over one run at once, exactly one gets it."""
    one, *others = [world.start() for _ in range(5)]
    lease = await one.create(RUN)
    world.kill(one)
    results = await asyncio.gather(
        *(journal.take_over(lease.run_id) for journal in others), return_exceptions=True
    )
    assert sum(isinstance(r, NodeClaimed) for r in results) == 3
    assert sum(not isinstance(r, BaseException) for r in results) == 1


async def test_abandon_frees_the_node(world: World) -> None:
    """An abandoned run has a finish in its journal, stays interrupted, and frees its node."""
    one, two = world.start(), world.start()
    lease = await one.create(RUN)
    await one.append(lease, [START])
    world.kill(one)
    await two.abandon(lease.run_id)
    row = await two.run(lease.run_id)
    assert (row.status, row.finished is not None) == ("interrupted", True)
    last = (await two.read(lease.run_id))[-1].body
    assert isinstance(last, Finish)
    assert (last.ok, last.status) == (False, "interrupted")
    await two.create(RUN)


async def test_unknown_run(world: World) -> None:
    """Reading, following or showing an unknown run is a usage error."""
    journal = world.start()
    for attempt in (journal.read, journal.run):
        with pytest.raises(UsageError, match="r-nope"):
            await attempt("r-nope")
    with pytest.raises(UsageError, match="r-nope"):
        await anext(aiter(journal.follow("r-nope")))


async def test_follow_sees_other_processes(world: World) -> None:
    """A follower in another process gets what is there, then what comes, and ends at the finish."""
    one, two = world.start(), world.start()
    lease = await one.create(RUN)
    await one.append(lease, [START])
    seen: list[Entry] = []
    first_seen = asyncio.Event()

    async def follow() -> None:
        async for entry in two.follow(lease.run_id):
            seen.append(entry)
            first_seen.set()

    follower = asyncio.create_task(follow())
    await asyncio.wait_for(first_seen.wait(), patience(5))
    await one.append(lease, [StageBegin(stage="detect")])
    await one.append(lease, [DONE])
    await asyncio.wait_for(follower, patience(5))
    assert seen == list(await one.read(lease.run_id))


async def test_follow_can_be_left(world: World) -> None:
    """A follower that is cancelled while it waits goes away at once; `after` skips."""
    journal = world.start()
    lease = await journal.create(RUN)
    await journal.append(lease, [START, StageBegin(stage="detect")])
    async with aclosing(journal.follow(lease.run_id, after=1)) as entries:  # type: ignore[type-var]
        assert (await anext(entries)).seq == 2
        waiting = asyncio.ensure_future(anext(entries))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
