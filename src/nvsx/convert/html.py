"""HTML as blocks: exports of wikis, with the macros Confluence keeps its code and panels in.

Scripts, styles and navigation are no content. Broken nesting is taken as it comes.
"""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

from nvsx.convert.blocks import Block, PageSpan, SpanKind, row_block

_SKIP = frozenset("script style template nav ac:task-id ac:task-uuid ac:task-status".split())
_BREAKS = frozenset(
    "p div section article header footer ul ol table thead tbody blockquote dl dt dd details "
    "summary figure figcaption button textarea select option ac:task ac:rich-text-body "
    "ac:structured-macro hr form fieldset".split()
)
#: What leads elsewhere without being a link or a picture, and the attribute that says where.
_EMBEDDED = {
    "iframe": "src", "video": "src", "audio": "src", "source": "src", "embed": "src",
    "object": "data", "form": "action",
}  # fmt: skip
_ALERTS = ("warning", "caution", "danger", "important", "alert", "note")


def html_blocks(text: str, page: str, base: int = 0) -> list[Block]:
    """The blocks of an HTML text; `base` is the index of the first."""
    reader = _Reader(page, base)
    reader.feed(text)
    reader.close()
    reader.end()
    return reader.found


class _Reader(HTMLParser):
    def __init__(self, page: str, base: int) -> None:
        super().__init__(convert_charrefs=True)
        self.page, self.base = page, base
        self.found: list[Block] = []
        self.text, self.spans, self.line = "", list[PageSpan](), 1
        self.open_spans: list[tuple[SpanKind, int, str]] = []
        self.headings: list[tuple[int, str]] = []
        self.items: list[int] = []
        self.alerts: list[str] = []
        self.heading = 0
        self.skipped = 0
        self.pre = 0
        self.cells: list[tuple[str, tuple[PageSpan, ...]]] | None = None
        self.row_line, self.columns, self.head_row = 1, list[str](), True
        self.in_cell = False

    @property
    def section(self) -> tuple[str, ...]:
        return tuple(title for _, title in self.headings)

    # --- what the parser calls --------------------------------------------------------

    def handle_starttag(  # noqa: C901, PLR0912 - one branch a kind of tag
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in _SKIP:
            self.skipped += 1
        elif tag in ("h1", "h2", "h3", "h4", "h5", "h6", "title"):
            self._flush_block()
            self.heading = 1 if tag == "title" else int(tag[1])
        elif tag == "li":
            self._flush_block()
            self.items.append(-1)
        elif tag == "tr":
            self._flush_block()
            self.cells, self.row_line, self.head_row = [], self.getpos()[0], True
        elif tag in ("td", "th"):
            if self.cells is None or self.in_cell or self.text.strip():
                self._end_cell()
            self.in_cell = True
            self.head_row = self.head_row and tag == "th"
        elif tag == "table":
            self._flush_block()
            self.columns = []
        elif tag in ("pre", "ac:plain-text-body"):
            self._flush_block()
            self.pre += 1
        elif tag == "br":
            self._say_text("\n")
        elif tag in ("code", "tt", "kbd", "samp"):
            self.open_spans.append(("code", len(self.text), ""))
        elif tag == "a":
            self.open_spans.append(("link", len(self.text), values.get("href", "")))
        elif tag in ("img", "ri:attachment", "ri:url"):
            self._take_picture(values)
        elif tag == "ri:user":
            self._say_text("@" + next((v for k, v in values.items() if "user" in k), "user"))
        elif tag in _BREAKS:
            self._break_block()
        elif tag == "input":
            self._say_text(f" {values.get('value', '')} ")
        if target := values.get(_EMBEDDED.get(tag, "")):
            self.spans.append(PageSpan("link", len(self.text), len(self.text), target))
        self._note_alert(tag, values)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("div", "p", *_SKIP):
            self.handle_starttag(tag, attrs)
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIP:
            self.skipped = max(0, self.skipped - 1)
        elif tag in ("h1", "h2", "h3", "h4", "h5", "h6", "title"):
            self._flush_block()
            self.heading = 0
        elif tag == "li":
            self._flush_block()
            if self.items:
                self.items.pop()
        elif tag in ("td", "th"):
            self._end_cell()
        elif tag == "tr":
            self._end_row()
        elif tag in ("pre", "ac:plain-text-body"):
            self._flush_block()
            self.pre = max(0, self.pre - 1)
        elif tag in ("code", "tt", "kbd", "samp", "a"):
            self._end_span("link" if tag == "a" else "code")
        elif tag in _BREAKS:
            self._break_block()
        if self.alerts and self.alerts[-1] == tag:
            self._flush_block()
            self.alerts.pop()

    def handle_data(self, data: str) -> None:
        if not self.skipped:
            self._say_text(data)

    def unknown_decl(self, data: str) -> None:
        if data.startswith("CDATA["):
            self._say_text(data[6:])

    def handle_comment(self, data: str) -> None:
        if data.startswith("[CDATA["):  # how the parser sees CDATA outside of SVG
            self._say_text(data[7:].removesuffix("]]"))
        elif data.strip() and self.cells is None:
            self._break_block()
            self._say_text(data)
            self._break_block()

    # --- blocks -----------------------------------------------------------------------

    def _note_alert(self, tag: str, values: dict[str, str]) -> None:
        said = f"{values.get('ac:name', '')} {values.get('class', '')}".lower()
        if tag in ("div", "ac:structured-macro", "aside", "p") and any(a in said for a in _ALERTS):
            self.alerts.append(tag)

    def _take_picture(self, values: dict[str, str]) -> None:
        target = values.get("src") or values.get("ri:filename") or values.get("ri:value") or ""
        if target.startswith("data:"):
            target = "(embedded picture)"
        start = len(self.text)
        self._say_text(" ".join(filter(None, (values.get("alt"), values.get("title")))))
        self.spans.append(PageSpan("image", start, len(self.text), target))

    def _say_text(self, data: str) -> None:
        if not self.text.strip() and data.strip():
            blank = data[: len(data) - len(data.lstrip())]
            self.line = self.getpos()[0] + blank.count("\n")
            if not self.spans and not self.pre:
                data, self.text = data.lstrip(), ""
                self.open_spans = [(k, 0, t) for k, _, t in self.open_spans]
        self.text += data

    def _end_span(self, kind: SpanKind) -> None:
        for index in range(len(self.open_spans) - 1, -1, -1):
            if self.open_spans[index][0] == kind:
                _, start, target = self.open_spans.pop(index)
                self.spans.append(PageSpan(kind, start, len(self.text), target))
                return

    def _break_block(self) -> None:
        if self.cells is not None:
            self._say_text(" ")
        elif not self.pre:
            self._flush_block()

    def _flush_block(self) -> None:
        text, spans = self.text, tuple(sorted(self.spans, key=lambda s: (s.start, s.end)))
        if self.cells is not None and not self.pre:
            return
        self.text, self.spans, self.open_spans = "", [], []
        if not text.strip() and not any(s.target for s in spans):
            return
        outer = [i for i in self.items if i >= 0]
        parent = outer[-1] if outer else -1
        if self.pre:
            body = text.strip("\n").rstrip()
            block = Block("code", body, self.line, self.page, self.section, parent=parent)
        elif self.heading:
            self.headings = [h for h in self.headings if h[0] < self.heading]
            block = Block("heading", text.rstrip(), self.line, self.page, self.section, spans)
            self.headings.append((self.heading, " ".join(text.split())))
        else:
            first = bool(self.items) and self.items[-1] < 0
            if first:
                self.items[-1] = self.base + len(self.found)
            block = Block(
                "item" if first else "text",
                text.rstrip(),
                self.line,
                self.page,
                self.section,
                spans,
                parent=parent,
                alert=bool(self.alerts),
            )
        self.found.append(block)

    def _end_cell(self) -> None:
        if self.cells is not None and (self.in_cell or self.text.strip() or self.spans):
            self.cells.append((self.text.rstrip(), tuple(self.spans)))
        self.in_cell = False
        if self.cells is not None:
            self.text, self.spans, self.open_spans = "", [], []

    def _end_row(self) -> None:
        if self.cells is None:
            return
        self._end_cell()
        cells, self.cells = self.cells, None
        if self.head_row and not self.columns and len(cells) > 1:
            self.columns = [" ".join(text.split()) for text, _ in cells]
            head = row_block(cells, [], self.row_line, self.page, self.section)
            self.found.append(replace(head, kind="head", cells=()))
        elif cells:
            self.found.append(
                row_block(cells, self.columns, self.row_line, self.page, self.section)
            )

    def end(self) -> None:
        """What was open when the text ended."""
        if self.cells is not None:
            self._end_row()
        self.pre = 0
        self._flush_block()
