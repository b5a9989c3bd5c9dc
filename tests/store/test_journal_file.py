"""What only a journal on a disk can get wrong: crashes, locks, modes, versions."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, event
from tests.patience import patience, until
from tests.store.older_state import claim_nodes_as_before

from nvsx.core.errors import NodeClaimed, StaleOwner, StoreBusy, StoreError
from nvsx.core.journal.entries import Entry, Finish, Narrated, NoteMade, Start
from nvsx.core.journal.run_rows import NewRun
from nvsx.store import migrations, open_store
from nvsx.store.database import FILE, translate
from nvsx.store.sqlite_journal import SqliteJournal

RUN = NewRun(runbook="gpu-off-bus", cluster="c1", node="n1")
DONE = Finish(ok=True, status="passed")


def said(text: str) -> Narrated:
    """An event to append."""
    return Narrated(stage="detect", text=text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state folder that is not there yet."""
    return tmp_path / "state"


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[SqliteJournal]:
    """An open store that does not wait long for locks."""
    opened = open_store(folder, busy_timeout=0.2)
    yield opened
    opened.close()


@pytest.fixture
def other(folder: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else's connection to the database."""
    connection = sqlite3.connect(folder / FILE, isolation_level=None)
    yield connection
    connection.close()


# --- crashes ------------------------------------------------------------------------------

OWNER = """
import asyncio, sys
from pathlib import Path
from nvsx.core.journal.entries import Narrated
from nvsx.core.ports import NewRun
from nvsx.store import open_store

async def appending(store, node, durable):
    lease = await store.create(NewRun(runbook="r", cluster="c", node=node))
    print("run", lease.run_id, flush=True)
    number = 0
    while True:
        number += 1
        await store.append(lease, [Narrated(stage="detect", text=str(number))], durable=durable)
        print("done", lease.run_id, number, flush=True)

async def main():
    store = open_store(Path(sys.argv[1]))
    if sys.argv[2] == "idle":
        lease = await store.create(NewRun(runbook="r", cluster="c", node="n"))
        print("run", lease.run_id, flush=True)
        await asyncio.Event().wait()
    await asyncio.gather(*(appending(store, f"n{i}", i % 2 == 0) for i in range(4)))

asyncio.run(main())
"""


def owner(folder: Path, what: str) -> "subprocess.Popen[str]":
    """A process with runs of its own, which it tells of: it appends to four, or idles on one."""
    arguments = [sys.executable, "-c", OWNER, str(folder), what]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


async def test_kill_loses_nothing_acknowledged(folder: Path) -> None:
    """After kill -9 every acknowledged append is there, without gaps, and runs can go on."""
    with owner(folder, "append") as child:
        assert child.stdout is not None
        acknowledged: dict[str, int] = {}
        for line in child.stdout:
            words = line.split()
            if len(words) == 3:
                acknowledged[words[1]] = int(words[2])
                if min(acknowledged.values()) >= 60 and len(acknowledged) == 4:
                    break
        child.kill()
        for line in child.stdout.read().splitlines():
            words = line.split()
            if len(words) == 3 and words[2].isdigit():
                acknowledged[words[1]] = int(words[2])
    store = open_store(folder)
    try:
        for run_id, number in acknowledged.items():
            assert (await store.run(run_id)).status == "interrupted"
            entries = await store.read(run_id)
            assert [e.seq for e in entries] == list(range(1, len(entries) + 1))
            texts = [e.body.text for e in entries if isinstance(e.body, Narrated)]
            assert texts[:number] == [str(i) for i in range(1, number + 1)]
            lease = await store.take_over(run_id)
            assert (await store.append(lease, [said("on")]))[0].seq == len(entries) + 1
    finally:
        store.close()


async def test_killed_process_is_not_alive(store: SqliteJournal, folder: Path) -> None:
    """While another process lives its run cannot be taken; once it is killed it can, by one."""
    with owner(folder, "idle") as child:
        assert child.stdout is not None
        run_id = child.stdout.readline().split()[1]
        assert (await store.run(run_id)).alive
        with pytest.raises(NodeClaimed):
            await store.take_over(run_id)
        child.send_signal(signal.SIGSTOP)
        with pytest.raises(NodeClaimed):  # stopped is not dead
            await store.take_over(run_id)
        child.kill()
        child.stdout.read()
    assert (await store.run(run_id)).status == "interrupted"
    assert (await store.take_over(run_id)).epoch == 2


async def test_closing_keeps_what_was_asked(folder: Path) -> None:
    """Appends that wait when the store is closed are stored; later ones are refused."""
    store = open_store(folder)
    lease = await store.create(RUN)
    waiting = [asyncio.ensure_future(store.append(lease, [said(str(i))])) for i in range(20)]
    await asyncio.sleep(0)
    store.close()
    await asyncio.gather(*waiting)
    with pytest.raises(StoreError, match="closed"):
        await store.append(lease, [said("late")])
    store.close()
    again = open_store(folder)
    assert len(await again.read(lease.run_id)) == 20
    again.close()


async def test_cancelled_create_claims_nothing(store: SqliteJournal, other: object) -> None:
    """A create that was cancelled before it was stored leaves no run on the node."""
    creating = asyncio.create_task(store.create(RUN))
    blocking = asyncio.create_task(store.create(NewRun(runbook="r", cluster="c1", node="n0")))
    creating.cancel()
    await blocking
    await asyncio.gather(creating, return_exceptions=True)
    await store.create(RUN)


# --- many at once -------------------------------------------------------------------------


async def test_a_thousand_runs_share_commits(store: SqliteJournal) -> None:
    """What a thousand runs append during one commit takes one more, and the loop goes on."""
    leases = await asyncio.gather(
        *(store.create(NewRun(runbook="r", cluster="c1", node=f"n{i}")) for i in range(1000))
    )
    commits, all_wait, held_up = 0, threading.Event(), False

    def hold_the_first_commit(_: Connection) -> None:
        nonlocal commits, held_up
        commits += 1
        held_up = held_up or not all_wait.wait(patience(20))

    event.listen(store._engine, "commit", hold_the_first_commit)
    appends = [
        asyncio.create_task(store.append(lease, [said("a"), said("b")], durable=True))
        for lease in leases
    ]
    await asyncio.sleep(0)  # each of them has been handed to the writer
    all_wait.set()
    results = await asyncio.gather(*appends)
    assert all([e.seq for e in entries] == [1, 2] for entries in results)
    assert not held_up
    assert commits <= 2
    assert len(await store.runs(limit=2000)) == 1000


async def test_stale_append_does_not_hurt_its_neighbours(folder: Path) -> None:
    """In one commit a void lease is refused and every other append is stored."""
    old, new = open_store(folder), open_store(folder)
    try:
        lost = await old.create(RUN)
        old._owner.release()
        await new.take_over(lost.run_id)
        fine = await new.create(NewRun(runbook="r", cluster="c1", node="n2"))
        results = await asyncio.gather(
            *(
                new.append(lease, [said(str(i))])
                for i, lease in enumerate([fine, lost, fine, lost, fine])
            ),
            return_exceptions=True,
        )
        assert [isinstance(r, StaleOwner) for r in results] == [False, True, False, True, False]
        assert len(await new.read(fine.run_id)) == 3
        assert len(await new.read(lost.run_id)) == 0
    finally:
        old.close()
        new.close()


# --- trouble ------------------------------------------------------------------------------


async def test_locked(store: SqliteJournal, other: sqlite3.Connection) -> None:
    """A lock held by somebody else is StoreBusy with a next step; afterwards all goes on."""
    lease = await store.create(RUN)
    await store.append(lease, [said("before")])
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match="locked by another process") as refused:
        await store.append(lease, [said("lost")], durable=True)
    assert refused.value.retryable
    assert refused.value.hint
    assert len(await store.read(lease.run_id)) == 1
    other.execute("ROLLBACK")
    assert [e.seq for e in await store.append(lease, [said("after")])] == [2]


