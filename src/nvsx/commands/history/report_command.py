"""`nvsx report`: one incident, or one run, from its journal."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Annotated

import typer

from nvsx.commands.history.run_filters import parse_time
from nvsx.commands.incidents_desk import open_incident_desk
from nvsx.core.errors import UsageError
from nvsx.follow.situation import read_account
from nvsx.project.home import Home
from nvsx.screens.report import past_reports
from nvsx.screens.report.account_report import (
    account_as_json,
    account_in_html,
    account_in_markdown,
)
from nvsx.screens.report.incident_report import IncidentReport, as_json
from nvsx.screens.report.report_html import page
from nvsx.screens.report.report_markdown import markdown

REPORT_FORMATS = ("md", "html", "json")


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("report")(report)


def report(
    ctx: typer.Context,
    subject: Annotated[
        str,
        typer.Argument(
            metavar="INCIDENT",
            help="The incident's id, or a node's name or alias: its open or latest one. "
            "A run's id: that run alone.",
        ),
    ],
    since: Annotated[
        str,
        typer.Option(
            help="Merge the incident's runs that began since: 2h (ago), 2026-11-01T08:30.",
            metavar="WHEN",
        ),
    ] = "",
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Of a node: its sandbox and drill incidents.")
    ] = False,
    output: Annotated[
        str, typer.Option("-o", "--output", help="md, html or json.", metavar="FORMAT")
    ] = "md",
    file: Annotated[
        Path | None, typer.Option("--file", help="Write it there.", metavar="FILE")
    ] = None,
    former_format: Annotated[str | None, typer.Option("--format", hidden=True)] = None,
) -> None:
    """One incident: what happened when, who was told, what failed, how long it all took.

    Below the incident's own time line, attempts and times stands what its runs did, as one.
    With --since, the runs since then make a report without the incident: those on the node
    within one quarantine, and the members of a storm.

    Examples:
      nvsx report brave-gazelle
      nvsx report i-20261122-1431-7k3f -o html --file incident.html
      nvsx report r-20261122-1431-7k3f
      nvsx report brave-gazelle --since 2h
    """
    refuse_former_spelling(output, former_format)
    if since and subject.startswith("i-"):
        raise UsageError("an incident has all of its runs already", "leave --since out")
    if since:
        begun = parse_time(since, time.time())
        text = _format_run_report(
            asyncio.run(past_reports.merged_report(ctx.obj, subject, begun)), output
        )
    elif subject.startswith("r-"):
        text = _format_run_report(asyncio.run(past_reports.report(ctx.obj, subject)), output)
    else:
        text = asyncio.run(_report_incident(ctx.obj, subject, output, sandbox=sandbox))
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


def _format_run_report(made: IncidentReport, output: str) -> str:
    if output == "json":
        return json.dumps(as_json(made), indent=2) + "\n"
    return markdown(made) if output == "md" else page(made)


async def _report_incident(home: Home, wanted: str, output: str, *, sandbox: bool) -> str:
    """Of the incident that `wanted` means, with what its runs did."""
    async with open_incident_desk(home) as desk:
        account = read_account(home, await desk.find(wanted, sandbox=sandbox))
    runs = await past_reports.report_of_runs(home, [run.run_id for run in account.runs])
    if output == "json":
        return json.dumps(account_as_json(account, runs), indent=2) + "\n"
    form = account_in_markdown if output == "md" else account_in_html
    return form(account, runs)


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
