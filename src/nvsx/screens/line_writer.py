"""Writes lines to a stream from a thread of its own, so that no reader can slow a run.

A pipe that nobody empties fills this buffer and nothing else. When the buffer is full the
writer gives up on the stream and says so once, rather than leave a gap unannounced.
"""

from __future__ import annotations

import os
import queue
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol, TextIO

LIMIT = 200_000


def point_at_nothing(stream: IO[Any]) -> None:
    """Let what is still written to `stream`, whose reader has left, go nowhere. A stream that
    is no file stays as it is."""
    with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), stream.fileno())


class LineOutput(Protocol):
    """Where views write their lines, each without its newline."""

    def write(self, line: bytes) -> None: ...

    def close(self) -> None: ...


class PatientOutput:
    """Writes each line at once and waits for its reader: for commands that only show what is
    stored, where nothing but the showing waits. Raises BrokenPipeError when the reader left."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, line: bytes) -> None:
        self._stream.write(line + b"\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing is queued."""


class LineWriter:
    """An append-only sink of whole lines. `close` waits for what is queued, within reason."""

    def __init__(self, stream: IO[bytes], *, limit: int = LIMIT) -> None:
        self._stream = stream
        self._queue: queue.Queue[bytes | None] = queue.Queue(limit)
        self._broken = False
        self._thread = threading.Thread(target=self._write_lines, name="nvsx-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Queue one line (without its newline)."""
        if self._broken:
            return
        try:
            self._queue.put_nowait(line + b"\n")
        except queue.Full:
            self._broken = True

    def _write_lines(self) -> None:
        while (line := self._queue.get()) is not None:
            batch = [line]
            done = False
            while not self._queue.empty():
                more = self._queue.get_nowait()
                if more is None:
                    done = True
                    break
                batch.append(more)
            try:
                self._stream.write(b"".join(batch))
                self._stream.flush()
            except (OSError, ValueError):
                self._broken = True
                point_at_nothing(self._stream)
                return
            if done:
                return

    def close(self, timeout: float = 5.0) -> None:
        """Write what is queued; a reader that takes longer than `timeout` seconds is left."""
        if self._thread.is_alive() and not self._broken:
            try:
                self._queue.put(None, timeout=timeout)
            except queue.Full:
                return
            self._thread.join(timeout)


def wants_colour(stream: TextIO) -> bool:
    """Whether to colour; https://no-color.org decides against it."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not plain
