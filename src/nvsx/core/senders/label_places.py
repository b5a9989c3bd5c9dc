"""Labels in which alerts of GPU nodes say what they are about, whoever sends them on: Prometheus,
Grafana, Opsgenie's details, evaluation tags."""

from __future__ import annotations

from collections.abc import Mapping

from nvsx.core.senders.usual_faults import XID_LABELS

#: Labels with the node the alert is about. `exported_node` goes before `node`, which is then the
#: exporter's own node; `Hostname` is dcgm-exporter's.
NODE_LABELS = tuple(
    (
        "exported_node node kubernetes_node k8s_node_name kubernetes_node_name nodename node_name"
        " nodeName Hostname hostname host_name host exported_hostname"
    ).split()
)
#: Where the alert was scraped: an address tells the node only where no label names one, since
#: private addresses of another cluster may well be ours too.
_INSTANCE_LABELS = ("exported_instance", "instance")
CODE_LABELS = (*XID_LABELS, "error_code", "errorCode")
SEVERITY_LABELS = ("severity", "priority", "level")

Place = tuple[str, object]


def node_places(labels: Mapping[str, str], prefix: str = "label ") -> tuple[Place, ...]:
    """The labels that name the node, and the scraped address where none does. What a label
    repeats of `pod` is the exporter's pod: dcgm-exporter calls itself so unless it is told its
    node's name."""
    pod = labels.get("pod") or None
    named = label_places(labels, NODE_LABELS, prefix)
    named = tuple((place, value if value != pod else "") for place, value in named)
    if any(value for _, value in named):
        return named
    return (*named, *label_places(labels, _INSTANCE_LABELS, prefix))


def label_places(
    labels: Mapping[str, str], names: tuple[str, ...], prefix: str = "label "
) -> tuple[Place, ...]:
    return tuple((f"{prefix}{name}", labels.get(name)) for name in names)
