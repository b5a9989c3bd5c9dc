"""What programs do with the Python clients people use; run by test_python_clients.py.

`python python_clients.py CLIENT`, with KUBECONFIG. Ends with an error when the client cannot
work with the server. Modules are imported by name: none of them is a dependency.
"""

from __future__ import annotations

import asyncio
import os
import sys
from importlib import import_module
from typing import Any

KUBECONFIG = os.environ.get("KUBECONFIG", "")
GROUP, VERSION, PLURAL = "janitor.dgxc.nvidia.com", "v1alpha1", "rebootnodes"
SECONDS = 20
REBOOT = {
    "apiVersion": f"{GROUP}/{VERSION}",
    "kind": "RebootNode",
    "metadata": {"name": "by-a-client"},
    "spec": {"nodeName": "gpu-node-a1"},
}


def kubernetes() -> None:
    """The official client: typed and dynamic, without kinds in bodies, lists, a watch, a log."""
    client, config = import_module("kubernetes.client"), import_module("kubernetes.config")
    config.load_kube_config(KUBECONFIG)
    core = client.CoreV1Api()
    assert client.VersionApi().get_code().git_version.startswith("v1.")
    names = [node.metadata.name for node in core.list_node().items]
    core.patch_node(names[0], {"spec": {"unschedulable": True}})
    assert core.read_node(names[0]).spec.unschedulable
    meta = client.V1ObjectMeta(name="by-a-client")
    core.create_namespaced_config_map("default", client.V1ConfigMap(metadata=meta, data={"a": "b"}))
    core.delete_namespaced_config_map("by-a-client", "default")
    watch = import_module("kubernetes.watch").Watch()
    seen = [e["object"].metadata.name for e in watch.stream(core.list_node, timeout_seconds=1)]
    assert set(seen) == set(names)
    pod = core.list_namespaced_pod("nvsentinel").items[0].metadata.name
    core.read_namespaced_pod_log(pod, "nvsentinel")
    dynamic = import_module("kubernetes.dynamic").DynamicClient(client.ApiClient())
    reboots = dynamic.resources.get(api_version=f"{GROUP}/{VERSION}", kind="RebootNode")
    assert reboots.create(body=REBOOT).metadata.name == "by-a-client"


def kr8s() -> None:
    """Its version check at the start, labels, cordons, a custom kind, a watch."""
    asyncio.run(_kr8s())


async def _kr8s() -> None:
    client, objects = import_module("kr8s.asyncio"), import_module("kr8s.asyncio.objects")
    api = await client.api(kubeconfig=KUBECONFIG)
    nodes = [node async for node in api.get("nodes")]
    await nodes[0].label({"by": "kr8s"})
    await nodes[0].cordon()
    await nodes[0].refresh()
    assert nodes[0].unschedulable
    kind = objects.new_class("RebootNode", f"{GROUP}/{VERSION}", namespaced=False)
    made = await kind(REBOOT, api=api)
    await made.create()
    assert [reboot.name async for reboot in kind.list(api=api)] == ["by-a-client"]
    async for change, node in api.watch("nodes"):
        assert (change, node.name) == ("ADDED", nodes[0].name)
        break


def lightkube() -> None:
    """Typed objects, server-side apply, generic resources from the server's own definitions."""
    package = import_module("lightkube")
    core, meta = (
        import_module("lightkube.resources.core_v1"),
        import_module("lightkube.models.meta_v1"),
    )
    config = package.KubeConfig.from_file(KUBECONFIG)
    client = package.Client(config=config, field_manager="by-lightkube")
    names = [node.metadata.name for node in client.list(core.Node)]
    client.patch(core.Node, names[0], {"metadata": {"labels": {"by": "lightkube"}}})
    named = meta.ObjectMeta(name="by-a-client", namespace="default")
    client.apply(core.ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=named, data={"a": "b"}))
    client.delete(core.ConfigMap, "by-a-client", namespace="default")
    generic = import_module("lightkube.generic_resource")
    generic.load_in_cluster_generic_resources(client)
    kind = generic.get_generic_resource(f"{GROUP}/{VERSION}", "RebootNode")
    assert client.create(kind(**REBOOT)).metadata.name == "by-a-client"
    change, node = next(iter(client.watch(core.Node, server_timeout=SECONDS)))
    assert (change, node.metadata.name) == ("ADDED", names[0])


def kopf() -> None:
    """An operator: it scans the server, watches nodes, and handles a new custom object."""
    asyncio.run(_kopf())


async def _kopf() -> None:
    package, client = import_module("kopf"), import_module("kubernetes.client")
    nodes, made, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @package.on.event("", "v1", "nodes")  # type: ignore[untyped-decorator]
    def _(**_: Any) -> None:
        nodes.set()

    @package.on.create(GROUP, VERSION, PLURAL)  # type: ignore[untyped-decorator]
    def _(name: str, **_: Any) -> None:
        assert name == "by-a-client"
        made.set()

    operator = asyncio.create_task(
        package.operator(clusterwide=True, standalone=True, stop_flag=stop)
    )
    async with asyncio.timeout(SECONDS):
        await nodes.wait()
        import_module("kubernetes.config").load_kube_config(KUBECONFIG)
        create = client.CustomObjectsApi().create_cluster_custom_object
        await asyncio.to_thread(create, GROUP, VERSION, PLURAL, REBOOT)
        await made.wait()
        stop.set()
        await operator


CLIENTS = {"kubernetes": kubernetes, "kr8s": kr8s, "lightkube": lightkube, "kopf": kopf}

if __name__ == "__main__":
    CLIENTS[sys.argv[1]]()
