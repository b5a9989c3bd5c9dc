"""Writes docs/screenshots/deck-*.svg from the real program: python -m tests.deck.screenshots.

`nvsx run --sandbox` is typed in tmux, and the screen read back with its colours once it shows
what is wanted. Hooks have no channels here, so they say whom they would tell.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text
from tests.deck.desk import ROOT, Desk

FOLDER = ROOT / "docs" / "screenshots"


class Shot(NamedTuple):
    """`sees` is waited for, then `keys` are typed, then `then` is waited for."""

    name: str
    size: tuple[int, int]
    variant: str
    sees: str
    keys: str = ""
    then: str = ""


SHOTS = (
    Shot("deck-running", (120, 32), "", "remediate awaits", then="runs since"),
    Shot("deck-waiting", (120, 32), "drain-waits", "the drain waits for", then="ago)"),
    Shot("deck-80x24", (80, 24), "drain-waits", "the drain waits for", then="ago)"),
    Shot("deck-failed", (120, 32), "signal-refused", "any key stays", "x", "q leaves"),
    Shot("deck-wide", (180, 40), "", "remediate awaits", then="released"),
    Shot("deck-cancel", (100, 28), "drain-waits", "the drain waits for", "c", "Cancel this run"),
)


def shoot(shot: Shot, home: Path) -> str:
    """The screen as SVG, in whatever fixed-width font the reader has."""
    desk = Desk(home / f"{shot.name}.tmux")
    try:
        desk.resize(*shot.size)
        desk.runs(f"export NVSX_STATE_DIR={home}/state; cd {home}/runbooks-of-my-team; clear")
        variant = f" --variant {shot.variant}" if shot.variant else ""
        desk.runs(f"{sys.executable} -m nvsx run gpu-off-bus --sandbox{variant}")
        desk.sees(shot.sees)
        if shot.keys:
            desk.types(shot.keys)
        desk.sees(shot.then or shot.sees)
        screen = desk.coloured()
        desk.types("C-c")
        desk.types("C-c")
        desk.until(lambda _: not desk.in_alternate_screen(), "the shell")
    finally:
        desk.close()
    return _svg(screen, shot.size[0])


def _svg(screen: str, width: int) -> str:
    console = Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for line in screen.split("\n"):
        console.print(Text.from_ansi(line), no_wrap=True, overflow="crop", crop=True)
    svg = console.export_svg(title="nvsx run gpu-off-bus --sandbox", unique_id="deck")
    svg = re.sub(r"@font-face\s*{[^}]*}", "", svg)
    svg = re.sub(r"font-family: [^;]*Fira Code[^;]*;", "font-family: monospace;", svg)
    return "\n".join(line.rstrip() for line in svg.split("\n"))


def main() -> None:
    """Write them all, or those that are named."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nvsx-") as made:
        home = Path(made)
        for name in ("runbooks", "scripts"):
            shutil.copytree(ROOT / name, home / "runbooks-of-my-team" / name)
        for shot in SHOTS:
            if shot.name in sys.argv[1:] or not sys.argv[1:]:
                (FOLDER / f"{shot.name}.svg").write_text(shoot(shot, home))


if __name__ == "__main__":
    main()
