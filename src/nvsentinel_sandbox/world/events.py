"""Kubernetes Events as the sandbox's parts write them: one object, bumped when it repeats.

NVSentinel's connectors and its drainer look for an Event of the same type, reason and
message before they create another (platform-connectors process_node_events.go), and so do
the kubelet's recorders in effect. Namespace `default`, where Events of nodes live.
"""

from __future__ import annotations

from dataclasses import dataclass

from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.world.context import Context
from nvsentinel_sandbox.world.timing import rfc3339


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """An Event for a node.

    `uid` is whatever its writer puts there; `at` is Unix seconds. `by_hand`: its writer fills it
    in without client-go's recorder, so that the name is a generated one, the node has its
    apiVersion, and nobody reports it.
    """

    node: str
    uid: str
    type: str
    reason: str
    message: str
    component: str
    at: float
    name: str = ""
    host: str = ""
    by_hand: bool = False


def record(context: Context, event: NodeEvent) -> None:
    """Create the Event, or bump `count` and `lastTimestamp` of the one that is there."""
    at = rfc3339(event.at)
    same = (event.node, event.type, event.reason, event.message)
    known = context.event_names.get(same, "")
    if known and context.store.find("events", known, namespace="default") is not None:
        context.store.update("events", known, lambda e: bump(e, at), namespace="default")
        return
    number = context.ids.count("event", event.node)
    name = event.name or f"{event.node}-{context.ids.suffix('event', event.node, number)}"
    context.event_names[same] = name
    metadata = {"name": name}
    involved = {"kind": "Node", "name": event.node, "uid": event.uid}
    if event.by_hand:
        metadata["generateName"] = f"{event.node}-"
        involved["apiVersion"] = "v1"
    source = {"component": event.component} | ({"host": event.host} if event.host else {})
    context.store.create(
        "events",
        {
            "metadata": metadata,
            "involvedObject": involved,
            "type": event.type,
            "reason": event.reason,
            "message": event.message,
            "source": source,
            "reportingComponent": "" if event.by_hand else event.component,
            "reportingInstance": event.host,
            "count": 1,
            "firstTimestamp": at,
            "lastTimestamp": at,
        },
        namespace="default",
    )


def record_pod(context: Context, pod: Object, reason: str, message: str) -> None:
    """An Event of the kubelet about a pod, in the pod's namespace."""
    meta, at = pod["metadata"], rfc3339(context.clock.now())
    node = pod["spec"].get("nodeName", "")
    number = context.ids.count("event", meta["uid"])
    context.store.create(
        "events",
        {
            "metadata": {"name": f"{meta['name']}.{context.ids.suffix(meta['uid'], number)}"},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
            "type": "Normal",
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": node},
            "reportingComponent": "kubelet",
            "reportingInstance": node,
            "count": 1,
            "firstTimestamp": at,
            "lastTimestamp": at,
        },
        namespace=meta["namespace"],
    )


def bump(event: Object, at: str) -> None:
    event["count"] = event.get("count", 1) + 1
    event["lastTimestamp"] = at
