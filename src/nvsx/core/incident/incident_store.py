"""The port to the incidents' journal, and what a list of incidents knows of each.

Nobody owns an incident's journal: a daemon, a run by hand and a second daemon may all follow the
same node. Each reads a node's story with its position, decides, and appends at that position; who
comes second is refused (`StoryMoved`), reads the story again and decides again. Since `step` asks
what is true now and not what has changed, its second decision says nothing that was said before:

    the daemon reads n1 at 7 · a run by hand reads n1 at 7 · the daemon appends "attempt began", 8
    the run by hand appends the same at 7: refused · it reads n1 at 8, and has nothing to say

Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from nvsx.core.errors import StoreError
from nvsx.core.incident.incident_events import (
    IncidentEntry,
    IncidentEvent,
    IncidentNoted,
    PeopleTold,
    RunEnded,
)
from nvsx.core.incident.incident_state import IncidentState, NodeStory
from nvsx.core.incident.incident_times import times_of


class StoryMoved(StoreError):
    """Somebody else appended to the node's story meanwhile: read it again, and decide again."""

    retryable = True


class StoredStory(msgspec.Struct, frozen=True):
    """`position` counts the entries of all the node's incidents; 0 for a node without any. The
    ids are those of `story.open` and `story.last`, "" where there is none."""

    story: NodeStory
    position: int = 0
    open_id: str = ""
    last_id: str = ""


class Appended(msgspec.Struct, frozen=True):
    """What an append came to: the story with it, and the entries in order."""

    stored: StoredStory
    entries: tuple[IncidentEntry, ...]


class IncidentRow(msgspec.Struct, frozen=True, kw_only=True):
    """An incident in a list, folded from its journal.

    `faults` are its faults as people say them, `planned` says that all of them are planned work.
    `began` is the time of its first fault, None where that is not known; `opened` is when nvsx
    saw it. `ended` is the time that counts, `how` its end, "" while it is open. `repair_s` is the
    longest time to repair of its faults. `handed_over`: NVSentinel kept the node for a validation
    after its own work was done. `failed_runs` are those that ended and did not pass. `repairs` has
    the time of each fault that had one; `runbooks` the faults that each runbook was for, () for
    all of them.
    """

    incident: str
    cluster: str
    node: str
    key: str
    state: str
    opened: float
    code: str = ""
    cause: str = ""
    remedy: str = ""
    faults: tuple[str, ...] = ()
    attempts: int = 0
    failed_attempts: int = 0
    planned: bool = False
    sandbox: bool = False
    drill: bool = False
    began: float | None = None
    ended: float | None = None
    how: str = ""
    repair_s: float | None = None
    thread: str = ""
    repairs: tuple[tuple[str, float], ...] = ()
    runbooks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    runs: int = 0
    failed_runs: int = 0
    handed_over: bool = False


def incident_row(incident: str, cluster: str, state: IncidentState) -> IncidentRow:
    """What a list shows of an incident."""
    times = times_of(state)
    repairs = [f.to_repair_s for f in times.faults if f.to_repair_s is not None]
    opened, ended = state.opened, state.ended
    return IncidentRow(
        incident=incident,
        cluster=cluster,
        node=opened.node,
        key=state.key,
        state=state.state,
        opened=state.began.at,
        code=state.cause.code,
        cause=state.cause.text,
        remedy=state.cause.remedy,
        faults=tuple(dict.fromkeys(f.short for f in state.faults)),
        attempts=len(state.attempts),
        failed_attempts=sum(a.failed for a in state.attempts),
        planned=bool(state.faults) and all(f.latest.planned for f in state.faults),
        sandbox=opened.sandbox,
        drill=opened.drill,
        began=times.began,
        ended=None if ended is None else ended.at if ended.at is not None else state.ended_at,
        how=ended.how if ended is not None else "",
        repair_s=max(repairs, default=None),
        thread=opened.thread,
        repairs=tuple(
            (fault.short, found.to_repair_s)
            for fault, found in zip(state.faults, times.faults, strict=True)
            if found.to_repair_s is not None
        ),
        runbooks=tuple(
            (joined.runbook, tuple(f.short for f in state.faults if f.no in joined.faults))
            for joined, _ in state.runs
            if joined.runbook
        ),
        runs=len(state.runs),
        failed_runs=sum(status not in ("", "passed") for _, status in state.runs),
        handed_over="handed over" in state.held_by,
    )


class IncidentFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which incidents are asked for; what is left out asks for nothing. Newest first."""

    cluster: str = ""
    node: str = ""
    only_open: bool = False
    since: float | None = None
    until: float | None = None
    limit: int | None = 100


class IncidentStore(Protocol):
    """Durable across kill -9, shared by the processes of one state folder."""

    async def story(self, cluster: str, node: str) -> StoredStory:
        """What is known of the node. Raises StoreError."""
        ...

    async def open_stories(self, cluster: str) -> Sequence[StoredStory]:
        """Those of the nodes that have an open incident, by node. Raises StoreError."""
        ...

    async def knows(self, cluster: str) -> bool:
        """Whether there was ever an incident or a run of this cluster. Raises StoreError."""
        ...

    async def append(
        self, cluster: str, node: str, position: int, events: Sequence[IncidentEvent], at: float
    ) -> Appended:
        """Append in order, flushed to disk, as seen at `at`.

        An `opened` begins another incident; what stands before it belongs to the one before.
        Raises StoryMoved when `position` is not the story's any more, StoreError.
        """
        ...

    async def append_to(
        self, incident: str, event: IncidentNoted | PeopleTold | RunEnded, at: float
    ) -> IncidentEntry | None:
        """Append to this very incident, open or long over; that needs no position, since it
        changes nothing that is decided. None for the end of a run that is not at work there (any
        more). Raises UsageError for an unknown id, StoreError.
        """
        ...

    async def entries(self, incident: str) -> Sequence[IncidentEntry]:
        """All entries of one incident. Raises UsageError for an unknown id."""
        ...

    async def row(self, incident: str) -> IncidentRow:
        """One incident, by its id. Raises UsageError for an unknown id."""
        ...

    async def rows(self, wanted: IncidentFilter) -> Sequence[IncidentRow]:
        """Newest first. Raises StoreError."""
        ...

    async def with_key(self, cluster: str, key: str) -> str:
        """The id of the incident that is known by this key; "" for none."""
        ...

    async def runs_of(self, incident: str) -> Sequence[str]:
        """The ids of its runs, oldest first."""
        ...

    async def incident_of(self, run_id: str) -> str:
        """The incident a run belongs to; "" for none. Raises UsageError for an unknown run."""
        ...
