"""Label selectors, as the API server reads, refuses and matches them.

Words are those of a Kubernetes 1.32 API server (apimachinery pkg/labels/selector.go).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nvsentinel_sandbox.kube import metadata

Operator = Literal["in", "notin", "exists", "absent", "gt", "lt"]

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
    """The requirements in a selector, none in an empty one. ValueError says what is wrong."""
    reader = _SelectorReader(text)
    found: list[Requirement] = []
    while reader.next or found:
        if reader.next in _SYMBOLS and reader.next != "!":
            expected = "identifier after ','" if found else "!, identifier, or 'end of string'"
            raise ValueError(f"found '{reader.next}', expected: {expected}")
        try:
            found.append(reader.take_requirement())
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


class _SelectorReader:
    """The tokens of a selector; "" is its end."""

    def __init__(self, text: str) -> None:
        self._tokens = [*reversed(_TOKEN.findall(text))]

    @property
    def next(self) -> str:
        return self._tokens[-1] if self._tokens else ""

    def take(self) -> str:
        return self._tokens.pop() if self._tokens else ""

    def take_requirement(self) -> Requirement:
        absent = self.next == "!" and bool(self.take())
        if (key := self.take()) in _SYMBOLS:
            raise ValueError(f"found '{key}', expected: identifier")
        if told := _key_fault(key):
            raise ValueError(told)
        if absent or self.next in ("", ","):
            return Requirement(key, "absent" if absent else "exists")
        operator = _OPERATORS.get(word := self.take())
        if operator is None:
            raise ValueError(f"found '{word}', expected: in, notin, =, ==, !=, gt, lt")
        values = self._take_values() if word in ("in", "notin") else {self._take_value()}
        if operator in ("gt", "lt") and not all(map(_INTEGER.fullmatch, values)):
            shown = json.dumps(*values, ensure_ascii=False)
            rule = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise ValueError(f"values[0]: Invalid value: {shown}: {rule}")
        told_each = (_value_fault(key, n, value) for n, value in enumerate(sorted(values)))
        if faults := [fault for fault in told_each if fault]:
            raise ValueError(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")
        return Requirement(key, operator, frozenset(values))

    def _take_value(self) -> str:
        if self.next in ("", ","):
            return ""
        if (value := self.take()) in _SYMBOLS:
            raise ValueError(f"found '{value}', expected: identifier")
        return value

    def _take_values(self) -> set[str]:
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


def _key_fault(key: str) -> str:
    told = metadata.key_fault(key)
    return told and f"<nil>: Invalid value: {json.dumps(key, ensure_ascii=False)}: {told}"


def _value_fault(key: str, index: int, value: str) -> str:
    told = metadata.value_fault(value)
    shown = json.dumps(value, ensure_ascii=False)
    return told and f"values[{index}][{key}]: Invalid value: {shown}: {told}"
