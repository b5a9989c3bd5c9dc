"""SqliteJournal: the Journal port on one SQLite database in the state folder.

The engine, the dispatcher and the commands on runs use it through the port. What it
promises: an append that returned is there after kill -9 (and, when durable, after a power
cut); sequence numbers have no gaps; a run has one owner, a node one run, across
processes. It never blocks the event loop, and raises nothing but core.errors.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, select

from nvsx.core.errors import NodeClaimed, StoreError
from nvsx.core.journal.entries import Entry, Finish, RunEvent, decode_body, encode_body, kind_of
from nvsx.core.journal.run_index import finish_abandoned
from nvsx.core.journal.run_rows import Lease, NewRun, RunRow, mark_alive
from nvsx.store import database, migrations, owner, records
from nvsx.store.commit_writer import Job, Writer
from nvsx.store.journal_tables import journal, runs

FOLLOW_EVERY = 0.1
"""Seconds between two looks of whoever follows a run: soon enough for people to see it at once,
and long enough that a run that writes without pause is read in gulps."""


T = TypeVar("T")


class SqliteJournal:
    """See `nvsx.store.open_store`. To be closed when done."""

    def __init__(self, state_dir: Path, now: Callable[[], float], busy_timeout: float) -> None:
        self._folder = state_dir
        self._now = now
        self._owners = state_dir / "owners"
        database.prepare_folder(state_dir)
        self._engine = database.connect(state_dir, busy_timeout)
        try:
            with database.translated(state_dir):
                self._prepare_store()
                self._owner = owner.Owner(self._owners)
        except BaseException:
            self._engine.dispose()
            raise
        self._writer = Writer(self._engine, state_dir, records.append_many)

    @property
    def owner(self) -> str:
        """The name in this process's leases."""
        return self._owner.name

    def now(self) -> float:
        """Unix seconds, by the store's clock."""
        return self._now()

    def close(self) -> None:
        """Commit what is waiting; runs of this process that have not finished are
        interrupted from now on."""
        self._writer.close()
        self._engine.dispose()
        self._owner.release()

    # --- writing --------------------------------------------------------------------------

    async def create(self, run: NewRun) -> Lease:
        now = self._now()

        def work(db: Connection) -> Lease:
            if run.node:
                self._check_free(db, run.cluster, run.node, run.runbook, "")
            lease = Lease(records.new_run_id(db, now), self.owner, 1)
            records.insert_run(db, lease, run, now)
            return lease

        # Nobody would ever append to a run whose creator has gone.
        lease: Lease = await self._writer.do(Job(work, durable=True, droppable=True))
        return lease

    async def claim(self, lease: Lease, node: str) -> None:
        def work(db: Connection) -> None:
            record = records.leased(db, lease)
            row = record.row
            self._check_free(db, row.cluster, node, row.runbook, lease.run_id)
            records.claim(db, record, node)

        await self.transact(work)

    async def append(
        self, lease: Lease, events: Sequence[RunEvent], *, durable: bool = False
    ) -> Sequence[Entry]:
        if not events:
            return []
        bodies = [(kind_of(event), encode_body(event).decode()) for event in events]
        batch = records.Append(lease, tuple(events), bodies, self._now())
        entries: Sequence[Entry] = await self._writer.do(Job(None, batch=batch, durable=durable))
        return entries

    async def take_over(self, run_id: str) -> Lease:
        return await self.transact(lambda db: self._take_run(db, run_id))

    async def abandon(self, run_id: str) -> None:
        now = self._now()

        def work(db: Connection) -> None:
            lease = self._take_run(db, run_id)
            end = finish_abandoned(records.find(db, run_id).row, now)
            records.append(db, lease, end, now)

        await self.transact(work)

    # --- reading --------------------------------------------------------------------------

    async def read(self, run_id: str, after: int = 0) -> Sequence[Entry]:
        def look(db: Connection) -> Sequence[Entry]:
            records.find(db, run_id)
            return _read_entries(db, run_id, after)

        return await self.look(look)

    async def run(self, run_id: str) -> RunRow:
        return await self.look(lambda db: self._as_seen_rows([records.find(db, run_id)])[0])

    async def runs(self, *, active: bool = False, limit: int = 100) -> Sequence[RunRow]:
        query = select(runs).order_by(runs.c.created.desc(), runs.c.run_id.desc()).limit(limit)
        if active:
            query = query.where(runs.c.finished.is_(None))

        def look(db: Connection) -> Sequence[RunRow]:
            return self._as_seen_rows(
                [records.record(found) for found in db.execute(query).mappings()]
            )

        return await self.look(look)

    async def follow(self, run_id: str, after: int = 0) -> AsyncIterator[Entry]:
        # A connection sees by its data_version whether any other has committed: looking
        # costs microseconds, so only news is read.
        connection = await asyncio.to_thread(self._engine.connect)
        version = -1

        def news() -> Sequence[Entry]:
            nonlocal version
            with database.translated(self._folder):
                now = database.raw(connection).execute("PRAGMA data_version").fetchone()[0]
                if now == version:
                    return ()
                version = now
                with connection.begin():
                    records.find(connection, run_id)
                    return _read_entries(connection, run_id, after)

        try:
            while True:
                for entry in await _to_the_end(news):
                    after = entry.seq
                    yield entry
                    if isinstance(entry.body, Finish):
                        return
                await asyncio.sleep(FOLLOW_EVERY)
        finally:
            connection.close()

    # --- inside ---------------------------------------------------------------------------

    def _prepare_store(self) -> None:
        database.use_wal(self._engine)
        with self._engine.connect() as connection:
            with connection.begin():
                current = migrations.version(connection) == len(migrations.STEPS)
            if not current:
                # Looked at again under the lock: two processes may start on an old state.
                with connection.execution_options(**database.WRITE).begin():
                    where = str(self._folder / database.FILE)
                    migrations.migrate(connection, where, self._now())
        with self._engine.connect() as connection, connection.begin():
            unfinished = select(runs.c.owner).where(runs.c.finished.is_(None))
            owner.sweep(self._owners, set(connection.execute(unfinished).scalars()))

    # --- for what else is kept in the same database --------------------------------------

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in the writer's next commit, flushed to disk; see writer.Job."""
        done: T = await self._writer.do(Job(work, durable=True))
        return done

    async def look(self, look: Callable[[Connection], T]) -> T:
        """Read in a transaction of its own."""

        def work() -> T:
            with (
                database.translated(self._folder),
                self._engine.connect() as connection,
                connection.begin(),
            ):
                return look(connection)

        return await asyncio.to_thread(work)

    def _as_seen_rows(self, found: Sequence[records.Record]) -> list[RunRow]:
        owners = {record.owner for record in found if record.row.finished is None}
        living = {name for name in owners if self.alive(name)}
        return [mark_alive(record.row, record.owner in living) for record in found]

    def alive(self, name: str) -> bool:
        """Whether the owner of that name lives."""
        return self._owner.is_called(name) or owner.is_alive(self._owners, name)

    def _take_run(self, db: Connection, run_id: str) -> Lease:
        record = records.unfinished(db, run_id)
        if self.alive(record.owner):
            raise NodeClaimed(record.row.node, run_id, runbook=record.row.runbook)
        lease = Lease(run_id, self.owner, record.epoch + 1)
        records.set_owner(db, lease)
        return lease

    def _check_free(
        self, db: Connection, cluster: str, node: str, runbook: str, run_id: str
    ) -> None:
        holder = records.holder(db, cluster, node, runbook)
        if holder is None or holder.row.run_id == run_id:
            return
        raise NodeClaimed(
            node,
            holder.row.run_id,
            interrupted=not self.alive(holder.owner),
            runbook=holder.row.runbook,
        )


async def _to_the_end(work: Callable[[], Sequence[Entry]]) -> Sequence[Entry]:
    """Run `work` in a thread; a cancel waits for it, since it still uses its connection."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _read_entries(db: Connection, run_id: str, after: int) -> list[Entry]:
    query = (
        select(journal.c.seq, journal.c.t, journal.c.body)
        .where(journal.c.run_id == run_id, journal.c.seq > after)
        .order_by(journal.c.seq)
    )
    return [Entry(run_id, seq, t, _decode_body(body)) for seq, t, body in db.execute(query)]


def _decode_body(raw: str) -> RunEvent:
    try:
        return decode_body(raw)
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"the journal holds an event this nvsx does not know: {error}",
            "upgrade nvsx to read this run",
        ) from error
