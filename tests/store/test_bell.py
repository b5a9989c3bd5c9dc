"""The local socket: owners are woken and followers told at once, and nobody depends on it.

Where the socket must be what brings the news, every look without it is put off for an hour.
"""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from nvsx.core.inbox import Ask
from nvsx.core.journal import Entry, Finish, Narrated
from nvsx.core.ports import Lease, NewRun
from nvsx.store import bell, inbox_of, open_store
from nvsx.store.journal import SqliteJournal

RUN = NewRun(runbook="gpu-off-bus", cluster="c1", node="n1")
DONE = Finish(ok=True, status="passed")
HOUR = 3600.0
LIMIT = 30

LISTENER = """
import asyncio, sys
from pathlib import Path
from nvsx.core.ports import NewRun
from nvsx.store import inbox_of, open_store

async def main():
    store = open_store(Path(sys.argv[1]))
    rung = asyncio.Event()
    lease = await store.create(NewRun(runbook="r", cluster="c1", node=sys.argv[2]))
    async with store.listening(rung.set):
        print(lease.run_id, flush=True)
        while True:
            await rung.wait()
            rung.clear()
            print([a.text for a in await inbox_of(store).asks()], flush=True)

asyncio.run(main())
"""


class Elsewhere:
    """Another process that owns a run, listens, and prints what is asked when it is rung."""

    def __init__(self, folder: Path, node: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LISTENER, str(folder), node],
            stdout=subprocess.PIPE,
            text=True,
        )

    async def line(self) -> str:
        """The next line it prints."""
        assert self.process.stdout is not None
        return (await asyncio.to_thread(self.process.stdout.readline)).strip()

    def kill(self) -> None:
        """kill -9."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state folder that is not there yet."""
    return tmp_path / "state"


@pytest.fixture
async def start(folder: Path) -> AsyncIterator[Callable[[], SqliteJournal]]:
    """Opens the store as one more process would."""
    opened: list[SqliteJournal] = []

    def make() -> SqliteJournal:
        opened.append(open_store(folder))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
async def elsewhere(folder: Path) -> AsyncIterator[Callable[[str], Elsewhere]]:
    """Starts other processes."""
    started: list[Elsewhere] = []

    def make(node: str = "n1") -> Elsewhere:
        started.append(Elsewhere(folder, node))
        return started[-1]

    yield make
    for each in started:
        each.kill()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word over the socket, a follower looks once an hour."""
    monkeypatch.setattr(bell, "LOOK", HOUR)
    monkeypatch.setattr(bell, "LOOK_TOLD", HOUR)


def said(text: str) -> Narrated:
    """An event to append."""
    return Narrated(stage="detect", text=text)


def sockets(folder: Path) -> list[Path]:
    """The sockets in a state folder."""
    return sorted((folder / "owners").glob("*.sock"))


async def asked(store: SqliteJournal, run_id: str, text: str) -> None:
    """Ask something of a run, as a command does."""
    await inbox_of(store).ask(Ask(run_id=run_id, kind="note", text=text, by="someone"))


async def until(true: Callable[[], object]) -> None:
    """Let this loop work until something is true of it; the test's own limit ends it."""
    while not true():  # noqa: ASYNC110 - what is looked at has no event
        await asyncio.sleep(0.001)


def drained(caller: socket.socket) -> int:
    """How many bytes were waiting to be read."""
    count = 0
    with suppress(BlockingIOError):
        while some := caller.recv(65536):
            count += len(some)
    return count


