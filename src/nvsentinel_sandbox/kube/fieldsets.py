"""Sets of fields: which an object has, which two objects differ in, and FieldsV1 of them.

A path is a tuple of the steps FieldsV1 uses: `f:name`, `k:{"name":"main"}`, `v:"x"`. A set
has a path for every leaf and for what exists in its own right, such as a list's item. The
rules are those of server-side apply (https://kubernetes.io/docs/reference/using-api/
server-side-apply/#merge-strategy). Used by ownership alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nvsentinel_sandbox.kube.shapes import ANY, Shape

Path = tuple[str, ...]
Fields = frozenset[Path]
_IGNORED = frozenset(
    "name generateName namespace uid resourceVersion creationTimestamp generation selfLink "
    "managedFields deletionTimestamp deletionGracePeriodSeconds".split()
)
_DEFAULT_KEYS = {"protocol": "TCP"}


def of(shape: Shape, obj: Mapping[str, Any], *, added: bool = False) -> Fields:
    """The fields of an object; with `added` also the maps they are in, as an update owns them."""
    return frozenset(_walk_fields(shape, obj, (), added=added))


def differences(shape: Shape, old: Any, new: Any) -> tuple[Fields, Fields]:
    """The fields in `new` that are new or have another value, and those that are gone."""
    changed: set[Path] = set()
    gone: set[Path] = set()
    _compare_fields(shape, old, new, (), changed, gone)
    return frozenset(changed), frozenset(gone)


def steps(shape: Shape, value: Any) -> dict[str, tuple[Shape, Any]] | None:
    """What is one step below a granular value, or None: it is owned as a whole."""
    if isinstance(value, Mapping) and shape.merge != "atomic" and shape.kind in ("object", "map"):
        return {f"f:{key}": (shape.child(key) or ANY, inner) for key, inner in value.items()}
    if isinstance(value, list) and shape.kind == "array" and shape.merge in ("map", "set"):
        return {item_step(shape, inner): (shape.item, inner) for inner in value}
    return None


def item_step(shape: Shape, item: Any) -> str:
    """The step to an item of a list that merges."""
    if shape.merge == "map" and isinstance(item, Mapping):
        found = {k: item.get(k, _DEFAULT_KEYS.get(k)) for k in sorted(shape.keys)}
        return "k:" + json.dumps(found, separators=(",", ":"))
    return "v:" + json.dumps(item, separators=(",", ":"))


def encode(fields: Iterable[Path]) -> dict[str, Any]:
    """A set as FieldsV1."""
    paths = set(fields)
    root: dict[str, Any] = {}
    for path in sorted(paths):
        node = root
        for depth, step in enumerate(path):
            node = node.setdefault(step, {})
            if path[: depth + 1] in paths and depth + 1 < len(path):
                node.setdefault(".", {})
    return root


def decode(fields: Mapping[str, Any]) -> Fields:
    """FieldsV1 as a set."""
    return frozenset(_decode_paths(fields, ()))


def path_text(path: Path) -> str:
    """As conflicts name it: `.spec.containers[name="main"].image`."""
    told = ""
    for step in path:
        kind, rest = step[:2], step[2:]
        if kind == "f:":
            told += f".{rest}"
        elif kind == "k:":
            told += f"[{','.join(f'{k}={json.dumps(v)}' for k, v in json.loads(rest).items())}]"
        else:
            told += f"[={rest}]"
    return told


def _walk_fields(shape: Shape, value: Any, path: Path, *, added: bool) -> Iterator[Path]:
    below = steps(shape, value)
    if not below:
        if path:
            yield path
        return
    if path and (path[-1][:2] != "f:" or (added and _stands_alone(shape))):
        yield path
    for step, (inner_shape, inner) in below.items():
        if not _is_ignored(path, step):
            yield from _walk_fields(inner_shape, inner, (*path, step), added=added)


def _stands_alone(shape: Shape) -> bool:
    """Whether an update that adds it owns it too: maps, and objects of custom kinds."""
    return shape.kind == "map" or (shape.kind == "object" and not shape.type)


def _compare_fields(
    shape: Shape, old: Any, new: Any, path: Path, changed: set[Path], gone: set[Path]
) -> None:
    before, after = steps(shape, old), steps(shape, new)
    if before is None or after is None:
        if old != new and path:
            changed.update(_walk_fields(shape, new, path, added=True))
            if before:
                gone.update(set(_walk_fields(shape, old, path, added=True)) - changed)
        return
    for step, (inner_shape, inner) in after.items():
        if _is_ignored(path, step):
            continue
        if step in before:
            _compare_fields(inner_shape, before[step][1], inner, (*path, step), changed, gone)
        else:
            changed.update(_walk_fields(inner_shape, inner, (*path, step), added=True))
    for step, (inner_shape, inner) in before.items():
        if step not in after and not _is_ignored(path, step):
            gone.update(_walk_fields(inner_shape, inner, (*path, step), added=True))
            gone.add((*path, step))


def _is_ignored(path: Path, step: str) -> bool:
    if not path:
        return step in ("f:apiVersion", "f:kind")
    return path == ("f:metadata",) and step[2:] in _IGNORED


def _decode_paths(node: Mapping[str, Any], path: Path) -> Iterator[Path]:
    for step, below in node.items():
        if step == ".":
            yield path
        elif below:
            yield from _decode_paths(below, (*path, step))
        else:
            yield (*path, step)
