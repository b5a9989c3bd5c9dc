"""Plain text as blocks: bullets, numbered steps, headings and commands by their look."""

from __future__ import annotations

import re

from nvsx.convert.blocks import Block
from nvsx.convert.page_patterns import PROGRAM_LINE

_BULLET = re.compile(r"^(\s*)(?:[-*+•·–]|\(?(?:\d{1,3}|[a-zA-Z])[.)]|\[[ xX]?\])\s+(?=\S)")
_RULE = re.compile(r"^\s*([=\-~*_#])\1{2,}\s*$")


def text_blocks(text: str, page: str, base: int = 0) -> list[Block]:
    """The blocks of a plain text; `base` is the index of the first."""
    found: list[Block] = []
    section: tuple[str, ...] = ()
    lines = text.split("\n")
    items: list[tuple[int, int]] = []  # (indent, index) of the open list items
    index = 0
    while index < len(lines):
        line, number = lines[index], index + 1
        index += 1
        if not line.strip() or _RULE.match(line):
            continue
        if _is_heading(line, lines[index] if index < len(lines) else ""):
            section, items = (" ".join(line.split()),), []
            found.append(Block("heading", line.strip(), number, page))
            continue
        indent = len(line) - len(line.lstrip())
        if bullet := _BULLET.match(line):
            items = [i for i in items if i[0] < indent]
            parent = items[-1][1] if items else -1
            items.append((indent, base + len(found)))
            said, index = _join_lines(line[bullet.end() :], lines, index, indent)
            found.append(Block("item", said, number, page, section, parent=parent))
            continue
        items = [i for i in items if i[0] < indent]
        parent = items[-1][1] if items else -1
        if PROGRAM_LINE.match(line):
            found.append(Block("code", line.strip(), number, page, section, parent=parent))
            continue
        said, index = _join_lines(line.strip(), lines, index, -1)
        found.append(Block("text", said, number, page, section, parent=parent))
    return found


def _join_lines(first: str, lines: list[str], index: int, indent: int) -> tuple[str, int]:
    """A paragraph or item with its continued lines: those deeper than `indent`."""
    said = [first]
    while index < len(lines):
        line = lines[index]
        depth = len(line) - len(line.lstrip())
        stop = not line.strip() or _BULLET.match(line) or PROGRAM_LINE.match(line)
        if stop or _RULE.match(line) or depth <= indent or _is_heading(line, ""):
            break
        said.append(line.strip())
        index += 1
    return "\n".join(said), index


def _is_heading(line: str, below: str) -> bool:
    word = line.strip()
    if re.match(r"^#{1,6} \S", word) or re.match(r"^={2,6} .* ={2,6}$", word):
        return True
    if below and _RULE.match(below) and len(below.strip()) >= 3 and not _BULLET.match(line):
        return True
    letters = [c for c in word if c.isalpha()]
    shouted = len(letters) > 3 and len(word) < 70 and all(c.isupper() for c in letters)
    return shouted and not _BULLET.match(line) and word[-1:] not in ".!,"
