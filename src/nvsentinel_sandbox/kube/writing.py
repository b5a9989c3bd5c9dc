"""Create, update, patch, delete and evict, as a Kubernetes API server takes them.

Called by the API server with a request already authorized; works on the object store.
Everything is synchronous, so that a write is whole or not at all. What only an API server
does is here: body checks, dry runs, the split of spec and status, namespaces that must
exist, who owns a field. Strategic merge patches are refused for custom kinds, as by a
real server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from nvsentinel_sandbox.kube import decoding, ownership, patch, protobuf, requests, statuses
from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.kube.evictions import evict
from nvsentinel_sandbox.kube.objects import Cascade, ObjectStore
from nvsentinel_sandbox.kube.reading import selection_of
from nvsentinel_sandbox.kube.requests import Target
from nvsentinel_sandbox.kube.resources import Resource
from nvsentinel_sandbox.kube.statuses import (
    BadRequest,
    Invalid,
    MethodNotAllowed,
    NotFound,
    UnsupportedMediaType,
)

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
_JSON = ("application/json", "")
_YAML = (_APPLY, "application/yaml")
_POD_CHANGES = frozenset(("activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations"))
_POD_RULE = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set "
    "to 1 if it was previously negative)"
)


@dataclass(frozen=True, slots=True)
class Write:
    """One write request. `resource` is its target's, known to be served.

    `agent` is the User-Agent; `warnings` are filled in for the answer's headers.
    """

    target: Target
    resource: Resource
    query: Mapping[str, str]
    body: bytes
    content_type: str
    agent: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def key(self) -> dict[str, Any]:
        """Which object, as the store's methods take it."""
        return {"name": self.target.name, "namespace": self.target.namespace or None}


def perform(store: ObjectStore, write: Write) -> Answer:
    """Do it; the HTTP status and the object or Status to answer with."""
    target = write.target
    if target.verb == "create" and target.subresource == "eviction":
        return _perform_eviction(store, write)
    if target.subresource and target.subresource not in write.resource.subresources:
        raise NotFound("the server could not find the requested resource")
    if target.subresource and (
        target.subresource != "status" or target.verb not in ("update", "patch")
    ):
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    return _VERBS[target.verb](store, write)


def read_review(write: Write) -> Object:
    """The object in the body of a review, which is answered and not stored."""
    return _check_fields(write, _object_in_body(write))


def _perform_create(store: ObjectStore, write: Write) -> Answer:
    obj = _check_fields(write, _object_in_body(write))
    if _has_split_status(write) and write.resource.plural not in _STATUS_ON_CREATE:
        obj.pop("status", None)
    ownership.record(write.resource, None, obj, _writer_of(store, write))
    return 201, _create_object(store, write, obj)


def _create_object(store: ObjectStore, write: Write, obj: Object) -> Object:
    resource, target = write.resource, write.target
    if target.namespace:
        store.get("namespaces", target.namespace)
    if resource.name == "pods" and not (obj.get("spec") or {}).get("containers"):
        name = (obj.get("metadata") or {}).get("name") or ""
        raise statuses.invalid("Pod", "", name, [statuses.required("spec.containers")])
    return store.create(
        resource.name,
        obj,
        namespace=target.namespace or None,
        dry_run=requests.dry_run(write.query),
    )


def _has_split_status(write: Write) -> bool:
    return "status" in write.resource.subresources


def _writer_of(store: ObjectStore, write: Write) -> ownership.Writer:
    manager = write.query.get("fieldManager") or write.agent.partition("/")[0] or "unknown"
    return ownership.Writer(manager, write.target.subresource, store.timestamp())


def _check_fields(write: Write, obj: Object) -> Object:
    """The object in the types of its kind; unknown fields become warnings or an error."""
    found, warnings = decoding.check(write.resource, obj, write.query.get("fieldValidation", ""))
    write.warnings.extend(warnings)
    return found


def _perform_update(store: ObjectStore, write: Write) -> Answer:
    obj = _object_in_body(write)
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
    obj = _check_fields(write, obj)
    return 200, _store_change(store, write, lambda _: obj)


def _perform_patch(store: ObjectStore, write: Write) -> Answer:
    if write.content_type == _APPLY:
        return _perform_apply(store, write, _decode_body(write))
    function = _PATCHES.get(write.content_type)
    if function is None or (write.resource.custom and function is patch.strategic):
        accepted = [
            t for t, f in _PATCHES.items() if not (write.resource.custom and f is patch.strategic)
        ]
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join((*accepted, _APPLY))
        )
    change = _decode_body(write, "error decoding patch")

    def edit(old: Object) -> Object:
        return _require_same_object(write, function(old, change))

    return 200, _store_change(store, write, edit)


