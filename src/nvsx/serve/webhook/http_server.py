"""The webhook server: from HTTP to the intake, and back.

It owns the socket and its limits, and what the paths mean; authentication, decoding and
answers are pure modules beside it. A 202 is sent only after `intake.offer` returned. It
never looks at a runbook or at the cluster, and never logs a header or a body.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from nvsx.core.errors import InvalidRunbook, NvsxError, StoreBusy, UsageError
from nvsx.core.ports import Clock
from nvsx.core.routing.trigger_event import Answer, Intake, TriggerEvent
from nvsx.core.senders.generic import GENERIC
from nvsx.core.senders.http_request import Headers, RawRequest, Refused, unauthorized
from nvsx.core.senders.registry import decode
from nvsx.core.senders.sources import SOURCE_NAME
from nvsx.serve.webhook import http_answers
from nvsx.serve.webhook.auth import Caller, Doorman
from nvsx.serve.webhook.channels import WEBHOOK, Channel
from nvsx.serve.webhook.connections import Places, RateLimit, peer_group
from nvsx.serve.webhook.http_answers import Reply
from nvsx.serve.webhook.http_replies import (
    add_common_headers,
    answer_probe,
    make_response,
    reply_to_wrong_path,
)
from nvsx.serve.webhook.keyboard import Keyboard
from nvsx.serve.webhook.listening import Listener, TlsFiles, places_here

log = logging.getLogger("nvsx.webhook")
_PROBES = ("/healthz", "/readyz", "/metrics")


class HttpLimits(msgspec.Struct, frozen=True):
    """Times in seconds, sizes in bytes, rates as (requests a second, burst).

    `buffered_bytes` is for all bodies being read together, `in_flight` counts requests.
    """

    body_bytes: int = 1024 * 1024
    buffered_bytes: int = 64 * 1024 * 1024
    body_timeout: float = 10.0
    header_timeout: float = 15.0
    offer_timeout: float = 4.0
    places: Places = msgspec.field(default_factory=places_here)
    in_flight: int = 2000
    per_peer: tuple[float, float] = (1000.0, 10_000.0)
    in_all: tuple[float, float] = (2000.0, 20_000.0)


async def _always_ready() -> Mapping[str, str]:
    return {}


class Probes(msgspec.Struct, frozen=True):
    """What the daemon knows and this server only passes on.

    `alive` and `ready` give what is wrong, by name; nothing when all is well. `metrics`
    gives the exposition and its content type. `count` is called with source and outcome of
    every request to a source (outcomes of Answer, and refused, unauthorized, unavailable).
    """

    alive: Callable[[], Mapping[str, str]] = dict
    ready: Callable[[], Awaitable[Mapping[str, str]]] = _always_ready
    metrics: Callable[[], tuple[bytes, str]] | None = None
    count: Callable[[str, str], None] = lambda source, outcome: None  # noqa: ARG005


class WebhookServer:
    """POST /webhook, POST /hooks/<source>, POST /oauth/token, and the daemon's probes; without
    any channel the probes alone."""

    def __init__(
        self,
        intake: Intake,
        channels: Mapping[str, Channel],
        doorman: Doorman,
        clock: Clock,
        *,
        probes: Probes | None = None,
        limits: HttpLimits | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        self._intake = intake
        self._channels = channels
        self._doorman = doorman
        self._clock = clock
        self._probes = probes or Probes()
        self._limits = limits or HttpLimits()
        self._keyboard = Keyboard()
        self._rates = RateLimit(self._limits.per_peer, self._limits.in_all)
        self._buffered = 0
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._offers: set[asyncio.Task[Answer]] = set()
        self._draining = False
        self._listener = Listener(
            self._make_application(),
            places=self._limits.places,
            header_timeout=self._limits.header_timeout,
            tls=tls,
        )

    @property
    def url(self) -> str:
        """Where it listens, once started."""
        return self._listener.url

    def replace_channels(self, channels: Mapping[str, Channel]) -> None:
        """Requests from now on are for these sources; those under way end as they began."""
        self._channels = channels

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one. Raises NotReady when the address is taken or the
        certificate cannot be used."""
        await self._listener.start(host, port)

    async def stop(self, grace: float = 5.0) -> None:
        """Take nothing new, finish what was begun, for at most `grace` seconds."""
        self._draining = True
        self._listener.refuse_connections()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace)
        await self._listener.stop()
        if self._offers:
            await asyncio.wait(self._offers, timeout=grace)

    def _make_application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard_handler])
        app.on_response_prepare.append(add_common_headers)
        app.router.add_get("/healthz", self._answer_healthz)
        app.router.add_get("/readyz", self._answer_readyz)
        app.router.add_get("/metrics", self._answer_metrics)
        if not self._channels:
            return app
        app.router.add_post("/webhook", self._receive_own_request)
        app.router.add_post(f"/hooks/{{source:{SOURCE_NAME}}}", self._receive_hook)
        app.router.add_post("/oauth/token", self._answer_token_request)
        for path in ("/webhook", f"/hooks/{{source:{SOURCE_NAME}}}"):
            app.router.add_route("OPTIONS", path, self._answer_handshake)
        return app

    # --- every request ------------------------------------------------------------------

    @web.middleware
    async def _guard_handler(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Limits around, and errors made answers. Probes are for the kubelet: they pass."""
        probe = request.path in _PROBES
        guest = self._listener.guest(request.transport)
        if not probe and guest is not None and guest.reserved:
            return make_response(
                http_answers.ask_to_come_again("too many connections at once", close=True)
            )
        if not probe and (busy := self._why_busy(request)):
            return make_response(http_answers.ask_to_come_again(busy))
        if probe:
            self._listener.keep(request.transport)
        self._in_flight += 1
        self._idle.clear()
        try:
            if not probe:
                _require_plain(request)
            return await handler(request)
        except Refused as exc:
            return make_response(http_answers.reply_to_refusal(exc))
        except web.HTTPException as exc:
            return make_response(reply_to_wrong_path(exc), exc.headers.get("Allow", ""))
        except ConnectionError:  # the caller is gone
            raise
        except Exception as exc:  # a bug, and the sender may still try again
            traceback = log.isEnabledFor(logging.DEBUG)
            log.error("%s failed: %s", request.path, type(exc).__name__, exc_info=traceback)  # noqa: TRY400
            return make_response(Reply(500, {"status": "error"}, "error"))
        finally:
            self._listener.release(guest)
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    def _why_busy(self, request: web.Request) -> str:
        if self._draining:
            return "nvsx is shutting down"
        if self._in_flight >= self._limits.in_flight:
            return "too many requests at once"
        if not self._rates.take(peer_group(request.remote or ""), self._clock.now()):
            return "too many requests"
        return ""

    # --- sources ------------------------------------------------------------------------

    async def _receive_own_request(self, request: web.Request) -> web.StreamResponse:
        return await self._receive_and_log(request, WEBHOOK)

    async def _receive_hook(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["source"]
        return await self._receive_and_log(request, name if name != WEBHOOK else "")

    async def _receive_and_log(self, request: web.Request, name: str) -> web.StreamResponse:
        """One request to one source. Names are looked up only for those let in."""
        channel = self._channels.get(name)
        peer = request.remote or ""
        try:
            reply = await self._take_request(request, channel)
        except Refused as exc:
            reply = http_answers.reply_to_refusal(exc)
            log.info("%s: %s from %s: %s", name or "?", exc.status, peer, exc.message)
        else:
            told = ": ".join(filter(None, (reply.outcome, str(reply.body.get("reason", "")))))
            log.info("%s: %s from %s: %s", name, reply.status, peer, told)
        self._probes.count(name if channel else "unknown", reply.outcome)
        return make_response(reply)

    async def _take_request(self, request: web.Request, channel: Channel | None) -> Reply:
        headers = Headers(request.headers.items())
        now = self._clock.now()
        caller = Caller(
            request.remote or "",
            (request.version.major, request.version.minor),
            self._keyboard.proof(request.transport),
        )
        if channel is None:
            await self._doorman.admit(RawRequest(body=b"", headers=headers), caller, GENERIC, now)
            raise Refused(404, "there is no such source", "nvsx.yaml names them: serve.sources")
        self._require_size(request)
        if not channel.gate.needs_body:
            await self._admit_caller(channel, RawRequest(body=b"", headers=headers), caller, now)
            self._listener.keep(request.transport)
        body = await self._read_body(request)
        raw = RawRequest(body=body, headers=headers, received=now)
        if channel.gate.needs_body:
            await self._admit_caller(channel, raw, caller, now)
            self._listener.keep(request.transport)
        events = decode(raw, channel.setup)
        return await self._offer_events(events, strict=channel.setup.reads_answers)

    async def _admit_caller(
        self, channel: Channel, raw: RawRequest, caller: Caller, now: float
    ) -> None:
        try:
            await channel.gate.admit(raw, caller, now)
        except Refused as exc:  # two Authorization headers are a 401 as well
            raise unauthorized(exc.message) from None

    def _require_size(self, request: web.Request) -> None:
        if (request.content_length or 0) > self._limits.body_bytes:
            raise self._refuse_too_large()
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Refused(415, "send the body as it is, without Content-Encoding")

    def _refuse_too_large(self) -> Refused:
        return Refused(413, f"the body is larger than {self._limits.body_bytes} bytes")

    async def _read_body(self, request: web.Request) -> bytes:
        """The body as sent. Raises Refused (400, 408, 413, 503)."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_timeout):
                async for chunk in request.content.iter_any():
                    body += chunk
                    self._buffered += len(chunk)
                    if len(body) > self._limits.body_bytes:
                        raise self._refuse_too_large()
                    if self._buffered > self._limits.buffered_bytes:
                        raise Refused(503, "too many bodies at once")
        except TimeoutError:
            raise Refused(408, "the body did not come in time") from None
        except (web.RequestPayloadError, HttpProcessingError, ValueError):
            raise Refused(400, "the body is not framed as HTTP says") from None
        finally:
            self._buffered -= len(body)
        return bytes(body)

    # --- the intake ---------------------------------------------------------------------

    async def _offer_events(self, events: Sequence[TriggerEvent], *, strict: bool) -> Reply:
        """Offer all, in order; answer when the last has been decided. When one could not be
        stored the sender repeats them all, and those that were are duplicates then.

        A slow intake is not interrupted: what it was offered it finishes.
        """
        tasks = [asyncio.create_task(self._intake.offer(event)) for event in events]
        if not tasks:
            return http_answers.reply_to_answers([])
        self._offers.update(tasks)
        for task in tasks:
            task.add_done_callback(self._offers.discard)
            task.add_done_callback(_retrieve_failure)
        _, pending = await asyncio.wait(tasks, timeout=self._limits.offer_timeout)
        if pending:
            return http_answers.ask_to_come_again("it could not be stored in time")
        failures = [exc for task in tasks if (exc := task.exception()) is not None]
        for exc in failures:
            if not isinstance(exc, UsageError):
                text = (
                    " ".join(str(exc).split()) if isinstance(exc, NvsxError) else type(exc).__name__
                )
                log.error("an event could not be stored: %s", text)
                # Why it is busy, without the addresses and paths that are in the hint.
                why = f": {exc.message}" if isinstance(exc, StoreBusy) else ""
                return http_answers.ask_to_come_again(f"it cannot be stored now{why}")
        if strict and failures:
            raise _refuse_unknown(failures[0])
        answers = [_outcome_of(task) for task in tasks]
        wrong = next((a for a in answers if a.status), None) if strict else None
        if wrong is not None:  # stored and explained all the same
            raise Refused(wrong.status, wrong.reason, _hint_at_event(wrong))
        return http_answers.reply_to_answers(answers)

    # --- the rest -----------------------------------------------------------------------

    async def _answer_token_request(self, request: web.Request) -> web.StreamResponse:
        endpoint = self._doorman.endpoint
        if endpoint is None:
            raise Refused(404, "there is no token endpoint", "serve.oauth in nvsx.yaml makes one")
        self._require_size(request)
        body = await self._read_body(request)
        now = self._clock.now()
        headers = Headers(request.headers.items())
        status, answer = endpoint.answer(RawRequest(body=body, headers=headers), now)
        if status == 401:
            log.info("token endpoint: client not known, from %s", request.remote)
        extra = {"WWW-Authenticate": "Basic"} if status == 401 else {}
        return make_response(Reply(status, answer, "token", extra))

    async def _answer_handshake(self, request: web.Request) -> web.StreamResponse:
        """CloudEvents' handshake (http-webhook.md section 4): may this origin send here?
        Saying yes lets nobody in: the request itself is what has to be authentic."""
        origin = request.headers.get("WebHook-Request-Origin", "")
        headers = {"Allow": "POST, OPTIONS"}
        if re.fullmatch(r"[A-Za-z0-9.-]{1,253}", origin):
            headers["WebHook-Allowed-Origin"] = origin
            headers["WebHook-Allowed-Rate"] = str(int(self._limits.per_peer[0] * 60))
        return web.Response(status=200, headers=headers)

    async def _answer_healthz(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002
        return answer_probe(self._probes.alive(), "alive")

    async def _answer_readyz(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002
        problems = dict(await self._probes.ready())
        if self._draining:
            problems["serve"] = "shutting down"
        return answer_probe(problems, "ready")

    async def _answer_metrics(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002
        if self._probes.metrics is None:
            raise web.HTTPNotFound
        exposition, content_type = self._probes.metrics()
        return web.Response(body=exposition, headers={"Content-Type": content_type})


def _require_plain(request: web.Request) -> None:
    """One Host, and a path as the target: what is ambiguous could mean another place to
    whoever passed it on."""
    if not request.raw_path.startswith("/"):
        raise Refused(400, "the request's target is no path")
    hosts = request.headers.getall("Host", [])
    if len(hosts) > 1 or (not hosts and request.version >= (1, 1)):
        raise Refused(400, "there has to be one Host header")


def _refuse_unknown(exc: BaseException) -> Refused:
    message = exc.message if isinstance(exc, NvsxError) else ""
    hint = exc.hint if isinstance(exc, NvsxError) else ""
    return Refused(422 if isinstance(exc, InvalidRunbook) else 404, message, hint)


def _hint_at_event(answer: Answer) -> str:
    return f"nvsx explain {answer.event_id}" if answer.event_id else ""


def _outcome_of(task: asyncio.Task[Answer]) -> Answer:
    """What became of one event; a runbook that does not exist is no reason to refuse a
    sender that cannot do anything about it."""
    exc = task.exception()
    if isinstance(exc, NvsxError):
        return Answer(outcome="ignored", reason=exc.message)
    return task.result()


def _retrieve_failure(task: asyncio.Task[Answer]) -> None:
    """A failure after the answer was given must not become a warning about a lost one."""
    if not task.cancelled():
        task.exception()
