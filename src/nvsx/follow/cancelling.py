"""How far the cancelling of a run has come: one phase, which only goes forward.

Whoever ends a run asks here; the runner reads here whether work stops. It records nothing and
stops nothing itself.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from nvsx.core.journal.entries import CancelAsked

Phase = Literal["working", "cancelled", "postmortem"]


class Cancellation:
    """Whether a run is cancelled, by whom, and whether that still stops anything.

    `working`: nobody asked. `cancelled`: what goes on is stopped, and no stage begins.
    `postmortem`: the last stage runs, whatever came before; an ask stops nothing any more.

    For example: a hook of drain runs; at 10 s a person asks (`cancelled`), and the hook is
    stopped; at 12 s postmortem begins (`postmortem`) and runs to its end; an ask at 15 s is too
    late to stop anything. Had the ask at 15 s been the first, the run would keep its outcome.
    """

    def __init__(self) -> None:
        self.phase: Phase = "working"
        self.asked: CancelAsked | None = None
        self._came = asyncio.Event()

    @property
    def stops_work(self) -> bool:
        """Whether what goes on is to be stopped, and nothing new to begin."""
        return self.phase == "cancelled"

    def ask(self, asked: CancelAsked) -> bool:
        """Cancel the run; the first ask counts. Whether this one was the first."""
        if self.asked is not None:
            return False
        self.asked = asked
        if self.phase == "working":
            self.phase = "cancelled"
            self._came.set()
        return True

    def begin_postmortem(self) -> None:
        """From now on an ask stops nothing."""
        self.phase = "postmortem"

    async def wait(self) -> None:
        """Return once work is to be stopped."""
        await self._came.wait()
