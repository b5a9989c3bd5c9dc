"""Which store there is, the way to it, and the credentials: from settings and ConfigMaps."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.event_store.conftest import IGNORE_LOST_SOCKETS, StillClock
from tests.event_store.stored import NODE, NOW, document
from tests.event_store.test_feed_contract import START
from tests.event_store.worlds import MongoWorld, PostgresWorld
from tests.patience import patience, until

from nvsx.core.errors import StoreError
from nvsx.nvsentinel.event_store.credentials import CredentialSource, Material
from nvsx.nvsentinel.event_store.event_store_errors import HealthEventsError, strip_secrets
from nvsx.nvsentinel.event_store.opening import (
    HealthEvents,
    Reach,
    make_found_uri,
    make_store_target,
    open_health_events,
    service_inside,
)
from nvsx.nvsentinel.event_store.port_forward import Kubectl, PortForward
from nvsx.nvsentinel.installation import Installation
from nvsx.nvsentinel.workloads import Fact

pytestmark = IGNORE_LOST_SOCKETS

MONGO = {
    "DATASTORE_PROVIDER": "mongodb",
    "MONGODB_DATABASE_NAME": "HealthEventsDatabase",
    "MONGODB_COLLECTION_NAME": "HealthEvents",
    "MONGODB_URI": "mongodb://mongodb-headless.nvsentinel.svc.cluster.local:27017/?replicaSet=rs0&tls=true",
}
POSTGRES = {
    "DATASTORE_PROVIDER": "postgresql",
    "DATASTORE_HOST": "nvsentinel-postgresql",
    "DATASTORE_DATABASE": "nvsentinel",
    "DATASTORE_SSLMODE": "verify-full",
}

# A kubectl whose port-forward leads to 127.0.0.1:$TARGET, and which tells its arguments.
KUBECTL = """#!{python}
import base64, json, os, socket, sys, threading
with open(os.environ["TOLD"], "a") as told:
    print(json.dumps(sys.argv[1:]), file=told)
if "port-forward" not in sys.argv:
    name = sys.argv[sys.argv.index("secret") + 1]
    if name != "reader":
        sys.exit('Error from server (NotFound): secrets "%s" not found' % name)
    data = {{"username": "reader", "password": "open sesame"}}
    data = {{k: base64.b64encode(v.encode()).decode() for k, v in data.items()}}
    print(json.dumps({{"data": data}}))
    sys.exit()
if "svc-gone" in sys.argv[-2]:
    sys.exit('Error from server (NotFound): services "svc-gone" not found')
listening = socket.create_server(("127.0.0.1", 0))
print("Forwarding from 127.0.0.1:%d -> 1" % listening.getsockname()[1], flush=True)
def copy(a, b):
    try:
        while chunk := a.recv(65536):
            b.sendall(chunk)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(2)
        except OSError:
            pass
