"""What becomes of an object before it is stored: identity, defaults, validation.

Used by the object store for every create and update, whoever asks. Pure functions: they
change nothing and store nothing. The rules are those of the Kubernetes API conventions
for object metadata, and the required fields of each kind; types are not checked.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Mapping
from typing import Any

from nvsx.sandbox.resources import Resource, established
from nvsx.sandbox.statuses import BadRequest, Conflict, Invalid

Object = dict[str, Any]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_RBAC_NAME = re.compile(r"[^/%]+")
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_ENVELOPE = ("apiVersion", "kind", "metadata")
# Only the server sets these; what a writer sends for them is ignored.
_SERVER_SET = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "name",
    "namespace",
    "resourceVersion",
    "uid",
)


def prepare(
    resource: Resource,
    obj: Mapping[str, Any],
    *,
    namespace: str | None,
    created: str,
    rng: random.Random,
) -> Object:
    """A new object as it will be stored, but for its resourceVersion.

    Args:
        resource: its kind.
        obj: what the writer sent; not changed.
        namespace: where it goes; else the one it names, else `default`.
        created: its creationTimestamp.
        rng: makes the uid and, for generateName, the end of the name.
    """
    meta = dict(obj.get("metadata") or {})
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = meta["generateName"] + "".join(rng.choices(_SUFFIX_LETTERS, k=5))
    kept = {k: v for k, v in meta.items() if k not in _SERVER_SET}
    identity = {"name": meta.get("name", "")}
    if resource.namespaced:
        identity["namespace"] = namespace or meta.get("namespace") or "default"
    identity["uid"] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    identity["creationTimestamp"] = created
    new = _enveloped(resource, {**identity, **kept}, obj)
    if resource.generation:
        new["metadata"]["generation"] = 1
    if resource.plural == "namespaces":
        own = {"kubernetes.io/metadata.name": identity["name"]}
        new["metadata"]["labels"] = {**(kept.get("labels") or {}), **own}
        new.setdefault("status", {"phase": "Active"})
    elif resource.plural == "pods":
        new["status"] = {"phase": "Pending", **(new.get("status") or {})}
    elif resource.plural == "customresourcedefinitions":
        new.setdefault("status", established(new))
    validate(resource, new)
    return new


def revise(resource: Resource, old: Object, edited: Object, subresource: str) -> Object | None:
    """An edited object as it will be stored, or None when the edit changes nothing.

    `edited` with another resourceVersion or uid than `old` raises Conflict. With the
    subresource `status`, only its status is taken.
    """
    was, asked = old["metadata"], edited.get("metadata") or {}
    for field in ("resourceVersion", "uid"):
        if asked.get(field) not in (None, "", was[field]):
            raise Conflict(
                f'Operation cannot be fulfilled on {resource.name} "{was["name"]}": the object has '
                "been modified; please apply your changes to the latest version and try again",
                name=was["name"],
                group=resource.group,
                kind=resource.plural,
            )
    if subresource == "status":
        edited, asked = {**old, "status": edited.get("status", {})}, was
    identity = {k: v for k, v in was.items() if k in _SERVER_SET}
    kept = {k: v for k, v in asked.items() if k not in _SERVER_SET}
    new = _enveloped(resource, {**identity, **kept}, edited)
    if new == old:
        return None
    validate(resource, new)
    if resource.generation and _desired(new) != _desired(old):
        new["metadata"]["generation"] = was.get("generation", 0) + 1
    return new


def finished(obj: Object) -> bool:
    """Whether a terminating object waits for nothing any more."""
    meta = obj["metadata"]
    waits = meta.get("finalizers") or meta.get("deletionGracePeriodSeconds")
    return "deletionTimestamp" in meta and not waits


def validate(resource: Resource, obj: Object) -> None:
    """Check the name, the label values and the kind's required fields.

    Raises BadRequest for what could not be decoded by a real server, Invalid (with the
    fields at fault) for the rest.
    """
    meta = obj["metadata"]
    for field in ("labels", "annotations"):
        found = meta.get(field) or {}
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            raise BadRequest(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a '
                f"{resource.kind}: metadata.{field} must map strings to strings"
            )
    name = meta.get("name")
    faults = []
    allowed = _RBAC_NAME if resource.group == "rbac.authorization.k8s.io" else _NAME
    if not name:
        needed = "Required value: name or generateName is required"
        faults.append(("FieldValueRequired", "metadata.name", needed))
    elif not isinstance(name, str) or not allowed.fullmatch(name):
        told = f'Invalid value: "{name}": a lowercase RFC 1123 subdomain is needed'
        faults.append(("FieldValueInvalid", "metadata.name", told))
    faults += [
        ("FieldValueRequired", path, "Required value")
        for path in resource.required
        if _at(obj, path) is None
    ]
    if faults:
        qualified = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
        listed = ", ".join(f"{field}: {message}" for _, field, message in faults)
        raise Invalid(
            f'{qualified} "{name or ""}" is invalid: {listed}',
            name=name or "",
            kind=resource.kind,
            group=resource.group,
            causes=tuple({"reason": r, "message": m, "field": f} for r, f, m in faults),
        )


def _enveloped(resource: Resource, meta: Object, body: Mapping[str, Any]) -> Object:
    """The object with apiVersion, kind and metadata first: encoded lists rely on it."""
    rest = {k: v for k, v in body.items() if k not in _ENVELOPE}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, **rest}


def _desired(obj: Object) -> Object:
    return {k: v for k, v in obj.items() if k not in ("metadata", "status")}


def _at(obj: Any, path: str) -> Any:
    for part in path.split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj
