"""The PostgreSQL adapter: reads `datastore_changelog` and `health_events`, and only reads.

Changelog ids come from a sequence, so a row can become visible after one with a higher id.
Nothing is skipped for that: with every read the snapshot's transaction bounds are taken, and
ids count as final only once every transaction that was open at that moment has ended. Until
then they are read again, without those that were had. When the changelog was purged beyond
where reading stopped, or started over, `health_events.created_at` is scanned instead.
Source: store-client/pkg/datastore/providers/postgresql/datastore.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from nvsx.core.incident.session import HealthEvent
from nvsx.core.ports import Clock
from nvsx.nvsentinel import decoding
from nvsx.nvsentinel.event_store.credentials import write_private_file
from nvsx.nvsentinel.event_store.event_feed import Batch, FeedPosition
from nvsx.nvsentinel.event_store.event_store_errors import (
    HealthEventsError,
    no_driver,
    store_failure,
)
from nvsx.nvsentinel.event_store.store_location import StoreTarget

if TYPE_CHECKING:
    from typing import LiteralString

    from psycopg import AsyncConnection

#: How far before the last known event a scan begins, in seconds.
OVERLAP = 300.0
#: A transaction that is open for longer than this no longer holds reading back.
LONGEST_TRANSACTION = 3600.0
#: Ids that a transaction may have drawn before those that look older by their time.
SPARE_IDS = 1000
#: The most recent events of a node that are read for its watches.
MOST_OF_A_NODE = 1000
#: The whole of one read, a new connection included; the statement's own limit is below it.
_WITHIN = 30.0
_SESSION = (
    "-c default_transaction_read_only=on -c statement_timeout=20000 -c lock_timeout=5000 "
    "-c idle_in_transaction_session_timeout=60000"
)

T = TypeVar("T")


class Memory(msgspec.Struct, frozen=True):
    """What this process knows of the stretch that is read again: the changelog ids it has
    had there, and (id, transaction, time) marks of reads that are not final yet. `read_at`
    is when it was last read.

        transaction 7 draws id 41 and stays open; 8 draws id 42 and commits
        read 1: sees 42, snapshot below 7 ended; mark (42, 9): had {42}, final 40
        transaction 7 commits
        read 2: sees 41 (42 was had), all below 9 ended: final 42, had {}
    """

    read_at: float
    had: frozenset[int] = frozenset()
    pending: tuple[tuple[int, int, float], ...] = ()


class PostgresHealthEvents:
    """Adapter of event_feed.HealthEventFeed. Connects when first asked."""

    def __init__(self, target: StoreTarget, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        self._connection: AsyncConnection[dict[str, Any]] | None = None
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        await self._drop_connection()
        if self._target.forward is not None:
            await self._target.forward.close()

    async def events(self, node: str, since: float) -> Sequence[HealthEvent]:
        """Events of `node` created since, oldest first; the latest thousand at most."""

        async def work(db: AsyncConnection[dict[str, Any]]) -> list[dict[str, Any]]:
            found = await db.execute(
                "SELECT to_jsonb(h) AS row FROM health_events h "
                "WHERE node_name = %s AND created_at >= to_timestamp(%s) "
                "ORDER BY created_at DESC, id DESC LIMIT %s",
                (node, since, MOST_OF_A_NODE),
            )
            return await found.fetchall()

        rows = await self._ask_store(work)
        return [e for r in reversed(rows) if (e := decoding.decode_row(r["row"]).event) is not None]

    async def after(self, position: FeedPosition, limit: int = 500) -> Batch:
        async def work(db: AsyncConnection[dict[str, Any]]) -> Batch:
            return await _Reading(db, position, limit, self._clock.now()).batch()

        return await self._ask_store(work)

    # --- the connection -------------------------------------------------------------------

    async def _ask_store(
        self, work: Callable[[AsyncConnection[dict[str, Any]]], Awaitable[T]]
    ) -> T:
        """Do `work` in one read-only snapshot; once more if an idle connection had died."""
        try:
            import psycopg
        except ImportError:
            raise no_driver("PostgreSQL", "postgres") from None
        async with self._lock:
            while True:
                reused = self._connection is not None
                try:
                    async with asyncio.timeout(_WITHIN):
                        db = await self._open_connection()
                        async with db.transaction():
                            return await work(db)
                except TimeoutError:
                    await self._abandon_connection()
                    raise self._target.slow(_WITHIN) from None
                except (psycopg.Error, OSError) as error:
                    lost = self._connection is None or self._connection.broken
                    if lost:
                        await self._abandon_connection()
                        if reused:
                            continue
                    raise self._translate_error(error, lost=lost) from None
                except BaseException:
                    await self._drop_connection()
                    raise

    async def _open_connection(self) -> AsyncConnection[dict[str, Any]]:
        if self._connection is None:
            import psycopg
            from psycopg.rows import dict_row

            parameters = await self._connection_parameters()
            db = await psycopg.AsyncConnection.connect(
                self._target.uri, row_factory=dict_row, **parameters
            )
            await db.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            await db.set_read_only(True)
            self._connection = db
        return self._connection

    async def _connection_parameters(self) -> dict[str, Any]:
        """libpq's parameters besides the URI; what the URI says itself is left alone."""
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        target, material = self._target, self._target.material
        try:
            given = conninfo_to_dict(target.uri)
        except ProgrammingError:
            raise store_failure(
                "configuration",
                "the PostgreSQL URI cannot be understood",
                "write user and password percent-encoded: postgresql://user:p%40ss@host/nvsentinel",
            ) from None
        wanted: dict[str, Any] = {
            "connect_timeout": 8,
            "tcp_user_timeout": 20000,
            "keepalives_idle": 20,
            "application_name": "nvsx",
            "user": material.username,
            "password": material.password,
            "dbname": target.database,
        }
        if material.certificate:
            wanted["sslcert"] = write_private_file(target.folder, "tls.crt", material.certificate)
            wanted["sslkey"] = write_private_file(target.folder, "tls.key", material.key)
        if material.ca:
            wanted["sslrootcert"] = write_private_file(target.folder, "ca.crt", material.ca)
            wanted["sslmode"] = "verify-full"
        added = {k: v for k, v in wanted.items() if v and k not in given}
        added["options"] = f"{given.get('options', '')} {_SESSION}".strip()
        if target.forward is not None:
            # The name stays, so that the server's certificate is checked against it.
            added |= {"hostaddr": "127.0.0.1", "port": await target.forward.open()}
        return added

    async def _abandon_connection(self) -> None:
        """Give up the connection and the way to it: a forward can be alive and lead nowhere."""
        await self._drop_connection()
        if self._target.forward is not None:
            await self._target.forward.close()

    async def _drop_connection(self) -> None:
        db, self._connection = self._connection, None
        if db is not None:
            await db.close()

    def _translate_error(self, error: BaseException, *, lost: bool) -> HealthEventsError:
        target = self._target
        state = getattr(error, "sqlstate", None) or ""
        said = target.said(error).split(" LINE ")[0]
        if state == "42501":
            return store_failure(
                "permission",
                f"{target.where} does not let nvsx read: {said}",
                "GRANT SELECT ON health_events, datastore_changelog TO the user nvsx logs in as",
            )
        if state in ("42P01", "42703", "3F000"):
            return store_failure(
                "database",
                f"{target.where} is not NVSentinel's database: {said}",
                "name the right one in healthEvents.uri; NVSentinel's is usually `nvsentinel`",
            )
        if state == "57014":
            return store_failure("timeout", f"{target.where} took too long: {said}")
        if lost or state[:2] in ("08", "28", "3D", "57", ""):
            return target.unreached(error)
        return store_failure("unavailable", f"{target.where} cannot be read: {said}")


