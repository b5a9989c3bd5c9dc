"""Plain tables and lines for a terminal: columns as wide as their widest cell, two spaces apart,
long lines broken at spaces."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence

from nvsx.core.plain_text import one_line

_LEAST = 6


def print_table(
    head: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, give_way: Sequence[int] = ()
) -> None:
    """Print `head` and `rows`, without what could move a cursor: senders chose some of it.

    Where a terminal is too narrow for the whole, cells of the columns `give_way` are cut, the
    first of them first.
    """
    rows = [tuple(one_line(cell).replace("\t", " ") for cell in row) for row in rows]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    if sys.stdout.isatty():
        over = sum(widths) + 2 * (len(widths) - 1) - shutil.get_terminal_size().columns
        for column in give_way:
            less = max(0, min(over, widths[column] - _LEAST))
            widths[column], over = widths[column] - less, over - less
    for row in [head, *rows]:
        cells = (
            _cut_cell(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True)
        )
        print("  ".join(cells).rstrip())


def _cut_cell(cell: str, width: int) -> str:
    return cell if len(cell) <= width else f"{cell[: width - 1]}…"


def print_lines(lines: Iterable[str]) -> None:
    """Print `lines`; a terminal gets long ones broken at spaces, the rest under their text."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for line in lines:
        label = re.match(r" +\S+ +|", line)
        indent = " " * (len(label[0]) if label and label[0] else 2)
        wrap = textwrap.TextWrapper(
            max(width, 40),
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        print(wrap.fill(line) if 0 < width < len(line) else line)
