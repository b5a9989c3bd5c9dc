"""Health events outside the cluster: stored as NVSentinel stores them, sent as it sends them.

The documents are compared with recorded ones, key by key; the databases and the receiver
are real servers on loopback.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.event_store import servers
from tests.nvsentinel.fixtures import load
from tests.nvsentinel_sandbox.likeness import LIFECYCLE, plain
from tests.patience import patience

from nvsentinel_sandbox.chain import exporter, stored
from nvsentinel_sandbox.chain.exporter import Destination
from nvsentinel_sandbox.errors import SandboxError, WrongCall
from nvsentinel_sandbox.host import Outlets, Sandbox
from nvsentinel_sandbox.world.health import Document, HealthEvent

_numbers = itertools.count(1)
PCI, UUID = "0000:b3:00", "GPU-7c1d2f30-55aa-4b1e-9d77-0a1b2c3d4e5f"
FAULT = HealthEvent(
    node="gpu-node-a1",
    check="SysLogsXIDError",
    agent="syslog-health-monitor",
    component="GPU",
    generated=1755706530_120000000,
    message=f"NVRM: Xid (PCI:{PCI}): 79, pid=4242, name=train, GPU has fallen off the bus.",
    fatal=True,
    action="RESTART_BM",
    codes=("79",),
    entities=(("PCI", PCI), ("GPU_UUID", UUID)),
)
ID = "68a5f2e71c9d4b0012ab34cd"


def shape(value: Any) -> Any:
    """Keys and types of a document, without what differs between two incidents."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items() if k not in ("chassis_serial", "_id")}
    if isinstance(value, list):
        return [shape(v) for v in value]
    return value


@asynccontextmanager
async def sandboxed(folder: Path, outlets: Outlets, variant: str = "") -> AsyncIterator[Sandbox]:
    """A fast sandbox with outlets."""
    made = Sandbox(state_dir=folder, speed=60, seed=7, variant=variant, outlets=outlets)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def played(sandbox: Sandbox) -> str:
    """XID 79 on a node until it is un-quarantined and tidied up; the node."""
    over = asyncio.Event()

    def look(_kind: str, plural: str, obj: dict[str, Any]) -> None:
        meta = obj["metadata"]
        done = "k8saas.nvidia.com/uncordon-by" in meta.get("labels", {})
        if plural == "nodes" and done and not meta["annotations"]:
            over.set()

    forget = sandbox.store.on_change(look)
    node = await sandbox.inject("xid-79")
    async with asyncio.timeout(patience(15)):
        await over.wait()
    forget()
    return node


# --- layouts ----------------------------------------------------------------------------


def test_an_inserted_document_is_the_recorded_one() -> None:
    """Every key and value of a recorded MongoDB document, in its order."""
    recorded = shape(load("documents")["inserted"])
    written = stored.bson_document(Document(ID, 1755706531.0, FAULT))
    assert list(written["healthevent"]) == list(recorded["healthevent"])
    assert written["healthevent"] == recorded["healthevent"]
    assert written["healtheventstatus"] == recorded["healtheventstatus"]


def test_the_layout_of_2025_has_fewer_keys_and_plain_values() -> None:
    """No strategy, id or finish times; a plain boolean and a Date."""
    document = Document(ID, 1755706531.0, FAULT, quarantined="Quarantined", eviction="Succeeded")
    document.remediated, document.remediation_at = True, 1755706626.0
    written = stored.bson_document(document, layout_2025=True)
    for key in ("processingstrategy", "id", "customrecommendedaction"):
        assert key not in written["healthevent"]
    assert written["healtheventstatus"]["nodequarantined"] is None
    every = frozenset({"quarantined", "eviction", "drain_finished", "remediated", "remediation_at"})
    assert stored.bson_update(document, every, layout_2025=True) == {
        "healtheventstatus.nodequarantined": "Quarantined",
        "healtheventstatus.userpodsevictionstatus": {"status": "Succeeded"},
        "healtheventstatus.faultremediated": True,
        "healtheventstatus.lastremediationtimestamp": stored.moment(1755706626.0),
    }


def test_a_cloud_event_gets_a_new_id_each_time() -> None:
    """Envelope and data as the exporter makes them, with names for enums; ids differ."""
    first, second = (stored.cloud_event(FAULT, "prod-west") for _ in range(2))
    assert first.pop("id") != second.pop("id")
    assert first == second
    assert (first["type"], first["source"], first["time"]) == (
        "com.nvidia.nvsentinel.health.v1",
        "nvsentinel://prod-west/healthevents",
        "2025-08-20T16:15:30.12Z",
    )
    event = first["data"]["healthEvent"]
    assert (event["recommendedAction"], event["processingStrategy"]) == (
        "RESTART_BM",
        "EXECUTE_REMEDIATION",
    )
    assert event["isHealthy"] is False
    assert "id" not in event


