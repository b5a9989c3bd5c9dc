"""A body becomes an object: types and unknown fields are checked as an API server does.

Called by writing before anything is stored. A built-in kind's field of another type is a
BadRequest in Go's words, since a real server fails to decode it. Unknown fields are taken
out and, as the request's `fieldValidation` asks, are an error, warnings or nothing
(https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation). A custom
kind's types are checked later, by its schema: structural.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nvsentinel_sandbox.kube.resources import Resource
from nvsentinel_sandbox.kube.shapes import Shape
from nvsentinel_sandbox.kube.statuses import BadRequest, Invalid

Object = dict[str, Any]
_MODES = ("", "Ignore", "Strict", "Warn")
_GO = {"boolean": "bool", "integer": "int32", "number": "float64", "bytes": "[]uint8"}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_FITS: dict[str, Callable[[Any], bool]] = {
    "string": lambda v: isinstance(v, str),
    "Time": lambda v: isinstance(v, str),
    "MicroTime": lambda v: isinstance(v, str),
    "bytes": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": _is_number,
    "Quantity": lambda v: isinstance(v, str) or _is_number(v),
    "IntOrString": lambda v: isinstance(v, (str, int)) and not isinstance(v, bool),
}


class Mismatch(ValueError):
    """A value of another type than the field's, in the words of Go's JSON decoder."""

    def __init__(self, was: str, wanted: str) -> None:
        super().__init__()
        self.was, self.wanted, self.place = was, wanted, ""

    def __str__(self) -> str:
        return f"cannot unmarshal {self.was} into Go {self.place} of type {self.wanted}"


def check(resource: Resource, obj: Object, mode: str) -> tuple[Object, list[str]]:
    """The object as the server understands it, and the warnings to answer with.

    Args:
        resource: its kind.
        obj: what was sent; not changed.
        mode: the request's fieldValidation.

    Raises BadRequest for a type that does not fit and, with Strict, for unknown fields;
    Invalid for a mode that there is not.
    """
    if mode not in _MODES:
        listed = ", ".join(f'"{m}"' for m in _MODES)
        raise Invalid(
            f'fieldValidation: Unsupported value: "{mode}": supported values: {listed}',
        )
    unknown: list[str] = []
    try:
        found = _check_value(resource.shape, obj, "", unknown, typed=not resource.custom)
    except Mismatch as error:
        raise BadRequest(f"{_cannot_be_handled(resource)}: json: {error}") from None
    told = [f'unknown field "{path}"' for path in unknown]
    if told and mode == "Strict":
        raise BadRequest(
            f"{_cannot_be_handled(resource)}: strict decoding error: {', '.join(told)}"
        )
    return found, [] if mode == "Ignore" else told


def _cannot_be_handled(resource: Resource) -> str:
    return f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'


def _check_value(shape: Shape, value: Any, path: str, unknown: list[str], *, typed: bool) -> Any:
    if value is None or shape.kind == "any":
        return value
    if isinstance(value, Mapping) and shape.kind in ("object", "map"):
        return _check_members(shape, value, path, unknown, typed=typed)
    if isinstance(value, list) and shape.kind == "array":
        return [
            _check_value(shape.item, inner, f"{path}[{index}]", unknown, typed=typed)
            for index, inner in enumerate(value)
        ]
    if not typed or (shape.kind == "scalar" and _FITS[shape.type](value)):
        return value
    raise Mismatch(*_describe_mismatch(shape, value))


def _check_members(
    shape: Shape, value: Mapping[str, Any], path: str, unknown: list[str], *, typed: bool
) -> Object:
    found = {}
    for key, inner in value.items():
        below, where = shape.child(key), f"{path}.{key}" if path else str(key)
        if below is None:
            unknown.append(where)
            continue
        try:
            # Metadata is Go's own type in custom kinds too.
            typed_here = typed or where == "metadata"
            found[key] = _check_value(below, inner, where, unknown, typed=typed_here)
        except Mismatch as error:
            if shape.kind == "object" and not error.place:
                plain = ".".join(part.partition("[")[0] for part in where.split("."))
                error.place = f"struct field {shape.type}.{plain}" if shape.type else plain
            raise
    return found


def _describe_mismatch(shape: Shape, value: Any) -> tuple[str, str]:
    was = "object" if isinstance(value, Mapping) else "array" if isinstance(value, list) else ""
    if not was:
        was = "bool" if isinstance(value, bool) else "number" if _is_number(value) else "string"
    wanted = {"array": "slice", "map": "map[string]string", "object": f"v1.{shape.type}"}
    return was, wanted.get(shape.kind) or _GO.get(shape.type, shape.type)
