"""Stock kubectl's writes: what the sandbox takes, refuses and says, as a real server does.

The words expected here were printed by kubectl against a kube-apiserver 1.32.5, but for those
of what only the sandbox refuses.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.nvsentinel_sandbox.stock_kubectl import REBOOT as EXISTING
from tests.nvsentinel_sandbox.stock_kubectl import Kubectl, write
from tests.patience import until

from nvsentinel_sandbox.kube.apiserver import ApiServer
from nvsentinel_sandbox.kube.objects import ObjectStore

pytestmark = pytest.mark.kubectl
REBOOT: dict[str, Any] = {
    "apiVersion": "janitor.dgxc.nvidia.com/v1alpha1",
    "kind": "RebootNode",
    "metadata": {"name": "mine"},
    "spec": {"nodeName": "gpu-1"},
}


def config_map(**data: str) -> dict[str, Any]:
    """A ConfigMap manifest."""
    meta = {"name": "mine", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


@pytest.mark.parametrize(
    ("words", "plural", "path", "value"),
    [
        ("namespace x", "namespaces", "status.phase", "Active"),
        ("configmap x --from-literal=a=b", "configmaps", "data", {"a": "b"}),
        ("secret generic x --from-literal=a=b", "secrets", "data", {"a": "Yg=="}),
        ("serviceaccount x", "serviceaccounts", "metadata.name", "x"),
        ("deployment x --image=i:1 --replicas=0", "deployments", "spec.replicas", 0),
        ("job x --image=i:1", "jobs", "spec.template.spec.restartPolicy", "Never"),
        ("pdb x --selector=a=b --min-available=50%", "pdb", "spec.minAvailable", "50%"),
        ("service clusterip x --tcp=80:8080", "services", "spec.type", "ClusterIP"),
        ("clusterrole x --verb=get --resource=pods", "clusterroles", "metadata.name", "x"),
        ("rolebinding x --clusterrole=y --user=u", "rolebindings", "roleRef.name", "y"),
    ],
)
async def test_typed_creates(
    kubectl: Kubectl, store: ObjectStore, words: str, plural: str, path: str, value: Any
) -> None:
    """What `kubectl create KIND` sends as protobuf is stored as what it means."""
    done = await kubectl("create", *words.split())
    assert (done.code, done.out.endswith("/x created\n")) == (0, True), done.err
    plural = {"pdb": "poddisruptionbudgets"}.get(plural, plural)
    found: Any = store.get(plural, "x")
    for part in path.split("."):
        found = found[part]
    assert found == value


async def test_typed_creates_are_refused_alike(kubectl: Kubectl) -> None:
    """A name that may not be, a namespace that is not, and a second create."""
    wrong = await kubectl("create", "namespace", "Bad_Name")
    assert 'The Namespace "Bad_Name" is invalid: metadata.name: Invalid value' in wrong.err
    nowhere = await kubectl("-n", "nowhere", "create", "configmap", "x")
    assert nowhere.err == 'error: failed to create configmap: namespaces "nowhere" not found\n'
    again = await kubectl("create", "namespace", "default")
    assert again.err.endswith('(AlreadyExists): namespaces "default" already exists\n')


async def test_who_and_what_one_may(kubectl: Kubectl, reader: Kubectl) -> None:
    """Auth whoami and can-i --list answer for both accounts."""
    assert ["Username", "nvsx-sandbox"] in (await kubectl("auth", "whoami")).rows
    assert ["Username", "nvsx-sandbox-viewer"] in (await reader("auth", "whoami")).rows
    assert "*.*" in (await kubectl("auth", "can-i", "--list")).out
    assert "[get list watch]" in (await reader("auth", "can-i", "--list")).out
    assert (await kubectl("auth", "can-i", "*", "*")).out == "yes\n"
    versions = (await kubectl("api-versions")).out.split()
    assert {"v1", "apps/v1", "janitor.dgxc.nvidia.com/v1alpha1"} <= set(versions)


async def test_explain(kubectl: Kubectl) -> None:
    """Explain knows the fields of built-in and of NVSentinel's kinds."""
    taints = (await kubectl("explain", "node.spec.taints")).out
    assert "FIELD: taints <[]Taint>" in taints
    assert "effect\t<string> -required-" in taints
    assert "nodeName\t<string> -required-" in (await kubectl("explain", "rebootnode.spec")).out
    wrong = await kubectl("explain", "node.spec.nothing")
    assert (wrong.code, 'field "nothing" does not exist' in wrong.err) == (1, True)


