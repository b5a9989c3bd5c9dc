"""`nvsx history`, `report` and `stats`: past runs, one incident, time to repair over many."""

from __future__ import annotations

import asyncio
import csv
import inspect
import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from nvsx.commands.help_examples import marked
from nvsx.commands.history import upkeep_command
from nvsx.core import durations
from nvsx.core.aliases import alias_of
from nvsx.core.errors import NvsxError, UsageError
from nvsx.core.journal.past_runs import By, RunFilter
from nvsx.project.home import Home
from nvsx.screens.text_tables import print_table

if TYPE_CHECKING:
    from nvsx.core.journal.run_rows import RunRow
    from nvsx.core.journal.statistics import Group, Repeat, Spread

REPORT_FORMATS = ("md", "html", "json")
OUTCOMES = ("passed", "failed", "cancelled", "interrupted", "running", "armed", "degraded")

Node = Annotated[str, typer.Option(help="A node's name or alias.", metavar="NODE")]
Runbook = Annotated[str, typer.Option(help="A runbook's name or nickname.", metavar="RUNBOOK")]
Outcome = Annotated[str, typer.Option(help=", ".join(OUTCOMES) + ".", metavar="OUTCOME")]
Tag = Annotated[str, typer.Option(help="A tag the runbook had.", metavar="TAG")]
Since = Annotated[
    str, typer.Option(help="Not before: 7d (ago), 2026-11-01, 2026-11-01T08:30.", metavar="WHEN")
]
Until = Annotated[str, typer.Option(help="Before: as --since.", metavar="WHEN")]
Staged = Annotated[bool, typer.Option("--sandbox", help="Sandbox and drill runs instead.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    past = typer.Typer(rich_markup_mode=None)
    past.callback(invoke_without_command=True, help=marked(inspect.getdoc(history) or ""))(history)
    upkeep_command.register(past)
    app.add_typer(past, name="history")
    app.command("report")(report)
    app.command("stats")(stats)


# --- history ------------------------------------------------------------------------------


def history(  # noqa: PLR0913, PLR0917 - one parameter an option
    ctx: typer.Context,
    node: Node = "",
    runbook: Runbook = "",
    outcome: Outcome = "",
    tag: Tag = "",
    since: Since = "",
    until: Until = "",
    sandbox: Staged = False,
    limit: Annotated[int, typer.Option(help="At most so many; 0 for all.", metavar="N")] = 50,
    output: Annotated[
        str, typer.Option("-o", "--output", help="json or csv.", metavar="FORMAT")
    ] = "",
) -> None:
    """Past runs, newest first. Sandbox and drill runs are kept apart.

    Examples:
      nvsx history --node brave-gazelle --since 30d
      nvsx history --outcome failed -o json | jq -r '.[].run_id'
      nvsx history --sandbox
    """
    from nvsx.screens.report import past_reports

    if ctx.invoked_subcommand is not None:
        return
    if output not in ("", "json", "csv"):
        raise UsageError(f"output format {output!r} is not known here", "use -o json or -o csv")
    home: Home = ctx.obj
    wanted = _filter(home, node, runbook, outcome, tag, since, until, sandbox)
    rows = asyncio.run(past_reports.history(home, wanted, limit or None))
    if output == "json":
        typer.echo(json.dumps([_fields(row) for row in rows], indent=2))
    elif output == "csv":
        _csv(rows)
    else:
        _history_table(rows, limit, sandbox)


def _filter(
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
        runbook=_runbook_name(home, runbook),
        outcome=outcome,
        tag=tag,
        since=when(since, time.time()) if since else None,
        until=when(until, time.time()) if until else None,
        kind="sandbox" if sandbox else "real",
    )


def _runbook_name(home: Home, wanted: str) -> str:
    """The name for a nickname. A runbook that is gone is still found by its name."""
    from nvsx.project import loader

    if not wanted:
        return ""
    try:
        return loader.find(home.project.root, wanted).name
    except NvsxError:
        return wanted.removeprefix("#")


def when(text: str, now: float) -> float:
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


def _fields(row: RunRow) -> dict[str, Any]:
    """A run as JSON and CSV have it; the format only grows."""
    return {
        "run_id": row.run_id,
        "runbook": row.runbook,
        "node": row.node,
        "alias": alias_of(row.node) if row.node else "",
        "cluster": row.cluster,
        "trigger": row.trigger,
        "outcome": row.status,
        "degraded": row.degraded,
        "began": round(row.created, 3),
        "finished": round(row.finished, 3) if row.finished is not None else None,
        "total_s": round(row.finished - row.created, 3) if row.finished is not None else None,
        "mttr_s": row.mttr_s,
        "reason": row.reason,
        "session": row.session_key,
        "sandbox": row.sandbox,
        "drill": row.drill,
        "project": row.project,
    }


def _csv(rows: Sequence[RunRow]) -> None:
    if not rows:
        return
    fields = [_fields(row) for row in rows]
    out = csv.DictWriter(sys.stdout, list(fields[0]), lineterminator="\n")
    out.writeheader()
    out.writerows(fields)


def _history_table(rows: Sequence[RunRow], limit: int, sandbox: bool) -> None:
    if not rows:
        other = "" if sandbox else "; sandbox and drill runs are under --sandbox"
        typer.echo(f"no such runs{other}", err=True)
        return
    cells = []
    for row in rows:
        node = f"{row.node} ({alias_of(row.node)})" if row.node else "-"
        took = _length(row.finished - row.created) if row.finished is not None else "-"
        outcome = row.status + (" (degraded)" if row.degraded else "")
        cells.append(
            (row.run_id, _local(row.created), row.runbook, node, outcome, took, _length(row.mttr_s))
        )
    print_table(("RUN", "BEGAN", "RUNBOOK", "NODE", "OUTCOME", "TOOK", "TO REPAIR"), cells)
    if limit and len(rows) == limit:
        typer.echo(f"the newest {limit}; more with --limit", err=True)


# --- report -------------------------------------------------------------------------------


def report(
    ctx: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="The run's id; with --since also a node.")
    ],
    since: Annotated[
        str,
        typer.Option(
            help="Merge the incident's runs that began since: 2h (ago), 2026-11-01T08:30.",
            metavar="WHEN",
        ),
    ] = "",
    output: Annotated[
        str, typer.Option("-o", "--output", help="md, html or json.", metavar="FORMAT")
    ] = "md",
    file: Annotated[
        Path | None, typer.Option("--file", help="Write it there.", metavar="FILE")
    ] = None,
    former_format: Annotated[str | None, typer.Option("--format", hidden=True)] = None,
) -> None:
    """One incident: what happened when, who was told, what failed, how long it all took.

    With --since the runs of one incident become one report: those on the node within the same
    quarantine (a failed run and its successor), and the members of a storm. Times are computed
    once for each node.

    Examples:
      nvsx report r-20261122-1431-7k3f
      nvsx report r-20261122-1431-7k3f -o html --file incident.html
      nvsx report brave-gazelle --since 2h
    """
    from nvsx.screens.report import past_reports
    from nvsx.screens.report.incident_report import as_json
    from nvsx.screens.report.report_html import page
    from nvsx.screens.report.report_markdown import markdown

    refuse_former_spelling(output, former_format)
    if since:
        made = asyncio.run(past_reports.merged_report(ctx.obj, run, when(since, time.time())))
    else:
        made = asyncio.run(past_reports.report(ctx.obj, run))
    if output == "json":
        text = json.dumps(as_json(made), indent=2) + "\n"
    else:
        text = markdown(made) if output == "md" else page(made)
    if file is None:
        typer.echo(text, nl=False)
        return
    try:
        file.write_text(text, "utf-8", errors="replace")
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}", "name a file you can write"
        ) from None
    typer.echo(f"wrote {file}", err=True)


