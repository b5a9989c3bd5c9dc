"""The terminal itself: who restores it when nvsx is killed, and keeping strays off it.

`Guardian` is a small shell that outlives nvsx by a blink: it holds the other end of a pipe,
and when that closes without a word while the deck was up, it leaves the alternate screen.
`Strays` sends what is written past the deck (a library, a child's stderr) to a file and
tells it afterwards. `Handlers` puts back the signal handlers that the deck replaced.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Self

# Keyboard protocol, mouse, focus and paste reports off; cursor, line wrap and colours back;
# then out of the alternate screen. (xterm's control sequences; kitty's keyboard protocol.)
RESTORE = r"\033[<u\033[?1000l\033[?1003l\033[?1004l\033[?2004l\033[?2048l\033[?7h\033[?25h\033[0m"
LEAVE = RESTORE + r"\033[?1049l"

# A killed deck leaves the line settings raw. Shells with line editing set their own before
# they prompt; so only settings that nobody has touched since are put back.
_SCRIPT = r"""
trap '' INT TERM HUP QUIT TSTP TTOU TTIN PIPE
up=no raw=
while read -r word; do
  up=$word
  if [ "$up" = up ]; then raw=$(stty -g <&3 2>/dev/null); fi
done
[ "$up" = up ] || exit 0
sleep 0.1
printf '%b' "$1" >&3
if [ "$(stty -g <&3 2>/dev/null)" = "$raw" ]; then stty "$2" <&3 2>/dev/null; fi
printf '\r\nnvsx was killed; the terminal is restored. %s\r\n' "$3" >&3
"""


class Guardian:
    """Restores the terminal `fd` if this process dies while the deck is `up`.

    `parting` is what the person at the terminal is told then, after it was restored.
    Without a shell to run there is no guardian, and nothing else changes.
    """

    def __init__(self, fd: int, parting: str = "") -> None:
        self._child: subprocess.Popen[bytes] | None = None
        try:
            saved = subprocess.run(
                ["stty", "-g"], stdin=fd, capture_output=True, check=True, timeout=5
            ).stdout.decode()
            self._child = subprocess.Popen(
                ["/bin/sh", "-c", f"exec 3<&1; {_SCRIPT}", "sh", LEAVE, saved.strip(), parting],
                stdin=subprocess.PIPE,
                stdout=fd,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, subprocess.SubprocessError):
            pass

    def say(self, word: str) -> None:
        """`up` once the deck has the terminal, `down` when it has given it back."""
        if self._child is not None and self._child.stdin is not None:
            with suppress(OSError):
                self._child.stdin.write(word.encode() + b"\n")
                self._child.stdin.flush()

    def close(self) -> None:
        if self._child is None or self._child.stdin is None:
            return
        self.say("down")
        with suppress(OSError):
            self._child.stdin.close()
        try:
            self._child.wait(2)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


class Strays:
    """While open, what is written to descriptors 1 and 2 goes to a file, not the screen."""

    LIMIT = 16_000

    def __init__(self) -> None:
        self._saved: list[int] = []
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        sys.stdout.flush()
        sys.stderr.flush()
        self._file = tempfile.TemporaryFile()
        self._saved = [os.dup(1), os.dup(2)]
        for fd in (1, 2):
            os.dup2(self._file.fileno(), fd)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> str:
        """Put the descriptors back; returns the end of what was written meanwhile."""
        if self._file is None:
            return ""
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        for fd, saved in zip((1, 2), self._saved, strict=True):
            os.dup2(saved, fd)
            os.close(saved)
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, size - self.LIMIT))
        text = self._file.read().decode(errors="replace")
        self._file.close()
        self._file = None
        return text


class Handlers:
    """The signal handlers a full-screen program replaces, as they were before."""

    SIGNALS = ("SIGTSTP", "SIGCONT", "SIGWINCH", "SIGTTOU", "SIGTTIN")

    def __init__(self) -> None:
        self._before: dict[int, Any] = {
            number: signal.getsignal(number)
            for number in (getattr(signal, name) for name in self.SIGNALS)
        }

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
