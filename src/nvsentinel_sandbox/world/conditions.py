"""How NVSentinel's controllers write the status of the objects they work off.

Conditions by type, with a transition time that moves only with the status, and the times
when work began and ended. Used for every maintenance kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.world.context import Context
from nvsentinel_sandbox.world.timing import rfc3339

Conditions = Mapping[str, tuple[str, str, str]]
"""Type → status, reason, message."""


def write_status(
    context: Context,
    plural: str,
    name: str,
    conditions: Conditions,
    *,
    phase: str = "",
    started: bool = False,
    completed: bool = False,
) -> None:
    """Update an object's status. Raises NotFound when it is gone."""
    at = rfc3339(context.clock.now())

    def change(obj: Object) -> None:
        status: dict[str, Any] = obj.setdefault("status", {})
        if phase:
            status["phase"] = phase
        if started:
            status["startTime"] = at
        if completed:
            status["completionTime"] = at
        known = status.setdefault("conditions", []) if conditions else []
        for kind, (value, reason, message) in conditions.items():
            condition = next((c for c in known if c["type"] == kind), None)
            if condition is None:
                condition = {"type": kind}
                known.append(condition)
            if condition.get("status") != value:
                condition["lastTransitionTime"] = at
            condition.update(status=value, reason=reason, message=message)

    context.store.update(plural, name, change, subresource="status")
