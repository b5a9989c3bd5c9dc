from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from tests.screens import incidents
from tests.screens.incidents import T0, Story

from nvsx.core.incident.session import Times
from nvsx.core.journal import entries as j
from nvsx.core.journal.figures import MARKS, SPANS
from nvsx.core.masking import Masker
from nvsx.follow.processes.report_file import read_reported_lines
from nvsx.screens.report.incident_report import Artifact, IncidentReport, Measure, as_json, build
from nvsx.screens.report.report_html import page
from nvsx.screens.report.report_markdown import markdown

GOLDENS = Path(__file__).with_name("goldens")
STORIES: dict[str, Callable[[], Story]] = {
    make.__name__: make
    for make in (
        incidents.repaired,
        incidents.failed,
        incidents.cancelled,
        incidents.monitor_only,
        incidents.multi_fault,
    )
}
FILES = (Artifact("run.json", 12, "ab" * 32),)


def _made(story: Story) -> IncidentReport:
    return build(story.entries, FILES)


def _measure(report: IncidentReport, key: str) -> Measure:
    return next(m for m in report.measures if m.key == key)


@pytest.mark.parametrize("name", STORIES)
def test_the_markdown_is_as_it_was(name: str) -> None:
    """Each story's report is byte for byte the golden file; delete that to write it anew."""
    golden = GOLDENS / f"{name}.md"
    text = markdown(_made(STORIES[name]()))
    if not golden.exists():
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, "utf-8")
        pytest.fail(f"{golden} was missing; look at what was written")
    assert text == golden.read_text("utf-8")


def test_figures_are_the_time_between_marks() -> None:
    """Each figure equals the difference of its two marks, worked out by hand."""
    report = _made(incidents.repaired())
    assert {m.key: m.seconds for m in report.measures} == {
        "time_to_detect": 1.0,
        "time_to_first_notice": 6.0,
        "time_to_quarantine": 12.0,
        "drain": 100.0,
        "repair": 300.0,
        "time_to_healthy": 434.0,
        "time_to_repair": 440.0,
        "time_to_repair_without_drain": 340.0,
    }


@pytest.mark.parametrize(
    ("story", "why"),
    [
        (incidents.monitor_only(), "NVSentinel did not quarantine the node"),
        (incidents.failed(), "still in quarantine"),
        (incidents.ended("terminated"), "the node is gone"),
        (incidents.ended("cancelled", "uncordoned by hand"), "uncordoned by hand"),
    ],
)
def test_an_incident_without_repair_has_no_time_to_repair(story: Story, why: str) -> None:
    """Monitor-only, unfinished, terminated and by hand: null with the reason, never a number."""
    report = _made(story)
    for key in ("time_to_repair", "time_to_repair_without_drain"):
        assert _measure(report, key).seconds is None
        assert why in _measure(report, key).why


def test_monitor_only_says_when_the_condition_cleared() -> None:
    """Without a quarantine the report has the time until the condition cleared instead."""
    assert _measure(_made(incidents.monitor_only()), "condition_cleared").seconds == 304.0


def test_an_unfinished_run_is_told_as_far_as_it_is() -> None:
    """A report made in the middle claims no end, no length and no repair."""
    report = build(incidents.repaired().entries[:6])
    assert (report.status, report.finished, report.total_s) == ("running", None, None)
    assert _measure(report, "time_to_repair").why == "the run has not finished"


def test_who_was_told_is_kept_with_when_and_where() -> None:
    """A `notify` line becomes a notice; other lines of hooks are told beside it."""
    report = _made(incidents.repaired())
    assert [(t.at - T0, t.target, t.reference, t.stage) for t in report.told] == [
        (2.0, "pagerduty", "Q3X9ZK7", "detect")
    ]
    assert [line for _, line in report.said] == ["4 jobs lose their node"]


def test_a_stage_over_its_budget_says_by_how_much() -> None:
    """The drain took 100 s of 60: over by 40 s, on both pages."""
    report = _made(incidents.repaired())
    assert next(s for s in report.stages if s.id == "drain").over_s == 40.0
    assert "1m, over by 40s" in markdown(report)
    assert "1m, over by 40s" in page(report)


def test_everything_that_failed_is_listed_with_its_cause() -> None:
    """The failed hook and the failed stage are both named, in order."""
    assert list(_made(incidents.failed()).failures) == [
        "stage detect, hook hooks/gpu-off-bus/on-detect.sh: ended with exit code 28",
        "stage recover failed: RebootNode maintenance-1: the signal was refused",
    ]


def test_all_faults_of_a_session_are_named() -> None:
    """A fault that joined later is in the report beside the first."""
    assert [f.check for f in _made(incidents.multi_fault()).faults] == [
        "SysLogsXIDError",
        "GpuMemWatch",
    ]


