"""The machines, their kubelets, and the controllers of Kubernetes that answer to them.

Nodes go down and come back with a new boot id, pods on them fail or restart, cordons show
as taints, terminating pods end, and finished training pods are made again once their node
takes pods. NVSentinel's own rules are elsewhere; this is the world it acts on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.kube.objects import Change, Entry
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.context import Context
from nvsentinel_sandbox.world.events import NodeEvent, record, record_pod
from nvsentinel_sandbox.world.timing import rfc3339

UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
NOT_READY = "node.kubernetes.io/not-ready"


Watcher = Callable[[str], None]


class Machines:
    """`on_boot` and `on_ready` are told the node; the monitors listen there."""

    def __init__(self, context: Context, on_boot: Watcher, on_ready: Watcher) -> None:
        self._context = context
        self._on_boot = on_boot
        self._on_ready = on_ready
        self._down: set[str] = set()
        self._homeless: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        self._tidying = False
        context.store.subscribe(self._on_change)

    # --- power --------------------------------------------------------------------------

    def is_down(self, node: str) -> bool:
        """Whether the machine, or at least its kubelet, is not running."""
        return node in self._down

    def shut_down(self, node: str) -> None:
        """The node stops being Ready; what ran on it and is not restarted there has failed."""
        context = self._context
        self._down.add(node)
        self.set_ready(node, ready=False)
        for pod in self._pods_on(node):
            if _owner_kind(pod) in ("DaemonSet", "ReplicaSet", "StatefulSet"):
                self._update_pod(pod, lambda p: _set_pod_ready(p, "False", context.clock.now()))
            elif pod["status"].get("phase") in ("Pending", "Running"):
                self._update_pod(pod, lambda p: _finish_pod(p, "Failed", 137, context.clock.now()))

    def boot(self, node: str) -> None:
        """The node comes back Ready, with a new boot id."""
        context = self._context
        self._down.discard(node)
        if context.node(node) is None:
            return
        boot_id = context.ids.uuid("boot", node, context.ids.count("boot", node))
        context.store.update(
            "nodes",
            node,
            lambda n: n["status"]["nodeInfo"].update(bootID=boot_id),
            subresource="status",
        )
        self._record_event(
            node, "Warning", "Rebooted", f"Node {node} has been rebooted, boot id: {boot_id}"
        )
        self.set_ready(node, ready=True)
        self._on_boot(node)
        for pod in self._pods_on(node):
            if pod["status"].get("phase") == "Running":
                self._update_pod(pod, lambda p: _restart_pod(p, context.clock.now()))

    def set_ready(self, node: str, *, ready: bool) -> None:
        """The kubelet's Ready condition, its taint and its Event."""
        at = rfc3339(self._context.clock.now())

        def change(obj: Object) -> None:
            condition = next(c for c in obj["status"]["conditions"] if c["type"] == "Ready")
            if condition["status"] == str(ready):
                return
            condition.update(
                status=str(ready),
                reason="KubeletReady" if ready else "KubeletNotReady",
                message="kubelet is posting ready status" if ready else "node is shutting down",
                lastHeartbeatTime=at,
                lastTransitionTime=at,
            )

        before = self._context.node(node)
        if before is None:
            return
        after = self._context.store.update("nodes", node, change, subresource="status")
        if after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
            word = "NodeReady" if ready else "NodeNotReady"
            self._record_event(node, "Normal", word, f"Node {node} status is now: {word}")
        self._context.spawn(self._settle_node(node))
        if ready:
            self._on_ready(node)

    def _record_event(self, node: str, kind: str, reason: str, message: str) -> None:
        record(
            self._context,
            NodeEvent(
                node=node,
                uid=node,  # the kubelet, too, writes the name here
                type=kind,
                reason=reason,
                message=message,
                component="kubelet",
                host=node,
                at=self._context.clock.now(),
            ),
        )

    async def power_cycle(self, node: str) -> None:
        """Take the machine down and up again."""
        await self._context.sleep("shutdown", node)
        self.shut_down(node)
        await self._context.sleep("reboot", node)
        self.boot(node)

    # --- jobs ---------------------------------------------------------------------------

    async def end_jobs(self, node: str, gpu: str) -> None:
        """A while after a GPU failed, the jobs that were using it give up; "" is all GPUs."""
        hit = {
            pod["metadata"]["uid"]
            for pod in self._pods_on(node)
            if _is_workload(pod) and gpu in _annotation_of(pod, names.DEVICES, gpu)
        }
        await self._context.sleep("workload_ends", node)
        for pod in self._pods_on(node):
            meta = pod["metadata"]
            if meta["uid"] in hit and pod["status"].get("phase") == "Running":
                self._context.store.append_log(
                    meta["namespace"], meta["name"], "train", "checkpoint saved, leaving: GPU lost"
                )
                self._update_pod(
                    pod, lambda p: _finish_pod(p, "Failed", 1, self._context.clock.now())
                )

    def remove_jobs(self, node: str) -> None:
        """Leave the node without a training pod."""
        with self._without_replacements():
            for pod in self._pods_on(node):
                if _owner_kind(pod) == "Job":
                    self._remove_pod(pod)

    @contextmanager
    def _without_replacements(self) -> Iterator[None]:
        """No pod is made for one that is deleted inside."""
        self._tidying = True
        try:
            yield
        finally:
            self._tidying = False

    def _remove_pod(self, pod: Object) -> None:
        meta = pod["metadata"]
        self._context.store.delete("pods", meta["name"], namespace=meta["namespace"], grace=0)

    def _pods_on(self, node: str) -> list[Object]:
        return self._context.pods_on(node)

    def _update_pod(self, pod: Object, change: Any) -> None:
        meta = pod["metadata"]
        self._context.store.update("pods", meta["name"], change, namespace=meta["namespace"])

    # --- the controllers of Kubernetes --------------------------------------------------

    def _on_change(self, change: Change) -> None:
        plural, (namespace, name) = change.entry.resource.plural, change.entry.key
        if plural == "nodes":
            if change.type == "DELETED":
                self._forget_node(name)
            elif change.before is None or _cordon_of(change.before) != _cordon_of(change.entry):
                self._context.spawn(self._settle_node(name))
        elif plural != "pods":
            return
        elif change.type == "DELETED":
            self._pod_gone(change.entry)
        elif b'"deletionTimestamp"' in change.entry.encoded:
            if change.before is None or b'"deletionTimestamp"' not in change.before.encoded:
                self._begin_to_stop(change.entry.decode())
            self._context.spawn(self._stop_pod(namespace, name))
        elif change.type == "ADDED":
            self._context.spawn(self._start_pod(namespace, name))

    def _forget_node(self, name: str) -> None:
        """The pod garbage collector: pods of a node that does not exist go too."""
        self._down.discard(name)
        for pod in self._pods_on(name):
            self._remove_pod(pod)

    def _begin_to_stop(self, pod: Object) -> None:
        """The kubelet begins to stop a pod, and says so for each container."""
        if pod["status"].get("phase") == "Running":
            for container in pod["spec"]["containers"]:
                record_pod(self._context, pod, "Killing", f"Stopping container {container['name']}")

    def _pod_gone(self, entry: Entry) -> None:
        """A job's pod that was evicted or deleted is made again, to wait for its node."""
        node = entry.fields.get("spec.nodeName", "")
        if self._tidying or not node or not entry.owners:
            return
        pod = entry.decode()
        meta, job = pod["metadata"], pod["metadata"]["ownerReferences"][0]
        phase, node_gone = pod["status"].get("phase"), self._context.node(node) is None
        if job["kind"] != "Job" or phase == "Succeeded" or (phase == "Failed" and not node_gone):
            return
        found = self._context.store.find("jobs", job["name"], namespace=meta["namespace"])
        if found is None or found.get("status", {}).get("completionTime"):
            return
        kept = _kept_metadata(meta)
        spec = {k: v for k, v in pod["spec"].items() if k != "nodeName"}
        scheduled = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "no node with free GPUs is available",
            "lastTransitionTime": rfc3339(self._context.clock.now()),
        }
        status = {"phase": "Pending", "conditions": [scheduled]}
        self._context.store.create("pods", {"metadata": kept, "spec": spec, "status": status})
        self._homeless[node].append((meta["namespace"], meta["name"]))
        self._context.spawn(self._settle_node(node))

    async def _settle_node(self, name: str) -> None:
        """The taints that Kubernetes derives from cordon and readiness; then new pods."""
        node = self._context.node(name)
        if node is None:
            return
        wanted = derived_taints(node)
        derived = {(t["key"], t["effect"]) for t in wanted}
        have = {
            (t["key"], t["effect"])
            for t in node["spec"].get("taints") or ()
            if t["key"] in (UNSCHEDULABLE, NOT_READY)
        }
        if derived != have:
            self._context.store.update("nodes", name, lambda n: _set_taints(n, wanted))
        if not derived:
            self._replace_jobs(name)

    def _replace_jobs(self, name: str) -> None:
        """Jobs get a new pod for one that failed, as soon as the node takes pods again."""
        store = self._context.store
        for namespace, pod_name in self._homeless.pop(name, ()):
            waiting = store.find("pods", pod_name, namespace=namespace)
            if waiting is not None and not waiting["spec"].get("nodeName"):
                store.update(
                    "pods",
                    pod_name,
                    lambda p: p["spec"].update(nodeName=name),
                    namespace=namespace,
                )
                self._context.spawn(self._start_pod(namespace, pod_name))
        for pod in self._pods_on(name):
            if _is_workload(pod) and pod["status"].get("phase") == "Failed":
                meta = pod["metadata"]
                with self._without_replacements():
                    self._remove_pod(pod)
                store.create("pods", {"metadata": _kept_metadata(meta), "spec": pod["spec"]})

    async def _start_pod(self, namespace: str, name: str) -> None:
        """The kubelet starts a pod that has a node; pods made Running stay as they are."""
        pod = self._context.store.find("pods", name, namespace=namespace)
        node = (pod or {}).get("spec", {}).get("nodeName", "")
        if pod is None or not node or pod["status"].get("phase") != "Pending":
            return
        await self._context.sleep("pod_starts", node)
        now = self._context.clock.now()
        if self._context.store.find("pods", name, namespace=namespace) and node not in self._down:
            self._context.store.update("pods", name, lambda p: run(p, now), namespace=namespace)

    async def _stop_pod(self, namespace: str, name: str) -> None:
        pod = self._context.store.find("pods", name, namespace=namespace)
        if pod is None:
            return
        await self._context.sleep("pod_stops", pod["spec"].get("nodeName", ""))
        now = self._context.store.find("pods", name, namespace=namespace)
        if now is not None and now["metadata"]["uid"] == pod["metadata"]["uid"]:
            self._context.store.delete("pods", name, namespace=namespace, grace=0)


