"""`nvsx report`: one incident, from its journal."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Annotated

import typer

from nvsx.commands.history.run_filters import parse_time
from nvsx.core.errors import UsageError
from nvsx.screens.report import past_reports
from nvsx.screens.report.incident_report import as_json
from nvsx.screens.report.report_html import page
from nvsx.screens.report.report_markdown import markdown

REPORT_FORMATS = ("md", "html", "json")


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("report")(report)


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
    refuse_former_spelling(output, former_format)
    if since:
        made = asyncio.run(past_reports.merged_report(ctx.obj, run, parse_time(since, time.time())))
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
