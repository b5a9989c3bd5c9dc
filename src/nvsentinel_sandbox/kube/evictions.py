"""The eviction of a pod: what `kubectl drain` and NVSentinel's node-drainer ask for.

Used by the API server's pods/eviction and by the simulator. Honours PodDisruptionBudgets
as they stand: one whose status allows no disruption refuses. It counts nothing down;
that is a disruption controller's work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nvsentinel_sandbox.kube.labelselectors import Requirement, matches
from nvsentinel_sandbox.kube.objects import ObjectStore
from nvsentinel_sandbox.kube.statuses import TooManyRequests

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}


def evict(
    store: ObjectStore,
    namespace: str,
    pod: str,
    *,
    grace: int | None = None,
    dry_run: bool = False,
) -> None:
    """Delete a pod gracefully, marking it as disrupted. NotFound, TooManyRequests."""
    found = store.get("pods", pod, namespace=namespace)
    _refuse_when_protected(store, found)
    if dry_run:
        return

    def mark(obj: dict[str, Any]) -> None:
        conditions = obj.setdefault("status", {}).setdefault("conditions", [])
        conditions[:] = [c for c in conditions if c.get("type") != "DisruptionTarget"]
        conditions.append(
            {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting",
                "lastTransitionTime": store.timestamp(),
            }
        )

    if "deletionTimestamp" not in found["metadata"]:
        store.update("pods", pod, mark, namespace=namespace, subresource="status")
    store.delete("pods", pod, namespace=namespace, grace=grace)


def _refuse_when_protected(store: ObjectStore, pod: Mapping[str, Any]) -> None:
    meta = pod["metadata"]
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed", "Pending"):
        return
    for budget in store.list("poddisruptionbudgets", namespace=meta["namespace"]):
        selector = budget.get("spec", {}).get("selector")
        if selector is None or not matches(_requirements_of(selector), meta.get("labels") or {}):
            continue
        status = budget.get("status") or {}
        if status.get("disruptionsAllowed", 0) > 0:
            continue
        name = budget["metadata"]["name"]
        healthy, needed = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
        raise TooManyRequests(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            causes=(
                {
                    "reason": "DisruptionBudget",
                    "message": f"The disruption budget {name} needs {needed} healthy pods "
                    f"and has {healthy} currently",
                },
            ),
        )


def _requirements_of(selector: Mapping[str, Any]) -> tuple[Requirement, ...]:
    equal = [
        Requirement(key, "in", frozenset({value}))
        for key, value in (selector.get("matchLabels") or {}).items()
    ]
    expressions = [
        Requirement(e["key"], _OPERATORS[e["operator"]], frozenset(e.get("values") or ()))  # type: ignore[arg-type]
        for e in selector.get("matchExpressions") or ()
    ]
    return (*equal, *expressions)
