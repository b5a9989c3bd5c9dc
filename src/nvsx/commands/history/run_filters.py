"""Which past runs are meant: the options that `nvsx history` and `stats` share."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated

import typer

from nvsx.core import durations
from nvsx.core.errors import NvsxError, UsageError
from nvsx.core.journal.past_runs import RunFilter
from nvsx.project.home import Home

OUTCOMES = ("passed", "failed", "cancelled", "interrupted", "running", "armed", "degraded")

Node = Annotated[str, typer.Option(help="A node's name or alias.", metavar="NODE")]
Runbook = Annotated[str, typer.Option(help="A runbook's name or nickname.", metavar="RUNBOOK")]
Outcome = Annotated[str, typer.Option(help=", ".join(OUTCOMES) + ".", metavar="OUTCOME")]
Tag = Annotated[str, typer.Option(help="A tag the runbook had.", metavar="TAG")]
Since = Annotated[
    str, typer.Option(help="Not before: 7d (ago), 2026-11-01, 2026-11-01T08:30.", metavar="WHEN")
]
Until = Annotated[str, typer.Option(help="Before: as --since.", metavar="WHEN")]
OnlySandbox = Annotated[
    bool, typer.Option("--sandbox", help="Those of sandboxes and drills instead.")
]


def filter_runs(
    home: Home,
    node: str,
    runbook: str,
    outcome: str,
    tag: str,
    since: str,
    until: str,
    sandbox: bool,
) -> RunFilter:
    if outcome and outcome not in OUTCOMES:
        raise UsageError(f"no run ends {outcome!r}", f"one of {', '.join(OUTCOMES)}")
    return RunFilter(
        node=node,
        runbook=_name_of_runbook(home, runbook),
        outcome=outcome,
        tag=tag,
        since=parse_time(since, time.time()) if since else None,
        until=parse_time(until, time.time()) if until else None,
        kind="sandbox" if sandbox else "real",
    )


def _name_of_runbook(home: Home, wanted: str) -> str:
    """The name for a nickname. A runbook that is gone is still found by its name."""
    if not wanted:
        return ""
    from nvsx.project import loader

    try:
        return loader.find(home.project.root, wanted).name
    except NvsxError:
        return wanted.removeprefix("#")


def parse_time(text: str, now: float) -> float:
    """The Unix time of `7d` (ago) or of an ISO date and time, local unless it says otherwise."""
    try:
        return now - durations.parse(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is no time", "write 7d for seven days ago, or 2026-11-01T08:30"
        ) from None


def format_length(seconds: float | None) -> str:
    return "-" if seconds is None else durations.format(max(0.0, seconds))


def format_minute(t: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(t))
