"""Whether NVSentinel would show a fault of a node: its reporters there are at work.

Conditions and Events come when something changes, and a heartbeat that is days old is normal
(platform-connectors/pkg/connectors/kubernetes/process_node_events.go): their age says nothing. What
can be seen is that the monitors and the connector of this very node run, and that the connector has
written to this node before.
"""

from __future__ import annotations

from nvsx.core.watches.snapshot import Node, Pod, Snapshot
from nvsx.nvsentinel import messages
from nvsx.nvsentinel.installation import Installation

_CONNECTOR = "platform-connectors"
_MONITORS = ("gpu-health-monitor", "syslog-health-monitor", "nic-health-monitor")
#: A monitor that has just started reports every check anew, within two minutes.
WARMED_UP = 120.0


def is_pipeline_current(snapshot: Snapshot, installation: Installation | None) -> bool | None:
    """True: what the node does not show NVSentinel does not have. None: that is not known.

    12:00 an alert for n1; its connector and monitors are Ready since days: True
    12:00 the connector of n1 is not Ready: False, whatever other nodes' are
    12:00 pods cannot be read, or no check has ever been written to n1: None
    """
    node, unread = snapshot.node, snapshot.unread.keys()
    if installation is None or node is None or unread & {"node", "pods", "events"}:
        return None
    if node.ready is not True:
        return False  # a silent kubelet's pods look Ready for some minutes
    connector = _pods_of(snapshot, installation, _CONNECTOR)
    monitors = [pod for name in _MONITORS for pod in _pods_of(snapshot, installation, name)]
    if not (connector and monitors and _was_written_to(node)):
        return None
    return all(_is_at_work(pod, snapshot.at) for pod in (*connector, *monitors))


def _pods_of(snapshot: Snapshot, installation: Installation, name: str) -> list[Pod]:
    module = installation.modules.get(name)
    owners = {f"DaemonSet/{found}" for found in module.objects} if module is not None else set()
    return [
        pod
        for pod in snapshot.pods_on_node()
        if pod.namespace == installation.namespace and pod.owner in owners
    ]


def _was_written_to(node: Node) -> bool:
    return any(messages.is_check(condition) for condition in node.conditions)


def _is_at_work(pod: Pod, now: float) -> bool:
    return pod.ready and not pod.deleting and now - pod.created >= WARMED_UP
