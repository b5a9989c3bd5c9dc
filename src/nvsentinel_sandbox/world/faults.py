"""The faults the sandbox can inject, as data: what each monitor reports, and who repairs it.

The monitors of the simulator play what stands here; a new fault is a new entry in FAULTS.
Check names, error codes, recommended actions and entity types are NVSentinel's own
(health-monitors/*, Xid-Catalog.xlsx, dcgmerrorsmapping.csv). What happens after a report
is not decided here: quarantine, drain and remediation follow from the report's fields.
Faults of GPUs and NVSwitches are here, those of what is around them in hostfaults.py,
what is concluded from several in derivedfaults.py.
GpuPmuWatch, GpuMcuWatch, GpuSmWatch and GpuDriverWatch exist as checks and no fault is
known to raise them. The sub-codes of XID 144 to 150 are examples of NVSentinel's decoding.
"""

from __future__ import annotations

from nvsentinel_sandbox.world.derivedfaults import DERIVED_FAULTS
from nvsentinel_sandbox.world.hostfaults import HOST_FAULTS
from nvsentinel_sandbox.world.reports import (
    GPU_MONITOR,
    SYSLOG,
    Fault,
    Report,
    dcgm,
    xid,
)

# Joins other faults while a node reboots; variants.py uses it too.
DCGM_AWAY = Report(
    check="GpuDcgmConnectivityFailure",
    agent=GPU_MONITOR,
    message="Failed to connect to DCGM for health check",
    codes=("DCGM_CONNECTIVITY_ERROR",),
    action="CONTACT_SUPPORT",
    entities=(),
)


def _seen_by_dcgm(
    name: str,
    title: str,
    report: Report,
    *,
    ends_jobs: bool = True,
    people_heal_after: float | None = None,
) -> Fault:
    """A fault that only a DCGM watch sees."""
    return Fault(name, title, (report,), ends_jobs=ends_jobs, people_heal_after=people_heal_after)


