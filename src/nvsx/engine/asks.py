"""What people, or later events, ask of a run from another process: heeded by its owner.

The dispatcher of a daemon and a run by hand both keep `heed` going beside their work. It
decides nothing about which runs are theirs: the caller's function says whether an ask was
done with, and one for a run elsewhere stays where it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from nvsx.core import journal as j
from nvsx.core.errors import NvsxError
from nvsx.core.inbox import Ask, Inbox
from nvsx.core.ports import Clock
from nvsx.engine.context import RunContext
from nvsx.engine.runner import Runner

log = logging.getLogger(__name__)

#: Seconds between two looks for what is asked of runs; and where a ring is heard and nothing
#: is left to do, so that a look without one is a safety net.
UNHEARD, HEARD = 1.0, 5.0


class Wake:
    """When to look for what is asked of runs: `now()`, and every `every` seconds.

    What could not be done yet is looked at every second: a note waits for its run to begin,
    and that rings no bell.
    """

    def __init__(self) -> None:
        self.every = UNHEARD
        self._now = asyncio.Event()

    def now(self) -> None:
        """Look at once. To be called in the loop that looks."""
        self._now.set()

    async def wait(self, clock: Clock, *, left: bool = False) -> None:
        """Return when it is time to look; `left` when something is still to be done."""
        waiting = asyncio.ensure_future(self._now.wait())
        sleeping = asyncio.ensure_future(clock.sleep(UNHEARD if left else self.every))
        try:
            await asyncio.wait({waiting, sleeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            sleeping.cancel()
        self._now.clear()


async def heed(
    inbox: Inbox,
    clock: Clock,
    do: Callable[[Ask], Awaitable[bool]],
    wake: Wake,
) -> None:
    """Do what is asked of runs, when `wake` says to look. Never returns."""
    while True:
        left = True
        try:
            asks = await inbox.asks()
            done = [ask.ask_id for ask in asks if await do(ask)]
            await inbox.asked(done)
            left = len(done) < len(asks)
        except NvsxError as error:
            log.warning("what is asked of runs cannot be read: %s", error)
            await clock.sleep(UNHEARD)
        await wake.wait(clock, left=left)


async def write_note(run: RunContext, ask: Ask, told: set[str]) -> bool:
    """Write a note into the run's record; False when it has not begun, or has ended.

    What an event says is written once: `told` holds the texts that are there.
    """
    if run.state.start is None or run.state.finish is not None:
        return False
    if ask.text in told and not ask.by:
        return True
    told.add(ask.text)
    stage = run.state.current.id if run.state.current else ""
    await run.record(j.NoteMade(stage=stage, text=ask.text, code=ask.code, author=ask.by))
    return True


async def heed_one(inbox: Inbox, runner: Runner, wake: Wake) -> None:
    """`heed` for the one run that `runner` works. Never returns."""
    run = runner.run
    told = {note.text for _, note in run.state.notes}

    async def do(ask: Ask) -> bool:
        if ask.run_id != run.run_id:
            return False
        if ask.kind == "cancel":
            runner.cancel(ask.by, ask.text)
            return True
        return await write_note(run, ask, told)

    await heed(inbox, run.ports.clock, do, wake)
