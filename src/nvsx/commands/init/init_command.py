"""`nvsx init`: begin a runbook."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from nvsx.commands.agreeing import agree_to_clone
from nvsx.commands.init.scaffolding import Begun, begin
from nvsx.commands.output_option import Output, wants_json
from nvsx.project.home import Home


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("init")(init)


def init(
    ctx: typer.Context,
    slug: Annotated[str, typer.Argument(help="Its name: lower-case, such as gpu-stuck.")],
    title: Annotated[
        str | None, typer.Option(help="By default made from the name.", show_default=False)
    ] = None,
    summary: Annotated[str | None, typer.Option(help="One line.", show_default=False)] = None,
    fault: Annotated[
        str | None,
        typer.Option(
            help="A fault to start from, such as xid-79; see `nvsx sandbox faults`.",
            metavar="F",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Also into nvsx's own clone, without asking.")
    ] = False,
    output: Output = None,
) -> None:
    """Begin a runbook: YAML and three hook stubs that lint clean and run in the sandbox.

    Examples:
      nvsx init gpu-stuck --title "GPU stuck"
      nvsx init our-xid-48 --fault xid-48
    """
    home: Home = ctx.obj
    as_json = wants_json(output)
    agree_to_clone(home.project, yes=yes)
    begun = begin(home, slug, fault=fault, title=title, summary=summary)
    if as_json:
        told = {
            "name": begun.made.name,
            "fault": begun.made.fault.name,
            "folder": str(begun.root),
            "files": list(begun.written),
            "fired_already_by": list(begun.made.parked_by),
        }
        typer.echo(json.dumps(told, indent=2))
    else:
        _print_next_steps(begun)


def _print_next_steps(begun: Begun) -> None:
    name, fault = begun.made.name, begun.made.fault
    typer.echo(f"in {begun.root}:")
    for path in begun.written:
        typer.echo(f"  {path}")
    typer.echo(f"\nBegun from the fault {fault.name}: {fault.title}.")
    if begun.made.parked_by:
        who = " and ".join(begun.made.parked_by)
        typer.echo(
            f"{who} fires on that fault already, so the triggers of {name} are commented out:\n"
            f"until you move them it runs by hand only. runbooks/{name}.yaml says how."
        )
    typer.echo(
        "\nNext:\n"
        f"  nvsx run {name} --sandbox    see it work, without a cluster\n"
        f"  $EDITOR runbooks/{name}.yaml runbooks/hooks/{name}/*\n"
        f"  nvsx lint {name}\n"
        f"  git add runbooks/{name}.yaml runbooks/hooks/{name}/"
    )
