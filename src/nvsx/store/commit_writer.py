"""The one writer of a process: a thread that commits in groups.

A thousand runs append in the same instant; each append waits for one commit, not for a
thousand. Whatever is waiting when a commit ends goes into the next one, in order, so
appends neither block the event loop nor wait for one another longer than a commit takes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from nvsx.core.errors import NvsxError, StoreError
from nvsx.store import database

MOST = 2000
"""Jobs in one commit."""

Work = Callable[[Connection], Any]


class Job:
    """One piece of work for the writer, and the future of its result.

    `work` checks first and writes then: when it raises an NvsxError it has written
    nothing. Jobs that have a `batch` instead are handed to the writer's `batch_work`
    together with their neighbours. `droppable` work is left undone when nobody waits.
    """

    __slots__ = ("batch", "droppable", "durable", "future", "loop", "outcome", "work")

    def __init__(
        self,
        work: Work | None,
        *,
        batch: Any = None,
        durable: bool = False,
        droppable: bool = False,
    ) -> None:
        self.work = work
        self.batch = batch
        self.durable = durable
        self.droppable = droppable
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.outcome: Any = None

    def resolve(self) -> None:
        """To be called in the future's loop."""
        if self.future.done():
            return
        if isinstance(self.outcome, BaseException):
            self.future.set_exception(self.outcome)
        else:
            self.future.set_result(self.outcome)


class Writer:
    """Runs jobs against the database, in order, many to a commit.

    `batch_work` takes a connection and neighbouring batch jobs, and sets the outcome of each.
    """

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        batch_work: Callable[[Connection, Sequence[Job]], None],
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._batch_work = batch_work
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._connection: Connection | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run_thread, name="nvsx-store", daemon=True)
        self._thread.start()

    async def do(self, job: Job) -> Any:
        """The result of `job` once it is committed. Raises what it raised, StoreError."""
        if self._closed:
            raise StoreError("the store is closed")
        self._queue.put(job)
        return await job.future

    def close(self) -> None:
        """Commit what is waiting and end the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join(timeout=30)

    def _run_thread(self) -> None:
        while (first := self._queue.get()) is not None:
            jobs = [first]
            last = False
            while len(jobs) < MOST and not last:
                try:
                    job = self._queue.get_nowait()
                except Empty:
                    break
                if job is None:
                    last = True
                else:
                    jobs.append(job)
            self._commit_jobs(
                [job for job in jobs if not (job.droppable and job.future.cancelled())]
            )
            if last:
                break
        self._drop_connection()

    def _commit_jobs(self, jobs: Sequence[Job]) -> None:
        """One transaction for all jobs. An error of the database fails every one of them."""
        if not jobs:
            return
        try:
            connection = self._open_connection()
            database.set_flush(connection, durable=any(job.durable for job in jobs))
            with connection.begin():
                self._do_jobs(connection, jobs)
        except database.ERRORS as error:
            failure = database.translate(error, self._folder)
            failure.__cause__ = error
            for job in jobs:
                job.outcome = failure
            self._drop_connection()
        except Exception as error:  # noqa: BLE001 - a bug must reach the callers, not end the thread
            for job in jobs:
                job.outcome = error
            self._drop_connection()
        _resolve_futures(jobs)

    def _do_jobs(self, connection: Connection, jobs: Sequence[Job]) -> None:
        neighbours: list[Job] = []
        for job in jobs:
            if job.work is None:
                neighbours.append(job)
                continue
            if neighbours:
                self._batch_work(connection, neighbours)
                neighbours = []
            try:
                job.outcome = job.work(connection)
            except NvsxError as error:
                job.outcome = error
        if neighbours:
            self._batch_work(connection, neighbours)

    def _open_connection(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(**database.WRITE)
        return self._connection

    def _drop_connection(self) -> None:
        """A connection that failed is not used again: its state is not ours to know."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                connection.invalidate()
                connection.close()
            except SQLAlchemyError:
                pass  # it is being thrown away


def _resolve_futures(jobs: Sequence[Job]) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        loops.setdefault(job.loop, []).append(job)
    for loop, theirs in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve_in_loop, theirs)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more


def _resolve_in_loop(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.resolve()
