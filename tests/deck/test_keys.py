"""Keys, pressed on the app as a person would."""

from __future__ import annotations

import os

import pytest
from tests.deck import journals
from tests.deck.conftest import DeckOf, screen_text
from tests.patience import until

from nvsx.core.journal import entries as j
from nvsx.core.watches.snapshot import Condition, Node, Snapshot


async def test_j_and_k_move_between_stages_and_esc_follows_again(deck_of: DeckOf) -> None:
    """j and k select stages, the output pane shows that stage alone, esc goes back."""
    deck = deck_of(journals.running())
    async with deck.run_test(size=(80, 24)) as pilot:
        await pilot.press("k", "up")
        assert "━ stages" in screen_text(deck)
        assert "─ detect · GPU" in screen_text(deck)
        assert "output · detect" in screen_text(deck)
        assert "jira" not in screen_text(deck)
        await pilot.press("j")
        assert "jira: opened GPUOPS-4127" in screen_text(deck)
        await pilot.press("G")
        assert "─ postmortem · Keep" in screen_text(deck)
        await pilot.press("g")
        assert "─ preflight · Is" in screen_text(deck)
        await pilot.press("escape")
        assert "─ drain · Workloads leave" in screen_text(deck)
        assert "output · " not in screen_text(deck)


async def test_tab_moves_the_focus_and_j_scrolls_what_has_it(deck_of: DeckOf) -> None:
    """tab and shift-tab go round the panes; the pane in focus scrolls."""
    deck = deck_of(journals.flood(200))
    async with deck.run_test(size=(80, 24)) as pilot:
        await pilot.press("tab")
        assert "━ drain" in screen_text(deck)
        await pilot.press("tab")
        assert "━ output" in screen_text(deck)
        await pilot.press("k", "k")
        assert "line 000199" not in screen_text(deck)
        assert "following" not in screen_text(deck)
        await pilot.press("g")
        assert "slack: #gpu-oncall reachable" in screen_text(deck)
        await pilot.press("G")
        assert "line 000199" in screen_text(deck)
        await pilot.press("tab", "shift+tab")
        assert "━ output" in screen_text(deck)


async def test_new_output_does_not_move_what_is_being_read(deck_of: DeckOf) -> None:
    """While the pane does not follow, new lines leave it where it is."""
    story = journals.flood(200)
    deck = deck_of(story)
    async with deck.run_test(size=(80, 24)) as pilot:
        await pilot.press("b")
        before = [line for line in screen_text(deck).splitlines() if "talkative" in line]
        shown = len(story.entries)
        for number in range(50):
            story.say(j.Output("drain", "hook", "stdout", f"more {number}"))
        for entry in story.entries[shown:]:
            deck.scene.view.show(entry)
        deck.draw(force=True)
        await pilot.pause()
        assert [s for s in screen_text(deck).splitlines() if "talkative" in s] == before


async def test_slash_filters_and_n_shows_matches_among_their_neighbours(deck_of: DeckOf) -> None:
    """Typing narrows the output at once; n and N walk through the matches in place."""
    deck = deck_of(journals.flood(300))
    async with deck.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash", *"shard 07", "enter")
        text = screen_text(deck)
        assert "/shard 07 5 matching" in text
        assert "line 000007" in text
        assert "line 000008" not in text
        await pilot.press("n")
        text = screen_text(deck)
        assert "/shard 07 " in text
        assert " of 5" in text
        assert "line 000008" in text
        first = text
        await pilot.press("n")
        assert screen_text(deck) != first
        await pilot.press("N")
        assert screen_text(deck) == first
        await pilot.press("escape")
        assert "/shard" not in screen_text(deck)
        assert "following" in screen_text(deck)


async def test_keys_are_letters_while_a_filter_is_typed(
    deck_of: DeckOf, commands: list[str]
) -> None:
    """q and c typed into a filter neither leave nor cancel; backspace edits."""
    deck = deck_of(journals.running())
    async with deck.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash", "q", "c", "j", "backspace")
        assert "/qc▏" in screen_text(deck)
        assert "nothing contains “qc”" in screen_text(deck)
        await pilot.press("escape")
        assert commands == []
        assert "j/k stage" in screen_text(deck)


async def test_n_without_a_search_says_what_to_do(deck_of: DeckOf) -> None:
    """n with nothing searched for tells about /."""
    deck = deck_of(journals.running())
    async with deck.run_test(size=(80, 24)) as pilot:
        await pilot.press("n")
        assert "nothing searched for: type /" in screen_text(deck)


async def test_c_asks_and_only_y_cancels(deck_of: DeckOf, commands: list[str]) -> None:
    """Any key but y keeps the run; y cancels it, once."""
    deck = deck_of(journals.running())
    async with deck.run_test(size=(80, 24)) as pilot:
        await pilot.press("c")
        assert "Cancel this run on gpu-node-07 (brave-gazelle)?" in screen_text(deck)
        await pilot.press("enter")
        assert "Cancel this run" not in screen_text(deck)
        assert commands == []
        await pilot.press("c", "y")
        assert commands == ["cancel"]


