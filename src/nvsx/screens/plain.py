"""Plain text: time, mark, words. For `--plain`, for pipes' standard error, for logs."""

from __future__ import annotations

import time

from nvsx.core.journal import entries as j
from nvsx.core.journal.entry_lines import Line, Tone, lines_of
from nvsx.core.plain_text import one_line
from nvsx.screens.line_writer import LineOutput

_SGR: dict[Tone, str] = {
    "plain": "",
    "good": "32",
    "bad": "31",
    "warn": "33",
    "dim": "2",
    "head": "1",
}


class PlainView:
    """Prints a run line by line. `verbose` adds watches that are still pending."""

    def __init__(self, out: LineOutput, *, colour: bool = False, verbose: bool = False) -> None:
        self._out, self._colour, self._verbose = out, colour, verbose

    def show(self, entry: j.Entry, *, replayed: bool = False) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(entry.t))
        for line in lines_of(entry):
            if self._is_quiet(entry.body):
                continue
            self._out.write(self._format_line(clock, line, replayed=replayed))

    def _is_quiet(self, body: j.RunEvent) -> bool:
        return isinstance(body, j.WatchChange) and body.verdict == "pending" and not self._verbose

    def _format_line(self, clock: str, line: Line, *, replayed: bool) -> bytes:
        stamp = f"{clock} {'(again) ' if replayed else ''}"
        text = f"{line.mark} {one_line(line.text)}"
        code = _SGR[line.tone]
        if self._colour and code:
            text = f"\x1b[{code}m{text}\x1b[0m"
        if self._colour:
            stamp = f"\x1b[2m{stamp}\x1b[0m"
        return f"{stamp}{text}".encode(errors="replace")

    async def close(self) -> None:
        self._out.close()