async def test_schemas_are_enforced(kubectl: Kubectl, tmp_path: Path) -> None:
    """A RebootNode that does not fit its schema is refused with the field at fault."""
    for spec, told in (
        ({}, "spec.nodeName: Required value"),
        (
            {"nodeName": 5},
            (
                'spec.nodeName: Invalid value: "integer": spec.nodeName in body must be of type '
                'string: "integer"'
            ),
        ),
    ):
        file = write(tmp_path / "f.json", {**REBOOT, "spec": spec})
        done = await kubectl("apply", "-f", file)
        assert done.err == f'The RebootNode "mine" is invalid: {told}\n'
    extra = {**REBOOT, "spec": {"nodeName": "gpu-1", "foo": 1}}
    (tmp_path / "extra.json").write_text(json.dumps(extra))
    strict = await kubectl("create", "-f", str(tmp_path / "extra.json"))
    assert 'strict decoding error: unknown field "spec.foo"' in strict.err
    warned = await kubectl("create", "-f", str(tmp_path / "extra.json"), "--validate=warn")
    assert warned.err == 'Warning: unknown field "spec.foo"\n'
    assert warned.out.endswith("/mine created\n")


async def test_server_side_apply(kubectl: Kubectl, store: ObjectStore, tmp_path: Path) -> None:
    """Another manager's field is a conflict until it is forced."""
    words = ("apply", "--server-side", "-f")
    file = write(tmp_path / "f.json", config_map(a="1", b="2"))
    assert (await kubectl(*words, file)).out == "configmap/mine serverside-applied\n"
    assert (await kubectl(*words, file)).out == "configmap/mine serverside-applied\n"
    other = write(tmp_path / "o.json", config_map(a="7"))
    refused = await kubectl(*words, other, "--field-manager=other")
    told = 'error: Apply failed with 1 conflict: conflict with "kubectl": .data.a\n'
    assert refused.err.startswith(told)
    assert refused.code == 1
    await kubectl(*words, other, "--field-manager=other", "--force-conflicts")
    assert store.get("configmaps", "mine")["data"] == {"a": "7", "b": "2"}
    shown = await kubectl("get", "cm", "mine", "-o", "yaml", "--show-managed-fields")
    assert "manager: other\n    operation: Apply" in shown.out
    # Client-side apply and back again, as kubectl migrates its own fields.
    await kubectl("apply", "-f", other)
    done = await kubectl(*words, other, "--force-conflicts")
    assert done.out == "configmap/mine serverside-applied\n"


async def test_what_may_not_be_is_refused(kubectl: Kubectl, store: ObjectStore) -> None:
    """Types, effects, labels, names and stale versions: nothing is stored."""
    version = store.version
    for words, told in (
        (
            ("patch", "node", "gpu-1", "-p", '{"spec":{"unschedulable":"yes"}}'),
            (
                "json: cannot unmarshal string into Go struct field NodeSpec.spec.unschedulable of "
                "type bool"
            ),
        ),
        (
            ("patch", "node", "gpu-1", "-p", '{"spec":{"taints":[{"key":"x","effect":"Nope"}]}}'),
            (
                'metadata.taints[0].effect: Unsupported value: "Nope": supported values: '
                '"NoSchedule", "PreferNoSchedule", "NoExecute"'
            ),
        ),
        (
            ("label", "node", "gpu-1", "a b=c"),
            'metadata.labels: Invalid value: "a b": name part must consist of alphanumeric',
        ),
        (
            ("patch", "node", "gpu-1", "-p", '{"metadata":{"resourceVersion":"1"}}'),
            (
                '(Conflict): Operation cannot be fulfilled on nodes "gpu-1": the object has been '
                "modified; please apply your changes to the latest version and try again"
            ),
        ),
        (
            ("patch", "node", "gpu-1", "--type=merge", "-p", '{"metadata":{"name":"other"}}'),
            "the name of the object (other) does not match the name on the URL (gpu-1)",
        ),
        (
            ("patch", "rebootnode", EXISTING, "-p", "{}"),
            "application/strategic-merge-patch+json is not supported by",
        ),
        (
            ("patch", "pod", "train-0", "-p", '{"spec":{"nodeName":"gpu-1"}}'),
            "spec: Forbidden: pod updates may not change fields other than",
        ),
        (("top", "nodes"), "error: Metrics API not available"),
        (("cp", "train-0:/etc/hosts", "/dev/null"), "exec is not available in the sandbox"),
        (("logs", "train-0", "--previous"), "previous terminated container"),
        (("logs", "train-0", "-c", "nope"), "container nope is not valid for pod train-0"),
    ):
        done = await kubectl(*words)
        assert done.code == 1, words
        assert told in done.err, done.err
    assert store.version == version


