"""Text from elsewhere as text that draws as it reads.

Messages of Events, log lines and the values of annotations are written by whoever may
write to the cluster. What is shown on a terminal or in a log goes through here, so that
none of it can move a cursor, set a title or forge a line.
"""

from __future__ import annotations


def one_line(text: str) -> str:
    """`text` with everything that is no printable character or tab replaced by a space."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else " " for c in text)


def lines(text: str) -> str:
    """As `one_line`, but line by line."""
    return "\n".join(one_line(line) for line in text.split("\n"))
