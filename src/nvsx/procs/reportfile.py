"""The file that scripts add their lines to (NVSX_REPORT_FILE), read back bounded and masked.

The runner reads it when a script has ended, so that what a hook says of itself (above all
who was told) is in the journal, and not only in a file that somebody may delete.
"""

from __future__ import annotations

from pathlib import Path

from nvsx.core.masking import Masker
from nvsx.procs.output import plain_text

LINE = 2_000
LINES = 1_000
BYTES = 512 * 1024
"""Characters kept of a line, lines, and bytes that are read."""


def reported(path: str, masker: Masker) -> tuple[str, ...]:
    """The lines in the report file, plain and masked; none when it cannot be read."""
    if not path:
        return ()
    try:
        with Path(path).open("rb") as file:
            data = file.read(BYTES)
    except OSError:
        return ()
    lines = data.splitlines()[:LINES]
    if len(data) == BYTES:
        lines = lines[:-1]  # a secret that is cut is not recognised
    return tuple(masker.mask(plain_text(line))[:LINE] for line in lines)
