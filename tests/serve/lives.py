"""One `nvsx serve --mode watch` after the other, each killed -9 at the next point of a journal.

Run as a program: `python -m tests.serve.lives SEED SHARE FOLDER`. A point is the first append of
an event of its kind in its stage or in an incident, the taking of an event, or a takeover; the
seed says whether the process dies right before or right after what makes it is stored. Each point
belongs to one of the SHARES, and is deadly there alone. A life in which nothing deadly happens goes
on until it is told to stop. Points go to FOLDER/points. The daemon's modules are loaded once, and
each life is a fork: it is the real daemon, in a process of its own, that dies by the real signal.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import zlib
from pathlib import Path
from typing import Any

from nvsx.project.home import Home
from nvsx.screens.report.past_reports import ReportView
from nvsx.serve import daemon as _loaded  # noqa: F401 - before the forks, for all of them
from nvsx.serve.serve_options import ServeOptions
from nvsx.serve.service_process import serve
from nvsx.serve.webhook import http_server as _loaded_too  # noqa: F401
from nvsx.store import sqlite_outbox as _loaded_as_well  # noqa: F401
from nvsx.store.sqlite_inbox import SqliteInbox
from nvsx.store.sqlite_incidents import SqliteIncidents
from nvsx.store.sqlite_journal import SqliteJournal

#: A test kills at the points of one: half as many lives, and the halves can run side by side.
SHARES = 2


class Points:
    """The points that were reached so far, in a file that outlives its readers."""

    def __init__(self, file: Path, seed: int, share: int) -> None:
        self._file = file
        self._seed = seed
        self._share = share
        self._seen = set(file.read_text().splitlines()) if file.exists() else set()

    def reach(self, *names: str) -> str:
        """When to die, `before` or `after`, if one of them is new and of our share; else nothing.

        `Start` is of share 1 and `Finish` of share 0: a life of share 0 stores the one and goes
        on, and dies at the other.
        """
        new = [name for name in dict.fromkeys(names) if name not in self._seen]
        if not new:
            return ""
        self._seen.update(new)
        with self._file.open("a") as file:
            file.writelines(f"{name}\n" for name in new)
        # Not `hash`, which differs from process to process.
        ours = [name for name in new if zlib.crc32(name.encode()) % SHARES == self._share]
        if not ours:
            return ""
        return random.Random(f"{self._seed} {ours[0]}").choice(("before", "after"))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _mine(points: Points) -> None:
    """Have this process die at the next new point."""

    def deadly(of: type, method: str, names: Any) -> None:
        real = getattr(of, method)

        async def replaced(self: Any, *args: Any, **options: Any) -> Any:
            when = points.reach(*names(args))
            if when == "before":
                _die()
            result = await real(self, *args, **options)
            if when == "after":
                _die()
            return result

        setattr(of, method, replaced)

    def appended(args: Any) -> list[str]:
        return [f"{type(e).__name__} {getattr(e, 'stage', '')}".strip() for e in args[1]]

    def learnt(args: Any) -> list[str]:
        return [f"incident {type(e).__name__}" for e in args[3]]

    deadly(SqliteJournal, "append", appended)
    deadly(SqliteIncidents, "append", learnt)
    deadly(SqliteJournal, "take_over", lambda _: ["take_over"])
    deadly(SqliteInbox, "take", lambda _: ["take"])


def main(seed: int, share: int, folder: Path) -> int:
    """Live again and again; the exit code of the life that was not killed."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # it is for the life that goes on
    while True:
        child = os.fork()
        if child == 0:
            _mine(Points(folder / "points", seed, share))
            options = ServeOptions(modes=("watch",), port=0)
            asyncio.run(serve(Home(), options, ReportView, lambda _: None))
            os._exit(0)
        (folder / "life").write_text(str(child))
        while True:
            try:
                _, status = os.waitpid(child, 0)
                break
            except InterruptedError:
                continue
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
