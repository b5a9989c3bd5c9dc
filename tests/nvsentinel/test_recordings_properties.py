"""However little of a recording is seen, in whatever order its sources come: one incident."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nvsentinel.replaying import NAMES, Followed, Recording, follow, going_on, load

from nvsx.core.incident.incident_events import IncidentEntry
from nvsx.core.incident.incident_state import IncidentState, NodeStory
from nvsx.core.incident.sight import Sight

RECORDINGS = {name: load(name) for name in NAMES}


def as_it_ended(followed: Followed, last: Sight) -> dict[str, Any]:
    """What must not depend on what was seen on the way: how the last incident stands, and its
    attempts as far as the end shows them."""
    incident: IncidentState = followed.incidents[-1]
    shown = {r.uid for r in last.repairs}
    return {
        "how": incident.ended.how if incident.ended else "",
        "state": (incident.state, incident.cause.code),
        "key": incident.key,
        "attempts": [
            (a.began.kind, a.began.name, a.began.why, a.has_worked, a.failure)
            for a in incident.attempts
            if a.began.uid in shown
        ],
        "after": followed.story.open is None,
    }


def with_end(sights: list[Sight]) -> list[Sight]:
    """The sights, and 1000 s more in which nothing changes."""
    return [*sights, *going_on(sights[-1], 1000, every=15)]


WHOLE = {
    name: as_it_ended(follow(with_end(list(r.sights))), r.sights[-1])
    for name, r in RECORDINGS.items()
}


def marked_sights(recording: Recording) -> list[int]:
    """Where the last session's first event shows, which names the incident: one of these must be
    seen, or there is nothing to tell."""
    last = max(i for i, s in enumerate(recording.sights) if s.session.ids)
    first = last
    while first and set(recording.sights[first - 1].session.ids):
        first -= 1
    name = recording.sights[first].session.ids[0]
    return [i for i, s in enumerate(recording.sights) if name in s.session.ids]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60)
@given(data=st.data())
def test_any_loss_and_duplication_leaves_the_same_incident(name: str, data: st.DataObject) -> None:
    """The node was looked at before, one look shows the session, and the end is seen; whatever
    else is lost or comes twice, the end and the attempts are the same."""
    recording = RECORDINGS[name]
    count = len(recording.sights)
    seen_once = data.draw(st.sampled_from(marked_sights(recording)))
    times = data.draw(st.lists(st.sampled_from([0, 0, 1, 2]), min_size=count, max_size=count))
    times[0] = times[seen_once] = times[-1] = 1
    kept = [s for s, n in zip(recording.sights, times, strict=True) for _ in range(n)]
    assert as_it_ended(follow(with_end(kept)), kept[-1]) == WHOLE[name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("late", ["nodes", "requests"])
@pytest.mark.parametrize("by", [0.05, 0.7, 3.0])
def test_sources_come_in_any_order(name: str, late: str, by: float) -> None:
    """The watch on nodes is behind that on requests, or the other way round."""
    slow = ["nodes"] if late == "nodes" else ["rebootnodes", "terminatenodes", "gpuresets"]
    recording = load(name, dict.fromkeys(slow, by))
    found = as_it_ended(follow(with_end(list(recording.sights))), recording.sights[-1])
    assert found == WHOLE[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_sight_that_comes_twice_says_nothing_new(name: str) -> None:
    """Every sight doubled: the same events."""
    sights = list(RECORDINGS[name].sights)
    doubled = [s for sight in sights for s in (sight, sight)]
    assert follow(with_end(doubled)).events == follow(with_end(sights)).events


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(data=st.data())
def test_a_restart_at_any_sight_changes_nothing(name: str, data: st.DataObject) -> None:
    """What was stored is read again, what was remembered is gone."""
    recording = RECORDINGS[name]
    place = data.draw(st.integers(1, len(recording.sights) - 1))
    before, after = recording.sights[:place], recording.sights[place:]
    first = follow(before)
    stored = [
        IncidentEntry("i", n + 1, recording.began + t, event)
        for n, (t, event) in enumerate(first.events)
    ]
    story = NodeStory("node").after_entries(stored)
    second = follow(with_end(list(after)), story=story)
    assert as_it_ended(second, after[-1]) == WHOLE[name]
