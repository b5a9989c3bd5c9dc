"""Asks the cluster where we are, and how to reach it from here.

The answer is a `Whereabouts`; nothing else in nvsx asks whether this is a sandbox or a pod.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from nvsx.cluster.door import Cluster
from nvsx.cluster.gateway import service_account_folder
from nvsx.core.errors import ClusterError, Forbidden
from nvsx.core.whereabouts import Whereabouts, decide_whereabouts

SANDBOX_FOLDER = "sandbox"
"""The folder beneath a state folder where `nvsx sandbox start` keeps its kubeconfigs."""
SANDBOX_CONTEXT = "nvsx-sandbox"
"""The context in them. It is a name and proves nothing: it only words advice."""
SANDBOX_IS_GONE = (
    "a sandbox takes its kubeconfig with it: `nvsx sandbox start` makes a new one, "
    "`unset KUBECONFIG` goes back to your own contexts"
)


async def find_whereabouts(cluster: Cluster, name: str, env: Mapping[str, str]) -> Whereabouts:
    """Ask the cluster what and which it is. Raises ClusterError when it cannot tell which.

    Example: a sandbox that `nvsx sandbox start` runs answers /version with its mark, so a run
    with nothing but its KUBECONFIG is a sandbox run. A real cluster that forbids /version is
    real; one that forbids its identity (namespace kube-system) is refused, since claims and
    pages could not be told from another cluster's.
    """
    try:
        version = await cluster.version_document()
    except Forbidden:
        version = None
    return decide_whereabouts(
        version, cluster=await cluster.cluster_id(), name=name, in_pod=runs_in_pod(env)
    )


def runs_in_pod(env: Mapping[str, str]) -> bool:
    """Whether this process runs in a pod, where "local" means every container beside it."""
    return "KUBERNETES_SERVICE_HOST" in env or service_account_folder(env).exists()


def uses_service_account(env: Mapping[str, str], context: str | None) -> bool:
    """Whether the cluster is this pod's own, reached with the pod's service account.

    As with kubectl, a context or a KUBECONFIG that somebody named comes first: whoever works
    in a pod and exports a sandbox's kubeconfig means the sandbox, not the cluster around it.
    Inside a hook of a daemon's pod KUBECONFIG is /dev/null, which names nothing.
    """
    if context is not None or env.get("KUBECONFIG", "") not in ("", os.devnull):
        return False
    token = service_account_folder(env) / "token"
    return bool(env.get("KUBERNETES_SERVICE_HOST")) and token.exists()


def refuse_stale_kubeconfig(env: Mapping[str, str], context: str | None) -> None:
    """Refuse a KUBECONFIG whose files are gone, or whose sandbox is. Raises ClusterError.

    kubectl passes over missing files. With `KUBECONFIG=…/sandbox/kubeconfig:~/.kube/config`
    it would go on to the next file, so that a run meant for a sandbox that has ended would
    begin on a real cluster. With `--context` the cluster was named, and that is left alone.
    """
    files = [Path(f) for f in env.get("KUBECONFIG", "").split(os.pathsep) if f]
    gone = [f for f in files if not f.exists()]
    of_a_sandbox = [
        f for f in gone if f.parent.name == SANDBOX_FOLDER and f.name.startswith("kubeconfig")
    ]
    if of_a_sandbox and context is None:
        raise ClusterError(
            f"KUBECONFIG names {of_a_sandbox[0]}, and that sandbox has ended", SANDBOX_IS_GONE
        )
    if files and len(gone) == len(files):
        raise ClusterError(
            f"KUBECONFIG names {', '.join(map(str, gone))}, which does not exist",
            "correct it, or `unset KUBECONFIG` to use ~/.kube/config",
        )
