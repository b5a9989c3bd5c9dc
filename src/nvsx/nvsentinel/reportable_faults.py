"""Every fault that NVSentinel is known to report, for the question whether a runbook is for it.

Facts only, as in `names`: check, error codes, recommended action, and the module that reports
it. A fault of another action is another row. Sources (NVSentinel tree, about v1.19):
health-monitors/syslog-health-monitor/pkg (Xid-Catalog.xlsx), charts/gpu-health-monitor/files/
dcgmerrorsmapping.csv, health-monitors/{nic,csp}-health-monitor, kubernetes-object-monitor,
preflight, health-events-analyzer, slurm-drain-monitor.

Codes that are too many to list (most XIDs, all SXIDs, the names of object-monitor policies) have
one row without a code, so that a check nobody covers as a whole is seen to be uncovered.
"""

from __future__ import annotations

from collections.abc import Iterator

from nvsx.core.routing.vocabulary import ReportableFault
from nvsx.nvsentinel.names import ANALYZER, NIC_CHECKS, STORE_ONLY, agent_of

#: (check, error codes, action); a code of its own each, an empty text for "any other code".
_ACTED_ON = (
    ("SysLogsXIDError", "79 154", "RESTART_BM"),
    ("SysLogsXIDError", "48 64 95 109 119 120", "COMPONENT_RESET"),
    ("SysLogsXIDError", "145.RLW_REMAP 146.TLW_RX 147.TREX 149.NETIR", "COMPONENT_RESET"),
    ("SysLogsXIDError", "74 150", "CONTACT_SUPPORT"),
    ("SysLogsXIDError", "", "COMPONENT_RESET"),
    ("SysLogsGPUFallenOff", "GPU_FALLEN_OFF_BUS", "RESTART_BM"),
    ("SysLogsSXIDError", "", "CONTACT_SUPPORT"),
    ("SysLogsNICDriverError", "", "CONTACT_SUPPORT"),
    ("GpuAllWatch", "DCGM_FR_FALLEN_OFF_BUS", "RESTART_BM"),
    ("GpuAllWatch", "DCGM_FR_UNCONTAINED_ERROR", "RESTART_VM"),
    ("GpuMemWatch", "DCGM_FR_VOLATILE_DBE_DETECTED DCGM_FR_PENDING_ROW_REMAP", "COMPONENT_RESET"),
    ("GpuMemWatch", "DCGM_FR_ROW_REMAP_FAILURE", "CONTACT_SUPPORT"),
    ("GpuNvlinkWatch", "DCGM_FR_NVLINK_DOWN", "RESTART_VM"),
    ("GpuNvswitchFatalWatch", "DCGM_FR_NVSWITCH_FATAL_ERROR", "CONTACT_SUPPORT"),
    ("GpuInforomWatch", "DCGM_FR_CORRUPT_INFOROM", "COMPONENT_RESET"),
    ("GpuThermalWatch", "DCGM_FR_THERMAL_VIOLATIONS", "CONTACT_SUPPORT"),
    ("GpuPcieWatch", "DCGM_FR_PCI_REPLAY_RATE", "CONTACT_SUPPORT"),
    ("GpuDcgmConnectivityFailure", "DCGM_CONNECTIVITY_ERROR DCGM_PROBE_HANG", "CONTACT_SUPPORT"),
    ("InfiniBandStateCheck", "", "CONTACT_SUPPORT"),
    ("InfiniBandCharDeviceCheck", "", "CONTACT_SUPPORT"),
    ("EthernetStateCheck", "", "CONTACT_SUPPORT"),
    ("CSPMaintenance", "", "RESTART_VM"),
    ("node-not-ready", "NODE_NOT_READY", "CONTACT_SUPPORT"),
    ("SlurmHealthCheck", "", "CONTACT_SUPPORT"),
    ("DcgmDiagnostic", "", "CONTACT_SUPPORT"),
    ("NCCLLoopbackTest", "", "CONTACT_SUPPORT"),
    ("NCCLAllReduceTest", "", "CONTACT_SUPPORT"),
    ("MultipleRemediations", "", "CONTACT_SUPPORT"),
    ("RepeatedXIDErrorOnSameGPU", "", "CONTACT_SUPPORT"),
    ("RepeatedXID31OnSameGPU", "", "RUN_DCGMEUD"),
    ("RepeatedXID31OnDifferentGPU", "", "CONTACT_SUPPORT"),
    ("RepeatedXID13OnSameGPCAndTPC", "", "RUN_DCGMEUD"),
    ("RepeatedXID13OnDifferentGPCAndTPC", "", "CONTACT_SUPPORT"),
    ("XIDErrorSoloNoBurst", "", "CONTACT_SUPPORT"),
    ("XID74Reg0SoloNVLinkError", "", "CONTACT_SUPPORT"),
    ("RepeatedXID74OnSameNVLink", "", "CONTACT_SUPPORT"),
    ("RepeatedNICDriverError", "", "CONTACT_SUPPORT"),
    ("RepeatedNICDegradation", "", "CONTACT_SUPPORT"),
)
#: Reported as an Event and nothing more.
_NOT_FATAL = (
    ("SysLogsXIDError", "13 31 43 45 63 94 144.SAW_MVB 148.NVLPW_CTRL"),
    ("GpuThermalWatch", "DCGM_FR_CLOCK_THROTTLE_THERMAL"),
    ("GpuPowerWatch", "DCGM_FR_CLOCK_THROTTLE_POWER"),
    ("GpuNvswitchNonfatalWatch", "DCGM_FR_NVSWITCH_NON_FATAL_ERROR"),
    ("InfiniBandDegradationCheck", ""),
    ("EthernetDegradationCheck", ""),
)
#: Stored as long as the operator has not told the monitor to act on it.
_STORED_ONLY = (
    ("GpuDcgmUnresponsive", "DCGM_PROBE_HANG", "RESTART_BM"),
    ("GpuThermalMarginWatch", "GPU_TEMP_HW_SLOWDOWN_VIOLATION", "CONTACT_SUPPORT"),
)
#: Agents that a check's own name does not tell.
_AGENTS = {
    "node-not-ready": "kubernetes-object-monitor",
    "DcgmDiagnostic": "preflight-dcgm-diagnostic",
    "NCCLLoopbackTest": "preflight-nccl-loopback",
    "NCCLAllReduceTest": "preflight-nccl-allreduce",
}
_CLASSES = {
    **dict.fromkeys((*NIC_CHECKS, "SysLogsNICDriverError"), "NIC"),
    **dict.fromkeys(("node-not-ready", "SlurmHealthCheck"), "Node"),
    "CSPMaintenance": "",  # the type of the provider's resource, such as gce_instance
}


def _list_faults(
    check: str, codes: str, action: str, *, fatal: bool = True, strategy: str = ""
) -> Iterator[ReportableFault]:
    for code in codes.split() or ("",):
        yield ReportableFault(
            check=check,
            code=code,
            action=action,
            agent=_AGENTS.get(check) or agent_of(check) or ANALYZER,
            fatal=fatal,
            strategy=strategy or "EXECUTE_REMEDIATION",
            component_class=_CLASSES.get(check, "GPU"),
        )


REPORTABLE_FAULTS: tuple[ReportableFault, ...] = (
    *(fault for row in _ACTED_ON for fault in _list_faults(*row)),
    *(fault for row in _NOT_FATAL for fault in _list_faults(*row, "NONE", fatal=False)),
    *(fault for row in _STORED_ONLY for fault in _list_faults(*row, strategy=STORE_ONLY)),
)
