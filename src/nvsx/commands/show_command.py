"""`nvsx show`: one runbook, as a run would go through it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from nvsx.commands.output_option import Output, wants_json
from nvsx.follow.told_plan import tell_plan
from nvsx.project.home import Home
from nvsx.screens.text_tables import print_lines


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("show")(show)


def show(
    ctx: typer.Context,
    runbook: Annotated[str, typer.Argument(help="Name or nickname.")],
    output: Output = None,
) -> None:
    """Stages, watches and hooks of one runbook.

    Example: nvsx show rogue-moose
    """
    home: Home = ctx.obj
    as_json = wants_json(output)
    told = tell_plan(home.project.root, runbook, home.env)
    if as_json:
        typer.echo(json.dumps(told.fields, indent=2))
    else:
        print_lines(told.lines)
