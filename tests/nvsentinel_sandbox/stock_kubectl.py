"""Runs stock kubectl, and fills a store with what there is to see."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

from tests.patience import patience

from nvsentinel_sandbox.kube.objects import ObjectStore

DEADLINE = patience(20.0)
REBOOT = "maintenance-gpu-0-68a5f2e71c9d4b0012ab34cd"


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        return [line.split() for line in self.out.splitlines()]


Kubectl = Callable[..., Coroutine[Any, Any, Done]]


def fill(store: ObjectStore) -> None:
    """Two nodes, two training pods on the first, an Event, a RebootNode, a DaemonSet pod."""
    now = store.timestamp()
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    for number in (0, 1):
        conditions = [{**ready, "lastHeartbeatTime": now, "lastTransitionTime": now}]
        node: dict[str, Any] = {
            "metadata": {"name": f"gpu-{number}", "labels": {"nvidia.com/gpu.present": "true"}},
            "spec": {},
            "status": {"conditions": conditions, "nodeInfo": {"kubeletVersion": "v1.32.4"}},
        }
        store.create("nodes", node)
    for kind, plural, name in (
        ("ReplicaSet", "replicasets", "train"),
        ("DaemonSet", "daemonsets", "dcgm"),
    ):
        owner = store.create(plural, {"metadata": {"name": name}, "spec": {}})
        reference = {"apiVersion": "apps/v1", "kind": kind, "name": name, "controller": True}
        for number in range(2 if kind == "ReplicaSet" else 1):
            meta: dict[str, Any] = {
                "name": f"{name}-{number}",
                "labels": {"app": name},
                "ownerReferences": [{**reference, "uid": owner["metadata"]["uid"]}],
            }
            spec = {"nodeName": "gpu-0", "containers": [{"name": "main", "image": "i:1"}]}
            container = {
                "name": "main",
                "ready": True,
                "restartCount": 0,
                "image": "i:1",
                "imageID": "",
            }
            status: dict[str, Any] = {"phase": "Running", "containerStatuses": [container]}
            store.create("pods", {"metadata": meta, "spec": spec, "status": status})
    for line in ("step 1", "step 2"):
        store.append_log("default", "train-0", "main", line)
    involved = {"kind": "Node", "name": "gpu-0", "uid": "gpu-0"}
    store.create(
        "events",
        {
            "metadata": {"name": "gpu-0.17f"},
            "involvedObject": involved,
            "type": "GpuThermalWatch",
            "reason": "GpuThermalWatchIsNotHealthy",
            "message": "clocks throttled",
            "source": {"component": "gpu-health-monitor"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        },
    )
    done = {"conditions": [{"type": "NodeReady", "status": "True"}]}
    reboot = {"metadata": {"name": REBOOT}, "spec": {"nodeName": "gpu-0", "force": False}}
    store.create("rebootnodes", {**reboot, "status": done})


async def run(kubeconfig: Path, *words: str, seconds: float = DEADLINE) -> Done:
    """Run kubectl with that kubeconfig; past its time it is interrupted, as by Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        "kubectl",
        *words,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    asyncio.get_running_loop().call_later(seconds, _end, process)
    out, err = await process.communicate()
    return Done(process.returncode or 0, out.decode(), err.decode())


def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()


def write(path: Path, *objects: dict[str, Any]) -> str:
    """A manifest file with a List of these objects."""
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
    return str(path)
