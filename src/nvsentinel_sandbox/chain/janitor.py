"""The janitor: works RebootNode, TerminateNode and GPUReset objects off, one a node at a time.

Any of them without a completionTime is taken up, whoever created it. The status machines
are those of janitor/pkg/controller/*_controller.go, their dead ends included: after a
refused signal the outcome stays Unknown for ever. Writes no Kubernetes Events. The reset
of a GPU is in resets.py.
"""

from __future__ import annotations

from collections.abc import Callable

from nvsentinel_sandbox.chain.resets import GpuResets
from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.kube.objects import Change
from nvsentinel_sandbox.kube.statuses import AlreadyExists, NotFound
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.conditions import Conditions, write_status
from nvsentinel_sandbox.world.context import Context
from nvsentinel_sandbox.world.machines import Machines
from nvsentinel_sandbox.world.variants import Moment

MODULE = "janitor"
_KINDS = ("rebootnodes", "terminatenodes", "gpuresets")
Watcher = Callable[[str, Moment], None]


class Janitor:
    """`on_moment` is told when a node's reboot reaches a moment variants know of,
    `on_terminated` the name of a node whose machine is gone for good."""

    def __init__(
        self,
        context: Context,
        machines: Machines,
        resets: GpuResets,
        on_moment: Watcher,
        on_terminated: Callable[[str], None],
    ) -> None:
        self._context = context
        self._machines = machines
        self._resets = resets
        self._on_moment = on_moment
        self._on_terminated = on_terminated
        context.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        plural, name = change.entry.resource.plural, change.entry.key[1]
        if plural not in _KINDS:
            return
        found = change.entry.decode()
        if change.type == "ADDED" and "completionTime" not in found.get("status", {}):
            self._context.spawn(self._work_object_off(plural, name, found["spec"]["nodeName"]))
        elif plural == "terminatenodes" and change.type == "MODIFIED":
            self._given_up(name, found)

    async def _work_object_off(self, plural: str, name: str, node: str) -> None:
        await self._context.sleep("janitor_start", node)
        try:
            while not self._lock_node(plural, name, node):
                await self._context.sleep("janitor_poll", node)
        except NotFound:
            return  # the object was deleted before its turn came
        try:
            if plural == "gpuresets":
                await self._resets.work(name, node)
            elif plural == "terminatenodes":
                await self._terminate_node(name, node)
            else:
                await self._reboot_node(name, node)
        except NotFound:
            pass  # the object was deleted while it was worked on
        finally:
            self._unlock_node(node)

    # --- RebootNode ---------------------------------------------------------------------

    async def _reboot_node(self, name: str, node: str) -> None:
        context, way = self._context, self._context.variant(node).reboot
        if not await self._signal_provider("rebootnodes", name, node, "NodeReady"):
            return
        if way != "manual":
            self._on_moment(node, "signal-sent")
            context.spawn(self._power_cycle(node, returns=way != "times-out"))
        await self._await_ready(name, node, patient=way == "manual")

    async def _signal_provider(self, plural: str, name: str, node: str, goal: str) -> bool:
        """Send the provider its signal; False when it was refused, which is the end."""
        context, way = self._context, self._context.variant(node).reboot
        initial = {
            "SignalSent": ("Unknown", "Initializing", "signal pending"),
            goal: ("Unknown", "Initializing", "not determined"),
        }
        self._set_conditions(plural, name, initial, started=True)
        if way == "manual":
            manual = ("True", "OutsideActorRequired", "manual mode on")
            self._set_conditions(plural, name, {"ManualMode": manual})
            return True
        await context.sleep("signal", node)
        if way == "refused":
            refusal = ("False", "Failed", "permission denied by provider")
            self._set_conditions(plural, name, {"SignalSent": refusal}, completed=True)
            context.log(MODULE, "signal refused", name=name, nodeName=node)
            return False
        reference = f"req-{context.ids.rng('request', name).randint(1000, 9999)}"
        self._set_conditions(plural, name, {"SignalSent": ("True", "Succeeded", reference)})
        context.log(MODULE, "signal sent", name=name, nodeName=node)
        return True

    async def _power_cycle(self, node: str, *, returns: bool) -> None:
        """Take the machine down and, unless it does not return, up again."""
        await self._context.sleep("shutdown", node)
        self._machines.shut_down(node)
        self._on_moment(node, "node-down")
        if returns:
            await self._context.sleep("reboot", node)
            self._machines.boot(node)

    async def _await_ready(self, name: str, node: str, *, patient: bool) -> None:
        context = self._context
        boot_id = self._boot_id(node)
        timings = context.variant(node).timings
        deadline = context.pace.now() + context.pace.seconds("reboot_timeout", timings)
        while self._boot_id(node) == boot_id or self._machines.is_down(node):
            await context.sleep("janitor_poll", node)
            if not patient and context.pace.now() > deadline:
                late = ("False", "Timeout", "not ready in time")
                self._set_conditions("rebootnodes", name, {"NodeReady": late}, completed=True)
                context.log(MODULE, "reboot timed out", name=name, nodeName=node)
                return
        done = ("True", "Succeeded", "ready again after reboot")
        self._set_conditions("rebootnodes", name, {"NodeReady": done}, completed=True)
        context.log(MODULE, "node is ready again", name=name, nodeName=node)

    def _boot_id(self, node: str) -> str:
        found = self._context.node(node)
        return str(found["status"]["nodeInfo"]["bootID"]) if found else ""

    # --- TerminateNode ------------------------------------------------------------------

    async def _terminate_node(self, name: str, node: str) -> None:
        """Once the machine is not Ready any more the Node object is deleted, and only then is
        the outcome written: the object is terminating by then, with its owner gone."""
        context = self._context
        context.store.update(
            "terminatenodes",
            name,
            lambda o: o["metadata"].update(finalizers=[names.TERMINATE_FINALIZER]),
        )
        if not await self._signal_provider("terminatenodes", name, node, "NodeTerminated"):
            return
        if context.variant(node).reboot != "manual":
            self._on_moment(node, "signal-sent")
            await context.sleep("shutdown", node)
            self._machines.shut_down(node)
        while context.node(node) is not None and not self._machines.is_down(node):
            await context.sleep("janitor_poll", node)
        await context.sleep("janitor_poll", node)
        if context.node(node) is not None:
            context.store.delete("nodes", node)
        done = ("True", "Succeeded", "instance deleted and node removed")
        self._set_conditions("terminatenodes", name, {"NodeTerminated": done}, completed=True)
        context.log(MODULE, "node terminated", name=name, nodeName=node)
        self._on_terminated(node)

    def _given_up(self, name: str, found: Object) -> None:
        if "deletionTimestamp" in found["metadata"]:
            self._context.spawn(self._let_go(name))

    async def _let_go(self, name: str) -> None:
        """Give a deleted TerminateNode up, once its outcome could be written."""
        await self._context.sleep("janitor_poll")
        if self._context.store.find("terminatenodes", name) is not None:
            self._context.store.update(
                "terminatenodes", name, lambda o: o["metadata"].pop("finalizers", None)
            )

    # --- shared -------------------------------------------------------------------------

    def _set_conditions(
        self,
        plural: str,
        name: str,
        conditions: Conditions,
        *,
        started: bool = False,
        completed: bool = False,
    ) -> None:
        write_status(self._context, plural, name, conditions, started=started, completed=completed)

    def _lock_node(self, plural: str, name: str, node: str) -> bool:
        """Take the Lease that keeps a second maintenance object off the node. It says whose it
        is by its owner; its spec stays empty. NotFound when the object is gone."""
        found = self._context.store.get(plural, name)
        owner = {field: found[field] for field in ("apiVersion", "kind")}
        owner |= {field: found["metadata"][field] for field in ("name", "uid")}
        lease = {"metadata": {"name": node, "ownerReferences": [owner]}, "spec": {}}
        try:
            self._context.store.create("leases", lease, namespace=names.NAMESPACE)
        except AlreadyExists:
            return False
        return True

    def _unlock_node(self, node: str) -> None:
        try:
            self._context.store.delete("leases", node, namespace=names.NAMESPACE)
        except NotFound:
            pass  # somebody removed it; there is nothing to give back
