"""Times in scenario files."""

from __future__ import annotations

import pytest

from nvsentinel_sandbox.durations import read_seconds, write_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0.0),
        ("2.5s", 2.5),
        ("59s", 59.0),
        ("1m", 60.0),
        ("1h30m", 5400.0),
        ("2d1s", 172801.0),
    ],
)
def test_what_is_written_is_read_back(text: str, seconds: float) -> None:
    """The shortest text for a length of time, and the length in a text."""
    assert read_seconds(text) == seconds
    assert write_seconds(seconds) == text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (5, "write 5s, 5m or 5h"),
        ("5", "not a length of time"),
        ("", "write one such as 30s"),
        ("5M", "not a length of time"),
        ("-5s", "not a length of time"),
        (True, "not a length of time"),
        (False, "not a length of time"),
    ],
)
def test_what_is_no_length_of_time_is_refused(value: object, words: str) -> None:
    """A number without a unit, another unit and nothing at all, each with what to write."""
    with pytest.raises(ValueError, match=words):
        read_seconds(value)
