"""Stock kubectl against the sandbox: what it prints for the verbs people use every day."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.nvsentinel_sandbox.stock_kubectl import REBOOT, Kubectl, run, write
from tests.patience import patience, until

from nvsentinel_sandbox.kube.apiserver import ApiServer
from nvsentinel_sandbox.kube.kubeconfig import write_kubeconfig
from nvsentinel_sandbox.kube.objects import ObjectStore

pytestmark = pytest.mark.kubectl


async def test_kubeconfig_is_private(api: ApiServer, tmp_path: Path) -> None:
    """The kubeconfig is readable by its owner alone, and replacing it leaves no other file."""
    for _ in range(2):
        path = write_kubeconfig(tmp_path / "kubeconfig", api.url, api.token, namespace="team")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["kubeconfig"]
    assert json.loads(path.read_text())["contexts"][0]["context"]["namespace"] == "team"


async def test_version_and_api_resources(kubectl: Kubectl) -> None:
    """Kubectl finds the server's version and its kinds with their short names."""
    assert "Server Version: v1.32.4" in (await kubectl("version")).out
    rows = (await kubectl("api-resources")).rows
    assert ["nodes", "no", "v1", "false", "Node"] in rows
    assert ["rebootnodes", "janitor.dgxc.nvidia.com/v1alpha1", "false", "RebootNode"] in rows


async def test_get_tables(kubectl: Kubectl) -> None:
    """Kubectl get prints the columns people know."""
    nodes = (await kubectl("get", "no")).rows
    assert nodes[0] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert nodes[1][:3] == ["gpu-0", "Ready", "<none>"]
    pods = (await kubectl("get", "pods", "-A", "-o", "wide")).rows
    assert pods[0][:7] == ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP"]
    assert ["default", "train-0", "1/1", "Running"] in [row[:4] for row in pods]
    reboots = (await kubectl("get", "rebootnodes")).rows
    assert reboots[0] == ["NAME", "NODE", "FORCE", "NODEREADY", "AGE"]
    assert reboots[1][:4] == [REBOOT, "gpu-0", "false", "True"]
    sets = (await kubectl("get", "ds,rs")).out
    assert "NODE SELECTOR" in sets
    assert "replicaset.apps/train" in sets


async def test_get_outputs(kubectl: Kubectl) -> None:
    """Name, jsonpath, json, yaml, custom columns and sorting work."""
    assert (await kubectl("get", "nodes", "-o", "name")).out == "node/gpu-0\nnode/gpu-1\n"
    path = "jsonpath={.items[*].metadata.name}"
    assert (await kubectl("get", "nodes", "-o", path)).out == "gpu-0 gpu-1"
    found = json.loads((await kubectl("get", "node", "gpu-0", "-o", "json")).out)
    assert (found["kind"], found["metadata"]["name"]) == ("Node", "gpu-0")
    listed = json.loads((await kubectl("get", "nodes", "-o", "json")).out)
    assert [i["kind"] for i in listed["items"]] == ["Node", "Node"]
    assert "nodeName: gpu-0" in (await kubectl("get", "rebootnode", REBOOT, "-o", "yaml")).out
    columns = await kubectl(
        "get", "pods", "-o", "custom-columns=N:.metadata.name,ON:.spec.nodeName"
    )
    assert columns.rows[1] == ["dcgm-0", "gpu-0"]
    ordered = await kubectl("get", "nodes", "--sort-by={.metadata.name}", "--no-headers")
    assert [row[0] for row in ordered.rows] == ["gpu-0", "gpu-1"]


async def test_get_selects(kubectl: Kubectl) -> None:
    """Label and field selectors narrow, bad ones and unknown names are explained."""
    assert (await kubectl("get", "pods", "-l", "app in (dcgm)", "-o", "name")).out == "pod/dcgm-0\n"
    fields = "spec.nodeName=gpu-0,metadata.name!=dcgm-0"
    found = await kubectl("get", "pods", "--field-selector", fields, "-o", "name")
    assert found.out == "pod/train-0\npod/train-1\n"
    wrong = await kubectl("get", "nodes", "--field-selector", "spec.colour=red")
    assert "field label not supported: spec.colour" in wrong.err
    missing = await kubectl("get", "node", "none")
    assert missing.err == 'Error from server (NotFound): nodes "none" not found\n'
    assert missing.code == 1


async def test_get_watch(kubectl: Kubectl, store: ObjectStore, api: ApiServer) -> None:
    """Kubectl get -w prints what is there and then every change."""
    words = ("get", "nodes", "-w", "--output-watch-events", "--request-timeout=3s")
    task = asyncio.create_task(kubectl(*words))
    await until(lambda: any(r.verb == "watch" for r in api.requests.latest))
    store.update("nodes", "gpu-1", lambda o: o["spec"].update(unschedulable=True))
    store.delete("nodes", "gpu-1")
    rows = [row[:3] for row in (await task).rows]
    assert rows[1:] == [
        ["ADDED", "gpu-0", "Ready"],
        ["ADDED", "gpu-1", "Ready"],
        ["MODIFIED", "gpu-1", "Ready,SchedulingDisabled"],
        ["DELETED", "gpu-1", "Ready,SchedulingDisabled"],
    ]


