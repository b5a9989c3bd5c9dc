"""What the deck says of a run: statuses, clocks and lengths of time, as short words.

Pure functions of the folded state and a time (Unix seconds). What was not observed is
said to be unknown; no number is made up.
"""

from __future__ import annotations

import time
from typing import Any

from nvsx.core import durations
from nvsx.core.journal.fold import HookState, RunState, StageState
from nvsx.screens.deck.rows import Tone

STAGE_MARK: dict[str, tuple[str, Tone, str]] = {
    "planned": ("○", "dim", ""),
    "running": ("▶", "accent", "running"),
    "pass": ("✓", "good", "passed"),
    "fail": ("✗", "bad", "failed"),
    "timeout": ("✗", "bad", "timeout"),
    "skipped": ("-", "dim", "skipped"),
    "cancelled": ("■", "warn", "cancelled"),
}
WATCH_MARK: dict[str, tuple[str, Tone]] = {
    "satisfied": ("✓", "good"),
    "pending": ("·", "plain"),
    "unknown": ("?", "warn"),
    "failed": ("✗", "bad"),
    "invalid": ("✗", "bad"),
}
_BADGE: dict[str, tuple[str, Tone]] = {
    "armed": ("ARMED", "badge"),
    "running": ("RUNNING", "badge"),
    "passed": ("PASSED", "badge-good"),
    "failed": ("FAILED", "badge-bad"),
    "cancelled": ("CANCELLED", "badge-warn"),
    "interrupted": ("INTERRUPTED", "badge-warn"),
}


def length(seconds: float) -> str:
    """A length of time in whole seconds and at most two units: `12m31s`, `1h30m`, `2d4h`."""
    whole = int(max(0.0, seconds))
    if whole >= 86400:
        whole -= whole % 3600
    elif whole >= 3600:
        whole -= whole % 60
    return durations.format(whole)


def ago(seconds: float) -> str:
    """How long ago, roughly: `just now`, `40s ago`, `58m ago`, `3h ago`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit} ago"
    return f"{int(seconds) // 10 * 10}s ago" if seconds >= 10 else "just now"


def clock(t: float) -> str:
    """The time of day where the reader is."""
    return time.strftime("%H:%M:%S", time.localtime(t))


def badge(state: RunState) -> tuple[str, Tone]:
    """The run's status in capitals."""
    if not state.run_id:
        return "STARTING", "badge"
    if state.finish is None and state.cancelled is not None:
        return "CANCELLING", "badge-warn"
    word, tone = _BADGE[state.status]
    if state.finish is not None and state.finish.degraded and state.status == "passed":
        return "PASSED DEGRADED", "badge-warn"
    return word, tone


def generated_at(state: RunState) -> float | None:
    """When the fault was generated, as far as anything told."""
    event: dict[str, Any] = (state.start.trigger_event if state.start else None) or {}
    known = (state.times.generated, state.session.generated_at, event.get("generated_at"))
    return next((float(t) for t in known if t), None)


def incident_clock(state: RunState, now: float) -> float | None:
    """Seconds since the fault was generated; stands still once it is over."""
    began = generated_at(state)
    if began is None:
        return None
    times = state.times
    over = times.unquarantined or (times.healthy if not state.session.known else None)
    return max(0.0, (over or state.finished or now) - began)


def incident_words(state: RunState, now: float) -> str:
    """How long the incident has lasted, or what else is known of its beginning: NVSentinel
    tells when the fault was generated only of nodes it has taken on."""
    seconds = incident_clock(state, now)
    if seconds is not None:
        return length(seconds)
    detect = state.stage("detect")
    if detect is None or detect.status != "pass" or detect.ended is None:
        return "no fault yet"
    return f"seen {ago((state.finished or now) - detect.ended)}"


def time_to_repair(state: RunState) -> str:
    """The time to repair, or why there is none."""
    finish = state.finish
    if finish is not None and finish.mttr_s is not None:
        return length(finish.mttr_s)
    if finish is not None and finish.condition_cleared_s is not None:
        return f"none, cleared after {length(finish.condition_cleared_s)}"
    if finish is not None:
        return "none"
    seconds = state.times.time_to_repair() if state.session.ending == "recovered" else None
    return "not yet" if seconds is None else length(seconds)


def stage_seconds(stage: StageState, now: float) -> float | None:
    """How long the stage took, or has been running; None when it never began."""
    if stage.began is None:
        return None
    return stage.elapsed_s if stage.done else max(0.0, now - stage.began)


def stage_word(stage: StageState) -> str:
    """The stage's status in one word, "" when the mark alone is plain enough."""
    word = STAGE_MARK.get(stage.status, ("", "plain", stage.status))[2]
    if stage.status not in ("pass", "running", "planned"):
        return word
    return "overdue" if stage.overdue else "degraded" if _failed_hooks(stage) else ""


