from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvsx.cluster import projections, wire_values
from nvsx.core.selectors import Requirement
from nvsx.core.watches.snapshot import Condition, Event, Node, Pod, PodBudget, Taint


def encoded(body: object) -> bytes:
    """The bytes of one object as the API sends them."""
    return json.dumps(body).encode()


META = {"name": "n1", "uid": "u1", "creationTimestamp": "2025-08-20T16:17:06Z"}
CREATED = 1755706626.0


def test_a_node_keeps_what_runs_read() -> None:
    """Labels, annotations, taints, conditions, times and boot id; not last-applied."""
    body = {
        "metadata": {
            **META,
            "labels": {"a": "1"},
            "annotations": {"b": "2", projections.LAST_APPLIED: "{}"},
            "managedFields": [{"manager": "kubelet"}],
        },
        "spec": {
            "unschedulable": True,
            "taints": [{"key": "k", "effect": "NoSchedule"}],
        },
        "status": {
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "KubeletReady",
                    "message": "ok",
                    "lastHeartbeatTime": "2025-08-20T16:17:07Z",
                    "lastTransitionTime": "2025-08-20T16:17:06.500Z",
                }
            ],
            "nodeInfo": {"bootID": "b-1"},
            "images": [{"names": ["x"]}],
        },
    }
    assert projections.decode_node(encoded(body)) == (
        "n1",
        Node(
            name="n1",
            uid="u1",
            created=CREATED,
            labels={"a": "1"},
            annotations={"b": "2"},
            unschedulable=True,
            taints=(Taint("k", "", "NoSchedule"),),
            conditions=(
                Condition("Ready", "True", "KubeletReady", "ok", CREATED + 1, CREATED + 0.5),
            ),
            boot_id="b-1",
        ),
    )


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": {"name": "n1"}},
        {"metadata": {"name": "n1"}, "spec": None, "status": None},
        {
            "metadata": {"name": "n1", "labels": None, "annotations": None, "uid": None},
            "spec": {"unschedulable": None, "taints": None},
            "status": {"conditions": None, "nodeInfo": None},
        },
    ],
)
def test_absent_and_null_read_alike(body: dict[str, Any]) -> None:
    """A node with nothing in it, or nulls, is a node with nothing in it."""
    assert projections.decode_node(encoded(body)) == ("n1", Node(name="n1"))


