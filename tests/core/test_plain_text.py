"""Text from elsewhere, made safe to show."""

from __future__ import annotations

import pytest

from nvsx.core.plain_text import lines, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GPU fell off", "GPU fell off"),
        ("größer 日本", "größer 日本"),
        ("a\tb", "a\tb"),
        ("a\nb\r\x1b[2J", "a b  [2J"),
        ("a\u202eb", "a b"),
    ],
)
def test_what_does_not_print_becomes_a_space(text: str, shown: str) -> None:
    """Control characters, line ends and marks of direction; a tab stays."""
    assert one_line(text) == shown


def test_lines_stay_lines() -> None:
    """Only the ends of lines are kept."""
    assert lines("a\x07\nb\r\n") == "a \nb \n"
