"""Too many connections: who keeps a place, seen with real sockets from several addresses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.patience import until
from tests.webhook.serving import BEARER, DEADLINE, Daemon, serving
from tests.webhook.test_tls import make

from nvsx.serve.webhook.connections import Connections, Places, peer_group, places_within
from nvsx.serve.webhook.http_server import HttpLimits

BODY = json.dumps({"runbook": "gpu-off-bus"}).encode()
SLOW_HEAD = b"POST /webhook HTTP/1.1\r\nX: "
FLOOD = 560
ATTACKER, CALLER, KUBELET = "127.0.0.2", "127.0.0.3", "127.0.0.4"


def request(method: str, path: str, *lines: str, body: bytes = b"") -> bytes:
    """A whole request that asks for the connection to end."""
    head = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *lines]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


AUTHENTICATED = request(
    "POST",
    "/webhook",
    f"Authorization: {BEARER['Authorization']}",
    "Content-Type: application/json",
    body=BODY,
)
PROBE = request("GET", "/healthz")
SIGNED = {"pd": {"kind": "pagerduty", "secretEnv": "SECRET"}}
SLOW_BODY = (
    b"POST /hooks/pd HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"X-PagerDuty-Signature: v1=00\r\nContent-Length: 100000\r\n\r\n{"
)


@pytest.fixture(autouse=True)
def enough_descriptors() -> Iterator[None]:
    """Both ends of a flood are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(autouse=True)
def all_of_loopback() -> None:
    """Linux has all of 127.0.0.0/8; macOS the first address alone."""
    with socket.socket() as probe:
        try:
            probe.bind((ATTACKER, 0))
        except OSError:
            pytest.skip(f"this machine does not call from {ATTACKER}")


async def answer(
    daemon: Daemon, sent: bytes, source: str, context: ssl.SSLContext | None = None
) -> int:
    """The status of one request from this address; 0 when the connection was cut."""
    try:
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", daemon.port, local_addr=(source, 0), ssl=context
            )
            try:
                writer.write(sent)
                line = await reader.readline()
                return int(line.split()[1]) if line else 0
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except OSError:
        return 0


class Flood:
    """Connections from one address, or one each from many, that come again when they are cut."""

    def __init__(self, daemon: Daemon, sent: bytes, sources: list[str]) -> None:
        self._port = daemon.port
        self._sent = sent
        self.sources = sources
        self.opened = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Flood]:
        tasks = [asyncio.create_task(self._keep_open(source)) for source in self.sources]
        try:
            await until(lambda: self.opened >= len(tasks))
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_open(self, source: str) -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", self._port, local_addr=(source, 0)
                )
                self.opened += 1
                try:
                    writer.write(self._sent)
                    await reader.read()
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0.2)  # the pace of the flood, not a wait for anything


@pytest.mark.parametrize("sent", [b"", SLOW_HEAD, SLOW_BODY], ids=["silent", "head", "body"])
async def test_a_flood_from_one_address_costs_no_other_address_anything(sent: bytes) -> None:
    """560 connections that never finish, and come back when they are cut: every probe and
    every call with the token from elsewhere is answered, and the flood has its own places."""
    async with (
        serving(SIGNED, env={"SECRET": "s"}) as daemon,
        Flood(daemon, sent, [ATTACKER] * FLOOD).running() as flood,
    ):
        for _ in range(50):
            assert await answer(daemon, PROBE, KUBELET) == 200
            assert await answer(daemon, AUTHENTICATED, CALLER) == 202
        connections = daemon.server._listener._connections
        assert flood.opened >= FLOOD
        assert connections._of_peer[ATTACKER] <= Places().per_peer
        assert len(connections) <= Places().in_all


async def test_the_flooding_address_itself_is_not_shut_out() -> None:
    """Behind one address (a NAT, a proxy) there may be honest senders as well: a request that
    comes whole takes the place of one that does not."""
    async with serving() as daemon, Flood(daemon, SLOW_HEAD, [ATTACKER] * FLOOD).running():
        for _ in range(50):
            assert await answer(daemon, PROBE, ATTACKER) == 200
            assert await answer(daemon, AUTHENTICATED, ATTACKER) == 202


