"""Whether a drill may begin on a real cluster while a daemon may be watching it.

A drill causes a fault that a daemon takes for real. It pages nobody only if that fault joins
the drill's own run, and it does when the two share a store and the drill has its node claimed
before the fault. Every other daemon would page people for a rehearsal.
"""

from __future__ import annotations

from nvsx.core.errors import ClusterError, Conflict
from nvsx.follow.one_daemon import find_serving_daemon
from nvsx.follow.workplace import Workplace

DAEMON_LABEL = "app.kubernetes.io/name=nvsx"
"""What the pods of deploy/kubernetes carry."""


async def refuse_watched_drill(workplace: Workplace, node: str) -> None:
    """Refuse a drill that a daemon would page people for. Raises Conflict.

    | time  | who watches the real cluster                | node named | drill   |
    |-------|---------------------------------------------|------------|---------|
    | 10:00 | nobody that can be seen                     | yes        | begins  |
    | 10:01 | a daemon with this state folder             | yes        | begins  |
    | 10:02 | a daemon with this state folder             | no         | refused |
    | 10:03 | a pod of nvsx, and no daemon in this folder | yes        | refused |
    | 10:04 | cannot be seen: pods may not be listed      | yes        | refused |

    On a sandbox every drill begins: nobody is paged there. A daemon outside the cluster with
    another state folder cannot be seen from here.
    """
    if workplace.where.sandbox:
        return
    pid = find_serving_daemon(workplace.home.state_dir, workplace.where.cluster)
    if pid and not node:
        raise Conflict(
            f"nvsx serve (pid {pid}) would take this drill's fault for a real one and page people",
            "name the node with --target-node: the fault then joins the drill's run",
        )
    if pid:
        return
    pods = await _daemon_pods(workplace)
    if pods:
        raise Conflict(
            f"nvsx serve runs in this cluster ({', '.join(pods)}) with a store of its own: "
            "it would page people for this drill",
            "run the drill where that daemon runs (`kubectl exec` into its pod), "
            "or scale it to 0 meanwhile",
        )


async def _daemon_pods(workplace: Workplace) -> list[str]:
    """The nvsx pods of this cluster that run or are about to, as namespace/name."""
    try:
        found = await workplace.cluster.read("/api/v1/pods", {"labelSelector": DAEMON_LABEL})
    except ClusterError as error:
        raise Conflict(
            f"whether a daemon would page people for this drill cannot be told: {error.message}",
            "drill with an account that may list pods in all namespaces",
        ) from error
    return sorted(
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in found.get("items") or ()
        if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    )