def _failed_hooks(stage: StageState) -> list[str]:
    """Hooks of which no attempt succeeded, by file name."""
    last = {s.script: s for s in stage.scripts if s.purpose != "action"}
    return [s.script.rsplit("/", 1)[-1] for s in last.values() if s.ended is not None and not s.ok]


def degraded_by(state: RunState) -> str:
    """What made the run degraded: hooks that failed, prerequisites not met."""
    hooks = [f"{name} failed" for stage in state.stages for name in _failed_hooks(stage)]
    unmet = [f"{p.name} not met" for p in state.prerequisites if not p.ok]
    return ", ".join([*hooks, *unmet])


def script_name(script: HookState) -> str:
    """A script as people call it: its file, and why it ran when that is not plain."""
    name = script.script.rsplit("/", 1)[-1]
    kind = script.purpose if script.purpose in ("action", "hook") else f"{script.purpose} hook"
    return f"{kind} {name}"


def script_state(script: HookState, now: float) -> tuple[str, Tone, str]:
    """Mark, tone and words of how a script stands."""
    again = f", attempt {script.attempt}" if script.attempt > 1 else ""
    if script.ended is None:
        return "»", "accent", f"running {length(now - script.began)}{again}"
    if script.ok:
        return "✓", "good", f"{durations.format(script.ended - script.began)}{again}"
    return "✗", "bad", f"{script.detail or f'exit code {script.exit_code}'}{again}"


def headline(state: RunState, now: float) -> tuple[Tone, str]:
    """One sentence: what goes on, and what is awaited."""
    if not state.run_id:
        sandbox = state.start is not None and state.start.sandbox
        what = "starting a sandbox cluster" if sandbox else "connecting to the cluster"
        return "accent", f"{what}, {length(now - state.began)}"
    if state.finish is not None:
        finish = state.finish
        tone: Tone = "good" if finish.ok and not finish.degraded else "warn"
        reason = finish.reason
        if never_began(state):
            unmet = [p.name for p in state.prerequisites if not p.ok]
            reason = f"prerequisites not met: {', '.join(unmet)}"
        more = f": {reason}" if reason not in ("", finish.status) else ""
        if finish.status == "cancelled" and state.cancelled is not None:
            more = f" by {state.cancelled.by}{more}"
        degraded = finish.degraded and finish.status != "failed"
        worse = f", degraded: {degraded_by(state)}" if degraded else ""
        tone = "bad" if finish.status == "failed" else tone
        return tone, f"{finish.status} after {length(finish.total_s)}{worse}{more}"
    if state.cancelled is not None:
        why = f": {state.cancelled.reason}" if state.cancelled.reason else ""
        return "warn", f"cancelled by {state.cancelled.by}{why}; {_what_it_does(state, now)}"
    if state.status == "armed":
        return "accent", f"waits for {state.armed_for}"
    return ("warn" if _is_overdue(state) else "plain"), _what_it_does(state, now)


def never_began(state: RunState) -> bool:
    """Whether unmet prerequisites kept the run from its first stage."""
    unmet = any(not p.ok for p in state.prerequisites)
    ended = state.finish is not None and state.finish.status == "failed"
    return unmet and ended and all(s.began is None for s in state.stages if s.id != "postmortem")


def _is_overdue(state: RunState) -> bool:
    return state.current is not None and state.current.overdue


def _what_it_does(state: RunState, now: float) -> str:
    stage = state.current
    if stage is None:
        return "checking prerequisites" if not any(s.done for s in state.stages) else "ending"
    running = next((s for s in reversed(stage.scripts) if s.ended is None), None)
    if running is not None:
        return f"{stage.id}: {script_name(running)} runs for {length(now - running.began)}"
    total = max(len(stage.plan.watches), len(stage.watches))
    held = sum(v.kind == "satisfied" for v in stage.watches.values())
    if held == total:
        return f"{stage.id}: {f'all {total} hold' if total else 'running'}"
    waiting = next(i for i in range(total) if i not in stage.watches or not _watch_holds(stage, i))
    return f"{stage.id} awaits: {watch_name(stage, waiting)} ({held} of {total} hold)"


def _watch_holds(stage: StageState, index: int) -> bool:
    return stage.watches[index].kind == "satisfied"


def watch_name(stage: StageState, index: int) -> str:
    """A watch in words: as the engine describes it, else as it was planned."""
    planned = stage.plan.watches[index] if index < len(stage.plan.watches) else ""
    return stage.watch_text.get(index) or planned or f"watch {index + 1}"
