"""An incident report as Markdown, for tickets and pull requests. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from nvsx.core.durations import format as length
from nvsx.core.plain_text import one_line
from nvsx.screens.report.incident_report import (
    Moment,
    Report,
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


def markdown(report: Report) -> str:
    """The page."""
    parts = [f"# {_text(headline(report))}", *_head(report), *_failed(report)]
    parts += ["## Times", *_times(report), *_runs(report)]
    parts += ["## Who was told", *_told(report)]
    if report.notes:
        lines = [f"- {clock(t)} {_text(note)}" for t, note in report.notes]
        parts += ["## Notes", "\n".join(lines)]
    parts += ["## What happened", *_story(report), "## Artifacts", _artifacts(report)]
    return "\n\n".join(parts) + "\n"


def _text(text: str) -> str:
    """Text that Markdown draws as it is."""
    return " ".join(one_line(text).split()).translate(_SPECIAL)


def _code(text: str) -> str:
    text = one_line(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{text.replace('|', chr(92) + '|')}{pad}{fence}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def _head(report: Report) -> Iterator[str]:
    if report.kind != "incident":
        yield f"**This was a {report.kind} run, not an incident.**"
    rows = [
        ("run", _code(report.run_id)),
        ("runbook", _code(report.runbook) + f" (#{report.nickname})"),
        ("node", f"{_code(report.node)} ({report.alias})" if report.node else "none"),
        ("cluster", _code(report.cluster or "unknown")),
        ("began", moment(report.began)),
        ("ended", moment(report.finished) if report.finished else "not finished"),
        ("fired by", _text(report.trigger)),
    ]
    for fault in report.faults:
        codes = f" {', '.join(fault.error_codes)}" if fault.error_codes else ""
        gpus = ", ".join(f"{kind} {value}" for kind, value in fault.entities)
        rows.append(("fault", _text(f"{fault.check}{codes}{f' on {gpus}' if gpus else ''}")))
    if report.reason:
        rows.append(("reason", _text(report.reason)))
    yield _table(("", ""), rows)


def _failed(report: Report) -> Iterator[str]:
    if report.failures:
        yield "## What failed"
        yield "\n".join(f"- {_text(line)}" for line in report.failures)


def _times(report: Report) -> Iterator[str]:
    for one in nodes_of(report):
        if len(report.nodes) > 1:
            yield f"### {_code(one.node)} ({one.alias})"
        yield _table(
            ("", ""),
            [
                (
                    m.label,
                    f"**{length(m.seconds)}**"
                    if m.seconds is not None
                    else f"unknown: {_text(m.why)}",
                )
                for m in one.measures
            ],
        )
        if one.marks:
            yield _table(("mark", "time (UTC)"), [(m.label, moment(m.at)) for m in one.marks])
    if told := clock_words(report):
        yield told


def _runs(report: Report) -> Iterator[str]:
    """The stages, of each run when several are merged."""
    if not report.parts:
        yield "## Stages"
        yield _stages(report.stages)
        return
    yield "## Runs"
    for part in report.parts:
        yield f"### {_code(part.run_id)}: {_text(part_words(part))}"
        yield _stages(part.stages)


def _stages(stages: Iterable[StageRow]) -> str:
    rows = []
    for s in stages:
        took = length(s.elapsed_s) if s.elapsed_s is not None else ""
        rows.append((s.id, s.status, took, budget_words(s), _text(s.reason)))
    return _table(("stage", "status", "took", "budget", "reason"), rows)


def _told(report: Report) -> Iterator[str]:
    if not report.told:
        yield "Nobody was told, as far as hooks reported."
    else:
        rows = [
            (clock(t.at), _text(t.target), _code(t.reference) if t.reference else "", t.stage)
            for t in report.told
        ]
        yield _table(("time (UTC)", "target", "reference", "stage"), rows)
    if report.said:
        yield "\n".join(f"- {clock(t)} {_text(line)}" for t, line in report.said)


def _story(report: Report) -> Iterator[str]:
    minute, lines = "", list[str]()
    for m in report.moments:
        if (now := moment(m.at)[:16]) != minute:
            if lines:
                yield "\n".join(lines)
            yield f"**{now} UTC**"
            minute, lines = now, []
        lines += _moment(m)
    if lines:
        yield "\n".join(lines)
    if report.moments_left_out:
        yield f"{report.moments_left_out} more are in the journal."


def _moment(m: Moment) -> Iterator[str]:
    source = f"{m.source}: " if m.source != "nvsx" else f"{m.run}: " if m.run else ""
    text = _text(source + m.text)
    yield f"- {clock(m.at)} " + (f"**{text}**" if m.tone in ("bad", "head") else text)
    for line in m.details:
        yield f"  - {_code(line)}" if line.strip() else "  -"
    if m.more:
        yield f"  - {m.more} more lines"


def _artifacts(report: Report) -> str:
    if not report.artifacts:
        return "None."
    rows = [(_code(a.path), str(a.bytes), _code(a.sha256)) for a in report.artifacts]
    return _table(("file", "bytes", "SHA-256"), rows)
