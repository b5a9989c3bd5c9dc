"""The API server over HTTP: access, discovery, reading, paging, writing, logs, eviction."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from tests.patience import patience

from nvsentinel_sandbox.kube.apiserver import ApiServer
from nvsentinel_sandbox.kube.objects import ObjectStore

NODES = "/api/v1/nodes"
REBOOTS = "/apis/janitor.dgxc.nvidia.com/v1alpha1/rebootnodes"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"


def node(name: str, **meta: Any) -> dict[str, Any]:
    """A Node to send."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, **meta}}


def names(found: Any) -> list[str]:
    """The names in a list."""
    return [o["metadata"]["name"] for o in found["items"]]


# --- access ------------------------------------------------------------------------------


async def test_no_token_no_answer(client: Any) -> None:
    """Without its token the server answers 401 with a Status, whatever is asked."""
    for path in (NODES, "/version", "/token/wrong/api/v1/nodes"):
        code, found = await client.ask("GET", path, headers={"Authorization": "Bearer nope"})
        assert (code, found["kind"], found["reason"]) == (401, "Status", "Unauthorized")


async def test_the_version_is_told_with_and_without_a_slash(api: ApiServer, client: Any) -> None:
    """Clients ask for either before they do anything else, as anybody may."""
    for path in ("/version", "/version/"):
        found = await client.ask("GET", path, headers={"Authorization": ""})
        assert found == (200, api.version)


async def test_token_in_the_path(api: ApiServer, client: Any) -> None:
    """A token at the head of the path stands for the Authorization header."""
    found = await client.ask("GET", f"/token/{api.token}{NODES}", headers={"Authorization": ""})
    assert found[0] == 200
    assert api.requests.latest[-1].path == NODES


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "127.0.0.1"])
async def test_foreign_host_header(client: Any, host: str) -> None:
    """A request under another name than loopback's is refused: DNS rebinding."""
    code, found = await client.ask("GET", NODES, headers={"Host": host})
    assert (code, found["reason"]) == (403, "Forbidden")


async def test_loopback_only(store: ObjectStore) -> None:
    """The server refuses to listen to the network."""
    with pytest.raises(ValueError, match="loopback only"):
        await ApiServer(store).start("0.0.0.0")


async def test_viewer_only_reads(store: ObjectStore, viewer: Any) -> None:
    """The read-only token reads; every kind of write is 403 and changes nothing."""
    store.create("nodes", node("n1"))
    version = store.version
    assert names(await viewer.get(NODES)) == ["n1"]
    for method, path, body in (
        ("POST", NODES, node("n2")),
        ("PUT", f"{NODES}/n1", node("n1")),
        ("PATCH", f"{NODES}/n1", {}),
        ("DELETE", f"{NODES}/n1", None),
        ("DELETE", NODES, None),
        ("POST", "/api/v1/namespaces/default/pods/p/eviction", {}),
    ):
        code, found = await viewer.ask(method, path, body)
        assert (code, found["reason"]) == (403, "Forbidden"), (method, path)
    assert store.version == version


async def test_requests_are_counted_by_account(
    api: ApiServer, client: Any, viewer: Any, store: ObjectStore
) -> None:
    """The request log tells which methods and verbs an account used."""
    await client.ask("POST", NODES, node("n1"))
    await viewer.get(NODES)
    await viewer.get(f"{NODES}/n1")
    assert api.requests.methods(account="nvsx-sandbox-viewer") == {"GET"}
    assert api.requests.methods(account="nvsx-sandbox", user_agent="test") == {"POST"}
    assert [r.verb for r in api.requests.latest] == ["create", "list", "get"]


# --- discovery ---------------------------------------------------------------------------


async def test_discovery_both_ways(client: Any) -> None:
    """Both forms of discovery name the same kinds, with short names and eviction."""
    legacy = (await client.get("/api/v1"))["resources"]
    eviction = next(r for r in legacy if r["name"] == "pods/eviction")
    assert (eviction["group"], eviction["version"], eviction["kind"]) == (
        "policy",
        "v1",
        "Eviction",
    )
    groups = [g["name"] for g in (await client.get("/apis"))["groups"]]
    wanted = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    whole = await client.get("/apis", Accept=wanted)
    assert [i["metadata"]["name"] for i in whole["items"]] == groups
    core = (await client.get("/api", Accept=wanted))["items"][0]["versions"][0]["resources"]
    nodes = next(r for r in core if r["resource"] == "nodes")
    assert nodes["shortNames"] == ["no"]
    assert {r["resource"] for r in core} == {r["name"] for r in legacy if "/" not in r["name"]}


