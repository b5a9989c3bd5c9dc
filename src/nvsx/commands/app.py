"""The Typer application: global options, and the table of commands.

A command's module is imported when the command is asked for, and no other: listing runbooks
costs no HTTP, database or terminal library. So such a module imports what it needs at its
top, like any other; the few that do not are listed in pyproject.toml, each with its reason.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer

from nvsx.commands.help_examples import keep_examples
from nvsx.commands.plain_values import take_plain_values
from nvsx.project.home import Home

#: Each command and the module whose `register(app)` adds it, in the order of `nvsx --help`.
COMMANDS = {
    "list": "list_command",
    "show": "show_command",
    "lint": "lint_command",
    "schema": "schema_command",
    "run": "run.run_command",
    "doctor": "doctor.doctor_command",
    "init": "init.init_command",
    "convert": "convert_command",
    "setup": "setup.setup_command",
    "serve": "serve_command",
    "explain": "explain_command",
    "silence": "runs.silence_command",
    "status": "status_command",
    "incidents": "incidents.incidents_command",
    "notify": "notify.notify_command",
    "attach": "runs.attach_command",
    "report": "history.report_command",
    "stats": "history.stats_command",
    "shell": "shell_command",
    "runs": "runs.runs_command",
    "sandbox": "sandbox.sandbox_command",
    "history": "history.history_command",
}


class CommandsOnDemand(Mapping[str, Any]):
    """The commands by name; one is imported and made when it is looked up."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            module = import_module(f"nvsx.commands.{COMMANDS[name]}")
            app = typer.Typer(rich_markup_mode=None)
            module.register(app)
            keep_examples(app)
            made = typer.main.get_group(app).commands
            for command in made.values():
                take_plain_values(command)
                for below in getattr(command, "commands", {}).values():
                    take_plain_values(below)
            self._made |= made
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def build_application() -> Any:
    """The application, to be called with a command line."""
    app = typer.Typer(
        name="nvsx",
        help=(
            "The operator control plane for NVSentinel: plugs your runbooks into its chain of "
            "detect, quarantine, drain, remediate, recover. It reads the cluster and never writes "
            "to it."
        ),
        epilog="Try it without a cluster: nvsx run gpu-off-bus --sandbox",
        invoke_without_command=True,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(set_global_options)
    root: Any = typer.main.get_command(app)
    root.commands = CommandsOnDemand()
    take_plain_values(root)
    return root


def set_global_options(
    ctx: typer.Context,
    project: Annotated[
        str | None, typer.Option(help="The project folder.", metavar="DIR", show_default=False)
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(help="The kubeconfig context.", metavar="NAME", show_default=False),
    ] = None,
) -> None:
    """Keep what was given for the command; without a command open the shell, or show help."""
    gc.enable()  # the command's module is loaded by now
    ctx.obj = Home(project, context)
    if ctx.invoked_subcommand is not None:
        return
    from nvsx.commands import shell_command

    if shell_command.is_on_terminal():
        raise typer.Exit(shell_command.start_shell(ctx))
    typer.echo(ctx.get_help())
    raise typer.Exit(2)
