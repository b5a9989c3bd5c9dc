"""Storms: many nodes with a fault within a window, whatever each one's fault is.

The first run leads, the others are members: all are observed, and hooks are told, so that
people are paged once. A rack that loses power shows as several kinds of fault. But a warning
never speaks for a fault: runbooks that take events that are not fatal have storms of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from nvsx.core.routing.inbox import Ledger, StormMark
from nvsx.core.runbook.schema import Runbook
from nvsx.serve.limits import Limits


class Joining(msgspec.Struct, frozen=True):
    """How a new run joins a storm: `leader` is "" when there is none; `members` are the
    earlier runs that make the storm now, the leader first; `size` counts the new one too."""

    leader: str = ""
    members: tuple[str, ...] = ()
    size: int = 0


def alike(runbook: Runbook, others: Iterable[Runbook]) -> frozenset[str]:
    """The names of the runbooks that can be in one storm with `runbook`, itself among them."""
    warns = _warns(runbook)
    return frozenset({runbook.name, *(o.name for o in others if _warns(o) == warns)})


def _warns(runbook: Runbook) -> bool:
    return any(trigger.fatal is not True for trigger in runbook.triggers)


def joining(
    ledger: Ledger, cluster: str, runbooks: Collection[str], node: str, now: float, limits: Limits
) -> Joining:
    """Whether a run of one of `runbooks` that begins `now` (Unix seconds) on `node` belongs to
    a storm. One whose leader has finished takes nobody in: its pages are closed, and who joined
    it then would be told of to no one."""
    since = now - limits.storm_window
    storm = ledger.storm(cluster, runbooks, since)
    if storm is not None and not storm.over:
        return Joining(storm.leader, (), storm.size + 1)
    before = storm.last if storm is not None else float("-inf")
    first_of: dict[str, str] = {}
    for run in ledger.recent(cluster, runbooks, since):
        if run.node and run.node != node and run.created > before:
            first_of.setdefault(run.node, run.run_id)
    if len(first_of) + 1 < limits.storm_nodes:
        return Joining()
    members = tuple(first_of.values())
    return Joining(members[0], members, len(members) + 1)


class StormBook:
    """Which of the runs in this process belong to which storm, and how big it is by now."""

    def __init__(self) -> None:
        self._leader: dict[str, str] = {}
        self._runs: dict[str, set[str]] = {}
        self._size: dict[str, int] = {}

    def join(self, leader: str, runs: Iterable[str], size: int) -> None:
        """These runs belong to the storm of `leader`, which has `size` nodes now."""
        for run_id in runs:
            self._leader[run_id] = leader
            self._runs.setdefault(leader, set()).add(run_id)
        self._size[leader] = max(size, self._size.get(leader, 0))

    def know(self, run_id: str, mark: StormMark | None) -> None:
        """What the store says of a run that is taken up."""
        if mark is not None:
            self.join(mark.leader, (run_id,), mark.size)

    def forget(self, run_id: str) -> None:
        """The run is over here."""
        leader = self._leader.pop(run_id, "")
        if leader:
            self._runs[leader].discard(run_id)
            if not self._runs[leader]:
                del self._runs[leader], self._size[leader]

    def facts(self, run_id: str) -> Mapping[str, str]:
        """The storm variables of a hook of this run; none without a storm."""
        leader = self._leader.get(run_id)
        if leader is None:
            return {}
        role = "leader" if leader == run_id else "member"
        return {"NVSX_STORM_ROLE": role, "NVSX_STORM_SIZE": str(self._size[leader])}