def refuse_former_spelling(output: str, former_format: str | None) -> None:
    """Raise UsageError for a format that is none. `-o` once named the file, and `--format` the
    format: whoever still writes that is told today's words, and no file gets an odd name."""
    if former_format is not None:
        known = former_format if former_format in REPORT_FORMATS else "html"
        raise UsageError("report has no --format", f"write -o {known}; --file names the file")
    if output in REPORT_FORMATS:
        return
    ending = Path(output).suffix.lstrip(".").lower()
    named = {"htm": "html", "markdown": "md"}.get(ending, ending)
    hint = "use -o md, html or json"
    if named in REPORT_FORMATS or "/" in output:
        form = f"-o {named} " if named in REPORT_FORMATS else ""
        hint = f"-o names the format; to write that file: {form}--file {output}"
    raise UsageError(f"output format {output!r} is not known here", hint)


# --- stats --------------------------------------------------------------------------------


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
    sandbox: Staged = False,
    output: Annotated[str, typer.Option("-o", "--output", help="json.", metavar="FORMAT")] = "",
) -> None:
    """Counts, outcomes and times over past runs, and what keeps coming back.

    Times are the median and the 90th percentile of what was measured; a run without a time
    to repair does not count in that column. Sandbox and drill runs are left out.

    Examples:
      nvsx stats --since 90d
      nvsx stats --by fault -o json
      nvsx stats --by node --within 7d
    """
    from nvsx.screens.report import past_reports

    if by not in get_args(By):
        raise UsageError(f"--by {by!r} is not known", f"one of {', '.join(get_args(By))}")
    if output not in ("", "json"):
        raise UsageError(f"output format {output!r} is not known here", "use -o json")
    try:
        repeat_window = ctx.obj.settings.history.repeat_window
        window = durations.parse(within) if within else repeat_window
    except ValueError as error:
        raise UsageError(f"--within: {error}") from None
    wanted = _filter(ctx.obj, node, runbook, "", tag, since, until, sandbox)
    grouping: Literal["runbook", "fault", "node"] = by  # type: ignore[assignment]
    found = asyncio.run(past_reports.stats(ctx.obj, wanted, grouping, window))
    if output == "json":
        import msgspec

        typer.echo(json.dumps({"by": by} | msgspec.to_builtins(found), indent=2))
        return
    if not found.groups:
        typer.echo("no finished runs to count", err=True)
        return
    _stats_tables(found.groups, by)
    _repeats_table(found.repeats, durations.format(window))


def _stats_tables(groups: Sequence[Group], by: str) -> None:
    rows = [
        (
            _named(g.name, by),
            str(g.runs),
            ", ".join(f"{count} {status}" for status, count in g.outcomes.items()),
            str(g.degraded or "-"),
            _spread(g.total),
            _spread(g.repair),
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
            [(_named(g.name, by), *(_spread(g.stages.get(s)) for s in stages)) for g in groups],
        )


def _repeats_table(repeats: Sequence[Repeat], within: str) -> None:
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
                _local(r.first),
                _local(r.last),
                r.run_ids[-1],
            )
            for r in repeats
        ],
    )


def _named(name: str, by: str) -> str:
    return f"{name} ({alias_of(name)})" if by == "node" and name else name or "-"


def _spread(found: Spread | None) -> str:
    return f"{_length(found.p50)}/{_length(found.p90)}" if found else "-"


def _length(seconds: float | None) -> str:
    return "-" if seconds is None else durations.format(max(0.0, seconds))


def _local(t: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(t))
