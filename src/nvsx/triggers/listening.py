"""The listening socket of the webhook server: connections, TLS, and a graceful end.

aiohttp reads requests; this adds what it leaves open: a cap on connections, a time limit
for TLS handshakes, and certificates that are loaded again when their files change.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

import msgspec
from aiohttp import web

from nvsx.core.errors import NotReady

log = logging.getLogger("nvsx.webhook")
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)


class TlsFiles(msgspec.Struct, frozen=True):
    """PEM files: the certificate with its chain, and its key."""

    certificate: Path
    key: Path


class Listener:
    """Serves one application on one address."""

    def __init__(
        self,
        app: web.Application,
        *,
        connections: int,
        header_timeout: float,
        tls: TlsFiles | None = None,
    ) -> None:
        self._connections = connections
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
            logger=_quiet(),
        )
        self._server: asyncio.Server | None = None
        self._full_said = False
        self.url = ""

    async def start(self, host: str, port: int) -> None:
        """Raises NotReady when the address cannot be used."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                self._protocol,
                host,
                port,
                ssl=self._tls.context if self._tls else None,
                ssl_handshake_timeout=10.0 if self._tls else None,
                backlog=1024,
            )
        except (OSError, UnicodeError) as exc:
            await self._runner.cleanup()
            reason = getattr(exc, "strerror", None) or str(exc)
            raise NotReady(
                f"nvsx cannot listen on {host}:{port}: {reason}", "choose another --host or --port"
            ) from None
        bound = self._server.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if self._tls else 'http'}://{shown}:{bound}"

    def refuse_connections(self) -> None:
        """Close the socket; connections that are open stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def stop(self) -> None:
        """Close all connections, with a moment for answers under way."""
        self.refuse_connections()
        await self._runner.cleanup()

    def _protocol(self) -> asyncio.BaseProtocol:
        """Called for each accepted connection, before any TLS handshake."""
        if self._tls is not None:
            self._tls.refresh(asyncio.get_running_loop().time())
        server = self._runner.server
        if server is None or len(server.connections) >= self._connections:
            if not self._full_said:
                log.warning("%d connections are open; more are turned away", self._connections)
            self._full_said = True
            return _Full()
        self._full_said = False
        return server()


class _Full(asyncio.Protocol):
    """Says so, and hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(_FULL)
        transport.close()


def _quiet() -> logging.Logger:
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
            self._load()
        except (OSError, ValueError) as exc:
            raise NotReady(
                f"TLS with {files.certificate} and {files.key}: {_reason(exc)}",
                "give a PEM certificate with its chain, and its key without a passphrase",
            ) from None

    def refresh(self, now: float) -> None:
        """Load the files again when they changed, at most once a second. New handshakes use
        them; when they do not fit together, the old ones stay."""
        if now - self._checked < 1.0:
            return
        self._checked = now
        try:
            if self._mark() != self._marks:
                self._load()
                log.info("TLS certificate %s loaded again", self._files.certificate)
        except (OSError, ValueError) as exc:
            log.warning("TLS certificate stays the old one: %s", _reason(exc))

    def _load(self) -> None:
        marks = self._mark()
        for context in self._trial(), self.context:
            context.load_cert_chain(
                self._files.certificate, self._files.key, password=_no_passphrase
            )
        self._marks = marks

    @staticmethod
    def _trial() -> ssl.SSLContext:
        """A half-loaded pair would break the context in use, so it is tried on another."""
        return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def _mark(self) -> tuple[tuple[int, int], ...]:
        paths = (self._files.certificate, self._files.key)
        return tuple((s.st_ino, s.st_mtime_ns) for s in (path.stat() for path in paths))


def _no_passphrase() -> str:
    """Instead of OpenSSL's question on the terminal."""
    raise ValueError("the key has a passphrase")


def _reason(exc: BaseException) -> str:
    return getattr(exc, "strerror", None) or getattr(exc, "reason", None) or str(exc)
