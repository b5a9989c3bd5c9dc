"""The object store: identity, versions, finalizers, garbage collection, notification."""

from __future__ import annotations

import random
from typing import Any

import pytest

from nvsentinel_sandbox.kube.evictions import evict
from nvsentinel_sandbox.kube.objects import ObjectStore
from nvsentinel_sandbox.kube.statuses import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Invalid,
    NotFound,
    TooManyRequests,
)

Told = list[tuple[str, str, str]]


def named(name: str, **rest: Any) -> dict[str, Any]:
    """An object with a name."""
    return {"metadata": {"name": name}, **rest}


def owned(name: str, *owners: dict[str, Any]) -> dict[str, Any]:
    """A RebootNode that these objects own."""
    references = [
        {
            "apiVersion": o["apiVersion"],
            "kind": o["kind"],
            "name": o["metadata"]["name"],
            "uid": o["metadata"]["uid"],
        }
        for o in owners
    ]
    return {"metadata": {"name": name, "ownerReferences": references}, "spec": {"nodeName": "n"}}


@pytest.fixture
def told(store: ObjectStore) -> Told:
    """What a subscriber was told, as (type, plural, name)."""
    found: Told = []
    store.on_change(lambda kind, plural, obj: found.append((kind, plural, obj["metadata"]["name"])))
    return found


def test_create_sets_identity() -> None:
    """A created object has kind, uid, creation time and the next resource version."""
    store = ObjectStore(now=lambda: 1_755_706_530.9)
    before = store.version
    made = store.create("nodes", named("n1"))
    assert (made["apiVersion"], made["kind"]) == ("v1", "Node")
    assert made["metadata"]["creationTimestamp"] == "2025-08-20T16:15:30Z"
    assert made["metadata"]["resourceVersion"] == str(before + 1)
    assert len(made["metadata"]["uid"]) == 36
    assert store.get("nodes", "n1") == made


