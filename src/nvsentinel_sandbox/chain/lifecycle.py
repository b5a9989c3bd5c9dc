"""lifecycle-manager: hands nodes to somebody outside, and holds them for a validation.

An ExternalRemediationRequest gets its finalizer; the node gets a taint and the label that
takes it out of NVSentinel's care, until the external party reports that it is done. A
ValidationRequest is worked off through its phases; who made it decides about the node.
Sources: charts/lifecycle-manager/crds, lifecycle-manager/pkg (v1.19), ADR-040.
"""

from __future__ import annotations

from typing import Any

from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.kube.objects import Change
from nvsentinel_sandbox.kube.statuses import NotFound
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.conditions import write_status
from nvsentinel_sandbox.world.context import Context
from nvsentinel_sandbox.world.timing import rfc3339

MODULE = "lifecycle-manager"
_EXTERNAL = "externalremediationrequests"
_VALIDATIONS = "validationrequests"
_RELEASED, _DONE = "NVSentinelOwnershipReleased", "ExternalRemediationComplete"


class LifecycleManager:
    def __init__(self, context: Context) -> None:
        self._context = context
        context.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        plural, name = change.entry.resource.plural, change.entry.key[1]
        if plural == _VALIDATIONS and change.type == "ADDED":
            self._context.spawn(self._validate_node(name))
        elif plural == _EXTERNAL and change.type == "ADDED":
            self._context.spawn(self._release_node(name))
        elif plural == _EXTERNAL and change.type == "MODIFIED":
            found = change.entry.decode()
            if "deletionTimestamp" in found["metadata"]:
                self._context.spawn(self._clean_up(name))
            elif (
                _condition_status(found, _DONE) == "True"
                and "completionTime" not in found["status"]
            ):
                self._context.spawn(self._take_back(name))

    # --- ExternalRemediationRequest -----------------------------------------------------

    async def _release_node(self, name: str) -> None:
        context, store = self._context, self._context.store
        found = store.find(_EXTERNAL, name)
        if found is None:
            return
        node = found["spec"]["healthEvent"]["nodeName"]
        store.update(
            _EXTERNAL, name, lambda o: o["metadata"].update(finalizers=[names.RELEASE_FINALIZER])
        )
        waiting = {_DONE: ("Unknown", "AwaitingExternalSystem", "waiting")}
        write_status(context, _EXTERNAL, name, waiting, started=True)
        await context.sleep("release", node)
        if context.node(node) is None:
            self._record_event(found, "Warning", "NodeNotFound", f"node {node} does not exist")
            return

        def let_go(obj: Object) -> None:
            taint = {"key": names.RELEASE_TAINT, "value": name, "effect": "NoSchedule"}
            obj["spec"]["taints"] = [*(obj["spec"].get("taints") or ()), taint]
            obj["metadata"].setdefault("labels", {})[names.MANAGED_LABEL] = "false"

        store.update("nodes", node, let_go)
        released = {_RELEASED: ("True", "ReleaseTaintApplied", "node released")}
        write_status(context, _EXTERNAL, name, released)
        self._record_event(found, "Normal", "ReleaseTaintApplied", f"node {node} released")
        context.log(MODULE, "node released", nodeName=node, request=name)

    async def _take_back(self, name: str) -> None:
        found = self._context.store.find(_EXTERNAL, name)
        if found is None:
            return
        node = found["spec"]["healthEvent"]["nodeName"]
        await self._context.sleep("release", node)
        self._reclaim_node(node)
        try:
            write_status(self._context, _EXTERNAL, name, {}, completed=True)
        except NotFound:
            return
        self._record_event(found, "Normal", "ReleaseTaintRemoved", f"node {node} taken back")
        self._context.log(MODULE, "node taken back", nodeName=node, request=name)

    async def _clean_up(self, name: str) -> None:
        """The request was deleted: the node comes back to NVSentinel, as it is."""
        found = self._context.store.find(_EXTERNAL, name)
        if found is None or names.RELEASE_FINALIZER not in found["metadata"].get("finalizers", ()):
            return
        self._record_event(found, "Normal", "OperatorDeleteRequested", "the request is deleted")
        self._reclaim_node(found["spec"]["healthEvent"]["nodeName"])
        self._context.store.update(_EXTERNAL, name, lambda o: o["metadata"].pop("finalizers", None))

    def _reclaim_node(self, node: str) -> None:
        def take(obj: Object) -> None:
            left = [t for t in obj["spec"].get("taints") or () if t["key"] != names.RELEASE_TAINT]
            obj["spec"]["taints"] = left
            if not left:
                del obj["spec"]["taints"]
            obj["metadata"].get("labels", {}).pop(names.MANAGED_LABEL, None)

        if self._context.node(node) is not None:
            self._context.store.update("nodes", node, take)

    def _record_event(self, request: Object, kind: str, reason: str, message: str) -> None:
        meta, at = request["metadata"], rfc3339(self._context.clock.now())
        number = self._context.ids.count("event", meta["uid"])
        event: dict[str, Any] = {
            "metadata": {"name": f"{meta['name']}.{self._context.ids.suffix(meta['uid'], number)}"},
            "involvedObject": {
                "apiVersion": request["apiVersion"],
                "kind": request["kind"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": MODULE},
            "reportingComponent": MODULE,
            "count": 1,
            "firstTimestamp": at,
            "lastTimestamp": at,
        }
        self._context.store.create("events", event, namespace="default")

    # --- ValidationRequest --------------------------------------------------------------

    async def _validate_node(self, name: str) -> None:
        """Run the tests: Pending, Running, then what the variant says."""
        context = self._context
        ok = context.cluster.validation != "fails"
        try:
            self._set_phase(name, "Pending")
            await context.sleep("janitor_start")
            self._set_phase(name, "Running")
            await context.sleep("validation")
            self._set_phase(name, "Succeeded" if ok else "Failed")
        except NotFound:
            pass  # deleted meanwhile

    def _set_phase(self, name: str, phase: str) -> None:
        write_status(
            self._context,
            _VALIDATIONS,
            name,
            {},
            phase=phase,
            started=phase == "Running",
            completed=phase in ("Succeeded", "Failed"),
        )
        self._context.log(MODULE, f"validation {phase}", request=name)


def _condition_status(obj: Object, kind: str) -> str:
    conditions = obj.get("status", {}).get("conditions", ())
    return next((c["status"] for c in conditions if c["type"] == kind), "")
