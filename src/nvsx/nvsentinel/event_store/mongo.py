"""The MongoDB adapter: reads the collection of health events, and only reads.

Documents are numbered and dated by the platform connectors, each with its node's clock, and
a secondary shows them later still: one can become visible after another that is younger.
So a stretch of some minutes is read again each time, first ids alone, and those that were
had are left out. A document that is old by its date but new by its `_id` was stored late
and counts as new.
Sources: data-models/pkg/model/health_event_extentions.go, charts/mongodb-store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from nvsx.core.incident.session import HealthEvent
from nvsx.core.ports import Clock
from nvsx.nvsentinel import decoding, names
from nvsx.nvsentinel.event_store.credentials import write_private_file
from nvsx.nvsentinel.event_store.event_feed import Batch, FeedPosition
from nvsx.nvsentinel.event_store.event_store_errors import (
    HealthEventsError,
    no_driver,
    store_failure,
)
from nvsx.nvsentinel.event_store.store_location import StoreTarget

if TYPE_CHECKING:
    from pymongo import AsyncMongoClient
    from pymongo.asynchronous.collection import AsyncCollection

Document = dict[str, Any]

#: The SCRAM user of NVSentinel's chart where TLS is off.
USER = "nvsentinel"
#: What is read again each time, in seconds. It covers the skew of node clocks and the lag
#: of a secondary: a document that shows later than this, dated earlier, is still found by
#: its `_id`.
OVERLAP = 300.0
#: The most recent events of a node that are read for its watches.
MOST_OF_A_NODE = 1000
#: The whole of one read, a new connection included; the query itself ends before.
_WITHIN = 30.0
_QUERY_MS = 20_000

T = TypeVar("T")


class MongoHealthEvents:
    """Adapter of event_feed.HealthEventFeed. Connects when first asked. `listeners` hear of
    every command that is sent (pymongo.monitoring)."""

    def __init__(self, target: StoreTarget, clock: Clock, listeners: Sequence[Any] = ()) -> None:
        self._target = target
        self._clock = clock
        self._listeners = list(listeners)
        self._client: AsyncMongoClient[Document] | None = None
        self._checked = False
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        await self._drop_client()

    async def events(self, node: str, since: float) -> Sequence[HealthEvent]:
        """Events of `node` created since, oldest first; the latest thousand at most."""

        async def work(stored: AsyncCollection[Document]) -> list[Document]:
            wanted = {"healthevent.nodename": node, "createdAt": {"$gte": _as_date(since)}}
            found = stored.find(wanted, max_time_ms=_QUERY_MS)
            return (
                await found.sort([("createdAt", -1), ("_id", -1)]).limit(MOST_OF_A_NODE).to_list()
            )

        documents = await self._ask_store(work)
        return [
            e for d in reversed(documents) if (e := decoding.decode_document(d).event) is not None
        ]

    async def after(self, position: FeedPosition, limit: int = 500) -> Batch:
        at = float(position.mark.get("at", self._clock.now()))
        had: Mapping[Any, float] = position.memory if isinstance(position.memory, Mapping) else {}

        async def work(stored: AsyncCollection[Document]) -> tuple[list[Document], bool]:
            return await _find_unseen(stored, _as_date(at - OVERLAP), had, limit)

        fresh, more = await self._ask_store(work)
        events: list[HealthEvent] = []
        oddities: list[str] = []
        for document in fresh:
            decoded = decoding.decode_document(document)
            events += decoded.events
            oddities += decoded.oddities
        moments = {d["_id"]: _latest_date(d) for d in fresh}
        # A clock that is ahead of ours must not take the stretch with it.
        latest = max((_created_at(d) for d in fresh), default=at)
        reached = max(at, min(latest, self._clock.now()))
        kept = {i: m for i, m in {**had, **moments}.items() if m >= reached - OVERLAP}
        return Batch(tuple(events), FeedPosition({"at": reached}, kept), more, tuple(oddities))

    # --- the connection -------------------------------------------------------------------

    async def _ask_store(self, work: Callable[[AsyncCollection[Document]], Awaitable[T]]) -> T:
        """Do `work`; once more when the forward it went through had died."""
        try:
            from pymongo import errors
        except ImportError:
            raise no_driver("MongoDB", "mongo") from None
        async with self._lock:
            while True:
                forward = self._target.forward
                if forward is not None and forward.pid is None:
                    await self._drop_client()  # the driver would look for the dead one for long
                reused = self._client is not None and forward is not None
                try:
                    async with asyncio.timeout(_WITHIN):
                        return await work(await self._open_collection())
                except TimeoutError:
                    await self._drop_client()
                    raise self._target.slow(_WITHIN) from None
                except errors.ConnectionFailure as error:
                    await self._drop_client()
                    if not reused:
                        raise self._translate_error(error) from None
                except (errors.PyMongoError, ValueError, TypeError) as error:
                    # The driver raises all three for options it cannot use.
                    await self._drop_client()
                    raise self._translate_error(error) from None

    async def _open_collection(self) -> AsyncCollection[Document]:
        if self._client is None:
            self._client = await self._connect_client()
            self._checked = False
        stored = self._client[self._database_name()][self._target.collection or names.COLLECTION]
        if not self._checked:
            await _check_collection_exists(stored, self._target)
            self._checked = True
        return stored

    def _database_name(self) -> str:
        """The database the URI names, else what NVSentinel is configured to use."""
        named = urlsplit(self._target.uri).path.strip("/")
        return named if named and named != "admin" else self._target.database or names.DATABASE

    async def _connect_client(self) -> AsyncMongoClient[Document]:
        from pymongo import AsyncMongoClient

        target, material = self._target, self._target.material
        uri = target.uri
        if target.forward is not None:
            uri = _route_through_forward(uri, await target.forward.open())
        given = {k.lower(): v for k, v in parse_qsl(urlsplit(uri).query)}
        wanted: dict[str, Any] = {
            "appname": "nvsx",
            "connectTimeoutMS": 5000,
            "serverSelectionTimeoutMS": 3000 if target.forward else 8000,
            "socketTimeoutMS": 25_000,
            "readPreference": "secondaryPreferred",
            "maxPoolSize": 4,
        }
        if material.certificate:
            both = f"{material.certificate}\n{material.key}"
            wanted["tls"] = True
            wanted["tlsCertificateKeyFile"] = write_private_file(target.folder, "client.pem", both)
            if not material.password and not urlsplit(uri).username:
                wanted["authMechanism"] = "MONGODB-X509"
        if material.ca:
            wanted |= {
                "tls": True,
                "tlsCAFile": write_private_file(target.folder, "ca.crt", material.ca),
            }
        options = {k: v for k, v in wanted.items() if k.lower() not in given}
        if material.password:
            options |= {"username": material.username or urlsplit(uri).username or USER}
            options |= {"password": material.password}
        if target.forward is not None and (options.get("tls") or given.get("tls") == "true"):
            # The certificate names the service, and the forward is called 127.0.0.1.
            options["tlsAllowInvalidHostnames"] = True
        return AsyncMongoClient(uri, tz_aware=True, event_listeners=self._listeners, **options)

    async def _drop_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        if self._target.forward is not None:
            await self._target.forward.close()

    def _translate_error(self, error: BaseException) -> HealthEventsError:
        from pymongo import errors

        target, said = self._target, self._target.said(error)
        code = error.code if isinstance(error, errors.OperationFailure) else None
        if code in (11, 18, 8000):
            return store_failure(
                "authentication", f"{target.where} refused the credentials: {said}"
            )
        if code == 13:
            database = self._database_name()
            return store_failure(
                "permission",
                f"{target.where} does not let nvsx read "
                f"{database}.{target.collection or names.COLLECTION}",
                f"grant its user the role `read` on {database}; for X.509, NVSentinel's chart "
                "has such a user: CN=mongo-dgxcops-client",
            )
        if code == 50 or isinstance(error, errors.ExecutionTimeout):
            return store_failure("timeout", f"{target.where} took too long: {said}")
        if isinstance(error, errors.ConfigurationError | ValueError | TypeError):
            if "dnspython" in said:
                return store_failure("driver", said, "pip install 'pymongo[srv]'")
            return store_failure(
                "configuration",
                "the MongoDB connection cannot be set up from its URI and options",
                "write user and password percent-encoded: mongodb://user:p%40ss@host:27017/",
            )
        return target.unreached(error)


async def _check_collection_exists(stored: AsyncCollection[Document], target: StoreTarget) -> None:
    """See that the collection is there: reading one that is not gives nothing, silently."""
    from pymongo import errors

    if await stored.find_one({}, {"_id": 1}, max_time_ms=_QUERY_MS) is not None:
        return
    try:
        present = await stored.database.list_collection_names()
    except errors.OperationFailure:
        return  # reading is allowed, listing is not
    if stored.name not in present:
        has = ", ".join(sorted(present)[:10]) or "nothing at all"
        raise store_failure(
            "database",
            f"{target.where} has no collection {stored.full_name}; there is {has}",
            "name the database in healthEvents.uri, or wait if NVSentinel has just been installed",
        )


async def _find_unseen(
    stored: AsyncCollection[Document], since: datetime, had: Mapping[Any, float], limit: int
) -> tuple[list[Document], bool]:
    """The oldest documents that were not had, and whether there are more of them."""
    from bson import ObjectId

    window = {"createdAt": {"$gte": since}}
    stored_late = {"_id": {"$gte": ObjectId.from_datetime(since)}, "createdAt": {"$lt": since}}
    fresh: list[Any] = []
    for wanted, order in ((stored_late, "_id"), (window, "createdAt")):
        found = stored.find(wanted, {"_id": 1}, max_time_ms=_QUERY_MS, batch_size=1000)
        async for document in found.sort(order, 1):
            if document["_id"] in had:
                continue
            if len(fresh) == limit:
                return await _fetch_documents(stored, fresh), True
            fresh.append(document["_id"])
    return await _fetch_documents(stored, fresh), False


async def _fetch_documents(stored: AsyncCollection[Document], ids: list[Any]) -> list[Document]:
    if not ids:
        return []
    found = await stored.find({"_id": {"$in": ids}}, max_time_ms=_QUERY_MS).to_list()
    return sorted(found, key=lambda d: (_created_at(d), str(d["_id"])))


def _route_through_forward(uri: str, port: int) -> str:
    """The URI with the forward's address: one server, whatever member of a set it is."""
    parts = urlsplit(uri)
    login = parts.netloc.rpartition("@")[0]
    left_out = ("replicaset", "directconnection", "loadbalanced", "srvservicename")
    options = [(k, v) for k, v in parse_qsl(parts.query) if k.lower() not in left_out]
    options.append(("directConnection", "true"))
    address = f"{login}@127.0.0.1:{port}" if login else f"127.0.0.1:{port}"
    return f"mongodb://{address}/{parts.path.strip('/')}?{urlencode(options)}"


def _as_date(at: float) -> datetime:
    return datetime.fromtimestamp(max(0.0, at), UTC)


def _created_at(document: Document) -> float:
    return decoding.read_instant(document.get("createdAt"))


def _latest_date(document: Document) -> float:
    """The later of the document's two dates: until then it can come up again."""
    generated = getattr(document["_id"], "generation_time", None)
    return max(_created_at(document), generated.timestamp() if generated else 0.0)