async def test_every_write_can_be_dry(kubectl: Kubectl, store: ObjectStore, tmp_path: Path) -> None:
    """With --dry-run=server kubectl reports, and nothing is stored."""
    file = write(tmp_path / "f.json", config_map(a="1"))
    version = store.version
    for words in (
        ("apply", "-f", file),
        ("apply", "--server-side", "-f", file),
        ("create", "configmap", "x"),
        ("label", "node", "gpu-1", "a=b"),
        ("annotate", "node", "gpu-1", "a=b"),
        ("taint", "node", "gpu-1", "a=b:NoSchedule"),
        ("patch", "node", "gpu-1", "-p", '{"spec":{"unschedulable":true}}'),
        ("cordon", "gpu-1"),
        ("delete", "pod", "train-0"),
        ("drain", "gpu-0", "--ignore-daemonsets"),
    ):
        done = await kubectl(*words, "--dry-run=server")
        assert done.code == 0, (words, done.err)
        # kubectl taint and patch do not say that it was dry
        assert words[0] in ("taint", "patch") or "(server dry run)" in done.out, words
    assert store.version == version


async def test_a_budget_holds_a_drain(kubectl: Kubectl, store: ObjectStore) -> None:
    """Drain reports a PodDisruptionBudget's refusal, and goes on when it allows."""
    selector = {"matchLabels": {"app": "train"}}
    budget = {"metadata": {"name": "train"}, "spec": {"selector": selector, "minAvailable": 2}}
    store.create("poddisruptionbudgets", {**budget, "status": {"disruptionsAllowed": 0}})
    for name in ("train-0", "train-1"):
        store.update("pods", name, lambda o: o["status"].update(phase="Running"))
    task = asyncio.create_task(kubectl("drain", "gpu-0", "--ignore-daemonsets", "--timeout=2s"))
    held = await task
    assert "Cannot evict pod as it would violate the pod's disruption budget." in held.err
    assert held.code == 1
    assert store.find("pods", "train-0") is not None
    store.update(
        "poddisruptionbudgets", "train", lambda o: o["status"].update(disruptionsAllowed=2)
    )
    done = await kubectl("drain", "gpu-0", "--ignore-daemonsets", "--timeout=15s")
    assert done.out.endswith("node/gpu-0 drained\n")


async def test_cascades(kubectl: Kubectl, store: ObjectStore) -> None:
    """Delete --cascade=orphan leaves what is owned; foreground takes it along first."""
    done = await kubectl("delete", "rs", "train", "--cascade=orphan")
    assert done.out == 'replicaset.apps "train" deleted\n'
    assert "ownerReferences" not in store.get("pods", "train-0")["metadata"]
    await kubectl("delete", "ds", "dcgm", "--cascade=foreground")
    assert store.find("pods", "dcgm-0") is None


async def test_wait_for_a_deletion(kubectl: Kubectl, store: ObjectStore, api: ApiServer) -> None:
    """Wait --for=delete returns when the object is gone."""
    task = asyncio.create_task(kubectl("wait", "--for=delete", "pod/train-0", "--timeout=15s"))
    await until(lambda: any(r.verb == "watch" for r in api.requests.latest))
    store.delete("pods", "train-0")
    assert (await task).out == "pod/train-0 condition met\n"


async def test_lists_in_chunks(kubectl: Kubectl, api: ApiServer) -> None:
    """Get --chunk-size reads page after page and shows them as one list."""
    found = await kubectl("get", "pods", "--chunk-size=1", "-o", "name")
    assert found.out.split() == ["pod/dcgm-0", "pod/train-0", "pod/train-1"]
    assert sum(r.verb == "list" for r in api.requests.latest) >= 3


async def test_logs_by_time(kubectl: Kubectl) -> None:
    """Logs take --since and --timestamps, and -l follows every pod that matches."""
    assert (await kubectl("logs", "train-0", "--since=1h")).out == "step 1\nstep 2\n"
    assert (await kubectl("logs", "train-0", "--since-time=2999-01-01T00:00:00Z")).out == ""
    stamped = (await kubectl("logs", "train-0", "--timestamps", "--tail=1")).rows[0]
    assert stamped[0].endswith("Z")
    assert stamped[1:] == ["step", "2"]


async def test_read_only_writes(reader: Kubectl, store: ObjectStore, tmp_path: Path) -> None:
    """Every kind of write with the read-only kubeconfig is Forbidden in RBAC's words."""
    file = write(tmp_path / "f.json", config_map(a="1"))
    version = store.version
    for words, told in (
        ("create namespace x", 'namespaces is forbidden: {} create resource "namespaces" in API'),
        (f"apply -f {file}", 'configmaps is forbidden: {} create resource "configmaps" in API'),
        ("cordon gpu-0", 'nodes "gpu-0" is forbidden: {} patch resource "nodes" in API group ""'),
        ("delete pod train-0", 'pods "train-0" is forbidden: {} delete resource "pods" in API'),
        (
            "delete rebootnode --all",
            '"rebootnodes" in API group "janitor.dgxc.nvidia.com" at the cluster scope',
        ),
    ):
        done = await reader(*words.split())
        assert told.format('User "nvsx-sandbox-viewer" cannot') in done.err, done.err
    assert store.version == version