# --- MongoDB ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mongo_server() -> Iterator[servers.Server]:
    """MongoDB's wire protocol, for this module."""
    with servers.mongo() as server:
        yield server


async def _mongo_documents(uri: str) -> list[dict[str, Any]]:
    from pymongo import AsyncMongoClient

    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        found = client.get_default_database()["HealthEvents"].find().sort("_id")
        return [document async for document in found]


@pytest.mark.server("mongo-java-server")
async def test_mongodb_gets_the_fault_through_its_life(
    mongo_server: servers.Server, tmp_path: Path
) -> None:
    """After recovery the fault is as recorded: still Quarantined; a healthy one UnQuarantined."""
    from bson import Int64

    uri = f"mongodb://127.0.0.1:{mongo_server.port}/HealthEventsDatabase"
    async with sandboxed(tmp_path, Outlets(store=uri)) as sandbox:
        node = await played(sandbox)
        await sandbox.stored.wait_until_written()
        annotated = {str(r["metadata"]["name"]) for r in sandbox.store.list("rebootnodes")}
    documents = await _mongo_documents(uri)
    (fault,) = [d for d in documents if not d["healthevent"]["ishealthy"]]
    assert annotated == {f"maintenance-{node}-{fault['_id']}"}
    assert isinstance(fault["healthevent"]["version"], Int64)
    recorded = load("documents")["cr_created"]["healtheventstatus"]
    status = fault["healtheventstatus"]
    assert status["spanids"] == recorded["spanids"]
    assert (status["nodequarantined"], status["faultremediated"]) == (
        "Quarantined",
        {"value": True},
    )
    assert status["userpodsevictionstatus"] == {"status": "Succeeded", "message": ""}
    assert set(status) == set(recorded)
    for key in ("quarantinefinishtimestamp", "drainfinishtimestamp", "lastremediationtimestamp"):
        assert set(status[key]) == {"seconds", "nanos"}
    ended = [d for d in documents if d["healtheventstatus"]["nodequarantined"] == "UnQuarantined"]
    (healthy,) = ended
    assert healthy["healthevent"]["errorcode"] is None
    assert healthy["healtheventstatus"]["userpodsevictionstatus"]["status"] == "Succeeded"
    assert healthy["healtheventstatus"]["faultremediated"] == {"value": True}


# --- PostgreSQL -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Postgres]:
    """PostgreSQL, for this module."""
    made = servers.make_certificates(tmp_path_factory.mktemp("certificates"))
    with servers.postgres(made) as server:
        yield server


