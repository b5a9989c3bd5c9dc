"""What happens in the sandbox, in one line each, for a person watching it.

Compares each change of a node or maintenance object with the one before and tells what a reader
of `kubectl get -w` would want to notice. Tells only what is in the objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nvsentinel_sandbox.kube.objects import Change
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.repairs import KINDS

_KUBELET = frozenset({"MemoryPressure", "DiskPressure", "PIDPressure"})


_TOLD = frozenset({*(repair.plural for repair in KINDS), "validationrequests"})


class Story:
    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def hear(self, change: Change) -> None:
        """One change of the store."""
        plural, name = change.entry.resource.plural, change.entry.key[1]
        if plural == "nodes" and change.before is not None and change.type == "MODIFIED":
            for line in _node_lines(change.before.decode(), change.entry.decode()):
                self._tell(f"{name}: {line}")
        elif plural == "nodes" and change.type != "MODIFIED":
            self._tell(f"{name}: {'a new node' if change.type == 'ADDED' else 'the node is gone'}")
        elif plural in _TOLD and change.type != "DELETED":
            for line in _object_lines(change):
                self._tell(f"{change.entry.resource.kind} {name}{line}")


def _object_lines(change: Change) -> list[str]:
    after = change.entry.decode()
    before = change.before.decode() if change.before else {}
    known, phase = _conditions_of(before), after.get("status", {}).get("phase", "")
    lines = [] if change.before else [" created"]
    if phase and phase != before.get("status", {}).get("phase"):
        lines.append(f": {phase}")
    for kind, (status, reason, _) in _conditions_of(after).items():
        if status != "Unknown" and known.get(kind, ("",))[0] != status:
            lines.append(f": {kind}={status} ({reason})")
    return lines


def _node_lines(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    lines = []
    old, new = _conditions_of(before), _conditions_of(after)
    for kind, (status, reason, message) in new.items():
        if kind in _KUBELET or old.get(kind, ("",))[0] == status:
            continue
        text = f": {message}" if status == "True" and kind != "Ready" else f" ({reason})"
        lines.append(f"{kind}={status}{text}")
    cordons = [bool(node["spec"].get("unschedulable")) for node in (before, after)]
    if cordons[0] != cordons[1]:
        lines.append("cordoned" if cordons[1] else "uncordoned")
    states = [node["metadata"].get("labels", {}).get(names.STATE_LABEL) for node in (before, after)]
    if states[0] != states[1]:
        lines.append(f"state {states[1]}" if states[1] else "state label removed")
    return lines


def _conditions_of(obj: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {
        c["type"]: (c["status"], c.get("reason", ""), c.get("message", ""))
        for c in obj.get("status", {}).get("conditions", ())
    }