async def test_a_removed_definition_is_undiscoverable(store: ObjectStore, client: Any) -> None:
    """An install without the janitor does not serve its kinds."""
    for plural in ("rebootnodes", "terminatenodes", "gpuresets"):
        store.delete("customresourcedefinitions", f"{plural}.janitor.dgxc.nvidia.com")
    assert (await client.ask("GET", REBOOTS))[0] == 404
    groups = [g["name"] for g in (await client.get("/apis"))["groups"]]
    assert "janitor.dgxc.nvidia.com" not in groups


# --- reading -----------------------------------------------------------------------------


async def test_list_items_of_built_in_kinds_have_no_kind(store: ObjectStore, client: Any) -> None:
    """As on a real server, only items of custom kinds and single objects name their kind."""
    store.create("nodes", node("n1"))
    store.create("rebootnodes", {"metadata": {"name": "r"}, "spec": {"nodeName": "n1"}})
    nodes = await client.get(NODES)
    assert nodes["kind"] == "NodeList"
    assert "kind" not in nodes["items"][0]
    assert (await client.get(REBOOTS))["items"][0]["kind"] == "RebootNode"
    assert (await client.get(f"{NODES}/n1"))["kind"] == "Node"


async def test_pages_are_one_snapshot(store: ObjectStore, client: Any) -> None:
    """Pages show the state of the first one, whatever changes in between."""
    for number in range(5):
        store.create("nodes", node(f"n{number}"))
    first = await client.get(f"{NODES}?limit=2")
    assert first["metadata"]["remainingItemCount"] == 3
    store.delete("nodes", "n3")
    store.create("nodes", node("n9"))
    second = await client.get(f"{NODES}?limit=2&continue={first['metadata']['continue']}")
    third = await client.get(f"{NODES}?limit=2&continue={second['metadata']['continue']}")
    assert names(first) + names(second) + names(third) == ["n0", "n1", "n2", "n3", "n4"]
    assert "continue" not in third["metadata"]
    versions = {page["metadata"]["resourceVersion"] for page in (first, second, third)}
    assert len(versions) == 1


async def test_expired_continue(api: ApiServer, store: ObjectStore, client: Any) -> None:
    """After a compaction a continue token is answered with 410 Expired."""
    for number in range(3):
        store.create("nodes", node(f"n{number}"))
    token = (await client.get(f"{NODES}?limit=1"))["metadata"]["continue"]
    api.expire()
    code, found = await client.ask("GET", f"{NODES}?limit=1&continue={token}")
    assert (code, found["reason"]) == (410, "Expired")


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        ("labelSelector=a%3D%3D%3Db", 400, "BadRequest"),
        ("fieldSelector=spec.colour%3Dred", 400, "BadRequest"),
        ("limit=many", 400, "BadRequest"),
        ("continue=rubbish", 400, "BadRequest"),
        ("resourceVersion=999999", 504, "Timeout"),
        ("resourceVersion=1&resourceVersionMatch=Exact", 410, "Expired"),
    ],
)
async def test_list_refuses(client: Any, query: str, code: int, reason: str) -> None:
    """A list that cannot be answered as asked is refused with the reason a real server gives."""
    found = await client.ask("GET", f"{NODES}?{query}")
    assert (found[0], found[1]["reason"]) == (code, reason)


async def test_table_of_nodes(store: ObjectStore, client: Any) -> None:
    """A Table has the cells kubectl prints and each row's metadata."""
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    store.create("nodes", {**node("n1"), "spec": {"unschedulable": True}, "status": ready})
    table = await client.get(NODES, Accept=TABLE)
    assert table["kind"] == "Table"
    assert [c["name"] for c in table["columnDefinitions"]][:5] == [
        "Name",
        "Status",
        "Roles",
        "Age",
        "Version",
    ]
    row = table["rows"][0]
    assert row["cells"][:3] == ["n1", "Ready,SchedulingDisabled", "<none>"]
    assert row["object"]["kind"] == "PartialObjectMetadata"


async def test_protobuf_is_answered_with_json(client: Any) -> None:
    """A client that prefers protobuf gets JSON; one that takes nothing else gets 406."""
    await client.get(NODES, Accept="application/vnd.kubernetes.protobuf,application/json")
    only = {"Accept": "application/vnd.kubernetes.protobuf"}
    assert (await client.ask("GET", NODES, headers=only))[0] == 406


# --- writing -----------------------------------------------------------------------------