@pytest.mark.server("postgres", "initdb")
async def test_postgresql_gets_rows_changelog_and_ids(
    postgres_server: servers.Postgres, tmp_path: Path
) -> None:
    """Columns lag as NVSentinel's do; the changelog has every write; the id is the CR's."""
    import psycopg
    from psycopg.rows import dict_row

    name = f"nvsentinel{next(_numbers)}"
    async with await psycopg.AsyncConnection.connect(
        postgres_server.uri(), autocommit=True
    ) as admin:
        await admin.execute(f"CREATE DATABASE {name}")
    uri = postgres_server.uri(name)
    async with sandboxed(tmp_path, Outlets(store=uri)) as sandbox:
        node = await played(sandbox)
        await sandbox.stored.wait_until_written()
        (reboot,) = sandbox.store.list("rebootnodes")
        config = sandbox.store.get(
            "configmaps", "nvsentinel-datastore-config", namespace="nvsentinel"
        )
    assert config["data"]["DATASTORE_PROVIDER"] == "postgresql"
    async with await psycopg.AsyncConnection.connect(uri, row_factory=dict_row) as db:
        query = "SELECT * FROM health_events WHERE document->'healthevent' ? 'isFatal'"
        (row,) = await (await db.execute(query)).fetchall()
        log = await (
            await db.execute(
                "SELECT * FROM datastore_changelog WHERE record_id = %s ORDER BY id",
                (row["id"],),
            )
        ).fetchall()
        tokens = await (await db.execute("SELECT * FROM resume_tokens")).fetchall()
        newest = await (
            await db.execute("SELECT max(id) AS id FROM datastore_changelog")
        ).fetchone()
    assert reboot["metadata"]["name"] == f"maintenance-{node}-{row['id']}"
    assert (row["severity"], row["event_type"]) == ("GPU", "SysLogsXIDError")
    assert (row["node_quarantined"], row["fault_remediated"]) == ("Quarantined", True)
    for lagging in ("user_pods_eviction_status", "drain_finish_timestamp"):
        assert row[lagging] is None
    document = row["document"]
    assert document["RawEvent"] is None
    assert document["healthevent"]["recommendedAction"] == 24
    assert "isHealthy" not in document["healthevent"]
    assert document["healtheventstatus"]["userpodsevictionstatus"] == {
        "status": "Succeeded",
        "message": "",
    }
    assert [entry["operation"] for entry in log] == ["INSERT", *["UPDATE"] * (len(log) - 1)]
    states = [
        entry["new_values"]["document"]["healtheventstatus"]["userpodsevictionstatus"]["status"]
        for entry in log
    ]
    assert [s for s, _ in itertools.groupby(states)] == ["", "InProgress", "Succeeded"]
    assert row["updated_at"] > row["created_at"]
    rows = [entry["new_values"] for entry in log]
    seen = {
        "inserted": rows[0],
        "quarantined": next(r for r in rows if r["node_quarantined"]),
        "cr_created": next(r for r in rows if r["fault_remediated"]),
    }
    assert {state: as_recorded(r) for state, r in seen.items()} == {
        state: as_recorded(load("rows")[state]) for state in seen
    }
    assert set(log[0]) == set(LIFECYCLE["changelog"][0])
    assert newest is not None
    assert {t["client_name"] for t in tokens} >= {LIFECYCLE["resume_token"]["client_name"]}
    for token in tokens:
        assert set(token["resume_token"]) == set(LIFECYCLE["resume_token"]["resume_token"])
        assert token["resume_token"]["eventID"] == newest["id"]


def as_recorded(row: dict[str, Any]) -> Any:
    """A row without what differs between two incidents."""
    return plain(json.loads(json.dumps(row).replace("+00:00", "Z")))


@pytest.mark.server("postgres", "initdb")
async def test_postgresql_tells_of_each_change(
    postgres_server: servers.Postgres, tmp_path: Path
) -> None:
    """A notification names the entry of the changelog, as recorded; older ones are processed."""
    import psycopg

    name = f"nvsentinel{next(_numbers)}"
    async with await psycopg.AsyncConnection.connect(
        postgres_server.uri(), autocommit=True
    ) as admin:
        await admin.execute(f"CREATE DATABASE {name}")
    uri = postgres_server.uri(name)
    async with (
        sandboxed(tmp_path, Outlets(store=uri)) as sandbox,
        await psycopg.AsyncConnection.connect(uri, autocommit=True) as db,
    ):
        await db.execute(f"LISTEN {LIFECYCLE['notify']['channel']}")
        await sandbox.inject("xid-94")
        told = [
            json.loads(n.payload) async for n in db.notifies(timeout=patience(30), stop_after=1)
        ]
        await sandbox.inject("xid-94")
        told += [
            json.loads(n.payload) async for n in db.notifies(timeout=patience(30), stop_after=1)
        ]
        await sandbox.stored.wait_until_written()
        query = "SELECT id, processed FROM datastore_changelog ORDER BY id"
        entries = await (await db.execute(query)).fetchall()
    assert [set(t) for t in told] == [set(LIFECYCLE["notify"]["payload"])] * 2
    assert [t["operation"] for t in told] == ["INSERT", "INSERT"]
    assert entries == [(told[0]["id"], True), (told[1]["id"], False)]


# --- refusals ---------------------------------------------------------------------------


async def test_a_store_that_cannot_be_reached_is_one_message(tmp_path: Path) -> None:
    """The sandbox does not start, says which store, and keeps the password to itself."""
    uri = f"postgresql://someone:hunter2@127.0.0.1:{servers.free_port()}/nvsentinel"
    with pytest.raises(SandboxError) as raised:
        await Sandbox(state_dir=tmp_path, outlets=Outlets(store=uri)).start()
    assert "postgresql at 127.0.0.1" in str(raised.value)
    assert "hunter2" not in str(raised.value)
    assert not (tmp_path / "kubeconfig").exists()


@pytest.mark.parametrize(
    ("outlets", "words"),
    [
        (Outlets(store="mysql://127.0.0.1/x"), "mysql"),
        (Outlets(store="postgresql://127.0.0.1/x", layout_2025=True), "no PostgreSQL in 2025"),
    ],
)
def test_impossible_stores_are_refused(outlets: Outlets, words: str, tmp_path: Path) -> None:
    """Products NVSentinel does not know, and a layout that product never had."""
    with pytest.raises(WrongCall, match=words):
        Sandbox(state_dir=tmp_path, outlets=outlets)


