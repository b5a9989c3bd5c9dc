"""The prompt on a terminal: line editing, completion, history, suggestions.

prompt_toolkit does the work; it leaves colours out with NO_COLOR and editing out on dumb
terminals by itself. Ctrl-C drops the line, Ctrl-D leaves. Whatever a command did to the
terminal, its modes are put back before the next prompt.
"""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.patch_stdout import patch_stdout

from nvsx.core.errors import NvsxError
from nvsx.screens.shell.completable_names import KnownNames
from nvsx.screens.shell.completion import Names, complete
from nvsx.screens.shell.operator_shell import Shell

HISTORY = "shell-history"


class _Completer(Completer):
    def __init__(self, shell: Shell, names: Names) -> None:
        self._shell, self._names = shell, names

    def get_completions(
        self,
        document: Document,
        complete_event: CompleteEvent,  # noqa: ARG002 - the library's signature
    ) -> Iterable[Completion]:
        for found in complete(document.text_before_cursor, self._shell.grammar, self._names):
            yield Completion(
                found.text + " ", -found.replaces, display=found.text, display_meta=found.about
            )


class _PrivateHistory(FileHistory):
    """Keeps no line that begins with a space, and none twice in a row."""

    def append_string(self, string: str) -> None:
        newest = self.get_strings()[-1:]
        if string.strip() and not string.startswith(" ") and [string] != newest:
            super().append_string(string)


def history_in(folder: Path) -> History:
    """The history kept in `folder` (0600); in memory when that cannot be written."""
    path = folder / HISTORY
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        path.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return _PrivateHistory(str(path))


def _prompt_text(shell: Shell) -> StyleAndTextTuples:
    if not shell.runbook:
        return [("bold", "nvsx"), ("", "> ")]
    return [("bold", "nvsx"), ("", " ("), ("ansicyan", shell.runbook), ("", ")> ")]


def converse(shell: Shell) -> int:
    """Prompt until the person leaves. Always 0: each command has said how it went."""
    names = KnownNames(shell.home)
    try:
        history: History = history_in(shell.home.state_dir)
    except NvsxError:
        history = InMemoryHistory()
    session: PromptSession[str] = PromptSession(
        history=history,
        completer=_Completer(shell, names),
        complete_in_thread=True,
        complete_while_typing=False,
        auto_suggest=AutoSuggestFromHistory(),
        reserve_space_for_menu=6,
    )
    print("nvsx shell. `help` lists the commands, Tab completes, Ctrl-D leaves.")
    try:
        while not shell.done:
            try:
                with patch_stdout(raw=True):
                    line = session.prompt(lambda: _prompt_text(shell))
            except KeyboardInterrupt:
                continue
            except EOFError:
                break
            _execute_line(shell, line)
    finally:
        names.close()
    return 0


def _execute_line(shell: Shell, line: str) -> None:
    modes = termios.tcgetattr(sys.stdin)
    try:
        shell.execute(line)
    except KeyboardInterrupt:
        print()
    finally:
        with suppress(termios.error):
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, modes)
        sys.stdout.flush()
        sys.stderr.flush()