while True:
    a, _ = listening.accept()
    b = socket.create_connection(("127.0.0.1", int(os.environ["TARGET"])))
    for pair in ((a, b), (b, a)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"""


class FakeKubectl:
    """A folder with a kubectl, and what it was asked."""

    def __init__(self, folder: Path, target: int) -> None:
        program = folder / "kubectl"
        program.write_text(KUBECTL.format(python=sys.executable))
        program.chmod(0o755)
        self._told = folder / "told"
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        self.environ = {
            **os.environ, "PATH": path, "TOLD": str(self._told), "TARGET": str(target)
        }  # fmt: skip
        self.kubectl = Kubectl("prod", self.environ)

    @property
    def calls(self) -> list[list[str]]:
        lines = self._told.read_text().splitlines() if self._told.exists() else []
        return [json.loads(line) for line in lines]


def installation(facts: dict[str, str]) -> Installation:
    """What is known of an installation with this datastore ConfigMap."""
    provider = facts.get("DATASTORE_PROVIDER", "none")
    return Installation(
        "nvsentinel",
        provider=Fact(provider, "ConfigMap mongodb-config"),
        database=facts.get("MONGODB_DATABASE_NAME", ""),
        collection=facts.get("MONGODB_COLLECTION_NAME", ""),
        datastore=facts,
    )


def reach(tmp_path: Path, kubectl: Kubectl | None = None, **changes: Any) -> Reach:
    """From a laptop, unless told otherwise."""
    return Reach(dict(os.environ), tmp_path / "private", kubectl or Kubectl("prod"), **changes)


# --- where it is --------------------------------------------------------------------------------


def test_auto_finds_mongodb() -> None:
    """The ConfigMap's URI, database and collection are used as they are."""
    assert make_found_uri(installation(MONGO), Material()) == MONGO["MONGODB_URI"]


def test_auto_finds_postgresql() -> None:
    """Host, database and TLS mode of the ConfigMap, and the user of the credentials."""
    uri = make_found_uri(installation(POSTGRES), Material(username="read/er"))
    expected = "postgresql://read%2Fer@nvsentinel-postgresql:5432/nvsentinel?sslmode=verify-full"
    assert uri == expected


def test_auto_without_a_store() -> None:
    """A monitor-only installation is told as such, with the mode that works there."""
    with pytest.raises(HealthEventsError, match="only monitors") as caught:
        make_found_uri(installation({}), Material())
    assert "--mode watch" in caught.value.hint


def test_auto_with_the_uri_in_a_secret() -> None:
    """An external database whose URI is in no ConfigMap has to be named."""
    with pytest.raises(HealthEventsError, match="address is not in the ConfigMap") as caught:
        make_found_uri(installation({"DATASTORE_PROVIDER": "mongodb"}), Material())
    assert "healthEvents.uri" in caught.value.hint


@pytest.mark.parametrize(
    ("host", "where"),
    [
        ("mongodb-headless.nvsentinel.svc.cluster.local", ("mongodb-headless", "nvsentinel")),
        ("mongodb-headless.ns2.svc", ("mongodb-headless", "ns2")),
        ("mongodb-0.mongodb-headless.nvsentinel.svc", ("mongodb-headless", "nvsentinel")),
        ("nvsentinel-postgresql", ("nvsentinel-postgresql", "nvsentinel")),
        ("db.example.com", None),
        ("svc.example.com", None),
        ("10.0.0.7", None),
        ("localhost", None),
        ("", None),
    ],
)
def test_names_that_need_the_cluster(host: str, where: tuple[str, str] | None) -> None:
    """Names of services lead into the cluster; addresses and public names do not."""
    assert service_inside(host, "nvsentinel") == where


def test_no_forward_in_a_pod(tmp_path: Path) -> None:
    """In a pod the service is reached by its name; from outside through a port-forward."""
    found = installation(MONGO)
    in_pod = make_store_target(
        MONGO["MONGODB_URI"], Material(), found, reach(tmp_path, in_pod=True)
    )
    assert in_pod.forward is None
    outside = make_store_target(MONGO["MONGODB_URI"], Material(), found, reach(tmp_path))
    assert outside.forward is not None
    assert "port-forward" in outside.where


def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    """Neither a target's repr nor the credentials' shows a password or a URI."""
    material = Material(uri="mongodb://u:hidden-word@h/", password="hidden-word")
    target = make_store_target(material.uri, material, installation(MONGO), reach(tmp_path))
    assert "hidden-word" not in f"{target!r} {material!r} {target.where}"


def test_none_is_no_store(tmp_path: Path) -> None:
    """With uri none there is no store at all."""
    store = open_health_events(
        "none", None, inspect=_nothing, reach=reach(tmp_path), clock=StillClock()
    )
    assert store is None


async def _nothing() -> Installation:
    return installation({})


# --- credentials --------------------------------------------------------------------------------


def store_of(
    uri: str, source: CredentialSource | None, where: Reach, facts: dict[str, str] | None = None
) -> HealthEvents:
    """A store as the daemon opens it."""

    async def inspect() -> Installation:
        return installation(facts or {})

    store = open_health_events(uri, source, inspect=inspect, reach=where, clock=StillClock())
    assert store is not None
    return store


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (CredentialSource(env="NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE is not set"),
        (CredentialSource(file="/nonexistent/file"), "No such file"),
        (CredentialSource(secret="reader"), "names no Secret"),
        (CredentialSource(file="{folder}/half"), "lacks a certificate or its private key"),
        (CredentialSource(file="{folder}/empty"), "is empty"),
        (CredentialSource(file="{folder}/secret"), "holds no credentials"),
        (CredentialSource(file="{folder}/binary"), "is not text"),
    ],
)
async def test_credentials_that_cannot_be_used(
    tmp_path: Path, source: CredentialSource, said: str
) -> None:
    """What the operator named and nvsx cannot use is told before anything is connected to."""
    (tmp_path / "half").write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "secret").mkdir()
    source = CredentialSource(source.file.format(folder=tmp_path), source.secret, source.env)
    store = store_of("mongodb://127.0.0.1:1/", source, reach(tmp_path))
    with pytest.raises(StoreError, match=said) as caught:
        await store.events(NODE, 0)
    assert isinstance(caught.value, HealthEventsError)
    assert caught.value.kind == "configuration"


