"""What a Kubernetes API server does, case by case, on the sandbox and on a real cluster.

Each case names the document it comes from: "Concepts" is Kubernetes API Concepts
(kubernetes.io/docs/reference/using-api/api-concepts), "Conventions" the API Conventions
(sig-architecture/api-conventions.md). Set NVSX_TEST_KUBECONFIG to run them against a cluster
as well, through `kubectl proxy`: all they create are a namespace and a kind of their own,
called `nvsx-test…`, and both are removed.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from tests.nvsentinel_sandbox.conftest import Client
from tests.patience import patience

from nvsentinel_sandbox.kube.apiserver import ApiServer
from nvsentinel_sandbox.kube.objects import ObjectStore

# Read before any test starts: tests themselves see no NVSX_ variable.
KUBECONFIG = os.environ.get("NVSX_TEST_KUBECONFIG")
PREFIX = "nvsx-test"
GROUP = "nvsx-test.example"
DEADLINE = patience(20.0)

Object = dict[str, Any]


class Cluster:
    """A cluster with a namespace and a custom kind for this test."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.namespace = f"{PREFIX}-{secrets.token_hex(4)}"
        self.plural = f"{self.namespace}s"
        self.maps = f"/api/v1/namespaces/{self.namespace}/configmaps"
        self.customs = f"/apis/{GROUP}/v1/namespaces/{self.namespace}/{self.plural}"
        self._definition = f"{self.plural}.{GROUP}"
        self._definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

    async def ask(
        self, method: str, path: str, body: Any = None, kind: str = ""
    ) -> tuple[int, Any]:
        return await self.client.ask(method, path, body, kind=kind or "application/json")

    async def ok(self, method: str, path: str, body: Any = None, kind: str = "") -> Any:
        """The answer, which must be a success."""
        code, found = await self.ask(method, path, body, kind)
        assert code in (200, 201, 202), found
        return found

    async def map(self, name: str = "a", **meta: Any) -> Object:
        """A ConfigMap made now."""
        found: Object = await self.ok("POST", self.maps, config_map(name, **meta))
        return found

    async def until(self, path: str, code: int) -> Any:
        """Ask until this is the status; controllers take their time."""
        async with asyncio.timeout(DEADLINE):
            while True:
                found, answer = await self.ask("GET", path)
                if found == code:
                    return answer
                await asyncio.sleep(0.1)

    async def open(self) -> None:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        await self.ok("POST", "/api/v1/namespaces", body)

    async def define(self) -> None:
        """Serve the custom kind, which has a status and needs spec.size."""
        schema = {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "required": ["size"],
                    "properties": {
                        "size": {"type": "integer", "minimum": 1, "maximum": 9},
                        "colour": {"type": "string", "enum": ["red", "green"]},
                        "code": {"type": "string", "maxLength": 3, "pattern": "^[a-z]+$"},
                        "mode": {"type": "string", "default": "fast"},
                        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        "parts": {
                            "type": "array",
                            "maxItems": 2,
                            "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["name"],
                            "items": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "at": {"type": "string"},
                                },
                            },
                        },
                    },
                },
                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        }
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}},
        }
        names = {"plural": self.plural, "singular": self.namespace, "kind": "NvsxTest"}
        body = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self._definition},
            "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
        }
        await self.ok("POST", self._definitions, body)
        await self.until(self.customs, 200)

    async def close(self) -> None:
        await self.ask("DELETE", f"{self._definitions}/{self._definition}")
        await self.ask("DELETE", f"/api/v1/namespaces/{self.namespace}")


def config_map(name: str, **meta: Any) -> Object:
    """A ConfigMap to create; without a name, `meta` has generateName."""
    named = {"name": name} if name else {}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**named, **meta},
        "data": {"k": "v"},
    }


def custom(name: str, **spec: Any) -> Object:
    """An object of the custom kind."""
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "NvsxTest",
        "metadata": {"name": name},
        "spec": spec,
    }


@asynccontextmanager
async def _sandbox() -> AsyncIterator[tuple[str, str]]:
    server = ApiServer(ObjectStore(), bookmark_seconds=0.2)
    await server.start()
    try:
        yield server.url, server.token
    finally:
        await server.stop()


@asynccontextmanager
async def _real() -> AsyncIterator[tuple[str, str]]:
    """The cluster of NVSX_TEST_KUBECONFIG, by a proxy that ends with the test."""
    process = await asyncio.create_subprocess_exec(
        *("kubectl", "--kubeconfig", str(KUBECONFIG), "proxy", "--append-server-path", "--port=0"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), DEADLINE)
        yield f"http://{line.decode().split()[-1]}", ""
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture(params=["sandbox", *(["cluster"] if KUBECONFIG else [])])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """Where the case runs."""
    async with (_sandbox if request.param == "sandbox" else _real)() as (url, token):
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(timeout=timeout, read_bufsize=2**20) as session:
            made = Cluster(Client(session, url, token))
            await made.open()
            try:
                yield made
            finally:
                await made.close()


def refused(answer: tuple[int, Any], code: int, reason: str) -> Object:
    """The Status of a refusal; Conventions, Response Status Kind."""
    found, status = answer
    assert (found, status["reason"]) == (code, reason), status
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", code)
    return dict(status)