_FAULTS = (
    xid("79", "GPU fell off the bus", "GPU has fallen off the bus.", "RESTART_BM"),
    Fault(
        name="gpu-off-bus-line",
        title="GPU fell off the bus, kernel line without an XID",
        reports=(
            Report(
                check="SysLogsGPUFallenOff",
                agent=SYSLOG,
                message="NVRM: The NVIDIA GPU {pci}.0 has fallen off the bus and is not "
                "responding to commands.",
                codes=("GPU_FALLEN_OFF_BUS",),
                action="RESTART_BM",
            ),
        ),
    ),
    xid(
        "48",
        "Double-bit ECC error",
        "An uncorrectable double bit error (DBE) has been detected on GPU in the framebuffer.",
        "COMPONENT_RESET",
        dcgm(
            "GpuMemWatch",
            "DCGM_FR_VOLATILE_DBE_DETECTED",
            "COMPONENT_RESET",
            "GPU {gpu} had uncorrectable memory errors (volatile DBE)",
            after=1.0,
        ),
    ),
    xid("94", "Contained ECC error", "Contained: SM (0x1). RST: No, D-RST: No", "NONE"),
    xid(
        "95",
        "Uncontained ECC error",
        "Uncontained: LTC TAG (0x2,0x0). RST: Yes, D-RST: No",
        "COMPONENT_RESET",
        dcgm(
            "GpuAllWatch",
            "DCGM_FR_UNCONTAINED_ERROR",
            "RESTART_VM",
            "GPU {gpu} had an uncontained error (XID 95)",
            after=1.0,
        ),
    ),
    xid("63", "Row remapping recorded", "Row Remapper: New row marked for remapping.", "NONE"),
    xid(
        "64",
        "Row remapping failed",
        "Row Remapper: Failed to record a row for remapping.",
        "COMPONENT_RESET",
    ),
    xid(
        "74",
        "NVLink error",
        "NVLink: fatal error detected on link 4 (0x0, 0x0, 0x10000, 0x0, 0x0, 0x0, 0x0)",
        "CONTACT_SUPPORT",
    ),
    xid("31", "GPU memory page fault", "MMU Fault: ENGINE GRAPHICS GPCCLIENT_T1_0", "NONE"),
    xid(
        "13",
        "Graphics engine exception",
        "Graphics SM Warp Exception on (GPC 2, TPC 3, SM 1): Out Of Range Address",
        "NONE",
        entities=("PCI", "GPU_UUID", "GPC", "TPC", "SM"),
    ),
    xid("43", "GPU stopped processing", "Ch 00000010", "NONE"),
    xid("45", "Preemptive channel removal", "Ch 00000008", "NONE"),
    xid(
        "119",
        "GSP timeout",
        "Timeout after 6s of waiting for RPC response from GPU GSP! Expected function 76.",
        "COMPONENT_RESET",
    ),
    xid(
        "120",
        "GSP error",
        "GSP task exception: instruction access fault",
        "COMPONENT_RESET",
    ),
    xid("109", "Context switch timeout", "CTX SWITCH TIMEOUT, Info 0x2c01e", "COMPONENT_RESET"),
    *(
        xid(
            code,
            title,
            text,
            action,
            error_code=error_code,
            entities=("PCI", "GPU_UUID", "NVLINK"),
        )
        for code, title, text, action, error_code in (
            ("144", "NVLink SAW error", "SAW_MVB Nonfatal XC0", "NONE", "144.SAW_MVB"),
            (
                "145",
                "NVLink RLW error",
                "RLW_REMAP Nonfatal XC0",
                "COMPONENT_RESET",
                "145.RLW_REMAP",
            ),
            ("146", "NVLink TLW error", "TLW_RX Fatal XC1", "COMPONENT_RESET", "146.TLW_RX"),
            ("147", "NVLink TREX error", "TREX Fatal XC1", "COMPONENT_RESET", "147.TREX"),
            ("148", "NVLink control error", "NVLPW_CTRL Nonfatal", "NONE", "148.NVLPW_CTRL"),
            (
                "149",
                "NVLink NETIR error",
                "NETIR_LINK_EVT Fatal",
                "COMPONENT_RESET",
                "149.NETIR",
            ),
            ("150", "NVLink MSE error, undecodable", "0xffffffff", "CONTACT_SUPPORT", "150"),
        )
    ),
    xid(
        "154",
        "GPU recovery action changed",
        "GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)",
        "RESTART_BM",
    ),
    Fault(
        name="nvlink-down",
        title="NVLink down, seen by DCGM",
        reports=(
            dcgm(
                "GpuNvlinkWatch",
                "DCGM_FR_NVLINK_DOWN",
                "RESTART_VM",
                "GPU {gpu}'s NvLink link 4 is currently down",
            ),
        ),
    ),
    Fault(
        name="thermal",
        title="Clocks throttled for heat (an Event only)",
        reports=(
            Report(
                check="GpuThermalWatch",
                agent=GPU_MONITOR,
                message="clocks are being throttled for thermal reasons on GPU {gpu}",
                codes=("DCGM_FR_CLOCK_THROTTLE_THERMAL",),
                entities=("GPU",),
                fatal=False,
            ),
        ),
        cure="fix",
        ends_jobs=False,
        repeats=5,
    ),
    Fault(
        name="thermal-margin",
        title="Thermal margin low (stored only, nothing in the cluster)",
        reports=(
            Report(
                check="GpuThermalMarginWatch",
                agent=GPU_MONITOR,
                message="GPU {gpu} thermal margin below the slowdown limit",
                codes=("GPU_TEMP_HW_SLOWDOWN_VIOLATION",),
                action="CONTACT_SUPPORT",
                entities=("GPU",),
                strategy="STORE_ONLY",
            ),
        ),
        cure="fix",
        ends_jobs=False,
        people_heal_after=5.0,
    ),
    Fault(
        name="dcgm-connectivity",
        title="DCGM cannot be reached",
        reports=(DCGM_AWAY,),
        cure="fix",
        people_heal_after=5.0,
    ),
    Fault(
        name="driver-hang",
        title="GPU driver hangs, DCGM probes time out",
        reports=(
            Report(
                check="GpuDcgmUnresponsive",
                agent=GPU_MONITOR,
                message="DCGM health check did not return in time",
                codes=("DCGM_PROBE_HANG",),
                action="RESTART_BM",
                entities=(),
                strategy="STORE_ONLY",
            ),
            Report(
                check="GpuDcgmConnectivityFailure",
                agent=GPU_MONITOR,
                message="DCGM probe hung while connecting for health check",
                codes=("DCGM_PROBE_HANG",),
                action="CONTACT_SUPPORT",
                entities=(),
                after=0.5,
            ),
        ),
        people_heal_after=5.0,
    ),
    Fault(
        name="inforom",
        title="InfoROM corrupted",
        reports=(
            dcgm(
                "GpuInforomWatch",
                "DCGM_FR_CORRUPT_INFOROM",
                "COMPONENT_RESET",
                "GPU {gpu} has a corrupt InfoROM",
            ),
        ),
    ),
    Fault(
        name="sxid",
        title="Fatal NVSwitch error",
        reports=(
            Report(
                check="SysLogsSXIDError",
                agent=SYSLOG,
                message="nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 20034, Fatal, Link 30 "
                "LTSSM Fault Up",
                codes=("20034",),
                action="CONTACT_SUPPORT",
                entities=("PCI", "NVLINK"),
            ),
        ),
        people_heal_after=5.0,
    ),
    _seen_by_dcgm(
        "dcgm-off-bus",
        "GPU fell off the bus, seen by DCGM alone",
        dcgm("GpuAllWatch", "DCGM_FR_FALLEN_OFF_BUS", "RESTART_BM", "GPU {gpu} fell off the bus"),
    ),
    _seen_by_dcgm(
        "row-remap-pending",
        "Row remapping pending",
        dcgm(
            "GpuMemWatch",
            "DCGM_FR_PENDING_ROW_REMAP",
            "COMPONENT_RESET",
            "GPU {gpu} has uncorrectable memory errors and row remappings are pending",
        ),
    ),
    _seen_by_dcgm(
        "row-remap-failure",
        "Row remapping failed, seen by DCGM",
        dcgm(
            "GpuMemWatch",
            "DCGM_FR_ROW_REMAP_FAILURE",
            "CONTACT_SUPPORT",
            "GPU {gpu} had uncorrectable memory errors and row remapping failed",
        ),
        people_heal_after=5.0,
    ),
    _seen_by_dcgm(
        "pcie-replays",
        "Too many PCIe replays",
        dcgm(
            "GpuPcieWatch",
            "DCGM_FR_PCI_REPLAY_RATE",
            "CONTACT_SUPPORT",
            "Detected more than 8 PCIe replays per minute for GPU {gpu} : 52",
        ),
        people_heal_after=5.0,
    ),
    _seen_by_dcgm(
        "power",
        "Clocks throttled for power (an Event only)",
        dcgm(
            "GpuPowerWatch",
            "DCGM_FR_CLOCK_THROTTLE_POWER",
            "NONE",
            "Detected clock throttling due to power violation on GPU {gpu}",
        ),
        ends_jobs=False,
    ),
    _seen_by_dcgm(
        "thermal-violation",
        "Thermal violations",
        dcgm(
            "GpuThermalWatch",
            "DCGM_FR_THERMAL_VIOLATIONS",
            "CONTACT_SUPPORT",
            "Detected thermal violations totaling 14.0 seconds for GPU {gpu}",
        ),
        people_heal_after=5.0,
    ),
    _seen_by_dcgm(
        "nvswitch-fatal",
        "Fatal NVSwitch error, seen by DCGM",
        dcgm(
            "GpuNvswitchFatalWatch",
            "DCGM_FR_NVSWITCH_FATAL_ERROR",
            "CONTACT_SUPPORT",
            "Detected fatal errors on NVSwitch 3",
        ),
        people_heal_after=5.0,
    ),
    _seen_by_dcgm(
        "nvswitch-nonfatal",
        "Non-fatal NVSwitch error (an Event only)",
        dcgm(
            "GpuNvswitchNonfatalWatch",
            "DCGM_FR_NVSWITCH_NON_FATAL_ERROR",
            "NONE",
            "Detected non-fatal errors on NVSwitch 3",
        ),
        ends_jobs=False,
    ),
)

FAULTS: dict[str, Fault] = {
    fault.name: fault for fault in (*_FAULTS, *HOST_FAULTS, *DERIVED_FAULTS)
}
