"""The listening socket of the webhook server: connections, TLS, and a graceful end.

aiohttp reads requests; this adds what it leaves open: places for connections, given before
any TLS handshake, a time limit for that, and certificates that are loaded again when their
files change.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import socket
import ssl
import weakref
from collections.abc import Callable
from pathlib import Path

import msgspec
from aiohttp import web

from nvsx.core.errors import NotReady
from nvsx.serve.webhook.connections import Connections, Guest, Places, peer_group, places_within

log = logging.getLogger("nvsx.webhook")
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)
_BACKLOG = 1024
_AT_ONCE = 64
"""Connections accepted before others get their turn: a flood must not hold the loop."""

_PAUSE = 0.1
"""Seconds without accepting when the process is out of descriptors: what waited longest is
closed by then."""

_QUIET_AFTER = 60.0
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class TlsFiles(msgspec.Struct, frozen=True):
    """PEM files: the certificate with its chain, and its key."""

    certificate: Path
    key: Path


def places_here() -> Places:
    """As many as this process's limit of open files allows."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Places() if soft == resource.RLIM_INFINITY else places_within(soft)


class Listener:
    """Serves one application on one address."""

    def __init__(
        self,
        app: web.Application,
        *,
        places: Places,
        header_timeout: float,
        tls: TlsFiles | None = None,
    ) -> None:
        self._connections = Connections(places)
        self._tls = Tls(tls) if tls else None
        # Bodies are passed on as sent (signatures are over those bytes), so nothing is
        # unpacked. A connection that has no complete request head in time is closed.
        self._runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=header_timeout,
            lingering_time=1.0,
            shutdown_timeout=0.5,
            logger=_make_quiet_logger(),
        )
        self._sockets: list[socket.socket] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._shortage_said = float("-inf")
        self.url = ""

    async def start(self, host: str, port: int) -> None:
        """Raises NotReady when the address cannot be used."""
        await self._runner.setup()
        try:
            self._sockets = await _open_sockets(host, port)
        except (OSError, UnicodeError) as exc:
            await self._runner.cleanup()
            reason = getattr(exc, "strerror", None) or str(exc)
            raise NotReady(
                f"nvsx cannot listen on {host}:{port}: {reason}", "choose another --host or --port"
            ) from None
        for listening in self._sockets:
            self._resume_accepting(listening)
        bound = self._sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if self._tls else 'http'}://{shown}:{bound}"

    def refuse_connections(self) -> None:
        """Close the socket; connections that are open stay."""
        for listening in self._sockets:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        self._sockets = []

    async def stop(self) -> None:
        """Close all connections, with a moment for answers under way."""
        self.refuse_connections()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        await self._runner.cleanup()

    def guest(self, transport: asyncio.BaseTransport | None) -> Guest | None:
        """Who has this connection; None when it is gone or lost its place."""
        found = transport.get_extra_info("socket") if transport is not None else None
        return self._connections.find(found.fileno()) if found is not None else None

    def keep(self, transport: asyncio.BaseTransport | None) -> None:
        """Its caller was let in: the connection keeps its place until it was answered."""
        self._connections.keep(self.guest(transport))

    def release(self, guest: Guest | None) -> None:
        """It was answered; by then its socket's number may be another's."""
        self._connections.release(guest)

    def _resume_accepting(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept_some, listening)

    def _accept_some(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as exc:  # no descriptors, no memory: what is open has to end first
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening)
                self._connections.shed()
                loop.call_later(_PAUSE, self._resume_accepting, listening)
                self._say_once(f"no connection can be accepted now: {exc.strerror}")
                return
            accepted.setblocking(False)
            self._give_place(_AcceptedSocket(accepted), address[0])

    def _give_place(self, connection: _AcceptedSocket, address: str) -> None:
        """Give it a place, before any TLS handshake, or turn it away."""
        before = self._connections.evicted
        admitted = self._connections.admit(connection, peer_group(address))
        if not admitted or self._connections.evicted > before:
            self._say_once(
                f"connections are short ({len(self._connections)} are open, the last from"
                f" {address}): those that wait longest for a request are closed"
            )
        if not admitted:
            connection.turn_away(b"" if self._tls else _FULL)
            return
        task = asyncio.get_running_loop().create_task(self._open_transport(connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        task.add_done_callback(connection.close_unless_opened)
        connection.opening = task

    async def _open_transport(self, connection: _AcceptedSocket) -> None:
        loop = asyncio.get_running_loop()
        if self._tls is not None:
            self._tls.refresh(loop.time())
        transport, _ = await loop.connect_accepted_socket(
            self._new_handler,
            connection.socket,
            ssl=self._tls.context if self._tls else None,
            ssl_handshake_timeout=10.0 if self._tls else None,
        )
        connection.transport = weakref.ref(transport)

    def _new_handler(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        if server is None:
            raise ConnectionAbortedError
        return server()

    def _say_once(self, text: str) -> None:
        """At most once a minute: a flood of connections must not be one of log lines."""
        now = asyncio.get_running_loop().time()
        if now - self._shortage_said >= _QUIET_AFTER:
            self._shortage_said = now
            log.warning("%s", text)


class _AcceptedSocket:
    """An accepted socket, from before its transport exists until it is closed. It keeps
    nothing alive but the socket: what a closed connection had read is free."""

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.opening: asyncio.Task[None] | None = None
        self.transport: Callable[[], asyncio.WriteTransport | None] = _no_transport

    def fileno(self) -> int:
        return self.socket.fileno()

    def abort(self) -> None:
        if transport := self.transport():
            transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    def close_unless_opened(self, opening: asyncio.Task[None]) -> None:
        """It left, speaks no TLS, or was given up before it began."""
        if opening.cancelled() or opening.exception() is not None:
            self.socket.close()

    def turn_away(self, words: bytes) -> None:
        with contextlib.suppress(OSError):
            self.socket.send(words)
        self.socket.close()


def _no_transport() -> None:
    return None


async def _open_sockets(host: str, port: int) -> list[socket.socket]:
    """A listening socket for each address of the host. Raises OSError when there is none."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found):
        try:
            made = socket.create_server(address, family=family, backlog=_BACKLOG)
        except OSError as exc:
            if exc.errno in _NO_SUCH_ADDRESS:  # localhost is ::1 too, where IPv6 may be off
                missing = exc
                continue
            for made in sockets:
                made.close()
            raise
        made.setblocking(False)
        sockets.append(made)
    if not sockets:
        raise missing or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    return sockets


def _make_quiet_logger() -> logging.Logger:
    """aiohttp's own log of broken requests: what strangers send is no error of ours, and
    its tracebacks would fill the disk at their will."""
    logger = logging.getLogger("nvsx.webhook.http")
    logger.setLevel(logging.CRITICAL)
    return logger


class Tls:
    """A server's TLS context. Raises NotReady when the files cannot be used."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._checked = 0.0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._marks: tuple[tuple[int, int], ...] = ()
        try:
            self._load_certificate()
        except (OSError, ValueError) as exc:
            raise NotReady(
                f"TLS with {files.certificate} and {files.key}: {_reason_of(exc)}",
                "give a PEM certificate with its chain, and its key without a passphrase",
            ) from None

    def refresh(self, now: float) -> None:
        """Load the files again when they changed, at most once a second. New handshakes use
        them; when they do not fit together, the old ones stay."""
        if now - self._checked < 1.0:
            return
        self._checked = now
        try:
            if self._mark_files() != self._marks:
                self._load_certificate()
                log.info("TLS certificate %s loaded again", self._files.certificate)
        except (OSError, ValueError) as exc:
            log.warning("TLS certificate stays the old one: %s", _reason_of(exc))

    def _load_certificate(self) -> None:
        marks = self._mark_files()
        for context in self._make_trial_context(), self.context:
            context.load_cert_chain(
                self._files.certificate, self._files.key, password=_refuse_passphrase
            )
        self._marks = marks

    @staticmethod
    def _make_trial_context() -> ssl.SSLContext:
        """A half-loaded pair would break the context in use, so it is tried on another."""
        return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def _mark_files(self) -> tuple[tuple[int, int], ...]:
        paths = (self._files.certificate, self._files.key)
        return tuple((s.st_ino, s.st_mtime_ns) for s in (path.stat() for path in paths))


def _refuse_passphrase() -> str:
    """Instead of OpenSSL's question on the terminal."""
    raise ValueError("the key has a passphrase")


def _reason_of(exc: BaseException) -> str:
    return getattr(exc, "strerror", None) or getattr(exc, "reason", None) or str(exc)
