from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from nvsx.core.errors import StoreError
from nvsx.core.incident.session import HealthEvent, Session
from nvsx.core.journal import entries as j
from nvsx.core.journal.past_runs import RunFilter
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.runbook.stage_order import STAGE_ORDER
from nvsx.store import history_upkeep, migrations, open_store, queries
from nvsx.store.direct_look import SCHEMA_VERSION
from nvsx.store.inbox_tables import storm_faults
from nvsx.store.run_list import list_runs
from nvsx.store.sqlite_journal import SqliteJournal

NOW = 1_767_600_000.0
DAY = 86_400.0
XID = HealthEvent(
    check="SysLogsXIDError",
    node="n1",
    error_codes=("79",),
    fatal=True,
    entities=(("PCI", "0000:b3:00"), ("GPU_UUID", "GPU-1")),
)


class Clock:
    at = NOW

    def __call__(self) -> float:
        return self.at


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="journal")
async def _journal(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteJournal]:
    """Five past runs: two of one incident, one failed, one of the sandbox, one unfinished."""
    store = open_store(tmp_path / "state", clock)
    await _run(store, clock, 0, "gpu-off-bus", "n1", "s-1", mttr=40.0)
    await _run(store, clock, 1, "gpu-off-bus", "n1", "s-1", status="cancelled")
    await _run(store, clock, 2, "nvlink-fault", "n2", "s-2", status="failed", tags=("nvlink",))
    await _run(store, clock, 2.5, "gpu-off-bus", "n1", "s-3", sandbox=True, mttr=9.0)
    clock.at = NOW + 3 * DAY
    lease = await store.create(NewRun(runbook="gpu-off-bus", cluster="c", node="n1"))
    await store.append(lease, [j.Start(runbook="gpu-off-bus", nickname="x", tags=("infra",))])
    yield store
    store.close()


async def _run(
    store: SqliteJournal,
    clock: Clock,
    day: float,
    runbook: str,
    node: str,
    session: str,
    *,
    status: j.RunStatus = "passed",
    tags: tuple[str, ...] = ("infra",),
    mttr: float | None = None,
    sandbox: bool = False,
) -> None:
    clock.at = NOW + day * DAY
    lease = await store.create(NewRun(runbook=runbook, cluster="c", node=node, sandbox=sandbox))
    start = j.Start(runbook=runbook, nickname="x", target_node=node, tags=tags)
    seen = j.SessionSeen(session=Session(key=session, open=True, events=(XID,)))
    ends = j.StageEnd(stage="drain", status="pass", elapsed_s=10.0 + day)
    await store.append(lease, [start, seen, ends])
    clock.at += 60
    finish = j.Finish(ok=status == "passed", status=status, mttr_s=mttr)
    await store.append(lease, [seen, finish])


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (RunFilter(), 4),
        (RunFilter(kind="sandbox"), 1),
        (RunFilter(kind="all"), 5),
        (RunFilter(node="n1"), 3),
        (RunFilter(node="plucky-ferret"), 0),
        (RunFilter(runbook="nvlink-fault"), 1),
        (RunFilter(outcome="cancelled"), 1),
        (RunFilter(tag="infra"), 3),
        (RunFilter(since=NOW + DAY), 3),
        (RunFilter(since=NOW + DAY, until=NOW + 2 * DAY), 1),
        (RunFilter(node="n1", outcome="passed", tag="infra"), 1),
    ],
)
async def test_runs_are_found_by_what_is_asked(
    journal: SqliteJournal, tmp_path: Path, wanted: RunFilter, count: int
) -> None:
    """Each filter narrows, filters add up, and sandbox runs are apart from incidents."""
    rows = list_runs(tmp_path / "state", wanted, None)
    assert len(rows) == count


async def test_an_alias_finds_its_node(journal: SqliteJournal, tmp_path: Path) -> None:
    """A node is found by its alias as by its name."""
    from nvsx.core.aliases import alias_of

    wanted = RunFilter(node=alias_of("n2"))
    rows = list_runs(tmp_path / "state", wanted, None)
    assert [row.node for row in rows] == ["n2"]


