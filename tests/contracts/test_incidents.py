"""What every IncidentStore does, whichever way it stores: run on the fake and on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.fakes.fake_incidents import FakeIncidents

from nvsx.core.errors import UsageError
from nvsx.core.incident.incident_events import (
    FaultSeen,
    IncidentEnded,
    IncidentNoted,
    IncidentOpened,
    LeftOver,
    LeftOverGone,
    RunEnded,
    RunJoined,
    StateChanged,
)
from nvsx.core.incident.incident_store import (
    Appended,
    IncidentFilter,
    IncidentStore,
    StoryMoved,
)
from nvsx.core.journal.run_rows import NewRun
from nvsx.store import incidents_of, open_store
from nvsx.store.sqlite_journal import SqliteJournal

LEFT = LeftOver(kind="fault", name="SysLogsXIDError 79")
OVER = IncidentEnded(how="recovered", at=180.0, left_overs=(LEFT,))


class Kept:
    """A store, and another process's view of the same one."""

    def __init__(self, store: IncidentStore, again: Callable[[], IncidentStore], run: str) -> None:
        self.store = store
        self.again = again
        self.run = run


@pytest.fixture(params=["fake", "sqlite"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    """A store of each kind, with one run."""
    if request.param == "fake":
        fake = FakeIncidents(runs=("r-1",))
        yield Kept(fake, lambda: fake, "r-1")
        return
    opened: list[SqliteJournal] = [open_store(tmp_path / "state")]
    run = (await opened[0].create(NewRun(runbook="gpu-off-bus", cluster="c1", node="n1"))).run_id

    def again() -> IncidentStore:
        opened.append(open_store(tmp_path / "state"))
        return incidents_of(opened[-1])

    yield Kept(incidents_of(opened[0]), again, run)
    for journal in opened:
        journal.close()


def opening(node: str = "n1", key: str = "k1") -> tuple[IncidentOpened, FaultSeen]:
    """An XID 79 begins an incident."""
    fault = FaultSeen(fault=1, check="SysLogsXIDError", error_codes=("79",), fatal=True, at=99.0)
    return IncidentOpened(key=key, node=node, by="fault"), fault


async def begin(store: IncidentStore, at: float = 100.0, node: str = "n1") -> Appended:
    """An open incident on a node that had none."""
    stored = await store.story("c1", node)
    return await store.append("c1", node, stored.position, opening(node, f"k-{node}-{at}"), at)


async def test_a_node_without_incidents_has_an_empty_story(kept: Kept) -> None:
    """Its position is 0, and there is no incident."""
    stored = await kept.store.story("c1", "n1")
    assert (stored.position, stored.open_id, stored.last_id) == (0, "", "")
    assert (stored.story.open, stored.story.last) == (None, None)


async def test_what_was_appended_is_read_by_another_process(kept: Kept) -> None:
    """The story, its position and its entries with their numbers are the same there."""
    appended = await begin(kept.store)
    found = await kept.again().story("c1", "n1")
    assert found == appended.stored
    assert found.position == 2
    assert found.story.open is not None
    assert [f.short for f in found.story.open.faults] == ["SysLogsXIDError 79"]
    assert [(e.seq, e.t) for e in appended.entries] == [(1, 100.0), (2, 100.0)]
    assert tuple(await kept.again().entries(found.open_id)) == appended.entries


async def test_who_comes_second_is_refused_and_nothing_of_it_is_kept(kept: Kept) -> None:
    """An append at a position that is taken raises StoryMoved."""
    appended = await begin(kept.store)
    with pytest.raises(StoryMoved):
        await kept.store.append("c1", "n1", 0, opening(), 101.0)
    with pytest.raises(StoryMoved):
        await kept.store.append("c1", "n1", 3, (StateChanged(state="repairing"),), 101.0)
    assert await kept.store.story("c1", "n1") == appended.stored


async def test_a_new_incident_begins_after_the_end_of_the_one_before(kept: Kept) -> None:
    """Each has its own id and entries; the story keeps the open one, the last, what was left."""
    first = await begin(kept.store)
    over = await kept.store.append("c1", "n1", 2, (OVER,), 200.0)
    assert (over.stored.open_id, over.stored.last_id) == ("", first.stored.open_id)
    assert over.stored.story.left_overs == (LEFT,)
    second = await begin(kept.store, 300.0)
    assert second.stored.last_id == first.stored.open_id
    assert second.stored.open_id not in ("", first.stored.open_id)
    assert await kept.again().story("c1", "n1") == second.stored


async def test_an_end_and_the_next_beginning_are_one_append(kept: Kept) -> None:
    """What stands before `opened` belongs to the incident before."""
    first = await begin(kept.store)
    both = await kept.store.append("c1", "n1", 2, (OVER, *opening(key="k2")), 200.0)
    assert [e.incident for e in both.entries] == [
        first.stored.open_id, both.stored.open_id, both.stored.open_id
    ]  # fmt: skip
    assert [e.seq for e in both.entries] == [3, 1, 2]
    assert await kept.again().story("c1", "n1") == both.stored


async def test_notes_and_left_overs_after_the_end_belong_to_the_incident_that_ended(
    kept: Kept,
) -> None:
    """They have numbers of their own in its journal, and the left-over is gone."""
    await begin(kept.store)
    ended = (await kept.store.append("c1", "n1", 2, (OVER,), 200.0)).stored.last_id
    later = (IncidentNoted(text="fan exchanged", author="ada"), LeftOverGone(left_over=LEFT))
    after = await kept.store.append("c1", "n1", 3, later, 300.0)
    assert [(e.incident, e.seq) for e in after.entries] == [(ended, 4), (ended, 5)]
    assert after.stored.story.left_overs == ()
    assert await kept.again().story("c1", "n1") == after.stored


async def test_open_stories_are_those_of_one_cluster_that_have_not_ended(kept: Kept) -> None:
    """By node; an ended one and one of another cluster are left out."""
    await begin(kept.store, node="n2")
    await begin(kept.store, node="n1")
    await begin(kept.store, node="n3")
    await kept.store.append("c1", "n3", 2, (OVER,), 200.0)
    await kept.store.append("c2", "n4", 0, opening("n4"), 100.0)
    assert [s.story.node for s in await kept.again().open_stories("c1")] == ["n1", "n2"]


async def test_rows_are_newest_first_and_as_asked_for(kept: Kept) -> None:
    """By node, open ones, a span of time on both of its sides, and a limit."""
    await begin(kept.store, 100.0, "n1")
    await kept.store.append("c1", "n1", 2, (OVER,), 200.0)
    await begin(kept.store, 300.0, "n1")
    await begin(kept.store, 400.0, "n2")
    store = kept.store

    async def opened(**asked: object) -> list[float]:
        return [r.opened for r in await store.rows(IncidentFilter(**asked))]  # type: ignore[arg-type]

    assert await opened() == [400.0, 300.0, 100.0]
    assert await opened(node="n1") == [300.0, 100.0]
    assert await opened(only_open=True) == [400.0, 300.0]
    assert await opened(since=300.0) == [400.0, 300.0]
    assert await opened(until=300.0) == [100.0]
    assert await opened(limit=1) == [400.0]
    assert await opened(cluster="c2") == []


async def test_a_row_says_what_the_journal_says(kept: Kept) -> None:
    """State with its cause while it is open, how and when it ended afterwards."""
    incident = (await begin(kept.store)).stored.open_id
    cause = StateChanged(state="needs people", code="refused", text="no signal", remedy="call")
    await kept.store.append("c1", "n1", 2, (cause,), 110.0)
    row = await kept.store.row(incident)
    assert (row.state, row.code, row.cause, row.remedy) == (
        "needs people", "refused", "no signal", "call"
    )  # fmt: skip
    assert (row.faults, row.began, row.ended, row.how) == (("SysLogsXIDError 79",), 99.0, None, "")
    await kept.store.append("c1", "n1", 3, (OVER,), 200.0)
    row = await kept.again().row(incident)
    assert (row.state, row.ended, row.how) == ("over", 180.0, "recovered")


async def test_an_incident_is_found_by_its_key(kept: Kept) -> None:
    """In its cluster only."""
    incident = (await begin(kept.store)).stored.open_id
    assert await kept.store.with_key("c1", "k-n1-100.0") == incident
    assert await kept.store.with_key("c2", "k-n1-100.0") == ""
    assert await kept.store.with_key("c1", "nobody") == ""


async def test_a_run_that_joined_is_found_both_ways(kept: Kept) -> None:
    """From the incident to its runs, and back; a run without an incident has none."""
    assert await kept.store.incident_of(kept.run) == ""
    incident = (await begin(kept.store)).stored.open_id
    joined = RunJoined(run_id=kept.run, runbook="gpu-off-bus", faults=(1,))
    await kept.store.append("c1", "n1", 2, (joined,), 101.0)
    assert await kept.store.runs_of(incident) == [kept.run]
    assert await kept.again().incident_of(kept.run) == incident


async def test_unknown_ids_are_refused_by_name(kept: Kept) -> None:
    """An incident or a run that does not exist is an error of the call."""
    for asked in (kept.store.row("i-x"), kept.store.entries("i-x"), kept.store.incident_of("i-x")):
        with pytest.raises(UsageError, match="i-x"):
            await asked


async def test_a_store_knows_a_cluster_from_its_first_incident_on(kept: Kept) -> None:
    """An empty store is how nvsx recognises its first day on a cluster."""
    assert not await kept.store.knows("c2")
    await kept.store.append("c2", "n1", 0, opening(), 100.0)
    assert await kept.again().knows("c2")


async def test_a_note_reaches_an_incident_that_is_long_over(kept: Kept) -> None:
    """It is that incident's last entry; the newer one has none, and its position has moved."""
    first = await begin(kept.store)
    over = await kept.store.append("c1", "n1", first.stored.position, (OVER,), 180.0)
    second = await kept.store.append("c1", "n1", over.stored.position, opening(key="k2"), 300.0)
    old, new = first.stored.open_id, second.stored.open_id
    entry = await kept.store.append_to(old, IncidentNoted(text="vendor", author="sam"), 400.0)
    assert entry is not None
    assert list(await kept.store.entries(old))[-1] == entry
    assert (entry.seq, entry.body) == (4, IncidentNoted(text="vendor", author="sam"))
    assert len(await kept.store.entries(new)) == 2
    with pytest.raises(StoryMoved):
        await kept.store.append("c1", "n1", second.stored.position, (OVER,), 500.0)
    moved = await kept.again().story("c1", "n1")
    assert (moved.open_id, moved.last_id) == (new, old)
    assert moved.story.last is not None
    assert [n.text for n in moved.story.last.notes] == ["vendor"]


async def test_the_end_of_a_run_reaches_its_own_incident_once(kept: Kept) -> None:
    """Its incident is over and another one is open: that one's journal stays as it is, the index
    counts the run that failed; told again, or of a run that never joined, nothing is added."""
    first = await begin(kept.store)
    joined = (RunJoined(run_id=kept.run), OVER)
    over = await kept.store.append("c1", "n1", first.stored.position, joined, 180.0)
    second = await kept.store.append("c1", "n1", over.stored.position, opening(key="k2"), 300.0)
    old, new = first.stored.open_id, second.stored.open_id
    ended = RunEnded(run_id=kept.run, status="failed")
    entry = await kept.store.append_to(old, ended, 400.0)
    assert list(await kept.store.entries(old))[-1] == entry
    assert len(await kept.store.entries(new)) == 2
    assert (await kept.again().row(old)).failed_runs == 1
    assert await kept.store.append_to(old, ended, 401.0) is None
    assert await kept.store.append_to(old, RunEnded(run_id="r-2"), 402.0) is None


async def test_a_note_on_an_unknown_incident_is_refused(kept: Kept) -> None:
    """With a UsageError, as for reading it."""
    with pytest.raises(UsageError):
        await kept.store.append_to("i-none", IncidentNoted(text="x"), 1.0)