# --- events -----------------------------------------------------------------------------


class Receiver:
    """Takes events, and hands out tokens; refuses the first `refuse` posts."""

    def __init__(self, refuse: int = 0) -> None:
        self.refuse = refuse
        self.first = asyncio.Event()
        self.offered: list[dict[str, Any]] = []
        self.taken: list[dict[str, Any]] = []
        self.headers: list[tuple[str | None, str | None]] = []
        self.tokens = 0

    async def events(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.offered.append(body)
        if self.refuse:
            self.refuse -= 1
            return web.Response(status=400)
        self.headers.append(
            (request.headers.get("Content-Type"), request.headers.get("Authorization"))
        )
        self.taken.append(body)
        self.first.set()
        return web.Response(status=202)

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["grant_type"] == "client_credentials"
        assert (form["client_id"], form["client_secret"]) == ("exporter", "s3cret")
        self.tokens += 1
        return web.json_response({"access_token": f"token-{self.tokens}", "expires_in": 3600})


@asynccontextmanager
async def receiving(refuse: int = 0) -> AsyncIterator[tuple[Receiver, str]]:
    """A receiver and its URL."""
    receiver = Receiver(refuse)
    app = web.Application()
    app.router.add_post("/events", receiver.events)
    app.router.add_post("/token", receiver.token)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield receiver, f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def test_events_are_sent_with_a_token_and_tried_again(tmp_path: Path) -> None:
    """Every insert arrives in spite of refusals, as structured CloudEvents with the bearer."""
    async with receiving(refuse=3) as (receiver, url):
        outlets = Outlets(events=Destination(f"{url}/events", token="tok"))
        async with sandboxed(tmp_path, outlets) as sandbox:
            await played(sandbox)
            async with asyncio.timeout(patience(15)):
                await sandbox.exporter.wait_until_sent()
            assert sandbox.exporter.restarts == 0
    assert set(receiver.headers) == {("application/cloudevents+json", "Bearer tok")}
    events = [body["data"]["healthEvent"] for body in receiver.taken]
    (fault,) = [e for e in events if e["isFatal"]]
    assert fault["checkName"] == "SysLogsXIDError"
    assert any(e["isHealthy"] and e["checkName"] == "SysLogsXIDError" for e in events)
    assert len({body["id"] for body in receiver.taken}) == len(receiver.taken)


async def test_an_event_nobody_took_comes_again_with_another_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last of its tries the exporter begins anew: the same event, a new id."""
    monkeypatch.setattr(exporter, "_RETRIES", 2)
    async with receiving(refuse=4) as (receiver, url):
        outlets = Outlets(events=Destination(f"{url}/events", token="tok"))
        async with sandboxed(tmp_path, outlets) as sandbox:
            await sandbox.inject("xid-94")
            async with asyncio.timeout(patience(30)):
                await receiver.first.wait()
                await sandbox.exporter.wait_until_sent()
            assert (sandbox.exporter.sent, sandbox.exporter.restarts) == (1, 1)
    ids = [body["id"] for body in receiver.offered]
    assert ids == [ids[0]] * 3 + [ids[3]] * 2
    assert ids[0] != ids[3]
    events = {json.dumps(body["data"]) for body in receiver.offered}
    assert len(events) == 1


async def test_events_go_out_with_an_oauth_token_and_the_past_first(tmp_path: Path) -> None:
    """One token is asked for; a backfill sends faults and recoveries older than a day."""
    async with receiving() as (receiver, url):
        to = Destination(
            f"{url}/events", token_url=f"{url}/token", client_id="exporter", client_secret="s3cret"
        )
        async with sandboxed(tmp_path, Outlets(events=to, backfill=True)) as sandbox:
            async with asyncio.timeout(patience(15)):
                await sandbox.exporter.wait_until_sent()
    assert receiver.tokens == 1
    assert {bearer for _, bearer in receiver.headers} == {"Bearer token-1"}
    times = [body["time"] for body in receiver.taken]
    assert len(times) == 24
    assert max(times) < stored._rfc3339(time.time() - 86_000)


def test_a_destination_shows_no_secret() -> None:
    """Neither token nor client secret is in its repr."""
    to = Destination("http://x/", token="tok1", token_url="http://y/", client_id="c",
                     client_secret="sec2")  # fmt: skip
    assert "tok1" not in repr(to)
    assert "sec2" not in repr(to)
