"""Webhooks taken and stored, against a bare handler that inserts each body into SQLite.

    python benchmarks/webhook_ingest.py [ROUNDS]

Both servers get the same NVSentinel health events over the same 64 connections, in turns:
first as fast as they are answered, then 500 a second by the clock, where a request's time
counts from when it was due. Each answers after its fsync. Where there are several cores a
server has one, and the sender another. nvsx is the real server, intake
and SQLite store, on a thousand nodes that are not a cluster's; runs are stored, not worked.
Every request has to be in the store at the end.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from tests.fakes import fake_observer as build
from tests.fakes.fake_observer import FakeNodeFeed, FakeObserver

from nvsx.core.incident.session import Session
from nvsx.core.ports import Fault
from nvsx.core.watches.snapshot import Needs

ROOT = Path(__file__).resolve().parents[1]
NODES, CONNECTIONS = 1000, 64
FAST, RATE, PACED = 3000, 500, 3000
TOKEN = "a-token-of-the-benchmark"  # noqa: S105 - guards nothing
GOAL_RATE, GOAL_P99 = 500.0, 100.0
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def body(number: int) -> bytes:
    """One event: of five, four match gpu-off-bus and the fifth no runbook at all."""
    code = "31" if number % 5 == 4 else "79"
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    event = {
        "version": 1,
        "agent": "syslog-health-monitor",
        "componentClass": "GPU",
        "checkName": "SysLogsXIDError",
        "isFatal": True,
        "message": f"XID {code} on GPU {number % 8}, line {number}",
        "recommendedAction": "RESTART_BM",
        "errorCode": [code],
        "entitiesImpacted": [{"entityType": "PCI", "entityValue": f"0000:{number % 8:02x}:00"}],
        "generatedTimestamp": now,
        "nodeName": f"node-{number % NODES}",
        "processingStrategy": "EXECUTE_REMEDIATION",
    }
    cloud = {
        "specversion": "1.0",
        "type": "com.nvidia.nvsentinel.health.v1",
        "source": "nvsentinel://bench/healthevents",
        "id": f"event-{number}",
        "time": now,
        "data": {"metadata": {"cluster": "bench"}, "healthEvent": event},
    }
    return json.dumps(cloud).encode()


# --- the servers, each a process of its own -------------------------------------------------


class Nodes(FakeObserver):
    """A cluster of `NODES` healthy nodes."""

    async def node_names(self) -> Sequence[str]:
        return [f"node-{number}" for number in range(NODES)]

    async def nodes_in_incident(self) -> Sequence[Fault]:
        return []

    async def follow(self, node: str, needs: Needs, session: Session | None = None) -> FakeNodeFeed:
        if node not in self.feeds:
            self.set(build.snapshot(of=build.node(node)))
        return await super().follow(node, needs, session)


async def serve_nvsx(folder: Path) -> None:
    """The real thing, from the socket to the store."""
    from nvsx.core.incident.tolerances import IncidentLimits
    from nvsx.follow.cluster_access import SystemClock
    from nvsx.nvsentinel import decoding
    from nvsx.project import cel
    from nvsx.project.secret_files import FixedSecret
    from nvsx.serve.incident_keeper import IncidentKeeper
    from nvsx.serve.intake import Identity, TriggerIntake
    from nvsx.serve.limits import Limits
    from nvsx.serve.logs import start_logging
    from nvsx.serve.runbook_shelf import RunbookShelf
    from nvsx.serve.webhook.auth import Doorman
    from nvsx.serve.webhook.channels import open_channels
    from nvsx.serve.webhook.http_server import WebhookServer
    from nvsx.store import inbox_of, incidents_of, open_store

    start_logging(io.StringIO(), as_json=False, mask=str)
    journal, clock = open_store(folder), SystemClock()
    observer = Nodes()
    keeper = IncidentKeeper(
        incidents=incidents_of(journal),
        observer=observer,
        clock=clock,
        cluster="uid",
        limits=IncidentLimits(),
    )
    intake = TriggerIntake(
        inbox=inbox_of(journal),
        keeper=keeper,
        observer=observer,
        clock=clock,
        identity=Identity(uid="uid", names=("bench",)),
        shelf=RunbookShelf(ROOT),
        evaluate=cel.evaluate,
        limits=Limits(),
        started=lambda _: None,
    )
    doorman = Doorman(FixedSecret([TOKEN.encode()]), operator=False)
    channels = open_channels(
        {},
        doorman,
        read_health_event=decoding.decode_cloudevent,
        compute=cel.value,
        root=ROOT,
        env={},
    )
    server = WebhookServer(intake, channels, doorman, clock)
    await server.start("127.0.0.1", 0)
    await until_told(server.url)
    await server.stop()
    journal.close()


async def serve_bare(folder: Path) -> None:
    """The shortest program that keeps what it answers."""
    from aiohttp import web

    database = sqlite3.connect(folder / "nvsx.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE events (body BLOB)")

    async def handler(request: web.Request) -> web.Response:
        database.execute("INSERT INTO events VALUES (?)", (await request.read(),))
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/hooks/nvsentinel", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    await until_told(f"http://127.0.0.1:{port}")
    await runner.cleanup()


async def until_told(url: str) -> None:
    """Say where it listens; serve until the parent closes standard input."""
    print(url, flush=True)
    await asyncio.to_thread(sys.stdin.read)


@contextmanager
def server(kind: str, folder: Path) -> Any:
    """Run one; gives its port."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", kind, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:  # which closes its standard input, the sign to stop
        keep_to(CORES[-1:], process.pid)
        told: Any = process.stdout
        yield int(told.readline().rsplit(":", 1)[1])