async def test_status_and_spec_have_their_own_doors(store: ObjectStore, client: Any) -> None:
    """A write to the object leaves status alone; one to /status leaves spec alone."""
    body = {
        "apiVersion": "janitor.dgxc.nvidia.com/v1alpha1",
        "kind": "RebootNode",
        "metadata": {"name": "r"},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "made up"},
    }
    code, made = await client.ask("POST", REBOOTS, body)
    assert (code, "status" in made) == (201, False)
    change = {"spec": {"force": True}, "status": {"startTime": "2026-01-01T00:00:00Z"}}
    await client.ask("PATCH", f"{REBOOTS}/r", change, kind=MERGE)
    assert "status" not in store.get("rebootnodes", "r")
    await client.ask(
        "PATCH", f"{REBOOTS}/r/status", {"spec": {"force": False}, **change}, kind=MERGE
    )
    found = store.get("rebootnodes", "r")
    assert (found["spec"]["force"], found["status"]) == (True, change["status"])


async def test_optimistic_locking(store: ObjectStore, client: Any) -> None:
    """A write that names an old resource version is 409 Conflict and changes nothing."""
    old = store.create("nodes", node("n1"))
    store.update("nodes", "n1", lambda o: o["metadata"].update(labels={"a": "b"}))
    code, found = await client.ask("PUT", f"{NODES}/n1", old)
    assert (code, found["reason"]) == (409, "Conflict")
    change = {
        "metadata": {"resourceVersion": old["metadata"]["resourceVersion"], "labels": {"a": "c"}}
    }
    assert (await client.ask("PATCH", f"{NODES}/n1", change, kind=STRATEGIC))[0] == 409
    assert store.get("nodes", "n1")["metadata"]["labels"] == {"a": "b"}


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "code", "reason"),
    [
        ("POST", NODES, node("n1"), "application/json", 409, "AlreadyExists"),
        ("POST", NODES, {"kind": "Pod", "apiVersion": "v1"}, "application/json", 400, "BadRequest"),
        (
            "POST",
            NODES,
            node("n2"),
            "application/cbor",
            415,
            "UnsupportedMediaType",
        ),
        ("POST", NODES, node("Bad_Name"), "application/json", 422, "Invalid"),
        ("PUT", f"{NODES}/other", node("n1"), "application/json", 400, "BadRequest"),
        ("PATCH", f"{NODES}/none", {}, MERGE, 404, "NotFound"),
        ("PATCH", f"{REBOOTS}/r", {}, STRATEGIC, 415, "UnsupportedMediaType"),
        (
            "PATCH",
            f"{NODES}/n1",
            [{"op": "remove", "path": "/x"}],
            "application/json-patch+json",
            422,
            "Invalid",
        ),
        (
            "POST",
            "/api/v1/namespaces/none/pods",
            {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}},
            "application/json",
            404,
            "NotFound",
        ),
        ("POST", f"{NODES}?dryRun=Some", node("n2"), "application/json", 422, "Invalid"),
        (
            "POST",
            "/api/v1/namespaces/default/pods/p/exec",
            None,
            "application/json",
            403,
            "Forbidden",
        ),
        ("GET", f"{NODES}/n1/proxy/metrics", None, "application/json", 403, "Forbidden"),
        ("DELETE", f"{NODES}/none", None, "application/json", 404, "NotFound"),
        ("POST", "/api/v1/gadgets", {}, "application/json", 404, "NotFound"),
        ("POST", "/version", {}, "application/json", 405, "MethodNotAllowed"),
    ],
)
async def test_writes_refused(
    store: ObjectStore,
    client: Any,
    method: str,
    path: str,
    body: Any,
    kind: str,
    code: int,
    reason: str,
) -> None:
    """A write that cannot be done is refused with its reason, as a Status, and stores nothing."""
    store.create("nodes", node("n1"))
    store.create("rebootnodes", {"metadata": {"name": "r"}, "spec": {"nodeName": "n1"}})
    version = store.version
    found = await client.ask(method, path, body, kind=kind)
    assert (found[0], found[1]["reason"], found[1]["status"]) == (code, reason, "Failure")
    assert store.version == version


async def test_too_large_a_body(client: Any) -> None:
    """A body past the limit is 413 with a Status."""
    big = node("n1", annotations={"a": "x" * 2_000_000})
    code, found = await client.ask("POST", NODES, big)
    assert (code, found["reason"]) == (413, "RequestEntityTooLarge")


async def test_dry_run_stores_nothing(store: ObjectStore, client: Any) -> None:
    """dryRun=All answers as if it had happened, and nothing has."""
    store.create("nodes", node("n1"))
    version = store.version
    code, made = await client.ask("POST", f"{NODES}?dryRun=All", node("n2"))
    assert (code, made["metadata"]["name"]) == (201, "n2")
    change = {"metadata": {"labels": {"a": "b"}}}
    _, made = await client.ask("PATCH", f"{NODES}/n1?dryRun=All", change, kind=MERGE)
    assert made["metadata"]["labels"] == {"a": "b"}
    await client.ask("DELETE", f"{NODES}/n1?dryRun=All")
    assert store.version == version


