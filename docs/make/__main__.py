"""Writes the documents that are made from the code, or says which are stale.

    python -m docs.make [--check]

`make docs` and `make docs-check` call it. Each entry of DOCUMENTS is given the folder of the
repository and makes one or more files; of a folder in WHOLE_FOLDERS nothing else is in there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from docs.make import (
    cli_reference,
    command_line_words,
    event_reference,
    incident_reference,
    notify_reference,
    runbook_reference,
    sample_conversion,
    sandbox_tables,
    sender_tables,
)

ROOT = Path(__file__).resolve().parents[2]

Files = dict[str, bytes]
"""Content by path below the repository. What begins with `#!` is a program."""

DOCUMENTS: tuple[Callable[[Path], Files], ...] = (
    runbook_reference.make,
    event_reference.make,
    incident_reference.make,
    notify_reference.make,
    cli_reference.make,
    command_line_words.make_help,
    command_line_words.make_words,
    sender_tables.make,
    sandbox_tables.make,
    sample_conversion.make,
)
WHOLE_FOLDERS = (sample_conversion.RUNBOOKS,)


def renew(root: Path, make: Callable[[Path], Files], *, check: bool) -> list[str]:
    """The files of one document that are stale in `root`; unless `check`, they are no more."""
    wanted = make(root)
    stale = [name for name, data in wanted.items() if not _is_current(root / name, data)]
    stale += [name for name in _in_whole_folders(root, wanted) if name not in wanted]
    for name in () if check else stale:
        path = root / name
        if name not in wanted:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wanted[name])
        path.chmod(0o755 if _is_program(wanted[name]) else 0o644)
    return sorted(stale)


def _is_current(path: Path, data: bytes) -> bool:
    if not path.is_file() or path.read_bytes() != data:
        return False
    return bool(path.stat().st_mode & 0o100) == _is_program(data)


def _is_program(data: bytes) -> bool:
    return data.startswith(b"#!")


def _in_whole_folders(root: Path, wanted: Files) -> Iterator[str]:
    """What is there now in the folders that `wanted` fills."""
    for folder in WHOLE_FOLDERS:
        if any(name.startswith(f"{folder}/") for name in wanted):
            for path in (root / folder).rglob("*"):
                if path.is_file():
                    yield str(path.relative_to(root))


def main(arguments: list[str]) -> int:
    """Renew all documents, or with --check say which are stale."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m docs.make [--check]", file=sys.stderr)
        return 2
    check = bool(arguments)
    stale = [name for make in DOCUMENTS for name in renew(ROOT, make, check=check)]
    for name in stale:
        print(f"{name} is stale: run make docs" if check else f"wrote {name}")
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
