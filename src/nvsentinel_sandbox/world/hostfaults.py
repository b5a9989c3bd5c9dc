"""Faults around the GPU, as data: the node, its network ports, the provider, checks of others.

Part of faults.FAULTS. NIC and provider faults are not ended by a reboot. The drills are what
an operator sends to try the chain out, with overrides of its rules.
"""

from __future__ import annotations

from nvsentinel_sandbox.world.health import Override
from nvsentinel_sandbox.world.reports import (
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

# Both join other faults; variants.py uses them too.
NODE_NOT_READY = Report(
    check="node-not-ready",
    agent=OBJECT_MONITOR,
    message="Node {node} is not ready",
    codes=("NODE_NOT_READY",),
    action="CONTACT_SUPPORT",
    entities=(),
    component="Node",
)

IB_LINK_DOWN = Report(
    check="InfiniBandStateCheck",
    agent=NIC_MONITOR,
    message="Port mlx5_4 port 1: state DOWN, phys_state Disabled",
    codes=(),
    action="CONTACT_SUPPORT",
    entities=("NIC", "NICPort"),
    component="NIC",
)


def _port_report(check: str, message: str, *, fatal: bool = False) -> Report:
    return Report(
        check=check,
        agent=NIC_MONITOR,
        message=message,
        action="CONTACT_SUPPORT" if fatal else "NONE",
        entities=("NIC", "NICPort"),
        component="NIC",
        fatal=fatal,
    )


def _nic_fault(name: str, title: str, report: Report) -> Fault:
    """A port's fault: a cable or a switch, so no reboot ends it."""
    heal = 5.0 if report.fatal else None
    return Fault(name, title, (report,), cure="fix", ends_jobs=report.fatal, people_heal_after=heal)


def _preflight_fault(name: str, check: str, message: str) -> Fault:
    """A test before a job fails, and the job with it; the node is looked at by people."""
    report = Report(
        check=check,
        agent=PREFLIGHT + name,
        message=message,
        action="CONTACT_SUPPORT",
        entities=("GPU", "PCI", "GPU_UUID"),
    )
    title = f"{check} failed before a job"
    return Fault(f"preflight-{name}", title, (report,), cure="fix", people_heal_after=5.0)


def _drill_fault(name: str, title: str, *, quarantine: Override, drain: Override) -> Fault:
    """What NVSentinel's documentation recommends for a drill: nothing is rebooted."""
    report = Report(
        check="GpuInforomWatch",
        agent=GPU_MONITOR,
        message="drill, no action needed",
        codes=("DCGM_FR_CORRUPT_INFOROM",),
        action="CONTACT_SUPPORT",
        entities=("GPU", "PCI", "GPU_UUID"),
        quarantine=quarantine,
        drain=drain,
        creator="sre" if quarantine else "",
    )
    return Fault(name, title, (report,), cure="fix", ends_jobs=False, people_heal_after=5.0)


HOST_FAULTS = (
    Fault(
        name="node-not-ready",
        title="Node stops being Ready",
        reports=(NODE_NOT_READY,),
        cure="fix",
        stops_kubelet=True,
        people_heal_after=5.0,
    ),
    _nic_fault("ib-link-down", "InfiniBand link down", IB_LINK_DOWN),
    _nic_fault(
        "ib-degraded",
        "InfiniBand link degraded (an Event only)",
        _port_report(
            "InfiniBandDegradationCheck", "Port mlx5_4 port 1: rate 200 Gb/s, expected 400"
        ),
    ),
    _nic_fault(
        "ib-device-missing",
        "InfiniBand character device missing",
        _port_report("InfiniBandCharDeviceCheck", "/dev/infiniband/uverbs4 is missing", fatal=True),
    ),
    _nic_fault(
        "eth-link-down",
        "Ethernet link down",
        _port_report("EthernetStateCheck", "Port mlx5_4 port 1: state DOWN", fatal=True),
    ),
    _nic_fault(
        "eth-degraded",
        "Ethernet link degraded (an Event only)",
        _port_report("EthernetDegradationCheck", "Port mlx5_4 port 1: rx_errors 1288 in 60 s"),
    ),
    Fault(
        name="nic-driver",
        title="NIC driver error in the kernel log",
        reports=(
            Report(
                check="SysLogsNICDriverError",
                agent=SYSLOG,
                message="mlx5_core 0000:5e:00.0: cmd_work_handler: timeout. Will cause a leak of "
                "a command resource",
                codes=("MLX5_CMD_TIMEOUT",),
                action="CONTACT_SUPPORT",
                entities=("NIC",),
                component="NIC",
            ),
        ),
        people_heal_after=5.0,
    ),
    Fault(
        name="csp-maintenance",
        title="The cloud provider will maintain the machine",
        reports=(
            Report(
                check="CSPMaintenance",
                agent=CSP_MONITOR,
                message="TERMINATE_ON_HOST_MAINTENANCE scheduled",
                action="RESTART_VM",
                entities=("gce_instance",),
                component="gce_instance",
            ),
        ),
        cure="fix",
        ends_jobs=False,
        ends_after=25.0,
    ),
    Fault(
        name="slurm-drain",
        title="Slurm drained the node (a condition only: no rule set is for it)",
        reports=(
            Report(
                check="SlurmHealthCheck",
                agent=SLURM_MONITOR,
                message="Slurm node {node} is drained: epilog failed",
                action="CONTACT_SUPPORT",
                entities=(),
                component="Node",
            ),
        ),
        cure="fix",
        ends_jobs=False,
        people_heal_after=5.0,
    ),
    _preflight_fault("dcgm-diagnostic", "DcgmDiagnostic", "DCGM diagnostic failed on GPU {gpu}"),
    _preflight_fault(
        "nccl-loopback", "NCCLLoopbackTest", "NCCL loopback below the expected bandwidth"
    ),
    _preflight_fault("nccl-allreduce", "NCCLAllReduceTest", "NCCL all-reduce did not complete"),
    _drill_fault(
        "drill-no-drain",
        "A drill: quarantined, not drained, left to people",
        quarantine="",
        drain="skip",
    ),
    _drill_fault(
        "drill-forced",
        "A drill past all rules: quarantined and drained at once",
        quarantine="force",
        drain="force",
    ),
)