def test_a_clock_that_is_ahead_is_noticed() -> None:
    """A mark later than the moment it was written down: the cluster's clock is ahead."""
    story = Story().say(10, j.TimesSeen(times=Times(generated=T0 + 40)))
    assert _made(story).clock_ahead_s == 30.0
    assert "at least 30s ahead" in markdown(_made(story))


@pytest.mark.parametrize(("ahead", "words"), [(90.5, "1m30s ahead of"), (-61.0, "1m1s behind")])
def test_a_clock_that_was_measured_is_told(ahead: float, words: str) -> None:
    """What the API server's dates said of its clock is on both pages and in the JSON."""
    first, *rest = incidents.repaired().entries
    assert isinstance(first.body, j.Start)
    start = msgspec.structs.replace(first.body, clock_ahead_s=ahead)
    report = build([msgspec.structs.replace(first, body=start), *rest])
    assert as_json(report)["clock_ahead_s"] == ahead
    for text in (markdown(report), unescape(page(report))):
        assert f"at least {words} nvsx's" in text


def test_the_json_is_the_report_itself() -> None:
    """The JSON form is plain values with a version, the same figures and files."""
    fields = json.loads(json.dumps(as_json(_made(incidents.repaired()))))
    assert fields["version"] == 1
    assert {"key": "drain", "label": "drain", "seconds": 100.0, "why": ""} in fields["measures"]
    assert fields["artifacts"] == [{"path": "run.json", "bytes": 12, "sha256": "ab" * 32}]


class _Tags(HTMLParser):
    """The tags and outside addresses of a page, and whether its elements are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.outside += [v for k, v in attrs if v and k in ("src", "href", "xlink:href")]
        if tag not in ("meta", "br", "line", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "rect"):
            assert self.open.pop() == tag


@pytest.mark.parametrize("name", STORIES)
def test_the_page_is_whole_and_alone(name: str) -> None:
    """The HTML closes what it opens, asks for nothing, runs nothing and draws a timeline."""
    text = page(_made(STORIES[name]()))
    tags = _Tags(text)
    assert tags.open == []
    assert tags.outside == []
    assert "script" not in tags.seen
    assert "svg" in tags.seen
    assert "prefers-color-scheme:dark" in text
    assert "@media print" in text


def test_text_from_outside_is_text_on_both_pages() -> None:
    """Markup and control sequences in output, notes and names are shown and do nothing."""
    evil = "<script>alert(1)</script> [x](http://y) | `a``b` \x1b[2J\u202e"
    story = Story().say(0, j.StageBegin(stage="detect")).hook(1, evil, told=f"notify target={evil}")
    story.say(5, j.NoteMade(stage="detect", text=evil, remedy=evil))
    report = _made(story)
    html, text = page(report), markdown(report)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert not re.search(r"(?<!\\)\[x\]\(", re.sub(r"`+ .*? `+", "", text))
    for made in (html, text):
        assert all(line.isprintable() for line in made.split("\n"))


def test_a_masked_secret_stays_masked(tmp_path: Path) -> None:
    """What a hook writes into its report file is masked before it can get anywhere."""
    secret = "xoxb-0123456789-abcdef"  # not a real one
    file = tmp_path / "report.txt"
    file.write_text(f"posted with {secret}\nnotify target=slack ref={secret}\n")
    story = Story().say(0, j.StageBegin(stage="detect"))
    for line in read_reported_lines(str(file), Masker({"SLACK_TOKEN": secret})):
        story.say(1, j.Reported(stage="detect", line=line))
    report = _made(story)
    for made in (page(report), markdown(report), json.dumps(as_json(report))):
        assert secret not in made
        assert "***" in made.replace("\\*", "*")


def test_a_report_file_is_read_within_bounds(tmp_path: Path) -> None:
    """Lines and their lengths are bounded, and a file that is not there has no lines."""
    file = tmp_path / "report.txt"
    file.write_text("x" * 5000 + "\n" + "y\n" * 5000)
    lines = read_reported_lines(str(file), Masker({}))
    assert len(lines) == 1000
    assert len(lines[0]) == 2000
    assert read_reported_lines(str(tmp_path / "none"), Masker({})) == ()


def test_every_figure_and_mark_is_defined_in_the_document() -> None:
    """docs/metrics.md names each figure and each mark that reports use."""
    text = Path("docs/metrics.md").read_text("utf-8")
    keys = [m.key for m in _made(incidents.repaired()).measures]
    for name in (*keys, *MARKS, *SPANS, "condition_cleared"):
        assert f"`{name}`" in text, name
