"""NVSentinel's store of each kind, for tests: what NVSentinel would write, and a feed on it."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tests.event_store import servers
from tests.event_store.stored import bson, jsonb
from tests.fakes.fake_health_events import FakeHealthEvents

from nvsx.core.ports import Clock
from nvsx.nvsentinel import decoding
from nvsx.nvsentinel.event_store.event_feed import HealthEventFeed
from nvsx.nvsentinel.event_store.mongo import MongoHealthEvents
from nvsx.nvsentinel.event_store.postgres import PostgresHealthEvents
from nvsx.nvsentinel.event_store.store_location import StoreTarget

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from pymongo.asynchronous.collection import AsyncCollection

SCHEMA = Path(__file__).with_name("nvsentinel.sql")
_numbers = itertools.count(1)

Stored = dict[str, Any]


class World(Protocol):
    """One empty store and a feed that reads it."""

    @property
    def feed(self) -> HealthEventFeed: ...

    async def put(self, stored: Stored) -> str:
        """Store a document as NVSentinel does; its id."""
        ...


class FakeWorld:
    def __init__(self) -> None:
        self.feed = self.fake = FakeHealthEvents()

    async def put(self, stored: Stored) -> str:
        id_ = f"{next(_numbers):024x}"
        decoded = decoding.decode_document({**stored, "_id": id_})
        self.fake.put(*decoded.events, *(() if decoded.events else decoded.oddities))
        return id_


class PostgresWorld:
    """A database of its own. `db` is NVSentinel's connection, which commits at once."""

    def __init__(
        self, server: servers.Postgres, target: StoreTarget, db: AsyncConnection[Any], clock: Clock
    ) -> None:
        self.server, self.target, self.db, self._clock = server, target, db, clock
        self._feeds: list[PostgresHealthEvents] = []
        self.feed = self.another()

    def another(self, **changes: Any) -> PostgresHealthEvents:
        """A further feed, on a target with some changes."""
        self._feeds.append(PostgresHealthEvents(replace(self.target, **changes), self._clock))
        return self._feeds[-1]

    @property
    def database(self) -> str:
        return str(self.db.info.dbname)

    async def connect(self) -> AsyncConnection[Any]:
        import psycopg

        return await psycopg.AsyncConnection.connect(self.server.uri(self.database))

    async def put(self, stored: Stored, db: AsyncConnection[Any] | None = None) -> str:
        from psycopg.types.json import Jsonb

        event, id_ = stored["healthevent"], str(uuid.uuid4())
        await (db or self.db).execute(
            "INSERT INTO health_events (id, node_name, event_type, severity, recommended_action, "
            "user_pods_eviction_status, document, created_at) "
            "VALUES (%s, %s, %s, %s, 'RESTART_BM', NULL, %s, %s)",
            (
                id_,
                event["nodename"],
                event["checkname"],
                event["componentclass"],
                Jsonb(jsonb(stored)),
                stored["createdAt"],
            ),
        )
        return id_

    @classmethod
    @asynccontextmanager
    async def open(
        cls, server: servers.Postgres, clock: Clock, folder: Path
    ) -> AsyncIterator[PostgresWorld]:
        import psycopg

        name = f"nvsentinel{next(_numbers)}"
        async with await psycopg.AsyncConnection.connect(server.uri(), autocommit=True) as admin:
            await admin.execute(f"CREATE DATABASE {name}")
        db = await psycopg.AsyncConnection.connect(server.uri(name), autocommit=True)
        async with db:
            await db.execute(SCHEMA.read_text())
            target = StoreTarget("PostgreSQL", server.uri(name), "127.0.0.1", folder / "private")
            world = cls(server, target, db, clock)
            try:
                yield world
            finally:
                for feed in world._feeds:
                    await feed.close()


class MongoWorld:
    """A database of its own. `stored` is NVSentinel's collection."""

    def __init__(
        self, target: StoreTarget, stored: AsyncCollection[Stored], clock: Clock, listener: Any
    ) -> None:
        self.target, self.stored, self._clock, self._listener = target, stored, clock, listener
        self._feeds: list[MongoHealthEvents] = []
        self.feed = self.another()

    def another(self, **changes: Any) -> MongoHealthEvents:
        """A further feed, on a target with some changes."""
        target = replace(self.target, **changes)
        self._feeds.append(MongoHealthEvents(target, self._clock, [self._listener]))
        return self._feeds[-1]

    @property
    def commands(self) -> list[str]:
        """The names of all commands the feeds have sent."""
        names: list[str] = self._listener.names
        return names

    async def put(self, stored: Stored, make: Callable[[], object] | None = None) -> str:
        document = bson(stored)
        if make is not None:
            document["_id"] = make()
        return str((await self.stored.insert_one(document)).inserted_id)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, server: servers.Server, clock: Clock, folder: Path
    ) -> AsyncIterator[MongoWorld]:
        from pymongo import AsyncMongoClient

        name = f"HealthEvents{next(_numbers)}"
        uri = f"mongodb://127.0.0.1:{server.port}/"
        async with AsyncMongoClient[Stored](uri) as client:
            stored = client[name]["HealthEvents"]
            await stored.create_index("createdAt")
            target = StoreTarget("MongoDB", uri, "127.0.0.1", folder / "private", database=name)
            world = cls(target, stored, clock, _listener())
            try:
                yield world
            finally:
                for feed in world._feeds:
                    await feed.close()
                await client.drop_database(name)


def _listener() -> Any:
    from pymongo.monitoring import CommandListener

    class Commands(CommandListener):
        """Remembers every command's name."""

        def __init__(self) -> None:
            self.names: list[str] = []

        def started(self, event: Any) -> None:
            self.names.append(event.command_name)

        def succeeded(self, event: Any) -> None: ...

        def failed(self, event: Any) -> None: ...

    return Commands()