def derived_taints(node: Object) -> list[dict[str, str]]:
    """What the node lifecycle controller taints a node with."""
    taints = []
    ready = next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready")
    if ready != "True":
        taints += [{"key": NOT_READY, "effect": e} for e in ("NoSchedule", "NoExecute")]
    if node["spec"].get("unschedulable"):
        taints.append({"key": UNSCHEDULABLE, "effect": "NoSchedule"})
    return taints


def run(pod: Object, now: float) -> None:
    """Make a pod Running and ready."""
    status = pod.setdefault("status", {})
    at = rfc3339(now)
    status.update(phase="Running", startTime=at)
    status["conditions"] = [
        {"type": kind, "status": "True", "lastTransitionTime": at}
        for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    status["containerStatuses"] = [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": at}},
        }
        for container in pod["spec"]["containers"]
    ]


def _kept_metadata(meta: Object) -> Object:
    """What a job's next pod has of the one before."""
    keys = ("name", "namespace", "labels", "annotations", "ownerReferences")
    return {key: meta[key] for key in keys if key in meta}


def _cordon_of(entry: Entry) -> str:
    return entry.fields.get("spec.unschedulable", "")


def _is_workload(pod: Object) -> bool:
    return _owner_kind(pod) == "Job" and pod["metadata"]["namespace"] != names.NAMESPACE


