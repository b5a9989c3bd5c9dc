"""What a fault of the sandbox is made of: the reports of monitors, and who ends it.

The vocabulary of faults.py, and short ways to write the two commonest kinds of report.
Whether a report cordons a node or repairs it is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nvsentinel_sandbox.world.health import Override

SYSLOG = "syslog-health-monitor"
GPU_MONITOR = "gpu-health-monitor"
OBJECT_MONITOR = "kubernetes-object-monitor"
NIC_MONITOR = "nic-health-monitor"
CSP_MONITOR = "csp-health-monitor"
ANALYZER = "health-events-analyzer"
SLURM_MONITOR = "slurm-drain-monitor"
UNRULED = (ANALYZER, SLURM_MONITOR)  # no default rule set quarantines for these
PREFLIGHT = "preflight-"  # each of its checks is an agent of its own

Cure = Literal["reboot", "fix"]


@dataclass(frozen=True, slots=True)
class Report:
    """One health event a monitor publishes for a fault.

    `message` may use {pci}, {gpu} (index), {uuid}, {pid} and {node}. `entities` are the
    entity types it names; their values come from the GPU that is hit. `after` is seconds
    from the injection at speed 1. `custom`, `quarantine`, `drain` and `creator` are those of
    HealthEvent.
    """

    check: str
    agent: str
    message: str
    codes: tuple[str, ...] = ()
    action: str = "NONE"
    entities: tuple[str, ...] = ("PCI", "GPU_UUID")
    component: str = "GPU"
    fatal: bool = True
    strategy: str = "EXECUTE_REMEDIATION"
    after: float = 0.0
    custom: str = ""
    quarantine: Override = ""
    drain: Override = ""
    creator: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by name.

    Attributes:
        cure: how people end it: `reboot` the node, or `fix` the cause, after which the
            monitor that reported it reports health.
        ends_jobs: whether jobs with a GPU on the node die of it, a moment later.
        stops_kubelet: whether the node goes NotReady with it.
        repeats: how often its reports come again, `every` seconds apart at speed 1,
            before it subsides by itself.
        ends_after: seconds at speed 1 from the last report until its monitor reports health
            by itself; None when it does not.
        people_heal_after: seconds at speed 1 from the end of the automatic chain until
            someone repairs it, in runs that simulate people; None when it heals itself
            or NVSentinel repairs it.
    """

    name: str
    title: str
    reports: tuple[Report, ...]
    cure: Cure = "reboot"
    ends_jobs: bool = True
    stops_kubelet: bool = False
    repeats: int = 0
    every: float = 2.0
    ends_after: float | None = None
    people_heal_after: float | None = None


def xid(
    code: str,
    title: str,
    text: str,
    action: str,
    *more: Report,
    error_code: str = "",
    entities: tuple[str, ...] = ("PCI", "GPU_UUID"),
) -> Fault:
    """An XID seen by the syslog monitor; action NONE means a non-fatal Event only."""
    fatal = action != "NONE"
    report = Report(
        check="SysLogsXIDError",
        agent=SYSLOG,
        message=f"NVRM: Xid (PCI:{{pci}}): {code}, pid={{pid}}, name=train, {text}",
        codes=(error_code or code,),
        action=action,
        entities=entities,
        fatal=fatal,
    )
    return Fault(
        name=f"xid-{code}",
        title=title,
        reports=(report, *more),
        ends_jobs=fatal,
        people_heal_after=5.0 if action == "CONTACT_SUPPORT" else None,
    )


def dcgm(check: str, code: str, action: str, message: str, *, after: float = 0.0) -> Report:
    return Report(
        check=check,
        agent=GPU_MONITOR,
        message=message,
        codes=(code,),
        action=action,
        entities=("GPU", "PCI", "GPU_UUID"),
        fatal=action != "NONE",
        after=after,
    )
