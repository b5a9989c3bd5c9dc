"""The database behind the health events, where one is given: MongoDB or PostgreSQL.

Follows the ledger and writes each insert and update as NVSentinel's modules do, in order.
The sandbox itself never reads it. Drivers are imported when a database is opened. A lost
connection is retried; what was queued is written then.
Sources: store-client/pkg/client/mongodb_client.go,
store-client/pkg/datastore/providers/postgresql.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from nvsentinel_sandbox.chain import stored
from nvsentinel_sandbox.errors import SandboxError, WrongCall
from nvsentinel_sandbox.world.health import Document, Ledger

if TYPE_CHECKING:
    from psycopg import AsyncConnection

DATABASE, COLLECTION = "HealthEventsDatabase", "HealthEvents"
_TTL_SECONDS = 2_592_000
_RETRY_SECONDS = 1.0  # a database that restarts is back in seconds
_CLOSE_SECONDS = 5.0  # Ctrl-C is not held up by a database that is gone
_CONNECT_SECONDS = 5
_log = logging.getLogger(__name__)

Change = tuple[Document, frozenset[str]]


class Database(Protocol):
    """One store. Errors of the driver come out as they are; `lost` names them."""

    lost: tuple[type[Exception], ...]

    async def open(self) -> None: ...
    async def write(self, document: Document, changed: frozenset[str]) -> None: ...
    async def close(self) -> None: ...


def provider_of(uri: str) -> str:
    """`mongodb` or `postgresql`. WrongCall for anything else."""
    scheme = uri.partition("://")[0]
    if scheme in ("mongodb", "mongodb+srv"):
        return "mongodb"
    if scheme in ("postgresql", "postgres"):
        return "postgresql"
    raise WrongCall(
        f"the sandbox cannot store health events in {scheme or 'that'!r}",
        "give mongodb://… or postgresql://…",
    )


class StoredLedger:
    """Writes a ledger's changes into a database.

    Args:
        uri: mongodb:// or postgresql://, with the database; MongoDB's is NVSentinel's own
            when the URI names none.
        layout_2025: documents of autumn 2025; MongoDB only, PostgreSQL came later.
    """

    def __init__(self, uri: str, *, layout_2025: bool = False) -> None:
        self._where = f"{provider_of(uri)} at {urlsplit(uri).hostname or 'localhost'}"
        if provider_of(uri) == "postgresql":
            if layout_2025:
                raise WrongCall(
                    "NVSentinel had no PostgreSQL in 2025", "use MongoDB, or leave --layout out"
                )
            self._database: Database = Postgres(uri)
        else:
            self._database = Mongo(uri, layout_2025=layout_2025)
        self._queue: asyncio.Queue[Change] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self, ledger: Ledger) -> None:
        """Connect, prepare the store, and follow the ledger. SandboxError when it cannot."""
        try:
            await self._database.open()
        except ImportError as error:
            raise SandboxError(
                f"the driver for {self._where} is not installed", f"pip install {error.name}"
            ) from error
        except self._database.lost as error:
            raise SandboxError(
                f"the sandbox cannot use {self._where}: {type(error).__name__}",
                "check that it runs and that the URI's user may create tables",
            ) from error
        # The modules go on changing a document: what is written is how it is now.
        ledger.subscribe(lambda d, changed: self._queue.put_nowait((replace(d), changed)))
        self._task = asyncio.create_task(self._write_queued_changes())

    async def wait_until_written(self) -> None:
        """Until all that happened so far is in the database."""
        await self._queue.join()

    async def stop(self) -> None:
        """Write what is queued, if the database lets us, and disconnect."""
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wait_until_written(), _CLOSE_SECONDS)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._database.close()

    async def _write_queued_changes(self) -> None:
        while True:
            document, changed = await self._queue.get()
            while True:
                try:
                    await self._database.write(document, changed)
                    break
                except self._database.lost as error:
                    _log.warning("%s: %s; trying again", self._where, type(error).__name__)
                    await asyncio.sleep(_RETRY_SECONDS)
            self._queue.task_done()


class Mongo:
    """NVSentinel's collection. Every update is a $set on dotted paths."""

    lost: tuple[type[Exception], ...] = ()

    def __init__(self, uri: str, *, layout_2025: bool) -> None:
        self._uri, self._layout_2025 = uri, layout_2025

    async def open(self) -> None:
        from pymongo import AsyncMongoClient
        from pymongo.errors import PyMongoError

        self.lost = (PyMongoError,)
        timeout = _CONNECT_SECONDS * 1000
        client: Any = AsyncMongoClient(self._uri, serverSelectionTimeoutMS=timeout)
        self._client = client
        self._events = client.get_default_database(DATABASE)[COLLECTION]
        await self._events.create_index("createdAt", expireAfterSeconds=_TTL_SECONDS)
        await self._events.create_index(
            [
                ("healthevent.nodename", 1),
                ("healthevent.entitiesimpacted.entitytype", 1),
                ("healthevent.entitiesimpacted.entityvalue", 1),
                ("healthevent.generatedtimestamp.seconds", 1),
            ]
        )

    async def write(self, document: Document, changed: frozenset[str]) -> None:
        from bson import Int64, ObjectId
        from pymongo.errors import DuplicateKeyError

        key = {"_id": ObjectId(document.id)}
        if changed:
            paths = stored.bson_update(document, changed, layout_2025=self._layout_2025)
            for value in paths.values():
                if isinstance(value, dict) and "seconds" in value:
                    value["seconds"] = Int64(value["seconds"])
            if paths:
                await self._events.update_one(key, {"$set": paths})
            return
        new = {**key, **stored.bson_document(document, layout_2025=self._layout_2025)}
        event = new["healthevent"]
        event["version"] = Int64(event["version"])
        event["generatedtimestamp"]["seconds"] = Int64(event["generatedtimestamp"]["seconds"])
        with contextlib.suppress(DuplicateKeyError):  # a retry of what had arrived
            await self._events.insert_one(new)

    async def close(self) -> None:
        await self._client.close()