async def test_disk_full(store: SqliteJournal, other: sqlite3.Connection) -> None:
    """A full disk is StoreBusy; what was committed stays, and room lets the run go on."""
    lease = await store.create(RUN)
    await store.append(lease, [said("before")])
    pages = other.execute("PRAGMA page_count").fetchone()[0]

    async def limit(number: int) -> None:
        # The limit belongs to a connection: it is set on the writer's own.
        def work(db: object) -> None:
            db.exec_driver_sql(f"PRAGMA max_page_count={number}")  # type: ignore[attr-defined]

        from nvsx.store.commit_writer import Job

        await store._writer.do(Job(work))

    await limit(pages + 4)
    big = NoteMade(stage="detect", text="x" * 500_000)
    with pytest.raises(StoreBusy, match="is full"):
        await store.append(lease, [big])
    assert [e.body for e in await store.read(lease.run_id)] == [said("before")]
    assert [e.seq for e in await store.append(lease, [big])] == [2]  # a new connection, no limit


async def test_not_a_database(folder: Path) -> None:
    """A damaged file is named, with how to put it aside; it is not touched."""
    folder.mkdir()
    (folder / FILE).write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StoreError, match="is damaged") as refused:
        open_store(folder)
    assert f"mv {folder / FILE}" in refused.value.hint
    assert (folder / FILE).read_bytes().startswith(b"this is no")


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    """A state folder that cannot be one is refused with the way to name another."""
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError, match="cannot be used") as refused:
        open_store(tmp_path / "state" / "deeper")
    assert "NVSX_STATE_DIR" in refused.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_write_permission(folder: Path) -> None:
    """A folder one may not write to is refused with what to do."""
    folder.mkdir(mode=0o500)
    with pytest.raises(StoreError, match="cannot be used"):
        open_store(folder)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SQLITE_BUSY_SNAPSHOT", "locked by another process"),
        ("SQLITE_READONLY_DBMOVED", "cannot be opened for writing"),
        ("SQLITE_CANTOPEN", "cannot be opened for writing"),
        ("SQLITE_CORRUPT_INDEX", "is damaged"),
        ("SQLITE_IOERR_WRITE", "failed: it broke"),
    ],
)
def test_errors_have_a_next_step(name: str, expected: str, folder: Path) -> None:
    """Every error of SQLite becomes a sentence about the file and what to do."""
    error = sqlite3.OperationalError("it broke")
    error.sqlite_errorname = name
    translated = translate(error, folder)
    assert expected in translated.message
    assert translated.hint