async def test_server_side_apply_creates_and_changes(store: ObjectStore, client: Any) -> None:
    """The first apply creates; the next one lays on, and drops what it no longer says."""
    kind, path = "application/apply-patch+yaml", f"{NODES}/n1?fieldManager=t"
    assert (await client.ask("PATCH", f"{NODES}/n1", node("n1"), kind=kind))[0] == 422
    assert (await client.ask("PATCH", path, node("n1", labels={"a": "1"}), kind=kind))[0] == 201
    store.update("nodes", "n1", lambda o: o["metadata"]["labels"].update(other="x"))
    assert (await client.ask("PATCH", path, node("n1", labels={"b": "2"}), kind=kind))[0] == 200
    assert store.get("nodes", "n1")["metadata"]["labels"] == {"b": "2", "other": "x"}


async def test_delete_answers_and_preconditions(store: ObjectStore, client: Any) -> None:
    """A delete for another uid is 409; a done one is a Status; a held one is the object."""
    store.create("nodes", node("n1"))
    store.create("nodes", node("n2", finalizers=["a/b"]))
    other = {"preconditions": {"uid": "other"}}
    assert (await client.ask("DELETE", f"{NODES}/n1", other))[0] == 409
    code, found = await client.ask("DELETE", f"{NODES}/n1")
    assert (code, found["kind"], found["status"]) == (200, "Status", "Success")
    code, found = await client.ask("DELETE", f"{NODES}/n2")
    assert (code, found["kind"]) == (200, "Node")
    assert found["metadata"]["deletionTimestamp"]


async def test_eviction_answers(store: ObjectStore, client: Any) -> None:
    """An eviction is 201 and removes the pod; a budget makes it 429 with Retry-After."""
    for name in ("free", "kept"):
        meta = {"name": name, "labels": {"app": name}}
        store.create("pods", {"metadata": meta, "status": {"phase": "Running"}})
    selector = {"selector": {"matchLabels": {"app": "kept"}}}
    store.create("poddisruptionbudgets", {"metadata": {"name": "b"}, "spec": selector})
    path = "/api/v1/namespaces/default/pods/{}/eviction"
    body = {"apiVersion": "policy/v1", "kind": "Eviction"}
    assert (await client.ask("POST", path.format("free"), body))[0] == 201
    code, found = await client.ask("POST", path.format("kept"), body)
    assert (code, found["details"]["causes"][0]["reason"]) == (429, "DisruptionBudget")
    assert [o["metadata"]["name"] for o in store.list("pods")] == ["kept"]


# --- logs --------------------------------------------------------------------------------


@pytest.fixture
def pod(store: ObjectStore) -> str:
    """The log path of a pod with two containers and five lines."""
    containers = {"containers": [{"name": "main"}, {"name": "side"}]}
    store.create("pods", {"metadata": {"name": "p"}, "spec": containers})
    for number in range(5):
        store.append_log("default", "p", "main", f"line {number}")
    return "/api/v1/namespaces/default/pods/p/log"


async def test_logs(client: Any, pod: str) -> None:
    """A log can be cut by lines and bytes, and carry timestamps."""
    assert await client.get(f"{pod}?container=main&tailLines=2") == "line 3\nline 4\n"
    assert await client.get(f"{pod}?container=main&limitBytes=4") == "line"
    assert await client.get(f"{pod}?container=side") == ""
    stamped = await client.get(f"{pod}?container=main&timestamps=true&tailLines=1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 4\n", stamped)


@pytest.mark.parametrize("query", ["", "container=none", "container=main&previous=true"])
async def test_logs_refused(client: Any, pod: str, query: str) -> None:
    """A log without a container to choose, of an unknown one, or of a former life is 400."""
    assert (await client.ask("GET", f"{pod}?{query}"))[0] == 400


async def test_followed_log_ends_with_its_pod(store: ObjectStore, client: Any, pod: str) -> None:
    """A followed log sends each new line and ends when the pod is deleted."""
    path = f"{client.url}{pod}?container=main&follow=true&tailLines=1"
    async with client.session.get(path, headers=client.headers) as answer:
        assert await answer.content.readline() == b"line 4\n"
        store.append_log("default", "p", "main", "fresh")
        assert await asyncio.wait_for(answer.content.readline(), patience(5)) == b"fresh\n"
        store.delete("pods", "p")
        assert await asyncio.wait_for(answer.content.read(), patience(5)) == b""