async def test_a_flood_from_many_addresses_cuts_what_waits_longest() -> None:
    """All places are taken, two of each peer: whole requests from others are still answered."""
    sources = [f"127.0.{1 + n // 200}.{1 + n % 200}" for n in range(FLOOD)]
    async with serving() as daemon, Flood(daemon, SLOW_HEAD, sources).running():
        for _ in range(50):
            assert await answer(daemon, PROBE, KUBELET) == 200
            assert await answer(daemon, AUTHENTICATED, CALLER) == 202
        assert len(daemon.server._listener._connections) <= Places().in_all


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
async def test_handshakes_that_never_end_are_connections_too(tmp_path: Path) -> None:
    """With TLS a flood need not even begin to speak it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with (
        serving(tls=make(tmp_path, "nvsx")) as daemon,
        Flood(daemon, b"\x16\x03\x01", [ATTACKER] * FLOOD).running(),
    ):
        for _ in range(20):
            assert await answer(daemon, PROBE, KUBELET, context) == 200
            assert await answer(daemon, AUTHENTICATED, CALLER, context) == 202
        connections = daemon.server._listener._connections
        assert connections._of_peer[ATTACKER] <= Places().per_peer


async def test_probes_have_places_that_requests_do_not_get() -> None:
    """While every place has a request that is being answered, a probe is answered and any
    other request is told to come again."""
    limits = HttpLimits(places=Places(in_all=3, per_peer=3, reserve=1))
    async with serving(limits=limits) as daemon:
        daemon.intake.gate = asyncio.Event()
        calls = [asyncio.create_task(answer(daemon, AUTHENTICATED, CALLER)) for _ in range(3)]
        await until(lambda: len(daemon.server._listener._connections._answered) == 3)
        for _ in range(5):
            assert await answer(daemon, PROBE, KUBELET) == 200
            assert await answer(daemon, AUTHENTICATED, KUBELET) == 503
            assert await answer(daemon, PROBE, CALLER) == 200
        daemon.intake.gate.set()
        assert await asyncio.gather(*calls) == [202, 202, 202]
        assert await answer(daemon, AUTHENTICATED, KUBELET) == 202


async def test_one_that_waits_in_the_reserve_gives_way_to_the_next() -> None:
    """Silence there keeps no probe out."""
    limits = HttpLimits(places=Places(in_all=1, per_peer=1, reserve=1))
    async with serving(limits=limits) as daemon:
        daemon.intake.gate = asyncio.Event()
        call = asyncio.create_task(answer(daemon, AUTHENTICATED, CALLER))
        await until(lambda: daemon.server._listener._connections._answered)
        silent = [await asyncio.open_connection("127.0.0.1", daemon.port) for _ in range(3)]
        assert await answer(daemon, PROBE, KUBELET) == 200
        daemon.intake.gate.set()
        assert await call == 202
        for _, writer in silent:
            writer.close()


async def test_a_shortage_is_said_once_and_not_for_each_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A flood of connections is no flood of log lines."""
    limits = HttpLimits(places=Places(in_all=4, per_peer=2, reserve=1))
    async with serving(limits=limits) as daemon:
        async with Flood(daemon, b"", [ATTACKER] * 30).running():
            assert await answer(daemon, PROBE, KUBELET) == 200
        said = [record for record in caplog.records if "connections are short" in record.message]
        assert len(said) == 1
        assert ATTACKER in said[0].message


# --- the bookkeeping alone ----------------------------------------------------------------------


class Fake:
    """A socket with a number; -1 once it is closed."""

    def __init__(self, number: int) -> None:
        self.number = number

    def fileno(self) -> int:
        return self.number

    def abort(self) -> None:
        self.number = -1


