"""What the times of NVSentinel's session say about its length."""

from __future__ import annotations

import pytest

from nvsx.core.incident.session import Session, Times


@pytest.mark.parametrize(
    ("generated", "unquarantined", "total"),
    [(None, None, None), (5.0, None, None), (None, 9.0, None), (5.0, 9.0, 4.0), (9.0, 5.0, 0.0)],
)
def test_the_time_to_repair_needs_both_ends(
    generated: float | None, unquarantined: float | None, total: float | None
) -> None:
    """From the fault to the release; clocks that disagree make it no less than nothing."""
    assert Times(generated=generated, unquarantined=unquarantined).time_to_repair() == total


@pytest.mark.parametrize(
    ("began", "finished", "left"),
    [
        (None, None, None),
        (20.0, None, None),
        (None, 30.0, 100.0),
        (20.0, 30.0, 90.0),
        (30.0, 20.0, 100.0),
        (0.0, 101.0, 0.0),
    ],
)
def test_the_drain_is_taken_off(
    began: float | None, finished: float | None, left: float | None
) -> None:
    """Only where its end was seen; with nothing to drain there is an end and no beginning."""
    times = Times(generated=0.0, unquarantined=100.0, drain_began=began, drain_finished=finished)
    assert times.time_to_repair_without_drain() == left
    assert Times(drain_finished=30.0).time_to_repair_without_drain() is None


@pytest.mark.parametrize(
    ("generated", "bare"), [(0.0, 16.0), (2.0, 14.0), (17.0, 14.0), (24.0, 14.0), (30.0, 8.0)]
)
def test_only_the_drain_of_the_fault_s_own_time_is_taken_off(generated: float, bare: float) -> None:
    """Drained from 2 s to 24 s, released at 38 s: a fault that joins at 17 s waited 7 s of it, one
    that joins after the drain none."""
    times = Times(generated=generated, drain_began=2.0, drain_finished=24.0, unquarantined=38.0)
    assert times.time_to_repair_without_drain() == bare


@pytest.mark.parametrize(
    ("generated", "quarantined", "began"),
    [(None, None, None), (5.0, None, 5.0), (None, 9.0, 9.0), (5.0, 9.0, 5.0), (9.0, 5.0, 5.0)],
)
def test_a_session_began_at_the_first_time_that_is_its(
    generated: float | None, quarantined: float | None, began: float | None
) -> None:
    """The fault's time, or the quarantine's where that is earlier: their clocks may differ."""
    assert Session(generated_at=generated, quarantined_at=quarantined).began == began
