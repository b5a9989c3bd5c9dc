"""Lines out of chunks: watch events and log lines arrive in pieces of any size.

A line may span many chunks and a chunk may cut a character in two, so lines are put
together as bytes. What follows the last newline is kept apart: at the end of a stream it
is a torn line, and the caller decides what that means.
"""

from __future__ import annotations

# An object is at most about 1.5 MiB in etcd; a line beyond this is no watch event.
MAX_EVENT = 16 * 1024 * 1024


class Lines:
    """Splits chunks at newlines. A line longer than `cap` bytes is cut to it.

    With `strict` such a line raises ValueError instead.
    """

    def __init__(self, cap: int = MAX_EVENT, *, strict: bool = True) -> None:
        self._cap = cap
        self._strict = strict
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without their newlines."""
        pieces = chunk.split(b"\n")
        if len(pieces) == 1:
            self._keep_piece(chunk)
            return []
        self._keep_piece(pieces[0])
        lines = [self.torn]
        self._parts.clear()
        self._size = 0
        for piece in pieces[1:-1]:
            self._check_length(len(piece))
            lines.append(piece[: self._cap])
        self._keep_piece(pieces[-1])
        return lines

    @property
    def torn(self) -> bytes:
        """What came after the last newline."""
        return b"".join(self._parts)

    def _keep_piece(self, piece: bytes) -> None:
        self._check_length(self._size + len(piece))
        room = self._cap - self._size
        if piece and room > 0:
            self._parts.append(piece[:room])
            self._size += len(self._parts[-1])

    def _check_length(self, size: int) -> None:
        if self._strict and size > self._cap:
            raise ValueError(f"a line of more than {self._cap} bytes")
