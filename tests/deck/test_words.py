"""What the deck says of a run: only what was observed, and the same on leaving."""

from __future__ import annotations

from tests.deck import journals
from tests.deck.journals import T0, Story

from nvsx.core.incident.session import Session, Times
from nvsx.core.journal import entries as j
from nvsx.core.journal.fold import RunState
from nvsx.screens.deck import deck_words
from nvsx.screens.deck.summary import summary


def state_of(story: Story) -> RunState:
    """The fold of a story."""
    return RunState.of(story.entries)


def test_the_incident_clock_runs_from_the_faults_generation() -> None:
    """It counts from the generated time, not from the run's start; None without a fault."""
    assert deck_words.incident_clock(state_of(journals.running()), T0 + 100) == 104
    assert deck_words.incident_clock(state_of(journals.armed()), T0 + 100) is None


def test_the_incident_clock_stops_when_the_node_is_released() -> None:
    """After the release more time does not add to the incident."""
    state = state_of(journals.degraded())
    assert deck_words.incident_clock(state, T0 + 9999) == 888


def test_a_trigger_event_starts_the_clock_before_the_session_is_seen() -> None:
    """The event that fired the run tells when the fault was generated."""
    start = j.Start("r", "n", target_node="a", trigger_event={"generated_at": T0 - 30})
    assert deck_words.incident_clock(state_of(Story().say(start)), T0) == 30


def test_a_fault_nobody_took_on_is_not_no_fault() -> None:
    """Without a session nothing tells when it began: the deck says when it was seen."""
    story = Story().say(
        j.Start("r", "n", target_node="a", stages=(j.StagePlan(id="detect"),)),
        j.StageBegin("detect"),
    )
    assert deck_words.incident_words(state_of(story), story.at) == "no fault yet"
    story.say(j.StageEnd("detect", "pass", 2.0))
    ended = state_of(story).stages[0].ended
    assert ended is not None
    assert deck_words.incident_words(state_of(story), ended + 125) == "seen 2m ago"


def test_no_time_to_repair_is_made_up() -> None:
    """Times alone are no repair: a manual uncordon ends without one."""
    times = Times(generated=T0, unquarantined=T0 + 60)
    story = Story().start().say(j.TimesSeen(times))
    story.say(j.SessionSeen(Session(key="k", ending="cancelled")))
    assert deck_words.time_to_repair(state_of(story)) == "not yet"
    story.say(j.Finish(ok=True, status="passed", condition_cleared_s=75.0))
    assert deck_words.time_to_repair(state_of(story)) == "none, cleared after 1m15s"
    assert deck_words.time_to_repair(state_of(journals.failed())) == "none"


def test_a_watch_that_was_not_looked_at_holds_nothing() -> None:
    """Planned watches count as awaited, never as holding."""
    story = Story().start().begin("recover")
    story.watch("recover", "satisfied", index=0)
    text = deck_words.headline(state_of(story), T0)[1]
    assert text == "recover awaits: the node is Ready (1 of 4 hold)"


def test_the_summary_tells_the_whole_run() -> None:
    """Stages with status and time, scripts, notes, time to repair and the folder."""
    lines = summary(state_of(journals.degraded()), T0 + 1000, "nvsx-artifacts")
    text = "\n".join(lines)
    assert lines[0] == (
        "gpu-off-bus (#rogue-moose) on gpu-node-07 (brave-gazelle) · run r-20260105-0800-0007"
    )
    assert "  ✓ drain        passed 3m32s" in text
    assert "✗ hook on-detect.sh (detect: exit code 28)" in text
    assert "unmet        ! janitor: 0 of 1 ready" in text
    assert "time to repair 14m48s (11m20s without drain)" in text
    assert lines[-1] == "artifacts    nvsx-artifacts/r-20260105-0800-0007"


def test_the_summary_of_a_run_that_was_left_says_what_it_waits_for() -> None:
    """Left while waiting, the summary keeps the note and its remedy."""
    lines = summary(state_of(journals.overdue()), T0 + 3700)
    text = "\n".join(lines)
    assert "▶ drain        running 1h1m" in text
    assert ", overdue" in text
    assert "→ Nothing to do if they may finish." in text
    assert "mira: asked the training team to checkpoint" in text
    assert "still running: drain awaits: " in text


def test_the_summary_of_hostile_output_is_plain() -> None:
    """No control sequence of a note or a detail reaches the scrollback."""
    for line in summary(state_of(journals.hostile()), T0):
        assert line.isprintable()


def test_lengths_are_short_and_true() -> None:
    """Whole seconds, two units at most, never rounded up."""
    assert [deck_words.length(s) for s in (0.9, 59.9, 61, 3661, 90061, -5)] == [
        "0s",
        "59s",
        "1m1s",
        "1h1m",
        "1d1h",
        "0s",
    ]
