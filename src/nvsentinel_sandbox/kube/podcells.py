"""The READY, STATUS and RESTARTS cells of a pod, as `kubectl get pods` shows them.

Used by tables. STATUS is the most telling of: terminating, a container's waiting or
termination reason, the pod's own reason, its phase (Kubernetes
pkg/printers/internalversion, printPod).
"""

from __future__ import annotations

from typing import Any

from nvsentinel_sandbox.kube.ages import age


def ready(obj: Any, _now: float) -> str:
    """Ready containers out of all."""
    statuses = obj.get("status", {}).get("containerStatuses") or ()
    total = len(obj.get("spec", {}).get("containers") or ()) or len(statuses)
    return f"{sum(1 for s in statuses if s.get('ready'))}/{total}"


def restarts(obj: Any, now: float) -> str:
    """Restarts of all containers, and how long ago the last one was."""
    statuses = obj.get("status", {}).get("containerStatuses") or ()
    count = sum(s.get("restartCount", 0) for s in statuses)
    ended = [
        s["lastState"]["terminated"].get("finishedAt")
        for s in statuses
        if (s.get("lastState") or {}).get("terminated")
    ]
    latest = max(filter(None, ended), default=None)
    return f"{count} ({age(latest, now)} ago)" if count and latest else str(count)


def status(obj: Any, _now: float) -> str:
    """The one word that tells most."""
    found = obj.get("status", {})
    if obj["metadata"].get("deletionTimestamp"):
        return "Unknown" if found.get("reason") == "NodeLost" else "Terminating"
    if waiting := _init_reason(found.get("initContainerStatuses") or ()):
        return waiting
    told = str(found.get("reason") or found.get("phase") or "")
    for container in reversed(found.get("containerStatuses") or ()):
        state = container.get("state") or {}
        if reason := (state.get("waiting") or {}).get("reason"):
            told = reason
        elif ended := state.get("terminated"):
            told = _termination_reason(ended)
    return told


def _init_reason(statuses: Any) -> str:
    for done, container in enumerate(statuses):
        state = container.get("state") or {}
        ended = state.get("terminated")
        if ended and ended.get("exitCode") == 0:
            continue
        if ended:
            return f"Init:{_termination_reason(ended)}"
        reason = (state.get("waiting") or {}).get("reason")
        if reason and reason != "PodInitializing":
            return f"Init:{reason}"
        return f"Init:{done}/{len(statuses)}"
    return ""


def _termination_reason(state: Any) -> str:
    if state.get("reason"):
        return str(state["reason"])
    return (
        f"Signal:{state['signal']}" if state.get("signal") else f"ExitCode:{state.get('exitCode')}"
    )
