"""PostgreSQL as NVSentinel uses it: commits out of order, purges, and what can go wrong."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.event_store.conftest import StillClock
from tests.event_store.stored import NODE, NOW, document
from tests.event_store.test_feed_contract import START, drain
from tests.event_store.worlds import PostgresWorld

from nvsx.core.errors import StoreError
from nvsx.nvsentinel.event_store.credentials import Material
from nvsx.nvsentinel.event_store.event_feed import FeedPosition
from nvsx.nvsentinel.event_store.event_store_errors import HealthEventsError
from nvsx.nvsentinel.event_store.postgres import PostgresHealthEvents

pytestmark = pytest.mark.server("postgres", "openssl")


async def test_a_commit_that_comes_late_is_not_missed(postgres: PostgresWorld) -> None:
    """A row with a lower changelog id that becomes visible later still comes, and only once."""
    async with await postgres.connect() as slow:
        first = await postgres.put(document(at=NOW - 3), slow)
        second = await postgres.put(document(at=NOW - 2))
        batch = await drain(postgres.feed, START)
        assert [e.id for e in batch.events] == [second]
        for _ in range(3):
            batch = await drain(postgres.feed, batch.position)
            assert batch.events == ()
        await slow.commit()
    batch = await drain(postgres.feed, batch.position)
    assert [e.id for e in batch.events] == [first]
    assert (await drain(postgres.feed, batch.position)).events == ()


async def test_a_late_commit_is_not_missed_across_a_restart(postgres: PostgresWorld) -> None:
    """The stored mark stays before what is not final, however many events came after it."""
    await drain(postgres.feed, START)
    async with await postgres.connect() as slow:
        late = await postgres.put(document(at=NOW - 3), slow)
        for n in range(20):
            await postgres.put(document(at=NOW - 2, node=f"n{n}"))
        mark = (await drain(postgres.feed, START)).position.mark
        await slow.commit()
    mark = msgspec.json.decode(msgspec.json.encode(mark))
    found = [e.id for e in (await drain(postgres.another(), FeedPosition(mark))).events]
    assert found.count(late) == 1


async def test_a_transaction_rolled_back_holds_nothing_up(postgres: PostgresWorld) -> None:
    """A gap that a rollback left is passed as soon as its transaction has ended."""
    before = (await drain(postgres.feed, START)).position
    async with await postgres.connect() as failing:
        await postgres.put(document(at=NOW - 3), failing)
        await postgres.put(document(at=NOW - 2))
        batch = await drain(postgres.feed, before)
        assert batch.position.memory.had
        await failing.rollback()
    batch = await drain(postgres.feed, batch.position)
    assert batch.position.memory.had == frozenset()
    newest = await (await postgres.db.execute("SELECT max(id) FROM datastore_changelog")).fetchone()
    assert newest is not None
    assert batch.position.mark["change"] == newest[0]


async def test_a_transaction_that_never_ends_is_given_up(
    postgres: PostgresWorld, clock: StillClock
) -> None:
    """After an hour an open transaction no longer makes every read start before it."""
    position = (await drain(postgres.feed, START)).position
    async with await postgres.connect() as stuck:
        await postgres.put(document(at=NOW - 3), stuck)
        await postgres.put(document(at=NOW - 2))
        position = (await drain(postgres.feed, position)).position
        for _ in range(2):
            assert position.memory.had
            clock.time += 1900
            position = (await drain(postgres.feed, position)).position
        assert position.memory.had == frozenset()
        await stuck.rollback()


async def test_a_long_sleep_and_a_purge(postgres: PostgresWorld, clock: StillClock) -> None:
    """A process that slept through a purge notices, though it remembers where it was."""
    position = (await drain(postgres.feed, START)).position
    missed = await postgres.put(document(at=NOW - 50))
    await postgres.db.execute("DELETE FROM datastore_changelog")
    clock.time += 8 * 86400
    assert [e.id for e in (await drain(postgres.feed, position)).events] == [missed]


async def test_updates_and_other_tables_are_no_events(postgres: PostgresWorld) -> None:
    """Only the insertion of a health event is one; its later states and other tables are not."""
    id_ = await postgres.put(document(at=NOW - 3))
    await postgres.db.execute("UPDATE health_events SET node_quarantined = 'Quarantined'")
    await postgres.db.execute("INSERT INTO maintenance_events (document) VALUES ('{}')")
    assert [e.id for e in (await drain(postgres.feed, START)).events] == [id_]


async def test_a_purged_changelog(postgres: PostgresWorld) -> None:
    """Events of an outage whose changelog rows were cleaned up are found by their creation."""
    mark = (await drain(postgres.feed, START)).position.mark
    missed = [await postgres.put(document(at=NOW - 50 + n)) for n in range(7)]
    await postgres.db.execute("DELETE FROM datastore_changelog")
    new = await postgres.put(document(at=NOW - 10))
    again = postgres.another()
    batch = await drain(again, FeedPosition(mark), limit=3)
    assert [e.id for e in batch.events] == [*missed, new]
    assert (await drain(again, batch.position)).events == ()
    last = await postgres.put(document(at=NOW - 5))
    assert [e.id for e in (await drain(again, batch.position)).events] == [last]


async def test_a_changelog_purged_to_nothing(postgres: PostgresWorld) -> None:
    """The same when nothing at all is left of it."""
    mark = (await drain(postgres.feed, START)).position.mark
    missed = await postgres.put(document(at=NOW - 50))
    await postgres.db.execute("DELETE FROM datastore_changelog")
    assert [e.id for e in (await drain(postgres.another(), FeedPosition(mark))).events] == [missed]


async def test_a_changelog_that_started_over(postgres: PostgresWorld) -> None:
    """After a restore with new ids nothing is missed, and reading goes on."""
    for n in range(5):
        await postgres.put(document(at=NOW - 100 + n))
    mark = (await drain(postgres.feed, START)).position.mark
    await postgres.db.execute("TRUNCATE datastore_changelog RESTART IDENTITY")
    id_ = await postgres.put(document(at=NOW - 5))
    batch = await drain(postgres.another(), FeedPosition(mark))
    assert id_ in [e.id for e in batch.events]


async def test_a_purge_with_a_transaction_open(postgres: PostgresWorld) -> None:
    """What commits while the events themselves are gone through comes afterwards."""
    mark = (await drain(postgres.feed, START)).position.mark
    await postgres.put(document(at=NOW - 50))
    await postgres.db.execute("DELETE FROM datastore_changelog")
    async with await postgres.connect() as slow:
        late = await postgres.put(document(at=NOW - 60), slow)
        await postgres.put(document(at=NOW - 40))
        again = postgres.another()
        batch = await drain(again, FeedPosition(mark))
        assert late not in [e.id for e in batch.events]
        await slow.commit()
    assert [e.id for e in (await drain(again, batch.position)).events] == [late]


async def test_a_clock_ahead_takes_nothing_with_it(
    postgres: PostgresWorld, clock: StillClock
) -> None:
    """An event from the future does not move the time up to which was read past ours."""
    await postgres.put(document(at=NOW + 9999))
    assert (await drain(postgres.feed, START)).position.mark["at"] == clock.now()


async def test_status_comes_from_the_document(postgres: PostgresWorld) -> None:
    """A node's event shows the drain's state, which is in no column."""
    id_ = await postgres.put(document(at=NOW - 5))
    await postgres.db.execute(
        "UPDATE health_events SET document = jsonb_set(document, "
        "'{healtheventstatus,userpodsevictionstatus,status}', '\"Succeeded\"') WHERE id = %s",
        (id_,),
    )
    event = (await postgres.feed.events(NODE, NOW - 60))[0]
    status = event.document["healtheventstatus"]["userpodsevictionstatus"]["status"]
    assert status == "Succeeded"


async def test_nothing_can_be_written(postgres: PostgresWorld) -> None:
    """The session and each of its transactions are read only, and end by themselves."""
    import psycopg

    await postgres.feed.after(START)
    db = postgres.feed._connection
    assert db is not None
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        await db.execute("DELETE FROM datastore_changelog")
    await db.rollback()
    for name, value in (
        ("default_transaction_read_only", "on"),
        ("transaction_read_only", "on"),
        ("statement_timeout", "20s"),
        ("idle_in_transaction_session_timeout", "1min"),
    ):
        row = await (await db.execute(f"SHOW {name}")).fetchone()
        assert row == {name: value}
    await db.rollback()


async def test_a_restarted_server_is_found_again(postgres: PostgresWorld) -> None:
    """A connection that died between two reads is made anew, and nobody notices."""
    position = (await drain(postgres.feed, START)).position
    await postgres.db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nvsx'"
    )
    id_ = await postgres.put(document(at=NOW))
    assert [e.id for e in (await drain(postgres.feed, position)).events] == [id_]


async def test_reads_of_watches_and_triggers_share_one_connection(postgres: PostgresWorld) -> None:
    """Many readers at once wait for each other instead of opening a connection each."""
    await postgres.put(document(at=NOW - 5))
    reads = [postgres.feed.events(NODE, NOW - 60) for _ in range(10)]
    found = await asyncio.gather(*reads, postgres.feed.after(START))
    assert all(len(f) == 1 for f in found[:10] if isinstance(f, list))
    count = await postgres.db.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nvsx' AND datname = %s",
        (postgres.database,),
    )
    assert await count.fetchone() == (1,)


# --- what can go wrong ------------------------------------------------------------------------


async def _error(feed: PostgresHealthEvents) -> HealthEventsError:
    with pytest.raises(HealthEventsError) as caught:
        await feed.after(START)
    assert isinstance(caught.value, StoreError)
    return caught.value


@pytest.fixture
async def reader(postgres: PostgresWorld) -> PostgresWorld:
    """A user that may log in with a password, and has no rights yet."""
    exists = await postgres.db.execute("SELECT 1 FROM pg_roles WHERE rolname = 'reader'")
    if await exists.fetchone() is None:
        await postgres.db.execute("CREATE ROLE reader LOGIN PASSWORD 'open sesame'")
    return postgres


async def test_a_wrong_password(reader: PostgresWorld) -> None:
    """A refused password is told as such, without the password."""
    uri = reader.server.uri(reader.database, "reader:wr0ng-passw0rd")
    error = await _error(reader.another(uri=uri))
    assert error.kind == "authentication"
    assert not error.retryable
    assert "wr0ng" not in str(error)
    assert "healthEvents.credentials" in error.hint


async def test_missing_select(reader: PostgresWorld) -> None:
    """Without SELECT the message names the table and what to grant; with it, it works."""
    uri = reader.server.uri(reader.database, "reader")
    feed = reader.another(uri=uri, material=Material(password="open sesame"))
    error = await _error(feed)
    assert error.kind == "permission"
    assert "datastore_changelog" in error.message
    assert "GRANT SELECT" in error.hint
    await reader.db.execute("GRANT SELECT ON health_events, datastore_changelog TO reader")
    assert (await feed.after(START)).events == ()


async def test_another_database(postgres: PostgresWorld) -> None:
    """A database without NVSentinel's tables, and one that does not exist."""
    error = await _error(postgres.another(uri=postgres.server.uri("postgres")))
    assert error.kind == "database"
    assert "datastore_changelog" in error.message
    error = await _error(postgres.another(uri=postgres.server.uri("nowhere")))
    assert error.kind == "database"


