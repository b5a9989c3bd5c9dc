"""Files made from the code, and the check that they are current: for `make docs`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path


def renew(args: list[str], module: str, file: Path, text: Callable[[], str]) -> int:
    """Write `text` to the file, or with --check say whether it is current; the exit code.

    A path among `args` stands for `file`. `module` is what to run when it is stale.
    """
    rest = [a for a in args if a not in ("--check", "--write")]
    file = Path(rest[0]) if rest else file
    wanted = text()
    if "--check" not in args:
        file.write_text(wanted, encoding="utf-8")
        return 0
    if file.is_file() and file.read_text(encoding="utf-8") == wanted:
        return 0
    print(f"{file} is stale: run python -m {module}", file=sys.stderr)
    return 1
