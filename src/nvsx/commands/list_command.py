"""`nvsx list`: the runbooks of a project."""

from __future__ import annotations

import json
from typing import Any

import typer

from nvsx.commands.output_option import Output, wants_json
from nvsx.core import durations
from nvsx.project.home import Home
from nvsx.project.runbook_summaries import RunbookSummary, summarise_runbooks
from nvsx.screens.text_tables import print_table


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("list")(list_runbooks)


def list_runbooks(ctx: typer.Context, output: Output = None) -> None:
    """Name, nickname, title, tags and estimate of every runbook of the project.

    Example: nvsx list -o json | jq -r '.[].name'
    """
    home: Home = ctx.obj
    as_json = wants_json(output)
    found = summarise_runbooks(home.project.root, home.env)
    if as_json:
        typer.echo(json.dumps([_as_json(r) for r in found], indent=2))
        return
    rows = [_as_cells(r) for r in found]
    if not rows:
        typer.echo(f"no runbooks in {home.project.runbooks_dir}")
        typer.echo("start one with `nvsx init my-fault`")
        return
    print_table(("NAME", "NICKNAME", "TITLE", "TAGS", "ESTIMATE"), rows, give_way=(3, 2))


def _as_json(runbook: RunbookSummary) -> dict[str, Any]:
    if runbook.problems:
        return {"name": runbook.name, "problems": list(runbook.problems)}
    return {
        "name": runbook.name,
        "nickname": runbook.nickname,
        "title": runbook.title,
        "summary": runbook.summary,
        "tags": list(runbook.tags),
        "estimated_duration_s": runbook.estimated_duration,
        "stages": list(runbook.stages),
        "file": runbook.file,
    }


def _as_cells(runbook: RunbookSummary) -> tuple[str, ...]:
    if problems := runbook.problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return (runbook.name, "-", f"not valid: {problems[0]}{more}", "", "")
    length = runbook.estimated_duration
    estimate = durations.format(length) if length else "-"
    tags = ", ".join(runbook.tags)
    return (runbook.name, f"#{runbook.nickname}", runbook.title, tags, estimate)
