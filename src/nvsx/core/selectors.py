"""Kubernetes label selectors: read once, matched against labels without asking anybody.

The grammar is the one of `kubectl -l`: `a=b`, `a==b`, `a!=b`, `a in (x,y)`,
`a notin (x,y)`, `a`, `!a`, joined by commas that all must hold
(https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Operator = Literal["in", "notin", "exists", "absent"]

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_KEY = rf"(?:[a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME}"
_VALUE = rf"(?:{_NAME})?"
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_PRESENCE = re.compile(rf"(!?)\s*({_KEY})")
_VALUE_ONLY = re.compile(_VALUE)


@dataclass(frozen=True, slots=True)
class Requirement:
    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """As the API server decides: `notin` and `!=` also hold when the label is absent."""
        if self.operator == "exists":
            return self.key in labels
        if self.operator == "absent":
            return self.key not in labels
        inside = self.key in labels and labels[self.key] in self.values
        return inside if self.operator == "in" else not inside


def parse(text: str) -> tuple[Requirement, ...]:
    """The requirements in a selector; ValueError names the part that is wrong."""
    parts = re.split(r",(?![^()]*\))", text)
    if not text.strip():
        raise ValueError("a label selector is empty: write one such as app=trainer")
    return tuple(_requirement(part.strip()) for part in parts)


def _requirement(part: str) -> Requirement:
    if m := _EQUALITY.fullmatch(part):
        return Requirement(m[1], "notin" if m[2] == "!=" else "in", frozenset({m[3]}))
    if m := _SET.fullmatch(part):
        values = frozenset(v.strip() for v in m[3].split(","))
        if all(_VALUE_ONLY.fullmatch(v) for v in values):
            return Requirement(m[1], "in" if m[2] == "in" else "notin", values)
    if m := _PRESENCE.fullmatch(part):
        return Requirement(m[2], "absent" if m[1] else "exists")
    raise ValueError(
        f"'{part}' is not a label selector: write key=value, key in (a,b), key or !key"
    )


def matches(requirements: tuple[Requirement, ...], labels: Mapping[str, str]) -> bool:
    """Whether an object with these labels is selected."""
    return all(r.holds(labels) for r in requirements)
