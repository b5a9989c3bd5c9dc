"""Acceptance: a person has read the shell a model wrote, and runs may use it from now on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nvsx.convert import safety
from nvsx.core.errors import UsageError
from nvsx.core.runbook import review
from nvsx.core.runbook.catalog import LoadedRunbook, shown
from nvsx.lint import script_file
from nvsx.lint.findings import Finding

MARKER = f"# {review.UNREVIEWED}: a model wrote this; `nvsx convert --accept` after reading it"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A hook nobody has accepted yet, as it was when it was shown."""

    path: Path
    file: str
    text: str


def list_unreviewed(book: LoadedRunbook) -> list[Waiting]:
    """The hooks of a runbook that carry the mark, each once."""
    found: dict[Path, Waiting] = {}
    for script in script_file.list_named_files(book):
        try:
            text = script.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if review.is_unreviewed(text.encode()):
            found[script.path] = Waiting(script.path, shown(script.path, book.root), text)
    return list(found.values())


def find_dangers(book: LoadedRunbook, waiting: Sequence[Waiting]) -> list[Finding]:
    """What no person should have to notice by reading. Addresses were checked against the
    page when the hooks were written; here every one of them is in the text already shown."""
    found: list[Finding] = []
    for hook in waiting:
        found += safety.examine(hook.file, hook.text, hosts=None, runbook=book.name)
    return found


def accept(waiting: Sequence[Waiting]) -> None:
    """Take the mark off and make the hooks executable: all of them, or none.

    Raises UsageError when one has changed since it was shown, or cannot be written.
    """
    staged: list[tuple[Path, Waiting]] = []
    try:
        for hook in waiting:
            if hook.path.read_text(encoding="utf-8") != hook.text:
                raise UsageError(f"{hook.file} changed while it was shown", "look at it again")
            lines = hook.text.split("\n")
            kept = [x for x in lines if not review.is_unreviewed(x.encode())]
            handle, name = tempfile.mkstemp(prefix=".accept-", dir=hook.path.parent)
            staged.append((Path(name), hook))
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write("\n".join(kept))
            Path(name).chmod(0o755)
        for temporary, hook in staged:
            temporary.replace(hook.path)
    except OSError as exc:
        raise UsageError(f"nothing was accepted: {exc.strerror or exc}: {exc.filename}") from None
    finally:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)
