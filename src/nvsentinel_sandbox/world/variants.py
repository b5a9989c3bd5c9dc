"""The ways a chain can go, as data: what differs from the normal course, and for whom.

Each part of the simulator asks the variant of its node (or of the cluster) for the one
fact it cares about; nothing here acts. A new variant is a new entry in VARIANTS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nvsentinel_sandbox.world.faults import DCGM_AWAY
from nvsentinel_sandbox.world.hostfaults import IB_LINK_DOWN, NODE_NOT_READY
from nvsentinel_sandbox.world.repairs import EXTERNAL, RESET, TERMINATE, Repair
from nvsentinel_sandbox.world.reports import Report

Scope = Literal["node", "cluster"]
Reboot = Literal["succeeds", "times-out", "refused", "manual"]
Drain = Literal["AllowCompletion", "Immediate", "DeleteAfterTimeout"]
Validation = Literal["", "succeeds", "fails"]
Moment = Literal["signal-sent", "node-down", "recovered"]


@dataclass(frozen=True, slots=True)
class Companion:
    """A second report about the node, published at a moment of its reboot."""

    report: Report
    at: Moment


@dataclass(frozen=True, slots=True)
class Variant:
    """A named deviation.

    Attributes:
        scope: `node` variants concern the injected node and can be given to an injection;
            `cluster` variants concern the installation and are chosen at the start.
        timings: seconds at speed 1 that differ from `timing.DURATIONS`.
        reboot: how the node's reboot goes.
        busy: whether a training pod runs on the node.
        old_remediation: last week's finished RebootNode and uncordon labels are there.
        uncordoned_in_drain: a person uncordons the node while it drains.
        looked_at_in_reboot: a person starts a debug pod on the node at the reboot signal,
            so that faults which join then drain again.
        companions: further checks that see the same fault.
        layout_2025: annotations and CRs as NVSentinel of autumn 2025 wrote them.
        opted_out: the node carries the label that takes it out of NVSentinel's care.
        cordoned_before: somebody cordoned the node before the fault.
        drain_fails: the drainer gives up, which ends the chain.
        repair_refused: the API server does not take the maintenance object.
        custom_action: monitors ask for this custom action instead of a restart.
        monitor_restarts: a moment at which the syslog monitor starts anew and reports what
            it finds in the journal once more.
        breaker_tripped, dry_run, monitor_only: the state of the installation.
        store_only: every monitor's events are stored and do nothing.
        drain: the drain mode of all user namespaces.
        partial_drain: for a component's reset only the pods of that GPU are drained; each
            GPU of the node has a pod.
        custom_drain: the operator's own controller drains.
        budget_blocks: a disruption budget refuses evictions for a while.
        repairs: what the operator maps recommended actions to, beside the defaults.
        reset_fails: GPU resets do not succeed.
        log_collector: logs are collected before a repair is asked for.
        taint: the rule sets taint a node, and do not only cordon it: key=value:effect.
        untainted_in_drain: a person removes that taint while the node drains.
        validation: v1.20: a healthy node stays cordoned for a ValidationRequest.
        neighbours_fail: as many other nodes get the fault as trip the breaker.
        people_heal_after: as in Fault, for what the variant leaves broken.
    """

    name: str
    title: str
    scope: Scope = "node"
    timings: Mapping[str, float] = field(default_factory=dict)
    reboot: Reboot = "succeeds"
    busy: bool = True
    old_remediation: bool = False
    uncordoned_in_drain: bool = False
    looked_at_in_reboot: bool = False
    companions: tuple[Companion, ...] = ()
    layout_2025: bool = False
    opted_out: bool = False
    cordoned_before: bool = False
    drain_fails: bool = False
    repair_refused: bool = False
    custom_action: str = ""
    monitor_restarts: Moment | None = None
    breaker_tripped: bool = False
    dry_run: bool = False
    monitor_only: bool = False
    store_only: bool = False
    drain: Drain = "AllowCompletion"
    partial_drain: bool = False
    custom_drain: bool = False
    budget_blocks: bool = False
    repairs: Mapping[str, Repair] = field(default_factory=dict)
    reset_fails: bool = False
    log_collector: bool = False
    taint: str = ""
    untainted_in_drain: bool = False
    validation: Validation = ""
    neighbours_fail: bool = False
    people_heal_after: float | None = None


NORMAL = Variant("", "The chain runs through.")

_VARIANTS = (
    Variant(
        "stale-cr",
        "A finished RebootNode and uncordon labels of last week are still on the node.",
        old_remediation=True,
    ),
    Variant(
        "reboot-timeout",
        "The node never comes back in time.",
        timings={"reboot_timeout": 10.0},
        reboot="times-out",
    ),
    Variant(
        "signal-refused",
        "The cloud provider refuses the reboot signal; NodeReady stays Unknown.",
        reboot="refused",
    ),
    Variant(
        "manual-mode",
        "The janitor waits for a person to reboot the node.",
        reboot="manual",
        people_heal_after=4.0,
    ),
    Variant(
        "drain-waits",
        "A training pod takes its time, and the drain waits for it.",
        timings={"workload_ends": 30.0},
    ),
    Variant(
        "manual-uncordon",
        "Someone uncordons the node during the drain, which cancels the session.",
        timings={"workload_ends": 30.0},
        uncordoned_in_drain=True,
    ),
    Variant(
        "three-checks",
        "Three checks see the fault; the session grows and the state label moves backwards.",
        # the node takes its time to go down, so that the joined fault finds the debug pod
        timings={"shutdown": 4.0, "look_at_node": 6.0},
        looked_at_in_reboot=True,
        companions=(Companion(DCGM_AWAY, "signal-sent"), Companion(NODE_NOT_READY, "node-down")),
    ),
    Variant("idle-node", "Nothing runs on the node, so there is no draining state.", busy=False),
    Variant("no-ids", "NVSentinel of 2025: an annotation without event ids.", layout_2025=True),
    Variant("opted-out", "The node's label keeps NVSentinel off it.", opted_out=True),
    Variant(
        "cordoned-before",
        "Somebody cordoned the node before the fault; NVSentinel leaves that cordon.",
        cordoned_before=True,
    ),
    Variant("drain-failed", "The drain fails, and the chain goes no further.", drain_fails=True),
    Variant(
        "partial-recovery",
        "An InfiniBand link fails too: the reboot clears one of two faults, people the other.",
        companions=(Companion(IB_LINK_DOWN, "signal-sent"),),
        people_heal_after=4.0,
    ),
    Variant(
        "monitor-restarts",
        "The syslog monitor starts anew during the reboot and reports the fault once more.",
        monitor_restarts="signal-sent",
    ),
    Variant(
        "cold-start-replay",
        "The syslog monitor starts anew after the recovery and reports the old fault: a second "
        "session and a second reboot, for nothing.",
        monitor_restarts="recovered",
    ),
    Variant(
        "repair-refused",
        "The maintenance object cannot be created: remediation-failed, and no repair.",
        repair_refused=True,
    ),
    Variant(
        "custom-unmapped",
        "Restarts are replaced by a custom action that nothing is mapped to: left to people.",
        custom_action="replace-tray",
        people_heal_after=4.0,
    ),
    Variant(
        "breaker-tripped",
        "The circuit breaker is tripped: conditions change, nothing is quarantined.",
        scope="cluster",
        breaker_tripped=True,
    ),
    Variant(
        "dry-run",
        "NVSentinel runs dry: annotations and state labels, no cordon, no RebootNode.",
        scope="cluster",
        dry_run=True,
    ),
    Variant(
        "monitor-only",
        "Only the monitors are installed: no database, no quarantine, people repair.",
        scope="cluster",
        monitor_only=True,
        people_heal_after=8.0,
    ),
    Variant(
        "store-only",
        "All monitors are STORE_ONLY: events are stored, nothing happens in the cluster.",
        scope="cluster",
        store_only=True,
    ),
    Variant(
        "breaker-trips",
        "Half of the GPU nodes fail at once: the breaker trips and blocks their recovery until "
        "someone resets it.",
        scope="cluster",
        neighbours_fail=True,
        people_heal_after=4.0,
    ),
    Variant(
        "immediate-drain",
        "Drain mode Immediate: pods are evicted.",
        scope="cluster",
        timings={"workload_ends": 60.0},
        drain="Immediate",
    ),
    Variant(
        "budget-blocks",
        "Drain mode Immediate, and a disruption budget refuses the eviction for a while.",
        scope="cluster",
        timings={"workload_ends": 60.0},
        drain="Immediate",
        budget_blocks=True,
    ),
    Variant(
        "delete-after-timeout",
        "Drain mode DeleteAfterTimeout: pods that do not end in time are deleted.",
        scope="cluster",
        timings={"workload_ends": 60.0},
        drain="DeleteAfterTimeout",
    ),
    Variant(
        "partial-drain",
        "Only the pods of the faulty GPU are drained, and the GPU is reset; try it with `xid-48`.",
        scope="cluster",
        repairs={"COMPONENT_RESET": RESET},
        partial_drain=True,
    ),
    Variant(
        "custom-drain",
        "The operator's own controller drains the node, asked by a DrainRequest; the label stays "
        "draining.",
        scope="cluster",
        timings={"workload_ends": 60.0},
        custom_drain=True,
    ),
    Variant(
        "gpu-reset",
        "COMPONENT_RESET is mapped to GPUReset: the GPU is reset and the node is not rebooted; try "
        "it with `xid-48`.",
        scope="cluster",
        repairs={"COMPONENT_RESET": RESET},
    ),
    Variant(
        "gpu-reset-fails",
        "The GPU reset fails, which is a fault of its own and ends in a reboot.",
        scope="cluster",
        repairs={"COMPONENT_RESET": RESET},
        reset_fails=True,
    ),
    Variant(
        "terminate-node",
        "Restarts are mapped to TerminateNode: the node goes away and comes back new.",
        scope="cluster",
        repairs={"RESTART_BM": TERMINATE, "RESTART_VM": TERMINATE},
    ),
    Variant(
        "external-repair",
        "Restarts are mapped to ExternalRemediationRequest: somebody else repairs the node.",
        scope="cluster",
        repairs={"RESTART_BM": EXTERNAL, "RESTART_VM": EXTERNAL},
    ),
    Variant(
        "custom-action",
        "Restarts are replaced by the custom action external-repair, which is mapped to "
        "ExternalRemediationRequest.",
        scope="cluster",
        repairs={"external-repair": EXTERNAL},
        custom_action="external-repair",
    ),
    Variant(
        "log-collector",
        "Logs are collected by a Job before the repair is asked for.",
        scope="cluster",
        log_collector=True,
    ),
    Variant(
        "tainted",
        "The rule sets taint a node as well as cordon it.",
        scope="cluster",
        taint="nvidia.com/gpu-error=fatal:NoSchedule",
    ),
    Variant(
        "manual-untaint",
        "Someone removes NVSentinel's taint during the drain, which cancels the session.",
        scope="cluster",
        timings={"workload_ends": 30.0},
        taint="nvidia.com/gpu-error=fatal:NoSchedule",
        untainted_in_drain=True,
    ),
    Variant(
        "validated",
        "v1.20: a healthy node stays cordoned until a ValidationRequest succeeds.",
        scope="cluster",
        validation="succeeds",
    ),
    Variant(
        "validation-fails",
        "v1.20: the validation fails, and the node stays cordoned.",
        scope="cluster",
        validation="fails",
    ),
)

VARIANTS: dict[str, Variant] = {variant.name: variant for variant in _VARIANTS}
