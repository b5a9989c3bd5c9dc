"""The node as its incident has it last: what is awaited, and closing without a look."""

from __future__ import annotations

import pytest
from tests.core.incident.test_stories import two_attempts
from tests.core.incident.timelines import MINUTE, NOON, Timeline, fault, quarantined, sent, warning

from nvsx.core.incident.incident_events import IncidentEnded
from nvsx.core.incident.incident_state import Stamp
from nvsx.core.incident.last_known import close_as_known, list_awaited


def closed_as_known(line: Timeline, seconds: float) -> Timeline:
    """Somebody closes it from the store; the daemon's memory stays as it was."""
    for event in close_as_known(line.story, "sam", "vendor", NOON + seconds):
        line.story = line.story.after(event, Stamp(NOON + seconds))
        line.events.append((seconds, event))
    return line


def test_what_is_awaited_is_what_was_seen_last() -> None:
    """A reboot under way: the release, the condition and the reboot are awaited."""
    line = quarantined(0, "e1").at(10, repairs=(sent("e1"),))
    assert list_awaited(line.incident, NOON + 20) == (
        "NVSentinel releases the node",
        "SysLogsXIDError 79 GPU:0 clears",
        "RebootNode maintenance-e1 takes effect",
    )


def test_nothing_is_awaited_once_it_is_over() -> None:
    """An incident that recovered."""
    assert list_awaited(two_attempts().incident, NOON + 3000) == ()


def test_closing_leaves_over_what_was_there() -> None:
    """The condition and the quarantine stand: neither opens an incident, a new id does."""
    line = closed_as_known(quarantined(0, "e1"), 60)
    ended = line.incident.ended
    assert isinstance(ended, IncidentEnded)
    assert (ended.how, ended.by, ended.text) == ("closed", "sam", "vendor")
    line.at(75).wait(20 * MINUTE)
    assert line.opened == 1
    line.at(21 * MINUTE, faults=(fault("SysLogsXIDError", "79", "e1", "e2"),))
    assert line.opened == 2


@pytest.mark.parametrize(("sent_at", "opened"), [(59.0, 1), (61.0, 2)])
def test_an_event_sent_before_the_close_opens_nothing(sent_at: float, opened: int) -> None:
    """A warning is closed a minute after it came; the store has no mark of the Event."""
    line = Timeline().at(0, faults=(warning("m1", generated_at=NOON),))
    assert line.opened == 1
    closed_as_known(line, 60)
    line.at(65, faults=(warning("m2", generated_at=NOON + sent_at),))
    assert line.opened == opened
