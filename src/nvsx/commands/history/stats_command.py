"""`nvsx stats`: counts, ends and times over incidents, and over past runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Annotated, Literal, get_args

import msgspec
import typer

from nvsx.commands.history.run_filters import (
    Node,
    OnlySandbox,
    Runbook,
    Since,
    Tag,
    Until,
    filter_runs,
    format_length,
    format_minute,
)
from nvsx.core import durations
from nvsx.core.aliases import alias_of
from nvsx.core.errors import UsageError
from nvsx.core.journal.incident_statistics import IncidentGroup
from nvsx.core.journal.past_runs import By
from nvsx.core.journal.statistics import Group, Repeat, Spread
from nvsx.screens.report import past_reports
from nvsx.screens.text_tables import print_table


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("stats")(stats)


def stats(  # noqa: PLR0913, PLR0917 - one parameter an option
    ctx: typer.Context,
    by: Annotated[str, typer.Option(help="runbook, fault or node.", metavar="WHAT")] = "runbook",
    node: Node = "",
    runbook: Runbook = "",
    tag: Tag = "",
    since: Since = "",
    until: Until = "",
    within: Annotated[
        str,
        typer.Option(
            help="How close repeats must be; history.repeatWindow, 72h, without.",
            metavar="DURATION",
        ),
    ] = "",
    sandbox: OnlySandbox = False,
    output: Annotated[str, typer.Option("-o", "--output", help="json.", metavar="FORMAT")] = "",
) -> None:
    """Counts, ends and times over incidents and past runs, and what keeps coming back.

    Every incident counts, whatever became of its runs. Times are the median and the 90th
    percentile of what was measured; what has no time to repair does not count in that column.
    Sandbox and drills are left out.

    Examples:
      nvsx stats --since 90d
      nvsx stats --by fault -o json
      nvsx stats --by node --within 7d
    """
    if by not in get_args(By):
        raise UsageError(f"--by {by!r} is not known", f"one of {', '.join(get_args(By))}")
    if output not in ("", "json"):
        raise UsageError(f"output format {output!r} is not known here", "use -o json")
    try:
        repeat_window = ctx.obj.settings.history.repeat_window
        window = durations.parse(within) if within else repeat_window
    except ValueError as error:
        raise UsageError(f"--within: {error}") from None
    wanted = filter_runs(ctx.obj, node, runbook, "", tag, since, until, sandbox)
    grouping: Literal["runbook", "fault", "node"] = by  # type: ignore[assignment]
    found = asyncio.run(past_reports.stats(ctx.obj, wanted, grouping, window))
    # A tag is a runbook's, and an incident has none.
    incidents = [] if tag else asyncio.run(past_reports.count_incidents(ctx.obj, wanted, grouping))
    if output == "json":
        told = {"by": by} | msgspec.to_builtins(found)
        typer.echo(json.dumps(told | {"incidents": msgspec.to_builtins(incidents)}, indent=2))
        return
    if not found.groups and not incidents:
        typer.echo("no incidents and no finished runs to count", err=True)
        return
    if incidents:
        typer.echo("incidents")
        _print_incidents(incidents, by)
    if found.groups:
        typer.echo("\nfinished runs" if incidents else "finished runs")
        _print_statistics(found.groups, by)
    _print_repeats(found.repeats, durations.format(window))


def _print_incidents(groups: Sequence[IncidentGroup], by: str) -> None:
    rows = [
        (
            _name_with_alias(g.name, by),
            str(g.incidents),
            str(g.still_open or "-"),
            ", ".join(f"{count} {how}" for how, count in g.endings.items()) or "-",
            f"{g.attempts}, {g.failed_attempts} failed" if g.failed_attempts else str(g.attempts),
            str(g.planned or "-"),
            str(g.handed_over or "-"),
            str(g.run_not_passed or "-"),
            _format_spread(g.repair),
            str(g.repair.count if g.repair else 0),
        )
        for g in groups
    ]
    print_table(
        (
            by.upper(),
            "INCIDENTS",
            "OPEN",
            "ENDED",
            "ATTEMPTS",
            "PLANNED",
            "HANDED OVER",
            "RUN NOT PASSED",
            "REPAIR P50/P90",
            "REPAIRED",
        ),
        rows,
    )


def _print_statistics(groups: Sequence[Group], by: str) -> None:
    rows = [
        (
            _name_with_alias(g.name, by),
            str(g.runs),
            ", ".join(f"{count} {status}" for status, count in g.outcomes.items()),
            str(g.degraded or "-"),
            _format_spread(g.total),
            _format_spread(g.repair),
            str(g.repair.count if g.repair else 0),
        )
        for g in groups
    ]
    print_table(
        (by.upper(), "RUNS", "OUTCOMES", "DEGRADED", "TOOK P50/P90", "REPAIR P50/P90", "REPAIRED"),
        rows,
    )
    stages = list(dict.fromkeys(stage for g in groups for stage in g.stages))
    if stages:
        typer.echo()
        typer.echo("stages that passed, p50/p90")
        print_table(
            (by.upper(), *(s.upper() for s in stages)),
            [
                (_name_with_alias(g.name, by), *(_format_spread(g.stages.get(s)) for s in stages))
                for g in groups
            ],
        )


def _print_repeats(repeats: Sequence[Repeat], within: str) -> None:
    if not repeats:
        return
    typer.echo()
    typer.echo(f"struck again within {within}")
    print_table(
        ("WHAT", "NAME", "ON NODE", "TIMES", "FIRST", "LAST", "LAST RUN"),
        [
            (
                r.kind,
                r.name,
                f"{r.node} ({alias_of(r.node)})",
                str(r.count),
                format_minute(r.first),
                format_minute(r.last),
                r.run_ids[-1],
            )
            for r in repeats
        ],
    )


def _name_with_alias(name: str, by: str) -> str:
    return f"{name} ({alias_of(name)})" if by == "node" and name else name or "-"


def _format_spread(found: Spread | None) -> str:
    return f"{format_length(found.p50)}/{format_length(found.p90)}" if found else "-"
