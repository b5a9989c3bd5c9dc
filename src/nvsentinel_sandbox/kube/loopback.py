"""TLS on loopback: the certificate every sandbox shows, so that kubectl sends its token.

loopback.pem comes with nvsx, key and all: it proves nothing, and a sandbox's kubeconfig is
the only place that trusts it. Who may do what is decided by the token alone.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import cache
from importlib import resources
from typing import Any

from aiohttp import web

_FILE = resources.files("nvsentinel_sandbox.kube").joinpath("loopback.pem")


@cache
def context() -> ssl.SSLContext:
    """The server's side."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    with resources.as_file(_FILE) as path:
        made.load_cert_chain(path)
    return made


@cache
def certificate() -> str:
    """The certificate in PEM, which is its own authority."""
    _, begin, rest = _FILE.read_text(encoding="utf-8").partition("-----BEGIN CERTIFICATE-----")
    return begin + rest


class Server(web.Server):
    """An aiohttp server that can let go of its connections at once.

    Closing one with TLS waits for the other end's goodbye, half a minute for one that was
    killed (`ssl_shutdown_timeout` of asyncio's create_server).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sockets: dict[Any, asyncio.Transport] = {}

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        # The socket's own transport below TLS: the one above it lets go of it when it is closed
        # twice (Python 3.11), and then nobody else can abort it, or keeps it from the collector.
        tls = getattr(transport, "_ssl_protocol", None)
        self._sockets[handler] = tls._transport if tls is not None else transport  # noqa: SLF001
        super().connection_made(handler, transport)

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        self._sockets.pop(handler, None)
        super().connection_lost(handler, exc)

    async def drop_connections(self) -> None:
        """Abort what is still open, without waiting for anybody."""
        for transport in tuple(self._sockets.values()):
            transport.abort()
        await asyncio.sleep(0)  # asyncio closes the sockets in its next round
