"""Keeps the examples at the end of a command's help as they were written.

Typer fills paragraphs; an example that is wrapped cannot be copied. `keep_examples` marks
each paragraph that begins with `Example:` or `Examples:`, for every command of the
application, once it is put together.
"""

from __future__ import annotations

import inspect
import re

import typer

AS_IS = "\b"
"""Before a paragraph, on a line by itself: print it as it is."""
_EXAMPLES = re.compile(r"^Examples?:\s*")


def keep_examples(app: typer.Typer) -> None:
    """Mark the examples in the help of all commands of `app`, and of those below."""
    for info in app.registered_commands:
        info.help = marked(info.help or inspect.getdoc(info.callback) or "")
    for group in app.registered_groups:
        if group.typer_instance is not None:
            keep_examples(group.typer_instance)


def marked(text: str) -> str:
    """`text` with its examples marked, one a line below the word."""
    parts = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(_as_is(part) if _EXAMPLES.match(part) else part for part in parts)


def _as_is(part: str) -> str:
    lines = [line.strip() for line in _EXAMPLES.sub("", part).splitlines() if line.strip()]
    word = "Example" if len(lines) == 1 else "Examples"
    return "\n".join([AS_IS, f"{word}:", *(f"  {line}" for line in lines)])
