"""Ledgers in the project: read back, shown, and compared with their sources by lint."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nvsx.core.errors import Problem, UsageError
from nvsx.core.routing.vocabulary import Vocabulary
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.lint.findings import Finding

_FILE = "ledger.json"


def ledger_path(root: Path, name: str) -> Path:
    """Where a runbook's ledger is kept: beside its hooks, so that it travels with them."""
    return root / "runbooks" / "hooks" / name / _FILE


def place_of(path: Path, root: Path) -> str:
    """A source's path as the ledger keeps it: relative to the project, whoever checks it out."""
    return Path(os.path.relpath(path.resolve(), root.resolve())).as_posix()


def read(root: Path, name: str) -> dict[str, Any]:
    """The stored ledger. Raises UsageError when there is none, or it is damaged."""
    path = ledger_path(root, name)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{name} has no ledger: it was not converted", f"looked for {path}"
        ) from None
    except (OSError, ValueError) as exc:
        raise UsageError(f"the ledger {path} cannot be read: {exc}") from None
    if not isinstance(data, dict) or not isinstance(data.get("facts"), list):
        raise UsageError(f"the ledger {path} is damaged", "convert the page again")
    return data


def check_source(book: LoadedRunbook, words: Vocabulary) -> Iterator[Finding]:  # noqa: ARG001
    """A lint rule: the page a runbook was converted from has changed since.

    A page that is gone is no finding: exports are often deleted once converted.
    """
    if not ledger_path(book.root, book.name).is_file():
        return
    try:
        sources: Sequence[Any] = read(book.root, book.name).get("sources", ())
    except UsageError as exc:
        yield Finding("warning", "ledger-damaged", Problem(exc.message), book.name)
        return
    for source in sources:
        file, digest = str(source.get("file", "")), source.get("sha256")
        try:
            now = hashlib.sha256((book.root / file).read_bytes()).hexdigest()
        except OSError:
            continue
        if now != digest:
            problem = Problem(
                f"{file} has changed since {book.name} was converted from it",
                str(ledger_path(Path(), book.name)),
                hint="convert it again under another name and compare",
            )
            yield Finding("warning", "source-changed", problem, book.name)
