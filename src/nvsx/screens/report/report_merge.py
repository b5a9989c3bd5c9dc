"""Several runs of one incident as one report: the run that failed and its successor on the same
quarantine, the members of a storm.

Each run keeps its own stages; what happened is one timeline, and the times are computed once
a node, over all that its runs saw. Pure, like `report`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from nvsx.core.incident.session import Times
from nvsx.core.journal import entries as j
from nvsx.core.journal.figures import list_marks, measure_figures
from nvsx.core.journal.fold import RunState
from nvsx.screens.report.incident_report import (
    MOMENTS,
    Artifact,
    IncidentReport,
    Measure,
    MergedRun,
    Moment,
    NodeTimes,
    ReportMark,
    build,
    observed,
    story,
)

_LAST = frozenset({"node_ready", "healthy", "unquarantined"})
"""Marks that a later run may see again, later: the last word counts. Of the others the first."""

Told = tuple[Sequence[j.Entry], Sequence[Artifact]]


def merge(told: Sequence[Told], run_id: str) -> IncidentReport:
    """One report of the runs whose journals and artifacts are `told`; `run_id` is the one that
    was asked for, whose node's figures are the report's own."""
    reports = {r.run_id: r for r in (build(*one) for one in told)}
    states = {run.run_id: run for run in (RunState.of(entries) for entries, _ in told)}
    order = sorted(reports.values(), key=lambda r: r.began)
    asked, last = reports[run_id], max(order, key=lambda r: (r.finished is None, r.began))
    by_node = {
        r.node: _merge_states([s for s in states.values() if s.target_node == r.node])
        for r in order
    }
    nodes = tuple(
        NodeTimes(
            node,
            next(r.alias for r in order if r.node == node),
            tuple(Measure(*figure) for figure in measure_figures(state)),
            tuple(ReportMark(*mark) for mark in list_marks(state.times)),
        )
        for node, state in by_node.items()
    )
    mine = next(n for n in nodes if n.node == asked.node)
    moments = _merge_moments(told, by_node)
    done = [r.finished for r in order if r.finished is not None]
    finished = max(done) if len(done) == len(order) else None
    return msgspec.structs.replace(
        asked,
        status=last.status,
        degraded=any(r.degraded for r in order),
        reason=last.reason,
        began=order[0].began,
        finished=finished,
        total_s=finished - order[0].began if finished is not None else None,
        faults=tuple(dict.fromkeys(f for r in order for f in r.faults)),
        measures=mine.measures,
        marks=mine.marks,
        clock_ahead_s=max((r.clock_ahead_s for r in order), key=abs),
        stages=tuple(s for r in order for s in r.stages),
        told=tuple(sorted((t for r in order for t in r.told), key=lambda t: t.at)),
        said=tuple(sorted(line for r in order for line in r.said)),
        failures=tuple(f"{r.run_id}: {line}" for r in order for line in r.failures),
        notes=tuple(sorted(note for r in order for note in r.notes)),
        moments=tuple(moments[:MOMENTS]),
        moments_left_out=max(0, len(moments) - MOMENTS),
        artifacts=tuple(
            msgspec.structs.replace(a, path=f"{r.run_id}/{a.path}")
            for r in order
            for a in r.artifacts
        ),
        parts=tuple(_part_of_report(r) for r in order),
        nodes=nodes,
    )


def _part_of_report(report: IncidentReport) -> MergedRun:
    fields = {name: getattr(report, name) for name in MergedRun.__struct_fields__}
    return MergedRun(**fields)


def _merge_states(states: Sequence[RunState]) -> RunState:
    """What all runs on one node saw, as one state; its figures are those of the incident."""
    runs = sorted(states, key=lambda s: s.began)
    one = RunState(
        run_id=runs[-1].run_id,
        began=runs[0].began,
        target_node=runs[-1].target_node,
        times=_merge_times([s.times for s in runs]),
        session=next((s.session for s in reversed(runs) if s.session.known), runs[-1].session),
        reported=sorted((r for s in runs for r in s.reported), key=lambda r: r[0]),
    )
    last = next((s.finish for s in reversed(runs) if s.finish is not None), None)
    if last is not None and any(s.finish is None for s in runs):
        last = None  # one of them goes on: so does the incident
    if last is not None:
        repaired = any(s.finish and s.finish.mttr_s is not None for s in runs)
        cleared = [s.finish.condition_cleared_s for s in runs if s.finish]
        one.finish = msgspec.structs.replace(
            last,
            mttr_s=one.times.time_to_repair() if repaired else None,
            mttr_without_drain_s=one.times.time_to_repair_without_drain() if repaired else None,
            condition_cleared_s=next((c for c in reversed(cleared) if c is not None), None),
        )
    states_seen = dict[str, float]()
    for run in runs:
        for name, at in run.session.states:
            states_seen[name] = min(at, states_seen.get(name, at))
    one.session = msgspec.structs.replace(one.session, states=tuple(states_seen.items()))
    return one


def _merge_times(seen: Iterable[Times]) -> Times:
    merged: dict[str, float | None] = {}
    for times in seen:
        for name in Times.__struct_fields__:
            at, known = getattr(times, name), merged.get(name)
            if at is not None and (known is None or name in _LAST or at < known):
                merged[name] = at
    return Times(**merged)


def _merge_moments(told: Sequence[Told], by_node: dict[str, RunState]) -> list[Moment]:
    found = []
    for entries, _ in told:
        run = RunState.of(entries)
        for moment in story(entries):
            moment.run, moment.node = run.run_id, run.target_node
            found.append(moment)
    for node, state in by_node.items():
        for moment in observed(state):
            moment.node = node
            found.append(moment)
    return sorted(found, key=lambda m: m.at)
