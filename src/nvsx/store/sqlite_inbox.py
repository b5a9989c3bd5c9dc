"""SqliteInbox: the Inbox port on the journal's database, through the journal's writer.

A decision, the run it makes, the node it claims and the event it explains are one commit,
shared with whatever else is waiting to be written. Used by the dispatcher and, from other
processes, by the commands on events, silences and runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from nvsx.core.errors import UsageError
from nvsx.core.journal.run_rows import Lease
from nvsx.core.routing.inbox import (
    Ask,
    Decide,
    Decision,
    Draft,
    Received,
    Silence,
    StormMark,
    Taken,
)
from nvsx.store import records, taking
from nvsx.store.decision_view import EVENTS, SqlLedger, as_silence, received, storm_size
from nvsx.store.inbox_tables import (
    asks,
    cursors,
    deliveries,
    events,
    explanations,
    requests,
    silences,
    storm_faults,
)
from nvsx.store.journal_tables import runs
from nvsx.store.sqlite_journal import SqliteJournal

_PROBE = "-probe"
_NEXT_SILENCE = select(func.coalesce(func.max(silences.c.silence_id), 0) + 1)
#: Events forgotten in one transaction: others write in between.
_FORGET_AT_ONCE = 1000


class SqliteInbox:
    """See core.inbox.Inbox. Lives as long as its journal."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal

    # --- events ---------------------------------------------------------------------------

    async def take(self, draft: Draft, decide: Decide) -> Taken:
        now = self._journal.now()

        def work(db: Connection) -> Taken:
            decision = decide(SqlLedger(db, self._journal.alive))
            again = decision.duplicate_of
            run_id = records.new_run_id(db, now) if decision.create is not None else ""
            appended = taking.append_news(db, decision, run_id)
            if again is not None:
                event = taking.repeated(db, again, draft.received)
                return Taken(event=event, decision=decision, appended=appended)
            lease = None
            if decision.create is not None:
                lease = Lease(run_id, self._journal.owner, 1)
                incident = appended.stored.open_id if appended is not None else ""
                records.insert_run(db, lease, decision.create, now, incident)
                taking.follow_up(db, run_id, decision, now)
            taking.insert_asks(db, decision.asks, run_id)
            event = taking.event_of(draft, decision, lease)
            taking.insert_event(db, event)
            return Taken(event=event, decision=decision, lease=lease, appended=appended)

        return await self._journal.transact(work)

    async def consult(self, decide: Decide) -> Decision:
        return await self._journal.look(lambda db: decide(SqlLedger(db, self._journal.alive)))

    async def event(self, event_id: str) -> Received:
        def look(db: Connection) -> Received:
            query = EVENTS.where(events.c.event_id == event_id)
            found = db.execute(query).mappings().first()
            if found is None:
                raise UsageError(f"there is no event {event_id}", "list them with `nvsx explain`")
            return received(found)

        return await self._journal.look(look)

    async def events(self, *, run_id: str = "", limit: int = 100) -> Sequence[Received]:
        query = EVENTS.order_by(events.c.received.desc()).limit(limit)
        if run_id:
            query = query.where(events.c.run_id == run_id)

        return await self._journal.look(
            lambda db: [received(row) for row in db.execute(query).mappings()]
        )

    async def prune(self, before: float) -> int:
        def some(db: Connection) -> int:
            # Nothing is received again before it was received: the first is by index.
            old = and_(events.c.received < before, events.c.last_received < before)
            some = select(events.c.event_id).where(old).limit(_FORGET_AT_ONCE)
            late = select(deliveries.c.key).where(deliveries.c.at < before).limit(_FORGET_AT_ONCE)
            gone = db.execute(delete(events).where(events.c.event_id.in_(some))).rowcount
            more = db.execute(delete(deliveries).where(deliveries.c.key.in_(late))).rowcount
            counts.append(gone)
            return int(gone + more)

        def rest(db: Connection) -> None:
            used = select(events.c.explained)
            db.execute(delete(explanations).where(explanations.c.digest.not_in(used)))
            over = select(runs.c.run_id).where(runs.c.finished.is_not(None))
            db.execute(delete(asks).where(asks.c.run_id.in_(over)))
            db.execute(delete(silences).where(silences.c.until < before))

        counts: list[int] = []
        while await self._journal.transact(some):
            pass
        await self._journal.transact(rest)
        return sum(counts)

    async def probe(self) -> None:
        await self.set_cursor(_PROBE, self._journal.now())

    # --- runs -----------------------------------------------------------------------------

    async def request_of(self, run_id: str) -> str:
        query = select(requests.c.body).where(requests.c.run_id == run_id)
        return str(await self._journal.look(lambda db: db.execute(query).scalar() or ""))

    async def storm_of(self, run_id: str) -> StormMark | None:
        query = select(storm_faults.c.leader).where(storm_faults.c.run_id == run_id)

        def look(db: Connection) -> StormMark | None:
            leader = db.execute(query).scalar()
            return StormMark(leader, storm_size(db, leader)) if leader else None

        return await self._journal.look(look)

    async def ask(self, ask: Ask) -> None:
        await self._journal.transact(lambda db: taking.insert_asks(db, [ask]))

    async def asks(self) -> Sequence[Ask]:
        open_ = runs.c.finished.is_(None)
        join = asks.join(runs, runs.c.run_id == asks.c.run_id)
        query = select(asks).select_from(join).where(open_).order_by(asks.c.ask_id)

        def look(db: Connection) -> Sequence[Ask]:
            return [
                Ask(
                    ask_id=row["ask_id"],
                    run_id=row["run_id"],
                    kind=row["kind"],
                    text=row["text"],
                    by=row["author"],
                    code=row["code"],
                )
                for row in db.execute(query).mappings()
            ]

        return await self._journal.look(look)

    async def asked(self, done: Sequence[int]) -> None:
        if done:
            query = delete(asks).where(asks.c.ask_id.in_(done))
            await self._journal.transact(lambda db: db.execute(query).rowcount)

    # --- silences, cursors ------------------------------------------------------------------

    async def silence(self, silence: Silence) -> None:
        def work(db: Connection) -> None:
            db.execute(
                insert(silences).values(
                    silence_id=db.execute(_NEXT_SILENCE).scalar_one(),
                    cluster=silence.cluster,
                    node=silence.node,
                    until=silence.until,
                    reason=silence.reason,
                    author=silence.by,
                    created=silence.created,
                )
            )

        await self._journal.transact(work)

    async def silences(self, now: float) -> Sequence[Silence]:
        query = select(silences).where(silences.c.until > now).order_by(silences.c.until)

        return await self._journal.look(
            lambda db: [as_silence(row) for row in db.execute(query).mappings()]
        )

    async def end_silence(self, node: str, now: float) -> bool:
        query = (
            update(silences)
            .where(silences.c.node == node, silences.c.until > now)
            .values(until=now)
        )
        return bool(await self._journal.transact(lambda db: db.execute(query).rowcount))

    async def cursor(self, source: str) -> Any:
        query = select(cursors.c.value).where(cursors.c.source == source)
        found = await self._journal.look(lambda db: db.execute(query).scalar())
        return None if found is None else json.loads(found)

    async def set_cursor(self, source: str, value: Any) -> None:
        text = json.dumps(value)

        def work(db: Connection) -> None:
            db.execute(delete(cursors).where(cursors.c.source == source))
            db.execute(insert(cursors).values(source=source, value=text))

        await self._journal.transact(work)
