"""The deck's end of a run: takes entries at any speed, keeps the folded state and a tail.

The engine calls `show`, the deck calls `take` when it gets to drawing. Between the two is
a bounded buffer: when the deck falls behind, lines are counted instead of kept, and the
state is right all the same. After the deck has been left, entries go to a plain view.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from nvsx.core.journal.entries import Entry, Start
from nvsx.core.journal.fold import RunState

if TYPE_CHECKING:  # the ports need pydantic, which a first frame does not wait for
    from nvsx.core.ports import View

PENDING = 4_000
"""Entries that wait to be drawn; more than anybody reads between two frames."""


class DeckView:
    """A `View` that never waits and never draws. `state` is the fold of all entries shown.

    Until there is one it is what `opening` says: the plan of a run that has no id yet.
    """

    def __init__(self, opening: Start | None = None, now: float = 0.0) -> None:
        self.state = RunState()
        self._opening = opening is not None
        if opening is not None:
            self.state.apply(Entry("", 1, now, opening))
        self.missed = 0
        self._pending: deque[Entry] = deque(maxlen=PENDING)
        self._came = 0
        self._after: View | None = None

    def show(self, entry: Entry, *, replayed: bool = False) -> None:
        """Take one entry; costs microseconds whatever the terminal does."""
        if self._opening:
            self.state, self._opening = RunState(), False
        self.state.apply(entry)
        if self._after is not None:
            self._after.show(entry, replayed=replayed)
            return
        self._pending.append(entry)
        self._came += 1

    def take(self) -> list[Entry]:
        """The entries since the last call, the newest `PENDING` of them."""
        taken = list(self._pending)
        self._pending.clear()
        self.missed += self._came - len(taken)
        self._came = 0
        return taken

    def land(self, after: View) -> None:
        """From now on show entries in `after`: the deck is gone."""
        self._after = after
        self._pending.clear()

    async def close(self) -> None:
        """Nothing: whoever flies the deck prints its summary after the run, and closes."""
