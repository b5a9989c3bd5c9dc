"""What stays in the scrollback when the deck is left: a run on a dozen plain lines."""

from __future__ import annotations

from nvsx.core import durations
from nvsx.core.journal.fold import RunState, StageState
from nvsx.screens.deck import deck_words, panels
from nvsx.screens.deck.rows import safe


def summary(state: RunState, now: float, artifacts: str = "") -> list[str]:
    """Lines without colour: stages, hooks, notes, time to repair, where artifacts are.

    `artifacts` is the folder that has one for each run.
    """
    if state.start is None or not state.run_id:
        return ["the run had not begun"]
    start = state.start
    lines = [f"{start.runbook} (#{start.nickname}) on {panels.node_of(state)} · run {state.run_id}"]
    lines += [_format_stage(stage, now) for stage in state.stages]
    hooks = [
        f"{mark} {deck_words.script_name(script)} ({stage.id}: {how})"
        for stage in state.stages
        for script in stage.scripts
        for mark, _, how in [deck_words.script_state(script, now)]
    ]
    lines += _format_block("scripts", hooks)
    lines += _format_block(
        "unmet", [f"! {p.name}: {p.detail}" for p in state.prerequisites if not p.ok]
    )
    lines += _format_block("notes", _format_notes(state))
    lines.append(f"{'status':<13}{_format_status(state, now)}")
    lines.append(f"{'repair':<13}{_format_repair(state)}")
    if artifacts:
        artifacts = f"{artifacts}/{state.run_id}"
        count = len(state.evidence)
        kept = f" ({count} file{'s' if count > 1 else ''} of evidence)" if count else ""
        lines.append(f"{'artifacts':<13}{artifacts}{kept}")
    return [safe(line).rstrip() for line in lines]


def _format_block(label: str, items: list[str]) -> list[str]:
    return [f"{label if i == 0 else '':<13}{item}" for i, item in enumerate(items)]


def _format_stage(stage: StageState, now: float) -> str:
    mark, _, word = deck_words.STAGE_MARK.get(stage.status, ("?", "plain", stage.status))
    seconds = deck_words.stage_seconds(stage, now)
    took = f" {durations.format(round(seconds, 1))}" if seconds is not None else ""
    late = ", overdue" if stage.overdue else ""
    why = f": {stage.reason}" if stage.reason and stage.status != "pass" else ""
    on = "; went on" if stage.continued else ""
    return f"  {mark} {stage.id:<12} {word or 'not begun'}{took}{late}{why}{on}"


def _format_notes(state: RunState) -> list[str]:
    newest = {}
    for at, note in state.notes:
        newest[note.stage, note.code or note.text, note.author] = (at, note)
    found = []
    for at, note in newest.values():
        who = f"{note.author}: " if note.author else f"{note.stage}: " if note.stage else ""
        remedy = f" → {note.remedy}" if note.remedy else ""
        found.append(f"{deck_words.clock(at)} {who}{note.text}{remedy}")
    return found


def _format_status(state: RunState, now: float) -> str:
    if state.finish is None:
        return f"still {deck_words.badge(state)[0].lower()}: {deck_words.headline(state, now)[1]}"
    return deck_words.headline(state, now)[1]


def _format_repair(state: RunState) -> str:
    finish = state.finish
    told = f"time to repair {deck_words.time_to_repair(state)}"
    bare = finish.mttr_without_drain_s if finish is not None else None
    return f"{told} ({deck_words.length(bare)} without drain)" if bare is not None else told
