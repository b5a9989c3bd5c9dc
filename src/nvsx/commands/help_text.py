"""help.txt, what `nvsx --help` prints, made from the application itself.

`python -m nvsx.commands.help_text [--check|--write]` keeps it current; the checks of the
repository fail when it is stale. Reading it takes a hundredth of the time that building
the application takes.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

from nvsx.commands.generated_files import renew
from nvsx.commands.main import HELP

WIDTH = "80"
"""The widest that Typer writes, however wide the terminal."""


def text() -> str:
    """The help of the whole application."""
    from nvsx.commands.app import application

    said, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        with contextlib.redirect_stdout(said):
            application()(args=["--help"], prog_name="nvsx", standalone_mode=False)
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return said.getvalue()


def main(argv: list[str] | None = None) -> int:
    """Write the file, or with --check say whether it is current. A path may follow."""
    args = sys.argv[1:] if argv is None else argv
    return renew(args, "nvsx.commands.help_text", Path(HELP), text)


if __name__ == "__main__":
    sys.exit(main())
