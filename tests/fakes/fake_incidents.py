"""A fake of the IncidentStore port: the same rules, in memory."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec

from nvsx.core.errors import UsageError
from nvsx.core.incident.incident_events import (
    IncidentEntry,
    IncidentEvent,
    IncidentNoted,
    IncidentOpened,
    LeftOverGone,
    PeopleTold,
    RunEnded,
    RunJoined,
)
from nvsx.core.incident.incident_state import IncidentState, NodeStory, Stamp, fold_event
from nvsx.core.incident.incident_store import (
    Appended,
    IncidentFilter,
    IncidentRow,
    StoredStory,
    StoryMoved,
    incident_row,
)


class FakeIncidents:
    """See core.incident.incident_store.IncidentStore. `runs` are the ids of runs that exist,
    `known` clusters of which there was something before."""

    def __init__(self, runs: Sequence[str] = ()) -> None:
        self._stories: dict[tuple[str, str], StoredStory] = {}
        self._entries: dict[str, list[IncidentEntry]] = {}
        self._rows: dict[str, IncidentRow] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._runs: dict[str, str] = dict.fromkeys(runs, "")
        self._numbers = itertools.count(1)
        self.known: set[str] = set()

    def add_run(self, run_id: str) -> None:
        """A run that belongs to no incident yet."""
        self._runs.setdefault(run_id, "")

    async def story(self, cluster: str, node: str) -> StoredStory:
        return self.story_now(cluster, node)

    async def open_stories(self, cluster: str) -> Sequence[StoredStory]:
        found = [s for (where, _), s in sorted(self._stories.items()) if where == cluster]
        return [stored for stored in found if stored.open_id]

    async def knows(self, cluster: str) -> bool:
        return cluster in self.known or any(where == cluster for where, _ in self._stories)

    async def append(
        self, cluster: str, node: str, position: int, events: Sequence[IncidentEvent], at: float
    ) -> Appended:
        return self.append_now(cluster, node, position, events, at)

    def story_now(self, cluster: str, node: str) -> StoredStory:
        """As `story`, without waiting."""
        return self._stories.get((cluster, node), StoredStory(NodeStory(node)))

    def is_over(self, run_id: str) -> bool | None:
        """Whether the incident of a run is over; None for a run without one."""
        incident = self._runs.get(run_id, "")
        return self._rows[incident].ended is not None if incident else None

    def append_now(
        self, cluster: str, node: str, position: int, events: Sequence[IncidentEvent], at: float
    ) -> Appended:
        """As `append`, without waiting: a fake inbox decides and appends in one step."""
        stored = self.story_now(cluster, node)
        if stored.position != position:
            raise StoryMoved(f"the incident on {node} has moved on", "look again")
        story, open_id, last_id = stored.story, stored.open_id, stored.last_id
        entries: list[IncidentEntry] = []
        for event in events:
            if isinstance(event, IncidentOpened):
                last_id = open_id or last_id
                open_id = f"i-{next(self._numbers)}"
            belongs = last_id if isinstance(event, LeftOverGone) and last_id else open_id or last_id
            if not belongs:
                continue
            story = story.after(event, Stamp(at))
            state = story.open if belongs == open_id and story.open else story.last
            assert state is not None
            entries.append(self._keep(cluster, belongs, state, event, at))
            if open_id and story.open is None:
                open_id, last_id = "", open_id
        moved = StoredStory(story, position + len(entries), open_id, last_id)
        self._stories[cluster, node] = moved
        return Appended(moved, tuple(entries))

    async def append_to(
        self, incident: str, event: IncidentNoted | PeopleTold | RunEnded, at: float
    ) -> IncidentEntry | None:
        row = await self.row(incident)
        kept = self._entries[incident]
        whole = NodeStory(row.node).after_entries(kept)
        known = whole.open or whole.last
        assert known is not None
        if isinstance(event, RunEnded) and event.run_id not in known.working_runs:
            return None
        entry = IncidentEntry(incident, kept[-1].seq + 1, at, event)
        kept.append(entry)
        self._rows[incident] = incident_row(
            incident, row.cluster, fold_event(known, event, Stamp(at))
        )
        stored = self._stories[row.cluster, row.node]
        if incident in (stored.open_id, stored.last_id):
            story = stored.story
            which = "open" if incident == stored.open_id else "last"
            state = fold_event(getattr(story, which), event, Stamp(at))
            story = msgspec.structs.replace(story, **{which: state})
            stored = msgspec.structs.replace(stored, story=story)
        self._stories[row.cluster, row.node] = msgspec.structs.replace(
            stored, position=stored.position + 1
        )
        return entry

    def _keep(
        self, cluster: str, incident: str, state: IncidentState, event: IncidentEvent, at: float
    ) -> IncidentEntry:
        entry = IncidentEntry(incident, state.events, at, event)
        self._entries.setdefault(incident, []).append(entry)
        self._rows[incident] = incident_row(incident, cluster, state)
        for key in state.aliases:
            self._keys[cluster, key] = incident
        if isinstance(event, RunJoined):
            self._runs[event.run_id] = incident
        return entry

    async def entries(self, incident: str) -> Sequence[IncidentEntry]:
        await self.row(incident)
        return list(self._entries[incident])

    async def row(self, incident: str) -> IncidentRow:
        if incident not in self._rows:
            raise UsageError(f"there is no incident {incident}")
        return self._rows[incident]

    async def rows(self, wanted: IncidentFilter) -> Sequence[IncidentRow]:
        rows = sorted(self._rows.values(), key=lambda r: (r.opened, r.incident), reverse=True)
        fitting = [
            r
            for r in rows
            if r.cluster == (wanted.cluster or r.cluster)
            and r.node == (wanted.node or r.node)
            and not (wanted.only_open and r.ended is not None)
            and (wanted.since is None or r.opened >= wanted.since)
            and (wanted.until is None or r.opened < wanted.until)
        ]
        return fitting[: wanted.limit]

    async def with_key(self, cluster: str, key: str) -> str:
        return self._keys.get((cluster, key), "")

    async def runs_of(self, incident: str) -> Sequence[str]:
        return sorted(run for run, of in self._runs.items() if of == incident)

    async def incident_of(self, run_id: str) -> str:
        if run_id not in self._runs:
            raise UsageError(f"there is no run {run_id}")
        return self._runs[run_id]