async def test_describe(kubectl: Kubectl) -> None:
    """Describe shows a node's condition, pods and Events, and a pod's container."""
    node = (await kubectl("describe", "node", "gpu-0")).out
    assert "KubeletReady" in node
    assert "Non-terminated Pods:          (3 in total)" in node
    assert "clocks throttled" in node
    pod = (await kubectl("describe", "pod", "train-0")).out
    assert "Controlled By:  ReplicaSet/train" in pod


async def test_logs(kubectl: Kubectl, store: ObjectStore, api: ApiServer) -> None:
    """Logs are printed, cut, selected by label and followed until the pod goes."""
    assert (await kubectl("logs", "train-0")).out == "step 1\nstep 2\n"
    assert (await kubectl("logs", "train-0", "--tail=1")).out == "step 2\n"
    assert "[pod/train-0/main] step 2" in (await kubectl("logs", "-l", "app=train", "--prefix")).out
    task = asyncio.create_task(kubectl("logs", "-f", "train-0", "--tail=1"))
    await until(lambda: store.logs.is_followed("default", "train-0", "main"))
    store.append_log("default", "train-0", "main", "step 3")
    store.delete("pods", "train-0")
    assert (await task).out == "step 2\nstep 3\n"


async def test_events(kubectl: Kubectl) -> None:
    """Kubectl get events prints NVSentinel's Events with their unusual type."""
    rows = (await kubectl("get", "events")).rows
    assert rows[0] == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert rows[1][1:4] == ["GpuThermalWatch", "GpuThermalWatchIsNotHealthy", "node/gpu-0"]


async def test_wait(kubectl: Kubectl, store: ObjectStore, api: ApiServer) -> None:
    """Kubectl wait sees a condition that holds, one that comes, and one that does not."""
    held = await kubectl(
        "wait", "--for=condition=NodeReady", f"rebootnode/{REBOOT}", "--timeout=5s"
    )
    assert held.out == f"rebootnode.janitor.dgxc.nvidia.com/{REBOOT} condition met\n"
    words = ("--for=jsonpath={.spec.unschedulable}=true", "node/gpu-1")
    task = asyncio.create_task(kubectl("wait", *words, "--timeout=10s"))
    await until(lambda: any(r.verb == "watch" for r in api.requests.latest))
    store.update("nodes", "gpu-1", lambda o: o["spec"].update(unschedulable=True))
    assert (await task).out == "node/gpu-1 condition met\n"
    never = await kubectl("wait", "--for=condition=Nope", "node/gpu-1", "--timeout=1s")
    assert (never.code, "timed out waiting" in never.err) == (1, True)


async def test_apply_create_delete(kubectl: Kubectl, store: ObjectStore, tmp_path: Path) -> None:
    """Apply creates, finds nothing to do, and configures; create refuses a second time."""
    reboot: dict[str, Any] = {
        "apiVersion": "janitor.dgxc.nvidia.com/v1alpha1",
        "kind": "RebootNode",
        "metadata": {"name": "mine"},
        "spec": {"nodeName": "gpu-1", "force": False},
    }
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "mine", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i:1"}]},
    }
    file = write(tmp_path / "objects.yaml", reboot, pod)
    name = "rebootnode.janitor.dgxc.nvidia.com/mine"
    assert (await kubectl("apply", "-f", file)).out == f"{name} created\npod/mine created\n"
    assert (await kubectl("apply", "-f", file)).out == f"{name} unchanged\npod/mine unchanged\n"
    reboot["spec"]["force"], pod["spec"]["containers"][0]["image"] = True, "i:2"
    file = write(tmp_path / "objects.yaml", reboot, pod)
    assert (await kubectl("apply", "-f", file)).out == f"{name} configured\npod/mine configured\n"
    assert store.get("rebootnodes", "mine")["spec"]["force"] is True
    assert store.get("pods", "mine")["spec"]["containers"] == [{"name": "c", "image": "i:2"}]
    assert "serverside-applied" in (await kubectl("apply", "-f", file, "--server-side")).out
    again = await kubectl("create", "-f", file)
    assert (again.code, again.err.count("(AlreadyExists)")) == (1, 2)
    gone = await kubectl("delete", "-f", file)
    assert gone.out == f'{name.split("/", maxsplit=1)[0]} "mine" deleted\npod "mine" deleted\n'
    assert "server dry run" in (await kubectl("create", "-f", file, "--dry-run=server")).out
    assert store.find("pods", "mine") is None
    assert (await kubectl("create", "-f", file)).out == f"{name} created\npod/mine created\n"


