"""The patch formats of the Kubernetes API, as functions from object and patch to object.

JSON merge patch (RFC 7386), JSON patch (RFC 6902), and the strategic merge patch of
built-in kinds (https://kubernetes.io/docs/tasks/manage-kubernetes-objects/
update-api-object-kubectl-patch/). Used by the API server's writes. Nothing given is
changed; a patch that does not fit raises BadRequest or Invalid.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from nvsentinel_sandbox.kube.statuses import BadRequest, Invalid

# Lists merged by the value of a key; every other list is replaced (node taints are).
MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "addresses": ("type",),
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "ephemeralContainers": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "ports": ("containerPort", "port"),
    "secrets": ("name",),
    "topologySpreadConstraints": ("topologyKey",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
MERGED_VALUES = frozenset({"finalizers", "podCIDRs"})
_ORDER, _DELETE = "$setElementOrder/", "$deleteFromPrimitiveList/"


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386: objects merge, null removes, anything else replaces."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    found = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merge(found.get(key), value)
    return found


def strategic(target: Any, patch: Any) -> Any:
    """As merge, but lists with a merge key are merged item by item, and directives obeyed."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    directive = patch.get("$patch")
    if directive == "replace":
        return {k: copy.deepcopy(v) for k, v in patch.items() if k != "$patch"}
    if directive == "delete":
        return {}
    found = dict(target) if isinstance(target, Mapping) else {}
    if (kept := patch.get("$retainKeys")) is not None:
        found = {k: v for k, v in found.items() if k in kept}
    for key, value in patch.items():
        if key.startswith(_DELETE):
            field = key.removeprefix(_DELETE)
            found[field] = [v for v in found.get(field) or [] if v not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            found.pop(key, None)
        elif isinstance(value, list):
            found[key] = _merged_list(key, found.get(key) or [], value, patch.get(_ORDER + key))
        else:
            found[key] = strategic(found.get(key), value)
    return found


def _merged_list(field: str, target: list[Any], patch: list[Any], order: Any) -> list[Any]:
    if any(isinstance(i, Mapping) and i.get("$patch") == "replace" for i in patch):
        return [copy.deepcopy(i) for i in patch if i.get("$patch") != "replace"]
    if field in MERGED_VALUES:
        return target + [v for v in patch if v not in target]
    merge_key = _merge_key(field, patch)
    if merge_key is None:
        return copy.deepcopy(patch)
    found = list(target)
    for item in patch:
        name = item.get(merge_key)
        if name is None:
            raise BadRequest(f"map: {item} does not contain declared merge key: {merge_key}")
        at = next((n for n, old in enumerate(found) if old.get(merge_key) == name), None)
        if item.get("$patch") == "delete":
            found = [old for old in found if old.get(merge_key) != name]
        elif at is None:
            found.append(strategic({}, item))
        else:
            found[at] = strategic(found[at], item)
    if isinstance(order, list):
        wanted = {o.get(merge_key): n for n, o in enumerate(order) if isinstance(o, Mapping)}
        found.sort(key=lambda item: wanted.get(item.get(merge_key), len(wanted)))
    return found


def _merge_key(field: str, items: list[Any]) -> str | None:
    keys = MERGE_KEYS.get(field)
    if not keys or not all(isinstance(i, Mapping) for i in items):
        return None
    return next((k for k in keys if all(k in i for i in items)), keys[0])


def json_patch(target: Any, operations: Any) -> Any:
    """RFC 6902, as lenient as an API server is: what is not there counts as null when it is
    replaced or copied. A failed `test`, or a place that is not there, raises Invalid, which
    tells no more than a server does.
    """
    if not isinstance(operations, list):
        raise BadRequest(_cannot_decode(operations, "[]handlers.jsonPatchOp"))
    document = copy.deepcopy(target)
    for operation in operations:
        if not isinstance(operation, Mapping | None):
            raise BadRequest(_cannot_decode(operation, "handlers.jsonPatchOp"))
        try:
            document = _apply_operation(document, operation or {})
        except (KeyError, IndexError, TypeError, ValueError):
            raise Invalid(
                "the server rejected our request due to an error in our request"
            ) from None
    return document


def _cannot_decode(found: Any, wanted: str) -> str:
    words = {dict: "object", list: "array", str: "string", bool: "bool", type(None): "null"}
    word = words.get(type(found), "number")
    return f"error decoding patch: json: cannot unmarshal {word} into Go value of type {wanted}"


def _apply_operation(document: Any, operation: Mapping[str, Any]) -> Any:
    kind, path = operation["op"], _split_pointer(operation["path"])
    if kind == "test":
        if _value_at(document, path) != operation.get("value"):
            raise ValueError("testing value failed")
        return document
    if kind == "remove":
        return _remove_at(document, path)
    if kind in ("add", "replace"):
        value = copy.deepcopy(operation.get("value"))
        return _put_at(document, path, value, insert=kind == "add")
    if kind in ("copy", "move"):
        source = _split_pointer(operation["from"])
        value = copy.deepcopy(_value_at(document, source))
        if kind == "move":
            document = _remove_at(document, source)
        return _put_at(document, path, value, insert=True)
    raise ValueError(f"unknown operation {kind}")


def _split_pointer(text: str) -> list[str]:
    """The parts of an RFC 6901 pointer."""
    if text and not text.startswith("/"):
        raise ValueError(f"not a JSON pointer: {text}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _read_at(document: Any, path: list[str]) -> Any:
    for part in path:
        document = (
            document[_index_of(document, part)] if isinstance(document, list) else document[part]
        )
    return document


def _value_at(document: Any, path: list[str]) -> Any:
    """What is at a path whose parent is there; null for a key the parent has not."""
    parent = _read_at(document, path[:-1])
    return parent.get(path[-1]) if path and isinstance(parent, dict) else _read_at(document, path)


def _put_at(document: Any, path: list[str], value: Any, *, insert: bool) -> Any:
    if not path:
        return value
    parent, last = _read_at(document, path[:-1]), path[-1]
    if not isinstance(parent, list):
        parent[last] = value
    elif insert:
        parent.insert(len(parent) if last == "-" else _index_of(parent, last, beyond=1), value)
    else:
        parent[_index_of(parent, last)] = value
    return document


def _remove_at(document: Any, path: list[str]) -> Any:
    parent, last = _read_at(document, path[:-1]), path[-1]
    del parent[_index_of(parent, last) if isinstance(parent, list) else last]
    return document


def _index_of(items: list[Any], part: str, beyond: int = 0) -> int:
    at = int(part)
    if at < 0:
        at += len(items) + beyond  # counted from the end
    if not 0 <= at < len(items) + beyond:
        raise IndexError(f"no item {part}")
    return at
