"""The Typer application: global options, and one function a command.

Commands parse, call bootstrap or ops, and print what these return. They import what they
need when they run, and a process that runs one command loads no other command's module:
listing runbooks costs no HTTP, database or terminal library, nor a loop to await anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Annotated

import typer

from nvsx.commands.help_examples import keep_examples
from nvsx.commands.main import GLOBAL
from nvsx.project.home import Home

#: In the order of `nvsx --help`: a module with `register(app)`, and the commands it adds.
MODULES = {
    "runbook_commands": ("list", "show", "lint", "schema"),
    "run.run_command": ("run",),
    "doctor.doctor_command": ("doctor",),
    "init.init_command": ("init",),
    "convert_command": ("convert",),
    "setup.setup_command": ("setup",),
    "serve_command": ("serve",),
    "runs.runs_command": ("runs",),
    "explain_command": ("explain",),
    "runs.silence_command": ("silence",),
    "runs.attach_command": ("attach",),
    "sandbox.sandbox_command": ("sandbox",),
    "history.history_command": ("history", "report", "stats"),
    "shell_command": ("status",),  # and `shell`, which tells the shell of all the others
}


@cache
def application() -> typer.Typer:
    """The application with all commands."""
    return _with(tuple(MODULES))


def application_for(args: Sequence[str]) -> typer.Typer:
    """The application with as much of it as running `args` takes. The global options stand
    first in them."""
    words = list(args)
    while words and words[0].partition("=")[0] in GLOBAL:
        del words[: 1 if "=" in words[0] else 2]
    command = words[0] if words else ""
    module = next((m for m, commands in MODULES.items() if command in commands), None)
    return application() if module is None else _with((module,))


def _with(modules: Sequence[str]) -> typer.Typer:
    app = typer.Typer(
        name="nvsx",
        help=(
            "The operator control plane for NVSentinel: plugs your runbooks into its chain of "
            "detect, quarantine, drain, remediate, recover. It reads the cluster and never writes "
            "to it."
        ),
        epilog="Try it without a cluster: nvsx run gpu-off-bus --sandbox",
        invoke_without_command=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    for module in modules:
        import_module(f"nvsx.commands.{module}").register(app)
    keep_examples(app)
    return app


def options(
    ctx: typer.Context,
    project: Annotated[
        str | None, typer.Option(help="The project folder.", metavar="DIR", show_default=False)
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(help="The kubeconfig context.", metavar="NAME", show_default=False),
    ] = None,
) -> None:
    ctx.obj = Home(project, context)
    if ctx.invoked_subcommand is not None:
        return
    from nvsx.commands import shell_command

    if shell_command.on_terminal():
        raise typer.Exit(shell_command.start(ctx))
    typer.echo(ctx.get_help())
    raise typer.Exit(2)
