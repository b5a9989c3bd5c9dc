"""`nvsx list`: the runbooks of a project."""

from __future__ import annotations

import json
from typing import Any

import typer

from nvsx.commands.output_option import Output, wants_json
from nvsx.core import durations
from nvsx.core.runbook.catalog import BrokenRunbook, LoadedRunbook
from nvsx.project import loader
from nvsx.project.home import Home
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
    entries = loader.discover(home.project.root)
    if as_json:
        typer.echo(json.dumps([_row(e) for e in entries], indent=2))
        return
    rows = [_cells(e) for e in entries]
    if not rows:
        typer.echo(f"no runbooks in {home.project.runbooks_dir}")
        typer.echo("start one with `nvsx init my-fault`")
        return
    print_table(("NAME", "NICKNAME", "TITLE", "TAGS", "ESTIMATE"), rows, give_way=(3, 2))


def _row(entry: LoadedRunbook | BrokenRunbook) -> dict[str, Any]:
    if isinstance(entry, BrokenRunbook):
        return {"name": entry.name, "problems": [str(p) for p in entry.problems]}
    meta = entry.runbook.metadata
    return {
        "name": meta.name,
        "nickname": meta.nickname,
        "title": meta.title,
        "summary": meta.summary,
        "tags": list(meta.tags),
        "estimated_duration_s": meta.estimated_duration,
        "stages": [s.id for s in entry.runbook.stages],
        "file": str(entry.path),
    }


def _cells(entry: LoadedRunbook | BrokenRunbook) -> tuple[str, ...]:
    if isinstance(entry, BrokenRunbook):
        more = f" (and {len(entry.problems) - 1} more)" if len(entry.problems) > 1 else ""
        return (entry.name, "-", f"not valid: {entry.problems[0]}{more}", "", "")
    meta = entry.runbook.metadata
    estimate = durations.format(meta.estimated_duration) if meta.estimated_duration else "-"
    return (meta.name, f"#{meta.nickname}", meta.title, ", ".join(meta.tags), estimate)
