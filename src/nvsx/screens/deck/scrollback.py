"""The deck's scrollback: a bounded list of lines, and windows on it that filter and search.

A `Scrollback` keeps the newest lines and counts the others. A `Window` is one pane's way
of looking at it: what it shows, where it stands, what is searched for. Both only know
lines; no terminal, no run.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from typing import NamedTuple

from nvsx.core.journal import entries as j
from nvsx.core.journal.entry_lines import lines_of
from nvsx.screens.deck.rows import Tone, safe

KEPT = 20_000
_SLACK = 2_000


class ScreenLine(NamedTuple):
    """One line; `t` is Unix seconds, 0 for lines that have no time. `spoken` marks what
    scripts print and the run tells, which is what the output pane shows."""

    text: str
    tone: Tone = "plain"
    mark: str = " "
    t: float = 0.0
    stage: str = ""
    spoken: bool = False


def lines_of_entry(entry: j.Entry) -> list[ScreenLine]:
    """The lines of one journal entry, in the words that every view uses."""
    body = entry.body
    spoken = isinstance(
        body, j.Output | j.HookBegin | j.HookEnd | j.ActionBegin | j.ActionEnd | j.Narrated
    )
    stage = getattr(body, "stage", "")
    if isinstance(body, j.Output):
        tone: Tone = "warn" if body.stream == "stderr" else "plain"
        mark = "┆" if body.stream == "stderr" else " "
        return [ScreenLine(f"  {safe(body.line)}", tone, mark, entry.t, stage, True)]
    if isinstance(body, j.Narrated):
        return [ScreenLine(f"  {safe(body.text)}", "said", "“", entry.t, stage, True)]
    return [
        ScreenLine(safe(line.text), line.tone, line.mark, entry.t, stage, spoken)
        for line in lines_of(entry)
    ]


class Scrollback:
    """Lines by their number since the beginning; the first ones are let go of."""

    def __init__(self, lines: Iterable[ScreenLine] = ()) -> None:
        self._lines: list[ScreenLine] = list(lines)
        self.first = 0

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def end(self) -> int:
        """The number the next line will get."""
        return self.first + len(self._lines)

    def __getitem__(self, number: int) -> ScreenLine:
        return self._lines[number - self.first]

    def extend(self, lines: Iterable[ScreenLine]) -> None:
        self._lines.extend(lines)
        excess = len(self._lines) - KEPT
        if excess > _SLACK:
            del self._lines[:excess]
            self.first += excess


Choice = Callable[[ScreenLine], bool]


class Window:
    """A view on a scrollback: which lines, from where, searched for what.

    While a pattern is typed only matching lines are shown; `step` (n, N) puts the match
    back among its neighbours. Small letters match both cases.
    """

    def __init__(
        self, source: Scrollback, choice: Choice | None = None, *, indent: int = 0
    ) -> None:
        self.source = source
        self.indent = indent  # cells that all its lines begin with, and that it leaves out
        self.pattern = ""
        self.only_matches = False
        self.column = 0
        self.at: int | None = None
        self._choice = choice
        self._numbers: list[int] = []
        self._matches: list[int] = []
        self._read = 0
        self.current = -1

    @property
    def following(self) -> bool:
        return self.at is None

    def choose(self, choice: Choice | None) -> None:
        """Show other lines, from the end."""
        self._choice, self.at = choice, None
        self._read_again()

    def replace(self, source: Scrollback) -> None:
        """Look at another scrollback, at the same place."""
        self.source = source
        self._read_again()

    def _read_again(self) -> None:
        self._numbers, self._matches, self._read = [], [], 0
        self.refresh()

    def matches(self, line: ScreenLine) -> bool:
        if not self.pattern:
            return False
        text = line.text if self.pattern != self.pattern.lower() else line.text.lower()
        return self.pattern in text

    def refresh(self) -> None:
        """Take in the lines that came since the last call."""
        source = self.source
        if self._numbers and self._numbers[0] < source.first:
            self._let_go(source.first)
        for number in range(max(self._read, source.first), source.end):
            line = source[number]
            if self._choice is None or self._choice(line):
                self._numbers.append(number)
                if self.matches(line):
                    self._matches.append(number)
        self._read = source.end

    def _let_go(self, first: int) -> None:
        gone = bisect_left(self._numbers, first)
        del self._numbers[:gone]
        del self._matches[: bisect_left(self._matches, first)]
        if self.at is not None and not self.only_matches:
            self.at = max(0, self.at - gone)

    @property
    def shown(self) -> list[int]:
        return self._matches if self.only_matches else self._numbers

    def top(self, height: int) -> int:
        """Index of the first visible line when `height` lines fit."""
        last = max(0, len(self.shown) - height)
        return last if self.at is None else min(self.at, last)

    def visible(self, height: int) -> list[ScreenLine]:
        top = self.top(height)
        return [self.source[n] for n in self.shown[top : top + height]]

    def is_current(self, offset: int, height: int) -> bool:
        """Whether the visible line at `offset` is the match that n and N stand on."""
        index = self.top(height) + offset
        return index < len(self.shown) and self.shown[index] == self.current

    def scroll(self, by: int, height: int) -> None:
        """Move; reaching the end means following it again."""
        last = max(0, len(self.shown) - height)
        self.at = max(0, min(last, self.top(height) + by))
        if self.at >= last and by > 0:
            self.at = None

    def home(self) -> None:
        self.at, self.column = 0, 0

    def follow(self) -> None:
        self.at = None

    def search(self, pattern: str) -> None:
        """Filter for `pattern`; an empty one shows everything again."""
        self.pattern, self.only_matches = pattern, bool(pattern)
        self.at, self.current = None, -1
        self._read_again()

    def step(self, by: int, height: int) -> bool:
        """To the next (+1) or previous (-1) match, among its neighbours; False for none."""
        if not self._matches:
            return False
        here = self.current
        if here < 0:
            seen = self.shown[self.top(height) : self.top(height) + 1]
            here = seen[0] - by if seen else -1
        if by > 0:
            place = bisect_right(self._matches, here) % len(self._matches)
        else:
            place = bisect_left(self._matches, here) - 1
        self.current = self._matches[place]
        self.only_matches = False
        index = bisect_left(self._numbers, self.current)
        self.at = max(0, min(index - height // 2, max(0, len(self._numbers) - height)))
        return True

    def remark(self, height: int) -> str:
        """Where the window stands, in words for its title."""
        found = len(self._matches)
        if self.pattern and self.current >= 0:
            return f"/{self.pattern} {bisect_right(self._matches, self.current)} of {found}"
        if self.pattern:
            return f"/{self.pattern} {found} matching"
        count = len(self.shown)
        if count <= height:
            return ""
        top = self.top(height)
        place = f"{top + 1}–{top + min(height, count)} of {count}"
        return f"{place} following" if self.following else place
