"""What the health-events-analyzer concludes from events that repeat, as faults.

Part of faults.FAULTS. No rule set quarantines for a conclusion and nobody ever calls it
healthy: people take the condition away. Names of checks are the analyzer's rules; texts and
actions stand for what an installation has configured.
"""

from __future__ import annotations

from nvsentinel_sandbox.world.reports import ANALYZER, SYSLOG, Fault, Report


def _derived_fault(name: str, check: str, action: str, message: str, *, code: str = "") -> Fault:
    """Two non-fatal XIDs, where the rule is about one, and what is concluded from them."""
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


DERIVED_FAULTS = (
    _derived_fault(
        "repeated-xid-31",
        "RepeatedXID31OnSameGPU",
        "RUN_DCGMEUD",
        "if DCGM EUD tests pass, run field diagnostics",
        code="31",
    ),
    _derived_fault(
        "repeated-xid-13",
        "RepeatedXID13OnSameGPCAndTPC",
        "RUN_DCGMEUD",
        "XID 13 on the same GPC and TPC",
        code="13",
    ),
    _derived_fault(
        "repeated-xid",
        "RepeatedXIDErrorOnSameGPU",
        "CONTACT_SUPPORT",
        "XID errors on the same GPU 5 times within 24 hours",
        code="43",
    ),
    _derived_fault(
        "multiple-remediations",
        "MultipleRemediations",
        "CONTACT_SUPPORT",
        "multiple remediations within 7 days on a node",
    ),
    _derived_fault(
        "repeated-nic-driver",
        "RepeatedNICDriverError",
        "CONTACT_SUPPORT",
        "NIC driver errors repeat",
    ),
    _derived_fault(
        "repeated-nic-degradation",
        "RepeatedNICDegradation",
        "CONTACT_SUPPORT",
        "NIC degradations repeat",
    ),
    _derived_fault(
        "repeated-xid-31-gpus",
        "RepeatedXID31OnDifferentGPU",
        "CONTACT_SUPPORT",
        "XID 31 on different GPUs of the node",
        code="31",
    ),
    _derived_fault(
        "repeated-xid-13-gpcs",
        "RepeatedXID13OnDifferentGPCAndTPC",
        "CONTACT_SUPPORT",
        "XID 13 on different GPCs and TPCs",
        code="13",
    ),
    _derived_fault(
        "xid-solo",
        "XIDErrorSoloNoBurst",
        "CONTACT_SUPPORT",
        "a single XID error without a burst",
        code="45",
    ),
    _derived_fault(
        "xid-74-reg0",
        "XID74Reg0SoloNVLinkError",
        "CONTACT_SUPPORT",
        "XID 74 with register 0 set, a marginal link",
        code="74",
    ),
    _derived_fault(
        "repeated-xid-74",
        "RepeatedXID74OnSameNVLink",
        "CONTACT_SUPPORT",
        "XID 74 on the same NVLink repeats",
        code="74",
    ),
)
