"""Create, update, patch, delete and evict, as a Kubernetes API server takes them.

Called by the API server with a request already authorized; works on the object store.
Everything is synchronous, so that a write is whole or not at all. What only an API server
does is here: body checks, dry runs, the split of spec and status, namespaces that must
exist. Strategic merge patches are refused for custom kinds, as by a real server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from nvsx.sandbox import patch, requests, statuses
from nvsx.sandbox.admission import Object
from nvsx.sandbox.evictions import evict
from nvsx.sandbox.objects import Cascade, ObjectStore
from nvsx.sandbox.reading import selection_of
from nvsx.sandbox.requests import Target
from nvsx.sandbox.resources import Resource
from nvsx.sandbox.statuses import BadRequest, Invalid, MethodNotAllowed, UnsupportedMediaType

Answer = tuple[int, Object]
_CASCADES: dict[str, Cascade] = {
    "Background": "Background",
    "Foreground": "Foreground",
    "Orphan": "Orphan",
}
# Kinds whose creator reports the first status too: the kubelet registers its node.
_STATUS_ON_CREATE = frozenset({"nodes"})
_PATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "application/json-patch+json": patch.json_patch,
    "application/merge-patch+json": patch.merge,
    "application/strategic-merge-patch+json": patch.strategic,
}
_APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Write:
    """One write request. `resource` is its target's, known to be served."""

    target: Target
    resource: Resource
    query: Mapping[str, str]
    body: bytes
    content_type: str

    @property
    def key(self) -> dict[str, Any]:
        """Which object, as the store's methods take it."""
        return {"name": self.target.name, "namespace": self.target.namespace or None}


def perform(store: ObjectStore, write: Write) -> Answer:
    """Do it; the HTTP status and the object or Status to answer with."""
    target = write.target
    if target.verb == "create" and target.subresource == "eviction":
        return _evict(store, write)
    if target.subresource not in ("", "status") or (
        target.subresource and target.verb not in ("update", "patch")
    ):
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    return _VERBS[target.verb](store, write)


def _create(store: ObjectStore, write: Write) -> Answer:
    obj = _object(write)
    return 201, _created(store, write, obj)


def _created(store: ObjectStore, write: Write, obj: Object) -> Object:
    resource, target = write.resource, write.target
    if target.namespace:
        store.get("namespaces", target.namespace)
    if "status" in resource.subresources and resource.plural not in _STATUS_ON_CREATE:
        obj = {k: v for k, v in obj.items() if k != "status"}
    return store.create(
        resource.name,
        obj,
        namespace=target.namespace or None,
        dry_run=requests.dry_run(write.query),
    )


def _update(store: ObjectStore, write: Write) -> Answer:
    obj = _object(write)
    meta = obj.get("metadata") or {}
    if meta.get("name") != write.target.name:
        raise BadRequest(
            f"the name of the object ({meta.get('name', '')}) does not match the name on the URL "
            f"({write.target.name})"
        )
    if write.resource.custom and not meta.get("resourceVersion"):
        raise Invalid(
            "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
        )
    return 200, _changed(store, write, lambda _: obj)


def _patch(store: ObjectStore, write: Write) -> Answer:
    change = _decoded(write.body)
    if write.content_type == _APPLY:
        return _apply(store, write, change)
    function = _PATCHES.get(write.content_type)
    if function is None or (write.resource.custom and function is patch.strategic):
        accepted = [
            t for t, f in _PATCHES.items() if not (write.resource.custom and f is patch.strategic)
        ]
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join((*accepted, _APPLY))
        )
    return 200, _changed(store, write, lambda old: function(old, change))


def _apply(store: ObjectStore, write: Write, wanted: Any) -> Answer:
    """Server-side apply without field ownership: the last applier wins."""
    if not write.query.get("fieldManager"):
        raise BadRequest("PatchOptions.meta.k8s.io is invalid: fieldManager: Required value")
    _check_identity(write, wanted)
    if store.find(write.resource.name, **write.key) is None and not write.target.subresource:
        named = {
            **wanted,
            "metadata": {**(wanted.get("metadata") or {}), "name": write.target.name},
        }
        return 201, _created(store, write, named)
    function = patch.merge if write.resource.custom else patch.strategic
    return 200, _changed(store, write, lambda old: function(old, wanted))


def _changed(store: ObjectStore, write: Write, edit: Callable[[Object], Any]) -> Object:
    """Store what `edit` makes of the object; status and the rest only by their own door."""
    status_only = write.target.subresource == "status"
    split = "status" in write.resource.subresources

    def change(obj: Object) -> None:
        new = edit(obj)
        if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
            raise Invalid("the patched object is not an object with metadata")
        new = dict(new)
        if split and not status_only:
            new.pop("status", None)
            if "status" in obj:
                new["status"] = obj["status"]
        obj.clear()
        obj.update(new)

    return store.update(
        write.resource.name,
        change=change,
        subresource="status" if status_only else "",
        dry_run=requests.dry_run(write.query),
        **write.key,
    )


