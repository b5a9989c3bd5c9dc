"""Journals of incidents for the report's tests: each a whole run, told entry by entry."""

from __future__ import annotations

from nvsx.core.incident.session import HealthEvent, Session, Times
from nvsx.core.journal import entries as j

T0 = 1_767_600_000.0  # 2026-01-05 08:00:00 UTC
RUN, NODE, ALIAS = "r-20260105-0800-0007", "gpu-node-07", "brave-gazelle"
XID = HealthEvent(
    check="SysLogsXIDError",
    node=NODE,
    id="6959f1c2e4b0a1d2c3f40711",
    error_codes=("79",),
    action="RESTART_BM",
    fatal=True,
    message="NVRM: Xid (PCI:0000:b3:00): 79, GPU has fallen off the bus.",
    entities=(("PCI", "0000:b3:00"), ("GPU_UUID", "GPU-11111111")),
    generated_at=T0 - 4,
)
ECC = HealthEvent(
    check="GpuMemWatch",
    node=NODE,
    error_codes=("DCGM_FR_VOLATILE_DBE_DETECTED",),
    fatal=True,
    message="double-bit error",
    entities=(("GPU", "3"),),
    generated_at=T0 + 30,
)
STAGES = tuple(
    j.StagePlan(id=name, title=title, budget_s=budget)
    for name, title, budget in (
        ("detect", "GPU fell off the bus", None),
        ("drain", "Workloads leave", 60.0),
        ("recover", "Back in service", None),
        ("postmortem", "Keep the evidence", None),
    )
)
HOOK = "hooks/gpu-off-bus/on-detect.sh"


class Story:
    """Entries in the making; `at` seconds after T0 each."""

    def __init__(self, *, sandbox: bool = False, drill: bool = False) -> None:
        self.entries: list[j.Entry] = []
        start = j.Start(
            runbook="gpu-off-bus",
            nickname="rogue-moose",
            title="GPU fell off the bus",
            target_node=NODE,
            target_alias=ALIAS,
            trigger="watch",
            cluster="c-1",
            sandbox=sandbox,
            drill=drill,
            tags=("infra", "xid-79"),
            stages=STAGES,
        )
        self.say(0, start)

    def say(self, at: float, *events: j.RunEvent) -> Story:
        for event in events:
            self.entries.append(j.Entry(RUN, len(self.entries) + 1, T0 + at, event))
        return self

    def stage(self, name: str, began: float, ended: float, *within: j.RunEvent) -> Story:
        self.say(began, j.StageBegin(stage=name))
        self.say(ended, *within)
        return self.say(ended, j.StageEnd(stage=name, status="pass", elapsed_s=ended - began))

    def hook(self, at: float, *lines: str, code: int = 0, told: str = "") -> Story:
        self.say(at, j.HookBegin(stage="detect", hook=HOOK, attempt=1))
        for line in lines:
            self.say(at, j.Output(stage="detect", source="hook", stream="stdout", line=line))
        if told:
            self.say(at + 1, j.Reported(stage="detect", line=told))
        return self.say(at + 1, j.HookEnd(stage="detect", hook=HOOK, exit_code=code, attempt=1))


