"""JSONL: the journal itself, one object a line, for other programs."""

from __future__ import annotations

from nvsx.core.journal import entries as j
from nvsx.screens.line_writer import LineOutput


class JsonlView:
    """Writes each entry as it was appended; a resumed run's journal with `replayed: true`."""

    def __init__(self, out: LineOutput) -> None:
        self._out = out

    def show(self, entry: j.Entry, *, replayed: bool = False) -> None:
        self._out.write(j.to_line(entry, replayed=replayed))

    async def close(self) -> None:
        self._out.close()
