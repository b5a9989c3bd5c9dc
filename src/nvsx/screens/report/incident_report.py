"""The incident report: what a run's journal says, told for people who were not there.

`build` folds the entries into a `Report`, plain values that are its JSON form too; the
Markdown and HTML pages are drawn from it and from nothing else. Pure: it reads no file and
no clock. What was not observed is not in it; a figure that is not known says why.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any

import msgspec

from nvsx.core.durations import format as length
from nvsx.core.journal import entries as j
from nvsx.core.journal.entry_lines import lines_of, node_name
from nvsx.core.journal.figures import list_marks, measure_clock_ahead, measure_figures, read_notices
from nvsx.core.journal.fold import HookState, RunState, StageState

VERSION = 1
OUTPUT_LINES = 40
"""Of one script's output; the journal has all of it."""
MOMENTS = 5_000


class Artifact(msgspec.Struct, frozen=True):
    """A file in the run's artifact folder; `path` is relative to it."""

    path: str
    bytes: int
    sha256: str


class ToldRow(msgspec.Struct, frozen=True):
    at: float
    target: str
    reference: str
    stage: str
    words: str = ""


class Measure(msgspec.Struct, frozen=True):
    key: str
    label: str
    seconds: float | None
    why: str = ""


class ReportMark(msgspec.Struct, frozen=True):
    name: str
    label: str
    at: float


class StageRow(msgspec.Struct, frozen=True):
    """`over_s` is how far it went over its budget; None without a budget or within it."""

    id: str
    title: str
    status: str
    began: float | None
    elapsed_s: float | None
    budget_s: float | None
    timeout_s: float | None
    over_s: float | None
    reason: str


class MergedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a report that merges several."""

    run_id: str
    runbook: str
    node: str
    alias: str
    trigger: str
    status: str
    degraded: bool
    reason: str
    began: float
    finished: float | None
    stages: tuple[StageRow, ...]


class NodeTimes(msgspec.Struct, frozen=True):
    """The figures and marks of one node, over all runs of a merged report that were on it."""

    node: str
    alias: str
    measures: tuple[Measure, ...]
    marks: tuple[ReportMark, ...]


class Moment(msgspec.Struct):
    """One line of the story. `source` is `nvsx` or `NVSentinel`, whose time it is; `details`
    is what a script printed, as text. `run` and `node` are told where several are merged."""

    at: float
    tone: str
    text: str
    stage: str = ""
    source: str = "nvsx"
    details: list[str] = []
    more: int = 0
    run: str = ""
    node: str = ""


class ReportedFault(msgspec.Struct, frozen=True):
    check: str
    error_codes: tuple[str, ...]
    entities: tuple[tuple[str, str], ...]
    action: str
    message: str


class IncidentReport(msgspec.Struct, frozen=True, kw_only=True):
    """Times are Unix seconds, lengths seconds, None for what is not known. `parts` and `nodes`
    are told by a report that merges several runs; its own figures are those of its node."""

    version: int = VERSION
    run_id: str
    runbook: str
    nickname: str
    title: str
    node: str
    alias: str
    cluster: str
    context: str
    trigger: str
    kind: str
    status: str
    degraded: bool
    reason: str
    began: float
    finished: float | None
    total_s: float | None
    session: str
    faults: tuple[ReportedFault, ...]
    measures: tuple[Measure, ...]
    marks: tuple[ReportMark, ...]
    clock_ahead_s: float
    stages: tuple[StageRow, ...]
    told: tuple[ToldRow, ...]
    said: tuple[tuple[float, str], ...]
    failures: tuple[str, ...]
    notes: tuple[tuple[float, str], ...]
    moments: tuple[Moment, ...]
    moments_left_out: int
    artifacts: tuple[Artifact, ...]
    parts: tuple[MergedRun, ...] = ()
    nodes: tuple[NodeTimes, ...] = ()


def build(entries: Sequence[j.Entry], artifacts: Iterable[Artifact] = ()) -> IncidentReport:
    """The report of one run, finished or not. `entries` is its whole journal."""
    state = RunState.of(entries)
    start = state.start or j.Start(runbook="", nickname="")
    told = read_notices(state)
    moments = sorted([*story(entries), *observed(state)], key=lambda m: m.at)
    seen = [(e.t, e.body.times) for e in entries if isinstance(e.body, j.TimesSeen)]
    return IncidentReport(
        run_id=state.run_id,
        runbook=start.runbook,
        nickname=start.nickname,
        title=start.title or start.runbook,
        node=state.target_node,
        alias=state.target_alias,
        cluster=start.cluster,
        context=start.context,
        trigger=start.trigger,
        kind="sandbox" if start.sandbox else "drill" if start.drill else "incident",
        status=state.status,
        degraded=state.degraded or bool(state.finish and state.finish.degraded),
        reason=state.finish.reason if state.finish else "",
        began=state.began,
        finished=state.finished,
        total_s=state.finish.total_s if state.finish else None,
        session=state.session.key,
        faults=_faults_of(state, start),
        measures=tuple(Measure(*figure) for figure in measure_figures(state)),
        marks=tuple(ReportMark(*mark) for mark in list_marks(state.times)),
        clock_ahead_s=round(start.clock_ahead_s or measure_clock_ahead(seen), 3),
        stages=tuple(_stage_row(s) for s in state.stages),
        told=tuple(ToldRow(*notice) for notice in told),
        said=_what_hooks_said(state),
        failures=tuple(_what_failed(state)),
        notes=tuple((t, _format_note(n)) for t, n in state.notes),
        moments=tuple(moments[:MOMENTS]),
        moments_left_out=max(0, len(moments) - MOMENTS),
        artifacts=tuple(artifacts),
    )


def as_json(report: IncidentReport) -> dict[str, Any]:
    """The report as plain values; the format only grows."""
    return dict(msgspec.to_builtins(report))


def clock(t: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(t))


def moment(t: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(t))


def headline(report: IncidentReport) -> str:
    """One sentence: what, where, how it ended."""
    node = node_name(report.node, report.alias) if report.node else "no node"
    others = len({p.node for p in report.parts} - {report.node})
    if others:
        node += f" and {others} more"
    degraded = " (degraded)" if report.degraded else ""
    return f"{report.title} on {node}: {report.status}{degraded}"


def nodes_of(report: IncidentReport) -> tuple[NodeTimes, ...]:
    """The nodes with their times: those of a merged report, else the one."""
    return report.nodes or (NodeTimes(report.node, report.alias, report.measures, report.marks),)


def part_words(part: MergedRun) -> str:
    """One run of several, in a line."""
    degraded = " (degraded)" if part.degraded else ""
    ended = f" to {moment(part.finished)}" if part.finished is not None else ", goes on"
    node = node_name(part.node, part.alias) if part.node else "no node"
    return (
        f"{part.runbook} on {node}, fired by {part.trigger}, {moment(part.began)}{ended}: "
        f"{part.status}{degraded}{f' ({part.reason})' if part.reason else ''}"
    )


def clock_words(report: IncidentReport) -> str:
    """By how much the clocks differ; "" when they are not known to."""
    off = report.clock_ahead_s
    if not off:
        return ""
    return (
        f"The cluster's clock is at least {length(abs(off))} {'ahead of' if off > 0 else 'behind'} "
        "nvsx's: figures between the two are off by that much."
    )


def budget_words(row: StageRow) -> str:
    """A stage's time against its budget."""
    if row.over_s is not None and row.budget_s is not None:
        return f"{length(row.budget_s)}, over by {length(row.over_s)}"
    if row.budget_s is not None:
        return f"{length(row.budget_s)}, kept" if row.status == "pass" else length(row.budget_s)
    return f"limit {length(row.timeout_s)}" if row.timeout_s else "none"


# --- parts --------------------------------------------------------------------------------


def _faults_of(state: RunState, start: j.Start) -> tuple[ReportedFault, ...]:
    found = [
        ReportedFault(e.check, e.error_codes, e.entities, e.action, e.message)
        for e in state.session.events
        if not e.healthy
    ]
    if not found and start.trigger_event:
        found = [msgspec.convert(start.trigger_event, ReportedFault, strict=False)]
    return tuple(dict.fromkeys(found))


def _stage_row(s: StageState) -> StageRow:
    budget, elapsed = s.plan.budget_s, s.elapsed_s if s.done and s.began else None
    over = elapsed - budget if s.overdue and budget and elapsed and elapsed > budget else None
    return StageRow(
        id=s.id,
        title=s.plan.title,
        status=s.status,
        began=s.began,
        elapsed_s=elapsed,
        budget_s=budget,
        timeout_s=s.plan.timeout_s,
        over_s=over,
        reason=s.reason,
    )


