"""What people, or later events, ask of a run from another process: heeded by its owner.

The dispatcher of a daemon and a run by hand both keep `heed` going beside their work. It
decides nothing about which runs are theirs: the caller's function says whether an ask was
done with, and one for a run elsewhere stays where it is.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from nvsx.core.errors import NvsxError
from nvsx.core.journal import entries as j
from nvsx.core.ports import Clock
from nvsx.core.routing.inbox import Ask, Inbox
from nvsx.follow.run_context import RunContext
from nvsx.follow.runner import Runner

log = logging.getLogger(__name__)

LOOK_EVERY = 0.5
"""Seconds between two looks for what is asked of runs. With the look of a follower elsewhere
(store.journal), whoever asks and follows sees the answer within a second; a look takes less
than a millisecond."""
LOOK_AGAIN = 2.0
"""Seconds after a look that failed: a full disk does not mend in less, and each is logged."""


async def heed(inbox: Inbox, clock: Clock, do: Callable[[Ask], Awaitable[bool]]) -> None:
    """Do what is asked of runs, looking at the store for it. Never returns."""
    while True:
        pause = LOOK_EVERY
        try:
            done = [ask.ask_id for ask in await inbox.asks() if await do(ask)]
            await inbox.asked(done)
        except NvsxError as error:
            log.warning("what is asked of runs cannot be read: %s", error)
            pause = LOOK_AGAIN
        await clock.sleep(pause)


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


async def heed_one(inbox: Inbox, runner: Runner) -> None:
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

    await heed(inbox, run.ports.clock, do)
