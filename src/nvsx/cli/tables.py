"""Plain tables for a terminal: columns as wide as their widest cell, two spaces apart."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

import typer

from nvsx.core.plaintext import one_line

_LEAST = 6


def print_table(
    head: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, gives_way: int | None = None
) -> None:
    """Print `head` and `rows`, without what could move a cursor: senders chose some of it.

    Cells of the column `gives_way` are cut where a terminal is too narrow for the whole.
    """
    rows = [tuple(one_line(cell).replace("\t", " ") for cell in row) for row in rows]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    if gives_way is not None and sys.stdout.isatty():
        over = sum(widths) + 2 * (len(widths) - 1) - shutil.get_terminal_size().columns
        widths[gives_way] = max(min(_LEAST, widths[gives_way]), widths[gives_way] - max(0, over))
    for row in [head, *rows]:
        cells = (_cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else f"{cell[: width - 1]}…"
