"""Flies a run: the deck and the run side by side in one loop, from first frame to summary.

`fly` is what `nvsx run` and `nvsx attach` call on a terminal. It owns the terminal while
the deck is up, the signals while the run lasts, and what is printed afterwards. It knows
the run only as a coroutine that shows entries and returns how it finished.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nvsx.core.journal.entries import Finish, Start
from nvsx.core.watches.snapshot import Snapshot
from nvsx.screens.deck.deck_view import DeckView
from nvsx.screens.deck.rows import safe
from nvsx.screens.deck.screen_terminal import Guardian, Handlers, Strays
from nvsx.screens.deck.summary import summary
from nvsx.screens.line_writer import LineWriter
from nvsx.screens.plain import PlainView

if TYPE_CHECKING:  # the ports need pydantic, which a first frame does not wait for
    from nvsx.core.ports import View

PARTING = "The run is kept: `nvsx runs list` shows it."
_SIGNALS = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "SIGHUP"}


class Landing(NamedTuple):
    """How a flight ended.

    `finish` is None when the run was stopped before its end. `stopped_by` is `Ctrl-C`,
    `SIGTERM` or `SIGHUP` when it was asked twice. `left` tells that the reader left first.
    """

    finish: Finish | None
    stopped_by: str = ""
    left: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """The arguments of `fly`."""

    on_cancel: Callable[[str], None] | None
    opening: Start | None
    snapshot: Callable[[], Snapshot | None]
    now: Callable[[], float]
    artifacts: str
    owns_run: bool
    linger: float | None
    verbose: bool


async def fly(  # noqa: PLR0913 - one parameter a wish
    run: Callable[[View], Awaitable[Finish]],
    *,
    on_cancel: Callable[[str], None] | None,
    opening: Start | None = None,
    snapshot: Callable[[], Snapshot | None] = lambda: None,
    now: Callable[[], float] = time.time,
    artifacts: str = "",
    owns_run: bool = True,
    linger: float | None = 5.0,
    verbose: bool = False,
) -> Landing:
    """Run `run(view)` under the deck, on the terminal of standard output.

    `on_cancel(by)` asks the run to end: by `operator` (key c), `Ctrl-C`, `SIGTERM` or
    `SIGHUP`; a second signal stops it at once (the run's coroutine is cancelled). None
    means that this deck only watches. `opening` is shown until the run has begun. With
    `owns_run` False (attach) leaving ends the flight. `linger` seconds after the finish the
    deck leaves by itself; None waits for a key. Raises what `run` raises, after the terminal
    was restored and the summary printed.
    """
    plan = _Plan(
        on_cancel=on_cancel,
        opening=opening,
        snapshot=snapshot,
        now=now,
        artifacts=artifacts,
        owns_run=owns_run,
        linger=linger,
        verbose=verbose,
    )
    return await _Flight(run, plan).go()


class _Flight:
    def __init__(self, run: Callable[[View], Awaitable[Finish]], plan: _Plan) -> None:
        self._start, self._plan = run, plan
        self._view = DeckView(plan.opening, plan.now())
        self._asked: set[str] = set()
        self._stopped_by = ""
        self._left = False
        self._writer: LineWriter | None = None

    async def go(self) -> Landing:
        from nvsx.screens.deck.deck_app import Deck

        loop = asyncio.get_running_loop()
        factory = loop.get_task_factory()
        plan = self._plan
        self._deck = Deck(
            self._view,
            on_command=self._obey_command,
            snapshot=plan.snapshot,
            now=plan.now,
            can_cancel=plan.on_cancel is not None,
            owns_run=plan.owns_run,
        )
        handlers = Handlers()
        self._take_signals(loop)
        try:
            trouble, strays = await self._show_deck(loop, factory)
            handlers.restore()
            self._return_to_terminal(trouble, strays)
            if self._left and not plan.owns_run:
                self._run.cancel()
            return await self._await_end()
        finally:
            self._drop_signals(loop)
            if self._writer is not None:
                self._writer.close()

    async def _show_deck(self, loop: asyncio.AbstractEventLoop, factory: object) -> tuple[str, str]:
        """Deck and run until the deck is gone: what went wrong with it, stray output."""
        from nvsx.screens.deck.driver import DeckDriver

        tty = os.dup(sys.__stdout__.fileno() if sys.__stdout__ else 1)
        guardian = Guardian(tty, PARTING)
        DeckDriver.tty, DeckDriver.guardian = tty, guardian
        strays = Strays()
        try:
            with strays:
                deck = asyncio.ensure_future(self._deck.run_async(mouse=False))
                await asyncio.sleep(0)
                loop.set_task_factory(factory)  # type: ignore[arg-type]
                self._run = asyncio.ensure_future(self._start(self._view))
                self._run.add_done_callback(self._close_deck_soon)
                try:
                    await asyncio.wait({deck})
                except asyncio.CancelledError:
                    self._run.cancel()
                    self._deck.exit()
                    await asyncio.wait({deck}, timeout=5)
                    raise
                finally:
                    error = deck.exception() if deck.done() and not deck.cancelled() else None
                    told = strays.close()
        finally:
            guardian.close()
            os.close(tty)
        found = self._deck.error or error
        return (f"{type(found).__name__}: {found}" if found is not None else ""), told

    def _close_deck_soon(self, run: asyncio.Future[Finish]) -> None:
        """The run is over: the deck stays a little, or not at all after Ctrl-C."""
        linger = self._plan.linger
        if run.cancelled() or run.exception() is not None or self._asked - {"operator"}:
            self._deck.leave_in(0)
        elif linger is not None:
            self._deck.leave_in(linger)
        else:
            self._deck.tell("the run has finished: q leaves")

    # -- what the reader and the system ask ---------------------------------------------

    def _obey_command(self, command: str) -> None:
        if command == "leave":
            self._left = not self._run.done()
            self._deck.exit()
        elif command == "cancel":
            self._cancel_run("operator")
        elif command == "interrupt":
            self._obey_signal("Ctrl-C")

    def _cancel_run(self, by: str) -> None:
        self._asked.add(by)
        if self._plan.on_cancel is not None and not self._run.done():
            self._plan.on_cancel(by)
            self._deck.tell("cancelling: postmortem runs first · Ctrl-C stops at once")

    def _obey_signal(self, by: str) -> None:
        """The first asks the run to end, the second stops it. Watching only ends at once."""
        if self._run.done() or not self._plan.owns_run or self._plan.on_cancel is None:
            self._left = not self._run.done()
            self._deck.exit()
            if not self._plan.owns_run or self._plan.on_cancel is None:
                self._stopped_by = by if by != "Ctrl-C" else ""
                self._run.cancel()
        elif self._asked:
            self._stopped_by = by
            self._run.cancel()
        else:
            self._cancel_run(by)
        if by == "SIGHUP":
            self._deck.exit()

    def _take_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for name, by in _SIGNALS.items():
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(getattr(signal, name), self._obey_signal, by)

    @staticmethod
    def _drop_signals(loop: asyncio.AbstractEventLoop) -> None:
        for name in _SIGNALS:
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.remove_signal_handler(getattr(signal, name))

    # -- afterwards ---------------------------------------------------------------------

    def _return_to_terminal(self, trouble: str, strays: str) -> None:
        """Back on the plain terminal: go on there when the run does."""
        out = sys.__stdout__ or sys.stdout
        self._writer = LineWriter(out.buffer)
        for line in strays.splitlines():
            self._print_line(safe(line))
        if trouble:
            self._print_line(f"the flight deck failed ({trouble}); its log has the details")
        if self._run.done() or not self._plan.owns_run:
            return
        if self._left:
            self._print_summary()
        self._print_line("left the deck; the run goes on (Ctrl-C cancels it)")
        colour = out.isatty() and not os.environ.get("NO_COLOR")
        self._view.land(PlainView(self._writer, colour=colour, verbose=self._plan.verbose))

    async def _await_end(self) -> Landing:
        """Wait for the run, print the summary."""
        try:
            with suppress(asyncio.CancelledError):
                await asyncio.wait({self._run})
            cancelled = self._run.cancelled() or not self._run.done()
            if cancelled and self._stopped_by:
                self._print_line(f"stopped at once by {self._stopped_by}")
            self._print_summary()
            if cancelled:
                return Landing(None, self._stopped_by, self._left)
            return Landing(self._run.result(), "", self._left)
        finally:
            if not self._run.done():
                self._run.cancel()

    def _print_summary(self) -> None:
        for line in summary(self._view.state, self._plan.now(), self._plan.artifacts):
            self._print_line(line)

    def _print_line(self, line: str) -> None:
        if self._writer is not None:
            self._writer.write(line.encode(errors="replace"))