@pytest.fixture
async def reader(postgres: PostgresWorld) -> PostgresWorld:
    """A user with a password and the right to read."""
    await postgres.db.execute(
        "DO $$ BEGIN CREATE ROLE reader LOGIN PASSWORD 'open sesame'; "
        "EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    await postgres.db.execute("GRANT SELECT ON health_events, datastore_changelog TO reader")
    await postgres.put(document(at=NOW))
    return postgres


@pytest.mark.server("postgres", "openssl")
@pytest.mark.parametrize("kind", ["file", "folder", "env", "uri", "secret"])
async def test_every_place_of_credentials(reader: PostgresWorld, tmp_path: Path, kind: str) -> None:
    """A password file, a folder like a Secret, a variable, a URI and a Secret all log in, and
    none of them is on a command line."""
    fake = FakeKubectl(tmp_path, 0)
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "username").write_text("reader\n")
    (folder / "password").write_text("open sesame\n")
    uri = reader.server.uri(reader.database, "reader:open%20sesame")
    (tmp_path / "uri").write_text(uri)
    source = {
        "file": CredentialSource(file=str(folder / "password")),
        "folder": CredentialSource(file=str(folder)),
        "env": CredentialSource(env="STORE"),
        "uri": CredentialSource(file=str(tmp_path / "uri")),
        "secret": CredentialSource(secret="nvsentinel/reader"),
    }[kind]
    where = Reach({"STORE": "open sesame"}, tmp_path / "private", fake.kubectl)
    named = "auto" if kind == "uri" else reader.server.uri(reader.database, "reader")
    store = store_of(named, source, where)
    assert len(await store.events(NODE, NOW - 60)) == 1
    await store.close()
    assert "sesame" not in json.dumps(fake.calls)


async def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    """kubectl's own reason is told, with the right that is needed."""
    where = reach(tmp_path, FakeKubectl(tmp_path, 0).kubectl)
    store = store_of("postgresql://u@127.0.0.1/x", CredentialSource(secret="ns/other"), where)
    with pytest.raises(StoreError, match=r'secrets "other" not found') as caught:
        await store.after(START)
    assert "`get`" in caught.value.hint


@pytest.mark.server("postgres", "openssl")
async def test_renewed_credentials_are_read_again(reader: PostgresWorld, tmp_path: Path) -> None:
    """After a refusal the place is read anew: a rotated password needs no restart."""
    place = tmp_path / "password"
    place.write_text("an old one")
    uri = reader.server.uri(reader.database, "reader")
    store = store_of(uri, CredentialSource(file=str(place)), reach(tmp_path))
    with pytest.raises(HealthEventsError) as caught:
        await store.after(START)
    assert caught.value.kind == "authentication"
    place.write_text("open sesame")
    assert len((await store.after(START)).events) == 1
    await store.close()


