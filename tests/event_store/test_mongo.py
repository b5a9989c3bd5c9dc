"""MongoDB as NVSentinel uses it: clocks of many nodes, late inserts, and what can go wrong."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.event_store.conftest import IGNORE_LOST_SOCKETS, StillClock
from tests.event_store.stored import NODE, NOW, document
from tests.event_store.test_feed_contract import START, drain
from tests.event_store.wire import NOTHING, Scripted, scripted
from tests.event_store.worlds import MongoWorld

from nvsx.nvsentinel.event_store import mongo as adapter
from nvsx.nvsentinel.event_store.credentials import Material
from nvsx.nvsentinel.event_store.event_feed import FeedPosition
from nvsx.nvsentinel.event_store.event_store_errors import HealthEventsError
from nvsx.nvsentinel.event_store.mongo import MongoHealthEvents
from nvsx.nvsentinel.event_store.store_location import StoreTarget

pytestmark = IGNORE_LOST_SOCKETS
server = pytest.mark.server("mongo-java-server")
READS = {"find", "getMore", "killCursors", "listCollections", "endSessions"}


def object_id(at: float) -> object:
    """An id as a driver makes it at a time."""
    from bson import ObjectId

    return ObjectId.from_datetime(datetime.fromtimestamp(at, UTC))


@server
async def test_only_reads_are_sent(mongo: MongoWorld) -> None:
    """Over reading, waiting and looking, no command but reads reaches the server."""
    await mongo.put(document(at=NOW))
    batch = await drain(mongo.feed, START)
    await drain(mongo.feed, batch.position)
    await mongo.feed.events(NODE, NOW - 60)
    assert mongo.commands
    assert set(mongo.commands) <= READS


@server
async def test_an_older_document_that_comes_later(mongo: MongoWorld) -> None:
    """A node whose clock is behind, or a lagging secondary, hides no event: it comes once."""
    batch = await drain(mongo.feed, START)
    await mongo.put(document(at=NOW - 5))
    batch = await drain(mongo.feed, batch.position)
    late = await mongo.put(document(at=NOW - 200), lambda: object_id(NOW - 200))
    batch = await drain(mongo.feed, batch.position)
    assert [e.id for e in batch.events] == [late]
    assert (await drain(mongo.feed, batch.position)).events == ()


@server
async def test_a_document_stored_long_after_its_date(mongo: MongoWorld) -> None:
    """A connector that was cut off stores old events with new ids: they count as new, once."""
    await mongo.put(document(at=NOW - 5))
    batch = await drain(mongo.feed, START)
    late = await mongo.put(document(at=NOW - 7200), lambda: object_id(NOW - 1))
    batch = await drain(mongo.feed, batch.position)
    assert [e.id for e in batch.events] == [late]
    assert (await drain(mongo.feed, batch.position)).events == ()


@server
async def test_a_clock_ahead_takes_nothing_with_it(mongo: MongoWorld, clock: StillClock) -> None:
    """A document from the future does not hide those of other nodes, and comes once."""
    await mongo.put(document(at=NOW + 86400))
    batch = await drain(mongo.feed, START)
    assert batch.position.mark["at"] == clock.now()
    id_ = await mongo.put(document(at=NOW - 100))
    batch = await drain(mongo.feed, batch.position)
    assert [e.id for e in batch.events] == [id_]


@server
async def test_the_memory_stays_small(mongo: MongoWorld, clock: StillClock) -> None:
    """Only ids of the stretch that is read again are remembered."""
    position = START
    for step in range(6):
        await mongo.put(document(at=clock.now()), lambda: object_id(clock.now()))
        position = (await drain(mongo.feed, position)).position
        clock.time += 200
        assert len(position.memory) <= 3, step


@server
async def test_a_whole_burst_in_one_second(mongo: MongoWorld) -> None:
    """More events of one moment than a batch holds all come."""
    ids = {await mongo.put(document(at=NOW - 1, node=f"n{n}")) for n in range(25)}
    batch = await drain(mongo.feed, START, limit=10)
    assert len(batch.events) == 25
    assert {e.id for e in batch.events} == ids


@server
async def test_an_outage_is_caught_up(mongo: MongoWorld, clock: StillClock) -> None:
    """What was stored while nobody read comes afterwards, all of it."""
    mark = (await drain(mongo.feed, START)).position.mark
    missed = [await mongo.put(document(at=NOW + 60 * n)) for n in range(40)]
    clock.time += 2400
    batch = await drain(mongo.another(), FeedPosition(mark), limit=7)
    assert [e.id for e in batch.events] == missed


@server
async def test_the_layout_of_2025(mongo: MongoWorld) -> None:
    """Plain booleans and Dates are read, and shown to filters in the current layout."""
    await mongo.put(document("layout_2025", at=NOW))
    event = (await mongo.feed.events(NODE, NOW - 60))[0]
    assert event.strategy == "EXECUTE_REMEDIATION"
    assert event.document["healtheventstatus"]["faultremediated"] == {"value": True}


@server
async def test_no_such_collection(mongo: MongoWorld) -> None:
    """A wrong database is told with what there is instead; an empty collection is no error."""
    assert (await mongo.feed.after(START)).events == ()
    with pytest.raises(HealthEventsError, match="has no collection") as caught:
        await mongo.another(collection="events").after(START)
    assert caught.value.kind == "database"
    assert "HealthEvents" in caught.value.message


@server
async def test_the_database_named_in_the_uri(mongo: MongoWorld) -> None:
    """A database in the URI wins over NVSentinel's configuration."""
    await mongo.put(document(at=NOW))
    uri = f"{mongo.target.uri}{mongo.target.database}"
    feed = mongo.another(uri=uri, database="SomewhereElse")
    assert len(await feed.events(NODE, NOW - 60)) == 1


