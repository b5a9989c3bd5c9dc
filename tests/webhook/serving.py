"""A webhook server on a free loopback port, with a fake intake behind it."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from tests.core.senders.bodies import NOW, encoded
from tests.fakes.fake_intake import FakeIntake
from tests.patience import patience

from nvsx.core.routing.trigger_event import Intake
from nvsx.core.senders.sources import Source
from nvsx.nvsentinel import decoding
from nvsx.project import cel
from nvsx.project.secret_files import FixedSecret
from nvsx.serve.webhook.auth import Doorman
from nvsx.serve.webhook.channels import open_channels
from nvsx.serve.webhook.http_server import HttpLimits, Probes, WebhookServer
from nvsx.serve.webhook.listening import TlsFiles
from nvsx.serve.webhook.oauth import TokenEndpoint

TOKEN = "a-token-that-is-long-enough"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
CLIENT_SECRET = "the-exporter's secret"
DEADLINE = patience(10.0)


class StillClock:
    """A clock that stands, so that signed times and rates are what the test says."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Reply(NamedTuple):
    status: int
    body: Any
    headers: Mapping[str, str]


class Daemon:
    """The server, what it was offered, and a client for it."""

    def __init__(self, server: WebhookServer, intake: FakeIntake, counted: list[Any]) -> None:
        self.server = server
        self.intake = intake
        self.counted = counted

    @property
    def port(self) -> int:
        return urlsplit(self.server.url).port or 0

    async def post(
        self, path: str, body: object, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """POST; bytes as they are, anything else as JSON with its content type."""
        return await self.request("POST", path, body, headers)

    async def request(
        self,
        method: str,
        path: str,
        body: object = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        raw = body if isinstance(body, bytes) else encoded(body)
        sent = {**({} if isinstance(body, bytes) else {"Content-Type": "application/json"})}
        sent.update(headers or {})
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=DEADLINE),
                skip_auto_headers=["Content-Type"],
            ) as client,
            client.request(
                method, self.server.url + path, data=io.BytesIO(raw), headers=sent
            ) as answer,
        ):
            text = await answer.read()
            is_json = answer.content_type == "application/json"
            return Reply(
                answer.status,
                await answer.json() if is_json and text else text,
                dict(answer.headers),
            )

    async def raw(self, *parts: bytes) -> bytes:
        """Send bytes over a socket of its own; everything the server sends until it closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            async with asyncio.timeout(DEADLINE):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(
    sources: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    operator: bool = True,
    env: Mapping[str, str] | None = None,
    limits: HttpLimits | None = None,
    probes: Mapping[str, Any] | None = None,
    clock: StillClock | None = None,
    oauth: bool = False,
    tls: TlsFiles | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    before: Intake | None = None,
) -> AsyncIterator[Daemon]:
    """Run a server until the block ends, in front of `before` or of a fake intake."""
    counted: list[Any] = []
    intake = FakeIntake()
    token = FixedSecret([TOKEN.encode()])
    endpoint = TokenEndpoint("exporter", FixedSecret([CLIENT_SECRET.encode()]), token)
    doorman = Doorman(token, operator=operator, endpoint=endpoint if oauth else None)
    channels = open_channels(
        {name: Source.model_validate(source) for name, source in (sources or {}).items()},
        doorman,
        read_health_event=decoding.decode_cloudevent,
        compute=cel.value,
        root=Path("/"),
        env=env or {},
    )
    server = WebhookServer(
        before or intake,
        channels,
        doorman,
        clock or StillClock(),
        probes=Probes(count=lambda *seen: counted.append(seen), **(probes or {})),
        limits=limits,
        tls=tls,
    )
    await server.start(host, port)
    try:
        yield Daemon(server, intake, counted)
    finally:
        await server.stop(grace=0.2)