def _require_same_object(write: Write, patched: Any) -> Object:
    """A patched object, still of its kind; Invalid when it is not."""
    if not isinstance(patched, dict) or not isinstance(patched.get("metadata"), dict):
        raise Invalid("the patched object is not an object with metadata")
    name = patched["metadata"].get("name")
    if name != write.target.name:
        raise BadRequest(
            f"the name of the object ({name}) does not match the name on the URL "
            f"({write.target.name})"
        )
    kind = (patched.get("apiVersion"), patched.get("kind"))
    if kind != (write.resource.api_version, write.resource.kind):
        raise _unfit_patch(patched, f"no kind {kind[1]!r} in version {kind[0]!r}")
    try:
        return _check_fields(write, patched)
    except BadRequest as error:
        raise _unfit_patch(patched, error.message.partition(": ")[2]) from None


def _unfit_patch(patched: Object, told: str) -> Invalid:
    shown = msgspec.json.encode(patched).decode()
    return statuses.invalid("", "", "", [statuses.unfit("patch", shown, told)])


def _perform_apply(store: ObjectStore, write: Write, wanted: Any) -> Answer:
    """Server-side apply: see ownership."""
    if not write.query.get("fieldManager"):
        needed = statuses.required("fieldManager", "is required for apply patch")
        raise statuses.invalid("PatchOptions", "meta.k8s.io", "", [needed])
    _check_identity(write, wanted)
    meta = {**(wanted.get("metadata") or {}), "name": write.target.name}
    if meta.get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    wanted = _check_fields(write, {**wanted, "metadata": meta})
    if _has_split_status(write) and not write.target.subresource:
        wanted.pop("status", None)
    writer, force = _writer_of(store, write), requests.flag(write.query, "force")
    old = store.find(write.resource.name, **write.key)
    if old is None and not write.target.subresource:
        new = ownership.apply(write.resource, {}, wanted, writer, force=force)
        return 201, _create_object(store, write, new)

    def lay(obj: Object) -> Object:
        return ownership.apply(write.resource, obj, wanted, writer, force=force)

    return 200, _store_change(store, write, lay, recorded=True)


def _store_change(
    store: ObjectStore, write: Write, edit: Callable[[Object], Any], *, recorded: bool = False
) -> Object:
    """Store what `edit` makes of the object; status and the rest only by their own door.

    `recorded`: `edit` has noted itself who owns what.
    """
    status_only = write.target.subresource == "status"

    def change(obj: Object) -> None:
        old = msgspec.json.decode(msgspec.json.encode(obj))
        new = dict(edit(obj))
        if status_only:
            own = {"managedFields", "resourceVersion", "uid"}
            meta = {k: v for k, v in new["metadata"].items() if k in own}
            new = {**old, "metadata": {**old["metadata"], **meta}, "status": new.get("status", {})}
        elif _has_split_status(write):
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
        if write.resource.name == "pods" and not status_only:
            _check_pod_change(old, new)
        if not recorded:
            ownership.record(write.resource, old, new, _writer_of(store, write))
        obj.clear()
        obj.update(new)

    return store.update(
        write.resource.name,
        change=change,
        subresource="status" if status_only else "",
        dry_run=requests.dry_run(write.query),
        **write.key,
    )


def _check_pod_change(old: Object, new: Object) -> None:
    """Invalid when more of a pod changes than may (Pods, Pod update and replacement)."""

    def fixed(pod: Object) -> Object:
        spec = {k: v for k, v in (pod.get("spec") or {}).items() if k not in _POD_CHANGES}
        for field_name in ("containers", "initContainers"):
            if field_name in spec:
                spec[field_name] = [{**c, "image": ""} for c in spec[field_name]]
        return spec

    if fixed(old) != fixed(new):
        fault = statuses.forbidden("spec", _POD_RULE)
        raise statuses.invalid("Pod", "", old["metadata"]["name"], [fault])


def _perform_delete(store: ObjectStore, write: Write) -> Answer:
    options = _delete_options(write)
    resource = write.resource
    entry = store.entry(resource, write.target.name, write.target.namespace)
    for key, found in (("uid", entry.uid), ("resourceVersion", str(entry.version))):
        wanted = (options.get("preconditions") or {}).get(key)
        if wanted not in (None, found):
            raise statuses.Conflict(
                f"Precondition failed: {key} in precondition: {wanted}, {key} in object "
                f"meta: {found}",
                name=write.target.name,
                group=resource.group,
                kind=resource.plural,
            )
    if not _is_dry(write, options):
        store.delete(resource.name, **write.key, **_deletion_manner(options))
    left = store.find(resource.name, **write.key)
    if left is not None and left["metadata"].get("deletionTimestamp"):
        return 200, left
    return 200, statuses.success(resource.plural, write.target.name, resource.group, entry.uid)


def _delete_collection(store: ObjectStore, write: Write) -> Answer:
    resource, target, options = write.resource, write.target, _delete_options(write)
    selection = selection_of(target, resource, write.query)
    entries = store.entries(resource, selection)
    for namespace, name in [e.key for e in entries]:
        # An owner in the same collection may have taken it along already.
        known = store.find(resource.name, name, namespace=namespace) is not None
        if known and not _is_dry(write, options):
            store.delete(resource.name, name, namespace=namespace, **_deletion_manner(options))
    return 200, {
        "kind": f"{resource.kind}List",
        "apiVersion": resource.api_version,
        "metadata": {"resourceVersion": str(store.version)},
        "items": [e.decode() for e in entries],
    }


def _perform_eviction(store: ObjectStore, write: Write) -> Answer:
    body = _decode_body(write)
    if not isinstance(body, dict):
        raise BadRequest("the body is not an Eviction")
    options = body.get("deleteOptions") or {}
    dry = _is_dry(write, options)
    grace = options.get("gracePeriodSeconds")
    evict(store, write.target.namespace, write.target.name, grace=grace, dry_run=dry)
    return 201, {**statuses.success("", ""), "code": 201}


_VERBS: dict[str, Callable[[ObjectStore, Write], Answer]] = {
    "create": _perform_create,
    "update": _perform_update,
    "patch": _perform_patch,
    "delete": _perform_delete,
    "deletecollection": _delete_collection,
}


def _decode_body(write: Write, doing: str = "the body is not JSON") -> Any:
    if write.content_type == protobuf.MEDIA_TYPE:
        return protobuf.decode(write.body)
    try:
        if write.content_type in _YAML:
            return msgspec.yaml.decode(write.body)
        return msgspec.json.decode(write.body)
    except msgspec.DecodeError as error:
        raise BadRequest(f"{doing}: {error}") from None


def _object_in_body(write: Write) -> Object:
    """The object in the body, checked against the URL."""
    if write.content_type not in (*_JSON, "application/yaml", protobuf.MEDIA_TYPE):
        raise UnsupportedMediaType("415: Unsupported Media Type")
    obj = _decode_body(write)
    _check_identity(write, obj)
    return dict(obj)


def _check_identity(write: Write, obj: Any) -> None:
    resource, target = write.resource, write.target
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata") or {}, dict):
        raise BadRequest(f"the body is not a {resource.kind}")
    _name_kind(resource, obj)
    kind = (obj.get("apiVersion"), obj.get("kind"))
    if kind != (resource.api_version, resource.kind):
        raise BadRequest(
            f'{kind[1]} in version "{kind[0]}" cannot be handled as a {resource.kind}: this path '
            f"takes {resource.api_version} {resource.kind}"
        )
    namespace = (obj.get("metadata") or {}).get("namespace")
    if namespace and target.namespace and namespace != target.namespace:
        raise BadRequest(
            f"the namespace of the provided object does not match the namespace sent on the "
            f"request: {namespace} and {target.namespace}"
        )


def _name_kind(resource: Resource, obj: Object) -> None:
    """Typed clients leave out what the URL says already, and for its own kinds an API server
    takes it from there. Of a custom kind it knows no more than the body says."""
    if resource.custom and not obj.get("kind"):
        raise BadRequest(f"Object 'Kind' is missing in '{msgspec.json.encode(obj).decode()}'")
    if not resource.custom:
        for field, value in (("apiVersion", resource.api_version), ("kind", resource.kind)):
            obj[field] = obj.get(field) or value


def _delete_options(write: Write) -> Object:
    """DeleteOptions from the body, else from the query."""
    options = _decode_body(write) if write.body and write.content_type != "" else {}
    if not isinstance(options, dict):
        raise BadRequest("the body is not DeleteOptions")
    if "gracePeriodSeconds" in write.query and options.get("gracePeriodSeconds") is None:
        options["gracePeriodSeconds"] = requests.number(write.query, "gracePeriodSeconds")
    if "propagationPolicy" in write.query:
        options.setdefault("propagationPolicy", write.query["propagationPolicy"])
    return options


def _is_dry(write: Write, options: Object) -> bool:
    """Whether the query or the DeleteOptions, where kubectl puts it, ask for a dry run."""
    told = options.get("dryRun") or ()
    return requests.dry_run({"dryRun": told[0]} if told else write.query)


def _deletion_manner(options: Object) -> dict[str, Any]:
    policy = options.get("propagationPolicy") or "Background"
    if policy not in _CASCADES:
        raise Invalid(f'DeleteOptions is invalid: propagationPolicy: Invalid value: "{policy}"')
    return {"grace": options.get("gracePeriodSeconds"), "cascade": _CASCADES[policy]}
