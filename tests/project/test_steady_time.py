"""The process's own time goes on evenly, whatever is done to the wall clock."""

from __future__ import annotations

import time

import pytest

from nvsx.follow.cluster_access import SystemClock
from nvsx.project.steady_time import read_time


@pytest.mark.parametrize("by", [3600.0, -86_400.0])
def test_a_wall_clock_that_is_set_moves_no_time_of_ours(
    monkeypatch: pytest.MonkeyPatch, by: float
) -> None:
    """An hour ahead, a day back: the two clocks of a run go on from where they were."""
    before = read_time()
    really = time.time
    monkeypatch.setattr(time, "time", lambda: really() + by)
    for now in (read_time(), SystemClock().now()):
        assert 0 <= now - before < 1800
