"""Kubernetes label selectors: read once, matched against labels without asking anybody.

The grammar is the one of `kubectl -l`: `a=b`, `a==b`, `a!=b`, `a in (x,y)`,
`a notin (x,y)`, `a>5`, `a<5`, `a`, `!a`, joined by commas that all must hold
(https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/). What is wrong
is told in the words of an API server, so that the sandbox can answer with them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Operator = Literal["in", "notin", "exists", "absent", "gt", "lt"]
KeyRule = Callable[[str], str]
ValueRule = Callable[[str, int, str], str]

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(rf"(?:[a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME}")
_VALUE = re.compile(rf"(?:{_NAME})?")
_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_SYMBOLS = frozenset(("", "==", "!=", "=", "!", "(", ")", ",", "<", ">"))
_INTEGER = re.compile(r"[+-]?[0-9]+")
_OPERATORS: dict[str, Operator] = {
    "in": "in", "notin": "notin", "=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt",
}  # fmt: skip


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
        return read(text, _check_key, _check_value)
    except ValueError as error:
        told = str(error).removeprefix("unable to parse requirement: ")
        raise ValueError(
            f"'{text}' is not a label selector: {told}; write key=value, key in (a,b), key or !key"
        ) from None


def read(text: str, key_fault: KeyRule, value_fault: ValueRule) -> tuple[Requirement, ...]:
    """The requirements in a selector, none in an empty one.

    `key_fault(key)` and `value_fault(key, index, value)` say what is wrong with one, or
    nothing. Raises ValueError in the words of an API server.
    """
    reader = _Reader(text, key_fault, value_fault)
    found: list[Requirement] = []
    while reader.next or found:
        if reader.next in _SYMBOLS and reader.next != "!":
            expected = "identifier after ','" if found else "!, identifier, or 'end of string'"
            raise ValueError(f"found '{reader.next}', expected: {expected}")
        try:
            found.append(reader.requirement())
        except ValueError as error:
            raise ValueError(f"unable to parse requirement: {error}") from None
        if not (end := reader.take()):
            break
        if end != ",":
            raise ValueError(f"found '{end}', expected: ',' or 'end of string'")
    return tuple(found)


def matches(requirements: tuple[Requirement, ...], labels: Mapping[str, str]) -> bool:
    """Whether an object with these labels is selected."""
    return all(r.holds(labels) for r in requirements)


class _Reader:
    """The tokens of a selector; "" is its end."""

    def __init__(self, text: str, key_fault: KeyRule, value_fault: ValueRule) -> None:
        self._tokens = [*reversed(_TOKEN.findall(text))]
        self._check_key = key_fault
        self._check_value = value_fault

    @property
    def next(self) -> str:
        return self._tokens[-1] if self._tokens else ""

    def take(self) -> str:
        return self._tokens.pop() if self._tokens else ""

    def requirement(self) -> Requirement:
        absent = self.next == "!" and bool(self.take())
        if (key := self.take()) in _SYMBOLS:
            raise ValueError(f"found '{key}', expected: identifier")
        if told := self._check_key(key):
            raise ValueError(told)
        if absent or self.next in ("", ","):
            return Requirement(key, "absent" if absent else "exists")
        operator = _OPERATORS.get(word := self.take())
        if operator is None:
            raise ValueError(f"found '{word}', expected: in, notin, =, ==, !=, gt, lt")
        values = self._read_list() if word in ("in", "notin") else {self._read_value()}
        if operator in ("gt", "lt") and not all(map(_INTEGER.fullmatch, values)):
            shown = json.dumps(*values, ensure_ascii=False)
            rule = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise ValueError(f"values[0]: Invalid value: {shown}: {rule}")
        told_each = (self._check_value(key, n, value) for n, value in enumerate(sorted(values)))
        if faults := [fault for fault in told_each if fault]:
            raise ValueError(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")
        return Requirement(key, operator, frozenset(values))

    def _read_value(self) -> str:
        if self.next in ("", ","):
            return ""
        if (value := self.take()) in _SYMBOLS:
            raise ValueError(f"found '{value}', expected: identifier")
        return value

    def _read_list(self) -> set[str]:
        if (opening := self.take()) != "(":
            raise ValueError(f"found '{opening}' expected: '('")
        found: set[str] = set()
        while True:
            # an item left out is the empty value
            found.add("" if self.next in (",", ")") else self.take())
            if (after := self.take()) == ")":
                return found
            if after != ",":
                raise ValueError(f"found '{after}', expected: ',' or ')'")


def _check_key(key: str) -> str:
    return "" if _KEY.fullmatch(key) else f"'{key}' cannot be a label"


def _check_value(_key: str, _index: int, value: str) -> str:
    return "" if _VALUE.fullmatch(value) else f"no label has the value '{value}'"