# --- creating and reading ---------------------------------------------------------------


async def test_create_sets_identity(cluster: Cluster) -> None:
    """Conventions, Metadata: the server sets uid, resourceVersion and creationTimestamp."""
    meta = (await cluster.map())["metadata"]
    assert meta["namespace"] == cluster.namespace
    assert all(meta[key] for key in ("uid", "resourceVersion", "creationTimestamp"))


async def test_a_name_exists_once(cluster: Cluster) -> None:
    """Conventions, HTTP Status codes: 409 AlreadyExists for a second create."""
    await cluster.map()
    refused(await cluster.ask("POST", cluster.maps, config_map("a")), 409, "AlreadyExists")


async def test_what_is_missing_is_not_found(cluster: Cluster) -> None:
    """Conventions, HTTP Status codes: 404 NotFound, whose details name the object."""
    status = refused(await cluster.ask("GET", f"{cluster.maps}/nobody"), 404, "NotFound")
    assert (status["details"]["name"], status["details"]["kind"]) == ("nobody", "configmaps")


async def test_generate_name(cluster: Cluster) -> None:
    """Concepts, Generated values: the server appends random letters to generateName."""
    found = [(await cluster.map("", generateName="g-"))["metadata"]["name"] for _ in range(3)]
    assert len(set(found)) == 3
    assert all(name.startswith("g-") and len(name) == 7 for name in found)


