"""How fast, and when again: rows on both sides of each limit."""

from __future__ import annotations

import random

import pytest

from nvsx.core.notify.message import Message, MessageKind
from nvsx.core.notify.outbox import Delivery
from nvsx.notify.pacing import (
    OTHER_IS_TRIED,
    PAGE_IS_TRIED,
    Allowance,
    is_tried_enough,
    pause_after,
)


class Chance(random.Random):
    """Always the same."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value

    def random(self) -> float:
        return self._value


def test_a_burst_is_sent_at_once_and_then_one_at_a_time() -> None:
    """60 a minute, burst 3: the fourth waits for a second."""
    allowance = Allowance(60.0, 3, 0.0)
    for _ in range(3):
        assert allowance.seconds_left(0.0) == 0.0
        allowance.take(0.0)
    assert allowance.seconds_left(0.0) == 1.0
    assert allowance.seconds_left(0.75) == 0.25
    assert allowance.seconds_left(1.0) == 0.0


def test_a_long_rest_saves_up_one_burst_and_no_more() -> None:
    """After a quiet night three at once, not three thousand."""
    allowance = Allowance(60.0, 3, 0.0)
    for _ in range(3):
        assert allowance.seconds_left(36000.0) == 0.0
        allowance.take(36000.0)
    assert allowance.seconds_left(36000.0) == 1.0


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    """The wait is a second, not an hour."""
    allowance = Allowance(60.0, 1, 3600.0)
    allowance.take(3600.0)
    assert allowance.seconds_left(0.0) == 1.0
    assert allowance.seconds_left(1.0) == 0.0


@pytest.mark.parametrize(
    ("failures", "page", "most"),
    [
        (1, True, 1.0),
        (2, True, 2.0),
        (6, True, 32.0),
        (7, True, 60.0),
        (700, True, 60.0),
        (9, False, 256.0),
        (10, False, 300.0),
        (700, False, 300.0),
    ],
)
def test_pauses_double_up_to_their_limit(failures: int, page: bool, most: float) -> None:
    """Half of a pause is chance: what failed together does not come back together."""
    assert pause_after(failures, page=page, after=0.0, chance=Chance(1.0)) == most
    assert pause_after(failures, page=page, after=0.0, chance=Chance(0.0)) == most / 2


@pytest.mark.parametrize(("after", "pause"), [(0.4, 0.5), (0.6, 0.6), (900.0, 900.0)])
def test_retry_after_only_makes_a_pause_longer(after: float, pause: float) -> None:
    """Also beyond what we would have waited."""
    assert pause_after(1, page=True, after=after, chance=Chance(0.0)) == pause


@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        ("page", PAGE_IS_TRIED),
        ("resolve", PAGE_IS_TRIED),
        ("post", OTHER_IS_TRIED),
        ("ticket", OTHER_IS_TRIED),
    ],
)
def test_what_is_tried_enough(kind: MessageKind, limit: float) -> None:
    """A page for a shift, the rest for a day."""
    row = Delivery(
        number=1, target="t", kind="", message=Message(call="c", kind=kind), accepted=100.0
    )
    assert not is_tried_enough(row, 100.0 + limit - 0.1)
    assert is_tried_enough(row, 100.0 + limit)