def test_identities_repeat_with_the_seed() -> None:
    """Two stores with the same seed make the same uids and generated names."""
    made = [
        ObjectStore(rng=random.Random(7), now=lambda: 0).create(
            "jobs", {"metadata": {"generateName": "log-"}}
        )
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert made[0]["metadata"]["name"].startswith("log-")
    assert len(made[0]["metadata"]["name"]) == 9


def test_readers_get_their_own_copy(store: ObjectStore) -> None:
    """What a reader does to an object it read does not reach the store."""
    store.create("nodes", named("n1", spec={"taints": []}))
    store.get("nodes", "n1")["spec"]["taints"].append("x")
    store.list("nodes")[0]["spec"]["taints"].append("x")
    assert store.get("nodes", "n1")["spec"] == {"taints": []}


def test_equal_update_is_no_change(store: ObjectStore, told: Told) -> None:
    """An update that changes nothing keeps the version and tells nobody."""
    made = store.create("nodes", named("n1", spec={"unschedulable": True}))
    told.clear()
    assert store.update("nodes", "n1", lambda o: o["spec"].update(unschedulable=True)) == made
    assert told == []


def test_update_with_an_old_version_conflicts(store: ObjectStore) -> None:
    """Writing back an object that somebody else changed meanwhile raises Conflict."""
    old = store.create("nodes", named("n1"))
    store.update("nodes", "n1", lambda o: o.update(spec={"unschedulable": True}))
    with pytest.raises(Conflict):
        store.update("nodes", "n1", lambda o: o.update(old))


def test_status_update_keeps_the_rest(store: ObjectStore) -> None:
    """The status subresource takes the change to status and drops every other."""
    store.create("rebootnodes", named("r", spec={"nodeName": "n1"}))

    def change(obj: dict[str, Any]) -> None:
        obj["spec"]["nodeName"] = "other"
        obj["status"] = {"startTime": "2026-01-01T00:00:00Z"}

    made = store.update("rebootnodes", "r", change, subresource="status")
    assert made["spec"] == {"nodeName": "n1"}
    assert made["status"] == {"startTime": "2026-01-01T00:00:00Z"}
    assert made["metadata"]["generation"] == 1


def test_generation_counts_spec_changes(store: ObjectStore) -> None:
    """The generation rises with the spec, not with labels or status."""
    store.create("rebootnodes", named("r", spec={"nodeName": "n1"}))
    store.update("rebootnodes", "r", lambda o: o["metadata"].update(labels={"a": "b"}))
    made = store.update("rebootnodes", "r", lambda o: o["spec"].update(force=True))
    assert made["metadata"]["generation"] == 2


def test_identity_cannot_be_changed(store: ObjectStore) -> None:
    """Name, creation time and deletion time of a stored object stay what they are."""
    made = store.create("nodes", named("n1"))
    store.update(
        "nodes", "n1", lambda o: o["metadata"].update(name="n2", deletionTimestamp="x", labels={})
    )
    meta = store.get("nodes", "n1")["metadata"]
    assert meta["name"] == "n1"
    assert "deletionTimestamp" not in meta
    assert meta["uid"] == made["metadata"]["uid"]


@pytest.mark.parametrize(
    ("plural", "obj", "error"),
    [
        ("nodes", {}, Invalid),
        ("nodes", named("Not_A_Name"), Invalid),
        ("rebootnodes", named("r", spec={"force": True}), Invalid),
        ("nodes", {"metadata": {"name": "n", "labels": {"a": 1}}}, BadRequest),
        ("gadgets", named("g"), NotFound),
        ("namespaces", named("default"), AlreadyExists),
        ("customresourcedefinitions", named("x.y"), Invalid),
    ],
)
def test_create_refuses(
    store: ObjectStore, plural: str, obj: dict[str, Any], error: type[Exception]
) -> None:
    """What a real server would refuse is refused, with the same reason."""
    with pytest.raises(error):
        store.create(plural, obj)


def test_lists_select(store: ObjectStore) -> None:
    """Lists are ordered by namespace and name and narrowed by namespace, labels, fields."""
    for namespace, name, node in (("b", "p1", "n1"), ("a", "p2", "n2"), ("a", "p1", "n1")):
        obj = {"metadata": {"name": name, "labels": {"on": node}}, "spec": {"nodeName": node}}
        store.create("pods", obj, namespace=namespace)

    def keys(**narrowed: str) -> list[tuple[str, str]]:
        found = [o["metadata"] for o in store.list("pods", **narrowed)]
        return [(m["namespace"], m["name"]) for m in found]

    assert keys() == [("a", "p1"), ("a", "p2"), ("b", "p1")]
    assert keys(namespace="a", label_selector="on in (n1,n3)") == [("a", "p1")]
    assert keys(field_selector="spec.nodeName=n1,status.phase!=Failed") == [
        ("a", "p1"),
        ("b", "p1"),
    ]
    assert keys(field_selector="metadata.namespace!=a") == [("b", "p1")]
    with pytest.raises(BadRequest, match="field label not supported"):
        keys(field_selector="spec.colour=red")


def test_finalizers_hold_a_deletion(store: ObjectStore, told: Told) -> None:
    """An object with a finalizer is terminating until its last finalizer is removed."""
    store.create("nodes", {"metadata": {"name": "n1", "finalizers": ["a/b"]}})
    store.delete("nodes", "n1")
    assert store.get("nodes", "n1")["metadata"]["deletionTimestamp"]
    store.update("nodes", "n1", lambda o: o["metadata"].update(finalizers=[]))
    assert store.find("nodes", "n1") is None
    assert [kind for kind, _, _ in told] == ["ADDED", "MODIFIED", "DELETED"]


def test_owned_objects_go_with_their_last_owner(store: ObjectStore) -> None:
    """Deleting an owner deletes what it alone owns and only unlinks what others own too."""
    first, second = (store.create("nodes", named(n)) for n in ("n1", "n2"))
    store.create("rebootnodes", owned("of-first", first))
    store.create("rebootnodes", owned("of-both", first, second))
    store.delete("nodes", "n1")
    left = store.list("rebootnodes")
    assert [o["metadata"]["name"] for o in left] == ["of-both"]
    assert [r["name"] for r in left[0]["metadata"]["ownerReferences"]] == ["n2"]


def test_orphaned_objects_stay(store: ObjectStore) -> None:
    """Deleting with Orphan leaves the dependents, without their owner reference."""
    owner = store.create("nodes", named("n1"))
    store.create("rebootnodes", owned("r", owner))
    store.delete("nodes", "n1", cascade="Orphan")
    assert "ownerReferences" not in store.get("rebootnodes", "r")["metadata"]


def test_graceful_pods_wait_for_their_kubelet(store: ObjectStore) -> None:
    """With graceful_pods a pod on a node is terminating until it is deleted with grace 0."""
    store.graceful_pods = True
    store.create("pods", named("p", spec={"nodeName": "n1"}))
    store.delete("pods", "p", grace=5)
    meta = store.get("pods", "p")["metadata"]
    assert meta["deletionGracePeriodSeconds"] == 5
    store.update("pods", "p", lambda o: o.update(status={"phase": "Failed"}))
    assert store.find("pods", "p") is not None
    store.delete("pods", "p", grace=0)
    assert store.find("pods", "p") is None


def test_a_forced_delete_leaves_only_the_finalizer(store: ObjectStore) -> None:
    """Grace 0 on a terminating pod with a finalizer leaves the finalizer to wait for."""
    store.graceful_pods = True
    meta = {"name": "p", "finalizers": ["a/b"]}
    store.create("pods", {"metadata": meta, "spec": {"nodeName": "n1"}})
    store.delete("pods", "p")
    store.delete("pods", "p", grace=0)
    assert store.get("pods", "p")["metadata"]["deletionGracePeriodSeconds"] == 0
    store.update("pods", "p", lambda o: o["metadata"].pop("finalizers"))
    assert store.find("pods", "p") is None


def test_a_namespace_takes_its_objects_along(store: ObjectStore) -> None:
    """Deleting a namespace deletes everything in it and nothing else."""
    store.create("namespaces", named("team"))
    store.create("pods", named("p"), namespace="team")
    store.create("pods", named("p"), namespace="default")
    store.delete("namespaces", "team")
    assert [o["metadata"]["namespace"] for o in store.list("pods")] == ["default"]


def test_a_definition_serves_its_kind(store: ObjectStore) -> None:
    """A CustomResourceDefinition brings its kind; deleting it takes kind and objects away."""
    name = "rebootnodes.janitor.dgxc.nvidia.com"
    store.create("rebootnodes", named("r", spec={"nodeName": "n1"}))
    definition = store.get("customresourcedefinitions", name)
    store.delete("customresourcedefinitions", name)
    with pytest.raises(NotFound):
        store.list("rebootnodes")
    store.create("customresourcedefinitions", definition)
    assert store.list("rebootnodes") == []
    with pytest.raises(Invalid):
        store.create("rebootnodes", named("r"))


def test_changes_made_while_telling_are_told_in_order(store: ObjectStore) -> None:
    """A subscriber that changes objects itself does not reorder what others see."""

    def react(kind: str, plural: str, obj: dict[str, Any]) -> None:
        if (kind, plural) == ("ADDED", "nodes"):
            name = obj["metadata"]["name"]
            store.update("nodes", name, lambda o: o.update(spec={"unschedulable": True}))

    store.on_change(react)
    seen: list[tuple[str, int]] = []
    store.on_change(lambda kind, _, o: seen.append((kind, int(o["metadata"]["resourceVersion"]))))
    store.create("nodes", named("n1"))
    assert [kind for kind, _ in seen] == ["ADDED", "MODIFIED"]
    assert seen[0][1] < seen[1][1]


def test_a_failing_subscriber_harms_nobody(
    store: ObjectStore, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """A subscriber that raises is logged; the change stands and the others are told."""

    def fail(*_: object) -> None:
        raise RuntimeError("broken subscriber")

    store.on_change(fail)
    store.create("nodes", named("n1"))
    store.on_change(lambda *_: None)()
    assert told == [("ADDED", "nodes", "n1")]
    assert "broken subscriber" in caplog.text


def test_unsubscribed_means_untold(store: ObjectStore) -> None:
    """on_change returns what ends the subscription."""
    seen: list[str] = []
    leave = store.on_change(lambda kind, *_: seen.append(kind))
    store.create("nodes", named("n1"))
    leave()
    store.delete("nodes", "n1")
    assert seen == ["ADDED"]


def test_a_budget_without_disruptions_refuses_eviction(store: ObjectStore) -> None:
    """A pod under an exhausted PodDisruptionBudget is not evicted; another pod is."""
    budget = {
        "spec": {"selector": {"matchLabels": {"app": "a"}}},
        "status": {"disruptionsAllowed": 0},
    }
    store.create("poddisruptionbudgets", {**named("keep"), **budget})
    for app in ("a", "b"):
        meta = {"name": app, "labels": {"app": app}}
        store.create("pods", {"metadata": meta, "status": {"phase": "Running"}})
    with pytest.raises(TooManyRequests, match="disruption budget"):
        evict(store, "default", "a")
    evict(store, "default", "b")
    assert [o["metadata"]["name"] for o in store.list("pods")] == ["a"]
