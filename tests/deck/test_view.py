"""The view between run and deck, and the windows on its scrollback."""

from __future__ import annotations

import pytest
from tests.deck import journals

from nvsx.core.journal import entries as j
from nvsx.core.journal.fold import RunState
from nvsx.screens.deck.deck_view import PENDING, DeckView
from nvsx.screens.deck.scrollback import KEPT, ScreenLine, Scrollback, Window, lines_of_entry
from nvsx.screens.deck.summary import summary


class Remembers:
    """A view that keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, bool]] = []

    def show(self, entry: j.Entry, *, replayed: bool = False) -> None:
        self.seen.append((entry.seq, replayed))

    async def close(self) -> None:
        return


def test_a_deck_that_never_draws_keeps_the_newest_lines() -> None:
    """Of a hundred thousand entries as many wait as the view has room for; the rest is counted."""
    entries = journals.flood().entries
    view = DeckView()
    for entry in entries:
        view.show(entry)
    taken = view.take()
    assert len(taken) == PENDING
    assert taken[-1] is entries[-1]
    assert view.missed == len(entries) - PENDING


@pytest.mark.parametrize("name", journals.STORIES)
def test_the_state_is_the_fold_whatever_was_drawn(name: str) -> None:
    """The view's state equals the fold of the journal, drawn or not, doubled or not."""
    entries = journals.STORIES[name]().entries
    view = DeckView()
    for entry in entries:
        view.show(entry)
        view.show(entry)
    assert view.state == RunState.of(entries)


def test_the_opening_gives_way_to_the_first_entry() -> None:
    """What was planned is shown until the run tells; then nothing of it is left."""
    entries = journals.running().entries
    view = DeckView(j.Start("other", "odd-owl", stages=(j.StagePlan(id="detect"),)), 5.0)
    assert [s.id for s in view.state.stages] == ["detect"]
    assert summary(view.state, 9.0) == ["the run had not begun"]
    for entry in entries:
        view.show(entry)
    assert view.state == RunState.of(entries)


def test_after_landing_entries_go_to_the_plain_view() -> None:
    """From the landing on, and not before, the plain view gets every entry."""
    entries = journals.running().entries
    view, plain = DeckView(), Remembers()
    for entry in entries[:5]:
        view.show(entry)
    view.land(plain)
    view.show(entries[5], replayed=True)
    view.show(entries[6])
    assert plain.seen == [(6, True), (7, False)]
    assert view.state.seq == 7


def test_a_scrollback_lets_go_of_the_oldest_and_keeps_its_numbers() -> None:
    """Line numbers stay true while old lines are dropped, for windows too."""
    back = Scrollback()
    window = Window(back)
    window.home()
    for start in range(0, 60_000, 1_000):
        back.extend(ScreenLine(f"{n}") for n in range(start, start + 1_000))
        window.refresh()
    assert back.end == 60_000
    assert KEPT <= len(back) <= KEPT + 3_000
    assert back[59_999].text == "59999"
    assert window.visible(1)[0].text == f"{back.first}"
    window.follow()
    assert [line.text for line in window.visible(2)] == ["59998", "59999"]


def test_searching_ignores_case_unless_capitals_are_typed() -> None:
    """Small letters match both cases, a capital only itself."""
    window = Window(Scrollback([ScreenLine("Error: x"), ScreenLine("no error")]))
    window.search("error")
    assert len(window.visible(9)) == 2
    window.search("Error")
    assert [line.text for line in window.visible(9)] == ["Error: x"]


def test_stepping_goes_round_and_says_when_there_is_nothing() -> None:
    """n after the last match is the first again; without matches it is False."""
    window = Window(Scrollback(ScreenLine("hit" if n % 10 == 0 else "-") for n in range(30)))
    window.refresh()
    assert not window.step(1, 5)
    window.search("hit")
    places = []
    for _ in range(4):
        assert window.step(1, 5)
        places.append(window.current)
    assert places in ([10, 20, 0, 10], [0, 10, 20, 0])
    assert window.step(-1, 5)
    assert window.current == places[-2]


def test_every_line_of_the_plain_view_is_in_the_log() -> None:
    """The deck's log tells a run in the same words as the plain view."""
    from nvsx.core.journal.entry_lines import lines_of

    for entry in journals.overdue().entries:
        plain = [line.text.strip() for line in lines_of(entry)]
        assert [line.text.strip() for line in lines_of_entry(entry)] == plain
