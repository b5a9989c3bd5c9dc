"""The simulated NVSentinel: one object that holds its controllers and takes faults.

Builds the world in an ObjectStore, wires monitors, connectors, quarantine, drainer,
remediation, janitor and machines, and offers inject, heal and status. It knows no HTTP:
the API server serves the same store, and host.py puts the two together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nvsentinel_sandbox.chain import modules
from nvsentinel_sandbox.chain.connectors import PlatformConnectors
from nvsentinel_sandbox.chain.customdrains import DrainController
from nvsentinel_sandbox.chain.drainer import NodeDrainer
from nvsentinel_sandbox.chain.janitor import Janitor
from nvsentinel_sandbox.chain.labeler import Labeler
from nvsentinel_sandbox.chain.lifecycle import LifecycleManager
from nvsentinel_sandbox.chain.metrics import Metrics
from nvsentinel_sandbox.chain.monitors import Monitors
from nvsentinel_sandbox.chain.people import People, leave_old_remediation
from nvsentinel_sandbox.chain.quarantine import FaultQuarantine
from nvsentinel_sandbox.chain.remediation import FaultRemediation
from nvsentinel_sandbox.chain.resets import GpuResets
from nvsentinel_sandbox.errors import WrongCall
from nvsentinel_sandbox.kube.objects import ObjectStore
from nvsentinel_sandbox.unknown import LISTING, suggest_names
from nvsentinel_sandbox.world import cluster_world, names
from nvsentinel_sandbox.world.context import Context
from nvsentinel_sandbox.world.faults import FAULTS
from nvsentinel_sandbox.world.health import Ledger
from nvsentinel_sandbox.world.identities import Identities
from nvsentinel_sandbox.world.machines import Machines
from nvsentinel_sandbox.world.reports import Fault
from nvsentinel_sandbox.world.timing import Clock, Pace
from nvsentinel_sandbox.world.variants import NORMAL, VARIANTS, Moment, Variant

# A slip of the finger must not take the machine's whole memory.
MOST_NODES = 100_000
_DAY = 86_400.0
_AGE = 30 * _DAY


class Simulator:
    """A furnished cluster and the NVSentinel in it, on the running event loop.

    Args:
        nodes: how many GPU nodes, at least 1.
        speed: 1 runs XID 79 from injection to un-quarantine in about 20 seconds;
            `timing.FASTEST` and more waits for nothing.
        seed: the same seed gives the same names, ids and default node.
        variant: how things go, for the cluster or for the default node; "" is normal.
        timings: seconds at speed 1 that replace `timing.DURATIONS`.
        provider: which database the installation says it has; ids are of its kind.
        layout_2025: annotations as in autumn 2025.
        dated_from: objects are dated by the story, which begins at these Unix seconds,
            and not by the true time.
        alias_of: another name of a node, by which people may call it too.

    Raises WrongCall for an unknown variant and for numbers out of range.
    """

    def __init__(  # noqa: PLR0913 - one parameter for each way in which it can differ
        self,
        *,
        nodes: int = 4,
        speed: float = 1.0,
        seed: int | None = None,
        variant: str = "",
        timings: Mapping[str, float] | None = None,
        provider: str = "mongodb",
        layout_2025: bool = False,
        dated_from: float | None = None,
        alias_of: Callable[[str], str] | None = None,
    ) -> None:
        if not 1 <= nodes <= MOST_NODES:
            raise WrongCall(f"a sandbox of {nodes} nodes cannot be", f"give 1 to {MOST_NODES}")
        if not speed > 0:
            raise WrongCall(f"speed {speed:g} cannot be", "give a number above 0; 1 is normal")
        self.variant = find_variant(variant)
        if layout_2025:
            self.variant = replace(self.variant, layout_2025=True)
        self.nodes = cluster_world.node_names(nodes)
        self._alias_of = alias_of
        self.ids = Identities(seed)
        self.ids.uuid_documents = provider == "postgresql"
        pace = Pace(speed, timings)
        clock = Clock(pace, dated_from)
        with clock.back(_AGE):
            self.store = ObjectStore(now=clock.now, rng=self.ids.rng("store"))
            self.store.graceful_pods = True
        self._context = Context(self.store, clock, pace, self.ids, self.variant)
        self.default_node = self.ids.rng("default node").choice(self.nodes)
        with clock.back(_AGE):
            cluster_world.furnish(self.store, self.ids, self.nodes, clock.now())
            modules.install(self._context, self.nodes, clock.now(), provider)
            if self.variant.budget_blocks:
                self.store.create(
                    "poddisruptionbudgets",
                    cluster_world.disruption_budget(allowed=0),
                    namespace=names.WORKLOAD_NAMESPACE,
                )
        self._connect_modules()
        self._active: defaultdict[str, set[Fault]] = defaultdict(set)
        self._prepared: set[tuple[str, str]] = set()
        if self.variant.scope == "node":
            self._prepare_node(self.default_node, self.variant)

    def _connect_modules(self) -> None:
        context = self._context
        self._monitors = Monitors(context, PlatformConnectors(context))
        self._machines = Machines(
            context,
            on_boot=self._on_boot,
            on_ready=lambda node: context.spawn(self._monitors.ready_again(node)),
        )
        self._people = People(context, self.heal)
        Labeler(context, self._monitored_again)
        if context.cluster.monitor_only:
            self.metrics = Metrics(context, None)
            return
        self.metrics = Metrics(context, FaultQuarantine(context))
        NodeDrainer(context)
        if context.cluster.custom_drain:
            DrainController(context)
        FaultRemediation(context)
        resets = GpuResets(context, self._on_reset)
        Janitor(context, self._machines, resets, self._on_moment, self._on_terminated)
        LifecycleManager(context)

    @property
    def ledger(self) -> Ledger:
        """The health events and what became of them."""
        return self._context.ledger

    # --- what people do -----------------------------------------------------------------

    def inject(self, fault: str, node: str = "", variant: str = "", *, people: bool = False) -> str:
        """Let a fault strike; returns the node. The chain goes on by itself.

        Args:
            fault: a name in FAULTS.
            node: its name or alias; the default node when empty.
            variant: a variant of scope `node`; the sandbox's own when empty.
            people: whether someone repairs, in time, what NVSentinel leaves to people.

        Raises WrongCall for unknown names and a variant the sandbox must start with.
        """
        chosen = find_fault(fault)
        node = self.find_node(node) if node else self.default_node
        if self.store.find("nodes", node) is None:
            raise WrongCall(f"node {node} is gone at the moment", "wait until it is back")
        wanted = _node_variant(find_variant(variant)) if variant else self.variant
        self._prepare_node(node, wanted)
        if self.variant.neighbours_fail:
            self._strike_neighbours(chosen, node)
        self._active[node].add(chosen)
        self._context.spawn(self._strike_node(chosen, node))
        if people:
            self._people.attend(chosen, node)
        return node

    def heal(self, node: str) -> None:
        """Repair a node as a person would: reboot it if that is what it takes.

        Raises WrongCall for an unknown node.
        """
        self._context.spawn(self._repair_node(self.find_node(node)))

    def find_node(self, name: str) -> str:
        """The GPU node of this name, or of this alias where it fits exactly one.

        Raises WrongCall otherwise.
        """
        if name in self.nodes:
            return name
        alias_of = self._alias_of
        fitting = [n for n in self.nodes if alias_of(n) == name] if alias_of else []
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise WrongCall(f"{name} fits {', '.join(fitting[:10])}", "give the node's name")
        raise WrongCall(f"the sandbox has no GPU node {name!r}", suggest_names(name, self.nodes))

    def cordon(self, node: str, *, on: bool) -> None:
        """Cordon or uncordon a node as a person would. Raises WrongCall, NotFound."""
        self._people.cordon(self.find_node(node), on=on)

    def reset_breaker(self) -> None:
        """Close the circuit breaker as a person would."""
        self._people.close_breaker()

    def status(self) -> dict[str, Any]:
        """Each GPU node's state in words and facts, as JSON-able data."""
        listed = self.store.list("nodes", label_selector=f"{names.GPU_LABEL}=true")
        return {
            "speed": self._context.pace.speed,
            "seed": self.ids.seed,
            "variant": self.variant.name,
            "default_node": self.default_node,
            "nodes": [_node_status(node) for node in listed],
        }

    async def wait(self, seconds: float) -> None:
        """Let so much time of the story pass: seconds at speed 1."""
        await self._context.pace.wait(seconds)

    async def stop(self) -> None:
        """End everything that is under way."""
        await self._context.stop()

    # --- inside -------------------------------------------------------------------------

    def _prepare_node(self, node: str, variant: Variant) -> None:
        """Bring the node into the state a variant begins with, once."""
        self._context.choose(node, variant)
        if (node, variant.name) in self._prepared:
            return
        self._prepared.add((node, variant.name))
        if variant.opted_out:
            label = {names.OPT_OUT_LABELS[0]: "false"}
            self.store.update("nodes", node, lambda n: n["metadata"]["labels"].update(label))
        if variant.partial_drain or not variant.busy:
            self._machines.remove_jobs(node)
        if variant.partial_drain:
            cluster_world.split_gpus(self.store, self.ids, node, self._context.clock.now())
        if variant.cordoned_before:
            self._people.cordon(node)
        if variant.untainted_in_drain:
            self._people.untaint_when_draining(node)
        if variant.budget_blocks:
            self._people.allow_disruption_when_draining(node)
        if variant.old_remediation:
            leave_old_remediation(self._context, node)
        if variant.uncordoned_in_drain:
            self._people.uncordon_when_draining(node)

    def _on_boot(self, node: str) -> None:
        self._active.pop(node, None)
        self._context.spawn(self._report_after_boot(node))

    async def _report_after_boot(self, node: str) -> None:
        said = await self._monitors.report_boot(node)
        replays = self._context.variant(node).monitor_restarts == "recovered"
        if replays and said and ("replayed", node) not in self._prepared:
            self._prepared.add(("replayed", node))
            await self._context.sleep("replay", node)
            self._context.spawn(self._machines.end_jobs(node, ""))
            await self._monitors.report_restart(node, said)

    async def _strike_node(self, fault: Fault, node: str) -> None:
        gpu, pid = self._monitors.choose_gpu(node)
        if fault.stops_kubelet:
            self._machines.set_ready(node, ready=False)
            await self._context.sleep("not_ready_seen", node)
        if fault.ends_jobs:
            whole = fault.reports[0].action != "COMPONENT_RESET"
            self._context.spawn(self._machines.end_jobs(node, "" if whole else gpu.uuid))
        await self._monitors.report(fault, node, gpu, pid)

    def _on_moment(self, node: str, moment: Moment) -> None:
        """A reboot reached a moment at which further checks see the fault."""
        variant = self._context.variant(node)
        if variant.monitor_restarts == moment:
            self._context.spawn(self._monitors.report_restart(node))
        if variant.looked_at_in_reboot and moment == "signal-sent":
            self._people.debug(node)
        for companion in variant.companions:
            if companion.at == moment:
                self._monitors.publish(companion.report, node)

    def _strike_neighbours(self, fault: Fault, node: str) -> None:
        """Let the fault strike as many other nodes as make half of them all."""
        others = [name for name in self.nodes if name != node]
        for name in others[: max(0, (len(self.nodes) + 1) // 2 - 1)]:
            self._active[name].add(fault)
            self._context.spawn(self._strike_node(fault, name))

    def _on_reset(self, node: str, uuid: str, ok: bool) -> None:
        if ok:
            self._active.pop(node, None)
        self._monitors.gpu_reset(node, uuid, ok)

    def _monitored_again(self, node: str) -> None:
        """Monitors come back to a node; they report health where nothing is wrong."""
        if not self._active.get(node):
            self._context.spawn(self._report_after_boot(node))

    def _on_terminated(self, node: str) -> None:
        self._active.pop(node, None)
        self._monitors.forget(node)
        self._context.spawn(self._renew_machine(node))

    async def _renew_machine(self, node: str) -> None:
        """The provider's node group makes a new machine of the same name."""
        context = self._context
        await context.sleep("replace_node", node)
        instance, now = self.ids.count("instance", node), context.clock.now()
        index = self.nodes.index(node)
        if context.node(node) is None:
            self.store.create(
                "nodes", cluster_world.gpu_node(self.ids, node, index, now, instance=instance)
            )
            for container, pod in cluster_world.start_daemons(
                self.store, self.ids, node, now, instance
            ):
                context.register_pod(container, pod, node)

    async def _repair_node(self, node: str) -> None:
        await self._context.sleep("person_acts", node)
        self._people.clear_conditions(node, self._monitors.derived_checks(node))
        faults = self._active.pop(node, set())
        for fault in faults:
            self._monitors.subside(node, fault.name)
        if self._machines.is_down(node):
            self._machines.boot(node)
        elif any(fault.cure == "reboot" for fault in faults):
            await self._machines.power_cycle(node)
        else:
            self._monitors.report_fixed(node)
            self._machines.set_ready(node, ready=True)
        self._people.report_back(node)


def find_fault(name: str) -> Fault:
    if name not in FAULTS:
        raise WrongCall(f"there is no fault {name!r}", suggest_names(name, FAULTS, LISTING))
    return FAULTS[name]


def find_variant(name: str) -> Variant:
    if name and name not in VARIANTS:
        raise WrongCall(f"there is no variant {name!r}", suggest_names(name, VARIANTS, LISTING))
    return VARIANTS[name] if name else NORMAL


def _node_variant(variant: Variant) -> Variant:
    if variant.scope == "cluster":
        raise WrongCall(
            f"variant {variant.name} concerns the whole installation",
            f"start the sandbox with `--variant {variant.name}`",
        )
    return variant


def _node_status(node: dict[str, Any]) -> dict[str, Any]:
    labels = node["metadata"].get("labels", {})
    conditions = node["status"]["conditions"]
    ready = next(c["status"] for c in conditions if c["type"] == "Ready")
    return {
        "name": node["metadata"]["name"],
        "ready": ready == "True",
        "cordoned": bool(node["spec"].get("unschedulable")),
        "state": labels.get(names.STATE_LABEL, ""),
        "faults": {
            c["type"]: c["message"]
            for c in conditions
            if c["status"] == "True" and c.get("reason", "").endswith("IsNotHealthy")
        },
    }
