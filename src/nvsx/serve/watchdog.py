"""Sees from outside the event loop that it stands, says where, and ends the process.

A loop that stands serves no node: neither faults nor probes nor signals. Whatever stands may
hold the interpreter, or may not, so three look at it, the later ones for what the earlier
cannot see:

- a timer of the kernel: its signal interrupts Python code, and `re` in the middle of a match;
- a thread, while C code waits with the interpreter free, for a name server or a dead disk;
- a timer of the process's work, while C code holds the interpreter and works. It can only write
  where it stands and end the process by SIGPROF, so the run is not known then.

Each beat of the loop begins the count anew. The first two count their own turns, and the third
counts work, so time in which the whole process was stopped (Ctrl-Z, `docker pause`, a laptop
that slept) is no stall. C code that holds the interpreter and only waits is not seen: for that
there is `/healthz`.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from pathlib import Path

from nvsx.core.working import WORKED_RUN
from nvsx.follow.stalls import StallBook

#: Seconds of silence until it is said: no turn of the loop takes a second, even with 10,000
#: nodes on a busy machine.
SAY_AFTER = 10
#: Seconds until the process ends: a disk or machine that hangs for half a minute comes back.
ACT_AFTER = 60
#: What the thread waits more than the timer, and the timer of work more than both.
LATER = 5
#: Also once a second the loop says that it lives.
BEAT = 1.0
#: The exit code: EX_SOFTWARE. Any but 2 makes the service manager start nvsx again.
EXIT_STALLED = 70
#: Files about earlier stalls that are kept.
KEPT = 10

#: Everything the loop does is called by this.
_CALLS = asyncio.Handle._run.__code__  # noqa: SLF001 - no public name

Say = Callable[[str], None]


class Watchdog:
    """Watches the running loop of the main thread between `start` and `stop`.

    Example: the loop beats last at 0 s. At 10 s the timer rings: it is said, and where it
    stands is written. At 60 s the run is put into the book, and the process exits with 70.
    """

    def __init__(self, book: StallBook, say: Say) -> None:
        self._book = book
        self._say = say
        self._loop = asyncio.get_running_loop()
        self._main = threading.get_ident()
        self._turns = 0  # of the timer, since the last beat
        self._silent = 0  # turns of the thread since the last beat
        self._told = False
        self._ended = threading.Event()
        self._acting = threading.Lock()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        self.dump = book.folder / f"stall-{stamp}-{os.getpid()}.txt"
        self._thread = threading.Thread(
            target=self._watch_from_thread, name="watchdog", daemon=True
        )

    def start(self) -> None:
        """Begin; only the main thread can. Raises OSError when nothing can be written."""
        self._book.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _drop_old(self._book.folder)
        self._file = self.dump.open("w", encoding="utf-8")
        self.dump.chmod(0o600)
        self._before = signal.signal(signal.SIGALRM, self._heed_timer)
        # Written in C, without the interpreter; then the signal does what it does by itself.
        faulthandler.register(signal.SIGPROF, file=self._file, chain=True)
        self._begin_count_anew()
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._next.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGALRM, self._before)
        faulthandler.unregister(signal.SIGPROF)
        self._file.close()
        if self.dump.stat().st_size == 0:
            self.dump.unlink()

    def _begin_count_anew(self) -> None:
        if self._told:
            self._told = False
            self._say(f"the event loop goes on; where it stood is in {self.dump}")
        self._turns = self._silent = 0
        # Turns of a second and not one long wait: a process that was stopped has one at most.
        signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
        signal.setitimer(signal.ITIMER_PROF, ACT_AFTER + 2 * LATER)
        self._next = self._loop.call_later(BEAT, self._begin_count_anew)

    # --- what looks at it -----------------------------------------------------------------

    def _heed_timer(self, *_: object) -> None:
        """The kernel's timer, in the main thread and in the context that stands."""
        self._turns += 1
        if self._turns >= SAY_AFTER:
            self._judge_silence(self._turns, WORKED_RUN.get())

    def _watch_from_thread(self) -> None:
        while not self._ended.wait(1.0):
            self._silent += 1
            if self._silent >= SAY_AFTER + LATER:
                self._judge_silence(self._silent - LATER, self._run_of_handle())

    def _run_of_handle(self) -> str:
        """The run in whose context the loop calls what stands, seen from another thread."""
        frame = sys._current_frames().get(self._main)  # noqa: SLF001 - there is no other way
        while frame is not None:
            if frame.f_code is _CALLS:
                context: Context = frame.f_locals["self"]._context  # noqa: SLF001 - as above
                return context.get(WORKED_RUN, "")
            frame = frame.f_back
        return ""

    def _judge_silence(self, silent: int, run_id: str) -> None:
        """The loop has been silent for so many seconds, in a run or ""."""
        if not self._acting.acquire(blocking=False):
            return
        try:
            whose = f" in run {run_id}" if run_id else ""
            if not self._told:
                self._told = True
                faulthandler.dump_traceback(self._file)
                self._say(
                    f"the event loop stands still for {silent} s{whose}: nothing is served; "
                    f"where it stands is in {self.dump}"
                )
            if silent >= ACT_AFTER:
                self._end_process(silent, whose, run_id)
        finally:
            self._acting.release()

    def _end_process(self, silent: int, whose: str, run_id: str) -> None:
        faulthandler.dump_traceback(self._file)
        if run_id:
            with suppress(OSError):  # a full disk is no reason to stand
                self._book.add(run_id, time.time(), self.dump.name)
        self._say(
            f"the event loop stands still for {silent} s{whose}: nvsx ends with exit code "
            f"{EXIT_STALLED}, to be started again; unfinished runs go on then"
        )
        os._exit(EXIT_STALLED)


def _drop_old(folder: Path) -> None:
    """Keep the newest files that say something."""
    found = sorted(folder.glob("stall-*.txt"), key=lambda f: f.stat().st_mtime, reverse=True)
    said = [f for f in found if f.stat().st_size]
    for file in {*found} - {*said[: KEPT - 1]}:
        file.unlink(missing_ok=True)


@contextmanager
def watched_loop(state_dir: Path, say: Say) -> Iterator[None]:
    """The running loop is watched; `say` must not need a lock or the loop."""
    dog = Watchdog(StallBook(state_dir), say)
    dog.start()
    try:
        yield
    finally:
        dog.stop()
