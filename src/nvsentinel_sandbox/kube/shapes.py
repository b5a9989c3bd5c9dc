"""The shape of each kind: its fields, their types, and how its lists and maps merge.

Built-in kinds come from kubernetes_types.json (written by docs/kubernetes_types.py from a
Kubernetes source tree), custom kinds from the schema of their CustomResourceDefinition.
Decoding, field ownership and OpenAPI read a Shape and do not ask which of the two it was.
A shape is made when it is first looked at: JSONSchemaProps contains itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from typing import Any, Literal

import msgspec

Kind = Literal["object", "map", "array", "scalar", "any"]
Schema = Mapping[str, Any]
_SCALARS = frozenset(
    "string integer number boolean bytes Time MicroTime Quantity IntOrString".split()
)


@dataclass(eq=False)
class Shape:
    """One field's type.

    `type` is the scalar's name or the Go type of a built-in object. `merge` says how server-
    side apply sees a list (atomic, set, map by `keys`) or an object (granular, atomic).
    `numbers` are protobuf field numbers. `keeps_unknown`: fields that are not declared stay.
    """

    kind: Kind
    type: str = ""
    merge: str = "granular"
    keys: tuple[str, ...] = ()
    required: frozenset[str] = frozenset()
    keeps_unknown: bool = False
    numbers: Mapping[int, str] = field(default_factory=dict)
    schema: Schema = field(default_factory=dict)
    make_fields: Callable[[], dict[str, Shape]] = dict
    make_item: Callable[[], Shape | None] = lambda: None

    @cached_property
    def fields(self) -> dict[str, Shape]:
        return self.make_fields()

    @cached_property
    def item(self) -> Shape:
        """What a list or a map holds."""
        return self.make_item() or ANY

    def child(self, name: str) -> Shape | None:
        """The shape under a key of an object or map, None when it has no such field."""
        if self.kind == "map":
            return self.item
        if self.kind == "any":
            return self
        return self.fields.get(name) or (ANY if self.keeps_unknown else None)


ANY = Shape("any", merge="atomic")
# A custom kind without a schema of its own: everything stays and is owned field by field.
OPEN = Shape("object", keeps_unknown=True)


class _Document(msgspec.Struct):
    kinds: dict[str, str]
    types: dict[str, dict[str, str]]


@cache
def _load_types() -> _Document:
    text = resources.files("nvsentinel_sandbox.kube").joinpath("kubernetes_types.json").read_bytes()
    return msgspec.json.decode(text, type=_Document)


@cache
def built_in(api_version: str, kind: str) -> Shape | None:
    """The shape of a built-in kind, `apps/v1` and `Deployment`, or None."""
    name = _load_types().kinds.get(f"{api_version}/{kind}")
    return type_named(name) if name else None


@cache
def type_named(name: str) -> Shape:
    """A built-in type by its Go name: `ObjectMeta`."""
    declared = _load_types().types[name]
    if "*" in declared:
        return ANY
    parts = {f: text.split() for f, text in declared.items() if f}
    return Shape(
        "object",
        type=name,
        merge="atomic" if "" in declared else "granular",
        required=frozenset(f for f, p in parts.items() if p[1].startswith("!")),
        numbers={int(p[0]): f for f, p in parts.items() if int(p[0])},
        make_fields=lambda: {f: _parse_shape(p[1].lstrip("!"), p[2:]) for f, p in parts.items()},
    )


def _parse_shape(word: str, flags: list[str]) -> Shape:
    if word.startswith("[]"):
        keyed = next((f.removeprefix("map=") for f in flags if f.startswith("map=")), "")
        merge = "map" if keyed else "set" if "set" in flags else "atomic"
        keys = tuple(keyed.split(",")) if keyed else ()
        return Shape("array", merge=merge, keys=keys, make_item=lambda: _parse_shape(word[2:], []))
    if word.startswith("{}"):
        merge = "atomic" if "atomic" in flags else "granular"
        return Shape("map", merge=merge, make_item=lambda: _parse_shape(word[2:], []))
    if word in _SCALARS:
        return Shape("scalar", type=word)
    return ANY if word in ("any", "object") else type_named(word)


def custom(schema: Schema) -> Shape:
    """The shape of a custom kind, from the openAPIV3Schema of its version."""
    top = from_schema(schema)
    base = {"apiVersion": _parse_shape("string", []), "kind": _parse_shape("string", [])}
    return Shape(
        "object",
        keeps_unknown=top.keeps_unknown or not top.fields,
        schema=schema,
        make_fields=lambda: {**top.fields, **base, "metadata": type_named("ObjectMeta")},
    )


def from_schema(schema: Schema) -> Shape:
    """One level of a structural schema."""
    if schema.get("x-kubernetes-int-or-string"):
        return Shape("scalar", type="IntOrString", schema=schema)
    kind = schema.get("type", "")
    open_object = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if kind == "array":
        merge = schema.get("x-kubernetes-list-type", "atomic")
        keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        inner = schema.get("items") or {}
        return Shape(
            "array", merge=merge, keys=keys, schema=schema, make_item=lambda: from_schema(inner)
        )
    if isinstance(extra := schema.get("additionalProperties"), Mapping):
        return Shape("map", schema=schema, make_item=lambda: from_schema(extra))
    if kind == "object":
        declared = schema.get("properties") or {}
        return Shape(
            "object",
            merge=schema.get("x-kubernetes-map-type", "granular"),
            required=frozenset(schema.get("required") or ()),
            keeps_unknown=open_object or schema.get("additionalProperties") is True,
            schema=schema,
            make_fields=lambda: {f: from_schema(s) for f, s in declared.items()},
        )
    return Shape("scalar", type=kind, schema=schema) if kind else ANY
