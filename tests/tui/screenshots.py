"""Writes docs/screenshots/*.svg from the stored journals: python -m tests.tui.screenshots."""

from __future__ import annotations

import asyncio
import os
import re
import time
from pathlib import Path

from tests.tui import journals

from nvsx.tui.deck import Deck
from nvsx.tui.view import DeckView

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
SHOTS = (
    ("deck-waiting", "waiting", (120, 32), ()),
    ("deck-overdue-80x24", "overdue", (80, 24), ()),
    ("deck-failed", "failed", (120, 32), ()),
    ("deck-wide", "degraded", (180, 40), ()),
    ("deck-cancel", "waiting", (100, 28), ("c",)),
)


async def shoot(story: journals.Story, size: tuple[int, int], keys: tuple[str, ...]) -> str:
    """The screen as SVG, in whatever fixed-width font the reader has."""
    view = DeckView()
    for entry in story.entries:
        view.show(entry)
    deck = Deck(view, on_command=lambda _: None, now=lambda: story.at)
    async with deck.run_test(size=size) as pilot:
        await pilot.press(*keys)
        await pilot.pause()
        svg = deck.export_screenshot(title="nvsx run gpu-off-bus")
    svg = re.sub(r"@font-face\s*{[^}]*}", "", svg)
    svg = re.sub(r"terminal-\d+", "deck", svg)
    svg = re.sub(r"font-family: [^;]*Fira Code[^;]*;", "font-family: monospace;", svg)
    return "\n".join(line.rstrip() for line in svg.split("\n"))


def main() -> None:
    """Write them all."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, story, size, keys in SHOTS:
        svg = asyncio.run(shoot(journals.STORIES[story](), size, keys))
        (FOLDER / f"{name}.svg").write_text(svg)


if __name__ == "__main__":
    main()