# --- modes --------------------------------------------------------------------------------


async def test_modes(store: SqliteJournal, folder: Path) -> None:
    """Folders are 0700 and all files 0600, the ones SQLite makes as well."""
    await store.append(await store.create(RUN), [said("x")])
    found = {path: path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]}
    assert {path.name for path in found} >= {FILE, f"{FILE}-wal", f"{FILE}-shm", "owners"}
    for path, mode in found.items():
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_open_folder_is_tightened(folder: Path) -> None:
    """An empty folder, or one of ours, that others may read is closed to them."""
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    open_store(folder).close()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_somebody_elses_folder_keeps_its_mode(folder: Path) -> None:
    """A folder with other things in it keeps its mode; our files in it are private."""
    folder.mkdir()
    (folder / "theirs").write_text("")
    folder.chmod(0o755)
    open_store(folder).close()
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600


async def test_owner_files_are_tidied(folder: Path) -> None:
    """Lock files of the dead go at the next start, but for those of interrupted runs."""
    dead = open_store(folder)
    lease = await dead.create(RUN)
    dead.close()
    (folder / "owners" / "host-1-abcdef.lock").write_text("")
    again = open_store(folder)
    assert [path.name for path in (folder / "owners").iterdir()] == [f"{again.owner}.lock"]
    assert (await again.run(lease.run_id)).status == "interrupted"
    again.close()


# --- versions -----------------------------------------------------------------------------


async def test_newer_state_is_refused(folder: Path) -> None:
    """State of a newer nvsx is left alone, with the versions and the way out told."""
    open_store(folder).close()
    with sqlite3.connect(folder / FILE) as db:
        db.execute("INSERT INTO migrations VALUES (99, 'from_the_future', 0)")
    db.close()
    with pytest.raises(StoreError, match="newer nvsx") as refused:
        open_store(folder)
    assert "upgrade nvsx" in refused.value.hint
    assert "99" in refused.value.message


def test_steps_apply_once(folder: Path) -> None:
    """Opening again changes nothing in the recorded steps."""
    for _ in range(2):
        open_store(folder).close()
    db = sqlite3.connect(folder / FILE)
    recorded = db.execute("SELECT version, name FROM migrations ORDER BY version").fetchall()
    db.close()
    assert recorded == [(i, step.__name__) for i, step in enumerate(migrations.STEPS, 1)]


