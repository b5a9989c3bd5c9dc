"""Markdown as blocks, by markdown-it-py: CommonMark with tables.

Raw HTML inside goes to the HTML reader. What the parser keeps out of the text (reference
definitions, comments) comes back as blocks of its own, so that no address is lost.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from nvsx.convert.blocks import Block, PageSpan, row_block
from nvsx.convert.html import html_blocks

if TYPE_CHECKING:
    from markdown_it.token import Token

_DEFINITION = re.compile(r"^ {0,3}\[[^\]\n]+\]:\s*\S+.*$", re.MULTILINE)
_COMMENT = re.compile(r"<!--(.*?)(?:-->|\Z)", re.DOTALL)
_TARGET = re.compile(r"\b(?:href|src)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))", re.IGNORECASE)
_ADMONITION = re.compile(r"\s*(?:\[!\w+\]|!!! ?\w*|\?\?\? ?\w*|::: ?\w*)[ \t]*\n?")
_WARNED = re.compile(
    r"\W*(?:warning|caution|danger|important|attention|achtung|vorsicht|注意|警告)\b", re.IGNORECASE
)
_CHECKBOX = re.compile(r"\[[ xX]\]\s+")
_BREAK = re.compile(r"</?(?:br|p|div|li|tr|td)\b", re.IGNORECASE)
_TAG = re.compile(
    r"</?(?:a|abbr|b|big|cite|code|del|em|font|i|img|ins|kbd|label|mark|q|s|samp|small|span|strong|sub"
    r"|summary|details|sup|tt|u|var|input)\b|<[!?]",
    re.IGNORECASE,
)  # fmt: skip


def markdown_blocks(text: str, page: str, base: int = 0) -> list[Block]:
    """The blocks of a Markdown text; `base` is the index of the first."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    walker = _Walker(page, base)
    walker.walk(parser.parse(text))
    for pattern in (_DEFINITION, _COMMENT):
        for match in pattern.finditer(text):
            said = (match[1] if pattern is _COMMENT else match[0]).strip()
            known = (
                {s.target for b in walker.found for s in b.spans}
                if match.re is not _COMMENT
                else ()
            )
            if said and not any(t and t in said for t in known) and not walker.has(said):
                line = text.count("\n", 0, match.start()) + 1
                walker.found.append(Block("text", said, line, page))
    return walker.found


