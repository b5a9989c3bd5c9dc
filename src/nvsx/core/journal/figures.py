"""The figures of one incident: how long each part took, or why that is not known.

Reports, statistics and docs/metrics.md use these definitions and no others. A figure is
the time between two marks that were both seen; nothing is estimated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from nvsx.core.incident.session import Times
from nvsx.core.journal import entries as j
from nvsx.core.journal.fold import RunState

MARKS = {
    "generated": "fault generated",
    "condition_seen": "condition on the node",
    "quarantined": "quarantined",
    "drain_began": "drain began",
    "drain_finished": "drain finished",
    "remediation_created": "repair requested",
    "node_ready": "node ready again",
    "healthy": "condition healthy",
    "unquarantined": "back in service",
}
"""The marks of `Times` in the order of the chain, in words."""

SPANS = {
    "time_to_detect": ("time to detect", "generated", "condition_seen"),
    "time_to_quarantine": ("time to quarantine", "generated", "quarantined"),
    "drain": ("drain", "drain_began", "drain_finished"),
    "repair": ("reboot or reset", "remediation_created", "node_ready"),
    "time_to_healthy": ("time to healthy", "generated", "healthy"),
}
"""Figures that are the time between two marks: label, from, to."""

_NOTIFY = re.compile(r"^notify\s+target=(\S+)(?:\s+ref=(\S+))?")


class Figure(NamedTuple):
    """`seconds` is None when it is not known, and `why` says why."""

    key: str
    label: str
    seconds: float | None
    why: str = ""


class Notice(NamedTuple):
    """Somebody was told: when, whom, with which reference, and in which words (none for what a
    hook's own line says)."""

    at: float
    target: str
    reference: str
    stage: str
    words: str = ""


def read_notices(state: RunState) -> list[Notice]:
    """Who was told: what nvsx has delivered, and the `notify` lines of hooks that tell people
    themselves."""
    found = [
        Notice(t, told.target, told.link or told.ref, told.stage, _word_of(told))
        for t, told in state.told.values()
        if told.state == "delivered"
    ]
    for t, line in state.reported:
        told = _NOTIFY.match(line.line)
        if told:
            found.append(Notice(t, told[1], told[2] or "", line.stage))
    return sorted(found)


def _word_of(told: j.Told) -> str:
    """What was sent, or at least what about."""
    text = told.text.strip() or told.title
    return f"{told.action}: {text}" if told.action else text


def measure_figures(state: RunState) -> list[Figure]:
    """All figures of a run, in the order of the chain."""
    times = state.times
    found = [_measure_span(key, *spec, times) for key, spec in SPANS.items()]
    found.insert(1, _measure_first_notice(times, read_notices(state)))
    return [*found, *_measure_repair(state)]


def _measure_span(key: str, label: str, first: str, last: str, times: Times) -> Figure:
    began, ended = getattr(times, first), getattr(times, last)
    missing = [MARKS[name] for name, at in ((first, began), (last, ended)) if at is None]
    if missing:
        return Figure(key, label, None, f"not seen: {', '.join(missing)}")
    if ended < began - CLOCK_TOLERANCE:
        # A later fault of the same session has a run of its own: the node was held already.
        return Figure(key, label, None, f"{MARKS[last]} before: {MARKS[first]}")
    return Figure(key, label, max(0.0, ended - began))


def _measure_first_notice(times: Times, told: list[Notice]) -> Figure:
    key, label = "time_to_first_notice", "time to first notice"
    if not told:
        return Figure(key, label, None, "nobody was told")
    if times.generated is None:
        return Figure(key, label, None, f"not seen: {MARKS['generated']}")
    return Figure(key, label, max(0.0, min(n.at for n in told) - times.generated))


def _measure_repair(state: RunState) -> list[Figure]:
    """Time to repair as the run itself concluded, with and without drain."""
    finish, times = state.finish, state.times
    why = explain_no_repair(state)
    total = finish.mttr_s if finish is not None else None
    bare = finish.mttr_without_drain_s if finish is not None else None
    undrained = why or ("the end of the drain was not seen" if bare is None else "")
    found = [
        Figure("time_to_repair", "time to repair", total, "" if total is not None else why),
        Figure("time_to_repair_without_drain", "time to repair without drain", bare, undrained),
    ]
    cleared = finish.condition_cleared_s if finish is not None else None
    if cleared is not None:
        found.append(Figure("condition_cleared", "condition cleared after", cleared))
    elif not state.session.known and times.generated is not None:
        found.append(
            Figure("condition_cleared", "condition cleared after", None, "it was not seen to")
        )
    return found


def explain_no_repair(state: RunState) -> str:
    """Why a run has no time to repair; "" when it has one."""
    session = state.session
    if state.finish is None:
        return "the run has not finished"
    if state.finish.mttr_s is not None:
        return ""
    if session.ending == "terminated":
        return state.replaced or "the node is gone"
    if session.ending == "cancelled":
        return f"the incident was cancelled: {session.ending_detail or 'by hand'}"
    if session.open:
        return "the node was still in quarantine when the run ended"
    if not session.known:
        return "NVSentinel did not quarantine the node"
    if state.times.generated is None:
        return f"not seen: {MARKS['generated']}"
    return f"not seen: {MARKS['unquarantined']}"


def list_marks(times: Times) -> list[tuple[str, str, float]]:
    """(name, words, Unix time) of the marks that were seen, in the order of the chain."""
    return [(name, MARKS[name], at) for name in MARKS if (at := getattr(times, name)) is not None]


def measure_clock_ahead(seen: Iterable[tuple[float, Times]]) -> float:
    """Seconds by which the cluster's clock is ahead of nvsx's, at least; 0 when it is not.

    `seen` are the marks with the time nvsx wrote them down: none can have happened later.
    """
    ahead = 0.0
    for t, times in seen:
        known = [at for at in msgspec.structs.astuple(times) if at is not None]
        ahead = max([ahead, *(at - t for at in known)])
    return ahead if ahead > CLOCK_TOLERANCE else 0.0


CLOCK_TOLERANCE = 2.0
"""Seconds; Kubernetes writes whole ones."""
