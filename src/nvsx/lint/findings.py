"""What lint finds: one value for every rule.

Rule ids are stable: people silence and count them, and `-o json` carries them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nvsx.core.errors import Problem
from nvsx.core.runbook.catalog import LoadedRunbook

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. An error makes lint fail; a warning is advice."""

    severity: Severity
    rule: str
    problem: Problem
    runbook: str

    def as_dict(self) -> dict[str, object]:
        """The shape of `nvsx lint -o json`; line and column are 0 when unknown."""
        return {
            "severity": self.severity,
            "rule": self.rule,
            "runbook": self.runbook,
            "file": self.problem.file,
            "line": self.problem.line,
            "column": self.problem.column,
            "message": self.problem.message,
            "hint": self.problem.hint,
        }


def error(
    rule: str, book: LoadedRunbook, message: str, *path: str | int, hint: str = ""
) -> Finding:
    """An error at the value at `path` of the runbook's file."""
    return Finding("error", rule, book.problem(message, *path, hint=hint), book.name)


def warning(
    rule: str, book: LoadedRunbook, message: str, *path: str | int, hint: str = ""
) -> Finding:
    """A warning at the value at `path` of the runbook's file."""
    return Finding("warning", rule, book.problem(message, *path, hint=hint), book.name)
