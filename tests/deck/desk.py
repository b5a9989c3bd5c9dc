"""A shell in tmux as at an operator's desk: keys are typed, the screen is read back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
from tests.patience import patience, wait_until

ROOT = Path(__file__).parents[2]
PATIENCE_S = 40.0
"""How long a screen may take to show something on a machine with other work to do."""

MODES = "stty -a | grep -owE -e '-?(icanon|echo|isig)' | sort | xargs"
"""Prints which of these modes the terminal has, with a minus for one that is off."""


class Desk:
    """A shell in tmux, on a server of its own."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._asked = 0
        env = {k: v for k, v in os.environ.items() if k not in ("TMUX", "TMUX_PANE")}
        self._env = env | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        shell = ["-x", "100", "-y", "30", "exec bash --norc --noprofile"]
        self._tmux("-f", "/dev/null", "new-session", "-d", *shell)
        self.sees("$" if os.getuid() else "#")
        self.runs("PS1='desk> '; clear")
        self.sees("desk>")

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-u", "-S", str(self._socket), *words]
        return subprocess.run(
            command,
            env=self._env,
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
            timeout=patience(30),
        ).stdout

    def close(self) -> None:
        self._tmux("kill-server")

    def types(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def runs(self, command: str) -> None:
        self._tmux("send-keys", "-l", command)
        self.types("Enter")

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def coloured(self) -> str:
        """The screen with its escape sequences."""
        return self._tmux("capture-pane", "-p", "-e")

    def history(self) -> str:
        return self._tmux("capture-pane", "-p", "-J", "-S", "-500")

    def in_alternate_screen(self) -> bool:
        return self._tmux("display-message", "-p", "#{alternate_on}").strip() == "1"

    def until(self, holds: Callable[[str], bool], what: str) -> str:
        """The screen as soon as it holds; fails after PATIENCE_S."""
        screen = ""

        def shows() -> bool:
            nonlocal screen
            screen = self.screen()
            return holds(screen)

        wait_until(shows, lambda: f"{what} on\n{screen}", PATIENCE_S)
        return screen

    def sees(self, text: str) -> str:
        return self.until(lambda screen: text in screen, repr(text))

    def program(self, module: str = "tests.deck.flying") -> psutil.Process:
        """The process under this shell that runs a module with Python."""
        shell = int(self._tmux("display-message", "-p", "#{pane_pid}"))
        for child in psutil.Process(shell).children():
            if module in child.cmdline():
                return child
        raise AssertionError(f"no {module} is running")

    def flies(self, story: str = "running", seconds: float = 60, env: str = "") -> None:
        self.runs(f"{env} {sys.executable} -m tests.deck.flying {story} {seconds}".strip())
        self.sees("j/k stage")

    def is_plain_again(self) -> None:
        """The shell takes a command, echoes it once and shows what it prints, in the usual modes.
        The modes come back a moment after the screen, so they are asked for until they are right.
        """
        self.until(lambda _: not self.in_alternate_screen(), "the normal screen")
        wait_until(lambda: self.modes() == "echo icanon isig", "the usual modes", PATIENCE_S)

    def modes(self) -> str:
        """What the shell says of the terminal. Every question has a number of its own, because
        the answers before it stay on the screen."""
        self._asked += 1
        self.runs(f"echo a''nswer {self._asked}: $({MODES})")
        before = f"\nanswer {self._asked}: "
        screen = self.until(lambda s: before in s, "the shell's answer")
        assert f"a''nswer {self._asked}" in screen
        return screen.partition(before)[2].partition("\n")[0].rstrip()