def repaired() -> Story:
    """The whole chain; the drain went over its budget, people were told."""
    times = Times(
        generated=T0 - 4,
        condition_seen=T0 - 3,
        quarantined=T0 + 8,
        drain_began=T0 + 12,
        drain_finished=T0 + 112,
        remediation_created=T0 + 115,
        node_ready=T0 + 415,
        healthy=T0 + 430,
        unquarantined=T0 + 436,
    )
    story = Story().say(0, j.StageBegin(stage="detect"))
    story.hook(1, "paged gpu-oncall", told="notify target=pagerduty ref=Q3X9ZK7")
    story.say(3, j.Reported(stage="detect", line="4 jobs lose their node"))
    story.say(3, j.StageEnd(stage="detect", status="pass", elapsed_s=3.0))
    states = (("quarantined", T0 + 9), ("draining", T0 + 12))
    seen = Session(
        key=XID.id, open=True, events=(XID,), states=states, generated_at=T0 - 4, state="draining"
    )
    story.say(12, j.SessionSeen(session=seen), j.StageBegin(stage="drain"))
    story.say(72, j.Overdue(stage="drain", budget_s=60.0))
    story.say(80, j.NoteMade(stage="drain", text="the drain waits for pod ml/a", remedy="ask"))
    story.say(112, j.StageEnd(stage="drain", status="pass", elapsed_s=100.0, overdue=True))
    story.stage("recover", 112, 440, j.TimesSeen(times=times))
    over = Session(key=XID.id, events=(XID,), states=states, ending="recovered")
    story.say(440, j.SessionSeen(session=over))
    story.say(440, j.EvidenceKept(path="evidence/00020-recover-end/node.json", stage="recover"))
    story.say(440, j.EvidenceKept(path="evidence/00020-recover-end/pods.json", stage="recover"))
    story.stage("postmortem", 440, 442)
    return story.say(
        442,
        j.Finish(ok=True, status="passed", total_s=442.0, mttr_s=440.0, mttr_without_drain_s=340.0),
    )


def failed() -> Story:
    """A hook failed, then the reboot did: the node stays in quarantine."""
    story = Story().say(0, j.StageBegin(stage="detect")).hook(1, "curl: (28)", code=28)
    story.say(3, j.StageEnd(stage="detect", status="pass", elapsed_s=3.0))
    held = Session(key=XID.id, open=True, events=(XID,), generated_at=T0 - 4)
    story.say(5, j.SessionSeen(session=held), j.TimesSeen(times=Times(generated=T0 - 4)))
    story.say(5, j.StageBegin(stage="recover"))
    why = "RebootNode maintenance-1: the signal was refused"
    story.say(
        60,
        j.StageEnd(stage="recover", status="fail", elapsed_s=55.0, reason=why),
        j.Finish(ok=False, status="failed", degraded=True, total_s=60, reason=f"recover: {why}"),
    )
    return story


def cancelled() -> Story:
    """A person ended the run while the node was draining."""
    story = Story().stage("detect", 0, 3).say(3, j.StageBegin(stage="drain"))
    held = Session(key=XID.id, open=True, events=(XID,))
    story.say(4, j.SessionSeen(session=held))
    story.say(20, j.CancelAsked(by="mira", reason="node goes back to the vendor"))
    story.say(20, j.StageEnd(stage="drain", status="cancelled", elapsed_s=17.0))
    return story.say(21, j.Finish(ok=False, status="cancelled", total_s=21.0, reason="vendor"))


def monitor_only() -> Story:
    """NVSentinel quarantines nothing here: the condition came and went."""
    times = Times(generated=T0 - 4, condition_seen=T0 - 3, healthy=T0 + 300)
    story = Story().stage("detect", 0, 3).say(300, j.TimesSeen(times=times))
    return story.say(
        301, j.Finish(ok=True, status="passed", total_s=301.0, condition_cleared_s=304.0)
    )


def multi_fault() -> Story:
    """A second fault joined the session."""
    story = Story().stage("detect", 0, 3)
    both = Session(key=XID.id, open=True, events=(XID, ECC))
    story.say(35, j.SessionSeen(session=both))
    return story.say(40, j.Finish(ok=True, status="passed", total_s=40.0))


def ended(ending: str, detail: str = "") -> Story:
    """The session ended otherwise than by a recovery."""
    story = Story().stage("detect", 0, 3)
    over = Session(key=XID.id, events=(XID,), ending=ending, ending_detail=detail)  # type: ignore[arg-type]
    story.say(35, j.SessionSeen(session=over), j.TimesSeen(times=Times(generated=T0 - 4)))
    return story.say(40, j.Finish(ok=False, status="failed", total_s=40.0))