class Postgres:
    """NVSentinel's tables and triggers, made when they are missing."""

    lost: tuple[type[Exception], ...] = ()

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._connection: AsyncConnection[Any] | None = None

    async def open(self) -> None:
        import psycopg

        self.lost = (psycopg.Error, OSError)
        db = await self._connect_if_needed()
        async with db.transaction():
            await db.execute(_SCHEMA)

    async def _connect_if_needed(self) -> AsyncConnection[Any]:
        import psycopg

        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(
                self._uri, autocommit=True, connect_timeout=_CONNECT_SECONDS
            )
        return self._connection

    async def write(self, document: Document, changed: frozenset[str]) -> None:
        from psycopg.types.json import Jsonb

        db = await self._connect_if_needed()
        if not changed:
            event, created = document.event, stored.moment(document.created)
            await db.execute(
                _INSERT,
                (
                    document.id,
                    event.node,
                    event.check,
                    event.component,
                    event.action,
                    Jsonb(stored.jsonb_document(document)),
                    created,
                    created,
                ),
            )
            await db.execute(_PROCESSED)
            return
        status = Jsonb(stored.jsonb_status(document))
        if "remediated" in changed:
            at = stored.moment(document.remediation_at) if document.remediation_at else None
            await db.execute(_REMEDIATED, (status, document.remediated, at, document.id))
        else:
            await db.execute(_CHANGED, (status, document.quarantined or None, document.id))
        await db.execute(_PROCESSED)

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()


