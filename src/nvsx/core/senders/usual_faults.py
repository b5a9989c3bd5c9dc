"""What the usual alerts of GPU nodes mean in NVSentinel's words.

dcgm-exporter's metrics come with labels and texts that name the fault, and everybody calls the
alert as he likes: GPUXidError, DCGMXidErrors, "GPU XID 79 on gpu-node-a3". So an alert about a
GPU that names an Xid means SysLogsXIDError with that code, whatever it is called. Routing asks
by the alert's own name first: this is only for alerts that no runbook knows.
Source: https://github.com/NVIDIA/dcgm-exporter (etc/default-counters.csv: the metrics and their
labels), https://docs.nvidia.com/deploy/xid-errors (how the driver writes an Xid).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

XID_CHECK = "SysLogsXIDError"

#: Labels that hold an Xid on metrics of GPUs. `err_code` is dcgm-exporter's own.
XID_LABELS = ("xid", "XID", "err_code", "xid_code", "xid_error")

#: Characters of a text that are read: what matters is said at its beginning.
_READ = 1024
#: The lowest Xid that says something about hardware: 1 to 12 are counts far more often.
_LEAST = 13

_XID = (
    re.compile(r"(?<![a-z])xid\s*\(pci:[0-9a-f:.]{4,24}\)\s*:?\s*(\d{1,3})\b"),
    re.compile(
        r"dcgm_fi_dev_xid_errors?(?:\{[^}]*\})?\s*(?:=|==|:|is|value)\s*(\d{1,3})(?:\.0)?\b"
    ),
    re.compile(r"(?<![a-z])xid(?:[ _-](?:error|code))?[\s:=#_(-]{1,3}(\d{1,3})\b"),
)
#: The value of the metric is the code; the value of a count over it is not.
_VALUE = re.compile(r"(?<![a-z])xid\b.{0,120}?\bvalue\s*[:=]?\s*(\d{2,3})(?:\.0)?\b", re.DOTALL)
_COUNTED = re.compile(r"increase|rate\(|count|changes|times|times?\s+in")
_GPU_WORDS = re.compile(r"(?<![a-z])s?xid|gpu|dcgm|nvidia|nvlink|nvswitch")
_GPU_LABELS = frozenset({"gpu", "UUID", "pci_bus_id", "modelName", "DCGM_FI_DRIVER_VERSION"})


class MeantFault(NamedTuple):
    """NVSentinel's check and code for what an alert reports; "" for none."""

    check: str = ""
    code: str = ""


#: Other faults, by what alerts about them are called. The first that fits is it.
_BY_NAME: tuple[tuple[re.Pattern[str], MeantFault], ...] = (
    (
        re.compile(r"fallen ?off|off ?the ?bus|lost ?gpu|gpu ?lost"),
        MeantFault("SysLogsGPUFallenOff"),
    ),
    (
        re.compile(r"row ?remap(?:ping)? ?fail"),
        MeantFault("GpuMemWatch", "DCGM_FR_ROW_REMAP_FAILURE"),
    ),
    (
        re.compile(r"ecc ?dbe|dbe ?(?:vol|agg|ecc|error)|double ?bit|uncorrectable ?ecc"),
        MeantFault("GpuMemWatch", "DCGM_FR_VOLATILE_DBE_DETECTED"),
    ),
    (
        re.compile(r"nv ?link.{0,40}(?:error|fault|fail|down|crc|replay|recovery)"),
        MeantFault("GpuNvlinkWatch"),
    ),
    (re.compile(r"thermal|throttl|temp|overheat|too ?hot"), MeantFault("GpuThermalWatch")),
    (re.compile(r"info ?rom"), MeantFault("GpuInforomWatch", "DCGM_FR_CORRUPT_INFOROM")),
)
_NODE_NOT_READY = re.compile(r"kube ?node ?(?:not ?ready|unreachable)")


def find_xid(text: str) -> str:
    """The Xid that a text names; "" for none.

    "XID 79 on gpu-node-a3", "Xid (PCI:0000:41:00): 79, pid=…", "DCGM_FI_DEV_XID_ERRORS=79" and
    "XID error on …, value 79" name 79. "SXid 20034", "XID errors: 3 in 5m" and
    "increase(DCGM_FI_DEV_XID_ERRORS[5m]), value 79" name none.
    """
    folded = text[:_READ].casefold()
    for pattern in _XID:
        for found in pattern.finditer(folded):
            if int(found[1]) >= _LEAST:
                return found[1]
    if not _COUNTED.search(folded) and (found_value := _VALUE.search(folded)):
        return found_value[1] if int(found_value[1]) >= _LEAST else ""
    return ""


def is_about_gpu(texts: Iterable[str], labels: Mapping[str, str]) -> bool:
    """Whether an alert is about a GPU: `err_code` of a mail server is no Xid."""
    return bool(_GPU_LABELS & labels.keys()) or any(
        _GPU_WORDS.search(text[:_READ].casefold()) for text in texts
    )


def find_meant_fault(
    name: str, texts: Iterable[str], labels: Mapping[str, str], codes: tuple[str, ...]
) -> MeantFault:
    """What an alert called `name` means in NVSentinel's words; nothing for most alerts.

    A number is an Xid where the alert is about a GPU; a text where it says so itself.
    """
    said = [text for text in (name, *texts) if text]
    spelt = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_\-.]+", " ", name[:_READ]).casefold()
    if _NODE_NOT_READY.search(spelt):
        return MeantFault("node-not-ready")
    if not is_about_gpu(said, labels):
        return MeantFault()
    if codes and all(code.isdigit() for code in codes):
        return MeantFault(XID_CHECK, codes[0])
    for text in said:
        if code := find_xid(text):
            return MeantFault(XID_CHECK, code)
    for pattern, fault in _BY_NAME:
        if pattern.search(spelt) or pattern.search(spelt.replace(" ", "")):
            return fault
    return MeantFault()
