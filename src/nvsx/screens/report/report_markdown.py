"""An incident report as Markdown, for tickets and pull requests. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from nvsx.core.durations import format as length
from nvsx.core.plain_text import one_line
from nvsx.screens.report.incident_report import (
    IncidentReport,
    Moment,
    StageRow,
    budget_words,
    clock,
    clock_words,
    headline,
    moment,
    nodes_of,
    part_words,
)

_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_[]<>|#"})


def markdown(report: IncidentReport) -> str:
    """The page."""
    parts = [f"# {_escape_text(headline(report))}", *_head_lines(report), *_failed_section(report)]
    parts += ["## Times", *_times_section(report), *_stages_by_run(report)]
    parts += ["## Who was told", *_told_section(report)]
    if report.notes:
        lines = [f"- {clock(t)} {_escape_text(note)}" for t, note in report.notes]
        parts += ["## Notes", "\n".join(lines)]
    parts += ["## What happened", *_story_section(report), "## Artifacts", _artifacts_table(report)]
    return "\n\n".join(parts) + "\n"


def _escape_text(text: str) -> str:
    """Text that Markdown draws as it is."""
    return " ".join(one_line(text).split()).translate(_SPECIAL)


def _as_code(text: str) -> str:
    text = one_line(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{text.replace('|', chr(92) + '|')}{pad}{fence}"


def _as_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def _head_lines(report: IncidentReport) -> Iterator[str]:
    if report.kind != "incident":
        yield f"**This was a {report.kind} run, not an incident.**"
    rows = [
        ("run", _as_code(report.run_id)),
        ("runbook", _as_code(report.runbook) + f" (#{report.nickname})"),
        ("node", f"{_as_code(report.node)} ({report.alias})" if report.node else "none"),
        ("cluster", _as_code(report.cluster or "unknown")),
        ("began", moment(report.began)),
        ("ended", moment(report.finished) if report.finished else "not finished"),
        ("fired by", _escape_text(report.trigger)),
    ]
    for fault in report.faults:
        codes = f" {', '.join(fault.error_codes)}" if fault.error_codes else ""
        gpus = ", ".join(f"{kind} {value}" for kind, value in fault.entities)
        rows.append(("fault", _escape_text(f"{fault.check}{codes}{f' on {gpus}' if gpus else ''}")))
    if report.reason:
        rows.append(("reason", _escape_text(report.reason)))
    yield _as_table(("", ""), rows)


def _failed_section(report: IncidentReport) -> Iterator[str]:
    if report.failures:
        yield "## What failed"
        yield "\n".join(f"- {_escape_text(line)}" for line in report.failures)


def _times_section(report: IncidentReport) -> Iterator[str]:
    for one in nodes_of(report):
        if len(report.nodes) > 1:
            yield f"### {_as_code(one.node)} ({one.alias})"
        yield _as_table(
            ("", ""),
            [
                (
                    m.label,
                    f"**{length(m.seconds)}**"
                    if m.seconds is not None
                    else f"unknown: {_escape_text(m.why)}",
                )
                for m in one.measures
            ],
        )
        if one.marks:
            yield _as_table(("mark", "time (UTC)"), [(m.label, moment(m.at)) for m in one.marks])
    if told := clock_words(report):
        yield told


def _stages_by_run(report: IncidentReport) -> Iterator[str]:
    """The stages, of each run when several are merged."""
    if not report.parts:
        yield "## Stages"
        yield _stages_table(report.stages)
        return
    yield "## Runs"
    for part in report.parts:
        yield f"### {_as_code(part.run_id)}: {_escape_text(part_words(part))}"
        yield _stages_table(part.stages)


def _stages_table(stages: Iterable[StageRow]) -> str:
    rows = []
    for s in stages:
        took = length(s.elapsed_s) if s.elapsed_s is not None else ""
        rows.append((s.id, s.status, took, budget_words(s), _escape_text(s.reason)))
    return _as_table(("stage", "status", "took", "budget", "reason"), rows)


def _told_section(report: IncidentReport) -> Iterator[str]:
    if not report.told:
        yield "Nobody was told, as far as hooks reported."
    else:
        rows = [
            (
                clock(t.at),
                _escape_text(t.target),
                _as_code(t.reference) if t.reference else "",
                t.stage,
            )
            for t in report.told
        ]
        yield _as_table(("time (UTC)", "target", "reference", "stage"), rows)
    if report.said:
        yield "\n".join(f"- {clock(t)} {_escape_text(line)}" for t, line in report.said)


def _story_section(report: IncidentReport) -> Iterator[str]:
    minute, lines = "", list[str]()
    for m in report.moments:
        if (now := moment(m.at)[:16]) != minute:
            if lines:
                yield "\n".join(lines)
            yield f"**{now} UTC**"
            minute, lines = now, []
        lines += _moment_lines(m)
    if lines:
        yield "\n".join(lines)
    if report.moments_left_out:
        yield f"{report.moments_left_out} more are in the journal."


def _moment_lines(m: Moment) -> Iterator[str]:
    source = f"{m.source}: " if m.source != "nvsx" else f"{m.run}: " if m.run else ""
    text = _escape_text(source + m.text)
    yield f"- {clock(m.at)} " + (f"**{text}**" if m.tone in ("bad", "head") else text)
    for line in m.details:
        yield f"  - {_as_code(line)}" if line.strip() else "  -"
    if m.more:
        yield f"  - {m.more} more lines"


def _artifacts_table(report: IncidentReport) -> str:
    if not report.artifacts:
        return "None."
    rows = [(_as_code(a.path), str(a.bytes), _as_code(a.sha256)) for a in report.artifacts]
    return _as_table(("file", "bytes", "SHA-256"), rows)
