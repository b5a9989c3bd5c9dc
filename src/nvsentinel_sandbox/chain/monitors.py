"""The health monitors: what they report when a fault strikes, and when it is over.

The syslog monitor calls a check healthy when it sees a new boot id; the GPU monitor when
DCGM answers again after a boot, or when the cause is fixed; the object monitor when the
node is Ready. Nobody calls anything healthy because a RebootNode completed.
Sources: health-monitors/syslog-health-monitor, gpu-health-monitor, kubernetes-object-monitor.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from nvsentinel_sandbox.chain.connectors import PlatformConnectors
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.cluster_world import Gpu, gpus_of
from nvsentinel_sandbox.world.context import Context
from nvsentinel_sandbox.world.health import Entity, HealthEvent
from nvsentinel_sandbox.world.reports import (
    ANALYZER,
    CSP_MONITOR,
    GPU_MONITOR,
    NIC_MONITOR,
    OBJECT_MONITOR,
    PREFLIGHT,
    SLURM_MONITOR,
    SYSLOG,
    Fault,
    Report,
)

# What reports health again once its cause is gone, without a reboot.
_LOOK_AGAIN = (GPU_MONITOR, OBJECT_MONITOR, NIC_MONITOR, CSP_MONITOR, SLURM_MONITOR, PREFLIGHT)
_RESTARTS = ("RESTART_BM", "RESTART_VM")
_RESET_FAILED = Report(
    check="SysLogsXIDError",
    agent=SYSLOG,
    message="GPU reset executed: {uuid}, success: false",
    codes=("GPU_RESET_FAILURE",),
    action="RESTART_VM",
)


class Monitors:
    def __init__(self, context: Context, connectors: PlatformConnectors) -> None:
        self._context = context
        self._connectors = connectors
        self._reported: defaultdict[str, dict[HealthEvent, None]] = defaultdict(dict)
        self._over: set[tuple[str, str]] = set()

    # --- a fault strikes ----------------------------------------------------------------

    def choose_gpu(self, node: str) -> tuple[Gpu, int]:
        """The GPU that the next fault on a node is about, and the process that finds out."""
        ids = self._context.ids
        rng = ids.rng("fault", node, ids.count("fault", node))
        return rng.choice(gpus_of(ids, node)), rng.randint(2000, 60000)

    async def report(self, fault: Fault, node: str, gpu: Gpu, pid: int) -> None:
        """Publish a fault's reports, each at its time, and its repeats until it subsides."""
        context = self._context
        self._over.discard((node, fault.name))
        for report in sorted(fault.reports, key=lambda r: r.after):
            if report.after:
                context.spawn(self._publish_later(report, node, gpu, pid))
            else:
                self.publish(report, node, gpu, pid)
        if fault.ends_after is not None:
            await context.pace.wait(fault.ends_after)
            agents = {report.agent for report in fault.reports}
            self._send_events(*map(_healthy_event_for, self._take_reported(node, *agents)))
        for _ in range(fault.repeats):
            await context.pace.wait(fault.every)
            if (node, fault.name) in self._over:
                return
            for report in fault.reports:
                self.publish(report, node, gpu, pid)
        if fault.repeats:
            await context.pace.wait(fault.every)
            for report in fault.reports:
                self._send_events(*_all_clear(node, report.agent, [report.check]))

    async def _publish_later(self, report: Report, node: str, gpu: Gpu, pid: int) -> None:
        await self._context.pace.wait(report.after)
        self.publish(report, node, gpu, pid)

    def publish(self, report: Report, node: str, gpu: Gpu | None = None, pid: int = 0) -> None:
        """Publish one report about a node."""
        gpu = gpu or gpus_of(self._context.ids, node)[0]
        if (action := self._context.variant(node).custom_action) and report.action in _RESTARTS:
            report = replace(report, action="CUSTOM", custom=action)
        message = report.message.format(
            pci=gpu.pci, gpu=gpu.index, uuid=gpu.uuid, pid=pid, node=node
        )
        event = HealthEvent(
            node=node,
            check=report.check,
            agent=report.agent,
            component=report.component,
            generated=self._context.clock.nanoseconds(),
            message=message,
            fatal=report.fatal,
            action=report.action,
            codes=report.codes,
            entities=tuple(_entity_of(kind, gpu) for kind in report.entities),
            strategy=report.strategy,
            custom=report.custom,
            quarantine=report.quarantine,
            drain=report.drain,
            creator=report.creator,
        )
        if report.fatal:
            self._reported[node][event] = None
        self._context.log(report.agent, message, node=node, check=report.check)
        self._send_events(event)

    def _send_events(self, *events: HealthEvent) -> None:
        """Publish, unless no monitor is on the node."""
        node = self._context.node(events[0].node) if events else None
        if node is None or node["metadata"]["labels"].get(names.MANAGED_LABEL) == "false":
            return
        clock = self._context.clock
        events = tuple(e if e.generated else _date_event(e, clock.nanoseconds()) for e in events)
        if self._context.cluster.store_only:
            events = tuple(msgspec.structs.replace(e, strategy="STORE_ONLY") for e in events)
        self._connectors.publish(*events)

    async def report_restart(self, node: str, old: Sequence[HealthEvent] = ()) -> None:
        """The syslog monitor's pod starts anew and reads the journal once more."""
        await self._context.sleep("monitor_restarts", node)
        self._context.log(SYSLOG, "started", node=node)
        again = old or [e for e in self._reported[node] if e.agent == SYSLOG]
        self._reported[node].update(dict.fromkeys(again))
        self._send_events(*(_date_event(e, 0) for e in again))

    # --- and is over --------------------------------------------------------------------

    def subside(self, node: str, fault: str) -> None:
        """The fault is not reported again."""
        self._over.add((node, fault))

    def report_fixed(self, node: str) -> None:
        """The causes were fixed without a reboot: monitors that look again see health."""
        self._send_events(*map(_healthy_event_for, self._take_reported(node, *_LOOK_AGAIN)))

    def forget(self, node: str) -> None:
        """The machine is gone: what was reported about it concerns nobody."""
        self._reported.pop(node, None)

    def derived_checks(self, node: str) -> list[str]:
        """The analyzer's checks that were reported, which it never calls healthy."""
        return [event.check for event in self._take_reported(node, ANALYZER)]

    def gpu_reset(self, node: str, uuid: str, ok: bool) -> None:
        """A reset of one GPU is in the kernel log. Its failure is a fault of its own."""
        if not ok:
            gpus = gpus_of(self._context.ids, node)
            self.publish(_RESET_FAILED, node, next(g for g in gpus if g.uuid == uuid))
            return
        self._context.log(SYSLOG, f"GPU reset executed: {uuid}, success: true", node=node)
        hit = [e for e in self._reported[node] if e.entity("GPU_UUID") == uuid]
        for event in hit:
            del self._reported[node][event]
        self._send_events(*map(_healthy_event_for, hit))

    async def report_boot(self, node: str) -> list[HealthEvent]:
        """The machine has a new boot id, and its DCGM starts from an empty cache; what the
        kernel log had said until then."""
        context = self._context
        await context.sleep("dcgm_up", node)
        self._take_reported(node, GPU_MONITOR)
        self._send_events(*_all_clear(node, GPU_MONITOR, names.GPU_CHECKS))
        await context.sleep("boot_seen", node)
        taken = self._take_reported(node, SYSLOG)
        others = [e for e in taken if e.check not in names.SYSLOG_CHECKS]
        cleared = _all_clear(node, SYSLOG, names.SYSLOG_CHECKS)
        self._send_events(
            *cleared, *(msgspec.structs.replace(_healthy_event_for(e), entities=()) for e in others)
        )
        return taken

    async def ready_again(self, node: str) -> None:
        """The kubelet posts Ready."""
        await self._context.sleep("not_ready_seen", node)
        self._send_events(*map(_healthy_event_for, self._take_reported(node, OBJECT_MONITOR)))

    def _take_reported(self, node: str, *agents: str) -> list[HealthEvent]:
        """Forget what these agents reported about the node, and return it."""
        taken = [event for event in self._reported[node] if event.agent.startswith(agents)]
        for event in taken:
            del self._reported[node][event]
        return taken


