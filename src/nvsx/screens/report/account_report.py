"""The report of an incident: its account, and below it what its runs did, as one. Pure.

What is said of the incident comes from its own journal: a run that failed, or that nobody
started, takes nothing from its attempts and times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from nvsx.core import durations
from nvsx.core.incident.incident_account import IncidentAccount
from nvsx.core.incident.incident_lines import format_clock
from nvsx.screens.incident_text import (
    count_attempts,
    describe_attempt,
    describe_fault,
    describe_fault_times,
    hold_lines,
    name_faults,
    run_lines,
)
from nvsx.screens.report.incident_report import IncidentReport, as_json
from nvsx.screens.report.report_html import (
    escape_html,
    file_of_html,
    table_in_html,
    work_in_html,
)
from nvsx.screens.report.report_markdown import (
    escape_markdown,
    table_in_markdown,
    work_in_markdown,
)

VERSION = 1
_WORK = "What its runs did"


def account_as_json(account: IncidentAccount, runs: IncidentReport | None) -> dict[str, Any]:
    """As plain values; the format only grows. `runs` is null where no run ever began."""
    return {
        "version": VERSION,
        "incident": msgspec.to_builtins(account),
        "runs": as_json(runs) if runs is not None else None,
    }


def account_in_markdown(account: IncidentAccount, runs: IncidentReport | None) -> str:
    """The page, for tickets and pull requests."""
    parts = [f"# {escape_markdown(_make_headline(account))}"]
    rows = [(word, escape_markdown(text)) for word, text in _head_rows(account)]
    parts.append(table_in_markdown(("", ""), rows))
    for title, lines in _list_sections(account):
        parts += [f"## {title}", "\n".join(f"- {escape_markdown(line)}" for line in lines)]
    if runs is not None:
        parts += work_in_markdown(runs, _WORK)
    return "\n\n".join(parts) + "\n"


def account_in_html(account: IncidentAccount, runs: IncidentReport | None) -> str:
    """The whole file."""
    return file_of_html(_make_headline(account), _html_parts(account, runs))


def _html_parts(account: IncidentAccount, runs: IncidentReport | None) -> Iterator[str]:
    yield f"<h1>{escape_html(_make_headline(account))}</h1>"
    yield table_in_html(("", ""), [(w, escape_html(text)) for w, text in _head_rows(account)])
    for title, lines in _list_sections(account):
        items = "".join(f"<li>{escape_html(line)}</li>" for line in lines)
        yield f"<h2>{title}</h2><ul>{items}</ul>"
    if runs is not None:
        yield from work_in_html(runs, _WORK)


def _make_headline(account: IncidentAccount) -> str:
    """One sentence: what, where, how it stands."""
    row = account.row
    by = f" by {account.closed_by}" if account.closed_by else ""
    stands = f"{row.how}{by}" if row.how else row.state
    return f"{name_faults(row)} on {row.node} ({account.alias}): {stands}"


def _head_rows(account: IncidentAccount) -> Iterator[tuple[str, str]]:
    row, times = account.row, account.times
    if row.sandbox or row.drill:
        yield "kind", "on a sandbox: not a real one" if row.sandbox else "a drill: not a real one"
    yield "incident", row.incident
    yield "cluster", row.cluster or "unknown"
    yield "first fault", _format_time(times.began)
    yield "seen by nvsx", _format_time(times.seen)
    yield "quarantined", _format_time(times.quarantined)
    yield "released", "not seen" if times.released is None else _format_time(times.released)
    ended = _format_time(times.ended) if row.how else "not over"
    yield "over", f"{ended}: {row.how}{_after_colon(row.cause)}" if row.how else ended
    if not row.how:
        yield "state", row.state + _after_colon(row.cause)
    if row.remedy:
        yield "remedy", row.remedy.strip(" ;")
    yield "time to repair", _format_length(row.repair_s)
    yield "whole time", _format_length(times.total_s, "not known")
    yield "attempts", count_attempts(row)
    failed = sum(run.status not in ("", "passed", "running", "armed") for run in account.runs)
    yield "runs", f"{len(account.runs)}" + (f", {failed} did not pass" if failed else "")


def _after_colon(text: str) -> str:
    return f": {text}" if text else ""


def _format_time(at: float | None) -> str:
    return "not known" if at is None else f"{format_clock(at)} UTC"


def _format_length(seconds: float | None, without: str = "none") -> str:
    return without if seconds is None else durations.format(seconds)


def _list_sections(account: IncidentAccount) -> Iterator[tuple[str, list[str]]]:
    is_over = account.row.ended is not None
    faults = [
        f"{describe_fault(f)}: {describe_fault_times(f, is_over=is_over)}" for f in account.faults
    ]
    yield "Faults", faults or ["none was named"]
    yield "Attempts", [describe_attempt(a) for a in account.attempts] or ["none was seen"]
    yield "Runs", list(run_lines(account))
    held = [*hold_lines(account), *(f"still held when it ended: {s}" for s in account.still)]
    if held:
        yield "Holds", held
    if account.awaited:
        yield "Kept open until", list(account.awaited)
    yield (
        "What happened (UTC)",
        [f"{format_clock(line.t)} {line.text}" for line in account.timeline],
    )
