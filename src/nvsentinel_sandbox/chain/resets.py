"""The janitor's GPUReset: services down, a Job on the node, services up again.

Phases and condition reasons are those of janitor/pkg/controller/gpureset_controller.go.
Whether the GPU is well afterwards is not said here: the reset's Job writes a line into
the node's kernel log, and the syslog monitor reports what it reads there.
"""

from __future__ import annotations

from collections.abc import Callable

from nvsentinel_sandbox.chain import jobs
from nvsentinel_sandbox.world.conditions import Conditions, write_status
from nvsentinel_sandbox.world.context import Context

_PLURAL = "gpuresets"


class GpuResets:
    """`on_reset` is told the node, the GPU's UUID and whether it went well."""

    def __init__(self, context: Context, on_reset: Callable[[str, str, bool], None]) -> None:
        self._context = context
        self._on_reset = on_reset

    async def work(self, name: str, node: str) -> None:
        """Work one GPUReset off. NotFound when it is deleted meanwhile."""
        context = self._context
        found = context.store.get(_PLURAL, name)
        uuids = found["spec"].get("selector", {}).get("uuids", [])
        ok = not context.cluster.reset_fails
        self._set_conditions(name, {}, phase="Pending", started=True)
        self._set_conditions(name, {"Ready": ("True", "ReadyForReset", "")}, phase="InProgress")
        await context.sleep("services_stop", node)
        self._set_conditions(name, {"ServicesTornDown": ("True", "ServiceTeardownSucceeded", "")})
        job = jobs.start(context, {"name": f"{name}-reset-job"}, node, "gpu-reset")
        self._set_conditions(name, {"ResetJobCreated": ("True", "ResetJobCreationSucceeded", "")})
        await context.sleep("gpu_reset", node)
        jobs.finish(context, job, ok=ok)
        for uuid in uuids:
            self._on_reset(node, uuid, ok)
        result = ("True", "ResetJobSucceeded", "") if ok else ("False", "ResetJobFailed", _FAILURE)
        self._set_conditions(name, {"ResetJobCompleted": result})
        await context.sleep("services_stop", node)
        self._set_conditions(name, {"ServicesRestored": ("True", "ServiceRestoreSucceeded", "")})
        if ok:
            end = {"Complete": ("True", "GPUResetSucceeded", "")}
        else:
            end = {"Complete": ("False", "GPUResetFailed", _FAILURE)}
        self._set_conditions(name, end, phase="Succeeded" if ok else "Failed", completed=True)

    def _set_conditions(
        self,
        name: str,
        conditions: Conditions,
        *,
        phase: str = "",
        started: bool = False,
        completed: bool = False,
    ) -> None:
        write_status(
            self._context,
            _PLURAL,
            name,
            conditions,
            phase=phase,
            started=started,
            completed=completed,
        )


_FAILURE = "the reset job failed"
