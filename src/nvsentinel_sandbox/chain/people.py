"""The people of the simulated cluster: who repairs, uncordons, or looks at a node.

They act on what can be seen on the node, with a delay, and only where a fault or a variant
says so. What they leave behind from last week is here too.
"""

from __future__ import annotations

from collections.abc import Callable

from nvsentinel_sandbox.chain.quarantine import read_annotation
from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.kube.statuses import NotFound
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.conditions import write_status
from nvsentinel_sandbox.world.context import Context
from nvsentinel_sandbox.world.machines import complete
from nvsentinel_sandbox.world.repairs import EXTERNAL, REBOOT, repair_object
from nvsentinel_sandbox.world.reports import UNRULED, Fault
from nvsentinel_sandbox.world.timing import rfc3339

_WEEK = 7 * 86_400.0
_LOOK_AGAIN = 30.0  # a change of the node wakes people at once; this is for one they missed


class People:
    """`heal` is what repairs a node."""

    def __init__(self, context: Context, heal: Callable[[str], None]) -> None:
        self._context = context
        self._heal = heal

    def attend(self, fault: Fault, node: str) -> None:
        """Have someone repair the node when its chain has come to where people take over."""
        variant, cluster = self._context.variant(node), self._context.cluster
        if cluster.neighbours_fail and cluster.people_heal_after is not None:
            self._context.spawn(self._reset_breaker(node, cluster.people_heal_after))
        if EXTERNAL in cluster.repairs.values():
            self._context.spawn(self._repair_outside(node))
            return
        delay = fault.people_heal_after
        if cluster.monitor_only and any(r.fatal for r in fault.reports):
            delay = cluster.people_heal_after
        elif variant.reboot == "manual" or variant.companions or variant.custom_action:
            delay = variant.people_heal_after
        if delay is not None:
            chain_acts = any(
                r.fatal and r.strategy == "EXECUTE_REMEDIATION" and r.agent not in UNRULED
                for r in fault.reports
            )
            self._context.spawn(self._repair_in_time(node, delay, wait=chain_acts))

    async def _repair_in_time(self, node: str, delay: float, *, wait: bool) -> None:
        while wait and not self._in_peoples_hands(node):
            await self._context.node_changed(node, _LOOK_AGAIN)
        await self._context.pace.wait(delay)
        self._heal(node)

    def _in_peoples_hands(self, node: str) -> bool:
        found = self._context.node(node)
        if found is None or self._context.cluster.monitor_only:
            return True
        variant, meta = self._context.variant(node), found["metadata"]
        if variant.companions:
            left = {e["checkName"] for e in read_annotation(meta.get("annotations") or {})}
            return bool(left) and left <= {c.report.check for c in variant.companions}
        state = meta.get("labels", {}).get(names.STATE_LABEL)
        manual = variant.reboot == "manual"
        return state == "remediation-failed" or (manual and state == "remediation-succeeded")

    async def _repair_outside(self, node: str) -> None:
        """The external party: repairs a node that was released to it."""
        while (found := self._context.node(node)) is not None:
            if found["metadata"].get("labels", {}).get(names.MANAGED_LABEL) == "false":
                await self._context.sleep("external_repair", node)
                self._heal(node)
                return
            await self._context.node_changed(node, _LOOK_AGAIN)

    def report_back(self, node: str) -> None:
        """Tell NVSentinel that the work a request asked for on this node is done."""
        if self._context.cluster.monitor_only:
            return  # nothing here takes such requests
        for found in self._context.store.list(EXTERNAL.plural):
            status = found.get("status", {})
            mine = found["spec"]["healthEvent"]["nodeName"] == node
            if mine and "completionTime" not in status:
                done = {EXTERNAL.completes: ("True", "RepairSucceeded", "repaired")}
                write_status(self._context, EXTERNAL.plural, found["metadata"]["name"], done)

    async def _reset_breaker(self, node: str, delay: float) -> None:
        """Somebody looks into a breaker that keeps a healthy node cordoned, and resets it."""
        while not self._held_by_breaker(node):
            await self._context.node_changed(node, 1.0)
        await self._context.pace.wait(delay)
        self.close_breaker()

    def close_breaker(self) -> None:
        """Reset fault-quarantine's circuit breaker."""
        self._context.store.update(
            "configmaps",
            names.BREAKER,
            lambda cm: cm["data"].update(status="CLOSED"),
            namespace=names.NAMESPACE,
        )

    def _held_by_breaker(self, node: str) -> bool:
        found = self._context.node(node)
        breaker = self._context.store.get("configmaps", names.BREAKER, namespace=names.NAMESPACE)
        if found is None or breaker["data"].get("status") != "TRIPPED":
            return False
        conditions = found["status"]["conditions"]
        well = not any(c.get("reason", "").endswith("IsNotHealthy") for c in conditions)
        marks = found["metadata"].get("annotations") or {}
        return well and names.REMEDIATION_STATE in marks

    def clear_conditions(self, node: str, checks: list[str]) -> None:
        """Take conditions off that no monitor will ever clear."""

        def change(obj: Object) -> None:
            kept = [c for c in obj["status"]["conditions"] if c["type"] not in checks]
            obj["status"]["conditions"] = kept

        if checks and self._context.node(node) is not None:
            self._context.store.update("nodes", node, change, subresource="status")

    def cordon(self, node: str, *, on: bool = True) -> None:
        """Cordon the node, or uncordon it, for a reason of their own."""

        def change(obj: Object) -> None:
            if on:
                obj["spec"]["unschedulable"] = True
            else:
                obj["spec"].pop("unschedulable", None)

        self._context.store.update("nodes", node, change)

    def allow_disruption_when_draining(self, node: str) -> None:
        """Let the training job's disruption budget allow evictions, once it has held one up."""
        self._context.spawn(self._allow_disruption_later(node))

    async def _allow_disruption_later(self, node: str) -> None:
        if not await self._wait_until_draining(node):
            return
        await self._context.sleep("budget_frees", node)
        try:
            self._context.store.update(
                "poddisruptionbudgets",
                "train",
                lambda b: b["status"].update(disruptionsAllowed=1),
                namespace=names.WORKLOAD_NAMESPACE,
                subresource="status",
            )
        except NotFound:
            pass  # somebody removed the budget, which allows evictions too

    def uncordon_when_draining(self, node: str) -> None:
        """Have someone uncordon the node once it drains."""
        self._context.spawn(
            self._change_node_while_draining(node, lambda n: n["spec"].pop("unschedulable", None))
        )

    def untaint_when_draining(self, node: str) -> None:
        """Have someone remove NVSentinel's taint once the node drains."""
        key = self._context.cluster.taint.partition("=")[0]

        def untaint(obj: Object) -> None:
            obj["spec"]["taints"] = [t for t in obj["spec"]["taints"] if t["key"] != key]

        self._context.spawn(self._change_node_while_draining(node, untaint))

    async def _change_node_while_draining(
        self, node: str, change: Callable[[Object], None]
    ) -> None:
        if await self._wait_until_draining(node):
            await self._context.sleep("person_acts", node)
            self._context.store.update("nodes", node, change)

    async def _wait_until_draining(self, node: str) -> bool:
        """Wait until the node drains; False when it is gone first."""
        while (found := self._context.node(node)) is not None:
            if found["metadata"].get("labels", {}).get(names.STATE_LABEL) == "draining":
                return True
            await self._context.node_changed(node, _LOOK_AGAIN)
        return False

    def debug(self, node: str) -> None:
        """Have someone start a debug pod on the node, past the scheduler, and leave it."""
        name = f"node-debugger-{node}-{self._context.ids.suffix('debug', node)}"
        container = {"name": "debugger", "image": "registry.example/ops/toolbox:1"}
        spec = {"nodeName": node, "restartPolicy": "Never", "containers": [container]}
        self._context.store.create(
            "pods", {"metadata": {"name": name}, "spec": spec}, namespace="default"
        )
        self._context.spawn(self._leave_debug_pod(name, node))

    async def _leave_debug_pod(self, name: str, node: str) -> None:
        await self._context.sleep("look_at_node", node)
        pod = self._context.store.find("pods", name, namespace="default")
        if pod is not None and pod["status"].get("phase") == "Running":
            now = self._context.clock.now()
            self._context.store.update(
                "pods", name, lambda p: complete(p, now), namespace="default"
            )


