"""OpenAPI v3: what kubectl needs to leave validation to the server, and to explain.

An index and one document per group and version, made from the registry and the shapes of
its kinds. A PATCH operation that takes fieldValidation and dryRun tells kubectl that the
server validates; without these documents `kubectl apply` refuses to work. Fields and types
are those of Kubernetes; descriptions only custom kinds bring.
"""

from __future__ import annotations

from typing import Any

from nvsentinel_sandbox.kube.resources import Registry, Resource
from nvsentinel_sandbox.kube.shapes import Shape, type_named

Document = dict[str, Any]

# Objects of kind List are validated with OpenAPI v2 whatever v3 says, and kubectl reads it
# as protobuf only. This document (swagger "2.0", an Info, no paths, no definitions) tells
# it that nothing is known, so that it leaves the items to the server.
V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
V2_DOCUMENT = b"\x0a\x032.0\x12\x15\x0a\x0aKubernetes\x12\x07v1.32.4\x42\x00\x4a\x00"

_QUERY = ("dryRun", "fieldManager", "fieldValidation")
_SCALARS: dict[str, Document] = {
    "bytes": {"type": "string", "format": "byte"},
    "Time": {"type": "string", "format": "date-time"},
    "MicroTime": {"type": "string", "format": "date-time"},
    "Quantity": {"type": "string"},
    "IntOrString": {"type": "string", "format": "int-or-string"},
}
_TOP = {
    "apiVersion": "The versioned schema of this object.",
    "kind": "The REST resource this object represents.",
    "metadata": "Standard object's metadata.",
}


def index(registry: Registry) -> Document:
    """Where the documents are; the hash changes when a kind comes or goes."""
    found = {}
    for group, version in registry.group_versions():
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        kinds = ",".join(r.kind for r in registry.in_group(group, version))
        mark = f"{sum(kinds.encode()):X}{len(kinds):X}"
        found[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={mark}"}
    return {"paths": found}


def document(registry: Registry, path: str) -> Document | None:
    """The document of `api/v1` or `apis/GROUP/VERSION`, or None."""
    parts = path.strip("/").split("/")
    group, version = (parts[1], parts[2]) if len(parts) == 3 else ("", parts[-1])
    resources = registry.in_group(group, version)
    if not resources or len(parts) not in (2, 3):
        return None
    schemas: Document = {}
    for resource in resources:
        schemas[_schema_name(resource)] = _kind_schema(resource, schemas)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.32.4"},
        "paths": {p: item for r in resources for p, item in _paths_of(path, r).items()},
        "components": {"schemas": schemas},
    }


def _paths_of(base: str, resource: Resource) -> dict[str, Document]:
    gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    place = "/namespaces/{namespace}" if resource.namespaced else ""
    collection = f"/{base.strip('/')}{place}/{resource.plural}"
    reference = {"$ref": f"#/components/schemas/{_schema_name(resource)}"}
    answer = {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}}

    def operation(action: str, *, writes: bool) -> Document:
        names = _QUERY if writes else ()
        schema = {"type": "string", "uniqueItems": True}
        return {
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk,
            "parameters": [{"name": n, "in": "query", "schema": schema} for n in names],
            "responses": answer,
        }

    return {
        collection: {
            "get": operation("list", writes=False),
            "post": operation("post", writes=True),
        },
        f"{collection}/{{name}}": {
            "get": operation("get", writes=False),
            "put": operation("put", writes=True),
            "patch": operation("patch", writes=True),
            "delete": operation("delete", writes=True),
        },
    }


def _schema_name(resource: Resource) -> str:
    if resource.custom:
        reversed_group = ".".join(reversed(resource.group.split(".")))
        return f"{reversed_group}.{resource.version}.{resource.kind}"
    group = resource.group.split(".")[0] or "core"
    return f"io.k8s.api.{group}.{resource.version}.{resource.kind}"


def _kind_schema(resource: Resource, schemas: Document) -> Document:
    shape = resource.shape
    gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    fields = {name: _field_schema(inner, schemas) for name, inner in shape.fields.items()}
    for name, told in _TOP.items():
        fields[name] = {**fields.get(name, {"type": "string"}), "description": told}
    described = shape.schema.get("description") or f"A {resource.kind}."
    return {
        **_object_schema(shape, fields),
        "description": described,
        "x-kubernetes-group-version-kind": [gvk],
    }


def _field_schema(shape: Shape, schemas: Document) -> Document:
    """One field's schema; built-in objects become components of their own."""
    if shape.schema:
        return dict(shape.schema)
    if shape.kind == "array":
        return {"type": "array", "items": _field_schema(shape.item, schemas)}
    if shape.kind == "map":
        return {"type": "object", "additionalProperties": _field_schema(shape.item, schemas)}
    if shape.kind == "scalar":
        return dict(_SCALARS.get(shape.type) or {"type": shape.type})
    if shape.kind == "any" or not shape.type:
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    place = f"io.k8s.api.{shape.type}"
    if place not in schemas:
        schemas[place] = {}  # it may contain itself
        inner = type_named(shape.type)
        schemas[place] = _object_schema(
            inner, {n: _field_schema(s, schemas) for n, s in inner.fields.items()}
        )
    return {"allOf": [{"$ref": f"#/components/schemas/{place}"}], "default": {}}


def _object_schema(shape: Shape, fields: Document) -> Document:
    found: Document = {"type": "object", "properties": fields}
    return {**found, "required": sorted(shape.required)} if shape.required else found
