"""`nvsx serve` whose runs stall the event loop, with a watchdog that waits for less.

Run as a program: `python -m tests.serve.stalling HOW [option …]`. HOW is `match` (a match of
`re` that never ends and holds the interpreter), `wait` (a wait that lets other threads go on
and that no signal ends) or `held` (C code that holds the interpreter and asks for no signal).
"""

from __future__ import annotations

import ctypes
import re
import signal
import sys
from typing import Any

from nvsx.commands.main import main
from nvsx.follow import watcher
from nvsx.serve import watchdog

watchdog.SAY_AFTER, watchdog.ACT_AFTER, watchdog.LATER = 1, 3, 1


def stall(how: str) -> None:
    """Stand in the event loop, for longer than any test waits."""
    if how == "match":
        re.match("(a|aa)+$", "a" * 200 + "!")
    elif how == "wait":
        _sleep_in_c(ctypes.CDLL(None))
    else:
        _sleep_in_c(ctypes.PyDLL(None))


def _sleep_in_c(library: Any) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    library.sleep(600)


if __name__ == "__main__":
    how = sys.argv.pop(1)
    watcher.look = lambda *_: stall(how)  # type: ignore[assignment]
    sys.argv[0] = "nvsx"
    sys.exit(main())
