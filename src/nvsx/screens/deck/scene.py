"""The whole deck as rows: what is selected, in focus, searched; and the screen of it.

A `Scene` holds what the reader chose and composes every row of a screen of any size from
the folded state. It knows neither Textual nor a terminal: the app asks it for rows and
hands it keys (through `keys`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from nvsx.core.journal.fold import RunState, StageState
from nvsx.core.watches.snapshot import Snapshot
from nvsx.screens.deck import deck_words, pages, panels, stage_pane
from nvsx.screens.deck.deck_view import DeckView
from nvsx.screens.deck.rows import Row, Span, cells, clip, hang, pad, rule, span
from nvsx.screens.deck.scrollback import ScreenLine, Scrollback, Window, lines_of_entry

Focus = Literal["stages", "stage", "output"]
Page = Literal["", "log", "watches", "raw", "help"]
PANES: tuple[Focus, ...] = ("stages", "stage", "output")
_PAGE_TITLE = {"log": "log", "watches": "watches", "raw": "raw object", "help": "help"}


@dataclass(frozen=True, slots=True)
class Shape:
    """How the room is shared: cells for rail and facts (0 = not shown), rows for the rest."""

    width: int
    body: int
    rail: int
    facts: int

    @property
    def middle(self) -> int:
        """Cells between the two, less a border for each."""
        return self.width - sum(side + 1 for side in (self.rail, self.facts) if side)

    @classmethod
    def of(cls, width: int, height: int) -> Shape:
        rail = 0 if width < 64 else 30 if width < 100 else 38 if width < 150 else 44
        facts = 50 if width >= 150 else 0
        return cls(width, max(4, height - 4), rail, facts)


class Scene:
    """What the deck shows now. `now` is Unix seconds; `snapshot` the node as last read."""

    def __init__(
        self,
        view: DeckView,
        *,
        now: Callable[[], float],
        snapshot: Callable[[], Snapshot | None] = lambda: None,
        can_cancel: bool = True,
        owns_run: bool = True,
    ) -> None:
        self.view, self.now, self._snapshot = view, now, snapshot
        self.can_cancel, self.owns_run = can_cancel, owns_run
        self.picked = ""
        self.focus: Focus = "stages"
        self.page: Page = ""
        self.typing: str | None = None
        self.asking = False
        self.flash = ""
        self.stage_top = 0
        self.scrollback = Scrollback()
        self.output = Window(self.scrollback, _is_spoken, indent=2)
        self.log = Window(self.scrollback)
        self.paper = Window(Scrollback())
        self._size = (80, 24)
        self._raw: object = self

    @property
    def state(self) -> RunState:
        return self.view.state

    def take(self) -> None:
        """Take in what the run told since the last call."""
        for entry in self.view.take():
            self.scrollback.extend(lines_of_entry(entry))
        self.output.refresh()
        self.log.refresh()

    # -- what is selected ---------------------------------------------------------------

    @property
    def selected(self) -> StageState | None:
        """The stage in the stage pane: the picked one, else the one that matters now."""
        state = self.state
        if self.picked:
            return state.stage(self.picked)
        ended = [s for s in state.stages if s.done and s.began is not None]
        if state.finish is not None and state.failed_stage is not None:
            return state.failed_stage
        return state.current or (ended[-1] if ended else next(iter(state.stages), None))

    def pick(self, stage_id: str) -> None:
        """Show this stage and its output; "" follows the run again."""
        self.picked, self.stage_top = stage_id, 0
        if stage_id:
            self.output.choose(lambda line: line.spoken and line.stage == stage_id)
        else:
            self.output.choose(_is_spoken)

    @property
    def window(self) -> Window:
        """What `/`, n, N and the paging keys act on."""
        if not self.page:
            return self.output
        return self.log if self.page == "log" else self.paper

    def open(self, page: Page) -> None:
        self.page, self._raw = page, self
        if page and page != "log":
            self.paper = Window(Scrollback())
            self._write_page(Shape.of(*self._size))
            self.paper.home()

    # -- the screen ---------------------------------------------------------------------

    def rows(self, width: int, height: int) -> list[Row]:
        """Exactly `height` rows of exactly `width` cells."""
        self._size = (width, height)
        shape = Shape.of(width, height)
        now = self.now()
        body = self._page_rows(shape) if self.page else self._body_rows(shape, now)
        screen = [*panels.header(self.state, now, width), *body]
        screen = [pad(row, width) for row in screen[: height - 1]]
        screen += [pad((), width)] * (height - 1 - len(screen))
        screen.append(self._footer_row(width))
        return self._dialog_rows(screen, width) if self.asking else screen

    def window_height(self) -> int:
        """Rows of the window that keys act on."""
        shape = Shape.of(*self._size)
        return shape.body - 1 if self.page else self._split_middle(shape, self.now())[1]

    def _split_middle(self, shape: Shape, now: float) -> tuple[list[Row], int, int]:
        """The stage's rows, rows for the output, rows for the stage."""
        stage = self.selected
        rows: list[Row] = []
        if stage is not None:
            rows = stage_pane.body(self.state, stage, now, shape.middle - 2)
        room = shape.body - 2
        most = max(2, room - max(4, room // 4))  # what to do matters more than old output
        held = max(min(3, most), min(len(rows), most))
        return rows, room - held, held

    def _body_rows(self, shape: Shape, now: float) -> list[Row]:
        middle = self._middle_rows(shape, now)
        sides: list[tuple[list[Row], int]] = [(middle, shape.middle)]
        if shape.rail:
            sides.insert(0, (self._rail_rows(shape, now), shape.rail))
        if shape.facts:
            facts = panels.facts(self.state, now, shape.facts - 1)
            title = rule((Span("facts", "head"),), (), shape.facts)
            sides.append(([title, *[(Span(" "), *r) for r in facts]], shape.facts))
        rows: list[Row] = []
        for y in range(shape.body):
            row: Row = ()
            for side, width in sides:
                line = side[y] if y < len(side) else ()
                edge: Row = ()
                if row:
                    edge = (Span(_join_borders(row, line), "dim"),)
                row = (*row, *edge, *pad(line, width))
            rows.append(row)
        return rows

    def _rail_rows(self, shape: Shape, now: float) -> list[Row]:
        focus = self.focus == "stages"
        done = sum(s.done for s in self.state.stages)
        count: Row = (Span(f"{done} of {len(self.state.stages)}", "dim"),)
        title = rule((Span("stages", "head"),), count, shape.rail, heavy=focus)
        selected = self.selected
        rows = panels.rail(
            self.state,
            now,
            (shape.rail, shape.body - 1),
            selected.id if selected else "",
            focus=focus,
        )
        return [title, *rows]

    def _middle_rows(self, shape: Shape, now: float) -> list[Row]:
        stage = self.selected
        rows, room, held = self._split_middle(shape, now)
        self.stage_top = max(0, min(self.stage_top, len(rows) - held))
        below = len(rows) - held - self.stage_top
        more = f"↓ {below} more" if below > 0 else "↑ more" if self.stage_top else ""
        name: Row = (Span("stage", "head"),)
        remark: Row = ()
        if stage is not None:
            name = stage_pane.title(stage)
            remark = stage_pane.limits(stage, now, more, shape.middle - 10 - len(stage.id))
        title = rule(name, remark, shape.middle, heavy=self.focus == "stage")
        shown = rows[self.stage_top : self.stage_top + held]
        shown += [()] * (held - len(shown))
        return [
            title,
            *[(Span(" "), *row) for row in shown],
            self._output_title(shape),
            *self._window_rows(self.output, room, shape.middle, stamp=shape.middle >= 76),
        ]

    def _output_title(self, shape: Shape) -> Row:
        picked = f" · {self.picked}" if self.picked else ""
        gone = self.view.missed + self.scrollback.first
        lost = f" · {gone:,} earlier in the journal" if gone else ""
        left: Row = (Span("output", "head"), *span(picked), Span(lost, "dim"))
        where = self.output.remark(self.window_height())
        if gone and len(where) + cells(left) + 8 > shape.middle and where.endswith("following"):
            where = "following"  # how much is not here says more than which lines are
        remark = span(where, "accent") if where else ()
        return rule(left, remark, shape.middle, heavy=self.focus == "output")

    def _window_rows(self, window: Window, height: int, width: int, *, stamp: bool) -> list[Row]:
        lines = window.visible(height)
        if not lines:
            empty = f"nothing contains “{window.pattern}”" if window.pattern else "no output yet"
            return [(Span(" "), *span(empty, "dim"))]
        return [
            clip(_line_row(line, window, stamp=stamp, here=window.is_current(i, height)), width)
            for i, line in enumerate(lines)
        ]

    def _page_rows(self, shape: Shape) -> list[Row]:
        if self.page != "log":
            self._write_page(shape)
        window = self.window
        remark = window.remark(shape.body - 1)
        right = span(remark, "accent") if remark else ()
        name: Row = (Span(_PAGE_TITLE[self.page], "head"), Span(" · esc goes back", "dim"))
        title = rule(name, right, shape.width, heavy=True)
        stamp = self.page == "log"
        return [title, *self._window_rows(window, shape.body - 1, shape.width, stamp=stamp)]

    def _write_page(self, shape: Shape) -> None:
        """Write the open page anew: watches always, the raw object when it was read again."""
        lines: list[ScreenLine] | None = None
        if self.page == "watches":
            lines = pages.watches_page(self.state, self.now(), shape.width)
        elif self.page == "raw":
            snapshot = self._snapshot()
            seen = snapshot or (self.state.session, self.state.times)
            if seen is not self._raw and seen != self._raw:
                self._raw = seen
                lines = pages.raw_page(self.state, snapshot, shape.width)
        elif self.page == "help" and not len(self.paper.source):
            lines = pages.help_page(can_cancel=self.can_cancel, owns_run=self.owns_run)
        if lines is not None:
            self.paper.replace(Scrollback(lines))

    def _footer_row(self, width: int) -> Row:
        if self.typing is not None:
            prompt: Row = (Span(f" /{self.typing}", "head"), Span("▏", "accent"))
            return pad((*prompt, Span("   enter keeps the filter · esc drops it", "dim")), width)
        if self.flash:
            return pad((Span(" "), *span(self.flash, "warn")), width)
        keys = [k for k in panels.KEYS if k[0] != "c" or (self.can_cancel and not self._is_over)]
        if self.page:
            keys = [("esc", "back"), ("j/k", "scroll"), ("/", "find"), ("n/N", "match")]
            keys += [("g/G", "ends"), ("←/→", "sideways"), ("q", "leave")]
        return panels.footer(keys, width)

    @property
    def _is_over(self) -> bool:
        return self.state.finish is not None

    def _dialog_rows(self, screen: list[Row], width: int) -> list[Row]:
        inner = min(58, width - 6)
        where = panels.node_of(self.state)
        text = [
            span(f"Cancel this run on {where}?", "head"),
            (),
            *hang("·", "The running script is stopped, then postmortem runs.", inner),
            *hang("·", "NVSentinel goes on: the node is neither fixed nor freed by this.", inner),
            (),
            (
                *(Span(" y ", "badge-warn"), Span(" cancel the run     ")),
                *(Span(" esc ", "badge"), Span(" keep it running")),
            ),
        ]
        box: list[Row] = [
            (Span("╭" + "─" * (inner + 2) + "╮", "warn"),),
            *((Span("│ ", "warn"), *pad(row, inner), Span(" │", "warn")) for row in text),
            (Span("╰" + "─" * (inner + 2) + "╯", "warn"),),
        ]
        top = max(0, (len(screen) - len(box)) // 2)
        left = (width - inner - 4) // 2
        for i, row in enumerate(box):
            screen[top + i] = pad((Span(" " * left), *row), width)
        return screen


def _is_spoken(line: ScreenLine) -> bool:
    return line.spoken


def _join_borders(left: Row, right: Row) -> str:
    """The border cell between two columns, joined to their rules."""
    lined = ("─", "━")
    before = left[-1].text[-1:] in lined
    after = bool(right) and right[0].text[:1] in lined
    return {(True, True): "┬", (True, False): "┤", (False, True): "├"}.get((before, after), "│")


def _line_row(line: ScreenLine, window: Window, *, stamp: bool, here: bool) -> Row:
    text = line.text[window.column + window.indent :]
    time_of_day = f"{deck_words.clock(line.t)} " if stamp and line.t else ""
    head: Row = (
        Span("▌" if here else " ", "match" if here else "plain"),
        Span(time_of_day, "dim"),
        Span(f"{line.mark} ", "dim" if line.mark in "│┆" else line.tone),
    )
    if not window.pattern or not window.matches(line):
        return (*head, Span(text, line.tone))
    return (*head, *_mark_matches(text, window.pattern, line))


def _mark_matches(text: str, pattern: str, line: ScreenLine) -> Row:
    hay = text if pattern != pattern.lower() else text.lower()
    parts: list[Span] = []
    at = 0
    while (found := hay.find(pattern, at)) >= 0:
        end = found + len(pattern)
        parts += [Span(text[at:found], line.tone), Span(text[found:end], "match")]
        at = end
    return (*parts, Span(text[at:], line.tone))
