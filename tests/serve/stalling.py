"""`nvsx serve` whose runs stall the event loop, with a watchdog that waits for less.

Run as a program: `python -m tests.serve.stalling HOW [option …]`. HOW is `match` (a match of
`re` that never ends and holds the interpreter), `wait` (a wait that lets other threads go on
and that no signal ends), `never` or `held` (C code that works, holds the interpreter and asks for
no signal).
"""

from __future__ import annotations

import ctypes
import itertools
import re
import signal
import sys

from nvsx.commands.main import main
from nvsx.follow import watcher
from nvsx.serve import watchdog

watchdog.SAY_AFTER, watchdog.ACT_AFTER, watchdog.LATER = 1, 3, 1


def stall(how: str) -> None:
    """Stand in the event loop, for longer than any test waits."""
    if how == "match":
        re.match("(a|aa)+$", "a" * 200 + "!")
    elif how == "wait":
        _sleep_in_c()
    else:
        _work_in_c()


def _sleep_in_c() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    ctypes.CDLL(None).sleep(600)


def _work_in_c() -> None:
    sum(itertools.repeat(0))


if __name__ == "__main__":
    how = sys.argv.pop(1)
    if how == "never":  # a process that was stopped has one turn of the timer
        watchdog.SAY_AFTER = 3
    else:
        watcher.look = lambda *_: stall(how)  # type: ignore[assignment]
    sys.argv[0] = "nvsx"
    sys.exit(main())
