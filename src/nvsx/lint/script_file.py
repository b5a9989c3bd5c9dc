"""The files a runbook names, and what their first lines say of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nvsx.core.runbook import review
from nvsx.core.runbook.catalog import LoadedRunbook, shown

_MAX_BYTES = 1024 * 1024
_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A file a runbook uses. `place` is where the runbook names it."""

    book: LoadedRunbook
    path: Path
    kind: str  # hook, script (an action's), library (sourced by a hook)
    place: tuple[str | int, ...]

    @property
    def file(self) -> str:
        return shown(self.path, self.book.root)


def list_named_files(book: LoadedRunbook) -> Iterator[ScriptFile]:
    """Every hook and action script a runbook names; the same file once."""
    seen: set[tuple[Path, str]] = set()
    for file in _all_named(book):
        if (file.path, file.kind) not in seen:
            seen.add((file.path, file.kind))
            yield file


def _all_named(book: LoadedRunbook) -> Iterator[ScriptFile]:
    index = {stage.id: i for i, stage in enumerate(book.runbook.stages)}
    for hook in book.runbook.hooks():
        stage = ("stages", index[hook.stage]) if hook.stage else ()
        yield ScriptFile(book, book.hook_file(hook), "hook", (*stage, hook.role))
    for i, stage_ in enumerate(book.runbook.stages):
        if stage_.action:
            path = book.root / stage_.action.script
            yield ScriptFile(book, path, "script", ("stages", i, "action", "script"))


def read_content(path: Path) -> bytes | None:
    """The first MB of a file; None where there is none that can be read."""
    try:
        return path.read_bytes()[:_MAX_BYTES] if path.is_file() else None
    except OSError:
        return None


def is_unreviewed(path: Path) -> bool:
    """Whether a hook carries the mark of a model's work, whatever its mode."""
    return review.is_unreviewed(read_content(path) or b"")


def is_shell(path: Path, content: bytes) -> bool:
    """Whether a file is a shell script, by its first line, else by its name."""
    name = name_interpreter(content)
    return name in _SHELLS if name else path.suffix == ".sh"


def name_interpreter(content: bytes) -> str:
    """The program that a #! line starts, "" without one.

    `#!/bin/bash -eu` and `#!/usr/bin/env -S LC_ALL=C bash -eu` are both bash.
    """
    first = content.split(b"\n", 1)[0].decode("utf-8", "replace")
    if not first.startswith("#!"):
        return ""
    words = [PurePosixPath(word).name for word in first[2:].split()]
    if words[:1] == ["env"]:
        words = [w for w in words[1:] if "=" not in w and not re.fullmatch(r"-\w*S?|--.*", w)]
        words = [w.removeprefix("-S") for w in words]
    return words[0] if words else ""