# --- what can go wrong, against a scripted server ------------------------------------------------


def refusal(code: int, name: str, message: str = "refused") -> dict[str, Any]:
    """A command's error."""
    return {"ok": 0, "code": code, "codeName": name, "errmsg": message}


@pytest.fixture
async def feeds(clock: StillClock, tmp_path: Path) -> AsyncIterator[Any]:
    """Makes feeds on a URI, and closes them."""
    made: list[MongoHealthEvents] = []

    def make(uri: str, material: Material | None = None, **changes: Any) -> MongoHealthEvents:
        target = StoreTarget("MongoDB", uri, "here", tmp_path / "p", material or Material())
        made.append(MongoHealthEvents(replace(target, **changes), clock))
        return made[-1]

    yield make
    for feed in made:
        await feed.close()


async def _error(feed: MongoHealthEvents) -> HealthEventsError:
    with pytest.raises(HealthEventsError) as caught:
        await feed.after(START)
    return caught.value


async def test_wrong_credentials(feeds: Any) -> None:
    """SCRAM is tried with the user of the URI; a refusal never shows the password."""
    async with scripted(lambda *_: refusal(18, "AuthenticationFailed", "wr0ng-word")) as there:
        uri = f"mongodb://oncall:wr0ng-word@127.0.0.1:{there.port}/"
        error = await _error(feeds(uri))
        assert error.kind == "authentication"
        assert "wr0ng-word" not in str(error)
        name, command = there.commands[0]
        assert (name, command["mechanism"]) == ("saslStart", "SCRAM-SHA-256")
        assert b"n=oncall," in bytes(command["payload"])


async def test_the_password_comes_from_the_credentials(feeds: Any) -> None:
    """A password alone goes with the user that NVSentinel's chart makes."""
    async with scripted(lambda *_: refusal(18, "AuthenticationFailed")) as there:
        uri = f"mongodb://127.0.0.1:{there.port}/"
        await _error(feeds(uri, Material(password="open sesame")))
        assert b"n=nvsentinel," in bytes(there.commands[0][1]["payload"])


async def test_no_right_to_read(feeds: Any) -> None:
    """A user without the role is told which role on which database is missing."""
    async with scripted(lambda *_: refusal(13, "Unauthorized")) as there:
        error = await _error(feeds(f"mongodb://127.0.0.1:{there.port}/"))
    assert error.kind == "permission"
    assert "HealthEventsDatabase.HealthEvents" in error.message
    assert "`read`" in error.hint


async def test_listing_collections_is_not_needed(feeds: Any) -> None:
    """A user who may read the collection and not list collections can be used."""

    def answer(name: str, _: dict[str, Any]) -> dict[str, Any]:
        return refusal(13, "Unauthorized") if name == "listCollections" else NOTHING

    async with scripted(answer) as there:
        feed = feeds(f"mongodb://127.0.0.1:{there.port}/")
        assert (await feed.after(START)).events == ()


