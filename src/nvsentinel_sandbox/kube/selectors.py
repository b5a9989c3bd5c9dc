"""Which stored objects a list or a watch is about: namespace, labels, fields.

Label selectors are labelselectors.py; field selectors are the short list a real API server
supports per kind. Both are parsed once per request and matched against what the store
keeps beside each encoded object, so that nothing is decoded to be passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nvsentinel_sandbox.kube import labelselectors
from nvsentinel_sandbox.kube.resources import Resource
from nvsentinel_sandbox.kube.statuses import BadRequest

_TERM = re.compile(r"((?:[^\\=!]|\\.)*)(==|=|!=)(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_SPLIT = re.compile(r"(?<!\\),")
_ALWAYS = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True, slots=True)
class FieldTerm:
    field: str
    value: str
    equal: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """The objects a request is about; the empty one is about all of them."""

    namespace: str = ""
    labels: tuple[labelselectors.Requirement, ...] = ()
    fields: tuple[FieldTerm, ...] = ()

    @property
    def everything(self) -> bool:
        return not (self.namespace or self.labels or self.fields)

    def matches(
        self, namespace: str, object_labels: Mapping[str, str], values: Mapping[str, str]
    ) -> bool:
        """Whether an object with these labels and selectable field values is selected."""
        if self.namespace and namespace != self.namespace:
            return False
        for term in self.fields:
            if (values.get(term.field, "") == term.value) is not term.equal:
                return False
        return not self.labels or labelselectors.matches(self.labels, object_labels)


def select(
    resource: Resource, *, namespace: str = "", label_selector: str = "", field_selector: str = ""
) -> Selection:
    """Parse both selectors; BadRequest says which part is wrong, as the API server does."""
    try:
        wanted = labelselectors.parse(label_selector)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    return Selection(namespace, wanted, _parse_field_selector(resource, field_selector))


def _parse_field_selector(resource: Resource, text: str) -> tuple[FieldTerm, ...]:
    terms = []
    for part in _SPLIT.split(text):
        if not part.strip():
            continue
        found = _TERM.fullmatch(part)
        if found is None:
            raise BadRequest(f"invalid selector: '{part}'; can't understand '{part}'")
        field, operator, value = found.groups()
        if field not in _ALWAYS and field not in resource.fields:
            raise BadRequest(
                f'"{field}" is not a known field selector: only "metadata.name", '
                '"metadata.namespace"'
                if not resource.fields and not resource.custom
                else f"field label not supported: {field}"
            )
        terms.append(FieldTerm(field, _unescape(value), operator != "!="))
    return tuple(terms)


def _unescape(value: str) -> str:
    """The value of a field selector's term, in which backslash, comma and = are escaped."""
    for escape in _ESCAPE.finditer(value):
        if escape[1] not in ("\\", ",", "="):
            raise BadRequest(f"invalid field selector: invalid escape sequence: {escape[0]}")
    if bare := re.search("[,=]", _ESCAPE.sub("", value)):
        raise BadRequest(f"invalid field selector: unescaped character in value: {ord(bare[0])}")
    return _ESCAPE.sub(r"\1", value)


def field_values(resource: Resource, obj: Mapping[str, Any]) -> dict[str, str]:
    """The selectable field values of an object, as strings; absent ones are left out."""
    meta = obj["metadata"]
    found = {"metadata.name": meta["name"]}
    if meta.get("namespace"):
        found["metadata.namespace"] = meta["namespace"]
    for path in resource.fields:
        value = _value_at(obj, "source.component" if path == "source" else path)
        if isinstance(value, bool):
            found[path] = "true" if value else "false"
        elif value is not None:
            found[path] = str(value)
        elif path == "spec.unschedulable":
            found[path] = "false"
    return found


def _value_at(obj: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(obj, Mapping):
            return None
        obj = obj.get(part)
    return obj