@asynccontextmanager
async def calling(path: Path, word: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """Call at a socket and say a word."""
    with bell._address(path) as address:
        reader, writer = await asyncio.open_unix_connection(address)
    writer.write(word)
    try:
        yield reader
    finally:
        writer.transport.abort()


async def all_of(store: SqliteJournal, run_id: str) -> list[Entry]:
    """What a follower gets until the run ends."""
    return [entry async for entry in store.follow(run_id)]


# --- being told ---------------------------------------------------------------------------


async def test_owners_elsewhere_are_woken_by_what_is_asked(
    start: Callable[[], SqliteJournal], elsewhere: Callable[[str], Elsewhere]
) -> None:
    """Two owners in one state folder: both find what was asked, already stored, when rung."""
    store = start()
    async with asyncio.timeout(LIMIT):
        both = [elsewhere("n1"), elsewhere("n2")]
        run_ids = [await each.line() for each in both]
        await asked(store, run_ids[1], "vendor called")
        assert [await each.line() for each in both] == ["['vendor called']"] * 2


@pytest.mark.usefixtures("patient")
async def test_the_end_of_an_owner_is_told(start: Callable[[], SqliteJournal]) -> None:
    """What an owner commits as it stops listening is read at once, though no byte tells of it."""
    owner, reader = start(), start()
    lease = await owner.create(RUN)
    async with asyncio.timeout(LIMIT):
        async with owner.listening(lambda: None):
            await owner.append(lease, [said("x")])
            entries = reader.follow(lease.run_id)
            assert (await anext(entries)).seq == 1
            last = asyncio.ensure_future(anext(entries))
            assert owner._bell is not None
            callers = owner._bell.callers
            await until(lambda: any(caller.run_id for caller in callers))
            owner._bell.committed = lambda _: None  # type: ignore[assignment, method-assign]
            await owner.append(lease, [DONE])
        assert (await last).seq == 2


@pytest.mark.usefixtures("patient")
async def test_a_follower_is_told_of_each_commit(start: Callable[[], SqliteJournal]) -> None:
    """With no look for an hour, a follower elsewhere gets every entry as it is committed."""
    owner, reader = start(), start()
    lease = await owner.create(RUN)
    seen: list[Entry] = []
    async with asyncio.timeout(LIMIT), owner.listening(lambda: None) as heard:
        assert heard
        await owner.append(lease, [said("before")])
        entries = reader.follow(lease.run_id)
        seen.append(await anext(entries))
        for number in range(5):
            await owner.append(lease, [said(str(number))])
            seen.append(await anext(entries))
        await owner.append(lease, [DONE])
        seen += [entry async for entry in entries]
    assert seen == list(await owner.read(lease.run_id))


async def test_followers_are_told_of_their_run_alone(start: Callable[[], SqliteJournal]) -> None:
    """A commit of another run does not wake a follower."""
    owner = start()
    mine = await owner.create(RUN)
    other = await owner.create(NewRun(runbook="r", cluster="c1", node="n2"))
    async with asyncio.timeout(LIMIT), owner.listening(lambda: None):
        [path] = sockets(owner._folder)
        async with (
            calling(path, f"follow {mine.run_id}\n".encode()) as ours,
            calling(path, f"follow {other.run_id}\n".encode()) as theirs,
        ):
            assert [await r.readexactly(1) for r in (ours, theirs)] == [b"\n", b"\n"]
            await owner.append(other, [said("x")])
            assert await theirs.readexactly(1) == b"\n"
        assert await ours.read() == b""


async def test_a_follower_that_does_not_read_costs_nothing(
    start: Callable[[], SqliteJournal],
) -> None:
    """Words to a stuck follower are dropped and not kept; once it reads, it is told again."""
    owner = start()
    lease = await owner.create(RUN)
    many = 20_000
    async with asyncio.timeout(LIMIT), owner.listening(lambda: None):
        [path] = sockets(owner._folder)
        with socket.socket(socket.AF_UNIX) as stuck, bell._address(path) as address:
            stuck.connect(address)
            stuck.sendall(f"follow {lease.run_id}\n".encode())
            assert owner._bell is not None
            callers = owner._bell.callers
            await until(lambda: any(caller.run_id for caller in callers))
            [caller] = callers
            for _ in range(many):
                caller.tell()
            pending = caller._transport
            assert pending is not None
            assert pending.get_write_buffer_size() == 1
            await owner.append(lease, [said("goes on")])
            stuck.setblocking(False)
            assert 0 < drained(stuck) < many
            await until(lambda: not pending.get_write_buffer_size())
            drained(stuck)
            await owner.append(lease, [said("told again")])
            assert await asyncio.get_running_loop().sock_recv(stuck, 1) == b"\n"


# --- doing without ------------------------------------------------------------------------


async def test_a_killed_owner_leaves_a_socket_in_nobodys_way(
    folder: Path, start: Callable[[], SqliteJournal], elsewhere: Callable[[], Elsewhere]
) -> None:
    """After kill -9 asking and following work, the next start removes the socket, and an
    owner that took the run over is rung and followed."""
    first = elsewhere()
    async with asyncio.timeout(LIMIT):
        run_id = await first.line()
        reader = start()
        follower = asyncio.create_task(all_of(reader, run_id))
        first.kill()
        [left] = sockets(folder)
        await asked(reader, run_id, "nobody hears this")
        owner = start()
        assert sockets(folder) == []
        lease = await owner.take_over(run_id)
        rung = asyncio.Event()
        async with owner.listening(rung.set):
            [path] = sockets(folder)
            assert path != left
            await asked(reader, run_id, "heard")
            await rung.wait()
            await owner.append(lease, [said("goes on"), DONE])
            assert [e.seq for e in await follower] == [1, 2]


async def test_a_living_owners_socket_is_left_alone(
    folder: Path, start: Callable[[], SqliteJournal]
) -> None:
    """Whoever starts beside an owner does not remove its socket; the owner does, at its end."""
    owner = start()
    async with owner.listening(lambda: None):
        before = sockets(folder)
        start()
        assert sockets(folder) == before
        assert len(before) == 1
    assert sockets(folder) == []


def _no_socket(path: Path) -> list[socket.socket]:
    path.write_text("no socket", encoding="utf-8")
    return []


def _unreadable(path: Path) -> list[socket.socket]:
    path.symlink_to(path)  # root may read everything, but nobody a loop
    return []


def _silent(path: Path) -> list[socket.socket]:
    mute = socket.socket(socket.AF_UNIX)
    with bell._address(path) as address:
        mute.bind(address)
    mute.listen()
    return [mute]


def _dead(path: Path) -> list[socket.socket]:
    for each in _silent(path):
        each.close()
    return []


@pytest.mark.parametrize("foreign", [_no_socket, _unreadable, _silent, _dead])
async def test_what_stands_in_a_sockets_place_is_ignored(
    foreign: Callable[[Path], list[socket.socket]],
    folder: Path,
    start: Callable[[], SqliteJournal],
) -> None:
    """Not a socket, not to be opened, or nobody of ours behind it: the store is looked at, and
    the owner that cannot listen says so."""
    owner, reader = start(), start()
    lease = await owner.create(RUN)
    held = foreign(folder / "owners" / f"{owner.owner}.sock")
    try:
        async with asyncio.timeout(LIMIT), owner.listening(lambda: None) as heard:
            assert not heard
            await asked(reader, lease.run_id, "not lost")
            assert [a.text for a in await inbox_of(owner).asks()] == ["not lost"]
            following = asyncio.create_task(all_of(reader, lease.run_id))
            await owner.append(lease, [said("x")])
            await owner.append(lease, [DONE])
            assert [e.seq for e in await following] == [1, 2]
    finally:
        for each in held:
            each.close()


# --- who may call -------------------------------------------------------------------------


STRANGER = """
import os, socket, sys
folder, name, word = sys.argv[1:]
os.chdir(folder)
os.setuid(65534)
caller = socket.socket(socket.AF_UNIX)
caller.connect(name)
try:
    caller.sendall(word.encode() + bytes([10]))
    print(caller.recv(10))
except ConnectionError:
    print(b"")
"""


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the system does not name callers")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_a_strangers_process_is_sent_away(start: Callable[[], SqliteJournal]) -> None:
    """Even where the modes let it in, another user's process wakes nobody and is told nothing."""
    owner = start()
    rung: list[bool] = []
    async with asyncio.timeout(LIMIT), owner.listening(lambda: rung.append(True)):
        [path] = sockets(owner._folder)
        path.parent.chmod(0o711)
        path.chmod(0o666)
        for word in ("ring", "follow r-1"):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", STRANGER, str(path.parent), path.name, word),
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await process.communicate()
            assert (process.returncode, output) == (0, b"b''\n")
    assert rung == []


async def test_who_is_not_our_user_nor_root_is_sent_away(
    start: Callable[[], SqliteJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The callers that the system says are another user's are hung up on; root's are not."""
    owner = start()
    rung: list[bool] = []
    async with asyncio.timeout(LIMIT), owner.listening(lambda: rung.append(True)):
        [path] = sockets(owner._folder)
        monkeypatch.setattr(bell, "_user_of", lambda _: os.geteuid() + 1)
        for word in (b"ring\n", b"follow r-1\n"):
            async with calling(path, word) as reader:
                assert await _hung_up(reader)
        assert rung == []
        monkeypatch.setattr(bell, "_user_of", lambda _: 0)
        async with calling(path, b"ring\n") as reader:
            assert await _hung_up(reader)
        assert rung == [True]


@pytest.mark.parametrize("word", [b"what\n", b"follow\n", b"ring twice\n", b"x" * 5000])
async def test_nonsense_is_hung_up_on(start: Callable[[], SqliteJournal], word: bytes) -> None:
    """A caller that says something else, or too much, wakes nobody."""
    owner = start()
    rung: list[bool] = []
    async with asyncio.timeout(LIMIT), owner.listening(lambda: rung.append(True)):
        [path] = sockets(owner._folder)
        async with calling(path, word) as reader:
            assert await _hung_up(reader)
    assert rung == []


async def test_callers_are_bounded(
    start: Callable[[], SqliteJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One caller more than there may be is sent away; when one leaves, there is room again."""
    monkeypatch.setattr(bell, "MOST", 1)
    owner = start()
    async with asyncio.timeout(LIMIT), owner.listening(lambda: None):
        [path] = sockets(owner._folder)
        async with calling(path, b"follow r-1\n") as first:
            assert await first.readexactly(1) == b"\n"
            async with calling(path, b"follow r-1\n") as second:
                assert await _hung_up(second)
        assert owner._bell is not None
        callers = owner._bell.callers
        await until(lambda: not callers)
        async with calling(path, b"follow r-1\n") as third:
            assert await third.readexactly(1) == b"\n"


async def _hung_up(reader: asyncio.StreamReader) -> bool:
    """Whether the other side ended it without a word; a reset says so too."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def test_modes(folder: Path, start: Callable[[], SqliteJournal]) -> None:
    """The socket is 0600 in a folder of 0700, whatever the umask and the folder were."""
    owner = start()
    (folder / "owners").chmod(0o755)
    before = os.umask(0)
    try:
        async with owner.listening(lambda: None):
            [path] = sockets(folder)
            assert stat.S_ISSOCK(path.stat().st_mode)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)


@pytest.mark.skipif(not bell._OPEN_FILES.is_dir(), reason="needs Linux's names for open folders")
@pytest.mark.usefixtures("patient")
async def test_a_state_folder_too_deep_for_a_sockets_name(tmp_path: Path) -> None:
    """In a folder with a path of 300 characters rings and commits are heard all the same."""
    folder = tmp_path.joinpath(*["deep" * 25] * 3)
    owner, reader = open_store(folder), open_store(folder)
    rung = asyncio.Event()
    try:
        lease: Lease = await owner.create(RUN)
        async with asyncio.timeout(LIMIT), owner.listening(rung.set) as heard:
            assert heard
            await asked(reader, lease.run_id, "x")
            await rung.wait()
            following = asyncio.create_task(all_of(reader, lease.run_id))
            await owner.append(lease, [said("x"), DONE])
            assert [e.seq for e in await following] == [1, 2]
        assert sockets(folder) == []
    finally:
        owner.close()
        reader.close()
