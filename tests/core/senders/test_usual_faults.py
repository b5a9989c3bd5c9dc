"""What usual alerts about GPUs mean, and what they do not."""

import pytest

from nvsx.core.senders.usual_faults import find_meant_fault, find_xid


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("XID 79 on gpu-node-a3", "79"),
        ("[FIRING:1] GPUXidError critical gpu-node-a2 (XID 79)", "79"),
        ("NVRM: Xid (PCI:0000:41:00): 48, pid=1234, name=python", "48"),
        ("DCGM_FI_DEV_XID_ERRORS=79", "79"),
        ('DCGM_FI_DEV_XID_ERRORS{gpu="0"} = 119', "119"),
        ("XID error on instance 10.0.0.3:9400 value 79", "79"),
        ("xid-94", "94"),
        ("SXid 20034 on NVSwitch", ""),
        ("sxid 79", ""),
        ("XID errors: 3 in the last 5m", ""),
        ("increase(DCGM_FI_DEV_XID_ERRORS[5m]) value 79", ""),
        ("XID 790000", ""),
        ("79", ""),
        ("taxid 79", ""),
    ],
)
def test_an_xid_is_found_where_a_text_names_it(text: str, code: str) -> None:
    """As drivers, metrics and people write it; counts and other numbers are none."""
    assert find_xid(text) == code


@pytest.mark.parametrize(
    ("name", "labels", "codes", "check", "code"),
    [
        ("GPUXidError", {}, ("79",), "SysLogsXIDError", "79"),
        ("Anything", {"gpu": "3"}, ("48",), "SysLogsXIDError", "48"),
        ("HTTPErrors", {}, ("79",), "", ""),
        ("NodeTemperatureHigh", {}, (), "", ""),
        ("GPUThermalViolation", {}, (), "GpuThermalWatch", ""),
        ("NvlinkCrcErrors", {}, (), "GpuNvlinkWatch", ""),
        ("GpuNvlinkBandwidthLow", {}, (), "", ""),
        ("GPURowRemapFailure", {}, (), "GpuMemWatch", "DCGM_FR_ROW_REMAP_FAILURE"),
        ("GPU_DOUBLE_BIT_ECC", {}, (), "GpuMemWatch", "DCGM_FR_VOLATILE_DBE_DETECTED"),
        ("KubeNodeNotReady", {}, (), "node-not-ready", ""),
        ("KubePodNotReady", {}, (), "", ""),
    ],
)
def test_an_alert_means_a_check_only_where_it_is_about_a_gpu(
    name: str, labels: dict[str, str], codes: tuple[str, ...], check: str, code: str
) -> None:
    """By its codes, its texts and its name; most alerts mean nothing here."""
    assert find_meant_fault(name, (), labels, codes) == (check, code)
