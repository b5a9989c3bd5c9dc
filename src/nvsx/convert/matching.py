
"""What hooks say, and whether given words are in it.

A comment says nothing to anybody at run time, so only words of commands and the bodies of
here-documents count. White space, case and the markup of inline code do not matter; every
other character does.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nvsx.lint.bash_tree import read_script

_MARKUP = re.compile(r"[`*]|\\(?=[_#*`<>\[\]])")


def norm(text: str) -> str:
    """Text as it is compared: one blank between words, no code marks, no case."""
    return " ".join(_MARKUP.sub("", text).casefold().split())


@dataclass(slots=True)
class Speech:
    """All a script says, normalised, with the line each part comes from."""

    file: str
    text: str = ""
    starts: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def add(self, words: str, line: int) -> None:
        said = norm(words)
        if not said:
            return
        self.starts.append(len(self.text) + 1)
        self.lines.append(line)
        self.text += " " + said

    def find(self, pieces: Sequence[str]) -> int:
        """The line where all pieces are said in order and close together; 0 for nowhere."""
        wanted = [piece for piece in (norm(x) for x in pieces) if piece]
        if not wanted:
            return 0
        for at in _find_places(self.text, wanted[0], 0):
            end, good = at + len(wanted[0]), True
            for piece in wanted[1:]:
                following = next(_find_places(self.text, piece, end), -1)
                if following < 0 or following - end > 400:
                    good = False
                    break
                end = following + len(piece)
            if good:
                index = bisect.bisect_right(self.starts, at) - 1
                return self.lines[max(index, 0)]
        return 0


def _find_places(text: str, piece: str, start: int) -> Iterator[int]:
    """Where a piece stands as whole words."""
    at = text.find(piece, start)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(piece) : at + len(piece) + 1]
        left = not (_is_word(piece[0]) and _is_word(before))
        right = not (_is_word(piece[-1]) and (_is_word(after) or after == "-"))
        if left and right:
            yield at
        at = text.find(piece, at + 1)


def _is_word(char: str) -> bool:
    """A character that goes on a word; scripts without blanks between words have none."""
    return bool(char) and ((char.isascii() and char.isalnum()) or char == "_")


def speech_of(file: str, script: str) -> Speech:
    """What a shell script says on paths that can run."""
    said = Speech(file)
    parts: list[tuple[int, str]] = []
    for command in read_script(script).commands:
        if command.reach == "never":
            continue
        texts = [(command.line, " ".join(word.shown for word in command.words))]
        texts += [(value.line, f"{name}={value.shown}") for name, value in command.assigned]
        texts += [(word.line, word.shown) for word in command.said]
        for line, text in texts:
            parts += [(line + i, part) for i, part in enumerate(text.split("\n"))]
    for line, words in sorted(parts, key=lambda part: part[0]):
        said.add(words, line)
    return said
