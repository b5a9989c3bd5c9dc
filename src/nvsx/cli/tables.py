"""Plain tables for a terminal: columns as wide as their widest cell, two spaces apart."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from nvsx.core.plaintext import one_line


def print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print `head` and `rows`, without what could move a cursor: senders chose some of it."""
    rows = [tuple(one_line(cell).replace("\t", " ") for cell in row) for row in rows]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo(line.rstrip())