class _Walker:
    """Turns the parser's flat list of tokens into blocks."""

    def __init__(self, page: str, base: int) -> None:
        self.page, self.base = page, base
        self.found: list[Block] = []
        self.headings: list[tuple[int, str]] = []
        self.items: list[int] = []  # index of each open list item's block, -1 before its text
        self.quotes = 0
        self.alert = False
        self.columns: list[str] = []
        self.row: list[Token] | None = None
        self.in_head = False

    @property
    def section(self) -> tuple[str, ...]:
        return tuple(title for _, title in self.headings)

    def has(self, text: str) -> bool:
        return any(block.text.strip() == text for block in self.found)

    def walk(self, tokens: list[Token]) -> None:
        heading = 0
        for token in tokens:
            kind = token.type
            if kind == "heading_open":
                heading = int(token.tag[1])
            elif kind == "inline":
                self._take_inline(token, heading)
                heading = 0
            elif kind in ("fence", "code_block"):
                self._take_code(token)
            elif kind == "html_block":
                line = (token.map or [0])[0]
                for block in html_blocks(token.content, self.page, self.base + len(self.found)):
                    self.found.append(
                        replace(block, line=block.line + line, section=self.section + block.section)
                    )
            else:
                self._walk_structure(kind, token)

    def _walk_structure(self, kind: str, token: Token) -> None:
        if kind == "list_item_open":
            self.items.append(-1)
        elif kind == "list_item_close":
            self.items.pop()
        elif kind == "blockquote_open":
            self.quotes += 1
            self.alert = False
        elif kind == "blockquote_close":
            self.quotes -= 1
            self.alert = False
        elif kind in ("thead_open", "thead_close"):
            self.in_head = kind == "thead_open"
        elif kind == "tr_open":
            self.row = []
        elif kind == "tr_close":
            self._end_row((token.map or [0])[0])
        elif kind == "table_close":
            self.columns = []

    def _take_inline(self, token: Token, heading: int) -> None:
        if self.row is not None:
            self.row.append(token)
            return
        text, spans = _flatten_inline(token)
        line = (token.map or [0])[0] + 1
        if heading:
            self.headings = [h for h in self.headings if h[0] < heading]
            above = self.section
            self.headings.append((heading, " ".join(text.split())))
            self.found.append(Block("heading", text, line, self.page, above, spans))
            return
        self.alert = self.alert or bool(self.quotes and _WARNED.match(text))
        if marked := _ADMONITION.match(text):
            self.alert = True
            text, spans = _without_head(text, spans, marked.end())
        first = bool(self.items) and self.items[-1] < 0
        if first and (box := _CHECKBOX.match(text)):
            text, spans = _without_head(text, spans, box.end())
        outer = [i for i in self.items if i >= 0]
        block = Block(
            "item" if first else "text",
            text,
            line,
            self.page,
            self.section,
            spans,
            parent=outer[-1] if outer else -1,
            alert=self.alert,
        )
        if first:
            self.items[-1] = self.base + len(self.found)
        self.found.append(block)
        if not self.quotes:
            self.alert = False

    def _take_code(self, token: Token) -> None:
        first = (token.map or [0])[0] + (2 if token.type == "fence" else 1)
        outer = [i for i in self.items if i >= 0]
        language = token.info.split()[0].lower() if token.info.split() else ""
        self.found.append(
            Block(
                "code",
                token.content.rstrip("\n"),
                first,
                self.page,
                self.section,
                parent=outer[-1] if outer else -1,
                language=language,
            )
        )

    def _end_row(self, line: int) -> None:
        cells = [_flatten_inline(token) for token in self.row or ()]
        at = (self.row[0].map or [line])[0] if self.row else line
        self.row = None
        if self.in_head:
            self.columns = [" ".join(text.split()) for text, _ in cells]
            head = row_block(cells, [], at + 1, self.page, self.section)
            self.found.append(replace(head, kind="head", cells=()))
            return
        self.found.append(row_block(cells, self.columns, at + 1, self.page, self.section))


def _without_head(
    text: str, spans: tuple[PageSpan, ...], size: int
) -> tuple[str, tuple[PageSpan, ...]]:
    moved = (PageSpan(s.kind, s.start - size, s.end - size, s.target) for s in spans)
    return text[size:], tuple(s for s in moved if s.start >= 0)


def _flatten_inline(token: Token) -> tuple[str, tuple[PageSpan, ...]]:
    """The words of an inline token, with the spans of its code, links and images."""
    out: list[str] = []
    spans: list[PageSpan] = []
    links: list[tuple[int, str]] = []
    size = 0
    for child in token.children or ():
        said = ""
        if child.type in ("text", "text_special"):
            said = child.content
        elif child.type == "code_inline":
            said = child.content
            spans.append(PageSpan("code", size, size + len(said)))
        elif child.type in ("softbreak", "hardbreak"):
            said = "\n"
        elif child.type == "image":
            said = child.content
            spans.append(PageSpan("image", size, size + len(said), str(child.attrs.get("src", ""))))
        elif child.type == "link_open":
            links.append((size, str(child.attrs.get("href", ""))))
        elif child.type == "link_close" and links:
            start, target = links.pop()
            spans.append(PageSpan("link", start, size, target))
        elif child.type == "html_inline":
            if _BREAK.match(child.content):
                said = " "
            elif not _TAG.match(child.content):
                said = child.content  # `<node>` is a placeholder, not markup
            for match in _TARGET.finditer(child.content):
                target = next((g for g in match.groups() if g), "")
                spans.append(PageSpan("link", size, size, target))
        out.append(said)
        size += len(said)
    return "".join(out), tuple(sorted(spans, key=lambda s: (s.start, s.end)))