async def test_the_newest_come_first_and_no_more_than_asked(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    """History is newest first, cut at the limit."""
    rows = list_runs(tmp_path / "state", RunFilter(), 2)
    assert [row.created for row in rows] == [NOW + 3 * DAY, NOW + 2 * DAY]


def test_an_empty_state_folder_lists_no_runs(tmp_path: Path) -> None:
    """Before the first run there is a list, and it is empty."""
    assert list_runs(tmp_path / "state", RunFilter(), None) == []


def test_a_damaged_store_is_told_as_everywhere(tmp_path: Path) -> None:
    """A file that is no database ends in one sentence with the next step."""
    (tmp_path / "nvsx.db").write_text("not a database" * 100)
    with pytest.raises(StoreError, match="damaged") as told:
        list_runs(tmp_path, RunFilter(), None)
    assert "move it away" in told.value.hint


def test_the_list_reads_the_tables_of_this_version() -> None:
    """The number of steps that the quick list counts on is the number there is."""
    assert len(migrations.STEPS) == SCHEMA_VERSION


def test_the_list_of_an_older_store_comes_after_its_migration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that an older nvsx left is brought up to date, and then listed."""
    with monkeypatch.context() as older:
        older.setattr(migrations, "STEPS", migrations.STEPS[:3])
        open_store(tmp_path).close()
    assert list_runs(tmp_path, RunFilter(tag="infra"), None) == []


async def test_the_runs_of_an_incident(journal: SqliteJournal, tmp_path: Path) -> None:
    """Those of its quarantine, and on its node those that saw none; its storm's; since then."""
    rows = list_runs(tmp_path / "state", RunFilter(), None)
    last, other, second, first = (row.run_id for row in rows)

    async def found(run_id: str, since: float) -> list[str]:
        return list(await journal.look(lambda db: queries.of_incident(db, run_id, since)))

    assert await found(first, NOW) == [first, second, last]
    assert await found(first, NOW + 2 * DAY) == [first, last]
    assert await found(other, NOW) == [other]

    def storm(db: Connection) -> None:
        mark = {"leader": first, "cluster": "c", "seen": NOW, "body": "{}"}
        db.execute(insert(storm_faults), [mark | {"run_id": run} for run in (first, other)])

    await journal.transact(storm)
    assert await found(other, NOW) == [first, other]


async def test_only_finished_incidents_are_samples(journal: SqliteJournal) -> None:
    """Statistics leave out the sandbox and what has not finished."""
    found = await journal.look(lambda db: queries.samples(db, RunFilter(), "runbook"))
    assert sorted((s.group, s.status, s.total_s, s.mttr_s) for s in found) == [
        ("gpu-off-bus", "cancelled", 60.0, None),
        ("gpu-off-bus", "passed", 60.0, 40.0),
        ("nvlink-fault", "failed", 60.0, None),
    ]


async def test_runs_group_by_fault(journal: SqliteJournal) -> None:
    """By fault, the group is the check with its codes, seen twice but counted once."""
    found = await journal.look(lambda db: queries.samples(db, RunFilter(), "fault"))
    assert [s.group for s in found] == ["SysLogsXIDError 79"] * 3


async def test_stages_have_their_lengths(journal: SqliteJournal) -> None:
    """The length of each stage that passed is kept with its run; others have none."""
    found = await journal.look(lambda db: queries.samples(db, RunFilter(), "node"))
    drain = STAGE_ORDER.index("drain")
    assert sorted((s.group, s.lengths[drain]) for s in found) == [
        ("n1", 10.0),
        ("n1", 11.0),
        ("n2", 12.0),
    ]
    assert {length for s in found for length in s.lengths} == {None, 10.0, 11.0, 12.0}


async def test_hits_name_the_gpus_that_were_struck(journal: SqliteJournal) -> None:
    """Each incident comes with the GPU's UUID and its PCI address, from the session's events."""
    found = await journal.look(lambda db: queries.hits(db, RunFilter(node="n2")))
    assert [(h.session_key, set(h.gpus)) for h in found] == [
        ("s-2", {("gpu", "GPU-1"), ("pci", "0000:b3:00")})
    ]


async def test_an_older_state_learns_what_its_journals_tell(
    journal: SqliteJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state of the first version is brought up to date when it is opened: words, stages and
    statistics are those of a state that was written by this version."""
    journal.close()
    now, old = tmp_path / "state", tmp_path / "old"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[:2])
        open_store(old).close()
    with closing(sqlite3.connect(old / "nvsx.db")) as db, db:
        db.execute("ATTACH ? AS now", (str(now / "nvsx.db"),))
        db.execute("INSERT INTO runs SELECT * FROM now.runs")
        db.execute("INSERT INTO journal SELECT * FROM now.journal")
    open_store(old).close()
    told = []
    for folder in (now, old):
        with closing(sqlite3.connect(folder / "nvsx.db")) as db:
            told.append([db.execute(sql).fetchall() for sql in (_LENGTHS, _WORDS)])
    assert all(told[0])
    assert told[1] == told[0]


async def test_what_was_written_stays(journal: SqliteJournal, tmp_path: Path) -> None:
    """The database itself refuses to change a journal's row, and to delete one of a run that
    has not finished."""
    journal.close()
    with closing(sqlite3.connect(tmp_path / "state" / "nvsx.db")) as db:
        (open_,) = db.execute("SELECT run_id FROM runs WHERE finished IS NULL").fetchone()
        for sql in (
            "UPDATE journal SET body = '{}'",
            f"DELETE FROM journal WHERE run_id = '{open_}'",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(sql)


_LENGTHS = "SELECT * FROM run_lengths ORDER BY 1"
_WORDS = "SELECT * FROM run_words WHERE kind != 'tag' ORDER BY 1, 2, 3"


async def test_a_backup_beside_a_writer_is_one_moment(
    journal: SqliteJournal, clock: Clock, tmp_path: Path
) -> None:
    """Copied again and again while runs are written without pause: each copy is sound, holds what
    was stored before it began, and no run in it is ahead of its own journal."""
    written, done = 0, asyncio.Event()

    async def write() -> None:
        nonlocal written
        while not done.is_set():
            lease = await journal.create(NewRun(runbook="x", cluster="c"))
            for n in range(20):
                line = j.Output(stage="s", source="hook", stream="stdout", line=f"{n}" * 200)
                await journal.append(lease, [line])
                written += 1

    writing = asyncio.create_task(write())
    try:
        for number in range(5):
            before = written
            while written < before + 20:  # noqa: ASYNC110 - the writer is left alone
                await asyncio.sleep(0.001)
            least, file = written, tmp_path / f"{number}.db"
            await journal.look(partial(history_upkeep.backup, file=file))
            with closing(sqlite3.connect(file)) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                (lines,) = db.execute(
                    "SELECT COUNT(*) FROM journal WHERE kind = 'output'"
                ).fetchone()
                torn = db.execute(
                    """SELECT r.run_id FROM runs r WHERE r.last_seq !=
                    (SELECT COUNT(*) FROM journal e WHERE e.run_id = r.run_id)"""
                ).fetchall()
            assert lines >= least
            assert torn == []
    finally:
        done.set()
        await writing
