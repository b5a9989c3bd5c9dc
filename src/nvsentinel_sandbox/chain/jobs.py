"""Jobs that NVSentinel's modules start on a node: the log collector's, a GPU reset's.

`start` stores a Job and its pod and plays it to the end, in the time given. Jobs of the
sandbox's workloads are not here; those are part of the world.
"""

from __future__ import annotations

from typing import Any

from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.kube.statuses import NotFound
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.cluster_world import owner
from nvsentinel_sandbox.world.context import Context
from nvsentinel_sandbox.world.machines import complete, fail
from nvsentinel_sandbox.world.timing import rfc3339

KEPT_SECONDS = 3600


def start(context: Context, metadata: dict[str, Any], node: str, container: str) -> Object:
    """Create the Job and its pod on `node`; returns the Job."""
    image = f"ghcr.io/nvidia/nvsentinel/{container}:v1.19.0"
    spec = {
        "nodeName": node,
        "restartPolicy": "Never",
        "containers": [{"name": container, "image": image}],
    }
    template = {"metadata": {"labels": metadata.get("labels", {})}, "spec": spec}
    body = {
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": template,
        },
        "status": {"active": 1, "startTime": rfc3339(context.clock.now())},
    }
    job = context.store.create("jobs", body, namespace=names.NAMESPACE)
    pod = f"{job['metadata']['name']}-{context.ids.suffix('job pod', job['metadata']['name'])}"
    labels = {**template["metadata"]["labels"], "batch.kubernetes.io/job-name": _name_of(job)}
    meta = {"name": pod, "labels": labels, "ownerReferences": [owner(job)]}
    context.store.create("pods", {"metadata": meta, "spec": spec}, namespace=names.NAMESPACE)
    return job


def finish(context: Context, job: Object, *, ok: bool = True) -> None:
    """End the Job and its pod; nothing happens when somebody has deleted them."""
    now = context.clock.now()
    end = complete if ok else fail

    def change(obj: Object) -> None:
        done = {"type": "Complete" if ok else "Failed", "status": "True"}
        obj["status"] = {
            "startTime": obj["status"].get("startTime", rfc3339(now)),
            "succeeded" if ok else "failed": 1,
            "conditions": [{**done, "lastTransitionTime": rfc3339(now)}],
        }
        if ok:
            obj["status"]["completionTime"] = rfc3339(now)

    try:
        context.store.update("jobs", _name_of(job), change, namespace=names.NAMESPACE)
        selector = f"batch.kubernetes.io/job-name={_name_of(job)}"
        for pod in context.store.list("pods", namespace=names.NAMESPACE, label_selector=selector):
            context.store.update(
                "pods", _name_of(pod), lambda p: end(p, now), namespace=names.NAMESPACE
            )
    except NotFound:
        pass


def _name_of(obj: Object) -> str:
    return str(obj["metadata"]["name"])
