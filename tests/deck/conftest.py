"""Decks over stored journals, with the clock of the story and in UTC."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from tests.deck.desk import Desk
from tests.deck.journals import Story

from nvsx.screens.deck.deck_app import Deck
from nvsx.screens.deck.deck_view import DeckView

DeckOf = Callable[..., Deck]


@pytest.fixture(autouse=True)
def _utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def commands() -> list[str]:
    """What the deck asked of whoever flies it."""
    return []


@pytest.fixture
def deck_of(commands: list[str]) -> DeckOf:
    """A deck that shows a story, as of the story's end."""

    def make(story: Story, **options: object) -> Deck:
        view = DeckView()
        for entry in story.entries:
            view.show(entry)
        return Deck(view, on_command=commands.append, now=lambda: story.at, **options)  # type: ignore[arg-type]

    return make


def screen_text(deck: Deck) -> str:
    """What is on the deck's screen, cell for cell, without trailing blanks."""
    strips = deck.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips) + "\n"


@pytest.fixture
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A shell of its own for each test."""
    desk = Desk(tmp_path_factory.mktemp("t") / "s")
    try:
        yield desk
    finally:
        desk.close()
