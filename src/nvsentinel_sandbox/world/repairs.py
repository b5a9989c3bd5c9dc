"""The custom resources fault-remediation makes, as data: kinds, groups, templates.

`DEFAULT_REPAIRS` is NVSentinel's default map from recommended action to kind; a variant
may have an operator's own map. Builders return objects as the default templates render
them. Who works on them is elsewhere (janitor.py, resets.py, lifecycle.py).
Sources: charts/fault-remediation/values.yaml, janitor/api/v1alpha1, charts/lifecycle-manager.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.health import NO_TRACE, Document, HealthEvent
from nvsentinel_sandbox.world.timing import rfc3339


@dataclass(frozen=True, slots=True)
class Repair:
    """A kind that repairs a node.

    `completes` is the condition whose True or False ends it, as fault-remediation reads
    it. `group` is the equivalence group: one object of a group serves all its events. With
    `per_gpu`, the group is one for each GPU, and a repair of group `restart` serves it too.
    """

    kind: str
    plural: str
    api: str
    completes: str
    group: str
    template: str
    per_gpu: bool = False

    def group_for(self, event: HealthEvent) -> str:
        """The equivalence group of a repair for this event."""
        return f"{self.group}-{event.entity('GPU_UUID')}" if self.per_gpu else self.group


REBOOT = Repair(
    "RebootNode",
    "rebootnodes",
    names.JANITOR_API,
    "NodeReady",
    "restart",
    "rebootnode-template.yaml",
)
TERMINATE = Repair(
    "TerminateNode",
    "terminatenodes",
    names.JANITOR_API,
    "NodeTerminated",
    "terminate",
    "terminatenode-template.yaml",
)
RESET = Repair(
    "GPUReset",
    "gpuresets",
    names.JANITOR_API,
    "Complete",
    "reset",
    "gpureset-template.yaml",
    per_gpu=True,
)
EXTERNAL = Repair(
    "ExternalRemediationRequest",
    "externalremediationrequests",
    names.LIFECYCLE_API,
    "ExternalRemediationComplete",
    "external",
    "external-remediation-template.yaml",
)
KINDS = (REBOOT, TERMINATE, RESET, EXTERNAL)

DEFAULT_REPAIRS: Mapping[str, Repair] = {
    "COMPONENT_RESET": REBOOT,
    "RESTART_VM": REBOOT,
    "RESTART_BM": REBOOT,
    "REPLACE_VM": TERMINATE,
}


def repair_object(repair: Repair, name: str, node: Object, document: Document | None) -> Object:
    """A maintenance object; `document` may only be left out for a RebootNode."""
    api, spec = repair.api, _object_spec(repair, node["metadata"]["name"], document)
    return {
        "apiVersion": api,
        "kind": repair.kind,
        "metadata": _object_metadata(name, node),
        "spec": spec,
    }


def _object_metadata(name: str, node: Object) -> dict[str, Any]:
    return {
        "name": name,
        "labels": {"app.kubernetes.io/managed-by": "nvsentinel"},
        "annotations": {
            "nvsentinel.nvidia.com/trace-id": NO_TRACE,
            "nvsentinel.nvidia.com/span-id": "",
            "nvsentinel.nvidia.com/ttl": "336h",
        },
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "Node",
                "name": node["metadata"]["name"],
                "uid": node["metadata"]["uid"],
                "controller": False,
                "blockOwnerDeletion": False,
            }
        ],
    }


def _object_spec(repair: Repair, node: str, document: Document | None) -> dict[str, Any]:
    if repair is EXTERNAL and document is not None:
        return {"healthEvent": _external_event(document)}
    if repair is RESET and document is not None:
        return {"nodeName": node, "selector": {"uuids": [document.event.entity("GPU_UUID")]}}
    return {"nodeName": node, "force": False}


def _external_event(document: Document) -> dict[str, Any]:
    """The full event; this CRD takes the time as RFC 3339."""
    event = document.event.annotation("")  # an id is given to the copy in the annotation alone
    event["generatedTimestamp"] = rfc3339(document.event.generated / 1e9)
    return event
