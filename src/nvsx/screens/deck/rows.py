"""Rows of toned text, measured in terminal cells: what every panel of the deck is made of.

Panels build rows, widgets draw them. Text of scripts and clusters enters through `safe`
only: it is never read as markup and never reaches the terminal as a control sequence.
Nothing here knows Textual, a clock or a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size

Tone = Literal[
    "plain",
    "good",
    "bad",
    "warn",
    "dim",
    "head",
    "accent",
    "remedy",
    "said",
    "match",
    "badge",
    "badge-good",
    "badge-bad",
    "badge-warn",
]


class Span(NamedTuple):
    text: str
    tone: Tone = "plain"


Row = tuple[Span, ...]

_UNSAFE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?"  # CSI (ECMA-48 5.4)
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC, DCS, SOS, PM, APC
    r"|\x9b[0-?]*[ -/]*[@-~]?"  # CSI as one character
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
    r"|[\ud800-\udfff]"
)


def safe(text: str) -> str:
    """`text` on one line, as it reads: no control sequence, nothing that draws backwards."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub("", text.replace("\n", " ").expandtabs(4))


def span(text: str, tone: Tone = "plain") -> Row:
    """One row of one tone; `text` may come from anywhere."""
    return (Span(safe(text), tone),)


def cells(row: Row) -> int:
    """How many terminal cells `row` takes."""
    return sum(cell_len(s.text) for s in row)


def text_of(row: Row) -> str:
    return "".join(s.text for s in row)


def clip(row: Row, width: int) -> Row:
    """`row` in at most `width` cells; what was cut off is marked with an ellipsis."""
    if cells(row) <= width:
        return row
    kept: list[Span] = []
    left = max(0, width - 1)
    for part in row:
        size = cell_len(part.text)
        if size > left:
            kept.append(Span(set_cell_size(part.text, left).rstrip() + "…", part.tone))
            break
        kept.append(part)
        left -= size
    return tuple(kept) if width > 0 else ()


def pad(row: Row, width: int) -> Row:
    """`row` in exactly `width` cells."""
    row = clip(row, width)
    missing = width - cells(row)
    return (*row, Span(" " * missing)) if missing > 0 else row


def spread(left: Row, right: Row, width: int) -> Row:
    """`left` and `right` at the two ends of `width` cells; `right` is never cut."""
    room = width - cells(right)
    if room < 4:
        return pad(left, width)
    return (*pad(clip(left, room - 1), room), *right)


def rule(left: Row, right: Row, width: int, *, heavy: bool = False) -> Row:
    """A horizontal rule that carries a title and a remark; `heavy` for the pane in focus."""
    line = "━" if heavy else "─"
    tone: Tone = "accent" if heavy else "dim"
    tail: Row = (Span(" "), *right, Span(" " + line, tone)) if right else ()
    room = max(4, width - cells(tail) - 5)
    head: Row = (Span(line + " ", tone), *clip(left, room), Span(" ")) if left else ()
    fill = max(0, width - cells(head) - cells(tail))
    return clip((*head, Span(line * fill, tone), *tail), width)


def wrap(text: str, width: int) -> list[str]:
    """`text` broken at spaces into lines of at most `width` cells; long words are cut."""
    width = max(4, width)
    lines: list[str] = []
    line = ""
    for word in safe(text).split():
        joined = f"{line} {word}" if line else word
        if cell_len(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        *full, line = chop_cells(word, width)
        lines.extend(full)
    return [*lines, line] if line or not lines else lines


def hang(mark: str, text: str, width: int, tone: Tone = "plain", *, lines: int = 0) -> list[Row]:
    """`text` wrapped behind `mark`, continuation lines indented; at most `lines` rows."""
    indent = cell_len(mark) + 1
    parts = wrap(text, width - indent)
    if lines and len(parts) > lines:
        rest = " ".join(parts[lines - 1 :])
        parts = [*parts[: lines - 1], text_of(clip((Span(rest),), width - indent))]
    heads = [f"{mark} ", *([" " * indent] * (len(parts) - 1))]
    return [(Span(head, tone), Span(part, tone)) for head, part in zip(heads, parts, strict=True)]


def columns(rows: Iterable[tuple[str, str]]) -> list[Row]:
    """Two aligned columns: labels dim, values plain."""
    pairs = [(safe(a), safe(b)) for a, b in rows]
    widest = max((cell_len(a) for a, _ in pairs), default=0)
    return [(Span(set_cell_size(a, widest) + "  ", "dim"), Span(b)) for a, b in pairs]
