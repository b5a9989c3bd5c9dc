"""Rows: measured, clipped, wrapped, and free of anything that draws by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from tests.deck.journals import HOSTILE

from nvsx.screens.deck import rows
from nvsx.screens.deck.rows import Span


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_printable(text: str) -> None:
    """No control, escape or direction character is left of hostile output."""
    clean = rows.safe(text)
    assert all(c.isprintable() for c in clean)
    assert "owned" not in clean
    assert "31m" not in clean


@given(st.text(), st.integers(1, 60))
def test_a_row_padded_to_a_width_has_that_width(text: str, width: int) -> None:
    """Whatever is in a row, padded it fills exactly its cells."""
    assert rows.cells(rows.pad(rows.span(text), width)) == width


@given(st.text(), st.text(), st.integers(10, 60))
def test_spread_and_rule_fill_their_width(left: str, right: str, width: int) -> None:
    """Both ends fit; what is too long is cut on the left."""
    a, b = rows.span(left), rows.clip(rows.span(right), 5)
    assert rows.cells(rows.spread(a, b, width)) == width
    assert rows.cells(rows.rule(a, b, width)) <= width


@given(st.text(), st.integers(4, 40))
def test_wrapping_loses_no_word_and_fits(text: str, width: int) -> None:
    """Wrapped lines fit and hold all characters but blanks, in order."""
    lines = rows.wrap(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(rows.safe(text).split())


def test_clipping_keeps_tones_and_marks_the_cut() -> None:
    """The first spans survive with their tones; an ellipsis ends the row."""
    row = (Span("abc", "bad"), Span("defgh", "good"))
    assert rows.clip(row, 6) == (Span("abc", "bad"), Span("de…", "good"))
    assert rows.clip(row, 8) == row
