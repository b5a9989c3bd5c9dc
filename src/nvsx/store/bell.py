"""The local socket: a process that works runs is woken, and tells of what it commits, at once.

The store is the truth and nobody needs the socket: what is asked is stored before the bell
is rung, and what is followed is read from the store. A ring or a word that is lost costs the
seconds until the next look, nothing else. Each owner listens on a socket of its own beside
its lock file (0600, folder 0700); the name is never used again, so a killed owner's socket
is in nobody's way, and who makes the next Owner removes it (store.owner).

A caller sends one line. `ring`: something is asked. `follow RUN`: it gets one byte, and
another after each commit of that run; never a second one while the first is unsent.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)

LOOK = 0.1
"""Seconds between two looks of a follower whom nobody tells."""
LOOK_TOLD = 5.0
"""The same for one who is told: a safety net."""
GULP = 0.02
"""Seconds a follower leaves between two reads, so that a run that writes without pause is
read in gulps and not entry by entry."""
MOST = 256
"""Callers at once; more are sent away, and look for themselves."""

# Sun's limit of 1982: macOS takes 103 bytes and a zero, Linux 107.
_LONGEST = 103
_LINE = 128
_SUFFIX = ".sock"
_OPEN_FILES = Path("/proc/self/fd")
_PEER = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid


class Bell:
    """An owner's end. To be used in its loop, but for `committed`."""

    def __init__(self, rung: Callable[[], None]) -> None:
        self.callers: set[_Caller] = set()
        self.rung = rung
        self._loop = asyncio.get_running_loop()

    def committed(self, run_ids: Callable[[], Collection[str]]) -> None:
        """Tell the followers of these runs, from any thread. Costs nothing without callers."""
        if self.callers:
            with suppress(RuntimeError):  # the loop is closed: nobody follows any more
                self._loop.call_soon_threadsafe(self._tell, run_ids())

    def _tell(self, run_ids: Collection[str]) -> None:
        for caller in self.callers:
            if caller.run_id in run_ids:
                caller.tell()


@asynccontextmanager
async def listening(folder: Path, name: str, rung: Callable[[], None]) -> AsyncIterator[Bell]:
    """Listen as the owner `name`, which holds its lock in `folder`. Raises OSError."""
    bell, path = Bell(rung), folder / f"{name}{_SUFFIX}"
    folder.chmod(0o700)
    with ExitStack() as made:
        address = made.enter_context(_address(path))
        door = made.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        door.bind(address)
        made.callback(path.unlink, missing_ok=True)
        Path(address).chmod(0o600)  # nobody can call before it listens
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: _Caller(bell), sock=door)
        try:
            yield bell
        finally:
            server.close()
            for caller in tuple(bell.callers):
                caller.leave()


def ring(folder: Path, but: str = "") -> None:
    """Wake every owner that listens in `folder`, `but` one. Waits for nobody, never fails."""
    for path in folder.glob(f"*{_SUFFIX}"):
        if path.stem == but:
            continue
        with (
            suppress(OSError),  # killed, going, or not ours: it looks by itself, if it lives
            _address(path) as address,
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller,
        ):
            caller.setblocking(False)
            caller.connect(address)
            caller.send(b"ring\n")


class Ear:
    """A follower's end: `wait` for a commit of the run. To be closed."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self._folder = folder
        self._run_id = run_id
        self._owner = ""
        self._told = False
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def wait(self, owner: str) -> None:
        """Return when `owner`, who has the run, tells of a commit; after LOOK or LOOK_TOLD.

        It tells once in the beginning too: what was committed before it knew of us is read
        then.
        """
        await asyncio.sleep(GULP)
        if owner != self._owner:
            self.close()
        if self._reader is None:
            await self._call(owner)
        if self._reader is None:
            await asyncio.sleep(LOOK)
            return
        word = b""
        try:
            async with asyncio.timeout(LOOK_TOLD if self._told else LOOK):
                word = await self._reader.read(4096)
        except TimeoutError:
            return
        except OSError:
            pass  # as good as the end of the stream
        if word:
            self._told = True
            return
        ended = self._told
        self.close()
        if not ended:  # else it went with its last commit, which is there to be read
            await asyncio.sleep(LOOK)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None
        self._told = False

    async def _call(self, owner: str) -> None:
        self._owner = owner
        path = self._folder / f"{owner}{_SUFFIX}"
        with suppress(OSError):
            with _address(path) as address:
                self._reader, self._writer = await asyncio.open_unix_connection(address)
            self._writer.write(f"follow {self._run_id}\n".encode())


class _Caller(asyncio.Protocol):
    """Whoever has called, until it leaves."""

    run_id = ""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._said = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - as a stream's is
        if len(self._bell.callers) >= MOST or not _is_ours(transport.get_extra_info("socket")):
            transport.abort()
            return
        self._transport = transport
        self._bell.callers.add(self)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self.run_id:
            return
        self._said += data[:_LINE]
        line, ended, _ = self._said.partition(b"\n")
        match line.decode(errors="replace").split(" "):
            case ["ring"] if ended:
                self._bell.rung()
                self.leave()
            case ["follow", run_id] if ended:
                self.run_id = run_id
                self.tell()
            case _ if ended or len(self._said) >= _LINE:
                self.leave()

    def tell(self) -> None:
        """One byte, unless one is still on its way: a caller that does not read costs nothing."""
        if self._transport is not None and not self._transport.get_write_buffer_size():
            self._transport.write(b"\n")

    def leave(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        self._transport = None
        self._bell.callers.discard(self)


def _is_ours(caller: socket.socket) -> bool:
    """Whether the process at the other end is of our user, or of root, who may anyway: the
    operator of a daemon that has a user of its own. Where the system does not say, the
    folder's mode is what keeps others out."""
    uid = _user_of(caller)
    if uid in (None, os.geteuid(), 0):
        return True
    log.warning("a process of user %d called on the local socket and was sent away", uid)
    return False


def _user_of(caller: socket.socket) -> int | None:
    """The user at the other end; None where the system does not say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    said = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    uid: int = _PEER.unpack(said)[1]
    return uid


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """A name for a socket's path that is short enough for a socket, as long as this lasts.

    A folder that is too deep is named by its descriptor, where the system can (Linux):
    nothing is made elsewhere that a killed process would leave behind. Raises OSError.
    """
    if len(os.fsencode(path)) <= _LONGEST or not _OPEN_FILES.is_dir():
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield str(_OPEN_FILES / str(folder) / path.name)
    finally:
        os.close(folder)
