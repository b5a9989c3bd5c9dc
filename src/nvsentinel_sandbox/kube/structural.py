"""The structural schema of a custom kind: defaults, and what does not fit it.

Used for every object of a custom kind that is stored, whoever writes it. Words and
reasons are those of a Kubernetes 1.32 API server
(https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/
custom-resource-definitions/#validation). Not checked: CEL rules, anyOf, oneOf and not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from nvsentinel_sandbox.kube.statuses import Fault, required, unfit, unsupported

Schema = Mapping[str, Any]
_NOT_BODY = frozenset({"apiVersion", "kind", "metadata"})


def with_defaults(schema: Schema, value: Any) -> Any:
    """A copy with the schema's defaults filled in, and without null where null is no value."""
    if isinstance(value, Mapping):
        properties = schema.get("properties") or {}
        extra = schema.get("additionalProperties")
        other = extra if isinstance(extra, Mapping) else {}
        found = {}
        for key, inner in value.items():
            below = properties.get(key, other)
            if inner is None and below and not below.get("nullable"):
                continue
            found[key] = with_defaults(below, inner)
        for key, below in properties.items():
            if key not in found and "default" in below:
                found[key] = with_defaults(below, below["default"])
        return found
    if isinstance(value, list):
        return [with_defaults(schema.get("items") or {}, item) for item in value]
    return value


def faults_of(schema: Schema, obj: Mapping[str, Any]) -> list[Fault]:
    """All that is wrong with an object's fields beside metadata."""
    body = {k: v for k, v in obj.items() if k not in _NOT_BODY}
    return list(_find_faults(schema, body, ""))


def _find_faults(schema: Schema, value: Any, path: str) -> Iterator[Fault]:
    if value is None and (schema.get("nullable") or not schema.get("type")):
        return
    wanted = _type_of(schema)
    if wanted and not _is_a(wanted, value):
        was = _go_type_of(value)
        yield Fault(
            path,
            "FieldValueTypeInvalid",
            f'Invalid value: "{was}": {path} in body must be of type {wanted}: "{was}"',
        )
        return
    if (allowed := schema.get("enum")) and value not in allowed:
        yield unsupported(path, value, allowed)
    if isinstance(value, Mapping):
        yield from _check_object(schema, value, path)
    elif isinstance(value, list):
        yield from _check_list(schema, value, path)
    elif isinstance(value, str):
        yield from _check_string(schema, value, path)
    elif not isinstance(value, bool) and value is not None:
        yield from _check_number(schema, value, path)


def _check_object(schema: Schema, value: Mapping[str, Any], path: str) -> Iterator[Fault]:
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    for name in schema.get("required") or ():
        if name not in value:
            yield required(_path_below(path, name))
    for name, inner in value.items():
        below = properties.get(name, extra if isinstance(extra, Mapping) else None)
        if below is not None:
            yield from _find_faults(below, inner, _path_below(path, name))
    if len(value) > schema.get("maxProperties", len(value)):
        most = schema["maxProperties"]
        yield Fault(
            path,
            "FieldValueTooMany",
            f"Too many: {len(value)}: must have at most {most} items",
        )


def _check_list(schema: Schema, value: list[Any], path: str) -> Iterator[Fault]:
    if len(value) > schema.get("maxItems", len(value)):
        told = f"Too many: {len(value)}: must have at most {schema['maxItems']} items"
        yield Fault(path, "FieldValueTooMany", told)
    if len(value) < schema.get("minItems", 0):
        told = f"{path} in body should have at least {schema['minItems']} items"
        yield unfit(path, len(value), told)
    for index, inner in enumerate(value):
        yield from _find_faults(schema.get("items") or {}, inner, f"{path}[{index}]")
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys")
    seen: list[Any] = []
    for index, inner in enumerate(value):
        mark = inner
        if kind == "map" and isinstance(inner, Mapping):
            mark = {k: inner.get(k) for k in keys or ()}
        if kind in ("map", "set") and mark in seen:
            shown = ",".join(f'"{k}":"{v}"' for k, v in mark.items()) if kind == "map" else ""
            told = f"map[string]interface {{}}{{{shown}}}" if kind == "map" else f'"{mark}"'
            yield Fault(f"{path}[{index}]", "FieldValueDuplicate", f"Duplicate value: {told}")
        seen.append(mark)


def _check_string(schema: Schema, value: str, path: str) -> Iterator[Fault]:
    if len(value) > schema.get("maxLength", len(value)):
        told = f"Too long: may not be more than {schema['maxLength']} bytes"
        yield Fault(path, "FieldValueTooLong", told)
    elif len(value) < schema.get("minLength", 0):
        told = f"{path} in body should be at least {schema['minLength']} chars long"
        yield unfit(path, value, told)
    elif (pattern := schema.get("pattern")) and not re.search(pattern, value):
        yield unfit(path, value, f"{path} in body should match '{pattern}'")
    elif (known := _FORMATS.get(schema.get("format", ""))) and not known(value):
        told = f'{path} in body must be of type {schema["format"]}: "{value}"'
        yield unfit(path, value, told)


def _check_number(schema: Schema, value: float, path: str) -> Iterator[Fault]:
    least, most = schema.get("minimum"), schema.get("maximum")
    if most is not None and (
        value > most or (value == most and schema.get("exclusiveMaximum", False))
    ):
        word = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield unfit(path, value, f"{path} in body should be {word} {most}")
    if least is not None and (
        value < least or (value == least and schema.get("exclusiveMinimum", False))
    ):
        word = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield unfit(path, value, f"{path} in body should be {word} {least}")


def _path_below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _type_of(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "integer,string"
    return str(schema.get("type") or "")


def _is_a(wanted: str, value: Any) -> bool:
    named = _go_type_of(value)
    return named in wanted.split(",") or (wanted == "number" and named == "integer")


def _go_type_of(value: Any) -> str:
    for kind, name in (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "string"),
        (list, "array"),
        (type(None), "null"),
    ):
        if isinstance(value, kind):
            return name
    return "object"


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return "T" in text


_FORMATS: dict[str, Callable[[str], bool]] = {"date-time": _is_moment}