async def test_older_state_is_migrated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """State of an older version gets the missing steps and keeps its runs."""
    full = migrations.STEPS
    with monkeypatch.context() as older:
        older.setattr(migrations, "STEPS", full[:1])
        claim_nodes_as_before(older)
        store = open_store(folder)
        lease = await store.create(RUN)
        await store.append(lease, [Start(runbook="r", nickname="n"), DONE])
        store.close()

    def one_more(db: object) -> None:
        migrations._execute_all(db, "CREATE TABLE later (x INTEGER)")  # type: ignore[arg-type]

    monkeypatch.setattr(migrations, "STEPS", (*full, one_more))
    store = open_store(folder)
    assert (await store.run(lease.run_id)).status == "passed"
    store.close()
    db = sqlite3.connect(folder / FILE)
    assert db.execute("SELECT COUNT(*) FROM later").fetchone() == (0,)
    assert db.execute("SELECT MAX(version) FROM migrations").fetchone() == (len(full) + 1,)
    db.close()


def test_failed_step_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails takes the whole migration back."""

    def broken(db: object) -> None:
        migrations._execute_all(db, "CREATE TABLE half (x INTEGER)", "NONSENSE")  # type: ignore[arg-type]

    with monkeypatch.context() as newer:
        newer.setattr(migrations, "STEPS", (*migrations.STEPS, broken))
        with pytest.raises(StoreError):
            open_store(folder)
    db = sqlite3.connect(folder / FILE)
    assert db.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall() == []
    db.close()
    open_store(folder).close()


def test_many_processes_start_at_once(folder: Path) -> None:
    """Several processes may make the same state folder in the same moment."""
    program = (
        "import sys; from pathlib import Path; from nvsx.store import open_store\n"
        "open_store(Path(sys.argv[1])).close()"
    )
    arguments = [sys.executable, "-c", program, str(folder)]
    children = [subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [child.communicate(timeout=patience(30))[1] for child in children]
    assert [child.returncode for child in children] == [0] * 3, errors


# --- ids ----------------------------------------------------------------------------------


async def test_run_ids(folder: Path) -> None:
    """An id has the time in UTC and four characters that are hard to mistake, and is unique."""
    store = open_store(folder, now=lambda: 1795357860.0)
    leases = await asyncio.gather(
        *(store.create(NewRun(runbook="r", cluster="c", node=f"n{i}")) for i in range(50))
    )
    ids = {lease.run_id for lease in leases}
    store.close()
    assert len(ids) == 50
    for run_id in ids:
        head, day, minute, rest = run_id.split("-")
        assert (head, day, minute) == ("r", "20261122", "1431")
        assert len(rest) == 4
        assert not set(rest) & set("ilou")


async def test_event_of_a_newer_version(store: SqliteJournal, other: sqlite3.Connection) -> None:
    """A journal row that this version cannot read is told as such."""
    lease = await store.create(RUN)
    await store.append(lease, [said("x")])
    row = (lease.run_id, 2, 0.0, "from_the_future", '{"event":"from_the_future"}')
    other.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", row)
    with pytest.raises(StoreError, match="does not know"):
        await store.read(lease.run_id)


async def test_a_follower_outlives_a_killed_owner(folder: Path, store: SqliteJournal) -> None:
    """After kill -9 of a run's owner a follower waits, and sees what the next owner appends."""
    with owner(folder, "idle") as child:
        assert child.stdout is not None
        run_id = child.stdout.readline().split()[1]
        following = asyncio.create_task(all_of(store, run_id))
        child.kill()
    successor = open_store(folder)
    try:
        lease = await successor.take_over(run_id)
        await successor.append(lease, [said("goes on"), DONE])
        async with asyncio.timeout(patience(30)):
            assert [entry.seq for entry in await following] == [1, 2]
    finally:
        successor.close()


async def all_of(store: SqliteJournal, run_id: str) -> list[Entry]:
    """What a follower gets until the run ends."""
    return [entry async for entry in store.follow(run_id)]


async def test_follow_ends_when_left(store: SqliteJournal) -> None:
    """A follower that waits is woken by an append and goes away when cancelled."""
    lease = await store.create(RUN)
    seen: list[Entry] = []

    async def follow() -> None:
        async for entry in store.follow(lease.run_id):
            seen.append(entry)  # noqa: PERF401 - looked at while it grows

    task = asyncio.create_task(follow())
    await store.append(lease, [said("x")])
    await until(lambda: seen)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [e.seq for e in seen] == [1]
