"""When time alone can change something: never too late, and never all the time."""

from __future__ import annotations

import pytest
from tests.core.incident.timelines import HEALTHY, Timeline, alert, quarantined, sent

from nvsx.core.incident.next_look import JUST_AFTER, find_next_look


def next_look(line: Timeline) -> float | None:
    """When the next look is for time's sake."""
    return find_next_look(line.story, line.memory, line.sight, line.limits)


def by_looks_alone(line: Timeline, until: float) -> int:
    """Look only when asked to; how many looks that took."""
    looks = 0
    while True:
        at = next_look(line)
        if at is None or at > until:
            return looks
        line.at(at)
        looks += 1


def test_a_node_without_an_incident_is_never_looked_at_for_times_sake() -> None:
    """Only news can begin one."""
    assert next_look(Timeline()) is None


def test_the_end_of_the_quiet_is_found_by_itself() -> None:
    """All well at 70: over at 100, by the looks that were asked for and no news."""
    line = quarantined().at(70, **HEALTHY)
    by_looks_alone(line, 101)
    assert line.when("ended") == [pytest.approx(100, abs=3 * JUST_AFTER)]


def test_an_alert_that_nobody_confirms_is_closed_after_a_day() -> None:
    """Not before, and with no more than a look for each limit that passes."""
    line = Timeline().at(0, alerts=(alert(),))
    looks = by_looks_alone(line, 86_401)
    assert line.when("ended") == [pytest.approx(86_400, abs=3 * JUST_AFTER)]
    assert looks < 40


def test_waits_go_on_after_a_restart() -> None:
    """What was remembered on the monotonic clock is gone; the stored times count."""
    line = quarantined().at(5, repairs=(sent("e1"),)).at(70, **HEALTHY, boot_id="boot-2")
    line.restarted().at(80)
    by_looks_alone(line, 200)
    assert line.when("ended") == [pytest.approx(110, abs=3 * JUST_AFTER)]
