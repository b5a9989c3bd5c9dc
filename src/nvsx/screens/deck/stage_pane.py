"""One stage in full: watches, why it waits and what to do, scripts, narration.

Pure, as the other panels. A watch that the engine has not evaluated yet shows as planned,
never as pending.
"""

from __future__ import annotations

from nvsx.core.journal import entries as j
from nvsx.core.journal.fold import HookState, RunState, StageState
from nvsx.core.watches.verdict import Verdict
from nvsx.screens.deck import deck_words, told_pane
from nvsx.screens.deck.rows import Row, Span, Tone, cells, clip, hang, safe, span


def title(stage: StageState) -> Row:
    label = f" · {stage.plan.title}" if stage.plan.title else ""
    return (Span(safe(stage.id), "head"), Span(safe(label), "dim"))


def limits(stage: StageState, now: float, more: str, room: int) -> Row:
    """Elapsed, overdue, `more`, budget and hard limit: as many as fit in `room` cells."""
    seconds = deck_words.stage_seconds(stage, now)
    parts: list[Span] = []
    if seconds is not None:
        parts.append(Span(deck_words.length(seconds), "head"))
    if stage.overdue:
        parts.append(Span("OVERDUE", "warn"))
    if more:
        parts.append(Span(more, "accent"))
    if stage.plan.budget_s is not None:
        parts.append(Span(f"budget {deck_words.length(stage.plan.budget_s)}", "dim"))
    if stage.plan.timeout_s is not None:
        parts.append(Span(f"limit {deck_words.length(stage.plan.timeout_s)}", "dim"))
    while cells(_join_spans(parts)) > room:
        parts.pop()
    return _join_spans(parts)


def _join_spans(parts: list[Span]) -> Row:
    joined: list[Span] = []
    for part in parts:
        joined += [Span(" · ", "dim"), part] if joined else [part]
    return tuple(joined)


def body(state: RunState, stage: StageState, now: float, width: int) -> list[Row]:
    """Everything about `stage`, the most urgent first."""
    rows: list[Row] = []
    if state.status == "armed":
        text = f"Armed: waits for {state.armed_for}. Until it names the node nothing runs."
        rows += hang("…", text, width, "accent")
    rows += _outcome_rows(state, stage, width)
    rows += [r for s in stage.scripts if s.purpose == "action" for r in _script_rows(s, now, width)]
    rows += watches(stage, width)
    rows += notes(state, stage, now, width)
    rows += [r for s in stage.scripts if s.purpose != "action" for r in _script_rows(s, now, width)]
    rows += told_pane.told_of_stage(state, stage.id, width)
    if stage.narration:
        rows += hang("“", stage.narration, width, "said")
    return rows or [span(_why_no_watch(stage), "dim")]


def _why_no_watch(stage: StageState) -> str:
    if stage.status == "planned":
        return "not begun"
    return "nothing to watch" if stage.status == "running" else "nothing was recorded"


def _outcome_rows(state: RunState, stage: StageState, width: int) -> list[Row]:
    if not stage.reason or stage.status == "running":
        return []
    if deck_words.never_began(state):
        unmet = [p for p in state.prerequisites if not p.ok]
        told = [r for p in unmet for r in hang("✗", f"{p.name}: {p.detail}", width, "bad")]
        return [*hang("-", "skipped: prerequisites not met", width, "dim"), *told]
    mark, tone, word = deck_words.STAGE_MARK.get(stage.status, ("?", "plain", stage.status))
    on = "; the run went on" if stage.continued else ""
    return hang(mark, f"{word}: {stage.reason}{on}", width, tone)


def watches(stage: StageState, width: int) -> list[Row]:
    """Each watch with its verdict, and the reason where there is one."""
    rows: list[Row] = []
    for index in range(max(len(stage.plan.watches), max(stage.watches, default=-1) + 1)):
        verdict = stage.watches.get(index)
        if verdict is not None and verdict.detail == stage.reason:
            verdict = Verdict(verdict.kind)  # the stage's outcome above says it already
        rows += _watch_rows(deck_words.watch_name(stage, index), verdict, width)
    return rows


def _watch_rows(name: str, verdict: Verdict | None, width: int) -> list[Row]:
    if verdict is None:
        return hang("○", name, width, "dim", lines=1)
    mark, tone = deck_words.WATCH_MARK[verdict.kind]
    word = verdict.kind if verdict.kind in ("unknown", "failed", "invalid") else ""
    detail = ": ".join(p for p in (word, verdict.detail) if p)
    head: Row = (Span(f"{mark} ", tone), *span(name, "plain" if tone != "bad" else "bad"))
    if not detail:
        return hang(mark, name, width, tone, lines=2)
    told: Tone = tone if word else "dim"
    if cells(head) + cells(span(detail)) + 3 <= width:
        return [(*head, *span(f"   {detail}", told))]
    if verdict.kind == "satisfied":
        return [clip((*head, *span(f"   {detail}", told)), width)]
    rows = hang(mark, name, width, tone, lines=2)
    return rows + [(Span("  "), *row) for row in hang("└", detail, width - 2, told, lines=3)]


def notes(state: RunState, stage: StageState, now: float, width: int) -> list[Row]:
    """Why it waits, the newest of each kind, its remedy beneath; then what people noted."""
    newest: dict[str, tuple[float, j.NoteMade]] = {}
    of_run = not stage.done or stage is state.stages[0]
    for at, note in state.notes:
        if note.stage != stage.id and (note.stage or not of_run):
            continue
        key = note.code if note.code and not note.author else f"{at} {note.author}{note.text}"
        newest.pop(key, None)
        newest[key] = (at, note)
    rows: list[Row] = []
    latest = list(reversed(newest.values()))
    latest.sort(key=lambda n: bool(n[1].author))
    for at, note in latest:
        who = f"{note.author}: " if note.author else ""
        ago = f" ({deck_words.ago(now - at)})" if not stage.done else ""
        tone: Tone = "dim" if stage.done else "warn"
        rows += hang("!", f"{who}{note.text}{ago}", width, tone)
        if note.remedy:
            rows += [(Span("  "), *row) for row in hang("→", note.remedy, width - 2, "remedy")]
    return rows


def _script_rows(script: HookState, now: float, width: int) -> list[Row]:
    mark, tone, how = deck_words.script_state(script, now)
    row: Row = (
        Span(f"{mark} ", tone),
        *span(deck_words.script_name(script)),
        *span(f"  {how}", "dim"),
    )
    if tone == "bad":
        return hang(mark, f"{deck_words.script_name(script)}: {how}", width, tone, lines=2)
    return [clip(row, width)]
