import asyncio

from aiohttp import web

from nvsentinel_sandbox.kube.loopback import Server


class Gone(asyncio.Transport):
    """What Python 3.11 leaves of a TLS transport that was closed twice."""

    def abort(self) -> None:
        raise AttributeError("'NoneType' object has no attribute '_abort'")


class Open(asyncio.Transport):
    aborted = False

    def abort(self) -> None:
        self.aborted = True


async def _answer(_request: web.BaseRequest) -> web.Response:
    return web.Response()


async def test_a_connection_that_is_going_does_not_keep_others() -> None:
    """Stopping lets go of every connection, beside one that can no longer be aborted."""
    server = Server(_answer)
    gone, still_open = Gone(), Open()
    for transport in (gone, still_open):
        server._transports.add(transport)
    await server.drop_connections()
    assert still_open.aborted