def keep_to(cores: Sequence[int], pid: int = 0) -> None:
    """Keep a process on these cores, where the system can; 0 is this one."""
    if cores:
        os.sched_setaffinity(pid, cores)


def stored(folder: Path) -> int:
    """How many requests the store has."""
    with sqlite3.connect(folder / "nvsx.db") as database:
        return int(database.execute("SELECT count(*) FROM events").fetchone()[0])


# --- the sender -----------------------------------------------------------------------------


@asynccontextmanager
async def connected(port: int, token: str = TOKEN) -> AsyncIterator[Any]:
    """One connection; gives what sends a body on it and waits for its 202."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send(content: bytes) -> None:
        writer.write(
            b"POST /hooks/nvsentinel HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/cloudevents+json\r\n"
            + f"Authorization: Bearer {token}\r\nContent-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
        answer = await reader.readexactly(int(length or 0))
        if not head.startswith(b"HTTP/1.1 202"):
            raise SystemExit(f"not taken: {head!r} {answer!r}")

    try:
        yield send
    finally:
        writer.close()


async def burst(port: int, numbers: range, rate: float = 0.0) -> tuple[float, list[float]]:
    """Send them all, `rate` a second or at once: seconds in all, milliseconds of each."""
    began, todo, took = time.monotonic(), iter(enumerate(numbers)), []

    async def sender() -> None:
        async with connected(port) as send:
            for place, number in todo:
                due = began + place / rate if rate else time.monotonic()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await send(body(number))
                took.append((time.monotonic() - due) * 1000)

    await asyncio.gather(*(sender() for _ in range(CONNECTIONS)))
    return time.monotonic() - began, took


class Figures(NamedTuple):
    """One server's in one round."""

    rate: float
    p50: float
    p99: float


async def measure(kind: str) -> Figures:
    """One round on an empty store."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server(kind, folder) as port:
            await burst(port, range(-CONNECTIONS, 0))
            seconds, _ = await burst(port, range(FAST))
            _, took = await burst(port, range(FAST, FAST + PACED), RATE)
        kept = stored(folder)
    if kept != FAST + PACED + CONNECTIONS:
        raise SystemExit(f"{kind}: {kept} stored of {FAST + PACED + CONNECTIONS}")
    parts = statistics.quantiles(took, n=100)
    return Figures(FAST / seconds, parts[49], parts[98])


async def main(rounds: int) -> None:
    """Rounds in turns; the medians of each figure, and their ratios."""
    found: dict[str, list[Figures]] = {"bare": [], "nvsx": []}
    keep_to(CORES[:1])
    for _ in range(rounds):
        for kind, figures in found.items():
            figures.append(await measure(kind))
            print(
                f"  {kind}: " + "{:.0f}/s, p50 {:.1f} ms, p99 {:.1f} ms".format(*figures[-1]),
                end="",
            )
            print(f", load {os.getloadavg()[0]:.1f}", flush=True)
    bare, nvsx = (Figures(*map(statistics.median, zip(*f, strict=True))) for f in found.values())
    print(f"{'medians':<24}{'bare':>9}{'nvsx':>9}{'ratio':>8}")
    names = ("stored requests/s", f"p50 at {RATE}/s, ms", f"p99 at {RATE}/s, ms")
    for name, one, other in zip(names, bare, nvsx, strict=True):
        print(f"{name:<24}{one:9.1f}{other:9.1f}{other / one:7.2f} ×")
    met = nvsx.rate >= GOAL_RATE and nvsx.p99 < GOAL_P99
    verdict = "met" if met else "MISSED"
    print(f"goal: {GOAL_RATE:g}/s and p99 < {GOAL_P99:g} ms: {verdict}; none lost")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve = serve_nvsx if sys.argv[2] == "nvsx" else serve_bare
        asyncio.run(serve(Path(sys.argv[3])))
    else:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
