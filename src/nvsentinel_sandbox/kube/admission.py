"""What becomes of an object before it is stored: identity, defaults, validation.

Used by the object store for every create and update, whoever asks. Pure functions: they
change nothing and store nothing. The rules are those of the Kubernetes API conventions
for object metadata, and of each custom kind's schema.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from typing import Any

from nvsentinel_sandbox.kube import metadata, structural
from nvsentinel_sandbox.kube.customkinds import established_status
from nvsentinel_sandbox.kube.resources import Resource
from nvsentinel_sandbox.kube.statuses import Conflict, invalid

Object = dict[str, Any]

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
    new = _put_envelope_first(resource, {**identity, **kept}, obj)
    if resource.generation:
        new["metadata"]["generation"] = 1
    if resource.plural == "namespaces":
        own = {"kubernetes.io/metadata.name": identity["name"]}
        new["metadata"]["labels"] = {**(kept.get("labels") or {}), **own}
        new.setdefault("spec", {"finalizers": ["kubernetes"]})
        new.setdefault("status", {"phase": "Active"})
    elif resource.plural == "pods":
        new["status"] = {"phase": "Pending", **(new.get("status") or {})}
    elif resource.plural == "customresourcedefinitions":
        new.setdefault("status", established_status(new))
    elif resource.custom:
        new = structural.with_defaults(resource.shape.schema, new)
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
        owners = asked.get("managedFields", was.get("managedFields"))
        edited, asked = {**old, "status": edited.get("status", {})}, dict(was)
        if owners is not None:
            asked["managedFields"] = owners
    identity = {k: v for k, v in was.items() if k in _SERVER_SET}
    kept = {k: v for k, v in asked.items() if k not in _SERVER_SET}
    new = _put_envelope_first(resource, {**identity, **kept}, edited)
    if resource.custom:
        new = structural.with_defaults(resource.shape.schema, new)
    if new == old:
        return None
    validate(resource, new, was)
    if resource.generation and _desired_part(new) != _desired_part(old):
        new["metadata"]["generation"] = was.get("generation", 0) + 1
    return new


def is_finished(obj: Object) -> bool:
    """Whether a terminating object waits for nothing any more."""
    meta = obj["metadata"]
    waits = meta.get("finalizers") or meta.get("deletionGracePeriodSeconds")
    return "deletionTimestamp" in meta and not waits


def validate(resource: Resource, obj: Object, was: Mapping[str, Any] | None = None) -> None:
    """Check the metadata (`was` before a change), and a custom kind's schema.

    Raises BadRequest for what could not be decoded by a real server, Invalid (with the
    fields at fault) for the rest.
    """
    faults = metadata.faults_of(resource, obj["metadata"], was)
    if resource.custom:
        faults += structural.faults_of(resource.shape.schema, obj)
    elif resource.name == "nodes":
        faults += metadata.taint_faults(obj)
    if faults:
        name = obj["metadata"].get("name") or ""
        raise invalid(resource.kind, resource.group, str(name), faults)


def _put_envelope_first(resource: Resource, meta: Object, body: Mapping[str, Any]) -> Object:
    """The object with apiVersion, kind and metadata first: encoded lists rely on it."""
    rest = {k: v for k, v in body.items() if k not in _ENVELOPE}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, **rest}


def _desired_part(obj: Object) -> Object:
    return {k: v for k, v in obj.items() if k not in ("metadata", "status")}