def test_a_pod_knows_its_owner_its_gpus_and_whether_it_is_ready() -> None:
    """The controller is the owner; GPUs are requests, or limits where no request is given."""
    body = {
        "metadata": {
            **META,
            "namespace": "ml",
            "deletionTimestamp": "2025-08-20T16:17:07Z",
            "ownerReferences": [
                {"kind": "Node", "name": "n1"},
                {"kind": "Job", "name": "train", "controller": True},
            ],
        },
        "spec": {
            "nodeName": "gpu-1",
            "containers": [
                {
                    "resources": {
                        "requests": {"nvidia.com/gpu": "4"},
                        "limits": {"nvidia.com/gpu": "4"},
                    }
                },
                {"resources": {"limits": {"nvidia.com/mig-1g.10gb": "2", "cpu": "8"}}},
                {"resources": None},
            ],
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert projections.decode_pod(encoded(body)) == (
        "ml/n1",
        Pod(
            namespace="ml",
            name="n1",
            uid="u1",
            node="gpu-1",
            phase="Running",
            ready=True,
            owner="Job/train",
            gpus=6,
            created=CREATED,
            deleting=CREATED + 1,
        ),
    )


def test_events_of_both_generations_read_alike() -> None:
    """count and lastTimestamp, or series and eventTime: the same facts."""
    about = {"kind": "Node", "name": "gpu-1"}
    old = {
        "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": about,
        "type": "NodeDraining",
        "reason": "AwaitingPodCompletion",
        "message": "m",
        "source": {"component": "drainer"},
        "count": 7,
        "firstTimestamp": "2025-08-20T16:17:06Z",
        "lastTimestamp": "2025-08-20T16:17:16Z",
    }
    new = {
        **{k: old[k] for k in ("metadata", "involvedObject", "type", "reason", "message")},
        "reportingComponent": "drainer",
        "eventTime": "2025-08-20T16:17:06.000000Z",
        "series": {"count": 7, "lastObservedTime": "2025-08-20T16:17:16.000000Z"},
        "firstTimestamp": None,
        "lastTimestamp": None,
    }
    expected = Event(
        namespace="default",
        name="e",
        kind="Node",
        object_name="gpu-1",
        type="NodeDraining",
        reason="AwaitingPodCompletion",
        message="m",
        source="drainer",
        count=7,
        first=CREATED,
        last=CREATED + 10,
    )
    assert projections.decode_event(encoded(old)) == ("default/e", expected)
    assert projections.decode_event(encoded(new)) == ("default/e", expected)


@pytest.mark.parametrize(
    ("spec", "nodes"),
    [
        ({"nodeName": "gpu-1", "force": False}, ("gpu-1",)),
        ({"healthEvent": {"nodeName": "gpu-1"}}, ("gpu-1",)),
        ({"nodes": [{"name": "gpu-1"}, {"name": "gpu-2"}, {}]}, ("gpu-1", "gpu-2")),
        ({"nodes": "all"}, ()),
        ({}, ()),
        (None, ()),
        ("text", ()),
    ],
)
def test_where_custom_resources_name_their_nodes(spec: object, nodes: tuple[str, ...]) -> None:
    """The three places are known, and anything else names no node."""
    assert projections.nodes_of(spec) == nodes


def test_a_custom_resource_keeps_its_status() -> None:
    """Phase, times and conditions of a finished reset, as NVSentinel's janitor writes them."""
    body = {
        "kind": "GPUReset",
        "metadata": META,
        "spec": {"nodeName": "gpu-1"},
        "status": {
            "phase": "Succeeded",
            "startTime": "2025-08-20T16:17:07Z",
            "completionTime": "2025-08-20T16:18:27Z",
            "conditions": [{"type": "Complete", "status": "True", "reason": "GPUResetSucceeded"}],
        },
    }
    key, found = projections.make_resource_decoder("g", "v1", "gpuresets")(encoded(body))
    assert key == "n1"
    assert (found.kind, found.node, found.phase) == ("GPUReset", "gpu-1", "Succeeded")
    assert (found.started, found.completed) == (CREATED + 1, CREATED + 81)
    assert found.conditions == (Condition("Complete", "True", "GPUResetSucceeded"),)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(spec=JSON, status=JSON, conditions=JSON)
def test_any_custom_resource_can_be_read(spec: object, status: object, conditions: object) -> None:
    """A CRD may hold anything in spec and status; the projection never fails for it."""
    decode = projections.make_resource_decoder("g", "v1", "things", "Thing")
    for held in (status, {"conditions": conditions, "phase": status, "startTime": status}):
        key, found = decode(encoded({"metadata": {"name": "x"}, "spec": spec, "status": held}))
        assert (key, found.kind) == ("x", "Thing")


def test_equal_strings_are_one_string() -> None:
    """Two nodes of one cluster share the strings they have in common."""
    body = {"metadata": {**META, "labels": {"pool": "gpu-h100-a-long-name"}}}
    _, first = projections.decode_node(encoded(body))
    _, second = projections.decode_node(encoded(body))
    assert first.labels["pool"] is second.labels["pool"]


def test_long_strings_are_not_kept() -> None:
    """Annotations and messages of any size do not stay in memory with the shared strings."""
    before = len(wire_values._pool)
    for number in range(50):
        text = f"{number} " * 100
        condition = {"type": "Ready", "message": text}
        body = {
            "metadata": {**META, "annotations": {"long": text}},
            "status": {"conditions": [condition]},
        }
        _, found = projections.decode_node(encoded(body))
        assert found.annotations["long"] == found.conditions[0].message == text
    assert len(wire_values._pool) <= before + 5


@pytest.mark.parametrize("text", [None, "", "yesterday", "2025-13-40T00:00:00Z"])
def test_a_time_that_is_none_is_zero(text: str | None) -> None:
    """Times that are absent or unreadable are 0.0, the projection's 'not given'."""
    assert wire_values.unix_seconds(text) == 0.0


def owned(manager: str, fields: dict[str, Any], time: str = "2026-03-02T12:00:00Z") -> Any:
    """An entry of managedFields."""
    return {"manager": manager, "operation": "Update", "time": time, "fieldsV1": fields}


SCHEDULING: dict[str, Any] = {"f:spec": {"f:unschedulable": {}}}
NOON = 1772452800.0


@pytest.mark.parametrize(
    ("managed", "unschedulable", "who", "at"),
    [
        ([owned("kubectl-cordon", SCHEDULING)], True, "kubectl-cordon", NOON),
        ([owned("kubectl-cordon", SCHEDULING)], False, "", 0.0),
        ([owned("kubelet", {"f:status": {}})], True, "", 0.0),
        ([owned("karpenter", SCHEDULING | {"f:metadata": {}})], True, "karpenter", 0.0),
        (
            [
                owned("kubectl-cordon", SCHEDULING),
                owned("kured", SCHEDULING, "2026-03-02T12:00:01Z"),
            ],
            True,
            "kured",
            NOON + 1,
        ),
        ([{"fieldsV1": None}, {}], True, "", 0.0),
        (None, True, "", 0.0),
    ],
)
def test_who_cordoned_a_node(managed: Any, unschedulable: bool, who: str, at: float) -> None:
    """The last program that owns spec.unschedulable; its time is the cordon's where it owns
    nothing else."""
    body = {
        "metadata": {"name": "n1", "managedFields": managed},
        "spec": {"unschedulable": unschedulable},
    }
    _, found = projections.decode_node(encoded(body))
    assert (found.cordoned_with, found.cordoned_at) == (who, at)


def test_a_budget_with_its_selector() -> None:
    """Labels that must be equal, and expressions; without a selector it covers nothing."""
    selector = {
        "matchLabels": {"app": "train"},
        "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["web"]}],
    }
    body = {
        "metadata": {"name": "train", "namespace": "ml"},
        "spec": {"selector": selector},
        "status": {"disruptionsAllowed": 1},
    }
    key, found = projections.decode_budget(encoded(body))
    wanted = (
        Requirement("app", "in", frozenset({"train"})),
        Requirement("tier", "notin", frozenset({"web"})),
    )
    assert (key, found) == ("ml/train", PodBudget("ml", "train", 1, wanted))
    _, bare = projections.decode_budget(encoded({"metadata": {"name": "b", "namespace": "ml"}}))
    assert bare == PodBudget("ml", "b", 0, None)
