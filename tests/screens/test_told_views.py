"""Who was told, on the screens of a run: the deck, the plain lines and the report."""

from __future__ import annotations

from typing import Any

import pytest

from nvsx.core.journal import entries as j
from nvsx.core.journal.entry_lines import lines_of
from nvsx.core.journal.fold import RunState
from nvsx.screens.deck import panels, stage_pane, told_pane
from nvsx.screens.deck.rows import text_of
from nvsx.screens.report import incident_report
from nvsx.screens.report.report_html import page as render_html
from nvsx.screens.report.report_markdown import markdown as render_markdown


def told(number: int, state: str = "delivered", **more: Any) -> j.Told:
    """One outcome."""
    given = {
        "stage": "detect",
        "call": f"r/{number}",
        "target": "oncall",
        "words": f'told oncall: page opened: "gpu-7 {number}" · Q{number}',
        "title": f"gpu-7 {number}",
        "text": f"gpu-7 {number} fell off the bus",
        "action": "open page",
        "ref": f"Q{number}",
    }
    return j.Told(number=number, state=state, **(given | more))


FAILED = told(
    3,
    "waiting",
    target="gpu-ops",
    words="gpu-ops (slack): post not delivered yet (try 1, again 03:14Z): 503",
    failing=True,
)


def journal(*bodies: j.RunEvent) -> list[j.Entry]:
    """A run of one stage in which these came."""
    plan = j.StagePlan(id="detect", title="Detect")
    start = j.Start(runbook="t", nickname="n", target_node="gpu-7", stages=(plan,))
    begun = j.StageBegin(stage="detect", title="Detect")
    return [j.Entry("r-1", n, 1000.0 + n, b) for n, b in enumerate((start, begun, *bodies), 1)]


def test_the_deck_shows_who_was_told_and_what_fails_first() -> None:
    """In its words, with time and receipt; a failing one is red, one that nobody needed is not
    there."""
    state = RunState.of(journal(told(1), told(2), FAILED, told(4, "dropped")))
    rows = told_pane.told_facts(state, 120)
    texts = [text_of(row).strip() for row in rows]
    assert texts[1] == "Told"
    assert texts[2].startswith("✗ ")
    assert "503" in texts[2]
    assert {span.tone for span in rows[2]} == {"bad"}
    assert 'page opened: "gpu-7 2" · Q2' in texts[3]
    assert len(texts) == 5
    assert any("503" in text_of(row) for row in panels.facts(state, 1010.0, 120))


def test_the_newest_outcome_of_a_message_counts() -> None:
    """What failed and then arrived fails no more, and degrades no run."""
    arrived = told(3, target="gpu-ops", words="told gpu-ops: posted")
    state = RunState.of(journal(FAILED, arrived))
    assert not state.degraded
    assert [text_of(r).strip()[-20:] for r in told_pane.told_facts(state, 120)[2:]] == [
        "told gpu-ops: posted"
    ]
    assert RunState.of(journal(FAILED)).degraded


@pytest.mark.parametrize("count", [8, 9])
def test_the_deck_shows_the_newest_few(count: int) -> None:
    """A long run's words would fill the screen."""
    state = RunState.of(journal(*(told(n) for n in range(1, count + 1))))
    texts = [text_of(row) for row in told_pane.told_facts(state, 120)[2:]]
    assert len(texts) == told_pane.TOLD_SHOWN
    assert f'"gpu-7 {count}"' in texts[0]


def test_a_run_that_told_nobody_has_no_pane() -> None:
    """No empty heading."""
    assert told_pane.told_facts(RunState.of(journal()), 120) == []


def test_a_narrow_screen_shows_it_with_its_stage() -> None:
    """There the facts have no room."""
    state = RunState.of(journal(told(1), told(2, stage="drain")))
    stage = state.stages[0]
    texts = [text_of(row) for row in stage_pane.body(state, stage, 1010.0, 90)]
    assert sum("gpu-7 1" in text for text in texts) == 1
    assert not any("gpu-7 2" in text for text in texts)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (told(1), 'told oncall: page opened: "gpu-7 1" · Q1'),
        (
            told(1, "would", words="would tell oncall: page opened"),
            "would tell oncall: page opened",
        ),
        (FAILED, FAILED.words),
        (told(1, "dropped"), None),
    ],
)
def test_a_run_says_in_a_line_who_was_told(event: j.Told, line: str | None) -> None:
    """In plain output and in the daemon's log."""
    entry = journal(event)[-1]
    assert [found.text.strip() for found in lines_of(entry)] == ([line] if line else [])


def test_the_report_has_the_words_and_what_did_not_arrive() -> None:
    """Not only the stage: what was said to whom, with its receipt."""
    hook = j.Reported(stage="detect", line="notify target=pager ref=P1")
    report = incident_report.build(journal(told(1), FAILED, hook))
    assert [(t.target, t.reference, t.words) for t in report.told] == [
        ("oncall", "Q1", "open page: gpu-7 1 fell off the bus"),
        ("pager", "P1", ""),
    ]
    assert report.degraded
    assert f"not everybody was told: {FAILED.words}" in report.failures
    for text in (render_markdown(report), render_html(report)):
        assert "gpu-7 1 fell off the bus" in text
        assert "503" in text
