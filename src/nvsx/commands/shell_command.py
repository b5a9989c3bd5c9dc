"""`nvsx shell`: the operator shell.

It reads what can be typed from words.json, and runs a command through the same boundary as
the command line.
"""

from __future__ import annotations

import sys
from typing import Any

import typer

from nvsx.commands import command_words
from nvsx.commands.boundary import run_in_boundary
from nvsx.commands.global_options import put_global_options_first
from nvsx.project.home import Home
from nvsx.screens.shell.operator_shell import Shell, read_lines


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("shell")(shell)


def shell(ctx: typer.Context) -> None:
    """The operator shell: the same commands, with completion and history.

    `nvsx` alone on a terminal opens it too. From a pipe it reads a command a line, and ends
    with the exit code of the last.

    Examples:
      nvsx shell
      echo 'status' | nvsx shell
    """
    raise typer.Exit(start_shell(ctx))


def start_shell(ctx: typer.Context) -> int:
    """Run the shell with the global options it was started with, until it is left.

    The exit code is 0 from a prompt, that of the last command from a pipe.
    """
    home: Home = ctx.obj
    given = [("--project", home.project_flag), ("--context", home.context)]
    options = [word for name, value in given if value is not None for word in (name, value)]
    application: Any = ctx.find_root().command

    def run_command(words: list[str]) -> int:
        return run_in_boundary(lambda: application, put_global_options_first([*options, *words]))

    shell = Shell(home, command_words.read_grammar(inside_shell=True), run_command)
    if not is_on_terminal():
        return read_lines(shell, sys.stdin)
    from nvsx.screens.shell.shell_prompt import converse

    return converse(shell)


def is_on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