async def test_a_watching_deck_and_a_finished_run_cannot_be_cancelled(
    deck_of: DeckOf, commands: list[str]
) -> None:
    """c asks nothing where there is nothing to cancel, and says why."""
    deck = deck_of(journals.running(), can_cancel=False)
    async with deck.run_test(size=(80, 24)) as pilot:
        assert "c cancel" not in screen_text(deck)
        await pilot.press("c", "y")
        await pilot.press("c")
        assert "nvsx runs cancel" in screen_text(deck)
    deck = deck_of(journals.failed())
    async with deck.run_test(size=(80, 24)) as pilot:
        await pilot.press("c")
        assert "the run has finished" in screen_text(deck)
    assert commands == []


async def test_q_and_ctrl_c_are_told_to_whoever_flies(deck_of: DeckOf, commands: list[str]) -> None:
    """q leaves and Ctrl-C interrupts, also out of a question or a filter."""
    deck = deck_of(journals.running())
    async with deck.run_test(size=(80, 24)) as pilot:
        await pilot.press("q", "c", "ctrl+c", "slash", "ctrl+c")
    assert commands == ["leave", "interrupt", "interrupt"]


async def test_pages_open_close_and_search(deck_of: DeckOf) -> None:
    """l, w and ? open their page, the same key or esc closes it, / searches in it."""
    deck = deck_of(journals.overdue())
    async with deck.run_test(size=(80, 24)) as pilot:
        for key, word in (("l", "━ log"), ("w", "━ watches"), ("question_mark", "━ help")):
            await pilot.press(key)
            assert word in screen_text(deck)
            await pilot.press(key)
            assert word not in screen_text(deck)
        await pilot.press("l", "slash", *"budget")
        assert "nothing contains" in screen_text(deck)
        await pilot.press("backspace", *["backspace"] * 5, *"overdue", "enter")
        assert "overdue: longer than 1h" in screen_text(deck)
        await pilot.press("escape", "escape")
        assert "━ stages" in screen_text(deck)


async def test_y_shows_the_node_as_it_was_last_read(deck_of: DeckOf) -> None:
    """The raw page is the snapshot's JSON and follows a newer snapshot."""
    node = Node("gpu-node-07", conditions=(Condition("SysLogsXIDError", "True"),))
    snapshots = [Snapshot(journals.T0, "gpu-node-07", node=node)]
    deck = deck_of(journals.running(), snapshot=lambda: snapshots[-1])
    async with deck.run_test(size=(120, 40)) as pilot:
        await pilot.press("y")
        assert '"type": "SysLogsXIDError"' in screen_text(deck)
        assert "As last read at 08:00:00" in screen_text(deck)
        snapshots.append(Snapshot(journals.T0 + 60, "gpu-node-07", node=node))
        deck.draw(force=True)
        await pilot.pause()
        assert "As last read at 08:01:00" in screen_text(deck)


async def test_y_without_a_snapshot_shows_what_the_journal_knows(deck_of: DeckOf) -> None:
    """A deck that follows a stored journal shows its session and says where it is from."""
    deck = deck_of(journals.running())
    async with deck.run_test(size=(120, 40)) as pilot:
        await pilot.press("y")
        assert "what the run's journal says" in screen_text(deck)
        assert '"state": "draining"' in screen_text(deck)


async def test_resizing_keeps_every_cell_in_place(deck_of: DeckOf) -> None:
    """After any sequence of sizes the screen is that of a deck started at the last one."""
    fresh = deck_of(journals.waiting())
    async with fresh.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        expected = screen_text(fresh)
    deck = deck_of(journals.waiting())
    async with deck.run_test(size=(200, 60)) as pilot:
        for size in ((40, 10), (20, 5), (120, 40), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        await until(lambda: screen_text(deck) == expected, lambda: screen_text(deck))


@pytest.mark.parametrize("no_color", ["", "1"])
async def test_colours_are_the_terminals_own_and_none_with_no_color(
    no_color: str, deck_of: DeckOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the sixteen colours are used, NO_COLOR leaves none, and hooks still see it."""
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    deck = deck_of(journals.degraded())
    async with deck.run_test(size=(120, 40)) as pilot:
        await pilot.press("slash", *"slack")
        segments = [s for strip in deck.screen._compositor.render_strips() for s in strip]
    colours = {
        colour.name
        for segment in segments
        if segment.style
        for colour in (segment.style.color, segment.style.bgcolor)
        if colour is not None and not colour.is_default
    }
    if no_color:
        assert not colours
    else:
        assert colours >= {"green", "yellow", "cyan", "magenta"}
        assert colours <= {"green", "yellow", "cyan", "magenta", "red"}
    assert os.environ.get("NO_COLOR", "") == no_color
