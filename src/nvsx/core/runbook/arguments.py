"""`$NVSX_…` in the arguments of an action. No shell is involved: anything else is text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

#: Set in some runs only; elsewhere they are empty and no mistake.
SOMETIMES = frozenset(
    {
        "NVSX_SANDBOX",
        "NVSX_DRILL",
        "NVSX_STORM_ROLE",
        "NVSX_STORM_SIZE",
        "NVSX_REPEAT_COUNT",
        "NVSX_REPEAT_GPU",
    }
)

_VARIABLE = re.compile(r"\$(?:\{(NVSX_[A-Z0-9_]+)\}|(NVSX_[A-Z0-9_]+))")


def expand(args: Iterable[str], variables: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The arguments with the values of `variables`, and the names that have none.

    An action must not act on an argument that was left empty by a slip of the pen.
    """
    unset: list[str] = []

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in variables and name not in SOMETIMES:
            unset.append(name)
        return variables.get(name, "")

    return [_VARIABLE.sub(value, arg) for arg in args], unset


def explain_unset(unset: Iterable[str]) -> str:
    """Why a script with unset variables in its arguments does not start."""
    names = ", ".join(f"${name}" for name in dict.fromkeys(unset))
    return f"not started: its arguments name {names}, which is not set"
