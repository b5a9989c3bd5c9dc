"""Every name NVSentinel uses, and the ones people wrongly expect of it.

When NVSentinel renames something, this file changes and nothing else. Facts only; what
they mean is in the modules beside it. Sources (NVSentinel tree, about v1.19):
commons/pkg/statemanager/statemanager.go, fault-quarantine/pkg/common/common.go,
data-models/protobufs/health_event.proto, charts/*/values.yaml, janitor/api/v1alpha1.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

from nvsx.core.routing.vocabulary import Vocabulary

NAMESPACE = "nvsentinel"

# --- node labels ------------------------------------------------------------------------
STATE_LABEL = "dgxc.nvidia.com/nvsentinel-state"
CORDON_LABEL_PREFIX = "k8saas.nvidia.com/"  # the default of the chart's labelPrefix
OPT_OUT_LABELS = ("k8saas.nvidia.com/ManagedByNVSentinel", "nvsentinel.dgxc.nvidia.com/managed")
GPU_NODE_LABEL = "nvidia.com/gpu.present"

# --- node annotations (their keys have no prefix) ---------------------------------------
QUARANTINE_ANNOTATION = "quarantineHealthEvent"
IS_CORDONED_ANNOTATION = "quarantineHealthEventIsCordoned"
CORDON_PREEXISTING_ANNOTATION = "quarantineHealthEventCordonPreExisting"
APPLIED_TAINTS_ANNOTATION = "quarantineHealthEventAppliedTaints"
UNCORDONED_BY_HAND_ANNOTATION = "quarantinedNodeUncordonedManually"
UNTAINTED_BY_HAND_ANNOTATION = "quarantinedNodeUntaintedManually"
BY_HAND = (UNCORDONED_BY_HAND_ANNOTATION, UNTAINTED_BY_HAND_ANNOTATION)

# --- states of the state label, by how far along the chain they are ----------------------
STATE_QUARANTINED = "quarantined"
STATE_DRAINING = "draining"
STATE_DRAIN_SUCCEEDED = "drain-succeeded"
STATE_DRAIN_FAILED = "drain-failed"
STATE_REMEDIATING = "remediating"
STATE_REMEDIATION_SUCCEEDED = "remediation-succeeded"
STATE_REMEDIATION_FAILED = "remediation-failed"
STATE_RANKS = MappingProxyType(
    {
        STATE_QUARANTINED: 1,
        STATE_DRAINING: 2,
        STATE_DRAIN_SUCCEEDED: 3,
        STATE_DRAIN_FAILED: 3,
        STATE_REMEDIATING: 4,
        STATE_REMEDIATION_SUCCEEDED: 5,
        STATE_REMEDIATION_FAILED: 5,
    }
)

# --- enums of the health event (number on the wire → name) -------------------------------
ACTIONS = MappingProxyType(
    {
        0: "NONE",
        2: "COMPONENT_RESET",
        5: "CONTACT_SUPPORT",
        6: "RUN_FIELDDIAG",
        15: "RESTART_VM",
        24: "RESTART_BM",
        25: "REPLACE_VM",
        26: "RUN_DCGMEUD",
        27: "CUSTOM",
        99: "UNKNOWN",
    }
)
#: What fault-remediation maps to a custom resource by default; the rest ends with people.
REPAIRING_ACTIONS = frozenset({"COMPONENT_RESET", "RESTART_VM", "RESTART_BM", "REPLACE_VM"})

EXECUTE_REMEDIATION = "EXECUTE_REMEDIATION"
STORE_ONLY = "STORE_ONLY"
STORE_AND_ANALYSE = "STORE_AND_ANALYSE"
STRATEGIES = MappingProxyType(
    {0: "UNSPECIFIED", 1: EXECUTE_REMEDIATION, 2: STORE_ONLY, 3: STORE_AND_ANALYSE}
)

# --- texts ------------------------------------------------------------------------------
HEALTHY_MESSAGE = "No Health Failures"
DRAIN_EVENT_TYPE = "NodeDraining"
EVENT_NAMESPACE = "default"  # health and drain Events about nodes are stored here

# --- custom resources -------------------------------------------------------------------
JANITOR_GROUP = "janitor.dgxc.nvidia.com"


class MaintenanceKind(NamedTuple):
    """A custom resource that repairs a node, and the condition that ends it."""

    group: str
    version: str
    kind: str
    plural: str
    complete_condition: str


MAINTENANCE_KINDS = (
    MaintenanceKind(JANITOR_GROUP, "v1alpha1", "RebootNode", "rebootnodes", "NodeReady"),
    MaintenanceKind(JANITOR_GROUP, "v1alpha1", "TerminateNode", "terminatenodes", "NodeTerminated"),
    MaintenanceKind(JANITOR_GROUP, "v1alpha1", "GPUReset", "gpuresets", "Complete"),
    MaintenanceKind(
        "nvsentinel.dgxc.nvidia.com",
        "v1",
        "ExternalRemediationRequest",
        "externalremediationrequests",
        "ExternalRemediationComplete",
    ),
)

#: Kinds that janitor works on, and gives up on after its limit; others are somebody else's.
JANITORS_KINDS = frozenset(k.kind for k in MAINTENANCE_KINDS if k.group == JANITOR_GROUP)

# --- the store --------------------------------------------------------------------------
DATABASE = "HealthEventsDatabase"
COLLECTION = "HealthEvents"
MAINTENANCE_COLLECTION = "MaintenanceEvents"
DOCUMENT_ROOTS = frozenset({"_id", "createdAt", "healthevent", "healtheventstatus"})

# --- checks, which are also condition types ----------------------------------------------
GPU_CHECKS = (
    "GpuPcieWatch GpuNvlinkWatch GpuPmuWatch GpuMcuWatch GpuMemWatch GpuSmWatch "
    "GpuInforomWatch GpuThermalWatch GpuPowerWatch GpuDriverWatch GpuNvswitchNonfatalWatch "
    "GpuNvswitchFatalWatch GpuAllWatch GpuCpusetWatch GpuDcgmConnectivityFailure "
    "GpuDcgmUnresponsive GpuThermalMarginWatch"
).split()
SYSLOG_CHECKS = "SysLogsXIDError SysLogsSXIDError SysLogsGPUFallenOff SysLogsNICDriverError".split()
NIC_CHECKS = (
    "InfiniBandStateCheck InfiniBandDegradationCheck InfiniBandCharDeviceCheck "
    "EthernetStateCheck EthernetDegradationCheck"
).split()
OTHER_CHECKS = (
    "CSPMaintenance node-not-ready SlurmHealthCheck DcgmDiagnostic NCCLLoopbackTest "
    "NCCLAllReduceTest"
).split()
ANALYZER_CHECKS = (
    "MultipleRemediations RepeatedXIDErrorOnSameGPU RepeatedXID31OnSameGPU "
    "RepeatedXID31OnDifferentGPU RepeatedXID13OnSameGPCAndTPC RepeatedXID13OnDifferentGPCAndTPC "
    "XIDErrorSoloNoBurst RepeatedNICDriverError RepeatedNICDegradation"
).split()
CHECKS = frozenset((*GPU_CHECKS, *SYSLOG_CHECKS, *NIC_CHECKS, *OTHER_CHECKS, *ANALYZER_CHECKS))
ANALYZER_PREFIXES = ("XID74Reg", "RepeatedXID74")
CHECK_PREFIXES = ("DcgmDiagnostic", *ANALYZER_PREFIXES)

#: How a check's name begins → the agent that reports it. Policies of the object monitor
#: have the names operators give them, and are not here.
AGENTS = MappingProxyType(
    {
        "Gpu": "gpu-health-monitor",
        "SysLogs": "syslog-health-monitor",
        "InfiniBand": "nic-health-monitor",
        "Ethernet": "nic-health-monitor",
        "CSPMaintenance": "csp-health-monitor",
        "SlurmHealthCheck": "slurm-drain-monitor",
        **dict.fromkeys((*ANALYZER_CHECKS, *ANALYZER_PREFIXES), "health-events-analyzer"),
    }
)
ANALYZER = "health-events-analyzer"


def agent_of(check: str) -> str:
    """The agent that reports `check`, "" when its name does not tell."""
    return next((agent for start, agent in AGENTS.items() if check.startswith(start)), "")


#: Names from test data and old documents, and what is meant by them.
INVENTED_CHECKS = MappingProxyType(
    {
        "GpuXidError": "SysLogsXIDError",
        "XIDError": "SysLogsXIDError",
        "SyslogError": "SysLogsXIDError",
        "GpuMemoryError": "GpuMemWatch",
        "NVLinkDown": "GpuNvlinkWatch",
        "NVSwitchFatalError": "SysLogsSXIDError",
        "DCGMError": "GpuDcgmConnectivityFailure",
        "GPUHealthy": "the condition named after the check",
    }
)

#: Things runbooks wait for and NVSentinel never shows, with what to wait for instead.
SILENT = MappingProxyType(
    {
        "taint nvidia.com/gpu-error": (
            "NVSentinel sets no taint by default: wait for nvsentinel-state quarantined"
        ),
        "taint nvsentinel.nvidia.com/unhealthy": (
            "NVSentinel sets no taint by default: wait for nvsentinel-state quarantined"
        ),
        "annotation nvsentinel.nvidia.com/quarantined": (
            f"the annotation is called {QUARANTINE_ANNOTATION}"
        ),
        "label nvsentinel.nvidia.com/quarantined": (
            f"the label is called {STATE_LABEL}: wait for nvsentinel-state quarantined"
        ),
        "pod-event Evicted": (
            "a drain emits no Evicted: wait for nvsentinel-state drain-succeeded"
        ),
        "condition GpuDriverWatch": (
            "a driver hang shows as GpuDcgmConnectivityFailure, hung GSP firmware as "
            "SysLogsXIDError 119 or 120"
        ),
        "condition GpuThermalMarginWatch": "it is STORE_ONLY by default, so no condition appears",
        "condition GpuDcgmUnresponsive": "it is STORE_ONLY by default, so no condition appears",
        "condition GpuThermalWatch": (
            "throttling gives no condition, only an Event: wait for node-event with type "
            "GpuThermalWatch"
        ),
        "xid-79 GpuPcieWatch": "XID 79 shows as SysLogsXIDError with errorCode 79",
        "daemonset gpu-health-monitor": (
            "the DaemonSets are gpu-health-monitor-dcgm-3.x and gpu-health-monitor-dcgm-4.x"
        ),
    }
)

#: (check, error code or "" for any) → the recommended action that creates no resource.
NO_REPAIR = MappingProxyType(
    {
        ("GpuDcgmConnectivityFailure", ""): "CONTACT_SUPPORT",
        ("GpuThermalWatch", ""): "NONE",
        ("GpuThermalMarginWatch", ""): "CONTACT_SUPPORT",
        ("node-not-ready", ""): "CONTACT_SUPPORT",
        ("SysLogsXIDError", "74"): "CONTACT_SUPPORT",
        **{("SysLogsXIDError", c): "NONE" for c in ("13", "31", "43", "45", "63", "94")},
    }
)

VOCABULARY = Vocabulary(
    checks=CHECKS,
    check_prefixes=CHECK_PREFIXES,
    invented=INVENTED_CHECKS,
    states=tuple(STATE_RANKS),
    actions=frozenset(ACTIONS.values()),
    collections=frozenset({COLLECTION, MAINTENANCE_COLLECTION}),
    document_roots=DOCUMENT_ROOTS,
    silent=SILENT,
    no_repair=NO_REPAIR,
)
