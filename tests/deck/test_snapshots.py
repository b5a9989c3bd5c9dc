"""The deck's screens at three sizes, compared with stored text.

After a wanted change: UPDATE_SNAPSHOTS=1 python -m pytest tests/deck/test_snapshots.py
and read the difference before committing it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rich.cells import cell_len
from tests.deck import journals
from tests.deck.conftest import DeckOf, screen_text

from nvsx.core.journal import entries as j
from nvsx.screens.deck import deck_words, panels
from nvsx.screens.deck.deck_app import Deck
from nvsx.screens.deck.deck_view import DeckView
from nvsx.screens.deck.rows import text_of

FOLDER = Path(__file__).parent / "snapshots"
UPDATE = bool(os.environ.get("UPDATE_SNAPSHOTS"))
SIZES = ((80, 24), (120, 40), (200, 60))
PAGES = {"log": "l", "watches": "w", "raw": "y", "help": "question_mark", "cancel": "c"}


def check(name: str, screen: str, size: tuple[int, int]) -> None:
    """Compare with the stored screen, or store it; the screen fits its size."""
    lines = screen.splitlines()
    assert len(lines) == size[1]
    assert max(cell_len(line) for line in lines) <= size[0]
    stored = FOLDER / f"{name}.txt"
    if UPDATE:
        stored.write_text(screen)
    assert stored.exists(), f"no snapshot {stored.name}: run with UPDATE_SNAPSHOTS=1"
    assert screen == stored.read_text()


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("name", journals.STORIES)
async def test_a_story_looks_as_stored(name: str, size: tuple[int, int], deck_of: DeckOf) -> None:
    """Each story's screen at each size is the stored one, cell for cell."""
    deck = deck_of(journals.STORIES[name]())
    async with deck.run_test(size=size) as pilot:
        await pilot.pause()
        check(f"{name}-{size[0]}x{size[1]}", screen_text(deck), size)


async def test_before_it_has_begun_the_plan_is_shown() -> None:
    """The first frame has the runbook, its stages, and what is being done, for how long."""
    start = journals.running().entries[0].body
    assert isinstance(start, j.Start)
    plan = j.Start(start.runbook, start.nickname, start.title, sandbox=True, stages=start.stages)
    deck = Deck(DeckView(plan, 10.0), on_command=lambda _: None, now=lambda: 13.0)
    async with deck.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        check("starting-80x24", screen_text(deck), (80, 24))


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_looks_as_stored(page: str, deck_of: DeckOf) -> None:
    """Each page and the question before a cancel look as stored at 80×24."""
    deck = deck_of(journals.overdue())
    async with deck.run_test(size=(80, 24)) as pilot:
        await pilot.press(PAGES[page])
        check(f"page-{page}-80x24", screen_text(deck), (80, 24))


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
async def test_a_flood_looks_as_stored(size: tuple[int, int], deck_of: DeckOf) -> None:
    """Of a hundred thousand lines the last are shown, and how many were let go."""
    deck = deck_of(journals.flood())
    async with deck.run_test(size=size) as pilot:
        await pilot.pause()
        check(f"flood-{size[0]}x{size[1]}", screen_text(deck), size)


@pytest.mark.parametrize("name", [n for n in journals.STORIES if n != "new"])
@pytest.mark.parametrize("width", [60, 64, 72, 80, 100, 132, 200])
def test_the_run_id_is_never_cut(name: str, width: int) -> None:
    """What one attaches to and reports is in the header in full, whatever else is long."""
    story = journals.STORIES[name]()
    view = DeckView()
    for entry in story.entries:
        view.show(entry)
    where = text_of(panels.header(view.state, story.at, width)[1])
    assert journals.RUN in where
    assert cell_len(where) <= width
    assert deck_words.time_to_repair(view.state) in where


@pytest.mark.parametrize("name", journals.STORIES)
def test_no_snapshot_holds_a_control_character(name: str) -> None:
    """What scripts and clusters say never reaches the screen as a control sequence."""
    for size in SIZES:
        text = (FOLDER / f"{name}-{size[0]}x{size[1]}.txt").read_text()
        assert all(c == "\n" or c.isprintable() or c in "\u3000\u200d" for c in text)