def test_who_gives_way_to_whom() -> None:
    """The time line of the class: a peer's own oldest first, then the oldest of all, then the
    reserve; whoever is being answered stays."""
    connections = Connections(Places(in_all=4, per_peer=2, reserve=1))
    names: dict[str, Fake] = {}

    def come(name: str) -> bool:
        names[name] = Fake(len(names) + 10)
        return connections.admit(names[name], name[0])

    def closed() -> list[str]:
        return [name for name, fake in names.items() if fake.number < 0]

    assert all(come(name) for name in ("b1", "a1", "a2", "a3"))
    assert closed() == ["a1"]
    assert come("b2")
    assert come("c1")
    assert closed() == ["b1", "a1"]
    assert come("b3")
    assert closed() == ["b1", "a1", "a2"]
    for name in ("a3", "b2", "b3", "c1"):
        connections.keep(connections.find(names[name].number))
    assert come("d1")
    d1 = connections.find(names["d1"].number)
    assert d1 is not None
    assert d1.reserved
    assert closed() == ["b1", "a1", "a2"]
    assert come("e1")
    assert closed() == ["b1", "a1", "a2", "d1"]
    connections.keep(connections.find(names["e1"].number))
    assert not come("f1")
    connections.release(connections.find(names["b2"].number))
    assert come("g1")
    assert closed() == ["b1", "a1", "a2", "b2", "d1"]


def test_a_peer_beyond_its_own_places_has_the_reserve() -> None:
    """Though there is room for others: its requests being answered are not cut for it."""
    connections = Connections(Places(in_all=4, per_peer=1, reserve=1))
    first, second, other = Fake(1), Fake(2), Fake(3)
    for connection, peer in ((first, "a"), (second, "a"), (other, "b")):
        assert connections.admit(connection, peer)
        guest = connections.find(connection.number)
        assert guest is not None
        assert guest.reserved is (connection is second)
        connections.keep(guest)
    assert not connections.admit(Fake(4), "a")


@pytest.mark.parametrize(
    ("descriptors", "places"),
    [
        (1_000_000, Places(512, 256, 16)),
        (1024, Places(512, 256, 16)),
        (1022, Places(511, 255, 16)),
        (256, Places(128, 64, 16)),
        (8, Places(16, 8, 16)),
    ],
)
def test_connections_leave_descriptors_for_the_rest(descriptors: int, places: Places) -> None:
    """At most half of what the process may open: the journal and hooks need theirs."""
    assert places_within(descriptors) == places


async def test_without_descriptors_what_waits_longest_is_closed() -> None:
    """A process that may open no more files takes one back from who sends nothing."""
    async with serving() as daemon:
        silent = [await asyncio.open_connection("127.0.0.1", daemon.port) for _ in range(5)]
        assert await answer(daemon, PROBE, KUBELET) == 200  # so the five were accepted
        with socket.create_connection(("127.0.0.1", daemon.port)) as client, no_descriptors():
            client.sendall(PROBE)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            said = await asyncio.wait_for(loop.sock_recv(client, 1000), DEADLINE)
            assert said.startswith(b"HTTP/1.1 200 ")
        assert await silent[0][0].read() == b""
        for _, writer in silent:
            writer.close()


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Until the end this process has none left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened[0] + 1, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for number in opened:
            os.close(number)


def test_a_closed_connection_leaves_its_place() -> None:
    """Also when its number was given to another socket, before anybody noticed."""
    connections = Connections(Places(in_all=2, per_peer=2, reserve=0))
    first, second = Fake(1), Fake(2)
    assert connections.admit(first, "a")
    assert connections.admit(second, "a")
    was = connections.find(1)
    first.number = -1
    again = Fake(1)
    assert connections.admit(again, "b")
    assert len(connections) == 2
    second.number = -1
    assert connections.admit(Fake(3), "c")
    assert connections.evicted == 0
    connections.keep(was)  # what the old one still does is not the new one's
    assert connections.admit(Fake(4), "d")
    assert again.number == -1


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::4", "2001:db8:1:3::/64"),
        ("fe80::1", "fe80::1"),
        ("", ""),
    ],
)
def test_one_network_of_ipv6_is_one_peer(address: str, group: str) -> None:
    """An address costs nothing there; of IPv4 each is one, and of what has no router too."""
    assert peer_group(address) == group
