"""Stored journals for the deck's tests: small builders over the real journal entries.

Every story starts at T0 and is told in the words that the engine uses. `at` is the moment
from which the deck looks at it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from nvsx.core.incident.session import Session, Times
from nvsx.core.journal import entries as j
from nvsx.core.watches.verdict import VerdictKind

T0 = 1_767_600_000.0  # 2026-01-05 08:00:00 UTC
NODE, ALIAS, RUN = "gpu-node-07", "brave-gazelle", "r-20260105-0800-0007"

STAGES = (
    j.StagePlan(
        id="preflight",
        title="Is the node there, and can people be told",
        timeout_s=120,
        watches=("the node exists",),
    ),
    j.StagePlan(
        id="detect",
        title="GPU fell off the bus",
        watches=("condition SysLogsXIDError is True with error code 79",),
    ),
    j.StagePlan(
        id="quarantine",
        title="NVSentinel takes the node out of service",
        timeout_s=900,
        watches=("NVSentinel's state has reached quarantined",),
    ),
    j.StagePlan(
        id="drain",
        title="Workloads leave",
        budget_s=3600,
        watches=("NVSentinel's state has reached drain-succeeded",),
    ),
    j.StagePlan(
        id="remediate",
        title="The node reboots",
        timeout_s=2700,
        watches=("a maintenance resource for the node is completed",),
    ),
    j.StagePlan(
        id="recover",
        title="Healthy and back in service",
        timeout_s=2700,
        watches=(
            "conditions SysLogsXIDError, SysLogsGPUFallenOff are not True",
            "the node is Ready",
            "annotation quarantineHealthEvent is absent",
            "label dgxc.nvidia.com/nvsentinel-state is absent",
        ),
    ),
    j.StagePlan(id="postmortem", title="Keep the evidence", timeout_s=600),
)
SESSION = Session(
    key="6959f1c2e4b0a1d2c3f40711",
    open=True,
    state="draining",
    states=(("quarantined", T0 + 9), ("draining", T0 + 12)),
    generated_at=T0 - 4,
    quarantined_at=T0 + 8,
    cordoned=True,
)
TIMES = Times(generated=T0 - 4, condition_seen=T0 - 2, quarantined=T0 + 8, drain_began=T0 + 12)


@dataclass
class Story:
    """A journal in the making. `at` moves on; every event is written at `at`."""

    at: float = T0
    entries: list[j.Entry] = field(default_factory=list)

    def say(self, *events: j.RunEvent, after: float = 0.0) -> Story:
        self.at += after
        for event in events:
            self.entries.append(j.Entry(RUN, len(self.entries) + 1, self.at, event))
        return self

    def start(self, *, node: str = NODE, alias: str = ALIAS, title: str = "") -> Story:
        return self.say(
            j.Start(
                runbook="gpu-off-bus",
                nickname="rogue-moose",
                title=title or "GPU fell off the bus",
                target_node=node,
                target_alias=alias if node else "",
                cluster="prod-us-west-2",
                stages=STAGES,
            )
        )

    def watch(
        self, stage: str, verdict: VerdictKind, detail: str = "", index: int = 0, after: float = 0
    ) -> Story:
        plan = next(s for s in STAGES if s.id == stage)
        text = plan.watches[index]
        event = j.WatchChange(stage, index, "watch", verdict, detail=detail, describe=text)
        return self.say(event, after=after)

    def hook(self, stage: str, *lines: str, code: int | None = 0, took: float = 0.4) -> Story:
        name = f"hooks/gpu-off-bus/on-{stage}.sh"
        self.say(j.HookBegin(stage, name, 1, "key"))
        self.say(*(j.Output(stage, "hook", "stdout", line) for line in lines))
        detail = "timed out after 30s" if code is None else ""
        return self.say(j.HookEnd(stage, name, code, 1, detail=detail), after=took)

    def end(self, stage: str, status: j.StageStatus, elapsed: float, **more: object) -> Story:
        return self.say(j.StageEnd(stage, status, elapsed, **more))  # type: ignore[arg-type]

    def prerequisites(self, *unmet: str) -> Story:
        names = ("fault-quarantine", "node-drainer", "fault-remediation", "janitor")
        for name in names:
            good = name not in unmet
            detail = "1 of 1 ready" if good else "0 of 1 ready"
            self.say(j.PrerequisiteChecked(name, good, detail))
        return self.say(
            j.PrerequisiteChecked("RebootNode resource", ok=True, detail="v1alpha1 served")
        )

    def begin(self, stage: str, after: float = 0.0) -> Story:
        title = next(s.title for s in STAGES if s.id == stage)
        return self.say(j.StageBegin(stage, title), after=after)

    def passed(self, stage: str, took: float, *lines: str, told: str = "") -> Story:
        """A whole stage that passes, with its hook."""
        self.begin(stage)
        plan = next(s for s in STAGES if s.id == stage)
        for index in range(len(plan.watches)):
            self.watch(stage, "pending", "not yet", index)
        self.at += took
        for index in range(len(plan.watches)):
            self.watch(stage, "satisfied", "", index)
        self.hook(stage, *lines)
        if told:
            self.say(j.Narrated(stage, told))
        return self.end(stage, "pass", took + 0.4)

    def to_drain(self) -> Story:
        """Up to the running drain stage."""
        self.start().prerequisites()
        self.passed("preflight", 0.1, "slack: #gpu-oncall reachable", "pagerduty: key accepted")
        self.passed(
            "detect",
            0.2,
            "paged gpu-oncall: PagerDuty incident Q3X9ZK7",
            told="GPU lost on brave-gazelle; seen after 0.2s.",
        )
        self.say(j.SessionSeen(SESSION), j.TimesSeen(TIMES))
        self.passed(
            "quarantine",
            8.0,
            "jira: opened GPUOPS-4127",
            "slack: posted to #gpu-incidents",
            told="brave-gazelle is quarantined by NVSentinel.",
        )
        self.say(j.EvidenceKept("evidence/quarantine-pass/node.json", "quarantine"))
        return self.begin("drain")


def armed() -> Story:
    """No node yet."""
    story = Story().start(node="")
    story.say(j.Armed("the first fault of SysLogsGPUFallenOff, SysLogsXIDError"))
    return story.say(after=95)


def running() -> Story:
    """Drain has begun, nothing is odd."""
    story = Story().to_drain()
    story.watch("drain", "pending", "the label says draining", after=1)
    return story.say(after=160)


def waiting() -> Story:
    """Drain waits, and why is known."""
    story = running()
    return story.say(
        j.NoteMade(
            "drain",
            "node-drainer waits for 2 pods in namespaces of mode AllowCompletion: "
            "training/llm-pretrain-worker-3, training/llm-pretrain-worker-4",
            "Nothing to do if they may finish. To free the node sooner, ask their owners to "
            "checkpoint and delete them.",
            "drain-waits",
        )
    ).say(after=41)


def overdue() -> Story:
    """Drain is longer than its budget; its hook has fired."""
    story = waiting()
    story.say(j.Overdue("drain", 3600), after=3400)
    name = "hooks/gpu-off-bus/on-overdue.sh"
    story.say(j.HookBegin("drain", name, 1, purpose="overdue"))
    story.say(j.Output("drain", "hook", "stdout", "paged gpu-oncall again: drain is overdue"))
    story.say(j.HookEnd("drain", name, 0, 1, "overdue"), after=0.8)
    story.say(j.NoteMade("drain", "asked the training team to checkpoint", author="mira"), after=60)
    return story.say(after=12)


def _skip(story: Story, why: str, *stages: str) -> Story:
    for stage in stages:
        story.end(stage, "skipped", 0.0, reason=why)
    return story


def _postmortem(story: Story) -> Story:
    story.begin("postmortem")
    script = "scripts/collect-metrics.sh"
    story.say(j.ActionBegin("postmortem", script))
    story.say(j.Output("postmortem", "action", "stdout", "12 files kept"))
    story.say(j.ActionEnd("postmortem", script, 0), after=2.1)
    story.say(j.Narrated("postmortem", "12 artifacts in nvsx-artifacts/r-20260105-0800-0007."))
    return story.end("postmortem", "pass", 2.1)


def failed() -> Story:
    """The reboot failed; on-failure and postmortem ran."""
    story = Story().to_drain()
    story.watch("drain", "satisfied", after=300).end("drain", "pass", 300.0)
    story.begin("remediate").watch("remediate", "pending", "RebootNode is in progress")
    cause = "RebootNode maintenance-gpu-node-07-6959f1c2: the node was not Ready after 25m"
    story.watch("remediate", "failed", cause, after=1500)
    story.end("remediate", "fail", 1500.0, reason=cause)
    name = "hooks/gpu-off-bus/on-failure.sh"
    story.say(j.HookBegin("remediate", name, 1, purpose="failure"))
    story.say(j.Output("remediate", "hook", "stderr", "pagerduty: escalated to hardware on-call"))
    story.say(j.HookEnd("remediate", name, 0, 1, "failure"), after=0.6)
    _skip(story, "remediate did not pass", "recover")
    _postmortem(story)
    return story.say(
        j.Finish(ok=False, status="failed", total_s=1812.0, reason=f"remediate: {cause}")
    )


def cancelled() -> Story:
    """Cancelled while draining."""
    story = waiting().say(j.CancelAsked("operator", "key c on the deck"))
    story.end("drain", "cancelled", 202.0, reason="key c on the deck")
    _skip(story, "the run was cancelled", "remediate", "recover")
    _postmortem(story)
    return story.say(
        j.Finish(ok=False, status="cancelled", total_s=213.0, reason="key c on the deck")
    )


def degraded() -> Story:
    """Passed, with an unmet prerequisite and a failed hook."""
    story = Story().start().prerequisites("janitor")
    note = "prerequisites not met: janitor: 0 of 1 ready"
    story.say(j.NoteMade("", note, code="prerequisites"))
    story.passed("preflight", 0.1).begin("detect")
    story.watch("detect", "satisfied").hook("detect", "curl: (28) timed out", code=28, took=10)
    story.end("detect", "pass", 10.2)
    story.say(j.SessionSeen(SESSION))
    for stage, took in (("quarantine", 8.0), ("drain", 212.0), ("remediate", 610.0)):
        story.passed(stage, took)
    times = Times(
        generated=T0 - 4,
        quarantined=T0 + 18,
        drain_began=T0 + 22,
        drain_finished=T0 + 230,
        remediation_created=T0 + 235,
        node_ready=T0 + 840,
        healthy=T0 + 880,
        unquarantined=T0 + 884,
    )
    story.passed("recover", 45.0, "slack: brave-gazelle is back")
    story.say(j.TimesSeen(times), j.SessionSeen(Session(key=SESSION.key, ending="recovered")))
    _postmortem(story)
    return story.say(
        j.Finish(
            ok=True,
            status="passed",
            degraded=True,
            total_s=890.0,
            mttr_s=888.0,
            mttr_without_drain_s=680.0,
        )
    )


def flood(lines: int = 100_000) -> Story:
    """A hook that prints far more than anybody reads."""
    story = Story().to_drain()
    for number in range(lines):
        text = f"line {number:06d} of a very talkative hook, checkpoint shard {number % 64:02d}"
        story.say(j.Output("drain", "hook", "stdout", text))
    return story


def unmet() -> Story:
    """Prerequisites are not met: by hand no stage runs."""
    story = Story().start().prerequisites("janitor", "node-drainer")
    why = "prerequisites not met: node-drainer: 0 of 1 ready; janitor: 0 of 1 ready"
    for stage in STAGES:
        story.end(stage.id, "skipped", 0.0, reason=why)
    return story.say(j.Finish(ok=False, status="failed", degraded=True, total_s=0.2, reason=why))


HOSTILE = (
    "[bold red]not markup[/] [link=http://x]y[/link] {{tokens}} %s \\",
    "\x1b[2J\x1b[H\x1b]0;owned\x07cleared? \x1b[31mred\x1b[0m \x9b31mC1",
    "rtl \u202eevil\u202c and \u200bzero\u2066 width",
    "tab\there, bell\x07, backspace\x08, null\x00, CR\rover",
    "x" * 3000,
)


def hostile() -> Story:
    """Output, details and notes that try to draw on the screen themselves."""
    story = Story().start(node="gpu-node-07").prerequisites().begin("preflight")
    story.watch("preflight", "unknown", "\x1b[31m[red]forbidden[/red]\x1b[0m: nodes is \u202eon")
    name = "hooks/gpu-off-bus/on-preflight.sh"
    story.say(j.HookBegin("preflight", name, 1))
    story.say(*(j.Output("preflight", "hook", "stdout", line) for line in HOSTILE))
    return story.say(j.NoteMade("preflight", "note [bold]x[/]\nsecond line", "\x1b[5mremedy"))


def long_names() -> Story:
    """Names longer than the screen is wide."""
    node = "ip-10-0-143-207.us-west-2.compute.internal.gpu-h100-sxm5-80gb-rack-17-slot-04"
    story = Story().start(node=node, alias="electric-hedgehog", title="A title " * 20)
    story.prerequisites().begin("preflight")
    return story.watch("preflight", "pending", "word " * 60 + "y" * 200).say(after=5)


def non_ascii() -> Story:
    """Wide, combining and astral characters."""
    title = "GPU vom Bus gefallen – グラフィックカード喪失 🚨"
    story = Story().start(title=title).begin("preflight")
    story.watch("preflight", "pending", "ノードはまだありません — Knoten fehlt")
    return story.hook("preflight", "通知を送りました ✓ #gpu-当番", "naïve café Ω≈ç√∫ 👩‍🚀")


def new() -> Story:
    """Nothing has been written yet."""
    return Story()


STORIES: dict[str, Callable[[], Story]] = {
    make.__name__: make
    for make in (
        new,
        armed,
        running,
        waiting,
        overdue,
        failed,
        cancelled,
        degraded,
        unmet,
        hostile,
        long_names,
        non_ascii,
    )
}
