"""The operator shell: the commands of `nvsx`, typed at a prompt, in one process.

`run_shell` is the way in. It is given the grammar of the command line and the function
that runs one command, so that it knows neither Typer nor any single command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nvsx.project.home import Home
    from nvsx.screens.shell.grammar import Command
    from nvsx.screens.shell.operator_shell import Dispatch

__all__ = ["run_shell"]


def run_shell(home: Home, grammar: Command, dispatch: Dispatch) -> int:
    """Read commands until the end: at a prompt on a terminal, else line by line.

    Returns the exit code: 0 from a prompt, that of the last command from a pipe.
    """
    import sys

    from nvsx.screens.shell.operator_shell import Shell, read_lines

    shell = Shell(home, grammar, dispatch)
    if sys.stdin.isatty() and sys.stdout.isatty():
        from nvsx.screens.shell.shell_prompt import converse

        return converse(shell)
    return read_lines(shell, sys.stdin)
