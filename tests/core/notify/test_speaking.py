"""When nvsx is to be asked again for time's sake, and what it leaves to others."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.incident.timelines import DAY, NOON, Timeline, failed, quarantined, repaired

from nvsx.core.incident.incident_events import RunJoined
from nvsx.core.incident.incident_state import Stamp
from nvsx.core.notify.message import Message
from nvsx.core.notify.speaking import HOOKS_HAVE, RUNS_BEGIN_WITHIN, Speaking, Spoken, speak


def with_run(line: Timeline) -> Timeline:
    """A run is at work for all of it."""
    line.story = line.story.after(RunJoined(run_id="run-1"), Stamp(line.sight.at))
    return line


def spoken(line: Timeline, at: float, *known: Message, **more: Any) -> Spoken:
    """What nvsx says so many seconds after noon."""
    asked = Speaking(incident_id="i-1", incident=line.incident, known=known, **more)
    return speak(asked, NOON + at)


def paged(at: float, **more: Any) -> Message:
    """A hook's page of so many seconds after noon."""
    return Message(call="c/1", kind="page", incident="i-1", asked=NOON + at, **more)


def test_the_next_look_is_when_a_wait_is_over() -> None:
    """People are needed at 12:05: hooks have half a minute, and a reminder is due in a day."""
    line = with_run(quarantined()).at(300, repairs=(failed("e1", "timeout"),))
    assert spoken(line, 301).next_look == NOON + 300 + HOOKS_HAVE
    after = spoken(line, 301, paged(300))
    assert (after.messages, after.next_look) == ((), NOON + 300 + DAY)
    later = spoken(line, 300 + DAY, paged(300))
    assert [m.call for m in later.messages] == ["nvsx/i-1/people/repair-timed-out/1/day/1"]
    assert later.next_look == NOON + 300 + 2 * DAY


def test_a_fault_is_given_time_to_find_its_run() -> None:
    """Where runbooks are looked for; a run by hand alone knows nothing of them."""
    line = quarantined()
    assert spoken(line, 1).next_look == NOON + RUNS_BEGIN_WITHIN
    assert spoken(line, 1, routed=False) == Spoken()
    assert spoken(with_run(line), 1) == Spoken()


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ({"at": 299}, True),
        ({"at": 300}, False),
        ({"at": 0, "cause": "repair-timed-out", "repair": 1}, False),
        ({"at": 0, "cause": "repair-timed-out", "repair": 0}, True),
        ({"at": 300, "by": "nvsx"}, True),
    ],
)
def test_a_page_counts_for_its_cause_and_attempt(page: dict[str, Any], *, says: bool) -> None:
    """Or when it was asked for since people are needed; nvsx's own for another cause does not."""
    line = with_run(quarantined()).at(300, repairs=(failed("e1", "timeout"),))
    assert bool(spoken(line, 300 + HOOKS_HAVE, paged(**page)).messages) is says


def test_what_was_said_is_not_said_again() -> None:
    """Under the same calls, whatever the words would be by now."""
    line = with_run(quarantined()).at(300, repairs=(failed("e1", "timeout"),))
    first = spoken(line, 340).messages
    assert [m.call for m in first] == ["nvsx/i-1/people/repair-timed-out/1"]
    assert spoken(line, 4000, *first).messages == ()


def test_the_end_closes_what_was_asked_for_before_it() -> None:
    """A page that a person wants after the end is theirs to close."""
    line = repaired().wait(120)
    calls = [m.call for m in spoken(line, 130, paged(5)).messages]
    assert calls == ["nvsx/i-1/over/watch", "nvsx/i-1/over/people", "nvsx/i-1/over"]
    assert spoken(line, 130, paged(125)).messages == ()
    assert spoken(line, 130).messages == ()


def test_the_end_of_a_silenced_incident_closes_what_is_open() -> None:
    """A silence begun in the midst leaves no page behind."""
    line = repaired().wait(120)
    assert len(spoken(line, 130, paged(5), silenced=True).messages) == 3
