"""Label selectors of Kubernetes: read once, matched against labels without asking anybody.

The grammar is the one of `kubectl -l`: `a=b`, `a==b`, `a!=b`, `a in (x,y)`, `a notin (x,y)`,
`a>5`, `a<5`, `a`, `!a`, joined by commas that all must hold
(https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Operator = Literal["in", "notin", "exists", "absent", "gt", "lt"]

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(rf"(?:[a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME}")
_VALUE = re.compile(rf"(?:{_NAME})?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_COMMA_BETWEEN_TERMS = re.compile(r",(?![^(]*\))")
_TERM = re.compile(
    r"(?P<absent>!)?\s*(?P<key>[^\s=!(),<>]+)"
    r"(?:\s*(?P<sign>==|!=|=|>|<)\s*(?P<value>[^\s=!(),<>]*)"
    r"|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?"
)
_OPERATORS: dict[str, Operator] = {"=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt"}


@dataclass(frozen=True, slots=True)
class Requirement:
    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """As the API server decides: `notin` and `!=` also hold when the label is absent."""
        if self.operator in ("exists", "absent"):
            return (self.key in labels) is (self.operator == "exists")
        if self.operator in ("gt", "lt"):
            found = labels.get(self.key, "")
            if not _INTEGER.fullmatch(found):
                return False
            (limit,) = map(int, self.values)
            return int(found) > limit if self.operator == "gt" else int(found) < limit
        inside = self.key in labels and labels[self.key] in self.values
        return inside if self.operator == "in" else not inside


def parse(text: str) -> tuple[Requirement, ...]:
    """The requirements in a selector that a person wrote; ValueError says what is wrong."""
    if not text.strip():
        raise ValueError("a label selector is empty: write one such as app=trainer")
    try:
        return tuple(_read_term(term.strip()) for term in _COMMA_BETWEEN_TERMS.split(text))
    except ValueError as error:
        raise ValueError(f"'{text}' is not a label selector: {error}") from None


def matches(requirements: tuple[Requirement, ...], labels: Mapping[str, str]) -> bool:
    """Whether an object with these labels is selected."""
    return all(r.holds(labels) for r in requirements)


def _read_term(term: str) -> Requirement:
    found = _TERM.fullmatch(term)
    if found is None or (found["absent"] and (found["sign"] or found["set"])):
        shown = f"'{term}'" if term else "nothing between two commas"
        raise ValueError(f"found {shown}; write key=value, key in (a,b), key or !key")
    key, sign, chosen = found["key"], found["sign"], found["set"]
    if not _KEY.fullmatch(key):
        raise ValueError(f"'{key}' cannot be a label")
    if not sign and not chosen:
        return Requirement(key, "absent" if found["absent"] else "exists")
    operator: Operator = _OPERATORS[sign] if sign else "in" if chosen == "in" else "notin"
    given = [found["value"]] if sign else [v.strip() for v in found["values"].split(",")]
    for value in given:
        if sign in (">", "<") and not _INTEGER.fullmatch(value):
            raise ValueError(f"'{value}' is no whole number to compare '{key}' with")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"no label has the value '{value}'")
    return Requirement(key, operator, frozenset(given))
