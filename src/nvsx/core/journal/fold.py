"""A run's state as a fold over its journal: what every view, resume and report reads.

`RunState.apply` takes entries in order and is the only way the state changes. It keeps
the whole story of stages, hooks and notes, and a bounded tail of output.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from nvsx.core.incident.session import NO_SESSION, Session, Times
from nvsx.core.journal import entries as j
from nvsx.core.watches.verdict import Verdict

#: Lines of output that a state keeps: what a screen can show. The journal has them all.
OUTPUT_KEPT = 2000


@dataclass(slots=True)
class HookState:
    """One hook or action of a stage. `ended` is None while its end is not known. `repair` is the
    attempt to repair it is for."""

    script: str
    purpose: Literal["action", "hook", "overdue", "failure", "attempt"]
    attempt: int
    began: float
    ended: float | None = None
    exit_code: int | None = None
    detail: str = ""
    process: j.ProcessSeen | None = None
    repair: int = 1

    @property
    def ok(self) -> bool:
        return self.ended is not None and self.exit_code == 0


class StageFailure(NamedTuple):
    """A stage that failed or ran out of time, with the attempt to repair it was about."""

    stage: str
    repair: int
    reason: str


@dataclass(slots=True)
class StageState:
    """A stage: planned, `running`, or ended with a status. A further attempt to repair begins it
    anew (`begins`): its scripts and notes stay, the rest is of the attempt `repair`."""

    plan: j.StagePlan
    status: str = "planned"
    began: float | None = None
    ended: float | None = None
    elapsed_s: float = 0.0
    reason: str = ""
    overdue: bool = False
    continued: bool = False
    watches: dict[int, Verdict] = field(default_factory=dict)
    watch_text: dict[int, str] = field(default_factory=dict)
    scripts: list[HookState] = field(default_factory=list)
    notes: list[tuple[float, j.NoteMade]] = field(default_factory=list)
    narration: str = ""
    begins: int = 0
    repair: int = 1

    @property
    def id(self) -> str:
        return self.plan.id

    @property
    def done(self) -> bool:
        return self.status not in ("planned", "running")


@dataclass(slots=True)
class RunState:
    """Everything known of one run. Times are Unix seconds."""

    run_id: str = ""
    seq: int = 0
    began: float = 0.0
    start: j.Start | None = None
    status: j.RunStatus = "running"
    target_node: str = ""
    target_alias: str = ""
    armed_for: str = ""
    boot_id: str = ""
    stages: list[StageState] = field(default_factory=list)
    prerequisites: list[j.PrerequisiteChecked] = field(default_factory=list)
    notes: list[tuple[float, j.NoteMade]] = field(default_factory=list)
    session: Session = NO_SESSION
    times: Times = field(default_factory=Times)
    evidence: list[j.EvidenceKept] = field(default_factory=list)
    reported: list[tuple[float, j.Reported]] = field(default_factory=list)
    output: deque[tuple[float, j.Output]] = field(default_factory=lambda: deque(maxlen=OUTPUT_KEPT))
    cancelled: j.CancelAsked | None = None
    finish: j.Finish | None = None
    finished: float | None = None
    resumed: int = 0
    incident: j.IncidentJoined | None = None
    asked: dict[str, tuple[float, j.MessageAsked]] = field(default_factory=dict)
    told: dict[int, tuple[float, j.Told]] = field(default_factory=dict)
    failures: list[StageFailure] = field(default_factory=list)

    @classmethod
    def of(cls, entries: Iterable[j.Entry]) -> RunState:
        state = cls()
        for entry in entries:
            state.apply(entry)
        return state

    def stage(self, stage_id: str) -> StageState | None:
        return next((s for s in self.stages if s.id == stage_id), None)

    @property
    def current(self) -> StageState | None:
        """The stage that is running, else None."""
        return next((s for s in self.stages if s.status == "running"), None)

    @property
    def degraded(self) -> bool:
        """Whether a hook failed and no later attempt of it succeeded, or what one asked people to
        be told could not go to whom it named, or was not delivered."""
        last: dict[tuple[str, str, str], HookState] = {}
        for stage in self.stages:
            for script in stage.scripts:
                if script.purpose != "action":
                    last[stage.id, script.purpose, script.script] = script
        return (
            any(s.ended is not None and not s.ok for s in last.values())
            or any(asked.problem for _, asked in self.asked.values())
            or any(told.failing for _, told in self.told.values())
        )

    @property
    def failed_stage(self) -> StageState | None:
        """The stage that decided the run's failure: the first that failed or timed out."""
        return next(
            (s for s in self.stages if s.status in ("fail", "timeout") and not s.continued), None
        )

    @property
    def replaced(self) -> str:
        """What there is to say of a repair that ended with another machine; "" otherwise."""
        gone = self.session.ending == "terminated" and self.session.replaced_at is not None
        return "the node was replaced, not repaired" if gone else ""

    def apply(self, entry: j.Entry) -> None:
        """Take the next entry. Entries already taken are passed over."""
        if entry.seq <= self.seq:
            return
        self.run_id, self.seq = entry.run_id, entry.seq
        body = entry.body
        match body:
            case j.Start():
                self.start, self.began = body, entry.t
                self.target_node, self.target_alias = body.target_node, body.target_alias
                self.stages = [StageState(plan) for plan in body.stages]
            case j.Armed():
                self.status, self.armed_for = "armed", body.waiting_for
            case j.Target():
                self.status = "running"
                self.target_node, self.target_alias = body.target_node, body.target_alias
            case j.Resumed():
                self.resumed += 1
            case j.CancelAsked():
                self.cancelled = body
            case j.Finish():
                self.finish, self.finished, self.status = body, entry.t, body.status
            case _:
                self._apply_record(entry.t, body)

    def _apply_record(self, t: float, body: j.RunEvent) -> None:
        match body:
            case j.IncidentJoined():
                self.incident = body
            case j.Baseline():
                self.boot_id = body.boot_id
            case j.PrerequisiteChecked():
                self.prerequisites.append(body)
            case j.EvidenceKept():
                self.evidence.append(body)
            case j.Output():
                self.output.append((t, body))
            case j.Reported():
                self.reported.append((t, body))
            case j.MessageAsked():
                self.asked[body.call] = (t, body)
            case j.Told():
                self.told[body.number] = (t, body)
            case j.SessionSeen():
                self.session = body.session
            case j.TimesSeen():
                self.times = body.times
            case _:
                self._apply_stage(t, body)

    def _apply_stage(self, t: float, body: j.RunEvent) -> None:
        stage = self._find_or_add_stage(getattr(body, "stage", ""))
        match body:
            case j.StageBegin():
                if stage.begins:
                    _forget_earlier_attempt(stage)
                stage.status, stage.began, stage.repair = "running", t, body.repair
                stage.begins += 1
            case j.WatchChange():
                stage.watches[body.index] = Verdict(body.verdict, body.detail)
                stage.watch_text[body.index] = body.describe
            case j.NoteMade():
                stage.notes.append((t, body))
                self.notes.append((t, body))
            case j.Narrated():
                stage.narration = body.text
            case j.Overdue():
                stage.overdue = True
            case j.StageEnd():
                stage.status, stage.ended = body.status, t
                stage.elapsed_s, stage.reason = body.elapsed_s, body.reason
                stage.overdue = stage.overdue or body.overdue
                stage.continued = body.continued
                if body.status in ("fail", "timeout") and not body.continued:
                    self.failures.append(StageFailure(stage.id, stage.repair, body.reason))
            case _:
                self._apply_script(t, stage, body)

    @staticmethod
    def _apply_script(t: float, stage: StageState, body: j.RunEvent) -> None:
        match body:
            case j.ActionBegin():
                stage.scripts.append(HookState(body.script, "action", 1, t))
            case j.HookBegin():
                begun = HookState(body.hook, body.purpose, body.attempt, t, repair=body.repair)
                stage.scripts.append(begun)
            case j.ActionEnd() | j.HookEnd():
                name = body.script if isinstance(body, j.ActionEnd) else body.hook
                purpose = "action" if isinstance(body, j.ActionEnd) else body.purpose
                script = _find_open_script(stage, name, purpose)
                if script is not None:
                    script.ended, script.exit_code = t, body.exit_code
                    script.detail = body.detail
            case j.ProcessSeen():
                script = _find_open_script(stage, body.script)
                if script is not None:
                    script.process = body
            case _:
                pass

    def _find_or_add_stage(self, stage_id: str) -> StageState:
        """The stage's state; one that the plan does not name is added, never lost."""
        found = self.stage(stage_id)
        if found is None:
            found = StageState(j.StagePlan(id=stage_id))
            if stage_id:
                self.stages.append(found)
        return found


def _forget_earlier_attempt(stage: StageState) -> None:
    """What a stage that is begun anew no longer is."""
    stage.ended, stage.elapsed_s, stage.reason = None, 0.0, ""
    stage.overdue = stage.continued = False
    stage.watches.clear()
    stage.watch_text.clear()


def _find_open_script(stage: StageState, name: str, purpose: str = "") -> HookState | None:
    """The newest one that runs. One script may be a stage's hook and its overdue hook."""
    found = (s for s in reversed(stage.scripts) if s.script == name and s.ended is None)
    return next((s for s in found if not purpose or s.purpose == purpose), None)
