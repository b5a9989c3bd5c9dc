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

from nvsx.bootstrap.home import Home
from nvsx.cli.examples import keep_examples
from nvsx.cli.main import GLOBAL

#: In the order of `nvsx --help`: a module with `register(app)`, and the commands it adds.
MODULES = {
    "runbook_cmds": ("list", "show", "lint", "schema"),
    "run_cmd": ("run",),
    "doctor_cmd": ("doctor",),
    "init_cmd": ("init",),
    "convert_cmd": ("convert",),
    "setup_cmd": ("setup",),
    "serve_cmd": ("serve",),
    "runs_cmds": ("runs",),
    "explain_cmd": ("explain",),
    "silence_cmd": ("silence",),
    "attach_cmd": ("attach",),
    "sandbox_cmds": ("sandbox",),
    "history_cmds": ("history", "report", "stats"),
    "shell_cmds": ("status",),  # and `shell`, which tells the shell of all the others
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
        import_module(f"nvsx.cli.{module}").register(app)
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
    from nvsx.cli import shell_cmds

    if shell_cmds.on_terminal():
        raise typer.Exit(shell_cmds.start(ctx))
    typer.echo(ctx.get_help())
    raise typer.Exit(2)
