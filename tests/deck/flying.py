"""A program that flies the deck over a scripted run; the terminal tests drive it in tmux.

Usage, from the root: python -m tests.deck.flying STORY [SECONDS]. The story is shown at
once, then the run lasts that many seconds and writes a line of output every tenth of one.
Asked to cancel, it ends after a short postmortem, as a run does. The last line printed
says how it landed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from tests.deck import journals

from nvsx.core.errors import StoreError
from nvsx.core.journal import entries as j
from nvsx.core.ports import View
from nvsx.screens.deck.flight import fly
from nvsx.screens.deck.scene import Scene


class Scripted:
    """A run without an engine: a story, a stream of output, a cancel that is obeyed."""

    def __init__(self, name: str, seconds: float) -> None:
        self._story = journals.STORIES[name]()
        self._seconds = seconds
        self._asked = asyncio.Event()
        self.by = ""

    def cancel(self, by: str) -> None:
        self.by = by
        self._asked.set()

    async def run(self, view: View) -> j.Finish:
        shift = time.time() - self._story.at
        story = self._story
        for entry in story.entries:
            view.show(j.Entry(entry.run_id, entry.seq, entry.t + shift, entry.body))
        story.at = time.time()
        shown = len(story.entries)
        until = time.monotonic() + self._seconds
        ticks = 0
        while time.monotonic() < until and not self._asked.is_set():
            story.at = time.time()
            story.say(j.Output("drain", "hook", "stdout", f"tick {ticks}"))
            if ticks == 3:
                os.write(2, b"a stray line\n")
            ticks += 1
            shown = self._show(view, shown)
            await asyncio.sleep(0.1)
        if told := os.environ.get("TICKS_FILE"):
            Path(told).write_text(f"{ticks}")
        if os.environ.get("BREAK_RUN"):
            raise StoreError("the disk is full")
        if self._asked.is_set():
            story.say(j.CancelAsked(self.by, "asked at the terminal"))
            shown = self._show(view, shown)
            await asyncio.sleep(float(os.environ.get("POSTMORTEM_S", "0.5")))
            finish = j.Finish(ok=False, status="cancelled", total_s=9.0, exit_code=130)
        else:
            finish = j.Finish(ok=True, status="passed", total_s=9.0)
        story.say(finish)
        self._show(view, shown)
        return finish

    def _show(self, view: View, shown: int) -> int:
        for entry in self._story.entries[shown:]:
            view.show(entry)
        return len(self._story.entries)


def break_soon() -> None:
    """Make the deck raise at its twentieth frame."""
    frames = iter(range(20))

    def broken(*_: object) -> None:
        if next(frames, None) is None:
            raise KeyError("drawn wrong")

    Scene.take = broken  # type: ignore[method-assign,assignment]


async def main() -> None:
    """Fly once."""
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    run = Scripted(sys.argv[1], seconds)
    linger = float(os.environ.get("LINGER_S", "0"))
    if os.environ.get("BREAK_DECK"):
        break_soon()
    landing = await fly(
        run.run,
        on_cancel=run.cancel,
        artifacts="nvsx-artifacts",
        owns_run=not os.environ.get("ATTACHED"),
        linger=linger,
    )
    status = landing.finish.status if landing.finish else "left" if landing.left else "stopped"
    print(f"landed {status} {run.by} {landing.stopped_by}", flush=True)  # noqa: T201


try:
    asyncio.run(main())
except StoreError as error:
    print(f"landed with {error}")  # noqa: T201
