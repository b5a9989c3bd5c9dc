from __future__ import annotations

import pytest

from nvsx.cluster.pod_logs import LogPosition, split_stamp

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("line", "stamp", "text"),
    [
        (b"1970-01-01T00:00:01Z hello", SECOND, b"hello"),
        (b"1970-01-01T00:00:01.5Z a b", SECOND + 500_000_000, b"a b"),
        (b"1970-01-01T00:00:01.123456789Z x", SECOND + 123_456_789, b"x"),
        (b"1970-01-01T02:00:01.000000001+02:00 x", SECOND + 1, b"x"),
        (b"1970-01-01T00:00:01Z ", SECOND, b""),
        (b"no stamp here", None, b"no stamp here"),
        (b"2025-01-01 is a date", None, b"2025-01-01 is a date"),
        (b"", None, b""),
        ("größe 5".encode(), None, "größe 5".encode()),
    ],
)
def test_stamps_are_read_to_the_nanosecond(line: bytes, stamp: int | None, text: bytes) -> None:
    """A line is its RFC 3339 time and its text; without one it is text alone."""
    assert split_stamp(line) == (stamp, text)


def test_a_resumed_log_repeats_nothing() -> None:
    """Lines up to the last one are left out on resume, equal stamps are counted."""
    position = LogPosition(0.0)
    assert [position.is_new(s) for s in (SECOND, SECOND + 5, SECOND + 5)] == [True] * 3
    assert position.resume() == "1970-01-01T00:00:01Z"
    replay = [SECOND, SECOND + 5, SECOND + 5, SECOND + 5, SECOND + 9]
    assert [position.is_new(s) for s in replay] == [False, False, False, True, True]


def test_lines_slightly_out_of_order_are_new() -> None:
    """Two streams of one program may be written out of order: nothing is lost."""
    position = LogPosition(0.0)
    assert [position.is_new(s) for s in (SECOND + 9, SECOND + 3, SECOND + 10)] == [True] * 3


def test_the_first_request_asks_from_the_beginning_of_the_run() -> None:
    """sinceTime is the given time, in the whole seconds the API understands."""
    assert LogPosition(1755706626.9).resume() == "2025-08-20T16:17:06Z"
