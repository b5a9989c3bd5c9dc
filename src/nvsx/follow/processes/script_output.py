"""What a script prints, turned into a bounded number of plain, masked lines.

The runner feeds raw bytes of each stream and gets lines delivered to its sink. Control
sequences are stripped, invalid UTF-8 is replaced, a very long line is cut, and after a
limit only the end of the output is kept: errors are usually told there. Nothing here
waits or reads.
"""

from __future__ import annotations

import re
from typing import Literal

from nvsx.core.masking import Masker
from nvsx.core.ports import LineSink

MAX_LINE = 16 * 1024
"""Characters of one line that are kept."""
MAX_LINES = 5_000
MAX_BYTES = 1024 * 1024
"""Of one script, both streams together; then the tail alone is kept."""
TAIL_BYTES = 16 * 1024
TAIL_LINES = 50

_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor movements (ECMA-48 5.4)
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: titles, links, clipboard
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]?"  # two-character escapes, and a lone ESC
    r"|\x9b[0-?]*[ -/]*[@-~]?"  # CSI as one character
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # other C0 but tab, DEL, C1
    r"|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # text that draws itself backwards
)
_BREAKS = re.compile("[\u2028\u2029]")


def plain_text(raw: bytes) -> str:
    """One line of output as text that draws as it reads.

    Of a line that was overwritten with carriage returns (a progress bar) the last state.
    """
    text = raw.decode("utf-8", "replace").rstrip("\r")
    if "\r" in text:
        text = text.rsplit("\r", 1)[1]
    return _BREAKS.sub(" ", _CONTROL.sub("", text))


class Budget:
    """How much more of a script's output is delivered; shared by its two streams."""

    def __init__(self, sink: LineSink, masker: Masker) -> None:
        self.sink = sink
        self.masker = masker
        self.spent = False
        self._lines = MAX_LINES
        self._bytes = MAX_BYTES

    def deliver(self, stream: Literal["stdout", "stderr"], raw: bytes, size: int) -> None:
        """Hand on one line of `size` bytes, of which `raw` may be the beginning only."""
        self._lines -= 1
        self._bytes -= size
        self.spent = self._lines <= 0 or self._bytes <= 0
        self.sink(stream, self.line(raw, size))

    def line(self, raw: bytes, size: int) -> str:
        # Masked before it is cut: a cut could leave half a secret that no longer matches.
        text = self.masker.mask(plain_text(raw))
        if len(text) > MAX_LINE or size > len(raw):
            return f"{text[:MAX_LINE]} … line cut ({size} bytes)"
        return text


class Stream:
    """One of a script's two output streams."""

    def __init__(self, name: Literal["stdout", "stderr"], budget: Budget) -> None:
        self._name = name
        self._budget = budget
        self._keep = MAX_LINE + budget.masker.longest * 4
        self._line = bytearray()
        self._size = 0
        self._tail = b""
        self._tail_whole = True
        self._cut_bytes = 0

    def feed(self, data: bytes) -> None:
        start = 0
        while not self._budget.spent:
            end = data.find(b"\n", start)
            if end < 0:
                self._extend_line(data[start:])
                return
            self._extend_line(data[start:end])
            self._deliver_line()
            start = end + 1
        self._keep_tail(data[start:])

    def finish(self) -> None:
        """The stream has ended: deliver what has no newline, or the tail of what was cut."""
        if self._size:
            self._deliver_line()
        if not self._cut_bytes:
            return
        lines = self._tail.split(b"\n")
        if not self._tail_whole:
            lines = lines[1:]
        lines = [line for line in lines if line][-TAIL_LINES:]
        kept = sum(len(line) + 1 for line in lines)
        gone = max(0, self._cut_bytes - kept)
        sink = self._budget.sink
        sink(self._name, f"… output cut: {gone} bytes are not shown, the end follows")
        for line in lines:
            sink(self._name, self._budget.line(line, len(line)))

    def _extend_line(self, piece: bytes) -> None:
        self._line += piece[: max(0, self._keep - len(self._line))]
        self._size += len(piece)

    def _deliver_line(self) -> None:
        self._budget.deliver(self._name, bytes(self._line), self._size)
        self._line.clear()
        self._size = 0

    def _keep_tail(self, piece: bytes) -> None:
        if self._size:
            piece = bytes(self._line) + piece
            self._line.clear()
            self._size = 0
        self._cut_bytes += len(piece)
        tail = self._tail + piece
        self._tail_whole = self._tail_whole and len(tail) <= TAIL_BYTES
        self._tail = tail[-TAIL_BYTES:]