def leave_old_remediation(context: Context, node: str) -> None:
    """Last week's incident: a RebootNode that succeeded, kept for its TTL, and labels."""
    with context.clock.back(_WEEK):
        began = context.clock.now()
        found = context.store.get("nodes", node)
        old_id = context.ids.object_id(node, began)
        reboot = repair_object(REBOOT, f"maintenance-{node}-{old_id}", found, None)
        done = rfc3339(began + 600)
        reboot["status"] = {
            "startTime": rfc3339(began + 1),
            "completionTime": done,
            "conditions": [
                {
                    "type": "SignalSent",
                    "status": "True",
                    "reason": "Succeeded",
                    "message": "req-8121",
                    "lastTransitionTime": rfc3339(began + 2),
                },
                {
                    "type": "NodeReady",
                    "status": "True",
                    "reason": "Succeeded",
                    "message": "ready again after reboot",
                    "lastTransitionTime": done,
                },
            ],
        }
        context.store.create("rebootnodes", reboot)
    stamp = done.replace(":", "-")

    def label(obj: Object) -> None:
        values = ("NVSentinel", "Syslog-fatal-error-ruleset-removed", stamp)
        obj["metadata"]["labels"].update(zip(names.UNCORDON_LABELS, values, strict=True))

    context.store.update("nodes", node, label)
