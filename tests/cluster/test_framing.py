from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvsx.cluster.framing import Lines


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_lines_do_not_depend_on_chunks(data: bytes, sizes: list[int]) -> None:
    """However a stream is cut into chunks, the same lines and the same rest come out."""
    lines, found, at = Lines(), [], 0
    for size in (*sizes, len(data)):
        found += lines.feed(data[at : at + size])
        at += size
    *expected, torn = data.split(b"\n")
    assert found == expected
    assert lines.torn == torn


def test_a_line_over_the_cap_is_refused() -> None:
    """A watch line beyond the limit raises instead of filling the memory."""
    lines = Lines(10)
    lines.feed(b"123456")
    with pytest.raises(ValueError, match="more than 10 bytes"):
        lines.feed(b"7890a")


def test_a_log_line_over_the_cap_is_cut() -> None:
    """A log line is cut to the cap, and the next line is whole again."""
    lines = Lines(5, strict=False)
    assert lines.feed(b"abc") == []
    assert lines.feed(b"defgh") == []
    assert lines.feed(b"ij\nxy\n123456789\nrest") == [b"abcde", b"xy", b"12345"]
    assert lines.torn == b"rest"
