"""What all stand-ins share: a server on this machine, what it saw, and how it misbehaves."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)

How = Literal["status", "redirect", "hang", "hang after accept", "reset", "reset after accept"]


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """How one request is treated instead of well. `body` None is what the vendor would write."""

    how: How
    status: int = 0
    retry_after: str = ""
    body: str | None = None
    location: str = ""


def too_many(retry_after: float | str = 1, status: int = 429) -> Misbehaviour:
    return Misbehaviour("status", status, str(retry_after))


def fails(status: int = 503, retry_after: str = "") -> Misbehaviour:
    return Misbehaviour("status", status, retry_after)


def refuses(status: int = 400, body: str | None = None) -> Misbehaviour:
    return Misbehaviour("status", status, body=body)


def redirects(location: str, status: int = 302) -> Misbehaviour:
    return Misbehaviour("redirect", status, location=location)


def hangs() -> Misbehaviour:
    return Misbehaviour("hang")


def hangs_after_accept() -> Misbehaviour:
    return Misbehaviour("hang after accept")


def resets() -> Misbehaviour:
    return Misbehaviour("reset")


def resets_after_accept() -> Misbehaviour:
    return Misbehaviour("reset after accept")


class WrongRequest(Exception):
    """A request that the vendor would not take, in its words."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class RequestShape(BaseModel):
    """A published request: an unknown key or a wrong type is a mistake of ours."""

    model_config = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request, and what it was answered; status 0: no answer."""

    t: float
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    status: int = 0

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Woken:
    """A person's phone rings. `key` is the page's, `text` what the phone shows."""

    t: float
    key: str
    text: str


@dataclass(frozen=True, slots=True)
class ReadText:
    """What a person finds when they look. `where`: thread, ticket or page."""

    t: float
    where: str
    text: str


@dataclass(slots=True)
class _Order:
    what: Misbehaviour
    left: int | None
    path: str


@dataclass
class VendorStandIn:
    """One vendor. Its port stays the same when it goes down and comes up again."""

    limit: tuple[int, float] | None = None
    clock: Callable[[], float] = time.time
    requests: list[SeenRequest] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    woken: list[Woken] = field(default_factory=list)
    read: list[ReadText] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._misbehaving: deque[_Order] = deque()
        self._taken: deque[float] = deque()
        self._closing: asyncio.Event | None = None
        self._runner: web.AppRunner | None = None

    # --- for tests ------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def texts(self) -> list[str]:
        return [one.text for one in self.read]

    @property
    def taken(self) -> int:
        """How many messages were accepted."""
        return len(self._taken)

    def misbehave(self, what: Misbehaviour, times: int | None = 1, path: str = "") -> None:
        """Treat the next `times` requests so (None: all), those whose path has `path` in it."""
        self._misbehaving.append(_Order(what, times, path))

    def behave(self) -> None:
        self._misbehaving.clear()

    def most_within(self, seconds: float) -> int:
        """The largest number of messages that were accepted within so many seconds."""
        times = list(self._taken)
        return max((sum(t <= u < t + seconds for u in times) for t in times), default=0)

    def seen(self, path: str = "", method: str = "") -> list[SeenRequest]:
        return [r for r in self.requests if path in r.path and method in r.method]

    async def go_down(self) -> None:
        """Refuse connections, as a vendor that cannot be reached."""
        if self._closing:
            self._closing.set()
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def come_up(self) -> None:
        self._closing = asyncio.Event()
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def __aenter__(self) -> Self:
        await self.come_up()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.go_down()

    # --- for the vendors ------------------------------------------------------------------

    async def handle(self, request: web.Request, body: bytes) -> web.Response:
        """What the vendor does with a request. Raises WrongRequest."""
        raise NotImplementedError

    def word_error(self, text: str, status: int) -> web.Response:
        """An error as the vendor words it."""
        raise NotImplementedError

    def count_message(self) -> None:
        """A message was accepted; raises the vendor's 429 when there were too many."""
        now = self.clock()
        if self.limit is not None:
            count, seconds = self.limit
            if sum(t > now - seconds for t in self._taken) >= count:
                oldest = next(t for t in self._taken if t > now - seconds)
                raise TooMany(f"{max(1, round(oldest + seconds - now))}")
        self._taken.append(now)

    def wake(self, key: str, text: str) -> None:
        self.woken.append(Woken(self.clock(), key, text))

    def show(self, where: str, text: str) -> None:
        self.read.append(ReadText(self.clock(), where, text))

    def parse(self, shape: type[Model], body: bytes) -> Model:
        """`body` as the published shape. Raises WrongRequest with every mistake."""
        try:
            return shape.model_validate_json(body)
        except ValidationError as exc:
            found = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
            raise WrongRequest("; ".join(found)) from None

    # --- the server -----------------------------------------------------------------------

    def _next_misbehaviour(self, path: str) -> Misbehaviour | None:
        for order in self._misbehaving:
            if order.path in path:
                if order.left is not None:
                    order.left -= 1
                    if order.left <= 0:
                        self._misbehaving.remove(order)
                return order.what
        return None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        at = len(self.requests)
        seen = SeenRequest(
            self.clock(),
            request.method,
            request.path,
            dict(request.query),
            dict(request.headers),
            body,
        )
        self.requests.append(seen)
        response = await self._respond(request, body)
        self.requests[at] = SeenRequest(
            seen.t, seen.method, seen.path, seen.query, seen.headers, body, response.status
        )
        return response

    async def _respond(self, request: web.Request, body: bytes) -> web.StreamResponse:
        bad = self._next_misbehaviour(request.path)
        if bad is None:
            return await self._handle_well(request, body)
        if bad.how.endswith("after accept"):
            await self._handle_well(request, body)
        if bad.how.startswith("reset"):
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        if bad.how.startswith("hang"):
            assert self._closing is not None
            await self._closing.wait()
            return web.Response(status=500)
        if bad.how == "redirect":
            return web.Response(status=bad.status, headers={"Location": bad.location})
        if bad.body is not None:
            response = web.Response(status=bad.status, text=bad.body)
        else:
            response = self.word_error("asked to fail by the test", bad.status)
        if bad.retry_after:
            response.headers["Retry-After"] = bad.retry_after
        return response

    async def _handle_well(self, request: web.Request, body: bytes) -> web.Response:
        try:
            return await self.handle(request, body)
        except TooMany as exc:
            response = self.word_error("rate limit", 429)
            response.headers["Retry-After"] = exc.after
            return response
        except WrongRequest as exc:
            if exc.status in (400, 422):
                self.wrong.append(f"{request.method} {request.path}: {exc.text}")
            return self.word_error(exc.text, exc.status)


class TooMany(Exception):
    """More messages than the vendor takes."""

    def __init__(self, after: str) -> None:
        super().__init__(after)
        self.after = after


class VendorThread:
    """Stand-ins in a thread with a loop of their own, for tests that block theirs."""

    def __init__(self, *vendors: Any) -> None:
        self.vendors = vendors
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stack = AsyncExitStack()

    def call(self, doing: Coroutine[Any, Any, T]) -> T:
        """Do something in their loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(30)

    def __enter__(self) -> Self:
        self._thread.start()
        self.call(self._start_all())
        return self

    async def _start_all(self) -> None:
        for vendor in self.vendors:
            await self._stack.enter_async_context(vendor)

    def __exit__(self, *exc: object) -> None:
        self.call(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
