import asyncio
import ssl

from aiohttp import web
from tests.patience import patience

from nvsentinel_sandbox.kube import loopback


async def test_a_connection_that_is_going_is_dropped_too() -> None:
    """Stopping closes the socket of a client that does not answer TLS's goodbye, also where the
    transport above it was closed twice and knows it no more."""
    going = asyncio.Event()

    async def close_twice(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        request.transport.close()
        going.set()
        return web.Response()

    server = loopback.Server(close_twice)
    listening = await asyncio.get_running_loop().create_server(
        server, "127.0.0.1", 0, ssl=loopback.context()
    )
    port = listening.sockets[0].getsockname()[1]
    trust = ssl.create_default_context(cadata=loopback.certificate())
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    writer.transport._ssl_protocol._transport.pause_reading()  # type: ignore[attr-defined]
    try:
        async with asyncio.timeout(patience(10)):
            await going.wait()
        [transport] = server._sockets.values()
        assert transport.get_extra_info("socket").fileno() != -1
        await server.drop_connections()
        assert transport.get_extra_info("socket").fileno() == -1
    finally:
        writer.transport.abort()
        listening.close()
        await server.shutdown()
