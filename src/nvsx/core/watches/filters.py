"""The MongoDB query syntax a `health-event` watch may use, checked when a runbook loads.

nvsx evaluates such filters itself, the same on every store, so only the operators it
evaluates are allowed. This module reads and checks a filter; it does not evaluate one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from nvsx.core import patterns

COMPARISONS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")
OPERATORS = (*COMPARISONS, "$in", "$nin", "$exists", "$regex", "$and", "$or", "$not")

#: Levels of nesting; nobody writes more, and each costs a frame of the stack.
_MAX_DEPTH = 16


def parse(value: object) -> dict[str, Any]:
    """The filter as a mapping, from JSON text or a mapping.

    Raises ValueError saying which operator or value is wrong.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as exc:
            raise ValueError(
                f"filter is not JSON: {exc.msg} at character {exc.pos + 1}; "
                "or write it as a YAML mapping"
            ) from None
    if not isinstance(value, Mapping):
        raise ValueError("filter is a mapping of fields to values, or the same as JSON text")
    _check_document(value, 0)
    return {str(k): v for k, v in value.items()}


def _check_document(document: Mapping[Any, Any], depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError(f"filter is nested deeper than {_MAX_DEPTH} levels")
    for key, condition in document.items():
        if not isinstance(key, str) or not key:
            raise ValueError(f"filter field {key!r} is not a name")
        if key in ("$and", "$or"):
            _check_branches(key, condition, depth)
        elif key.startswith("$"):
            _refuse_operator(key)
        elif isinstance(condition, Mapping) and any(str(k).startswith("$") for k in condition):
            _check_condition(key, condition, depth + 1)


def _check_branches(operator: str, branches: object, depth: int) -> None:
    if not isinstance(branches, list | tuple) or not branches:
        raise ValueError(f"filter {operator} takes a list of filters")
    for branch in branches:
        if not isinstance(branch, Mapping):
            raise ValueError(f"filter {operator} takes a list of filters")
        _check_document(branch, depth + 1)


def _check_condition(field: str, condition: Mapping[Any, Any], depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError(f"filter is nested deeper than {_MAX_DEPTH} levels")
    for operator, operand in condition.items():
        if operator in COMPARISONS:
            continue
        if operator in ("$in", "$nin"):
            if not isinstance(operand, list | tuple):
                raise ValueError(f"filter {operator} on {field} takes a list of values")
        elif operator == "$exists":
            if not isinstance(operand, bool):
                raise ValueError(f"filter $exists on {field} takes true or false")
        elif operator == "$regex":
            _check_regex(field, operand)
        elif operator == "$not":
            if not isinstance(operand, Mapping) or not operand:
                raise ValueError(f"filter $not on {field} takes a condition such as {{$eq: 1}}")
            _check_condition(field, operand, depth + 1)
        else:
            _refuse_operator(str(operator))


def _check_regex(field: str, operand: object) -> None:
    if not isinstance(operand, str):
        raise ValueError(f"filter $regex on {field} takes text")
    try:
        patterns.compiled(operand)
    except ValueError as exc:
        raise ValueError(f"filter $regex on {field} does not compile: {exc}") from None


def _refuse_operator(operator: str) -> None:
    near = get_close_matches(operator, OPERATORS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"use {' '.join(OPERATORS)}"
    if operator == "$options":
        hint = "write (?i) at the start of $regex instead"
    raise ValueError(f"filter operator {operator} is not supported; {hint}")