def _delete(store: ObjectStore, write: Write) -> Answer:
    options = _options(write)
    resource = write.resource
    entry = store.entry(resource, write.target.name, write.target.namespace)
    for field, found in (("uid", entry.uid), ("resourceVersion", str(entry.version))):
        wanted = (options.get("preconditions") or {}).get(field)
        if wanted not in (None, found):
            raise statuses.Conflict(
                f"Precondition failed: {field} in precondition: {wanted}, {field} in object "
                f"meta: {found}",
                name=write.target.name,
                group=resource.group,
                kind=resource.plural,
            )
    if not requests.dry_run(write.query):
        store.delete(resource.name, **write.key, **_manner(options))
    left = store.find(resource.name, **write.key)
    if left is not None and left["metadata"].get("deletionTimestamp"):
        return 200, left
    return 200, statuses.success(resource.plural, write.target.name, resource.group, entry.uid)


def _delete_collection(store: ObjectStore, write: Write) -> Answer:
    resource, target, options = write.resource, write.target, _options(write)
    selection = selection_of(target, resource, write.query)
    entries = store.entries(resource, selection)
    for namespace, name in [e.key for e in entries]:
        # An owner in the same collection may have taken it along already.
        known = store.find(resource.name, name, namespace=namespace) is not None
        if known and not requests.dry_run(write.query):
            store.delete(resource.name, name, namespace=namespace, **_manner(options))
    return 200, {
        "kind": f"{resource.kind}List",
        "apiVersion": resource.api_version,
        "metadata": {"resourceVersion": str(store.version)},
        "items": [e.decode() for e in entries],
    }


def _evict(store: ObjectStore, write: Write) -> Answer:
    body = _decoded(write.body)
    if not isinstance(body, dict):
        raise BadRequest("the body is not an Eviction")
    options = body.get("deleteOptions") or {}
    dry = requests.dry_run(write.query) or bool(options.get("dryRun"))
    grace = options.get("gracePeriodSeconds")
    evict(store, write.target.namespace, write.target.name, grace=grace, dry_run=dry)
    return 201, {**statuses.success("", ""), "code": 201}


_VERBS: dict[str, Callable[[ObjectStore, Write], Answer]] = {
    "create": _create,
    "update": _update,
    "patch": _patch,
    "delete": _delete,
    "deletecollection": _delete_collection,
}


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise BadRequest(f"the body is not JSON, which is all the sandbox reads: {error}") from None


def _object(write: Write) -> Object:
    """The object in the body, checked against the URL."""
    if write.content_type not in ("application/json", ""):
        raise UnsupportedMediaType(
            f"the sandbox reads JSON bodies, not {write.content_type}: use `kubectl apply -f` or "
            "`kubectl create -f` with a file"
        )
    obj = _decoded(write.body)
    _check_identity(write, obj)
    return dict(obj)


def _check_identity(write: Write, obj: Any) -> None:
    resource, target = write.resource, write.target
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata") or {}, dict):
        raise BadRequest(f"the body is not a {resource.kind}")
    kind = (obj.get("apiVersion"), obj.get("kind"))
    if kind != (resource.api_version, resource.kind):
        raise BadRequest(
            f"the object provided is {kind[0]} {kind[1]}, this path takes "
            f"{resource.api_version} {resource.kind}"
        )
    namespace = (obj.get("metadata") or {}).get("namespace")
    if namespace and target.namespace and namespace != target.namespace:
        raise BadRequest(
            f"the namespace of the provided object does not match the namespace sent on the "
            f"request: {namespace} and {target.namespace}"
        )


def _options(write: Write) -> Object:
    """DeleteOptions from the body, else from the query."""
    options = _decoded(write.body) if write.body and write.content_type != "" else {}
    if not isinstance(options, dict):
        raise BadRequest("the body is not DeleteOptions")
    if "gracePeriodSeconds" in write.query and options.get("gracePeriodSeconds") is None:
        options["gracePeriodSeconds"] = requests.number(write.query, "gracePeriodSeconds")
    if "propagationPolicy" in write.query:
        options.setdefault("propagationPolicy", write.query["propagationPolicy"])
    return options


def _manner(options: Object) -> dict[str, Any]:
    policy = options.get("propagationPolicy") or "Background"
    if policy not in _CASCADES:
        raise Invalid(f'DeleteOptions is invalid: propagationPolicy: Invalid value: "{policy}"')
    return {"grace": options.get("gracePeriodSeconds"), "cascade": _CASCADES[policy]}