_FIXED_ENTITIES = {
    "NVLINK": "8",
    "GPC": "2",
    "TPC": "3",
    "SM": "1",
    "NIC": "mlx5_4",
    "NICPort": "1",
    "gce_instance": "4816270011523",
}


def _entity_of(kind: str, gpu: Gpu) -> Entity:
    values = {"GPU": str(gpu.index), "PCI": gpu.pci, "GPU_UUID": gpu.uuid}
    return (kind, values.get(kind) or _FIXED_ENTITIES[kind])


def _date_event(event: HealthEvent, generated: int) -> HealthEvent:
    """The same at another time; one dated 0 gets the time when it is sent."""
    return msgspec.structs.replace(event, generated=generated)


def _all_clear(node: str, agent: str, checks: Iterable[str]) -> list[HealthEvent]:
    """One healthy event a check, without entities: it clears everything for that check."""
    return [
        HealthEvent(
            node=node,
            check=check,
            agent=agent,
            component="GPU",
            generated=0,
            healthy=True,
        )
        for check in checks
    ]


def _healthy_event_for(fault: HealthEvent) -> HealthEvent:
    return HealthEvent(
        node=fault.node,
        check=fault.check,
        agent=fault.agent,
        component=fault.component,
        generated=0,
        healthy=True,
        entities=fault.entities,
        strategy=fault.strategy,
    )
