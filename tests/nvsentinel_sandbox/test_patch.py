"""The patch formats: merge, strategic merge and JSON patch."""

from __future__ import annotations

from typing import Any

import pytest

from nvsentinel_sandbox.kube import patch
from nvsentinel_sandbox.kube.statuses import BadRequest, Invalid

NODE = {
    "metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x"]},
    "spec": {"taints": [{"key": "t1"}, {"key": "t2"}]},
    "status": {
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Disk", "status": "F"}]
    },
}


@pytest.mark.parametrize(
    ("change", "path", "expected"),
    [
        ({"metadata": {"labels": {"a": None, "c": "3"}}}, "metadata.labels", {"b": "2", "c": "3"}),
        ({"spec": {"taints": [{"key": "t3"}]}}, "spec.taints", [{"key": "t3"}]),
        ({"spec": None}, "spec", None),
        ({"metadata": {"annotations": {"a": {"b": None}}}}, "metadata.annotations", {"a": {}}),
    ],
)
def test_merge(change: Any, path: str, expected: Any) -> None:
    """RFC 7386: objects merge, null removes, lists are replaced."""
    assert at(patch.merge(NODE, change), path) == expected


@pytest.mark.parametrize(
    ("change", "path", "expected"),
    [
        ({"spec": {"taints": [{"key": "t2"}]}}, "spec.taints", [{"key": "t2"}]),
        ({"spec": {"taints": None}}, "spec.taints", None),
        (
            {"status": {"conditions": [{"type": "Disk", "reason": "R"}, {"type": "New"}]}},
            "status.conditions",
            [
                {"type": "Ready", "status": "True"},
                {"type": "Disk", "status": "F", "reason": "R"},
                {"type": "New"},
            ],
        ),
        (
            {"status": {"conditions": [{"$patch": "delete", "type": "Ready"}]}},
            "status.conditions",
            [{"type": "Disk", "status": "F"}],
        ),
        (
            {
                "status": {
                    "$setElementOrder/conditions": [{"type": "Disk"}, {"type": "Ready"}],
                    "conditions": [{"type": "Ready", "status": "False"}],
                }
            },
            "status.conditions",
            [{"type": "Disk", "status": "F"}, {"type": "Ready", "status": "False"}],
        ),
        ({"metadata": {"finalizers": ["y"]}}, "metadata.finalizers", ["x", "y"]),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]}}, "metadata.finalizers", []),
        ({"metadata": {"labels": {"$patch": "replace", "z": "1"}}}, "metadata.labels", {"z": "1"}),
        ({"metadata": {"labels": {"$retainKeys": ["a"], "a": "9"}}}, "metadata.labels", {"a": "9"}),
    ],
)
def test_strategic(change: Any, path: str, expected: Any) -> None:
    """Conditions merge by type, taints are replaced whole, directives are obeyed."""
    assert at(patch.strategic(NODE, change), path) == expected


def test_strategic_needs_the_merge_key() -> None:
    """A list item without the key its list is merged by is refused."""
    with pytest.raises(BadRequest, match="merge key"):
        patch.strategic(NODE, {"status": {"conditions": [{"status": "True"}]}})


@pytest.mark.parametrize(
    ("operation", "path", "expected"),
    [
        (
            {"op": "add", "path": "/spec/taints/-", "value": 3},
            "spec.taints",
            [{"key": "t1"}, {"key": "t2"}, 3],
        ),
        (
            {"op": "add", "path": "/spec/taints/0", "value": 3},
            "spec.taints",
            [3, {"key": "t1"}, {"key": "t2"}],
        ),
        ({"op": "remove", "path": "/spec/taints/1"}, "spec.taints", [{"key": "t1"}]),
        ({"op": "remove", "path": "/spec/taints/-1"}, "spec.taints", [{"key": "t1"}]),
        ({"op": "replace", "path": "/metadata/labels/c", "value": "9"}, "metadata.labels.c", "9"),
        ({"op": "test", "path": "/metadata/labels/c", "value": None}, "metadata.labels.a", "1"),
        ({"op": "replace", "path": "/metadata/labels/a", "value": "9"}, "metadata.labels.a", "9"),
        (
            {"op": "add", "path": "/metadata/labels/x~1y~0", "value": "9"},
            "metadata.labels",
            {"a": "1", "b": "2", "x/y~": "9"},
        ),
        (
            {"op": "move", "from": "/metadata/labels/a", "path": "/metadata/labels/c"},
            "metadata.labels",
            {"b": "2", "c": "1"},
        ),
        (
            {"op": "copy", "from": "/metadata/labels/a", "path": "/metadata/labels/c"},
            "metadata.labels.c",
            "1",
        ),
        ({"op": "test", "path": "/metadata/labels/a", "value": "1"}, "metadata.labels.a", "1"),
    ],
)
def test_json_patch(operation: Any, path: str, expected: Any) -> None:
    """RFC 6902 operations with escaped pointers, and a server's leniency about missing keys."""
    assert at(patch.json_patch(NODE, [operation]), path) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/metadata/labels/a", "value": "other"},
        {"op": "remove", "path": "/metadata/labels/none"},
        {"op": "replace", "path": "/spec/taints/7", "value": 1},
        {"op": "add", "path": "/spec/taints/3", "value": 1},
        {"op": "remove", "path": "/spec/taints/-3"},
        {"op": "replace", "path": "/spec/none/there", "value": 1},
        {"op": "paint", "path": "/spec"},
        {"path": "/spec"},
    ],
)
def test_json_patch_refuses(operation: Any) -> None:
    """A failed test, a missing place and an unknown operation are refused."""
    with pytest.raises(Invalid):
        patch.json_patch(NODE, [operation])


def test_patches_change_nothing_given() -> None:
    """No patch alters the object it is applied to."""
    before = repr(NODE)
    patch.merge(NODE, {"metadata": {"labels": {"a": None}}})
    found = patch.strategic(NODE, {"metadata": {"finalizers": ["y"]}})
    assert found["metadata"]["finalizers"] == ["x", "y"]
    patch.json_patch(NODE, [{"op": "add", "path": "/spec/taints/-", "value": 1}])
    assert repr(NODE) == before


def at(obj: Any, path: str) -> Any:
    """The value at a dotted path."""
    for part in path.split("."):
        obj = obj.get(part)
    return obj