def _what_hooks_said(state: RunState) -> tuple[tuple[float, str], ...]:
    """What hooks wrote into the report besides whom they told."""
    lines = [(t, r.line.strip()) for t, r in state.reported]
    return tuple((t, line) for t, line in lines if line and not line.startswith("notify "))


def _format_note(note: j.NoteMade) -> str:
    who = f"{note.author}: " if note.author else ""
    remedy = f" Remedy: {note.remedy}" if note.remedy else ""
    return f"{who}{note.text}{remedy}"


def _what_failed(state: RunState) -> Iterable[str]:
    for p in state.prerequisites:
        if not p.ok:
            yield f"prerequisite {p.name}: {p.detail}"
    for s in state.stages:
        if s.status in ("fail", "timeout"):
            word = "timed out" if s.status == "timeout" else "failed"
            on = "; the run went on" if s.continued else ""
            yield f"stage {s.id} {word}: {s.reason or 'no reason was given'}{on}"
        for script in s.scripts:
            if not script.ok:
                yield f"stage {s.id}, {script.purpose} {script.script}: {_how_it_ended(script)}"
    for _, told in state.told.values():
        if told.failing:
            yield f"not everybody was told: {told.words}"
    if state.cancelled is not None:
        yield f"cancelled by {state.cancelled.by}: {state.cancelled.reason}"
    if state.finish is not None and state.finish.status == "interrupted":
        yield f"interrupted: {state.finish.reason}"


def _how_it_ended(script: HookState) -> str:
    if script.ended is None:
        return "its end was not seen"
    again = f" (attempt {script.attempt})" if script.attempt > 1 else ""
    return (script.detail or f"ended with exit code {script.exit_code}") + again


# --- the story ----------------------------------------------------------------------------

_QUIET = (j.ProcessSeen, j.TimesSeen, j.SessionSeen, j.Output, j.EvidenceKept, j.Baseline)


def story(entries: Sequence[j.Entry]) -> list[Moment]:
    """What nvsx did and saw, in the journal's order."""
    story: list[Moment] = []
    scripts: dict[str, Moment] = {}
    kept: dict[str, Moment] = {}
    for entry in entries:
        body = entry.body
        stage = getattr(body, "stage", "")
        if isinstance(body, j.Output):
            _add_output(scripts.get(stage), body)
        elif isinstance(body, j.EvidenceKept):
            _add_evidence(kept, story, entry.t, body)
        elif isinstance(body, j.Reported):
            story.append(Moment(entry.t, "plain", f"report: {body.line}", stage))
        elif not isinstance(body, _QUIET) and not _still_waits(body):
            told = [
                Moment(entry.t, line.tone, line.text.strip(), stage) for line in lines_of(entry)
            ]
            story += told
            if isinstance(body, j.HookBegin | j.ActionBegin) and told:
                scripts[stage] = told[-1]
    return story


def observed(state: RunState) -> list[Moment]:
    """What NVSentinel's own marks say, by its times."""
    told = [(at, words) for _, words, at in list_marks(state.times)]
    told += [(at, f"state label: {name}") for name, at in state.session.states]
    return [Moment(at, "plain", words, source="NVSentinel") for at, words in told]


def _still_waits(body: j.RunEvent) -> bool:
    return isinstance(body, j.WatchChange) and body.verdict == "pending"


def _add_output(script: Moment | None, body: j.Output) -> None:
    if script is None:
        return
    if len(script.details) < OUTPUT_LINES:
        script.details.append(body.line)
    else:
        script.more += 1


def _add_evidence(
    kept: dict[str, Moment], story: list[Moment], t: float, body: j.EvidenceKept
) -> None:
    """One line for each capture, with its files as details."""
    folder = str(PurePosixPath(body.path).parent)
    if folder == ".":
        story.append(Moment(t, "dim", f"evidence kept: {body.path}", body.stage))
        return
    if folder not in kept:
        kept[folder] = Moment(t, "dim", f"evidence kept: {folder}", body.stage)
        story.append(kept[folder])
    kept[folder].details.append(PurePosixPath(body.path).name)