async def test_invalid_names_are_refused_with_causes(cluster: Cluster) -> None:
    """Names (kubernetes.io/docs/concepts/overview/working-with-objects/names): RFC 1123."""
    answer = await cluster.ask("POST", cluster.maps, config_map("Not_a_name"))
    status = refused(answer, 422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "metadata.name"


async def test_dry_run_stores_nothing(cluster: Cluster) -> None:
    """Concepts, Dry-run: the answer is as if stored, and nothing is."""
    answer = await cluster.ask("POST", f"{cluster.maps}?dryRun=All", config_map("a"))
    assert answer[0] == 201
    refused(await cluster.ask("GET", f"{cluster.maps}/a"), 404, "NotFound")


# --- changing ---------------------------------------------------------------------------


async def test_a_stale_update_conflicts(cluster: Cluster) -> None:
    """Conventions, Concurrency Control and Consistency: an old resourceVersion gives 409."""
    old = await cluster.map()
    await cluster.ok("PUT", f"{cluster.maps}/a", {**old, "data": {"k": "1"}})
    answer = await cluster.ask("PUT", f"{cluster.maps}/a", {**old, "data": {"k": "2"}})
    refused(answer, 409, "Conflict")


async def test_an_equal_update_changes_no_version(cluster: Cluster) -> None:
    """Concepts, Updates to existing resources: a no-op keeps the resourceVersion."""
    made = await cluster.map()
    again = await cluster.ok("PUT", f"{cluster.maps}/a", made)
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_merge_patch(cluster: Cluster) -> None:
    """RFC 7386: null removes a key, other keys stay."""
    await cluster.map(labels={"x": "1", "y": "2"})
    patch = {"metadata": {"labels": {"x": None, "z": "3"}}}
    kind = "application/merge-patch+json"
    found = await cluster.ok("PATCH", f"{cluster.maps}/a", patch, kind)
    assert found["metadata"]["labels"] == {"y": "2", "z": "3"}


async def test_json_patch(cluster: Cluster) -> None:
    """RFC 6902: operations in order; a failing test changes nothing and gives 422."""
    await cluster.map()
    kind = "application/json-patch+json"
    change = [
        {"op": "test", "path": "/data/k", "value": "v"},
        {"op": "add", "path": "/data/n", "value": "1"},
        {"op": "remove", "path": "/data/k"},
    ]
    found = await cluster.ok("PATCH", f"{cluster.maps}/a", change, kind)
    assert found["data"] == {"n": "1"}
    wrong = [{"op": "test", "path": "/data/n", "value": "2"}]
    status, answer = await cluster.ask("PATCH", f"{cluster.maps}/a", wrong, kind)
    refused((status, answer), 422, "Invalid")
    assert answer["message"] == "the server rejected our request due to an error in our request"


async def test_json_patch_of_what_is_not_there(cluster: Cluster) -> None:
    """RFC 6902 as API servers take it: replacing adds, an index may count from the end."""
    await cluster.map(finalizers=["example.com/a", "example.com/b"])
    kind = "application/json-patch+json"
    change = [
        {"op": "replace", "path": "/data/n", "value": "1"},
        {"op": "remove", "path": "/metadata/finalizers/-1"},
    ]
    found = await cluster.ok("PATCH", f"{cluster.maps}/a", change, kind)
    assert found["data"] == {"k": "v", "n": "1"}
    assert found["metadata"]["finalizers"] == ["example.com/a"]
    answer = await cluster.ask("PATCH", f"{cluster.maps}/a", {"op": "add"}, kind)
    refused(answer, 400, "BadRequest")
    gone = [{"op": "remove", "path": "/metadata/finalizers"}]
    await cluster.ok("PATCH", f"{cluster.maps}/a", gone, kind)


async def test_strategic_merge_is_for_built_in_kinds(cluster: Cluster) -> None:
    """Concepts, Patch: strategic merge works on built-in kinds, custom ones answer 415."""
    kind = "application/strategic-merge-patch+json"
    await cluster.map()
    found = await cluster.ok("PATCH", f"{cluster.maps}/a", {"data": {"n": "1"}}, kind)
    assert found["data"] == {"k": "v", "n": "1"}
    await cluster.define()
    await cluster.ok("POST", cluster.customs, custom("c", size=1))
    answer = await cluster.ask("PATCH", f"{cluster.customs}/c", {"spec": {"size": 2}}, kind)
    refused(answer, 415, "UnsupportedMediaType")


APPLY = "application/apply-patch+yaml"


async def _apply(
    cluster: Cluster, manager: str, data: Object, *, force: bool = False
) -> tuple[int, Any]:
    """Server-side apply of a ConfigMap with this data."""
    path = f"{cluster.maps}/a?fieldManager={manager}&force={str(force).lower()}"
    return await cluster.ask("PATCH", path, {**config_map("a"), "data": data}, APPLY)


async def test_server_side_apply(cluster: Cluster) -> None:
    """Server-Side Apply (docs/reference/using-api/server-side-apply): 201, then 200; needs a
    fieldManager."""
    answer = await cluster.ask("PATCH", f"{cluster.maps}/a", config_map("a"), APPLY)
    status = refused(answer, 422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "fieldManager"
    assert (await _apply(cluster, "t", {"k": "v"}))[0] == 201
    code, found = await _apply(cluster, "t", {"k": "w"})
    assert (code, found["data"]) == (200, {"k": "w"})


async def test_what_an_applier_no_longer_says_goes(cluster: Cluster) -> None:
    """Server-Side Apply, Field management: fields only it owned are removed, others stay."""
    await _apply(cluster, "one", {"a": "1", "b": "2"})
    await _apply(cluster, "two", {"c": "3"})
    _, found = await _apply(cluster, "one", {"a": "1"})
    assert found["data"] == {"a": "1", "c": "3"}


async def test_an_applier_conflicts_with_another(cluster: Cluster) -> None:
    """Server-Side Apply, Conflicts: 409 that names owner and field; force takes the field."""
    await _apply(cluster, "one", {"a": "1"})
    status = refused(await _apply(cluster, "two", {"a": "2"}), 409, "Conflict")
    (cause,) = status["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", ".data.a")
    assert cause["message"] == 'conflict with "one"'
    assert (await _apply(cluster, "two", {"a": "1"}))[0] == 200  # the same value is shared
    code, found = await _apply(cluster, "two", {"a": "2"}, force=True)
    assert (code, found["data"]) == (200, {"a": "2"})
    owners = {e["manager"]: e for e in found["metadata"]["managedFields"]}
    assert owners["two"]["fieldsV1"] == {"f:data": {"f:a": {}}}
    assert "one" not in owners


async def test_an_update_takes_its_fields(cluster: Cluster) -> None:
    """Server-Side Apply, Managers: a patch owns what it changes, and an applier hears of it."""
    await _apply(cluster, "one", {"a": "1", "b": "1"})
    patch, kind = {"data": {"a": "2"}}, "application/merge-patch+json"
    found = await cluster.ok("PATCH", f"{cluster.maps}/a?fieldManager=hand", patch, kind)
    owners = {e["manager"]: e for e in found["metadata"]["managedFields"]}
    assert owners["hand"]["operation"] == "Update"
    assert owners["hand"]["fieldsV1"] == {"f:data": {"f:a": {}}}
    assert owners["one"]["fieldsV1"] == {"f:data": {"f:b": {}}}
    status = refused(await _apply(cluster, "one", {"a": "1", "b": "1"}), 409, "Conflict")
    assert (
        status["message"] == 'Apply failed with 1 conflict: conflict with "hand" using v1: .data.a'
    )


async def test_an_item_of_a_list_has_an_owner(cluster: Cluster) -> None:
    """Server-Side Apply, Merge strategy: lists of type map merge item by item."""
    await cluster.define()
    for manager, part in (("one", "x"), ("two", "y")):
        body = custom("c", size=1, parts=[{"name": part}])
        path = f"{cluster.customs}/c?fieldManager={manager}"
        found = await cluster.ok("PATCH", path, body, APPLY)
    assert [p["name"] for p in found["spec"]["parts"]] == ["x", "y"]
    owners = {e["manager"]: e["fieldsV1"]["f:spec"] for e in found["metadata"]["managedFields"]}
    assert owners["two"] == {
        "f:size": {},
        "f:parts": {'k:{"name":"y"}': {".": {}, "f:name": {}}},
    }


async def test_field_validation(cluster: Cluster) -> None:
    """Concepts, Field validation: unknown fields are an error, a warning, or dropped in silence."""
    body = {**config_map("a"), "surprise": 1}
    strict = await cluster.ask("POST", f"{cluster.maps}?fieldValidation=Strict", body)
    status = refused(strict, 400, "BadRequest")
    assert 'strict decoding error: unknown field "surprise"' in status["message"]
    made = await cluster.ok("POST", f"{cluster.maps}?fieldValidation=Ignore", body)
    assert "surprise" not in made
    wrong = await cluster.ask("POST", f"{cluster.maps}?fieldValidation=Maybe", config_map("b"))
    refused(wrong, 422, "Invalid")


async def test_types_are_checked(cluster: Cluster) -> None:
    """Conventions, HTTP Status codes: 400 for what is no object of the kind."""
    body = {**config_map("a"), "immutable": "yes"}
    status = refused(await cluster.ask("POST", cluster.maps, body), 400, "BadRequest")
    assert status["message"].endswith(
        "json: cannot unmarshal string into Go struct field ConfigMap.immutable of type bool"
    )
    other = {**config_map("a"), "kind": "Secret"}
    refused(await cluster.ask("POST", cluster.maps, other), 400, "BadRequest")
    await cluster.map()
    change = {"immutable": "yes"}
    kind = "application/merge-patch+json"
    refused(await cluster.ask("PATCH", f"{cluster.maps}/a", change, kind), 422, "Invalid")


@pytest.mark.parametrize(
    ("meta", "field"),
    [
        ({"labels": {"a b": "c"}}, "metadata.labels"),
        ({"labels": {"a": "b c"}}, "metadata.labels"),
        ({"annotations": {"a/b/c": "d"}}, "metadata.annotations"),
        ({"finalizers": ["unqualified"]}, "metadata.finalizers[0]"),
    ],
)
async def test_metadata_is_validated(cluster: Cluster, meta: Object, field: str) -> None:
    """Labels and Selectors, Annotations, Finalizers (docs/concepts/overview): their syntax."""
    answer = await cluster.ask("POST", cluster.maps, config_map("a", **meta))
    status = refused(answer, 422, "Invalid")
    assert [c["field"] for c in status["details"]["causes"]] == [field]


async def test_a_patch_cannot_rename(cluster: Cluster) -> None:
    """Conventions, Idempotency: name and kind are part of the URL."""
    await cluster.map()
    kind = "application/merge-patch+json"
    rename = {"metadata": {"name": "b"}}
    refused(await cluster.ask("PATCH", f"{cluster.maps}/a", rename, kind), 400, "BadRequest")
    other = {"kind": "Secret"}
    refused(await cluster.ask("PATCH", f"{cluster.maps}/a", other, kind), 422, "Invalid")


async def test_a_body_may_leave_out_its_kind(cluster: Cluster) -> None:
    """API conventions, Types: the URL names a built-in kind; a custom one says it itself."""
    made = await cluster.ok("POST", cluster.maps, {"metadata": {"name": "a"}})
    assert (made["apiVersion"], made["kind"]) == ("v1", "ConfigMap")
    other = {"kind": "Secret", "metadata": {"name": "b"}}
    refused(await cluster.ask("POST", cluster.maps, other), 400, "BadRequest")
    await cluster.define()
    nameless = {"metadata": {"name": "a"}, "spec": {"size": 1}}
    refused(await cluster.ask("POST", cluster.customs, nameless), 400, "BadRequest")


@pytest.mark.parametrize(
    ("method", "body", "kind"),
    [
        ("PUT", config_map("a", labels={"x": "y"}), ""),
        ("PATCH", {"data": {"k": "2"}}, "application/merge-patch+json"),
        ("PATCH", {"data": {"k": "2"}}, "application/strategic-merge-patch+json"),
        ("PATCH", [{"op": "remove", "path": "/data/k"}], "application/json-patch+json"),
        ("PATCH", {**config_map("a"), "data": {"k": "2"}}, APPLY),
        ("DELETE", None, ""),
    ],
)
async def test_every_write_can_be_dry(cluster: Cluster, method: str, body: Any, kind: str) -> None:
    """Concepts, Dry-run: all verbs that change take dryRun=All."""
    made = await cluster.map()
    path = f"{cluster.maps}/a?dryRun=All&fieldManager=t&force=true"
    path = path if kind == APPLY else path.removesuffix("&force=true")
    await cluster.ok(method, path, body, kind)
    found = await cluster.ok("GET", f"{cluster.maps}/a")
    assert found["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    wrong = path.replace("dryRun=All", "dryRun=Some")
    refused(await cluster.ask(method, wrong, body, kind), 422, "Invalid")


async def test_a_delete_is_dry_by_its_options_too(cluster: Cluster) -> None:
    """Concepts, Dry-run: DeleteOptions in the body may say so, as kubectl does."""
    await cluster.map()
    body = {"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"]}
    await cluster.ok("DELETE", f"{cluster.maps}/a", body)
    await cluster.ok("GET", f"{cluster.maps}/a")


async def test_unknown_media_types(cluster: Cluster) -> None:
    """Concepts, Alternate representations: 415 for a body, 406 for an answer nobody has."""
    answer = await cluster.ask("POST", cluster.maps, config_map("a"), "text/plain")
    refused(answer, 415, "UnsupportedMediaType")
    headers = {"Accept": "text/plain"}
    refused(await cluster.client.ask("GET", cluster.maps, headers=headers), 406, "NotAcceptable")


# --- custom kinds -----------------------------------------------------------------------


async def test_status_has_its_own_door(cluster: Cluster) -> None:
    """Conventions, Spec and Status: each door ignores what belongs to the other."""
    await cluster.define()
    made = await cluster.ok("POST", cluster.customs, {**custom("c", size=1), "status": {"x": 1}})
    assert "status" not in made
    kind = "application/merge-patch+json"
    both = {"spec": {"size": 2}, "status": {"x": 1}}
    found = await cluster.ok("PATCH", f"{cluster.customs}/c/status", both, kind)
    assert (found["spec"]["size"], found["status"]) == (1, {"x": 1})
    found = await cluster.ok(
        "PATCH", f"{cluster.customs}/c", {"spec": {"size": 2}, "status": {"x": 2}}, kind
    )
    assert (found["spec"]["size"], found["status"]) == (2, {"x": 1})


async def test_generation_counts_changes_of_the_spec(cluster: Cluster) -> None:
    """Conventions, Metadata: generation grows with the desired state alone."""
    await cluster.define()
    made = await cluster.ok("POST", cluster.customs, custom("c", size=1))
    assert made["metadata"]["generation"] == 1
    kind = "application/merge-patch+json"
    label = {"metadata": {"labels": {"a": "b"}}}
    found = await cluster.ok("PATCH", f"{cluster.customs}/c", label, kind)
    assert found["metadata"]["generation"] == 1
    await cluster.ok("PATCH", f"{cluster.customs}/c/status", {"status": {"x": 1}}, kind)
    found = await cluster.ok("PATCH", f"{cluster.customs}/c", {"spec": {"size": 2}}, kind)
    assert found["metadata"]["generation"] == 2


async def test_a_schema_is_enforced(cluster: Cluster) -> None:
    """CustomResourceDefinitions (docs/tasks/extend-kubernetes), Validation: field and fault."""
    await cluster.define()
    two, twice = [{"name": "x"}, {"at": "y"}], [{"name": "x"}, {"name": "x"}]
    for spec, field, told in (
        ({}, "spec.size", "Required value"),
        ({"size": None}, "spec.size", "Required value"),
        (
            {"size": "1"},
            "spec.size",
            'Invalid value: "string": spec.size in body must be of type integer: "string"',
        ),
        (
            {"size": 10},
            "spec.size",
            "Invalid value: 10: spec.size in body should be less than or equal to 9",
        ),
        (
            {"size": 0},
            "spec.size",
            "Invalid value: 0: spec.size in body should be greater than or equal to 1",
        ),
        (
            {"size": 1, "colour": "blue"},
            "spec.colour",
            'Unsupported value: "blue": supported values: "red", "green"',
        ),
        ({"size": 1, "code": "long"}, "spec.code", "Too long: may not be more than 3 bytes"),
        (
            {"size": 1, "code": "A"},
            "spec.code",
            "Invalid value: \"A\": spec.code in body should match '^[a-z]+$'",
        ),
        ({"size": 1, "parts": two}, "spec.parts[1].name", "Required value"),
        (
            {"size": 1, "parts": twice},
            "spec.parts[1]",
            'Duplicate value: map[string]interface {}{"name":"x"}',
        ),
        (
            {"size": 1, "parts": [{"name": n} for n in "xyz"]},
            "spec.parts",
            "Too many: 3: must have at most 2 items",
        ),
    ):
        answer = await cluster.ask("POST", cluster.customs, custom("c", **spec))
        causes = refused(answer, 422, "Invalid")["details"]["causes"]
        assert (field, told) in [(c["field"], c["message"]) for c in causes], causes
    await cluster.ok("POST", cluster.customs, custom("c", size=1))
    kind = "application/merge-patch+json"
    change = {"spec": {"size": "2"}}
    refused(await cluster.ask("PATCH", f"{cluster.customs}/c", change, kind), 422, "Invalid")


async def test_defaults_and_pruning(cluster: Cluster) -> None:
    """CustomResourceDefinitions, Defaulting and Field pruning; open objects keep everything."""
    await cluster.define()
    body = custom("c", size=1, surprise=1, open={"any": {"thing": 1}})
    strict = await cluster.ask("POST", f"{cluster.customs}?fieldValidation=Strict", body)
    assert 'unknown field "spec.surprise"' in refused(strict, 400, "BadRequest")["message"]
    made = await cluster.ok("POST", cluster.customs, body)
    assert made["spec"] == {"size": 1, "mode": "fast", "open": {"any": {"thing": 1}}}


async def test_a_definition_must_be_sound(cluster: Cluster) -> None:
    """CustomResourceDefinitions, Create: the name is plural.group, and a schema is needed."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All"
    version: Object = {"name": "v1", "served": True, "storage": True}
    names = {"plural": cluster.plural, "kind": "NvsxTest"}
    body: Object = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"wrong.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }
    status = refused(await cluster.ask("POST", path, body), 422, "Invalid")
    fields = {c["field"] for c in status["details"]["causes"]}
    assert fields >= {"metadata.name", "spec.versions[0].schema.openAPIV3Schema"}


async def test_a_definition_is_discoverable(cluster: Cluster) -> None:
    """Concepts, API discovery: the kind, its scope and its status are listed."""
    await cluster.define()
    listed = await cluster.ok("GET", f"/apis/{GROUP}/v1")
    found = {r["name"]: r for r in listed["resources"]}
    assert found[cluster.plural]["kind"] == "NvsxTest"
    assert found[cluster.plural]["namespaced"] is True
    assert f"{cluster.plural}/status" in found


# --- deleting ---------------------------------------------------------------------------


async def test_a_finalizer_holds_a_deletion(cluster: Cluster) -> None:
    """Finalizers (docs/concepts/overview/working-with-objects/finalizers)."""
    await cluster.map(finalizers=["nvsx.example/hold"])
    path = f"{cluster.maps}/a"
    await cluster.ok("DELETE", path)
    assert (await cluster.ok("GET", path))["metadata"]["deletionTimestamp"]
    release = {"metadata": {"finalizers": None}}
    await cluster.ok("PATCH", path, release, "application/merge-patch+json")
    await cluster.until(path, 404)


async def test_no_new_finalizer_on_a_deleted_object(cluster: Cluster) -> None:
    """Finalizers, How finalizers work: they can only be taken away from it."""
    await cluster.map(finalizers=["nvsx.example/hold"])
    path, kind = f"{cluster.maps}/a", "application/merge-patch+json"
    await cluster.ok("DELETE", path)
    more = {"metadata": {"finalizers": ["nvsx.example/hold", "nvsx.example/more"]}}
    refused(await cluster.ask("PATCH", path, more, kind), 422, "Invalid")
    await cluster.ok("PATCH", path, {"metadata": {"finalizers": None}}, kind)


async def test_orphans_stay_without_their_owner(cluster: Cluster) -> None:
    """Garbage Collection, Orphaned dependents: they lose the reference and stay."""
    owner = await cluster.map("owner")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner"}
    await cluster.map("owned", ownerReferences=[{**reference, "uid": owner["metadata"]["uid"]}])
    await cluster.ok("DELETE", f"{cluster.maps}/owner?propagationPolicy=Orphan")
    await cluster.until(f"{cluster.maps}/owner", 404)
    found = await cluster.ok("GET", f"{cluster.maps}/owned")
    assert not found["metadata"].get("ownerReferences")


async def test_what_is_owned_goes_with_its_owner(cluster: Cluster) -> None:
    """Garbage Collection (docs/concepts/architecture/garbage-collection): background."""
    owner = await cluster.map("owner")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner"}
    await cluster.map("owned", ownerReferences=[{**reference, "uid": owner["metadata"]["uid"]}])
    await cluster.map("free")
    await cluster.ok("DELETE", f"{cluster.maps}/owner?propagationPolicy=Background")
    await cluster.until(f"{cluster.maps}/owned", 404)
    assert (await cluster.ask("GET", f"{cluster.maps}/free"))[0] == 200


async def test_delete_with_a_precondition(cluster: Cluster) -> None:
    """Conventions, Verbs on Resources: a uid that is not the object's gives 409."""
    await cluster.map()
    body = {"apiVersion": "v1", "kind": "DeleteOptions"}
    wrong = {**body, "preconditions": {"uid": "00000000-0000-4000-8000-000000000000"}}
    refused(await cluster.ask("DELETE", f"{cluster.maps}/a", wrong), 409, "Conflict")


async def test_delete_a_collection(cluster: Cluster) -> None:
    """Concepts, API Verbs: deletecollection takes what its selector matches."""
    await cluster.map("a", labels={"go": "yes"})
    await cluster.map("b", labels={"go": "no"})
    await cluster.ok("DELETE", f"{cluster.maps}?labelSelector=go%3Dyes")
    await cluster.until(f"{cluster.maps}/a", 404)
    assert (await cluster.ask("GET", f"{cluster.maps}/b"))[0] == 200


# --- listing ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("labelSelector=app%3Dx", ["a", "b"]),
        ("labelSelector=app+notin+(x),app", ["c"]),
        ("labelSelector=tier", ["b"]),
        ("labelSelector=!app,grp", ["d"]),
        ("fieldSelector=metadata.name%3Dc", ["c"]),
        ("labelSelector=app+in(y,)", ["c"]),
        ("labelSelector=tier>0", ["b"]),
        ("labelSelector=app+in+(x,y)&fieldSelector=metadata.name!%3Da", ["b", "c"]),
    ],
)
async def test_selectors(cluster: Cluster, query: str, names: list[str]) -> None:
    """Labels and Selectors, Field Selectors (docs/concepts/overview/working-with-objects)."""
    for name, labels in (
        ("a", {"app": "x"}),
        ("b", {"app": "x", "tier": "1"}),
        ("c", {"app": "y"}),
        ("d", {}),
    ):
        await cluster.map(name, labels={"grp": "t", **labels})
    found = await cluster.ok("GET", f"{cluster.maps}?{query}")
    assert [item["metadata"]["name"] for item in found["items"]] == names


