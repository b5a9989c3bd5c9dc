"""Who is at a connection's other end: a socket of this machine, owned by the daemon's own user?

The kernel knows the owner of every socket. On Linux its tables of connections name the uid;
elsewhere, and where a uid may stand for several users (a user namespace), a process of this
user must be seen to hold the socket. Whatever cannot be shown is not shown: every doubt ends
in a reason, and the caller needs a token.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from nvsx.serve.webhook.connections import plain_address

_ESTABLISHED = "01"
_EVERY_UID = ["0", "0", "4294967295"]
"""The uid map of a process that is in no user namespace of its own."""

_GONE = "its connection is gone"
_NOT_SEEN = "no process of the daemon's own user is seen to hold the socket at its other end"
_LOOKS = 2
"""The kernel gives its tables page by page, and a row can slip between two pages when a
neighbour goes: a socket that is not found is looked for once more."""


class Side(NamedTuple):
    """One end of a connection: its address in plain form, and its port."""

    address: str
    port: int


class Ends(NamedTuple):
    """A connection as the daemon has it: its own end, and the far one."""

    near: Side
    far: Side


def ends_of(transport: asyncio.BaseTransport | None) -> Ends | None:
    """Both ends; None when the connection is gone.

    Asked of the socket and not of what asyncio remembers: a connection that was reset has no
    peer any more, and its far port may be another program's by now.
    """
    if transport is None:
        return None
    connection = transport.get_extra_info("socket")
    try:
        near, far = connection.getsockname(), connection.getpeername()
        return Ends(Side(plain_address(near[0]), near[1]), Side(plain_address(far[0]), far[1]))
    except (AttributeError, OSError, IndexError):
        return None


_PROCFS = Path("/proc") if sys.platform == "linux" else None


class Keyboard:
    """Answers for one daemon. `procfs` is where the kernel's tables are; None without any."""

    def __init__(self, procfs: Path | None = _PROCFS, uid: int | None = None) -> None:
        self._procfs = procfs
        self._uid = os.geteuid() if uid is None else uid
        # A socket's owner does not change (but for root's fchown), so what was shown once
        # holds for all requests of a connection.
        self._proven: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()
        # One look at a time: strangers who ask often cannot take every thread.
        self._one_look = asyncio.Lock()

    def proof(self, transport: asyncio.BaseTransport | None) -> Callable[[], Awaitable[str]]:
        """What tells, when it is asked, why this connection is not the own user's."""

        async def why_not() -> str:
            before = ends_of(transport)
            if transport is None or before is None:
                return _GONE
            if transport in self._proven:
                return ""
            async with self._one_look:
                reason = await asyncio.to_thread(self.why_not_ours, before)
            # The far port was not given to another program during the look: the daemon's
            # own end is still connected, so what was found is what it is connected to.
            if not reason and ends_of(transport) != before:
                return _GONE
            if not reason:
                self._proven.add(transport)
            return reason

        return why_not

    def why_not_ours(self, ends: Ends) -> str:
        """Why the far end is not shown to be a socket of the daemon's own user; "" when it is.

        The daemon runs as uid 1000; the rows are the kernel's, of sockets on this machine:
          127.0.0.1:50000 → 127.0.0.1:8080 established, uid 1000   ""
          the same row with uid 33 (nginx's, or sshd's for another) "the socket is uid 33's"
          the same row, closed by its program: no inode, uid 0      "no socket … is open"
          no such row: the caller is not on this machine            "no socket … is open"
        """
        if self._procfs is None:
            return "" if self._is_held_by_own_process(ends) else _NOT_SEEN
        try:
            owners = _owners_of_far_end(self._procfs, ends)
            certain = self._uids_are_certain(self._procfs)
        except (OSError, ValueError, IndexError) as error:
            return f"the kernel does not tell whose socket it is ({type(error).__name__})"
        if not owners:
            return "no socket at its other end is open on this machine"
        if strangers := owners - {self._uid}:
            return f"the socket at its other end is uid {min(strangers)}'s, not the daemon's"
        return "" if certain or self._is_held_by_own_process(ends) else _NOT_SEEN

    def _uids_are_certain(self, procfs: Path) -> bool:
        """Whether one number is one user. In a user namespace, uids from outside are seen as
        the overflow uid, and a program outside (a container's port forwarder) as root."""
        if (procfs / "self" / "uid_map").read_text().split() != _EVERY_UID:
            return False
        overflow = (procfs / "sys" / "kernel" / "overflowuid").read_text()
        return self._uid != int(overflow)

    def _is_held_by_own_process(self, ends: Ends) -> bool:
        """Whether a process of this user, all its uids, is seen to have the far socket open."""
        for process in psutil.process_iter():
            try:
                if set(process.uids()) != {self._uid}:
                    continue
                for found in process.net_connections("tcp"):
                    if (
                        found.status == psutil.CONN_ESTABLISHED
                        and _side_of(found.laddr) == ends.far
                        and _side_of(found.raddr) == ends.near
                    ):
                        return True
            except (psutil.Error, OSError):
                continue
        return False


def _owners_of_far_end(procfs: Path, ends: Ends) -> set[int]:
    """The uids of the far sockets that are open and connected to the near end."""
    for _ in range(_LOOKS):
        for table, far, near in _as_in_tables(ends):
            path = procfs / "net" / table
            if table == "tcp6" and not path.exists():  # a machine without IPv6
                continue
            wanted = f" {far} {near} {_ESTABLISHED} ".encode()
            if found := set(_uids_in_rows(wanted, path.read_bytes())):
                return found
    return set()


def _uids_in_rows(wanted: bytes, table: bytes) -> Iterator[int]:
    """The owner in each row that has these words and whose socket a program has open. A busy
    machine has many thousand rows, so they are not split to be looked at."""
    at = table.find(wanted)
    while at >= 0:
        end = table.find(b"\n", at)
        fields = table[table.rfind(b"\n", 0, at) + 1 : end if end >= 0 else None].split()
        uid, inode = int(fields[7]), int(fields[9])
        # A socket its program has closed has no inode, and then uid 0 means nobody.
        if inode:
            yield uid
        at = table.find(wanted, at + 1)


def _side_of(address: tuple[str, int] | tuple[()]) -> Side | None:
    return Side(plain_address(address[0]), address[1]) if address else None


def _as_in_tables(ends: Ends) -> list[tuple[str, str, str]]:
    """(table, far, near) for each way the kernel may write this connection: IPv4 is in the
    table of IPv6 too, mapped, when the socket at that end is for both families."""
    four = ":" not in ends.far.address
    families = [("tcp", False), ("tcp6", True)] if four else [("tcp6", False)]
    return [
        (
            table,
            _as_kernel_writes(ends.far, mapped=mapped),
            _as_kernel_writes(ends.near, mapped=mapped),
        )
        for table, mapped in families
    ]


def _as_kernel_writes(side: Side, *, mapped: bool) -> str:
    """0100007F:1F90 for 127.0.0.1:8080: words of four bytes as this machine reads them."""
    address = f"::ffff:{side.address}" if mapped else side.address
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{side.port:04X}"