async def test_nobody_there(postgres: PostgresWorld) -> None:
    """A refused connection and an unknown host are told apart, and can be tried again."""
    uri = "postgresql://reader:s3cret-word@127.0.0.1:1/nvsentinel"
    error = await _error(postgres.another(uri=uri))
    assert (error.kind, error.retryable) == ("refused", True)
    assert "s3cret-word" not in str(error)
    uri = "postgresql://reader@no-such-host.invalid/nvsentinel"
    error = await _error(postgres.another(uri=uri))
    assert (error.kind, error.retryable) == ("name", True)
    error = await _error(postgres.another(uri="postgresql://u@127.0.0.1:1/x", in_pod=True))
    assert "NetworkPolicy" in error.hint


async def test_a_server_that_does_not_answer(
    postgres: PostgresWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes the connection and says nothing ends in a timeout, not in waiting."""
    monkeypatch.setattr("nvsx.nvsentinel.event_store.postgres._WITHIN", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        error = await _error(postgres.another(uri=f"postgresql://u@127.0.0.1:{port}/x"))
    assert error.kind == "timeout"


async def test_a_uri_that_is_none(postgres: PostgresWorld) -> None:
    """A URI with a password that was not percent-encoded is refused without showing it."""
    error = await _error(postgres.another(uri="postgresql://u:p%%@ss-w0rd@h/x"))
    assert error.kind == "configuration"
    assert "ss-w0rd" not in str(error)


async def test_client_certificate_and_checked_server(
    postgres: PostgresWorld, certificates: dict[str, Path]
) -> None:
    """With tls.crt, tls.key and ca.crt nvsx logs in by certificate and checks the server's."""
    await postgres.db.execute(
        "DO $$ BEGIN CREATE ROLE certified LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    await postgres.db.execute("GRANT SELECT ON health_events, datastore_changelog TO certified")
    material = Material(
        ca=certificates["ca.crt"].read_text(),
        certificate=certificates["client.crt"].read_text(),
        key=certificates["client.key"].read_text(),
    )
    port, name = postgres.server.port, "nvsentinel-postgresql.nvsentinel.svc"
    uri = f"postgresql://certified@{name}:{port}/{postgres.database}?hostaddr=127.0.0.1"
    feed = postgres.another(uri=uri, material=material)
    assert (await feed.after(START)).events == ()
    for path in postgres.target.folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600

    stranger = replace(material, ca=certificates["other.crt"].read_text())
    error = await _error(postgres.another(uri=uri, material=stranger))
    assert error.kind == "tls"
    wrong_name = uri.replace(name, "somebody-else.example")
    error = await _error(postgres.another(uri=wrong_name, material=material))
    assert error.kind == "tls"