async def test_pages_are_one_list(cluster: Cluster) -> None:
    """Concepts, Retrieving large results sets in chunks: one version, nothing added between."""
    for index in range(5):
        await cluster.map(f"p{index}", labels={"page": "yes"})
    query = f"{cluster.maps}?limit=2&fieldSelector=metadata.name!%3Dkube-root-ca.crt"
    page = await cluster.ok("GET", query)
    versions, names = set(), [i["metadata"]["name"] for i in page["items"]]
    await cluster.map("p9", labels={"page": "yes"})
    while token := page["metadata"].get("continue"):
        page = await cluster.ok("GET", f"{query}&continue={token}")
        versions.add(page["metadata"]["resourceVersion"])
        names += [i["metadata"]["name"] for i in page["items"]]
    assert names == [f"p{index}" for index in range(5)]
    assert len(versions) == 1


async def test_tables(cluster: Cluster) -> None:
    """Concepts, Receiving resources as Tables: columns and cells instead of objects."""
    await cluster.map()
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    found = await cluster.client.get(f"{cluster.maps}/a", Accept=accept)
    assert found["kind"] == "Table"
    assert [c["name"] for c in found["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert found["rows"][0]["cells"][:2] == ["a", 1]


@pytest.mark.parametrize(
    "query",
    [
        "resourceVersionMatch=Exact",
        "resourceVersionMatch=Sometimes&resourceVersion=1",
        "sendInitialEvents=true",
        "watch=true&sendInitialEvents=true",
        "watch=true&resourceVersionMatch=NotOlderThan&resourceVersion=1",
    ],
)
async def test_options_that_do_not_go_together(cluster: Cluster, query: str) -> None:
    """Concepts, Semantics for get and list, for watch: 422 Invalid."""
    refused(await cluster.ask("GET", f"{cluster.maps}?{query}"), 422, "Invalid")


@pytest.mark.parametrize(
    "query", ["labelSelector=a%3D%3Db%3D%3Dc", "fieldSelector=data.k%3Dv", "fieldSelector=a"]
)
async def test_impossible_selectors(cluster: Cluster, query: str) -> None:
    """Field Selectors, Supported fields: others are a BadRequest."""
    refused(await cluster.ask("GET", f"{cluster.maps}?{query}"), 400, "BadRequest")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (
            "labelSelector=a+b",
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
        ),
        (
            "labelSelector=a%3D%3D%3Db",
            "unable to parse requirement: found '=', expected: identifier",
        ),
        ("labelSelector=a%3Db%3Dc", "found '=', expected: ',' or 'end of string'"),
        ("labelSelector=!a%3Db", "found '=', expected: ',' or 'end of string'"),
        ("labelSelector=a+in+b", "unable to parse requirement: found 'b' expected: '('"),
        ("labelSelector=a+in+(b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("labelSelector=a,,b", "found ',', expected: identifier after ','"),
        ("labelSelector=(a)", "found '(', expected: !, identifier, or 'end of string'"),
        (
            "labelSelector=a>b",
            (
                "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' "
                "operators, the value must be an integer"
            ),
        ),
        (
            "fieldSelector=metadata.name%3Da%3Db",
            "invalid field selector: unescaped character in value: 61",
        ),
        (
            "fieldSelector=metadata.name%3Da%5Cb",
            "invalid field selector: invalid escape sequence: \\b",
        ),
    ],
)
async def test_what_is_wrong_with_a_selector(cluster: Cluster, query: str, told: str) -> None:
    """Labels and Selectors, API: the words of apimachinery's pkg/labels and pkg/fields."""
    status, answer = await cluster.ask("GET", f"{cluster.maps}?{query}")
    refused((status, answer), 400, "BadRequest")
    assert answer["message"] == told


@pytest.mark.parametrize("query", ["limit=x", "limit=-1&continue=not-a-token"])
async def test_impossible_queries(cluster: Cluster, query: str) -> None:
    """Concepts, Retrieving large results sets: what cannot be parsed is a BadRequest."""
    refused(await cluster.ask("GET", f"{cluster.maps}?{query}"), 400, "BadRequest")


# --- watching ---------------------------------------------------------------------------


async def _watched(cluster: Cluster, query: str, count: int) -> list[tuple[str, str]]:
    """The first `count` events as (type, name)."""
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(DEADLINE):
        async for event in cluster.client.watch(f"{cluster.maps}?watch=true&{query}"):
            found.append((event["type"], event["object"]["metadata"].get("name", "")))
            if len(found) == count:
                break
    return found


async def test_a_watch_replays_from_a_version(cluster: Cluster) -> None:
    """Concepts, Efficient detection of changes: everything after the list, in order."""
    listed = await cluster.ok("GET", cluster.maps)
    made = await cluster.map()
    await cluster.ok("PUT", f"{cluster.maps}/a", {**made, "data": {"k": "2"}})
    await cluster.ok("DELETE", f"{cluster.maps}/a")
    version = listed["metadata"]["resourceVersion"]
    query = f"resourceVersion={version}&fieldSelector=metadata.name%3Da"
    assert await _watched(cluster, query, 3) == [
        ("ADDED", "a"),
        ("MODIFIED", "a"),
        ("DELETED", "a"),
    ]


async def test_a_selected_watch_sees_objects_come_and_go(cluster: Cluster) -> None:
    """Concepts, Watch with a selector: DELETED when an object stops matching."""
    await cluster.map("a", labels={"on": "yes"})
    version = (await cluster.ok("GET", cluster.maps))["metadata"]["resourceVersion"]
    kind = "application/merge-patch+json"
    for value in ("no", "yes"):
        label = {"metadata": {"labels": {"on": value}}}
        await cluster.ok("PATCH", f"{cluster.maps}/a", label, kind)
    query = f"resourceVersion={version}&labelSelector=on%3Dyes"
    assert await _watched(cluster, query, 2) == [("DELETED", "a"), ("ADDED", "a")]


async def test_a_streaming_list_ends_with_a_bookmark(cluster: Cluster) -> None:
    """Concepts, Streaming lists: ADDED for each, then a BOOKMARK that says so."""
    await cluster.map("a")
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with asyncio.timeout(DEADLINE):
        async for event in cluster.client.watch(f"{cluster.maps}?watch=true&{query}"):
            if event["type"] == "BOOKMARK":
                break
            assert event["type"] == "ADDED"
    marks = event["object"]["metadata"]["annotations"]
    assert marks["k8s.io/initial-events-end"] == "true"


async def test_a_version_too_old_to_watch_from(cluster: Cluster) -> None:
    """Concepts, Efficient detection of changes: 410 Expired, as an ERROR event or an answer."""
    await cluster.map("a")
    query = f"{cluster.maps}?watch=true&resourceVersion=1&timeoutSeconds=5"
    async with asyncio.timeout(DEADLINE):
        async for event in cluster.client.watch(query):
            assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
            assert event["object"]["reason"] == "Expired"
            return
    raise AssertionError("the watch was served")


async def test_a_watch_ends_when_it_was_told_to(cluster: Cluster) -> None:
    """Concepts, timeoutSeconds: the stream closes cleanly."""
    path = f"{cluster.maps}?watch=true&timeoutSeconds=1&resourceVersion=0"
    async with asyncio.timeout(DEADLINE):
        async for event in cluster.client.watch(path):
            assert event["type"] != "ERROR", json.dumps(event)


# --- the rest ---------------------------------------------------------------------------


async def test_eviction_of_nobody(cluster: Cluster) -> None:
    """API-initiated Eviction (docs/concepts/scheduling-eviction): 404 for a pod that is gone."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "nobody", "namespace": cluster.namespace},
    }
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/nobody/eviction"
    refused(await cluster.ask("POST", path, body), 404, "NotFound")


async def test_one_may_ask_what_one_may_do(cluster: Cluster) -> None:
    """Authorization (docs/reference/access-authn-authz): a SelfSubjectAccessReview answers."""
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "configmaps"}},
    }
    found = await cluster.ok("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    assert found["status"]["allowed"] is True


async def test_one_may_ask_who_one_is(cluster: Cluster) -> None:
    """Authentication, API access to authentication information for a client."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    found = await cluster.ok("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
    assert found["status"]["userInfo"]["username"]
    assert "system:authenticated" in found["status"]["userInfo"]["groups"]


async def test_one_may_list_what_one_may_do(cluster: Cluster) -> None:
    """Authorization, Checking API access: a SelfSubjectRulesReview lists rules."""
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": cluster.namespace},
    }
    found = await cluster.ok("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body)
    assert found["status"]["resourceRules"]
    assert found["status"]["nonResourceRules"]


async def test_a_pod_hardly_changes(cluster: Cluster) -> None:
    """Pods (docs/concepts/workloads/pods), Pod update and replacement: images, little else."""
    path = f"/api/v1/namespaces/{cluster.namespace}/pods"
    containers = [{"name": "main", "image": "nvsx-test.invalid/none:1"}]
    body: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [], "schedulerName": "nvsx-test-nobody"},
    }
    status = refused(await cluster.ask("POST", path, body), 422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "spec.containers"
    body["spec"]["containers"] = containers
    await cluster.ok("POST", path, body)
    kind = "application/strategic-merge-patch+json"
    image = {"spec": {"containers": [{"name": "main", "image": "nvsx-test.invalid/none:2"}]}}
    await cluster.ok("PATCH", f"{path}/p", image, kind)
    host = {"spec": {"hostNetwork": True}}
    refused(await cluster.ask("PATCH", f"{path}/p", host, kind), 422, "Invalid")


async def test_only_kinds_with_a_status_have_that_door(cluster: Cluster) -> None:
    """Conventions, Spec and Status: a subresource that is not there is 404."""
    await cluster.map()
    kind = "application/merge-patch+json"
    refused(await cluster.ask("PATCH", f"{cluster.maps}/a/status", {}, kind), 404, "NotFound")
    refused(await cluster.ask("GET", f"{cluster.maps}/a/status"), 404, "NotFound")


async def test_a_namespace_must_exist(cluster: Cluster) -> None:
    """Namespaces (docs/concepts/overview/working-with-objects): no objects in one that is not."""
    path = "/api/v1/namespaces/nvsx-test-nowhere/configmaps"
    refused(await cluster.ask("POST", path, config_map("a")), 404, "NotFound")
