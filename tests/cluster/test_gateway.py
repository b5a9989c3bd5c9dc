from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.cluster.conftest import Tls
from tests.cluster.scripted import TinyServer
from tests.patience import patience

from nvsx import __version__
from nvsx.cluster import api_answers
from nvsx.cluster.gateway import DirectGateway, Gateway, InClusterGateway
from nvsx.core.errors import (
    ClusterError,
    Forbidden,
    Gone,
    NotFound,
    Unauthorized,
    Unreachable,
)


class Echo:
    """A server that answers with the request's headers."""

    def __init__(self) -> None:
        self.runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        self.tokens: list[str] = []
        self.agents: set[str] = set()

    async def start(self, tls: Tls | None = None) -> int:
        await self.runner.setup()
        context = tls.server() if tls else None
        await web.TCPSite(self.runner, "127.0.0.1", 0, ssl_context=context).start()
        return int(self.runner.addresses[0][1])

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        self.tokens.append(request.headers.get("Authorization", ""))
        self.agents.add(request.headers["User-Agent"])
        return web.json_response({"path": request.path})


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    """Stopped at the end."""
    made = Echo()
    yield made
    await made.runner.cleanup()


def test_a_gateway_cannot_write() -> None:
    """No gateway has a method that sends anything but GET."""
    public = {n for n in dir(DirectGateway) if not n.startswith("_")}
    assert public == {"name", "start", "close", "get", "read_json", "stream", "clock_ahead"}
    assert {n for n in dir(Gateway) if not n.startswith("_")} == public


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, {"message": "Unauthorized"}, Unauthorized, "does not accept these credentials"),
        (403, {"message": 'nodes is forbidden: User "x"'}, Forbidden, "forbids reading /p: nodes"),
        (404, {"message": "not found"}, NotFound, "has no /p"),
        (410, {"reason": "Expired"}, Gone, "no longer has that version"),
        (500, {"reason": "Expired"}, Gone, "no longer"),
        (504, {"message": "Too large resource version"}, Gone, "no longer"),
        (429, {"message": "busy"}, api_answers.Throttled, "asks to wait"),
        (503, {"message": "starting"}, Unreachable, "answered 503"),
        (400, {"message": "bad selector"}, ClusterError, "answered 400 to /p: bad selector"),
    ],
)
def test_every_refusal_is_one_clear_error(
    status: int, body: dict[str, str], kind: type[ClusterError], words: str
) -> None:
    """A Status becomes the one error that fits it, with its words."""
    error = api_answers.error_of_answer(
        "c1", "/p", status, json.dumps({"kind": "Status", **body}).encode()
    )
    assert type(error) is kind
    assert words in error.message
    assert "c1" in error.message


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (403, b"Forbidden\n", Forbidden, "does not let /p through"),
        (500, b"dial tcp 10.0.0.1:443: i/o timeout", Unreachable, "i/o timeout"),
        (
            500,
            b"getting credentials: exec: executable aws failed with exit code 255",
            Unauthorized,
            "exit code 255",
        ),
        (
            502,
            b"<html><h1>502 Bad\x1b[31m Gateway</h1></html>",
            Unreachable,
            "502 Bad [31m Gateway",
        ),
        (500, b"", Unreachable, "status 500"),
        (503, b"x" * 5000, Unreachable, "…"),
    ],
)
def test_refusals_in_plain_text(
    status: int, body: bytes, kind: type[ClusterError], words: str
) -> None:
    """kubectl's proxy and load balancers speak text: it is cleaned, shortened and understood."""
    error = api_answers.error_of_answer("c1", "/p", status, body)
    assert type(error) is kind
    assert words in error.message
    assert len(error.message) < 400
    assert error.message.isprintable()


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("", 1.0), ("soon", 1.0)])
def test_retry_after_is_honoured(header: str, seconds: float) -> None:
    """The seconds a server asks for, or one."""
    error = api_answers.error_of_answer("c1", "/p", 429, b"{}", header)
    assert isinstance(error, api_answers.Throttled)
    assert error.retry_after == seconds


async def test_nobody_there(unused_tcp_port: int) -> None:
    """A refused connection is Unreachable, says so, and trying again can help."""
    gateway = DirectGateway(f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(Unreachable, match="cannot be reached: Connect") as caught:
        await gateway.get("/version")
    assert caught.value.retryable
    assert "sandbox" in caught.value.hint
    with pytest.raises(Unreachable):
        async with gateway.stream("/api/v1/nodes"):
            pass
    await gateway.close()


async def test_a_pod_reads_its_token_each_time(echo: Echo, tls: Tls, tmp_path: Path) -> None:
    """A rotated token is used by the next request; the CA is checked."""
    port = await echo.start(tls)
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_bytes(tls.certificate.read_bytes())
    environ = {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(port),
        "NVSX_SERVICE_ACCOUNT_DIR": str(tmp_path),
    }
    gateway = InClusterGateway(environ)
    await gateway.start()
    assert json.loads(await gateway.get("/a")) == {"path": "/a"}
    (tmp_path / "token").write_text("second")
    await gateway.get("/b")
    assert echo.tokens == ["Bearer first", "Bearer second"]
    assert echo.agents == {f"nvsx/{__version__}"}
    (tmp_path / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\nnone\n")
    with pytest.raises(Unauthorized, match=r"ca\.crt cannot be used"):
        await gateway.get("/c")
    (tmp_path / "token").unlink()
    with pytest.raises(Unauthorized, match="token cannot be read"):
        await gateway.get("/d")
    await gateway.close()


async def test_a_stream_ends_with_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that is silent beyond the timeoutSeconds it was asked for is given up, idle or not."""
    monkeypatch.setattr("nvsx.cluster.gateway.STREAM_MARGIN", 0.2)
    server = TinyServer()
    await server.start()
    gateway = DirectGateway(server.url)
    asked = {"watch": "true", "resourceVersion": "1", "timeoutSeconds": "0"}

    async def read() -> None:
        async with gateway.stream("/api/v1/nodes", asked, idle=None) as chunks:
            async for _ in chunks:
                pass

    with pytest.raises(api_answers.Broken, match="sent nothing in time"):
        await asyncio.wait_for(read(), patience(5))
    await gateway.close()
    await server.stop()


async def test_a_closed_gateway_stays_closed(echo: Echo) -> None:
    """A read after close is refused instead of opening connections nobody closes."""
    gateway = DirectGateway(f"http://127.0.0.1:{await echo.start()}")
    assert await gateway.get("/a")
    await gateway.close()
    await gateway.close()
    with pytest.raises(ClusterError, match="was closed"):
        await gateway.get("/a")


async def test_outside_a_pod_the_pods_gateway_says_so() -> None:
    """Without the service's address there is one clear message."""
    with pytest.raises(ClusterError, match="not a pod"):
        await InClusterGateway({}).start()
