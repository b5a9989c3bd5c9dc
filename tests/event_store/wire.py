"""A scripted MongoDB: speaks just enough of the wire protocol to refuse, to ask for
credentials and to stay silent, over TLS with a client certificate where a test wants it."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import bson

Answer = Callable[[str, dict[str, Any]], dict[str, Any] | None]
"""Command name and body → the reply; None for no reply at all."""

HELLO = {
    "ok": 1,
    "isWritablePrimary": True,
    "maxBsonObjectSize": 16 << 20,
    "maxMessageSizeBytes": 48 << 20,
    "maxWriteBatchSize": 1000,
    "minWireVersion": 0,
    "maxWireVersion": 17,
}
NOTHING = {"ok": 1, "cursor": {"id": 0, "ns": "x.y", "firstBatch": []}}
_OP_MSG, _OP_QUERY = 2013, 2004


class Scripted:
    """`commands` are the names and bodies that came, without the handshake's; `peers` the
    subjects of client certificates."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.peers: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        tls = writer.get_extra_info("ssl_object")
        if tls is not None:
            subject = (tls.getpeercert() or {}).get("subject", ())
            self.peers.append(",".join(value for part in subject for _, value in part))
        try:
            while True:
                head = await reader.readexactly(16)
                length, request, _, opcode = struct.unpack("<iiii", head)
                body = await reader.readexactly(length - 16)
                reply = self._reply(opcode, body)
                if reply is not None:
                    writer.write(_message(opcode, request, reply))
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _reply(self, opcode: int, body: bytes) -> dict[str, Any] | None:
        raw = body[5:] if opcode == _OP_MSG else body[body.index(b"\0", 4) + 9 :]
        command = bson.decode(raw)
        name = next(iter(command))
        if name.lower() in ("hello", "ismaster"):
            mechanisms = ["SCRAM-SHA-256"] if "saslSupportedMechs" in command else None
            return {**HELLO, **({"saslSupportedMechs": mechanisms} if mechanisms else {})}
        if name in ("ping", "endSessions"):
            return {"ok": 1}
        self.commands.append((name, command))
        return self._answer(name, command)


def _message(opcode: int, request: int, reply: dict[str, Any]) -> bytes:
    document = bson.encode(reply)
    if opcode == _OP_QUERY:
        payload, opcode = struct.pack("<iqii", 8, 0, 0, 1) + document, 1
    else:
        payload = struct.pack("<iB", 0, 0) + document
    return struct.pack("<iiii", 16 + len(payload), 1, request, opcode) + payload


@asynccontextmanager
async def scripted(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """A scripted server on a free port of 127.0.0.1."""
    script = Scripted(answer)
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0, ssl=tls)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
