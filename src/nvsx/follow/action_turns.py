"""Who may act on a node: one action script at a time, across the processes of a state folder.

Runs of one incident work side by side, and only what they do to the node excludes each other.
Whoever wants to act puts down a ticket and waits for the turn; of those that wait the one for the
heavier fault goes first, then whoever came first. Both are locked files: a process that dies gives
them back by dying, and where its script outlived it, the turn names that script, which is waited
for.

    12:00:00 gpu-off-bus acts on n1: it has the turn
    12:00:05 thermal wants to act on n1, 12:00:09 nvlink too: both wait, and say so
    12:00:20 the first action ends: nvlink's fault is the heavier one, and acts
    12:00:31 thermal acts
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO

from nvsx.core.errors import StoreError
from nvsx.core.ports import ActionTurn, ActionWish, Clock, ProcessIdentity
from nvsx.follow.processes.process_groups import find_orphans

#: Seconds between two looks for the turn: actions take minutes.
ASK_EVERY = 1.0
_TURN = "turn"
_TICKET = ".ticket"
#: Tickets sort by name: the heavier comes first, then the earlier.
_MOST_WEIGHT = 99


class FileTurns:
    """Implements core.ports.ActionTurns in a folder that all processes of a project share."""

    def __init__(self, state_dir: Path, cluster: str, clock: Clock) -> None:
        self._folder = state_dir / "turns"
        self._cluster = cluster
        self._clock = clock

    @asynccontextmanager
    async def take(
        self, wish: ActionWish, say_waiting: Callable[[str], Awaitable[None]]
    ) -> AsyncIterator[ActionTurn]:
        """The turn on a node, once nobody else acts there and nobody with a heavier fault waits.

        `say_waiting` hears once for each run that is waited for. Raises StoreError.
        """
        told = set[str]()
        with ExitStack() as held:
            folder, ticket = self._put_ticket(wish, held)
            while True:
                with ExitStack() as look:
                    turn, in_the_way = _ask_for_turn(folder, ticket, wish.run_id, look)
                    if turn is not None:
                        look.callback(turn.clear)
                        yield turn
                        return
                if in_the_way and in_the_way not in told:
                    told.add(in_the_way)
                    await say_waiting(in_the_way)
                await self._clock.sleep(ASK_EVERY)

    def _put_ticket(self, wish: ActionWish, held: ExitStack) -> tuple[Path, str]:
        """A ticket is locked before others can see it: one that is not is a dead process's."""
        name = hashlib.sha256(f"{self._cluster}\0{wish.node}".encode()).hexdigest()[:32]
        folder = self._folder / name
        weight = _MOST_WEIGHT - min(wish.weight, _MOST_WEIGHT)
        ticket = f"{weight:02}-{round(self._clock.now() * 1000):015}-{wish.run_id}{_TICKET}"
        hidden = folder / f".{ticket}.{os.getpid()}"
        with _as_store_errors(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            held.enter_context(_open_locked(hidden))
            hidden.rename(folder / ticket)
        held.callback((folder / ticket).unlink, missing_ok=True)
        return folder, ticket


def _ask_for_turn(
    folder: Path, ticket: str, run_id: str, look: ExitStack
) -> tuple[_Turn | None, str]:
    """The turn, held until `look` ends, or the run that is in the way ("" for nobody known)."""
    path = folder / _TURN
    with _as_store_errors(folder):
        file = look.enter_context(_open_locked(path))
        if file is None:
            return None, _read_turn(path)[0]
        before = _find_earlier_ticket(folder, ticket) or _find_live_action(path, run_id)
        return (None, before) if before else (_Turn(file, run_id), "")


@contextmanager
def _as_store_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be used to wait for other actions: {error.strerror or error}",
            "check the disk and the permissions of the state folder, then try again",
        ) from error


class _Turn:
    """Implements core.ports.ActionTurn; while its file is locked it is this run's."""

    def __init__(self, file: IO[str], run_id: str) -> None:
        self._file = file
        self._run_id = run_id
        self._write_holder({})

    def clear(self) -> None:
        """The action has ended, whatever became of it."""
        self._file.seek(0)
        self._file.truncate()

    def note_process(self, identity: ProcessIdentity) -> None:
        """Name the script, for the case that it outlives this process."""
        self._write_holder({"pid": identity.pid, "started": identity.started})

    def _write_holder(self, process: dict[str, float]) -> None:
        self._file.seek(0)
        self._file.truncate()
        json.dump({"run": self._run_id} | process, self._file)
        self._file.flush()


@contextmanager
def _open_locked(path: Path) -> Iterator[IO[str] | None]:
    """The file, locked by nobody else; None while it is somebody else's."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file


def _find_earlier_ticket(folder: Path, mine: str) -> str:
    """The run that goes first, "" when nobody does. Tickets of the dead are cleared away."""
    for path in sorted(folder.glob(f"*{_TICKET}")):
        if path.name >= mine:
            return ""
        with _open_locked(path) as ticket:
            if ticket is None:
                return path.name.removesuffix(_TICKET).split("-", 2)[2]
            path.unlink(missing_ok=True)
    return ""


def _find_live_action(turn: Path, run_id: str) -> str:
    """The run whose owner died while its script goes on; a run's own script is its own affair."""
    run, process = _read_turn(turn)
    if not run or run == run_id or process is None:
        return ""
    return run if find_orphans(process, "") else ""


def _read_turn(turn: Path) -> tuple[str, ProcessIdentity | None]:
    """Which run acts or acted last, and with which process."""
    try:
        found = json.loads(turn.read_text(encoding="utf-8"))
        process = ProcessIdentity(int(found["pid"]), found["started"]) if "pid" in found else None
        return str(found.get("run", "")), process
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", None  # it was never written, or half of it
