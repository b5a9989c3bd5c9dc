"""Several runs of one incident as one report."""

from __future__ import annotations

import msgspec
import pytest
from tests.screens import incidents
from tests.screens.incidents import T0, Story

from nvsx.core.aliases import alias_of
from nvsx.core.incident.session import Session, Times
from nvsx.core.journal import entries as j
from nvsx.core.journal.figures import MARKS
from nvsx.screens.report.incident_report import Artifact, IncidentReport, as_json
from nvsx.screens.report.report_html import page
from nvsx.screens.report.report_markdown import markdown
from nvsx.screens.report.report_merge import Told, merge

FIRST, SECOND = "r-20260105-0800-aaaa", "r-20260105-0802-bbbb"


def _told(story: Story, run_id: str, later: float = 0.0, node: str = "") -> Told:
    """The story as another run's, so many seconds later, on another node when one is named."""
    entries = []
    for e in story.entries:
        body = e.body
        if node and isinstance(body, j.Start):
            body = msgspec.structs.replace(body, target_node=node, target_alias=alias_of(node))
        entries.append(msgspec.structs.replace(e, run_id=run_id, t=e.t + later, body=body))
    return entries, [Artifact("run.json", 10, "ab" * 32)]


@pytest.fixture(name="report")
def _report() -> IncidentReport:
    """A run that failed after a minute, and its successor that saw the repair."""
    told = [_told(incidents.repaired(), SECOND, 120), _told(incidents.failed(), FIRST)]
    return merge(told, FIRST)


def test_times_are_computed_once_over_all_runs(report: IncidentReport) -> None:
    """The failed run has the fault, its successor the end: one time to repair from one to the
    other, though the run that was asked for has none."""
    (node,) = report.nodes
    figures = {m.key: m.seconds for m in report.measures}
    assert node.measures == report.measures
    assert figures["time_to_repair"] == 440.0
    assert figures["time_to_repair_without_drain"] == 340.0
    assert figures["drain"] == 100.0
    assert figures["time_to_first_notice"] == T0 + 120 + 2 - (T0 - 4)


def test_nothing_is_counted_twice(report: IncidentReport) -> None:
    """A mark that both runs saw is one line; a run's own lines are each run's once."""
    texts = [m.text for m in report.moments if m.source == "NVSentinel"]
    assert sorted(texts) == sorted({*texts})
    assert set(MARKS.values()) <= set(texts)
    by_run = [sum(m.run == run for m in report.moments) for run in (FIRST, SECOND)]
    assert all(by_run)
    assert len(report.told) == 1
    assert [m.at for m in report.moments] == sorted(m.at for m in report.moments)


def test_each_run_keeps_its_stages_and_its_failure(report: IncidentReport) -> None:
    """The runs are in order with their own outcome; a failure says whose it was."""
    assert [(p.run_id, p.status) for p in report.parts] == [(FIRST, "failed"), (SECOND, "passed")]
    assert report.status == "passed"
    assert report.total_s == 120 + 442
    assert any(line.startswith(f"{FIRST}: stage recover failed") for line in report.failures)
    assert [a.path for a in report.artifacts] == [f"{FIRST}/run.json", f"{SECOND}/run.json"]


def test_all_forms_show_both_runs(report: IncidentReport) -> None:
    """Markdown and HTML have a section a run, JSON the parts."""
    for text in (markdown(report), page(report)):
        assert text.count(FIRST) > 1
        assert text.count(SECOND) > 1
        assert "7m20s" in text
    assert [p["run_id"] for p in as_json(report)["parts"]] == [FIRST, SECOND]


def test_the_last_word_on_recovery_counts() -> None:
    """The node was ready after a first reboot and again after a second: the second is it."""
    first, second = (
        Story()
        .say(1, j.SessionSeen(session=Session(key="s", open=True)))
        .say(2, j.TimesSeen(times=Times(generated=T0 - at, node_ready=T0 + at)))
        for at in (4, 9)
    )
    times = {
        m.name: m.at for m in merge([_told(first, FIRST), _told(second, SECOND, 5)], SECOND).marks
    }
    assert times == {"generated": T0 - 9, "node_ready": T0 + 9}


def test_a_run_that_goes_on_leaves_the_incident_open() -> None:
    """While one of the runs goes on there is no end, no length and no time to repair."""
    going = Story().stage("detect", 0, 3)
    report = merge([_told(incidents.failed(), FIRST), _told(going, SECOND, 70)], FIRST)
    assert report.status == "running"
    assert report.finished is None
    assert report.total_s is None
    why = {m.key: m.why for m in report.measures}["time_to_repair"]
    assert why == "the run has not finished"


def test_nodes_of_a_storm_have_times_of_their_own() -> None:
    """Two nodes are two repairs: no figure mixes them, and both are told."""
    told = [
        _told(incidents.repaired(), FIRST),
        _told(incidents.failed(), SECOND, node="gpu-node-08"),
    ]
    report = merge(told, FIRST)
    repairs = {
        n.node: next(m.seconds for m in n.measures if m.key == "time_to_repair")
        for n in report.nodes
    }
    assert repairs == {"gpu-node-07": 440.0, "gpu-node-08": None}
    for text in (markdown(report), page(report)):
        assert "gpu-node-08" in text
        assert "and 1 more" in text