def _annotation_of(pod: Object, key: str, missing: str) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(key, missing))


def _owner_kind(pod: Object) -> str:
    owners = pod["metadata"].get("ownerReferences") or ()
    return str(owners[0]["kind"]) if owners else ""


def _set_taints(node: Object, wanted: list[dict[str, str]]) -> None:
    others = [
        t for t in node["spec"].get("taints") or () if t["key"] not in (UNSCHEDULABLE, NOT_READY)
    ]
    node["spec"]["taints"] = [*others, *wanted]
    if not node["spec"]["taints"]:
        del node["spec"]["taints"]


def _set_pod_ready(pod: Object, status: str, now: float) -> None:
    for condition in pod["status"].get("conditions", ()):
        if condition["type"] in ("Ready", "ContainersReady"):
            condition.update(status=status, lastTransitionTime=rfc3339(now))
    for container in pod["status"].get("containerStatuses", ()):
        container["ready"] = status == "True"


def _restart_pod(pod: Object, now: float) -> None:
    _set_pod_ready(pod, "True", now)
    for container in pod["status"].get("containerStatuses", ()):
        container["restartCount"] += 1
        container["state"] = {"running": {"startedAt": rfc3339(now)}}


def _finish_pod(pod: Object, phase: str, exit_code: int, now: float) -> None:
    _set_pod_ready(pod, "False", now)
    pod["status"]["phase"] = phase
    reason = "Completed" if exit_code == 0 else "Error"
    for container in pod["status"].get("containerStatuses", ()):
        container.pop("started", None)
        container["state"] = {
            "terminated": {"exitCode": exit_code, "reason": reason, "finishedAt": rfc3339(now)}
        }


def fail(pod: Object, now: float) -> None:
    """Make a pod Failed."""
    _finish_pod(pod, "Failed", 1, now)


def complete(pod: Object, now: float) -> None:
    """Make a pod Succeeded."""
    _finish_pod(pod, "Succeeded", 0, now)
