"""Whether a stored document matches a MongoDB-style filter: pure, the same on every store.

The operators are those `core.filters` admits. Comparison follows MongoDB where it
matters to health events: a field that is an array matches when one element does, a
missing field equals null, and values of different types never compare as greater or less
(https://www.mongodb.com/docs/manual/tutorial/query-documents/).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from nvsx.core import patterns

_MISSING = object()


def matches(document: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    """Whether `document` satisfies every part of `query`. Raises TooSlow for a $regex."""
    return all(_part_matches(document, key, wanted) for key, wanted in query.items())


def _part_matches(document: Mapping[str, Any], key: str, wanted: Any) -> bool:
    if key == "$and":
        return all(matches(document, q) for q in wanted)
    if key == "$or":
        return any(matches(document, q) for q in wanted)
    value = _find_values(document, key.split("."))
    if isinstance(wanted, Mapping) and any(str(k).startswith("$") for k in wanted):
        return all(_operator_matches(value, op, operand, wanted) for op, operand in wanted.items())
    return _values_equal(value, wanted)


def _find_values(value: Any, path: Sequence[str]) -> Any:
    for i, name in enumerate(path):
        if isinstance(value, list | tuple):
            if name.isdigit():
                value = value[int(name)] if int(name) < len(value) else _MISSING
                continue
            found = [_find_values(item, path[i:]) for item in value]
            return [f for f in found if f is not _MISSING] or _MISSING
        if not isinstance(value, Mapping) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _values_equal(value: Any, wanted: Any) -> bool:
    if value is _MISSING:
        return wanted is None
    if value == wanted and isinstance(value, bool) == isinstance(wanted, bool):
        return True
    return isinstance(value, list | tuple) and any(_values_equal(v, wanted) for v in value)


def _values_ordered(value: Any, operand: Any, compare: Callable[[Any, Any], bool]) -> bool:
    if isinstance(value, list | tuple):
        return any(_values_ordered(v, operand, compare) for v in value)
    if isinstance(value, datetime) and isinstance(operand, str):
        try:
            operand = datetime.fromisoformat(operand)
        except ValueError:
            return False
    if isinstance(value, bool) or isinstance(operand, bool):
        return False  # Python would take them for 1 and 0
    try:
        return compare(value, operand)
    except TypeError:
        return False  # values of different types, and null, have no order


def _operator_matches(value: Any, op: str, operand: Any, whole: Mapping[str, Any]) -> bool:
    if op == "$regex":
        return _regex_matches(value, str(operand), str(whole.get("$options", "")))
    if op == "$not":
        return not all(_operator_matches(value, o, x, operand) for o, x in operand.items())
    return _OPERATORS[op](value, operand)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": _values_equal,
    "$ne": lambda value, operand: not _values_equal(value, operand),
    "$gt": lambda value, operand: _values_ordered(value, operand, lambda a, b: a > b),
    "$gte": lambda value, operand: _values_ordered(value, operand, lambda a, b: a >= b),
    "$lt": lambda value, operand: _values_ordered(value, operand, lambda a, b: a < b),
    "$lte": lambda value, operand: _values_ordered(value, operand, lambda a, b: a <= b),
    "$in": lambda value, operand: any(_values_equal(value, o) for o in operand),
    "$nin": lambda value, operand: not any(_values_equal(value, o) for o in operand),
    "$exists": lambda value, operand: (value is not _MISSING) == bool(operand),
    "$options": lambda _value, _operand: True,
}


def _regex_matches(value: Any, pattern: str, options: str) -> bool:
    if isinstance(value, list | tuple):
        return any(_regex_matches(v, pattern, options) for v in value)
    wanted = f"(?i){pattern}" if "i" in options else pattern
    return isinstance(value, str) and patterns.search(wanted, value) is not None
