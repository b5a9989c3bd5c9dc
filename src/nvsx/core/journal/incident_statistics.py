"""Statistics over incidents: every one counts, whatever became of its runs, also without any.

Pure. XID 79 on n1: attempt 1 failed, the run on it was cancelled, attempt 2 worked, 28m40s after
the fault: one incident, recovered, 2 attempts of which 1 failed, a run that did not pass, and
28m40s in the time to repair. Planned work counts beside it and has no time to repair.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from nvsx.core.aliases import alias_of
from nvsx.core.incident.incident_store import IncidentRow
from nvsx.core.journal.past_runs import By, RunFilter
from nvsx.core.journal.statistics import Spread, measure_spread


class IncidentGroup(msgspec.Struct, frozen=True, kw_only=True):
    """`endings` counts the incidents that are over by how they ended. `planned` are planned work,
    `handed_over` those in which NVSentinel kept the node for a validation, `run_not_passed` those
    with a run that ended otherwise; they are among `incidents`. `repair` is over the incidents
    with a time to repair."""

    name: str
    incidents: int
    still_open: int
    endings: dict[str, int]
    planned: int
    handed_over: int
    attempts: int
    failed_attempts: int
    without_run: int
    run_not_passed: int
    repair: Spread | None


def fits(row: IncidentRow, wanted: RunFilter) -> bool:
    """Whether an incident is asked for; a runbook is, when one of its runs had it."""
    staged = row.sandbox or row.drill
    return (
        (wanted.kind == "all" or staged == (wanted.kind == "sandbox"))
        and (not wanted.node or wanted.node in (row.node, alias_of(row.node)))
        and (not wanted.runbook or wanted.runbook in dict(row.runbooks))
    )


def summarise_incidents(rows: Iterable[IncidentRow], by: By) -> list[IncidentGroup]:
    """One group for each name, most incidents first; one of several faults counts in each."""
    groups: dict[str, list[_Counted]] = defaultdict(list)
    for row in rows:
        for name, repair_s in _repairs_by_name(row, by).items():
            groups[name].append(_Counted(row, repair_s))
    found = [_summarise_group(name, mine) for name, mine in groups.items()]
    return sorted(found, key=lambda g: (-g.incidents, g.name))


class _Counted(NamedTuple):
    """An incident in a group, and the time to repair that counts there."""

    row: IncidentRow
    repair_s: float | None


def _repairs_by_name(row: IncidentRow, by: By) -> dict[str, float | None]:
    """The groups an incident counts in, and its time to repair in each.

    A thermal warning with a run of its own, 4 s later XID 79, rebooted after 9 minutes: the 9
    minutes are XID 79's and its runbook's; thermal and its runbook have no time to repair.
    """
    whole = None if row.planned else row.repair_s
    if by == "node":
        return {row.node: whole}
    own = {name: max(s for n, s in row.repairs if n == name) for name, _ in row.repairs}
    if by == "fault":
        return {name: own.get(name) for name in row.faults} or {"": whole}
    found: dict[str, float | None] = {}
    for runbook, faults in row.runbooks:
        times = [own[name] for name in faults if name in own]
        longest = max(times, default=None) if faults else whole
        known = [t for t in (found.get(runbook), longest) if t is not None]
        found[runbook] = max(known, default=None)
    return found or {"": whole}


def _summarise_group(name: str, counted: Sequence[_Counted]) -> IncidentGroup:
    rows = [one.row for one in counted]
    return IncidentGroup(
        name=name,
        incidents=len(rows),
        still_open=sum(r.ended is None for r in rows),
        endings=dict(sorted(Counter(r.how for r in rows if r.how).items())),
        planned=sum(r.planned for r in rows),
        handed_over=sum(r.handed_over for r in rows),
        attempts=sum(r.attempts for r in rows),
        failed_attempts=sum(r.failed_attempts for r in rows),
        without_run=sum(not r.runs for r in rows),
        run_not_passed=sum(bool(r.failed_runs) for r in rows),
        repair=measure_spread(one.repair_s for one in counted if one.repair_s is not None),
    )
