"""The file that scripts add their lines to (NVSX_REPORT_FILE), read back bounded and masked.

The runner reads it when a script has ended, so that what a hook says of itself (above all
who was told) is in the journal, and not only in a file that somebody may delete. Then, and
whenever somebody reads the run, its secrets are overwritten.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from nvsx.core.masking import Masker
from nvsx.follow.processes.script_output import plain_text

LINE = 2_000
LINES = 1_000
BYTES = 512 * 1024
"""Characters kept of a line, lines, and bytes that are read."""
WHOLE = 8 * 1024 * 1024
"""Bytes in which `hide_secrets` looks for secrets."""


def hide_secrets(path: Path, masker: Masker) -> None:
    """Overwrite the secrets in the file, byte for byte, while scripts may be adding to it:
    nothing moves, so nothing of theirs is lost. What cannot be read or written stays."""
    with suppress(OSError):
        if path.is_symlink() or not path.is_file():
            return
        with path.open("r+b") as file:
            data = file.read(WHOLE)
            if not masker.hides(data.decode(errors="surrogateescape")):
                return
            at = 0
            for line in data.split(b"\n"):
                masked = masker.mask(line.decode(errors="surrogateescape"))
                told = masked.encode(errors="surrogateescape")
                if told != line:
                    os.pwrite(file.fileno(), told[: len(line)].ljust(len(line)), at)
                at += len(line) + 1


def read_reported_lines(path: str, masker: Masker) -> tuple[str, ...]:
    """The lines in the report file, plain and masked; none when it cannot be read."""
    if not path:
        return ()
    try:
        if not Path(path).is_file():
            return ()
        with Path(path).open("rb") as file:
            data = file.read(BYTES)
    except OSError:
        return ()
    lines = data.splitlines()[:LINES]
    if len(data) == BYTES:
        lines = lines[:-1]  # a secret that is cut is not recognised
    return tuple(masker.mask(plain_text(line)).rstrip()[:LINE] for line in lines)
