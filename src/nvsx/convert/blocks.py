# ruff: noqa: E501 - patterns stay in one piece, in the languages of pages
"""What a page is made of: blocks of plain text with their place, and what to call it.

The readers make blocks, the fact extractor and the splitter take them. Text is plain
(markup gone, words untouched); a link's address or an inline code is a span of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["heading", "text", "item", "head", "row", "code"]
SpanKind = Literal["code", "link", "image"]

#: Controls, and characters that reorder or hide text: no page needs them, and a person
#: who reviews the result must see what a machine reads.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)


@dataclass(frozen=True, slots=True)
class Page:
    """One source: the name people know it by, its text, and the digest of its bytes."""

    name: str
    text: str
    sha256: str


@dataclass(frozen=True, slots=True)
class PageSpan:
    """A part `start:end` of a block's text; `target` is a link's or image's address."""

    kind: SpanKind
    start: int
    end: int
    target: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph, list item, table row, heading or code block.

    `head` is a table's line of
    column headings. `line` counts from 1 in the page. `section` has the headings above, outermost first.
    `parent` is the index of the list item (or the introducing paragraph) it belongs to, -1
    without. `cells` are the (column heading, cell) pairs of a row. `alert` says that the
    page itself marks it as a warning.
    """

    kind: BlockKind
    text: str
    line: int
    page: str
    section: tuple[str, ...] = ()
    spans: tuple[PageSpan, ...] = ()
    parent: int = -1
    cells: tuple[tuple[str, str], ...] = ()
    alert: bool = False
    language: str = ""

    def line_at(self, offset: int) -> int:
        """The page's line of a place in the text."""
        return self.line + self.text.count("\n", 0, offset)

    def shown(self, start: int = 0, end: int | None = None) -> str:
        """A part of the text with the addresses of its links behind their labels."""
        end = len(self.text) if end is None else end
        out, at = [], start
        for span in self.spans:
            if not span.target or not start <= span.start <= span.end <= end:
                continue
            label = self.text[span.start : span.end]
            if span.target in label:
                continue
            out.append(self.text[at : span.end])
            out.append(f" ({span.target})" if label.strip() else span.target)
            at = span.end
        out.append(self.text[at:end])
        return one_line("".join(out))


def row_block(
    cells: list[tuple[str, tuple[PageSpan, ...]]],
    columns: list[str],
    line: int,
    page: str,
    section: tuple[str, ...],
) -> Block:
    """A table row as one block: `Owner: GPU infra | Contact: #gpu-infra`."""
    text, spans, pairs = "", [], []
    for index, (cell, inner) in enumerate(cells):
        column = columns[index] if index < len(columns) else ""
        words = cell.replace("\n", " ")
        pairs.append((column, " ".join(words.split())))
        if not words.strip():
            continue
        text += " | " if text else ""
        text += f"{column}: " if column else ""
        spans += [PageSpan(s.kind, s.start + len(text), s.end + len(text), s.target) for s in inner]
        text += words
    return Block("row", text, line, page, section, tuple(spans), cells=tuple(pairs))


def one_line(text: str) -> str:
    """Text with every run of white space as one blank."""
    return " ".join(text.split())


def clean(text: str) -> str:
    """Text with Unix line ends, without controls and without characters nobody sees."""
    return _UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " "))