async def test_a_query_that_takes_too_long(feeds: Any) -> None:
    """The server's own time limit is a timeout, and so is a server that stays silent."""
    async with scripted(lambda *_: refusal(50, "MaxTimeMSExpired")) as there:
        error = await _error(feeds(f"mongodb://127.0.0.1:{there.port}/"))
        assert (error.kind, error.retryable) == ("timeout", True)


async def test_a_silent_server(feeds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never answers a query ends in a timeout."""
    monkeypatch.setattr(adapter, "_WITHIN", 0.5)
    async with scripted(lambda *_: None) as there:
        error = await _error(feeds(f"mongodb://127.0.0.1:{there.port}/"))
    assert error.kind == "timeout"


async def test_nobody_there(feeds: Any) -> None:
    """Refused connections and unknown hosts are told apart; no password, no driver's jargon."""
    short = "?serverSelectionTimeoutMS=300"
    error = await _error(feeds(f"mongodb://u:s3cret-word@127.0.0.1:1/{short}"))
    assert (error.kind, error.retryable) == ("refused", True)
    for word in ("s3cret-word", "Topology", "configured timeouts"):
        assert word not in str(error)
    error = await _error(feeds(f"mongodb://no-such-host.invalid/{short}"))
    assert error.kind == "name"
    error = await _error(feeds(f"mongodb://127.0.0.1:1/{short}", in_pod=True))
    assert "NetworkPolicy" in error.hint


async def test_a_uri_that_is_none(feeds: Any) -> None:
    """A password that was not percent-encoded is refused without showing it."""
    error = await _error(feeds("mongodb://u:p@ss:w0rd@h:27017/"))
    assert error.kind == "configuration"
    assert "w0rd" not in str(error)


# --- TLS and X.509 ------------------------------------------------------------------------------


def mutual_tls(certificates: dict[str, Path]) -> ssl.SSLContext:
    """A server's side that asks every client for a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates["server.crt"], certificates["server.key"])
    context.load_verify_locations(certificates["ca.crt"])
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def x509(certificates: dict[str, Path], ca: str = "ca.crt") -> Material:
    """The client's certificate as a Secret holds it."""
    texts = {n: certificates[n].read_text() for n in (ca, "client.crt", "client.key")}
    return Material(ca=texts[ca], certificate=texts["client.crt"], key=texts["client.key"])


def accepted(name: str, _: dict[str, Any]) -> dict[str, Any]:
    """A server that lets everybody in and holds an empty collection."""
    if name == "authenticate":
        return {"ok": 1, "dbname": "$external", "user": "x"}
    batch = [{"name": "HealthEvents"}] if name == "listCollections" else []
    return {"ok": 1, "cursor": {"id": 0, "ns": "x.y", "firstBatch": batch}}


def _logins(there: Scripted) -> list[str]:
    return [c["mechanism"] for n, c in there.commands if n == "authenticate"]


@pytest.mark.server("openssl")
async def test_x509(feeds: Any, certificates: dict[str, Path]) -> None:
    """A client certificate is shown, logs in by X.509, and lies in private files alone."""
    tls = "tlsAllowInvalidHostnames=true"
    async with scripted(accepted, mutual_tls(certificates)) as there:
        feed = feeds(f"mongodb://127.0.0.1:{there.port}/?{tls}", x509(certificates))
        assert (await feed.after(START)).events == ()
        assert "Nvidia,certified" in there.peers
        assert set(_logins(there)) == {"MONGODB-X509"}
        folder = feed._target.folder
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o600}


@pytest.mark.server("openssl")
async def test_the_servers_certificate_is_checked(
    feeds: Any, certificates: dict[str, Path]
) -> None:
    """A server of an unknown CA, and one with another name, are refused before any login."""
    async with scripted(accepted, mutual_tls(certificates)) as there:
        short = "serverSelectionTimeoutMS=500"
        uri = f"mongodb://127.0.0.1:{there.port}/?{short}"
        stranger = feeds(f"{uri}&tlsAllowInvalidHostnames=true", x509(certificates, "other.crt"))
        assert (await _error(stranger)).kind == "tls"
        assert (await _error(feeds(uri, x509(certificates)))).kind == "tls"
        assert _logins(there) == []
