"""Who owns which field: metadata.managedFields, and server-side apply that minds it.

Called by writing for every object written over HTTP. What the simulated parts of the
cluster write has no owner, like the objects of a cluster from before server-side apply.
Rules and messages: https://kubernetes.io/docs/reference/using-api/server-side-apply/.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from nvsentinel_sandbox.kube import fieldsets
from nvsentinel_sandbox.kube.fieldsets import Fields, Path
from nvsentinel_sandbox.kube.resources import Resource
from nvsentinel_sandbox.kube.shapes import ANY, Shape
from nvsentinel_sandbox.kube.statuses import Conflict

Object = dict[str, Any]
_BEFORE = "before-first-apply"


class Owner(NamedTuple):
    """One entry of managedFields."""

    manager: str
    operation: str
    version: str
    subresource: str = ""

    def __str__(self) -> str:
        told = json.dumps(self.manager)
        if self.subresource:
            told += f' with subresource "{self.subresource}"'
        return told if self.operation == "Apply" else f"{told} using {self.version}"


Managers = dict[Owner, Fields]


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes: the field manager, its door, and when (RFC 3339)."""

    manager: str
    subresource: str
    time: str

    def owner(self, resource: Resource, operation: str) -> Owner:
        return Owner(self.manager, operation, resource.api_version, self.subresource)


def record(resource: Resource, old: Mapping[str, Any] | None, new: Object, writer: Writer) -> None:
    """Note in `new` that the writer owns what it changed; others lose that, and what is gone."""
    managers, reset = _managers_of(old, new)
    if reset:
        _store_managed_fields(new, old, {}, writer.time)
        return
    changed, gone = fieldsets.differences(resource.shape, old or {}, new)
    me = writer.owner(resource, "Update")
    found = {o: f if o == me else f - changed for o, f in managers.items()}
    found[me] = found.get(me, frozenset()) | changed
    _store_managed_fields(new, old, {o: f - gone for o, f in found.items()}, writer.time)


def apply(
    resource: Resource, old: Mapping[str, Any], wanted: Object, writer: Writer, *, force: bool
) -> Object:
    """What a server-side apply of `wanted` makes of `old`.

    Raises Conflict when it changes fields of others, unless `force` takes them.
    """
    shape = resource.shape
    managers, _ = _managers_of(old, {})
    if not managers:
        before = Owner(_BEFORE, "Update", resource.api_version)
        managers = {before: fieldsets.of(shape, old, added=True)} if old else {}
    me, mine = writer.owner(resource, "Apply"), fieldsets.of(shape, wanted)
    last = managers.get(me, frozenset())
    others = {owner: fields for owner, fields in managers.items() if owner != me}
    new: Object = _merge_values(shape, old, wanted)
    held = mine.union(*others.values())
    for path in sorted(last - mine, key=len, reverse=True):
        if not any(kept[: len(path)] == path for kept in held):
            _remove_field(shape, new, path)
    changed, gone = fieldsets.differences(shape, old, new)
    taken = [(o, path) for o, fields in others.items() for path in sorted(fields & changed)]
    if taken and not force:
        raise _conflict_error(taken)
    found = {owner: fields - changed - gone for owner, fields in others.items()}
    found[me] = mine
    _store_managed_fields(new, old, found, writer.time)
    return new


def _conflict_error(taken: Iterable[tuple[Owner, Path]]) -> Conflict:
    found = [(str(owner), fieldsets.path_text(path)) for owner, path in taken]
    if len(found) == 1:
        owner, path = found[0]
        told = f"1 conflict: conflict with {owner}: {path}"
    else:
        by_owner: dict[str, list[str]] = {}
        for owner, path in found:
            by_owner.setdefault(owner, []).append(path)
        lines = []
        for owner in sorted(by_owner):
            lines += [f"conflicts with {owner}:", *(f"- {path}" for path in by_owner[owner])]
        told = f"{len(found)} conflicts: " + "\n".join(lines)
    return Conflict(
        f"Apply failed with {told}",
        causes=tuple(
            {"reason": "FieldManagerConflict", "message": f"conflict with {owner}", "field": path}
            for owner, path in found
        ),
    )


def _managers_of(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> tuple[Managers, bool]:
    """The owners so far, and whether the writer wants them forgotten.

    A writer may send its own managedFields, as `kubectl apply --server-side` does when it
    takes over from an earlier client-side apply; an empty entry forgets them.
    """
    given = (new.get("metadata") or {}).get("managedFields")
    if given == [{}]:
        return {}, True
    entries = given or ((old or {}).get("metadata") or {}).get("managedFields") or ()
    found: Managers = {}
    for e in entries:
        owner = Owner(
            e.get("manager", ""),
            e.get("operation", ""),
            e.get("apiVersion", ""),
            e.get("subresource", ""),
        )
        found[owner] = fieldsets.decode(e.get("fieldsV1") or {})
    return found, False


def _store_managed_fields(
    new: Object, old: Mapping[str, Any] | None, managers: Managers, time: str
) -> None:
    """Write managedFields; an entry that stays the same keeps its time."""
    meta = new.setdefault("metadata", {})
    known = (meta.get("managedFields") or []) + (
        ((old or {}).get("metadata") or {}).get("managedFields") or []
    )
    entries = []
    for owner, fields in managers.items():
        if not fields:
            continue
        entry: Object = {
            "manager": owner.manager,
            "operation": owner.operation,
            "apiVersion": owner.version,
            "time": time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fieldsets.encode(fields),
        }
        if owner.subresource:
            entry["subresource"] = owner.subresource
        same = (e for e in known if {**e, "time": time} == entry)
        entries.append(next(same, entry))
    entries.sort(key=lambda e: (e["operation"], e.get("time", ""), e["manager"]))
    meta.pop("managedFields", None)
    if entries:
        meta["managedFields"] = entries


def _merge_values(shape: Shape, old: Any, new: Any) -> Any:
    """`new` laid over `old`, as deep as both are granular."""
    before, after = fieldsets.steps(shape, old), fieldsets.steps(shape, new)
    if before is None or after is None:
        return new
    if isinstance(new, Mapping):
        found = dict(old)
        for key, inner in new.items():
            below = shape.child(key) or ANY
            found[key] = _merge_values(below, old[key], inner) if key in old else inner
        return found
    merged = {step: inner for step, (_, inner) in before.items()}
    for step, (below, inner) in after.items():
        merged[step] = _merge_values(below, merged[step], inner) if step in merged else inner
    return list(merged.values())


def _remove_field(shape: Shape, obj: Any, path: Path) -> None:
    """Take one field out, and the maps and lists it leaves empty."""
    parents: list[tuple[Callable[[], None], Any]] = []
    for step in path:
        below = fieldsets.steps(shape, obj)
        if below is None or step not in below:
            return
        inner_shape, inner = below[step]
        if isinstance(obj, list):
            at = next(n for n, item in enumerate(obj) if fieldsets.item_step(shape, item) == step)
            parents.append((lambda o=obj, n=at: o.pop(n), inner))  # type: ignore[misc]
        else:
            parents.append((lambda o=obj, k=step[2:]: o.pop(k), inner))  # type: ignore[misc]
        shape, obj = inner_shape, inner
    last = True
    for drop, inner in reversed(parents):
        if not last and inner:
            return
        drop()
        last = False
