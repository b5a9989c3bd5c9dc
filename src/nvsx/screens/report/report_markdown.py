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
    parts = [
        f"# {escape_markdown(headline(report))}",
        *_head_lines(report),
        *_failed_section(report),
    ]
    parts += ["## Times", *_times_section(report), *work_in_markdown(report, "What happened")]
    return "\n\n".join(parts) + "\n"


def work_in_markdown(report: IncidentReport, title: str) -> Iterator[str]:
    """What runs did: stages, whom they told, notes, their story below `title`, artifacts."""
    yield from _stages_by_run(report)
    yield "## Who was told"
    yield from _told_section(report)
    if report.notes:
        yield "## Notes"
        yield "\n".join(f"- {clock(t)} {escape_markdown(note)}" for t, note in report.notes)
    yield f"## {title}"
    yield from _story_section(report)
    yield "## Artifacts"
    yield _artifacts_table(report)


def escape_markdown(text: str) -> str:
    """Text that Markdown draws as it is."""
    return " ".join(one_line(text).split()).translate(_SPECIAL)


def code_in_markdown(text: str) -> str:
    text = one_line(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{text.replace('|', chr(92) + '|')}{pad}{fence}"


def table_in_markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def _head_lines(report: IncidentReport) -> Iterator[str]:
    if report.kind != "incident":
        yield f"**This was a {report.kind} run, not an incident.**"
    rows = [
        ("run", code_in_markdown(report.run_id)),
        ("runbook", code_in_markdown(report.runbook) + f" (#{report.nickname})"),
        ("node", f"{code_in_markdown(report.node)} ({report.alias})" if report.node else "none"),
        ("cluster", code_in_markdown(report.cluster or "unknown")),
        ("began", moment(report.began)),
        ("ended", moment(report.finished) if report.finished else "not finished"),
        ("fired by", escape_markdown(report.trigger)),
    ]
    for fault in report.faults:
        codes = f" {', '.join(fault.error_codes)}" if fault.error_codes else ""
        gpus = ", ".join(f"{kind} {value}" for kind, value in fault.entities)
        rows.append(
            ("fault", escape_markdown(f"{fault.check}{codes}{f' on {gpus}' if gpus else ''}"))
        )
    if report.reason:
        rows.append(("reason", escape_markdown(report.reason)))
    yield table_in_markdown(("", ""), rows)


def _failed_section(report: IncidentReport) -> Iterator[str]:
    if report.failures:
        yield "## What failed"
        yield "\n".join(f"- {escape_markdown(line)}" for line in report.failures)


def _times_section(report: IncidentReport) -> Iterator[str]:
    for one in nodes_of(report):
        if len(report.nodes) > 1:
            yield f"### {code_in_markdown(one.node)} ({one.alias})"
        yield table_in_markdown(
            ("", ""),
            [
                (
                    m.label,
                    f"**{length(m.seconds)}**"
                    if m.seconds is not None
                    else f"unknown: {escape_markdown(m.why)}",
                )
                for m in one.measures
            ],
        )
        if one.marks:
            yield table_in_markdown(
                ("mark", "time (UTC)"), [(m.label, moment(m.at)) for m in one.marks]
            )
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
        yield f"### {code_in_markdown(part.run_id)}: {escape_markdown(part_words(part))}"
        yield _stages_table(part.stages)


def _stages_table(stages: Iterable[StageRow]) -> str:
    rows = []
    for s in stages:
        took = length(s.elapsed_s) if s.elapsed_s is not None else ""
        rows.append((s.id, s.status, took, budget_words(s), escape_markdown(s.reason)))
    return table_in_markdown(("stage", "status", "took", "budget", "reason"), rows)


def _told_section(report: IncidentReport) -> Iterator[str]:
    if not report.told:
        yield "Nobody was told, as far as hooks reported."
    else:
        rows = [
            (
                clock(t.at),
                escape_markdown(t.target),
                escape_markdown(t.words),
                code_in_markdown(t.reference) if t.reference else "",
                t.stage,
            )
            for t in report.told
        ]
        yield table_in_markdown(("time (UTC)", "target", "what", "reference", "stage"), rows)
    if report.said:
        yield "\n".join(f"- {clock(t)} {escape_markdown(line)}" for t, line in report.said)


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
    text = escape_markdown(source + m.text)
    yield f"- {clock(m.at)} " + (f"**{text}**" if m.tone in ("bad", "head") else text)
    for line in m.details:
        yield f"  - {code_in_markdown(line)}" if line.strip() else "  -"
    if m.more:
        yield f"  - {m.more} more lines"


def _artifacts_table(report: IncidentReport) -> str:
    if not report.artifacts:
        return "None."
    rows = [
        (code_in_markdown(a.path), str(a.bytes), code_in_markdown(a.sha256))
        for a in report.artifacts
    ]
    return table_in_markdown(("file", "bytes", "SHA-256"), rows)
