"""The deck's panels as rows: header, rail of stages, facts, footer.

Pure functions of the folded state, a time and a width. Every status has a mark or a word
of its own, so that nothing depends on colour.
"""

from __future__ import annotations

from collections.abc import Sequence

from nvsx.core.journal import entries as j
from nvsx.core.journal.entry_lines import node_name
from nvsx.core.journal.fold import RunState, StageState
from nvsx.screens.deck import deck_words, told_pane
from nvsx.screens.deck.rows import Row, Span, Tone, cells, clip, hang, pad, safe, span, spread


def header(state: RunState, now: float, width: int) -> list[Row]:
    """Three rows: what and how long; where; what goes on."""
    start = state.start
    if start is None:
        return [span(" waiting for the run to begin", "dim"), (), ()]
    word, tone = deck_words.badge(state)
    title = f" · {start.title}" if start.title and start.title != start.runbook else ""
    kinds = [n for n in ("sandbox", "drill", "late", "strict") if getattr(start, n)]
    kinds += ["resumed"] if state.resumed else []
    first: Row = (
        Span(f" {word} ", tone),
        Span(f" {safe(start.runbook)}", "head"),
        Span(f" #{safe(start.nickname)}", "accent"),
        Span("".join(f" · {kind}" for kind in kinds)),
        Span(safe(title), "dim"),
    )
    since = deck_words.incident_words(state, now)
    incident: Row = (Span("incident ", "dim"), Span(since, "head"), Span(" "))
    line_tone, line = deck_words.headline(state, now)
    return [
        spread(first, incident, width),
        _where_row(state, width),
        clip((Span(" "), *span(line, line_tone)), width),
    ]


def _where_row(state: RunState, width: int) -> Row:
    """Node, alias, run and cluster, time to repair. The run's id is never cut: it is what
    one attaches to and reports. The cluster goes first, then words, then the node's end."""
    start = state.start
    cluster = f" · {start.context or start.cluster}" if start else " · "
    run = state.run_id
    forms = ((f" · run {run}", cluster), (f" · run {run}", ""), (f" · {run}", ""))
    room = 0
    right: Row = ()
    rest: Row = ()
    for i, (about, where) in enumerate(forms):
        label = "repair " if i == len(forms) - 1 else "time to repair "
        right = (Span(label, "dim"), Span(deck_words.time_to_repair(state), "head"), Span(" "))
        rest = (*span(about if run else ""), *span(where if len(where) > 3 else "", "dim"))
        room = width - cells(right) - 2 - cells(rest)
        if cells(_node_row(state)) <= room:
            break
    alias = state.target_alias if room >= len(state.target_alias) + 11 else ""
    node = _node_row(state, alias=alias, room=max(8, room))
    return spread((Span(" "), *node, *rest), right, width)


def _node_row(state: RunState, *, alias: str | None = None, room: int = 1_000) -> Row:
    """The node's name, cut to fit before its alias, in `room` cells."""
    if not state.target_node:
        return clip(span("no node yet", "warn"), room)
    alias = state.target_alias if alias is None else alias
    beside = span(f" ({alias})" if alias else "", "accent")
    return (*clip(span(state.target_node, "head"), max(8, room - cells(beside))), *beside)


def rail(
    state: RunState, now: float, size: tuple[int, int], selected: str, *, focus: bool
) -> list[Row]:
    """The stages, then prerequisites and counts as far as `size` (cells, rows) has room."""
    width, height = size
    roomy = width >= 36 and height >= 2 * len(state.stages) + 6
    rows: list[Row] = []
    for stage in state.stages:
        chosen = stage.id == selected
        rows.append(_rail_row(stage, now, width, chosen=chosen, focus=focus))
        if roomy and stage.plan.title:
            rows.append(clip((Span("    "), *span(stage.plan.title, "dim")), width))
    left = height - len(rows) - 1
    extra = _rail_extra(state, width)
    if left >= 2 and extra:
        rows += [(), *extra[:left]]
    return rows


def _rail_row(stage: StageState, now: float, width: int, *, chosen: bool, focus: bool) -> Row:
    mark, tone, _ = deck_words.STAGE_MARK.get(stage.status, ("?", "plain", ""))
    name_tone: Tone = "head" if chosen or stage.status == "running" else "plain"
    if stage.status in ("planned", "skipped") and not chosen:
        name_tone = "dim"
    pointer = ("▸" if focus else "▹") if chosen else " "
    left: Row = (
        Span(pointer, "accent"),
        Span(f"{mark} ", tone),
        Span(safe(stage.id), name_tone),
    )
    return spread(left, (*_rail_time(stage, now, width), Span(" ")), width)


def _rail_time(stage: StageState, now: float, width: int) -> Row:
    seconds = deck_words.stage_seconds(stage, now)
    word = deck_words.stage_word(stage)
    tone: Tone = deck_words.STAGE_MARK.get(stage.status, ("", "plain", ""))[1]
    if word in ("overdue", "degraded"):
        tone = "warn"
    elapsed = deck_words.length(seconds) if seconds is not None else ""
    budget = stage.plan.budget_s
    if stage.status == "running" and budget is not None and (not word or width >= 36):
        elapsed += f" / {deck_words.length(budget)}"
    if stage.status == "planned" and budget is not None and width >= 36:
        elapsed = f"budget {deck_words.length(budget)}"
    if stage.status == "skipped":
        elapsed = ""
    parts = [Span(word, tone)] if word else []
    if elapsed:
        parts.append(Span(f" {elapsed}" if word else elapsed, "dim" if stage.done else "plain"))
    return tuple(parts)