@pytest.mark.parametrize(("module", "uri"), [("pymongo", "mongodb"), ("psycopg", "postgresql")])
async def test_no_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, uri: str
) -> None:
    """Without the driver the message says what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    store = store_of(f"{uri}://127.0.0.1:1/x", None, reach(tmp_path))
    with pytest.raises(HealthEventsError) as caught:
        await store.after(START)
    assert caught.value.kind == "driver"
    assert caught.value.hint == f"pip install 'nvsx[{'mongo' if 'mongo' in uri else 'postgres'}]'"


# --- through a port-forward ---------------------------------------------------------------------


@pytest.mark.server("mongo-java-server")
async def test_mongodb_through_a_forward(mongo: MongoWorld, tmp_path: Path) -> None:
    """A service's name leads through kubectl, to one member; a dead forward is started again."""
    port = int(mongo.target.uri.rstrip("/").rpartition(":")[2])
    fake = FakeKubectl(tmp_path, port)
    facts = MONGO | {"MONGODB_DATABASE_NAME": mongo.target.database}
    facts["MONGODB_URI"] = facts["MONGODB_URI"].replace("&tls=true", "")
    store = store_of("auto", None, reach(tmp_path, fake.kubectl), facts)
    await mongo.put(document(at=NOW))
    batch = await store.after(START)
    assert len(batch.events) == 1
    (forward,) = [p for p in psutil.Process().children(recursive=True) if _is_kubectl(p, tmp_path)]
    forward.kill()
    await mongo.put(document(at=NOW))
    assert len((await store.after(batch.position)).events) == 1
    await store.close()
    assert not [p for p in psutil.Process().children(recursive=True) if _is_kubectl(p, tmp_path)]
    first, second = fake.calls
    assert first == second
    assert first[:3] == ["--context=prod", "port-forward", "--namespace=nvsentinel"]
    assert "--address=127.0.0.1" in first
    assert first[-2:] == ["service/mongodb-headless", ":27017"]


def _is_kubectl(process: psutil.Process, folder: Path) -> bool:
    try:
        return str(folder / "kubectl") in process.cmdline()
    except psutil.Error:
        return False


@pytest.mark.server("postgres", "openssl")
async def test_postgresql_through_a_forward(
    postgres: PostgresWorld, certificates: dict[str, Path], tmp_path: Path
) -> None:
    """The server's certificate is still checked against the service's name, not 127.0.0.1."""
    fake = FakeKubectl(tmp_path, postgres.server.port)
    facts = POSTGRES | {
        "DATASTORE_HOST": "nvsentinel-postgresql.nvsentinel.svc",
        "DATASTORE_DATABASE": postgres.database,
    }
    folder = tmp_path / "mounted"
    folder.mkdir()
    for name, file in (("ca.crt", "ca.crt"), ("tls.crt", "client.crt"), ("tls.key", "client.key")):
        (folder / name).write_text(certificates[file].read_text())
    (folder / "username").write_text("certified")
    await postgres.db.execute(
        "DO $$ BEGIN CREATE ROLE certified LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    await postgres.db.execute("GRANT SELECT ON health_events, datastore_changelog TO certified")
    store = store_of(
        "auto", CredentialSource(file=str(folder)), reach(tmp_path, fake.kubectl), facts
    )
    await postgres.put(document(at=NOW))
    assert len((await store.after(START)).events) == 1
    await store.close()


async def test_a_forward_that_cannot_be_made(tmp_path: Path) -> None:
    """kubectl's reason is told, with the command to try."""
    forward = PortForward(FakeKubectl(tmp_path, 0).kubectl, "ns", "svc-gone", 27017)
    with pytest.raises(HealthEventsError, match=r'services "svc-gone" not found') as caught:
        await forward.open()
    assert "kubectl -n ns port-forward svc/svc-gone" in caught.value.hint
    assert forward.pid is None


PROGRAM = """
import asyncio, json, os, sys
from nvsx.nvsentinel.event_store.port_forward import Kubectl, PortForward

async def main():
    forward = PortForward(Kubectl("", dict(os.environ)), "ns", "db", 1)
    await forward.open()
    print(forward.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_no_forward_outlives_nvsx(tmp_path: Path, end: signal.Signals) -> None:
    """However nvsx ends, its port-forward ends with it."""
    fake = FakeKubectl(tmp_path, 1)
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM), env=fake.environ, stdout=subprocess.PIPE
    )
    assert program.stdout is not None
    pid = int(await asyncio.wait_for(program.stdout.readline(), patience(20)))
    assert psutil.pid_exists(pid)
    program.send_signal(end)
    await asyncio.wait_for(program.wait(), patience(10))
    await until(lambda: not psutil.pid_exists(pid), within=10)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["a" * 1_000_000, "x" + " " * 1_000_000 + "y", "a+" * 500_000])
def test_a_megabyte_from_a_server_is_told_at_once(text: str) -> None:
    """A message may quote a document, and a tenant wrote its text."""
    assert len(strip_secrets(text)) <= 300


def test_no_uri_of_a_message_is_shown() -> None:
    """Wherever it stands, with whatever scheme."""
    assert strip_secrets("at mongodb+srv://u:p@h/x and http://y") == "at (a URI) and (a URI)"