class _Reading:
    """One read of what is new, in one snapshot of the database."""

    def __init__(
        self, db: AsyncConnection[dict[str, Any]], position: FeedPosition, limit: int, now: float
    ) -> None:
        self._db = db
        self._limit = limit
        self._now = now
        mark = position.mark
        self._at = float(mark.get("at", now))
        self._change: int | None = mark.get("change")
        self._scan: list[Any] | None = mark.get("scan")
        memory = position.memory if isinstance(position.memory, Memory) else None
        # Without a memory nothing tells how long nobody read; a process can sleep, too.
        self._begins = memory is None or now - memory.read_at > LONGEST_TRANSACTION
        self._memory: Memory = memory or Memory(now)
        self._oddities: list[str] = []

    async def batch(self) -> Batch:
        oldest, newest, open_from, open_to = await self._read_bounds()
        if not await self._goes_on(oldest, newest):
            await self._begin_scan(newest or 0, open_to)
        if self._scan is not None:
            return await self._scan_events(self._scan)
        return await self._read_changelog(newest or 0, open_from, open_to)

    async def _read_bounds(self) -> tuple[int | None, int | None, int, int]:
        """The changelog's first and last id, and the snapshot's: every transaction before
        `xmin` has ended, none from `xmax` on had begun."""
        row = await self._fetch_one(
            "SELECT (SELECT min(id) FROM datastore_changelog) AS oldest, "
            "(SELECT max(id) FROM datastore_changelog) AS newest, "
            "pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin, "
            "pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xmax"
        )
        return row["oldest"], row["newest"], row["xmin"], row["xmax"]

    async def _goes_on(self, oldest: int | None, newest: int | None) -> bool:
        """Whether the changelog reaches back to where reading stopped, or shall begin."""
        if self._change is None:
            self._change = await self._last_before(self._at - OVERLAP)
            return self._change is not None
        if not self._begins:
            return True
        return oldest is not None and newest is not None and oldest - 1 <= self._change <= newest

    async def _last_before(self, time: float) -> int | None:
        """The last change before a time. Ids and times run nearly alike: found from the end."""
        row = await self._fetch_one(
            "SELECT max(id) AS id FROM (SELECT id FROM datastore_changelog "
            "WHERE changed_at < to_timestamp(%s) ORDER BY id DESC LIMIT 1) earlier",
            time,
        )
        found: int | None = row["id"]
        return found

    async def _begin_scan(self, newest: int, open_to: int) -> None:
        """Go through the events themselves first. What the changelog shows already is among
        them; what comes while the scan goes on is read from the changelog afterwards."""
        earlier = await self._last_before(self._now - LONGEST_TRANSACTION)
        self._change = max(0, (earlier or 0) - SPARE_IDS)
        row = await self._fetch_one(
            "SELECT coalesce(array_agg(id), '{}') AS ids FROM datastore_changelog "
            "WHERE id > %s AND table_name = 'health_events' AND operation = 'INSERT'",
            self._change,
        )
        self._memory = Memory(self._now, frozenset(row["ids"]), ((newest, open_to, self._now),))
        self._scan = [self._at - OVERLAP, ""]

    async def _scan_events(self, scan: list[Any]) -> Batch:
        """A page of the events themselves, by the time they were created."""
        since, last = scan
        found = await self._db.execute(
            "SELECT to_jsonb(h) AS row, id::text AS id, "
            "extract(epoch FROM created_at)::float8 AS at FROM health_events h "
            "WHERE created_at > to_timestamp(%(since)s) "
            "OR (created_at = to_timestamp(%(since)s) AND id::text > %(last)s) "
            "ORDER BY created_at, id::text LIMIT %(limit)s",
            {"since": since, "last": last, "limit": self._limit},
        )
        rows = await found.fetchall()
        events = self._decode_rows(rows)
        full = len(rows) == self._limit
        mark: dict[str, Any] = {"at": self._reached_time(events), "change": self._change}
        if full:
            mark["scan"] = [rows[-1]["at"], rows[-1]["id"]]
        return self._make_batch(events, FeedPosition(mark, self._memory), more=True)

    async def _read_changelog(self, newest: int, open_from: int, open_to: int) -> Batch:
        change = self._change or 0
        found = await self._db.execute(
            "SELECT id, new_values AS row FROM datastore_changelog "
            "WHERE id > %s AND table_name = 'health_events' AND operation = 'INSERT' "
            "AND id <> ALL(%s) ORDER BY id LIMIT %s",
            (change, sorted(self._memory.had), self._limit),
        )
        rows = await found.fetchall()
        events = self._decode_rows(rows)
        full = len(rows) == self._limit
        top = rows[-1]["id"] if full else max(newest, change)
        pending = (*self._memory.pending, (top, open_to, self._now))
        final = max((p[0] for p in pending if self._is_final(p, open_from)), default=change)
        final = max(final, change)
        had = self._memory.had | {row["id"] for row in rows}
        memory = Memory(
            self._now,
            frozenset(i for i in had if i > final),
            tuple(p for p in pending if p[0] > final),
        )
        mark = {"at": self._reached_time(events), "change": final}
        return self._make_batch(events, FeedPosition(mark, memory), more=full)

    def _is_final(self, mark: tuple[int, int, float], open_from: int) -> bool:
        """Whether no id up to this one can appear any more: an id is drawn by a transaction
        that has its number already, and all numbers below `open_from` have ended."""
        _, transaction, at = mark
        return transaction <= open_from or self._now - at > LONGEST_TRANSACTION

    def _decode_rows(self, rows: list[dict[str, Any]]) -> list[HealthEvent]:
        events: list[HealthEvent] = []
        for row in rows:
            decoded = decoding.decode_row(row["row"] or {})
            self._oddities += decoded.oddities
            events += decoded.events
        return events

    def _reached_time(self, events: list[HealthEvent]) -> float:
        """A clock that is ahead of ours must not take the time with it."""
        latest = max((e.created_at for e in events), default=self._at)
        return max(self._at, min(latest, self._now))

    def _make_batch(
        self, events: list[HealthEvent], position: FeedPosition, *, more: bool
    ) -> Batch:
        return Batch(tuple(events), position, more, tuple(self._oddities))

    async def _fetch_one(self, query: LiteralString, *values: object) -> dict[str, Any]:
        """The one row of a query that always has one."""
        found = await self._db.execute(query, values)
        return await found.fetchone() or {}
