"""What stands beside a script and keeps its end: so small that it outlives nvsx.

A shell, and no other program, starts the script and waits for it. kill -9 of nvsx does not reach
it, since every script has a session of its own; the exit code is in the file when the script has
ended, and the file's time is when.

    12:00:00 nvsx starts the shell, the shell starts on-recover.sh
    12:00:02 nvsx is killed; on-recover.sh closes the ticket and ends with 0 at 12:00:05
    12:00:09 the next nvsx finds 0, of 12:00:05, and does not close the ticket again
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NamedTuple

#: The script's stderr is the shell's own, and the shell itself says nothing. TERM is for the
#: script, which may clean up; what killed the script kills the shell too, so that who waits for
#: it is told the same as without it.
_SUPERVISOR = """\
exec 3>&2 2>/dev/null
trap : TERM HUP INT
"$@" 2>&3 3>&- &
while wait $!; code=$?; kill -0 $!; do :; done
echo "$code" >"$0"
trap - TERM HUP INT
test "$code" -gt 128 && kill -"$((code - 128))" "$$"
exit "$code"
"""
#: A shell tells so of a process that a signal killed.
_BY_SIGNAL = 128
#: It wrote to nvsx after that had died: it did not end by itself.
_LOST_ITS_READER = _BY_SIGNAL + signal.SIGPIPE
_SCRIPT_OR_PROGRAM = 256


class KeptEnd(NamedTuple):
    """`code` is None for a script that a signal killed. `at` is in Unix seconds."""

    code: int | None
    at: float


def supervise(argv: list[str], end_file: str) -> list[str]:
    """The command line that runs `argv` and keeps its end."""
    return ["/bin/sh", "-c", _SUPERVISOR, end_file, *argv]


def make_room_for_end(end_file: str) -> None:
    """Make the file's folder, and forget the end of an earlier start. Raises OSError."""
    path = Path(end_file)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)


def read_end(end_file: str) -> KeptEnd | None:
    """The kept end; None while there is none, and for a script that lost its reader: what it had
    to do was cut with nvsx."""
    try:
        with Path(end_file).open(encoding="ascii") as file:
            text, at = file.read(16), os.fstat(file.fileno()).st_mtime
    except (OSError, ValueError):
        return None
    if not text.endswith("\n") or not text.strip().isdigit():
        return None  # the shell has opened it, and not yet written
    code = int(text)
    if code == _LOST_ITS_READER:
        return None
    return KeptEnd(None if code > _BY_SIGNAL else code, at)


def explain_what_cannot_start(path: Path) -> str:
    """Why the system would refuse to start a script; "" when it would not. A shell would not tell:
    it runs what has no interpreter by itself."""
    try:
        with path.open("rb") as file:
            head = file.read(_SCRIPT_OR_PROGRAM)
    except OSError:
        return ""  # may be run and not read
    if head.startswith(b"#!"):
        line = head.partition(b"\n")[0].decode("utf-8", "replace")
        interpreter = line[2:].strip(" \t").split(" ")[0]
        if os.path.exists(interpreter):  # noqa: PTH110 - a trailing carriage return is part of it
            return ""
        ending = ": the file has Windows line endings" if line.endswith("\r") else ""
        return f"{path}: its interpreter {interpreter.strip()} does not exist{ending}"
    if b"\0" in head:
        return ""  # a program
    return f"{path} has no interpreter: begin it with #!/usr/bin/env bash"
