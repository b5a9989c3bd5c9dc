"""Journal entries as lines a person reads: pure, without colour or terminal.

`lines_of` turns one entry into zero or more `Line`s. The plain view prints them, and the
same words serve the deck's log, the daemon's `runs follow` and the report.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from nvsx.core import durations
from nvsx.core.journal import entries as j

Tone = Literal["plain", "good", "bad", "warn", "dim", "head"]


class Line(NamedTuple):
    """`mark` is one character of its own column; `text` may hold any script's output."""

    mark: str
    text: str
    tone: Tone = "plain"


_STATUS: dict[str, tuple[str, Tone, str]] = {
    "pass": ("✓", "good", "passed"),
    "fail": ("✗", "bad", "failed"),
    "timeout": ("✗", "bad", "timed out"),
    "skipped": ("-", "dim", "skipped"),
    "cancelled": ("✗", "warn", "cancelled"),
}
_VERDICT: dict[str, tuple[str, Tone]] = {
    "satisfied": ("✓", "good"),
    "pending": ("·", "dim"),
    "unknown": ("?", "warn"),
    "failed": ("✗", "bad"),
    "invalid": ("✗", "bad"),
}


def node_name(node: str, alias: str) -> str:
    """A node with its alias beside it, as everywhere."""
    return f"{node} ({alias})" if alias else node


def lines_of(entry: j.Entry) -> list[Line]:
    """The lines of one entry."""
    body = entry.body
    match body:
        case j.Start():
            return _describe_start(entry.run_id, body)
        case j.Armed():
            return [Line("…", f"armed: waiting for {body.waiting_for}", "head")]
        case j.Target():
            node = node_name(body.target_node, body.target_alias)
            return [Line("→", f"target {node}: {body.reason}", "head")]
        case j.PrerequisiteChecked():
            mark, tone = ("✓", "good") if body.ok else ("!", "warn")
            return [Line(mark, f"prerequisite {body.name}: {body.detail}", tone)]  # type: ignore[arg-type]
        case j.StageBegin():
            again = f", repair {body.repair}" if body.repair > 1 else ""
            title = f": {body.title}" if body.title else ""
            return [Line("▸", f"{body.stage}{again}{title}", "head")]
        case j.StageEnd():
            return [_describe_stage_end(body)]
        case j.Finish():
            return _describe_finish(body)
        case _:
            return _describe_within_stage(body)


def _describe_within_stage(body: j.RunEvent) -> list[Line]:
    """What happens inside a stage."""
    match body:
        case j.WatchChange():
            mark, tone = _VERDICT[body.verdict]
            detail = f" ({body.detail})" if body.detail else ""
            return [Line(mark, f"  {body.describe or body.kind}{detail}", tone)]
        case j.NoteMade():
            who = f"{body.author}: " if body.author else ""
            lines = [Line("!", f"  {who}{body.text}", "warn")]
            if body.remedy:
                lines.append(Line(" ", f"    {body.remedy}", "warn"))
            return lines
        case j.Output():
            return [Line("│", f"  {body.line}", "dim" if body.stream == "stderr" else "plain")]
        case j.Narrated():
            return [Line(" ", f"  {body.text}")]
        case j.Overdue():
            text = f"  overdue: longer than {durations.format(body.budget_s)}"
            return [Line("!", text, "warn")]
        case j.Resumed():
            return [Line("↻", f"resumed by {body.owner}", "head")]
        case j.CancelAsked():
            return [Line("✗", f"cancelled by {body.by}: {body.reason}", "warn")]
        case _:
            return _describe_script(body)


def _describe_script(body: j.RunEvent) -> list[Line]:
    match body:
        case j.ActionBegin():
            return [Line("»", f"  action {body.script}")]
        case j.HookBegin():
            again = f", attempt {body.attempt}" if body.attempt > 1 else ""
            word = "hook" if body.purpose == "hook" else f"{body.purpose} hook"
            return [Line("»", f"  {word} {body.hook}{again}")]
        case j.MessageAsked():
            return _describe_asked(body)
        case j.Told() if body.state != "dropped":
            return [Line("!" if body.failing else "✉", f"  {body.words}", _tone_of_told(body))]
        case j.ActionEnd() if body.exit_code != 0:
            return [
                Line(
                    "✗",
                    f"  action {body.script}: {_explain_exit(body.exit_code, body.detail)}",
                    "bad",
                )
            ]
        case j.HookEnd() if body.exit_code != 0:
            return [
                Line(
                    "✗", f"  hook {body.hook}: {_explain_exit(body.exit_code, body.detail)}", "bad"
                )
            ]
        case _:
            return []


def _describe_asked(body: j.MessageAsked) -> list[Line]:
    """Who is to be told what: whether it has arrived is told when it has."""
    to = ", ".join(body.targets) or "nobody: no target is set up for it"
    title = body.title or body.text
    if body.kind == "resolve":
        return [Line("✉", f"  resolve: {title}" if title else "  resolve")]
    severity = f" ({body.severity})" if body.severity else ""
    lines = [Line("✉", f"  {body.kind}{severity} for {to}: {title}")]
    return [*lines, Line("!", f"    {body.problem}", "warn")] if body.problem else lines


def _tone_of_told(body: j.Told) -> Tone:
    return "bad" if body.failing else "dim" if body.state == "would" else "plain"


def _explain_exit(code: int | None, detail: str) -> str:
    return detail or f"exit code {code}"


def _describe_start(run_id: str, body: j.Start) -> list[Line]:
    where = node_name(body.target_node, body.target_alias) if body.target_node else "no node yet"
    kind = " · sandbox" if body.sandbox else ""
    kind += " · drill" if body.drill else ""
    kind += " · late" if body.late else ""
    head = f"{body.runbook} ({body.nickname}) on {where}{kind} · run {run_id}"
    return [Line("●", head, "head")]


def _describe_stage_end(body: j.StageEnd) -> Line:
    mark, tone, word = _STATUS[body.status]
    if body.status == "skipped":
        return Line(mark, f"{body.stage} skipped: {body.reason}", tone)
    late = ", overdue" if body.overdue else ""
    text = f"{body.stage} {word} in {durations.format(body.elapsed_s)}{late}"
    on = "; going on" if body.continued else ""
    return Line(mark, f"{text}: {body.reason}{on}" if body.reason else text, tone)


def _describe_finish(body: j.Finish) -> list[Line]:
    tone: Tone = "good" if body.ok else "warn" if body.status == "cancelled" else "bad"
    extra = " (degraded)" if body.degraded else ""
    if body.attempts > 1:
        extra += f" ({body.attempts} repair attempts)"
    text = f"run {body.status}{extra} after {durations.format(body.total_s)}"
    lines = [Line("✓" if body.ok else "✗", f"{text}: {body.reason}" if body.reason else text, tone)]
    if body.mttr_s is not None:
        bare = body.mttr_without_drain_s
        without = f" ({durations.format(bare)} without drain)" if bare is not None else ""
        lines.append(Line(" ", f"time to repair {durations.format(body.mttr_s)}{without}", tone))
    elif body.condition_cleared_s is not None:
        cleared = durations.format(body.condition_cleared_s)
        lines.append(Line(" ", f"no quarantine; the condition cleared after {cleared}", tone))
    return lines
