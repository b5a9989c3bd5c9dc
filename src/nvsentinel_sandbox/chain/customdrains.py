"""A custom drain: node-drainer asks an operator's own controller to empty the node.

The drainer creates a request for each event and looks at it until its condition says that
it is done, then deletes it. The controller that works requests off is the operator's; here
it evicts the pods it was told of. Kind, condition and template are configuration; these are
the examples of NVSentinel's chart.
Source: node-drainer/pkg/customdrain, charts/node-drainer/values.yaml.
"""

from __future__ import annotations

import contextlib

from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.kube.evictions import evict
from nvsentinel_sandbox.kube.objects import Change
from nvsentinel_sandbox.kube.statuses import NotFound, TooManyRequests
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.conditions import write_status
from nvsentinel_sandbox.world.context import Context
from nvsentinel_sandbox.world.health import Document

GROUP, VERSION, KIND, PLURAL = "drain.example.com", "v1alpha1", "DrainRequest", "drainrequests"
CONDITION = "Complete"

CONFIG = f"""
[customDrain]
enabled = true
apiGroup = "{GROUP}"
version = "{VERSION}"
kind = "{KIND}"
statusConditionType = "{CONDITION}"
statusConditionStatus = "True"
timeout = "30m"
"""

_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
DEFINITION: Object = {
    "metadata": {"name": f"{PLURAL}.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Cluster",
        "names": {"plural": PLURAL, "singular": "drainrequest", "kind": KIND},
        "versions": [
            {
                "name": VERSION,
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": _OPEN},
                "subresources": {"status": {}},
            }
        ],
    },
}


class DrainController:
    """The operator's controller."""

    def __init__(self, context: Context) -> None:
        self._context = context
        context.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.entry.resource.plural == PLURAL and change.type == "ADDED":
            self._context.spawn(self._work_request_off(change.entry.decode()))

    async def _work_request_off(self, request: Object) -> None:
        context, spec = self._context, request["spec"]
        await context.sleep("custom_drain", spec["nodeName"])
        for namespace, pods in spec["podsToDrain"].items():
            for pod in pods:
                with contextlib.suppress(NotFound, TooManyRequests):
                    evict(context.store, namespace, pod)
        done = {CONDITION: ("True", "DrainComplete", "all pods are gone")}
        with contextlib.suppress(NotFound):  # somebody deleted the request
            write_status(context, PLURAL, request["metadata"]["name"], done)


async def ask_and_wait(context: Context, document: Document, pods: list[Object]) -> bool:
    """Ask for a drain and wait until it is done; False when the event is cancelled."""
    node = document.event.node
    name = f"drain-{node}-{document.id}"
    listed: dict[str, list[str]] = {}
    for pod in pods:
        meta = pod["metadata"]
        listed.setdefault(meta["namespace"], []).append(meta["name"])
    spec = {
        "nodeName": node,
        "healthEventID": document.id,
        "checkName": document.event.check,
        "errorCode": list(document.event.codes),
        "recommendedAction": document.event.action,
        "podsToDrain": listed,
    }
    meta = {"name": name, "labels": {names.DRAIN_NODE_LABEL: node}}
    context.store.create(PLURAL, {"metadata": meta, "spec": spec})
    while not document.cancelled and not _is_done(context.store.find(PLURAL, name)):
        await context.sleep("custom_drain_poll", node)
    with contextlib.suppress(NotFound):
        context.store.delete(PLURAL, name)
    return not document.cancelled


def _is_done(request: Object | None) -> bool:
    """Whether it says so; a request that is gone was called off by the operator."""
    conditions = (request or {}).get("status", {}).get("conditions", ())
    return request is None or any(
        (c["type"], c["status"]) == (CONDITION, "True") for c in conditions
    )
