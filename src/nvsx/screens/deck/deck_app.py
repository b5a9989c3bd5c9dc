"""The flight deck as a Textual app: one full-screen canvas, drawn from a `Scene`.

It draws at most ten times a second and only what changed, never while the terminal is
behind, and takes keys. It starts no run and ends none: cancelling and leaving are told to
whoever flies it (`flight`). Only `flight` and tests import this, since Textual is heavy.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from nvsx.core.watches.snapshot import Snapshot
from nvsx.screens.deck import keys
from nvsx.screens.deck.deck_view import DeckView
from nvsx.screens.deck.driver import DeckDriver
from nvsx.screens.deck.rows import Row, Tone
from nvsx.screens.deck.scene import Scene

log = logging.getLogger(__name__)

FRAME_S = 0.1
Command = Callable[[keys.Command], None]

# The terminal's own sixteen colours: they fit whatever background the reader chose.
_COLOURED: dict[Tone, Style] = {
    "plain": Style(),
    "good": Style(color="green"),
    "bad": Style(color="red", bold=True),
    "warn": Style(color="yellow"),
    "dim": Style(dim=True),
    "head": Style(bold=True),
    "accent": Style(color="cyan"),
    "remedy": Style(color="yellow", bold=True),
    "said": Style(italic=True),
    "match": Style(color="magenta", reverse=True),
    "badge": Style(color="cyan", bold=True, reverse=True),
    "badge-good": Style(color="green", bold=True, reverse=True),
    "badge-bad": Style(color="red", bold=True, reverse=True),
    "badge-warn": Style(color="yellow", bold=True, reverse=True),
}


def _style_of(tone: Tone, *, colour: bool) -> Style:
    style = _COLOURED[tone]
    if colour:
        return style
    return Style(
        bold=style.bold,
        italic=style.italic,
        reverse=style.reverse,
        dim=style.dim,
        underline=tone == "remedy",
    )


class _Canvas(Widget):
    """Rows of the scene; asks for a repaint of those that changed."""

    DEFAULT_CSS = "_Canvas { width: 100%; height: 100%; background: ansi_default; }"

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._styles = {tone: _style_of(tone, colour=colour) for tone in _COLOURED}
        self._rows: list[Row] = []

    def put(self, rows: list[Row]) -> None:
        before, self._rows = self._rows, rows
        width = self.size.width
        if len(before) != len(rows):
            self.refresh()
            return
        changed = [y for y, row in enumerate(rows) if row != before[y]]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        row = self._rows[y] if y < len(self._rows) else ()
        strip = Strip([Segment(s.text, self._styles[s.tone]) for s in row if s.text])
        return strip.adjust_cell_length(self.size.width, self._styles["plain"])


class _Whole(Screen[None], inherit_bindings=False):
    """A screen without keys of its own."""

    DEFAULT_CSS = "_Whole { background: ansi_default; overflow: hidden; }"


class Deck(App[None], inherit_bindings=False):
    """The deck. `on_command` is told what the reader wants of the run."""

    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False

    def __init__(
        self,
        view: DeckView,
        *,
        on_command: Command,
        snapshot: Callable[[], Snapshot | None] = lambda: None,
        now: Callable[[], float] = time.time,
        can_cancel: bool = True,
        owns_run: bool = True,
    ) -> None:
        no_color = os.environ.get("NO_COLOR")
        super().__init__(driver_class=DeckDriver, ansi_color=True)
        if no_color is not None:
            os.environ["NO_COLOR"] = no_color  # Textual takes it away; hooks want it too
        self.scene = Scene(
            view, now=now, snapshot=snapshot, can_cancel=can_cancel, owns_run=owns_run
        )
        self.error: BaseException | None = None
        self._canvas = _Canvas(colour=not no_color)
        self._on_command = on_command
        self._drawn: tuple[Any, ...] = ()
        self._leave_at: float | None = None

    def get_default_screen(self) -> Screen[None]:
        return _Whole(id="_default")

    def compose(self) -> ComposeResult:
        yield self._canvas

    def on_mount(self) -> None:
        self.set_interval(FRAME_S, self._redraw_frame)

    def on_resize(self, _event: events.Resize) -> None:
        self.draw(force=True)

    # -- drawing ------------------------------------------------------------------------

    def _redraw_frame(self) -> None:
        if self._leave_at is not None:
            left = self._leave_at - time.monotonic()
            if left <= 0:
                self.exit()
                return
            self.scene.flash = f"the run has finished: leaving in {left:.0f}s · any key stays"
        driver = self._driver
        if isinstance(driver, DeckDriver) and driver.behind:
            return
        self.draw()

    def draw(self, *, force: bool = False) -> None:
        """Show the state as it is now, if anything may look different."""
        scene = self.scene
        size = self.size
        what = (scene.state.seq, int(scene.now()), size, scene.flash)
        if what == self._drawn and not force:
            return
        self._drawn = what
        scene.take()
        self._canvas.put(scene.rows(size.width, size.height))

    # -- keys ---------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        event.stop()
        stays = self._leave_at is not None
        if stays:
            self._leave_at, self.scene.flash = None, ""
        command = keys.press(self.scene, event.key, event.character)
        if command == "suspend":
            self.action_suspend_process()
        elif command is not None:
            self._on_command(command)
        if stays and not self.scene.flash:
            self.scene.flash = "the run has finished: q leaves"
        self.draw(force=True)

    def on_paste(self, event: events.Paste) -> None:
        keys.paste(self.scene, event.text)
        self.draw(force=True)

    def tell(self, text: str) -> None:
        """Show one sentence in the last row until the next key."""
        self.scene.flash = text

    def leave_in(self, seconds: float) -> None:
        """Leave by itself, unless somebody presses a key before."""
        self._leave_at = time.monotonic() + seconds

    # -- a deck that breaks ---------------------------------------------------------------

    def _handle_exception(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
            log.error("the flight deck failed", exc_info=error)
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """No traceback at the user: the log has it, and the run goes on as plain text."""
        self._close_messages_no_wait()

    def panic(self, *_renderables: Any) -> None:
        if self.error is None:
            self.error = RuntimeError("the terminal cannot be read any more")
        self._close_messages_no_wait()