def _rail_extra(state: RunState, width: int) -> list[Row]:
    rows: list[Row] = []
    scripts = [s for stage in state.stages for s in stage.scripts if s.ended is not None]
    if scripts:
        bad = sum(not s.ok for s in scripts)
        rows.append(_count_row(" scripts", len(scripts) - bad, len(scripts), width, "ok"))
    if state.prerequisites:
        good = sum(p.ok for p in state.prerequisites)
        rows.append(_count_row(" prerequisites", good, len(state.prerequisites), width, "met"))
    rows += prerequisites(state.prerequisites, width)
    return rows


def _count_row(label: str, good: int, total: int, width: int, word: str) -> Row:
    tone: Tone = "dim" if good == total else "warn"
    return spread(span(label, "head"), span(f"{good} of {total} {word} ", tone), width)


def prerequisites(known: Sequence[j.PrerequisiteChecked], width: int) -> list[Row]:
    """One row each, the unmet first."""
    rows: list[Row] = []
    for item in sorted(known, key=lambda p: p.ok):
        mark, tone = ("✓", "good") if item.ok else ("✗" if item.required else "!", "warn")
        detail = f"  {item.detail}" if item.detail and (width >= 36 or not item.ok) else ""
        row: Row = (
            Span(f"  {mark} ", "bad" if mark == "✗" else tone),  # type: ignore[arg-type]
            *span(item.name),
            *span(detail, "dim"),
        )
        rows.append(clip(row, width - 1))
    return rows


_MARKS = (
    ("generated", "fault generated"),
    ("condition_seen", "condition seen"),
    ("quarantined", "quarantined"),
    ("drain_began", "drain began"),
    ("drain_finished", "drain finished"),
    ("remediation_created", "repair requested"),
    ("node_ready", "node ready"),
    ("healthy", "healthy"),
    ("unquarantined", "released"),
)


def facts(state: RunState, now: float, width: int) -> list[Row]:
    """For wide screens: the incident's times, every script that ran, notes, evidence."""
    rows: list[Row] = [span("Incident", "head")]
    first = state.times.generated
    seen = [(label, getattr(state.times, name)) for name, label in _MARKS]
    for label, at in seen:
        if at is None:
            continue
        since = f"+{deck_words.length(at - first)}" if first is not None and at >= first else ""
        row = (
            Span(f"  {label:<17}", "dim"),
            Span(deck_words.clock(at)),
            Span(f"  {since}", "accent"),
        )
        rows.append(row)
    if len(rows) == 1:
        rows.append(span("  no times seen yet", "dim"))
    rows += told_pane.told_facts(state, width)
    rows += _fact_scripts(state, now, width)
    if state.notes:
        rows += [(), span("Notes", "head")]
        for at, note in reversed(state.notes[-6:]):
            who = f"{note.author}: " if note.author else ""
            rows += hang("  !", f"{deck_words.clock(at)} {who}{note.text}", width, "warn", lines=3)
    if state.evidence:
        rows += [(), span(f"Evidence: {len(state.evidence)} files", "head")]
        rows += [clip(span(f"  {e.path}", "dim"), width) for e in state.evidence[-4:]]
    return rows


def _fact_scripts(state: RunState, now: float, width: int) -> list[Row]:
    rows: list[Row] = []
    for stage in state.stages:
        for script in stage.scripts:
            mark, tone, how = deck_words.script_state(script, now)
            left: Row = (Span(f"  {mark} ", tone), *span(script.script.rsplit("/", 1)[-1]))
            room = max(6, width - cells(left) - 2)
            rows.append(spread(left, clip(span(how, "dim"), room), width))
    return [(), span("Scripts", "head"), *rows] if rows else []


KEYS: tuple[tuple[str, str], ...] = (
    ("j/k", "stage"),
    ("tab", "pane"),
    ("/", "find"),
    ("l", "log"),
    ("w", "watches"),
    ("y", "raw"),
    ("?", "help"),
    ("c", "cancel"),
    ("q", "leave"),
)


def footer(keys: Sequence[tuple[str, str]], width: int) -> Row:
    """Keys and what they do; the middle ones give way on a narrow screen."""
    shown = list(keys)
    while shown and cells(_keys_row(shown)) > width:
        shown.pop(len(shown) // 2)
    return pad(_keys_row(shown), width)


def _keys_row(keys: Sequence[tuple[str, str]]) -> Row:
    parts: list[Span] = []
    for key, word in keys:
        parts += [Span(f"{'  ' if parts else ' '}{key}", "accent"), Span(f" {word}", "dim")]
    return tuple(parts)


def node_of(state: RunState) -> str:
    """The node with its alias, or that there is none yet."""
    return node_name(state.target_node, state.target_alias) if state.target_node else "no node yet"
