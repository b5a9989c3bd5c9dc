"""One shell: the runbook in use, and what becomes of each line typed.

A line is one of the shell's own words (use, help, quit), `!` and a command for the system's
shell, or a command of `nvsx`, which goes through the same boundary as on the command line.
Reading lines is somebody else's: `terminal` on a terminal, `read_lines` on a pipe.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable

from nvsx.core.errors import NvsxError
from nvsx.project import loader
from nvsx.project.home import Home
from nvsx.screens.shell.completion import OWN
from nvsx.screens.shell.grammar import Command, nearest, place, split

Dispatch = Callable[[list[str]], int]
"""Runs one command of nvsx, given without the word `nvsx`; returns its exit code."""

_LEAVE = ("quit", "exit", "q")


class Shell:
    """`runbook` is the name of the one in use, "" for none; `done` is set by `quit`."""

    def __init__(self, home: Home, grammar: Command, dispatch: Dispatch) -> None:
        self.home = home
        self.grammar = grammar
        self.runbook = ""
        self.done = False
        self._dispatch = dispatch

    def execute(self, line: str) -> int:
        """Do what one line says; returns its exit code. Raises nothing a person caused."""
        text = line.strip()
        if text.startswith("!"):
            return _run_in_system_shell(text[1:].strip())
        try:
            words = split(text)
        except ValueError:
            return _print_error("a quote is not closed", "close it, or leave it out")
        if words[:1] == ["nvsx"]:  # pasted from somewhere
            words = words[1:]
        if not words:
            return 0
        try:
            return (
                self._run_own_word(words)
                if words[0] in (*OWN, *_LEAVE)
                else self._run_command(words)
            )
        except NvsxError as error:
            return _print_error(error.message, error.hint, error.exit_code)

    @property
    def prompt(self) -> str:
        return f"nvsx ({self.runbook})> " if self.runbook else "nvsx> "

    def words(self) -> list[str]:
        """All first words of a line."""
        return sorted({*self.grammar.commands, *OWN})

    # --- the shell's own ----------------------------------------------------------------------

    def _run_own_word(self, words: list[str]) -> int:
        if words[0] in _LEAVE:
            self.done = True
            return 0
        return self._use_runbook(words[1:]) if words[0] == "use" else self._show_help(words[1:])

    def _use_runbook(self, names: list[str]) -> int:
        if len(names) > 1:
            return _print_error("use takes one runbook", "for example: use gpu-off-bus")
        if not names:
            print(f"{self.runbook} is no longer in use" if self.runbook else "no runbook is in use")
            self.runbook = ""
            return 0
        found = loader.find(self.home.project.root, names[0])
        self.runbook = found.name
        print(f"{found.name} (#{found.nickname}): {found.runbook.metadata.title}")
        return 0

    def _show_help(self, names: list[str]) -> int:
        if names and names[0] in OWN:
            print(OWN[names[0]])
            return 0
        if names:
            return self._run_command([*names, "--help"])
        told = {name: c.help for name, c in self.grammar.commands.items()} | OWN
        told["!"] = "The rest of the line goes to your system's shell."
        width = max(map(len, told))
        room = max(30, shutil.get_terminal_size().columns - width - 4)
        for name, text in told.items():
            first = f"{text.partition('. ')[0].rstrip('.')}."
            print(f"  {name:<{width}}  {textwrap.shorten(first, room, placeholder='…')}")
        print("Tab completes commands, runbooks, nodes, aliases and options.")
        return 0

    # --- commands of nvsx ---------------------------------------------------------------------

    def _run_command(self, words: list[str]) -> int:
        if words[0] == "shell":
            return _print_error("this is the shell already", "quit leaves it")
        if not words[0].startswith("-") and words[0] not in self.grammar.commands:
            near = nearest(words[0], self.words())
            hint = f"did you mean `{near}`?" if near else "`help` lists what there is"
            return _print_error(f"{words[0]} is not a command", hint)
        return self._dispatch(self._with_runbook(words))

    def _with_runbook(self, words: list[str]) -> list[str]:
        """`words` with the runbook in use, where a command needs one and none was named."""
        at = place(self.grammar, words)
        wanted = at.command.arguments[:1]
        needs = bool(wanted) and wanted[0].kind == "runbook" and wanted[0].required
        if not self.runbook or not needs or at.arguments:
            return words
        end = len(at.path)
        return [*words[:end], self.runbook, *words[end:]]


def _run_in_system_shell(command: str) -> int:
    """`!command`: through the user's shell, which has the terminal meanwhile."""
    if not command:
        return _print_error("no command after `!`", "for example: !kubectl get nodes")
    program = os.environ.get("SHELL") or "/bin/sh"
    stdin = None if sys.stdin.isatty() else subprocess.DEVNULL  # a pipe holds our next lines
    sys.stdout.flush()
    try:
        code = subprocess.run([program, "-c", command], stdin=stdin, check=False).returncode
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return _print_error(
            f"{program} cannot be run: {error.strerror}", "set SHELL to your shell", 1
        )
    return 128 - code if code < 0 else code


def read_lines(shell: Shell, lines: Iterable[str]) -> int:
    """Do line by line what a pipe or a file says; the exit code of the last command."""
    code = 0
    for line in lines:
        if not line.strip():
            continue
        code = shell.execute(line)
        sys.stdout.flush()
        if shell.done or code == 130:  # Ctrl-C ends the whole, as in a script
            break
    return code


def _print_error(message: str, hint: str = "", code: int = 2) -> int:
    print(f"nvsx: {message}", file=sys.stderr)
    if hint:
        print(f"  {hint}", file=sys.stderr)
    return code
