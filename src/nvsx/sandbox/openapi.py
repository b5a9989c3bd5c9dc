"""OpenAPI as far as kubectl needs it: to leave validation to the server, and to explain.

An index and one document per group and version, made from the registry. A PATCH
operation that takes fieldValidation and dryRun tells kubectl that the server validates;
without these documents `kubectl apply` refuses to work. Schemas name the kind and its
top-level fields only.
"""

from __future__ import annotations

from typing import Any

from nvsx.sandbox.resources import Registry, Resource

Document = dict[str, Any]

# Objects of kind List are validated with OpenAPI v2 whatever v3 says, and kubectl reads it
# as protobuf only. This document (swagger "2.0", an Info, no paths, no definitions) tells
# it that nothing is known, so that it leaves the items to the server.
V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
V2_DOCUMENT = b"\x0a\x032.0\x12\x15\x0a\x0aKubernetes\x12\x07v1.32.4\x42\x00\x4a\x00"

_QUERY = ("dryRun", "fieldManager", "fieldValidation")


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
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.32.4"},
        "paths": {p: item for r in resources for p, item in _paths(path, r).items()},
        "components": {"schemas": {_schema_name(r): _schema(r) for r in resources}},
    }


def _paths(base: str, resource: Resource) -> dict[str, Document]:
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


def _schema(resource: Resource) -> Document:
    open_object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    fields: Document = {
        "apiVersion": {"type": "string", "description": "Version of this representation."},
        "kind": {"type": "string", "description": "The kind of this object."},
        "metadata": {"type": "object", "description": "Standard object metadata."},
    }
    if "status" in resource.subresources:
        fields["spec"] = {**open_object, "description": "What is wanted."}
        fields["status"] = {**open_object, "description": "What is observed."}
    return {
        "type": "object",
        "description": f"{resource.kind}, as far as the sandbox knows it.",
        "properties": fields,
        "x-kubernetes-group-version-kind": [
            {"group": resource.group, "version": resource.version, "kind": resource.kind}
        ],
    }
