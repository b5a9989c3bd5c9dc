"""Faults around the GPU, as data: the node, its network ports, the provider, the analyzer.

Part of faults.FAULTS. NIC and provider faults are not ended by a reboot; what the analyzer
concludes is ended by nobody but people.
"""

from __future__ import annotations

from nvsx.sandbox.reports import (
    ANALYZER,
    CSP_MONITOR,
    NIC_MONITOR,
    OBJECT_MONITOR,
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


def _port(check: str, message: str, *, fatal: bool = False) -> Report:
    return Report(
        check=check,
        agent=NIC_MONITOR,
        message=message,
        action="CONTACT_SUPPORT" if fatal else "NONE",
        entities=("NIC", "NICPort"),
        component="NIC",
        fatal=fatal,
    )


def _nic(name: str, title: str, report: Report) -> Fault:
    """A port's fault: a cable or a switch, so no reboot ends it."""
    heal = 5.0 if report.fatal else None
    return Fault(name, title, (report,), cure="fix", ends_jobs=report.fatal, people_heal_after=heal)


def _derived(name: str, check: str, action: str, message: str, *, code: str = "") -> Fault:
    """What the analyzer concludes from events that repeat. No rule set quarantines for it
    and nobody ever calls it healthy: people take the condition away."""
    seen = [
        Report(
            check="SysLogsXIDError",
            agent=SYSLOG,
            message=f"NVRM: Xid (PCI:{{pci}}): {code}, pid={{pid}}, name=train",
            codes=(code,),
            fatal=False,
            after=float(number),
        )
        for number in (range(2) if code else ())
    ]
    conclusion = Report(
        check=check,
        agent=ANALYZER,
        message=message,
        codes=(code,) if code else (),
        action=action,
        entities=("PCI", "GPU_UUID") if code else (),
        after=2.0,
    )
    title = f"{check}, concluded by the analyzer"
    return Fault(
        name, title, (*seen, conclusion), cure="fix", ends_jobs=False, people_heal_after=5.0
    )


HOST_FAULTS = (
    Fault(
        name="node-not-ready",
        title="Node stops being Ready",
        reports=(NODE_NOT_READY,),
        cure="fix",
        stops_kubelet=True,
        people_heal_after=5.0,
    ),
    _nic("ib-link-down", "InfiniBand link down", IB_LINK_DOWN),
    _nic(
        "ib-degraded",
        "InfiniBand link degraded (an Event only)",
        _port("InfiniBandDegradationCheck", "Port mlx5_4 port 1: rate 200 Gb/s, expected 400"),
    ),
    _nic(
        "ib-device-missing",
        "InfiniBand character device missing",
        _port("InfiniBandCharDeviceCheck", "/dev/infiniband/uverbs4 is missing", fatal=True),
    ),
    _nic(
        "eth-link-down",
        "Ethernet link down",
        _port("EthernetStateCheck", "Port mlx5_4 port 1: state DOWN", fatal=True),
    ),
    _nic(
        "eth-degraded",
        "Ethernet link degraded (an Event only)",
        _port("EthernetDegradationCheck", "Port mlx5_4 port 1: rx_errors 1288 in 60 s"),
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
    _derived(
        "repeated-xid-31",
        "RepeatedXID31OnSameGPU",
        "RUN_DCGMEUD",
        "if DCGM EUD tests pass, run field diagnostics",
        code="31",
    ),
    _derived(
        "repeated-xid-13",
        "RepeatedXID13OnSameGPCAndTPC",
        "RUN_DCGMEUD",
        "XID 13 on the same GPC and TPC",
        code="13",
    ),
    _derived(
        "repeated-xid",
        "RepeatedXIDErrorOnSameGPU",
        "CONTACT_SUPPORT",
        "XID errors on the same GPU 5 times within 24 hours",
        code="43",
    ),
    _derived(
        "multiple-remediations",
        "MultipleRemediations",
        "CONTACT_SUPPORT",
        "multiple remediations within 7 days on a node",
    ),
    _derived(
        "repeated-nic-driver",
        "RepeatedNICDriverError",
        "CONTACT_SUPPORT",
        "NIC driver errors repeat",
    ),
    _derived(
        "repeated-nic-degradation",
        "RepeatedNICDegradation",
        "CONTACT_SUPPORT",
        "NIC degradations repeat",
    ),
)