_INSERT = """
INSERT INTO health_events (id, node_name, event_type, severity, recommended_action,
  user_pods_eviction_status, user_pods_eviction_message, document, created_at, updated_at)
VALUES (%s, %s, %s, %s, %s, NULL, '', %s, %s, %s) ON CONFLICT DO NOTHING
"""
# updated_at stays as it was: only fault-remediation moves it.
_CHANGED = """
UPDATE health_events
SET document = jsonb_set(document, '{healtheventstatus}', %s), node_quarantined = %s WHERE id = %s
"""
_REMEDIATED = """
UPDATE health_events
SET document = jsonb_set(document, '{healtheventstatus}', %s), fault_remediated = %s,
  last_remediation_timestamp = %s, updated_at = NOW() WHERE id = %s
"""
# The modules' bookmarks, and their mark that all read them before: whoever is first sets it.
_PROCESSED = """
WITH newest AS (SELECT max(id) AS id FROM datastore_changelog),
marked AS (
  UPDATE datastore_changelog SET processed = TRUE
  WHERE NOT processed AND id < (SELECT id FROM newest)
)
INSERT INTO resume_tokens (client_name, resume_token, last_updated)
SELECT client, jsonb_build_object('eventID', newest.id, 'timestamp',
    to_char(NOW() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), NOW()
FROM newest, unnest(ARRAY['fault-quarantine', 'node-drainer', 'fault-remediation']) AS client
ON CONFLICT (client_name)
DO UPDATE SET resume_token = EXCLUDED.resume_token, last_updated = EXCLUDED.last_updated
"""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS health_events (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  node_name VARCHAR(255) NOT NULL,
  event_type VARCHAR(255),
  severity VARCHAR(50),
  recommended_action VARCHAR(255),
  node_quarantined VARCHAR(50),
  user_pods_eviction_status VARCHAR(50) DEFAULT 'NotStarted',
  user_pods_eviction_message TEXT,
  fault_remediated BOOLEAN,
  last_remediation_timestamp TIMESTAMPTZ,
  document JSONB NOT NULL,
  created_at TIMESTAMPTZ DEFAULT NOW(),
  updated_at TIMESTAMPTZ DEFAULT NOW(),
  quarantine_finish_timestamp TIMESTAMPTZ,
  drain_finish_timestamp TIMESTAMPTZ
);
CREATE INDEX IF NOT EXISTS health_events_created_at ON health_events (created_at);
CREATE TABLE IF NOT EXISTS maintenance_events (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(), document JSONB NOT NULL
);
CREATE TABLE IF NOT EXISTS resume_tokens (
  client_name VARCHAR(255) PRIMARY KEY, resume_token JSONB, last_updated TIMESTAMPTZ DEFAULT NOW()
);
CREATE TABLE IF NOT EXISTS datastore_changelog (
  id BIGSERIAL PRIMARY KEY,
  table_name VARCHAR(255) NOT NULL,
  record_id UUID NOT NULL,
  operation VARCHAR(20) NOT NULL,
  old_values JSONB,
  new_values JSONB,
  changed_at TIMESTAMPTZ DEFAULT NOW(),
  processed BOOLEAN DEFAULT FALSE
);
CREATE INDEX IF NOT EXISTS datastore_changelog_unprocessed
  ON datastore_changelog (id) WHERE NOT processed;
CREATE OR REPLACE FUNCTION log_table_changes() RETURNS TRIGGER AS $$
DECLARE entry BIGINT;
BEGIN
  INSERT INTO datastore_changelog (table_name, record_id, operation, old_values, new_values)
  VALUES (TG_TABLE_NAME, COALESCE(NEW.id, OLD.id), TG_OP, to_jsonb(OLD), to_jsonb(NEW))
  RETURNING id INTO entry;
  PERFORM pg_notify('nvsentinel_changes',
    json_build_object('id', entry, 'table', TG_TABLE_NAME, 'operation', TG_OP)::text);
  RETURN COALESCE(NEW, OLD);
END $$ LANGUAGE plpgsql;
CREATE OR REPLACE TRIGGER health_events_changes AFTER INSERT OR UPDATE OR DELETE
  ON health_events FOR EACH ROW EXECUTE FUNCTION log_table_changes();
CREATE OR REPLACE TRIGGER maintenance_events_changes AFTER INSERT OR UPDATE OR DELETE
  ON maintenance_events FOR EACH ROW EXECUTE FUNCTION log_table_changes();
"""