async def test_node_edits(kubectl: Kubectl, store: ObjectStore) -> None:
    """Label, annotate, taint, cordon and patch change the node as they say."""
    assert (await kubectl("label", "node", "gpu-1", "team=a")).out == "node/gpu-1 labeled\n"
    assert (await kubectl("annotate", "node", "gpu-1", "why=test")).out == "node/gpu-1 annotated\n"
    await kubectl("taint", "node", "gpu-1", "one=1:NoSchedule")
    assert (await kubectl("taint", "node", "gpu-1", "two:NoExecute")).out == "node/gpu-1 tainted\n"
    assert (await kubectl("taint", "node", "gpu-1", "one-")).out == "node/gpu-1 untainted\n"
    assert (await kubectl("cordon", "gpu-1")).out == "node/gpu-1 cordoned\n"
    node = store.get("nodes", "gpu-1")
    assert node["metadata"]["labels"]["team"] == "a"
    assert node["metadata"]["annotations"] == {"why": "test"}
    assert node["spec"] == {
        "taints": [{"key": "two", "effect": "NoExecute"}],
        "unschedulable": True,
    }
    assert (await kubectl("uncordon", "gpu-1")).out == "node/gpu-1 uncordoned\n"
    for kind, patch in (
        ("strategic", '{"metadata":{"labels":{"a":"1"}}}'),
        ("merge", '{"metadata":{"labels":{"b":"2"}}}'),
        ("json", '[{"op":"add","path":"/metadata/labels/c","value":"3"}]'),
    ):
        words = ("patch", "node", "gpu-1", f"--type={kind}", "-p", patch)
        assert (await kubectl(*words)).out == "node/gpu-1 patched\n"
    labels = store.get("nodes", "gpu-1")["metadata"]["labels"]
    assert {key: labels[key] for key in "abc"} == {"a": "1", "b": "2", "c": "3"}
    assert "unschedulable" not in store.get("nodes", "gpu-1")["spec"]


async def test_drain(kubectl: Kubectl, store: ObjectStore) -> None:
    """Drain cordons and evicts what it may, through the eviction subresource."""
    refused = await kubectl("drain", "gpu-0", "--timeout=5s")
    assert "cannot delete DaemonSet-managed Pods" in refused.err
    assert len(store.list("pods")) == 3
    done = await kubectl("drain", "gpu-0", "--ignore-daemonsets", "--timeout=15s")
    assert "pod/train-0 evicted" in done.out
    assert done.out.endswith("node/gpu-0 drained\n")
    assert [o["metadata"]["name"] for o in store.list("pods")] == ["dcgm-0"]
    assert store.get("nodes", "gpu-0")["spec"]["unschedulable"] is True


async def test_raw_and_proxy(kubectl: Kubectl, api: ApiServer, tmp_path: Path) -> None:
    """Get --raw and kubectl proxy work as on a cluster; the token is never in a URL."""
    assert api.token not in (await kubectl("cluster-info")).out
    assert json.loads((await kubectl("get", "--raw", "/version")).out)["minor"] == "32"
    assert (await kubectl("get", "--raw", "/healthz")).out == "ok"
    missing = await kubectl("get", "--raw", "/nothing")
    assert "(NotFound): the server could not find the requested resource" in missing.err
    socket = tmp_path / "proxy"
    task = asyncio.create_task(kubectl("proxy", f"--unix-socket={socket}", seconds=patience(3)))
    await until(socket.exists)
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session:
        answer = await session.get("http://localhost/api/v1/nodes?limit=1")
        assert (await answer.json())["kind"] == "NodeList"
    await task


async def test_plain_http_has_the_token_in_its_path(
    api: ApiServer, kubectl: Kubectl, tmp_path: Path
) -> None:
    """A kubeconfig for the plain HTTP server works too, though kubectl sends no token there."""
    path = write_kubeconfig(tmp_path / "plain", api.url, api.token)
    assert (await run(path, "get", "nodes", "-o", "name")).out == "node/gpu-0\nnode/gpu-1\n"


async def test_read_only(reader: Kubectl, api: ApiServer, store: ObjectStore) -> None:
    """The read-only kubeconfig reads, is told No, and gets 403 for a write."""
    assert (await reader("get", "nodes", "-o", "name")).code == 0
    assert (await reader("auth", "can-i", "list", "pods")).out == "yes\n"
    refused = await reader("auth", "can-i", "delete", "pods")
    assert (refused.code, refused.out.startswith("no")) == (1, True)
    version = store.version
    label = await reader("label", "node", "gpu-0", "a=b")
    assert "Error from server (Forbidden)" in label.err
    assert 'cannot patch resource "nodes"' in label.err
    assert store.version == version


async def test_interactive_verbs_are_refused(kubectl: Kubectl) -> None:
    """Exec, attach and port-forward say that nothing runs in the sandbox's pods."""
    for words in (
        ("exec", "train-0", "--", "true"),
        ("attach", "train-0"),
        ("port-forward", "train-0", "18080:80"),
    ):
        found = await kubectl(*words)
        assert "is not available in the sandbox: nothing runs in its pods" in found.err
        assert found.code == 1
