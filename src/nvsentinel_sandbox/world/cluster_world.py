"""The cluster as it is before anything goes wrong: nodes, their pods, a training job.

Pure builders of Kubernetes objects, and `furnish`, which stores them. Nodes look as
NVSentinel's labeler and monitors leave healthy GPU nodes. NVSentinel's own objects are in
modules.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.kube.objects import ObjectStore
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.health import HEALTHY_MESSAGE
from nvsentinel_sandbox.world.identities import Identities
from nvsentinel_sandbox.world.machines import run
from nvsentinel_sandbox.world.timing import rfc3339

ZONE = "us-central1-a"
SYSTEM_NODE = "cpu-node-1"
_PCI = ("1b", "43", "52", "61", "9d", "b3", "d1", "df")
# Beyond this many nodes the per-node system pods are left out, as nobody reads them all.
_NODES_WITH_SYSTEM_PODS = 200


@dataclass(frozen=True, slots=True)
class Gpu:
    """`pci` as the monitors write it: domain, bus and device, without the function."""

    index: int
    pci: str
    uuid: str


def gpus_of(ids: Identities, node: str) -> tuple[Gpu, ...]:
    """The eight GPUs of a node."""
    return tuple(
        Gpu(index, f"0000:{bus}:00", f"GPU-{ids.uuid('gpu', node, index)}")
        for index, bus in enumerate(_PCI)
    )


def node_names(count: int) -> list[str]:
    """gpu-node-a1 … gpu-node-a8, gpu-node-b1 …: a rack holds eight."""
    return [f"gpu-node-{_rack_letters(i // 8)}{i % 8 + 1}" for i in range(count)]


def _rack_letters(number: int) -> str:
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters


def furnish(store: ObjectStore, ids: Identities, nodes: list[str], now: float) -> None:
    """Store the nodes with what runs on them, and the training job over all of them."""
    for namespace in ("gpu-operator", names.NAMESPACE, names.WORKLOAD_NAMESPACE):
        store.create("namespaces", {"metadata": {"name": namespace}})
    store.create("nodes", system_node(ids, now))
    for index, name in enumerate(nodes):
        store.create("nodes", gpu_node(ids, name, index, now))
    job = store.create("jobs", training_job(len(nodes)), namespace=names.WORKLOAD_NAMESPACE)
    for index, name in enumerate(nodes):
        store_running(store, training_pod(index, name, job), now)
        for line in (f"rank {index} of {len(nodes)} on {name}", "step 4100 loss 2.183"):
            store.append_log(names.WORKLOAD_NAMESPACE, f"train-{index}", "train", line)
    for namespace, name, image in (
        ("kube-system", "kube-proxy", "registry.k8s.io/kube-proxy:v1.32.4"),
        ("gpu-operator", "nvidia-dcgm", "nvcr.io/nvidia/cloud-native/dcgm:4.2.3-1-ubuntu22.04"),
        ("gpu-operator", "nvidia-device-plugin", "nvcr.io/nvidia/k8s-device-plugin:v0.17.1"),
    ):
        daemon_set(store, ids, DaemonSet(namespace, name, image, {"app": name}), nodes, now)


def store_running(store: ObjectStore, pod: Object, now: float) -> Object:
    """Create a pod that runs already."""
    run(pod, now)
    return store.create("pods", pod, namespace=pod["metadata"]["namespace"])


def gpu_node(ids: Identities, name: str, index: int, now: float, *, instance: int = 0) -> Object:
    """A healthy node with eight GPUs; `instance` counts the machines of that name."""
    labels = {
        "beta.kubernetes.io/arch": "amd64",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "a3-highgpu-8g",
        "topology.kubernetes.io/region": ZONE.rpartition("-")[0],
        "topology.kubernetes.io/zone": ZONE,
        names.GPU_LABEL: "true",
        "nvidia.com/gpu.count": "8",
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        **names.DETECTION_LABELS,
    }
    checks = (*names.GPU_CHECKS, *names.SYSLOG_CHECKS)
    node = _make_node(ids, name, index + 2, labels, now, instance=instance)
    node["status"]["conditions"] += [healthy_condition(check, now) for check in checks]
    for amounts in (node["status"]["capacity"], node["status"]["allocatable"]):
        amounts["nvidia.com/gpu"] = "8"
    return node


def system_node(ids: Identities, now: float) -> Object:
    """The node without GPUs where NVSentinel's own deployments run."""
    labels = {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": SYSTEM_NODE,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "n2-standard-16",
        "topology.kubernetes.io/region": ZONE.rpartition("-")[0],
        "topology.kubernetes.io/zone": ZONE,
    }
    return _make_node(ids, SYSTEM_NODE, 1, labels, now)


def healthy_condition(check: str, now: float) -> dict[str, str]:
    return {
        "type": check,
        "status": "False",
        "reason": f"{check}IsHealthy",
        "message": HEALTHY_MESSAGE,
        "lastHeartbeatTime": rfc3339(now),
        "lastTransitionTime": rfc3339(now),
    }


def _make_node(
    ids: Identities,
    name: str,
    host: int,
    labels: dict[str, str],
    now: float,
    *,
    instance: int = 0,
) -> Object:
    machine = (name, instance) if instance else (name,)
    amounts = {"cpu": "208", "memory": "1847Gi", "ephemeral-storage": "5Ti", "pods": "110"}
    address = f"10.{host >> 16}.{host >> 8 & 255}.{host & 255}"
    return {
        "metadata": {"name": name, "labels": labels, "annotations": {}},
        "spec": {"providerID": f"gce://nvsx-sandbox/{ZONE}/{name}"},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": name},
            ],
            "capacity": dict(amounts),
            "allocatable": dict(amounts),
            "conditions": [*_kubelet_conditions(now)],
            "nodeInfo": {
                "machineID": ids.uuid("machine", *machine).replace("-", ""),
                "systemUUID": ids.uuid("system", *machine),
                "bootID": ids.uuid("boot", *machine, 0),
                "kernelVersion": "6.8.0-1024-gcp",
                "osImage": "Ubuntu 24.04.2 LTS",
                "containerRuntimeVersion": "containerd://1.7.27",
                "kubeletVersion": "v1.32.4",
                "kubeProxyVersion": "v1.32.4",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        },
    }


