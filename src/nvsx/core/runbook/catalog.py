"""A runbook that was read: the model together with where it came from.

The loader makes these; listing, linting, routing and the engine use them. A position
leads from a place in the model back to line and column of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from nvsx.core.errors import InvalidRunbook, Problem
from nvsx.core.runbook.schema import HookRef, Runbook

YamlPath = tuple[str | int, ...]


class SourceMark(NamedTuple):
    """A place in a file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Positions:
    """Where every key and every value of a file begins, by its path from the top."""

    keys: Mapping[YamlPath, SourceMark] = field(default_factory=dict)
    values: Mapping[YamlPath, SourceMark] = field(default_factory=dict)

    def value(self, path: Sequence[str | int]) -> SourceMark:
        """Where the value at `path` begins, or the nearest thing around it that exists."""
        return next(
            (self.values[p] for p in _walk_upwards(path) if p in self.values), SourceMark(1, 1)
        )

    def key(self, path: Sequence[str | int]) -> SourceMark:
        """Where the key at `path` begins; the value, where there is no key (list items)."""
        return self.keys.get(tuple(path)) or self.value(path)


def _walk_upwards(path: Sequence[str | int]) -> Iterator[YamlPath]:
    for end in range(len(path), -1, -1):
        yield tuple(path[:end])


@dataclass(frozen=True, slots=True)
class LoadedRunbook:
    """A valid runbook. `path` is the file, `root` the project, both absolute."""

    runbook: Runbook
    path: Path
    root: Path
    positions: Positions
    source_text_hash: str

    @property
    def name(self) -> str:
        return self.runbook.name

    @property
    def nickname(self) -> str:
        return self.runbook.nickname

    @property
    def file(self) -> str:
        """The file as people see it: relative to the project where it is inside."""
        return shown(self.path, self.root)

    def hook_file(self, hook: HookRef) -> Path:
        """The absolute path of a hook; it may not exist."""
        return self.root / hook.project_path

    def problem(self, message: str, *path: str | int, hint: str = "") -> Problem:
        """A finding at the value at `path` in the file."""
        line, column = self.positions.value(path)
        return Problem(message, self.file, line, column, hint)


@dataclass(frozen=True, slots=True)
class BrokenRunbook:
    """A file that cannot be used; `error.problems` says why. `name` is the file's stem."""

    name: str
    path: Path
    root: Path
    error: InvalidRunbook

    @property
    def problems(self) -> list[Problem]:
        return self.error.problems


def shown(path: Path, root: Path) -> str:
    """`path` relative to `root` where it is inside, else as it is."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
