"""NVSentinel's names as the sandbox writes them. Facts only.

The reading side has its own copy in nvsx.nvsentinel, on purpose: a name spelled wrong on
one side must show as a test that fails, not as two sides that agree on an error.
Sources: commons/pkg/statemanager/statemanager.go, fault-quarantine/pkg/common/common.go,
fault-remediation/pkg/remediation, janitor/api/v1alpha1.
"""

from __future__ import annotations

NAMESPACE = "nvsentinel"
WORKLOAD_NAMESPACE = "ml"

STATE_LABEL = "dgxc.nvidia.com/nvsentinel-state"
LABEL_PREFIX = "k8saas.nvidia.com/"
CORDON_LABELS = tuple(LABEL_PREFIX + s for s in ("cordon-by", "cordon-reason", "cordon-timestamp"))
UNCORDON_LABELS = tuple(
    LABEL_PREFIX + s for s in ("uncordon-by", "uncordon-reason", "uncordon-timestamp")
)
OPT_OUT_LABELS = (LABEL_PREFIX + "ManagedByNVSentinel", "nvsentinel.dgxc.nvidia.com/managed")
GPU_LABEL = "nvidia.com/gpu.present"

QUARANTINE = "quarantineHealthEvent"
QUARANTINE_CORDONED = "quarantineHealthEventIsCordoned"
QUARANTINE_CORDON_PREEXISTING = "quarantineHealthEventCordonPreExisting"
QUARANTINE_TAINTS = "quarantineHealthEventAppliedTaints"
UNCORDONED_MANUALLY = "quarantinedNodeUncordonedManually"
UNTAINTED_MANUALLY = "quarantinedNodeUntaintedManually"
REMEDIATION_STATE = "latestFaultRemediationState"

JANITOR_API = "janitor.dgxc.nvidia.com/v1alpha1"
LIFECYCLE_API = "nvsentinel.dgxc.nvidia.com/v1"
MANAGED_LABEL = "nvsentinel.dgxc.nvidia.com/managed"
RELEASE_TAINT = "nvsentinel.dgxc.nvidia.com/external-remediation"
RELEASE_FINALIZER = "nvsentinel.dgxc.nvidia.com/external-remediation-cleanup"
TERMINATE_FINALIZER = "janitor.dgxc.nvidia.com/terminatenode-finalizer"
# What the labeler puts on nodes, and takes off those that NVSentinel does not manage.
DETECTION_LABELS = {
    "nvsentinel.dgxc.nvidia.com/dcgm.version": "4.x",
    "nvsentinel.dgxc.nvidia.com/driver.installed": "true",
}
BREAKER = "circuit-breaker"
DRAIN_NODE_LABEL = "nvsentinel.nvidia.com/node-name"
DEVICES = "dgxc.nvidia.com/devices"  # an annotation: the GPUs a pod has

DRAIN_EXEMPT_NAMESPACES = frozenset(
    ("nvsentinel", "kube-system", "gpu-operator", "gmp-system", "network-operator", "skyhook")
)

# The checks each monitor knows, in the order they appear among a node's conditions.
GPU_CHECKS = (
    "GpuPcieWatch",
    "GpuNvlinkWatch",
    "GpuPmuWatch",
    "GpuMcuWatch",
    "GpuMemWatch",
    "GpuSmWatch",
    "GpuInforomWatch",
    "GpuThermalWatch",
    "GpuPowerWatch",
    "GpuDriverWatch",
    "GpuNvswitchNonfatalWatch",
    "GpuNvswitchFatalWatch",
    "GpuAllWatch",
    "GpuDcgmConnectivityFailure",
)
SYSLOG_CHECKS = ("SysLogsXIDError", "SysLogsSXIDError", "SysLogsGPUFallenOff")