def _kubelet_conditions(now: float) -> Iterator[dict[str, str]]:
    for kind, status, reason in (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID"),
        ("Ready", "True", "KubeletReady"),
    ):
        yield {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": "kubelet is posting ready status" if kind == "Ready" else "",
            "lastHeartbeatTime": rfc3339(now),
            "lastTransitionTime": rfc3339(now),
        }


def disruption_budget(allowed: int) -> Object:
    """A PodDisruptionBudget for the training job, as its controller would fill it in."""
    return {
        "metadata": {"name": "train", "labels": {"app": "train"}},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "train"}}},
        "status": {
            "disruptionsAllowed": allowed,
            "currentHealthy": 4,
            "desiredHealthy": 4,
            "expectedPods": 4,
            "observedGeneration": 1,
        },
    }


def training_job(pods: int) -> Object:
    return {
        "metadata": {"name": "train", "labels": {"app": "train"}},
        "spec": {"completions": pods, "parallelism": pods, "completionMode": "Indexed"},
        "status": {"active": pods, "ready": pods},
    }


def training_pod(index: int, node: str, job: Object) -> Object:
    """One rank of the training job, with all GPUs of its node."""
    gpus = {"nvidia.com/gpu": "8"}
    return {
        "metadata": {
            "name": f"train-{index}",
            "namespace": names.WORKLOAD_NAMESPACE,
            "labels": {
                "app": "train",
                "batch.kubernetes.io/job-name": "train",
                "batch.kubernetes.io/job-completion-index": str(index),
            },
            "ownerReferences": [owner(job)],
        },
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "train",
                    "image": "registry.example/ml/train:2026.8",
                    "resources": {"requests": gpus, "limits": gpus},
                }
            ],
        },
    }


def split_gpus(store: ObjectStore, ids: Identities, node: str, now: float) -> None:
    """Give each GPU of a node an inference pod of its own.

    The annotation is what NVSentinel's metadata collector writes about a pod's devices.
    """
    namespace = names.WORKLOAD_NAMESPACE
    job = training_job(8)
    job["metadata"] = {"name": f"infer-{node}", "labels": {"app": "infer"}}
    job = store.create("jobs", job, namespace=namespace)
    for gpu in gpus_of(ids, node):
        pod = training_pod(gpu.index, node, job)
        devices = json.dumps({"devices": {"nvidia.com/gpu": [gpu.uuid]}})
        pod["metadata"] |= {
            "name": f"infer-{node}-{gpu.index}",
            "labels": {"app": "infer"},
            "annotations": {names.DEVICES: devices},
        }
        pod["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
        store_running(store, pod, now)


@dataclass(frozen=True, slots=True)
class DaemonSet:
    namespace: str
    name: str
    image: str
    labels: dict[str, str]
    container: str = ""
    ports: tuple[dict[str, Any], ...] = ()


def daemon_set(
    store: ObjectStore, ids: Identities, what: DaemonSet, nodes: list[str], now: float
) -> dict[str, str]:
    """Store a ready DaemonSet and its pods; returns the pods' names by node."""
    namespace, name, labels = what.namespace, what.name, what.labels
    container: dict[str, Any] = {"name": what.container or name, "image": what.image}
    if what.ports:
        container["ports"] = list(what.ports)
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    count = len(nodes)
    created = store.create(
        "daemonsets",
        {
            "metadata": {"name": name, "labels": labels},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
            "status": {
                "currentNumberScheduled": count,
                "desiredNumberScheduled": count,
                "numberReady": count,
                "numberAvailable": count,
                "updatedNumberScheduled": count,
                "numberMisscheduled": 0,
                "observedGeneration": 1,
            },
        },
        namespace=namespace,
    )
    return {
        node: _daemon_pod(store, ids, created, node, now)
        for node in nodes[:_NODES_WITH_SYSTEM_PODS]
    }


def start_daemons(
    store: ObjectStore, ids: Identities, node: str, now: float, instance: int
) -> list[tuple[str, str]]:
    """Give a new node a pod of each DaemonSet that runs on nodes; (container, pod) names."""
    return [
        (
            found["spec"]["template"]["spec"]["containers"][0]["name"],
            _daemon_pod(store, ids, found, node, now, instance),
        )
        for found in store.list("daemonsets")
        if found["status"]["desiredNumberScheduled"]
    ]


def _daemon_pod(
    store: ObjectStore, ids: Identities, parent: Object, node: str, now: float, *instance: int
) -> str:
    namespace, name = parent["metadata"]["namespace"], parent["metadata"]["name"]
    pod_name = f"{name}-{ids.suffix('pod', namespace, name, node, *instance)}"
    pod = {
        "metadata": {
            "name": pod_name,
            "namespace": namespace,
            "labels": parent["metadata"]["labels"],
            "ownerReferences": [owner(parent)],
        },
        "spec": {"nodeName": node, **parent["spec"]["template"]["spec"]},
    }
    store_running(store, pod, now)
    return pod_name


def owner(obj: Object) -> dict[str, Any]:
    """A controller's ownerReference to `obj`."""
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
