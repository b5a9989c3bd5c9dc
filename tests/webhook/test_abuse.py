# ruff: noqa: E501 - one request a line: the table is read by its columns
"""What sockets can do that HTTP clients do not."""

import asyncio
import contextlib
import json
import re

import pytest
from tests.webhook.serving import BEARER, DEADLINE, StillClock, serving

from nvsx.serve.webhook.http_server import HttpLimits

BODY = json.dumps({"runbook": "gpu-off-bus", "dry_run": True}).encode()
TYPE = b"Content-Type: application/json\r\n"
HEAD = b"POST /webhook HTTP/1.1\r\nHost: localhost\r\n" + TYPE
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)


def statuses(answer: bytes) -> list[int]:
    """The status of every response in what came back."""
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


CLOSE = b"Connection: close\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (HEAD + CLOSE + LENGTH + BODY, 200),
        (b"POST http://localhost/webhook HTTP/1.1\r\nHost: localhost\r\n" + TYPE + CLOSE + LENGTH + BODY, 400),
        (b"POST /webhook HTTP/1.1\r\n" + TYPE + CLOSE + LENGTH + BODY, 400),
        (HEAD + b"Host: evil\r\n" + CLOSE + LENGTH + BODY, 400),
        (HEAD + b"Content-Type: text/plain\r\n" + CLOSE + LENGTH + BODY, 400),
        (b"POST /webhook HTTP/1.0\r\nHost: localhost\r\n" + TYPE + LENGTH + BODY, 401),
        (HEAD + CLOSE + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + CLOSE + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
        (HEAD + CLOSE + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + CLOSE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (HEAD + b"X: " + b"a" * 20_000 + b"\r\n" + CLOSE + LENGTH + BODY, 400),
        (HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(1000)) + CLOSE + LENGTH + BODY, 400),
        (b"POST /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n" + CLOSE + LENGTH + BODY, 400),
        (HEAD + b"Bad Header : x\r\n" + CLOSE + LENGTH + BODY, 400),
        (HEAD + b" folded: x\r\n" + CLOSE + LENGTH + BODY, 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 5, 400),
        (b"POST /hooks/..%2fwebhook HTTP/1.1\r\nHost: localhost\r\n" + TYPE + CLOSE + LENGTH + BODY, 404),
        (b"POST /hooks/../webhook HTTP/1.1\r\nHost: localhost\r\n" + TYPE + CLOSE + LENGTH + BODY, 404),
        (b"POST //webhook HTTP/1.1\r\nHost: localhost\r\n" + TYPE + CLOSE + LENGTH + BODY, 404),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n" + CLOSE + b"\r\n", 400),
        (b"TRACE /webhook HTTP/1.1\r\nHost: localhost\r\n" + CLOSE + b"\r\n", 405),
    ],
)  # fmt: skip
async def test_what_is_not_plain_http_is_refused(request_bytes: bytes, status: int) -> None:
    """One answer, no second request smuggled behind the first, and nothing fired."""
    async with serving() as daemon:
        answer = await daemon.raw(request_bytes)
        assert statuses(answer) == [status]
        assert daemon.intake.fired == []
        assert (
            await daemon.post("/webhook", BODY, {"Content-Type": "application/json"})
        ).status == 200


async def test_a_slow_head_is_cut_off() -> None:
    """A connection that trickles its headers is closed when the time is over, not later for
    having sent something."""
    async with serving(limits=HttpLimits(header_timeout=0.5)) as daemon:
        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
        writer.write(b"POST /webhook HTTP/1.1\r\nX: ")
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(DEADLINE):
                while not reader.at_eof():
                    writer.write(b"a")
                    with contextlib.suppress(TimeoutError):
                        assert await asyncio.wait_for(reader.read(1), 0.1) == b""
        writer.close()


@pytest.mark.parametrize(
    "start",
    [
        HEAD + b"Content-Length: 100\r\n\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    ],
)
async def test_a_slow_body_is_cut_off(start: bytes) -> None:
    """408 and the end of the connection, with a length and in chunks without an end."""
    async with serving(limits=HttpLimits(body_timeout=0.3)) as daemon:
        assert statuses(await daemon.raw(start)) == [408]
        assert daemon.server._in_flight == 0


async def test_chunks_without_end_are_too_large() -> None:
    """A body without a length is cut at the limit."""
    async with serving(limits=HttpLimits(body_bytes=10_000)) as daemon:
        chunk = b"1000\r\n" + b"a" * 4096 + b"\r\n"
        answer = await daemon.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 4)
        assert statuses(answer) == [413]
        assert daemon.server._buffered == 0


async def test_a_stranger_is_turned_away_before_the_body_is_read() -> None:
    """Where the body is not signed: 401 at once, though most of the body never comes."""
    async with serving(operator=False) as daemon:
        answer = await daemon.raw(HEAD + b"Content-Length: 1000000\r\n\r\n{")
        assert statuses(answer) == [401]


async def test_all_bodies_together_have_a_limit() -> None:
    """Many large bodies at once meet a 503 instead of using up the memory."""
    async with serving(limits=HttpLimits(buffered_bytes=5000)) as daemon:
        head = HEAD + b"Content-Length: 9000\r\n\r\n" + b"a" * 8000
        answer = await daemon.raw(head)
        assert statuses(answer) == [503]
        assert b"Retry-After" in answer


async def test_pipelined_requests_are_answered_in_order() -> None:
    """A few at once are legal; thousands are read no faster than they are answered."""
    one = HEAD + LENGTH + BODY
    async with serving() as daemon:
        last = HEAD + CLOSE + LENGTH + BODY
        assert statuses(await daemon.raw(one * 2, last)) == [200, 200, 200]
    async with serving(limits=HttpLimits(per_peer=(1.0, 50.0)), clock=StillClock()) as daemon:
        answer = await daemon.raw(one * 500 + last)
        assert statuses(answer) == [200] * 50 + [503] * 451


async def test_a_caller_that_leaves_does_no_harm() -> None:
    """In the middle of the head, of the body, and before the answer."""
    async with serving() as daemon:
        for part in (b"POST /web", HEAD + b"Content-Length: 50\r\n\r\n{", HEAD + LENGTH + BODY):
            _, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
            writer.write(part)
            await writer.drain()
            writer.transport.abort()
        reply = await daemon.post("/webhook", BODY, {"Content-Type": "application/json", **BEARER})
        assert reply.status == 200
