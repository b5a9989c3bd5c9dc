"""A fake of the Journal port: the same rules, in memory.

`another()` is a second process on the same store; `kill()` is the death of this one: its
runs are interrupted then, and can be taken over from another.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from tests.fakes.fake_incidents import FakeIncidents

from nvsx.core.errors import NodeClaimed, StaleOwner, UsageError
from nvsx.core.journal.entries import Entry, Finish, RunEvent, decode_body, encode_body, kind_of
from nvsx.core.journal.run_index import finish_abandoned, make_first_row, update_row
from nvsx.core.journal.run_rows import Lease, NewRun, RunRow, mark_alive
from nvsx.core.ports import Clock


class _Run(msgspec.Struct):
    row: RunRow
    lease: Lease
    entries: list[Entry]


class _Shared:
    """What the processes on one store have in common."""

    def __init__(self) -> None:
        self.runs: dict[str, _Run] = {}
        self.claims: dict[tuple[str, str, str, str], str] = {}
        self.incidents = FakeIncidents()
        self.alive: set[str] = set()
        self.owners = itertools.count(1)
        self.grown = asyncio.Event()
        self.inbox: Any = None


class FakeJournal:
    """A journal in memory. While `fail_appends` is set, appends raise that error.

    `appended` has (event kind, durable) of all that this process appended, in order.
    """

    def __init__(self, clock: Clock, shared: _Shared | None = None) -> None:
        self.fail_appends: Exception | None = None
        self.appended: list[tuple[str, bool]] = []
        self._clock = clock
        self._shared = shared or _Shared()
        self.owner = f"owner-{next(self._shared.owners)}"
        self._shared.alive.add(self.owner)

    def another(self) -> FakeJournal:
        """The journal of another living process on the same store."""
        return FakeJournal(self._clock, self._shared)

    def kill(self) -> None:
        """This process is dead; its unfinished runs are interrupted."""
        self._shared.alive.discard(self.owner)

    # --- for the fake inbox, which decides and creates in one step -------------------------

    @property
    def shared(self) -> _Shared:
        """What all processes on this store have in common."""
        return self._shared

    def now(self) -> float:
        return self._clock.now()

    def row(self, run_id: str) -> RunRow:
        """One run as this process sees it."""
        return self._seen(self._found(run_id))

    async def create(self, run: NewRun) -> Lease:
        return self.create_now(run)

    def create_now(self, run: NewRun) -> Lease:
        """As `create`, without waiting."""
        self._check_free(run.cluster, run.node, run.runbook, "")
        return self.create_beside(run)

    def create_beside(self, run: NewRun, incident: str = "", run_id: str = "") -> Lease:
        """A run for one incident, whatever else is on the node."""
        now = self._clock.now()
        run_id = run_id or self.new_run_id()
        lease = Lease(run_id, self.owner, 1)
        self._shared.runs[run_id] = _Run(make_first_row(run_id, run, now), lease, [])
        if run.node:
            self._shared.claims[run.cluster, run.node, run.runbook, incident] = run_id
        return lease

    def new_run_id(self) -> str:
        minute = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y%m%d-%H%M")
        return f"r-{minute}-{len(self._shared.runs) + 1:04d}"

    async def claim(self, lease: Lease, node: str) -> None:
        run = self._leased(lease)
        row = run.row
        self._check_free(row.cluster, node, row.runbook, lease.run_id)
        self._shared.claims[row.cluster, node, row.runbook, ""] = lease.run_id
        run.row = msgspec.structs.replace(run.row, node=node)

    async def append(
        self, lease: Lease, events: Sequence[RunEvent], *, durable: bool = False
    ) -> Sequence[Entry]:
        if self.fail_appends is not None:
            raise self.fail_appends
        entries = self._append(self._leased(lease), events)
        self.appended.extend((kind_of(event), durable) for event in events)
        return entries

    async def read(self, run_id: str, after: int = 0) -> Sequence[Entry]:
        return self._found(run_id).entries[max(0, after) :]

    async def take_over(self, run_id: str) -> Lease:
        run = self._interrupted(run_id)
        run.lease = Lease(run_id, self.owner, run.lease.epoch + 1)
        return run.lease

    async def abandon(self, run_id: str) -> None:
        run = self._interrupted(run_id)
        run.lease = Lease(run_id, self.owner, run.lease.epoch + 1)
        self._append(run, [finish_abandoned(run.row, self._clock.now())])

    async def follow(self, run_id: str, after: int = 0) -> AsyncIterator[Entry]:
        run = self._found(run_id)
        while True:
            grown = self._shared.grown
            for entry in run.entries[max(0, after) :]:
                after = entry.seq
                yield entry
                if isinstance(entry.body, Finish):
                    return
            if len(run.entries) <= after:
                await grown.wait()

    async def run(self, run_id: str) -> RunRow:
        return self._seen(self._found(run_id))

    async def runs(self, *, active: bool = False, limit: int = 100) -> Sequence[RunRow]:
        rows = [self._seen(run) for run in reversed(self._shared.runs.values())]
        return [row for row in rows if not (active and row.finished is not None)][:limit]

    def _append(self, run: _Run, events: Sequence[RunEvent]) -> Sequence[Entry]:
        now = self._clock.now()
        added = []
        for event in events:
            # Through the encoder and back: what cannot be stored must fail here too.
            body = decode_body(encode_body(event))
            entry = Entry(run.row.run_id, len(run.entries) + 1, now, body)
            run.entries.append(entry)
            run.row = update_row(run.row, body, now)
            added.append(entry)
        if run.row.finished is not None:
            claims = self._shared.claims
            for key in [k for k, v in claims.items() if v == run.row.run_id]:
                del claims[key]
        self._shared.grown.set()
        self._shared.grown = asyncio.Event()
        return added

    def _seen(self, run: _Run) -> RunRow:
        return mark_alive(run.row, run.lease.owner in self._shared.alive)

    def _found(self, run_id: str) -> _Run:
        if run_id not in self._shared.runs:
            raise UsageError(f"there is no run {run_id}", "list them with `nvsx history`")
        return self._shared.runs[run_id]

    def _leased(self, lease: Lease) -> _Run:
        run = self._found(lease.run_id)
        if run.lease != lease or run.row.finished is not None:
            raise StaleOwner(f"run {lease.run_id} is no longer this process's")
        return run

    def _interrupted(self, run_id: str) -> _Run:
        run = self._found(run_id)
        if run.row.finished is not None:
            raise UsageError(f"run {run_id} has finished: {run.row.status}")
        if run.lease.owner in self._shared.alive:
            raise NodeClaimed(run.row.node, run_id, runbook=run.row.runbook)
        return run

    def _check_free(self, cluster: str, node: str, runbook: str, run_id: str) -> None:
        wanted = (cluster, node, runbook)
        held = [r for key, r in self._shared.claims.items() if node and key[:3] == wanted]
        if not held or held[0] == run_id:
            return
        row = self._seen(self._shared.runs[held[0]])
        raise NodeClaimed(node, held[0], interrupted=not row.alive, runbook=row.runbook)
