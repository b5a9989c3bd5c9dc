"""SqliteIncidents: the IncidentStore port on the journal's database, through its writer."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, select

from nvsx.core.incident.incident_events import (
    IncidentEntry,
    IncidentEvent,
    IncidentNoted,
    PeopleTold,
    RunEnded,
)
from nvsx.core.incident.incident_store import Appended, IncidentFilter, IncidentRow, StoredStory
from nvsx.store import incident_records, records
from nvsx.store.incident_tables import incident_index, incident_keys, incident_runs
from nvsx.store.journal_tables import runs
from nvsx.store.sqlite_journal import SqliteJournal


class SqliteIncidents:
    """See core.incident.incident_store.IncidentStore. Lives as long as its journal."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal

    async def story(self, cluster: str, node: str) -> StoredStory:
        found: StoredStory = await self._journal.look(
            lambda db: incident_records.read_story(db, cluster, node)
        )
        return found

    async def open_stories(self, cluster: str) -> Sequence[StoredStory]:
        query = (
            select(incident_index.c.node)
            .where(incident_index.c.cluster == cluster, incident_index.c.ended.is_(None))
            .distinct()
            .order_by(incident_index.c.node)
        )

        def look(db: Connection) -> Sequence[StoredStory]:
            nodes = list(db.execute(query).scalars())
            return [incident_records.read_story(db, cluster, node) for node in nodes]

        found: Sequence[StoredStory] = await self._journal.look(look)
        return found

    async def knows(self, cluster: str) -> bool:
        of_incidents = select(incident_index.c.incident).where(incident_index.c.cluster == cluster)
        of_runs = select(runs.c.run_id).where(runs.c.cluster == cluster)

        def look(db: Connection) -> bool:
            return any(
                db.execute(query.limit(1)).first() is not None for query in (of_incidents, of_runs)
            )

        return bool(await self._journal.look(look))

    async def append(
        self, cluster: str, node: str, position: int, events: Sequence[IncidentEvent], at: float
    ) -> Appended:
        def work(db: Connection) -> Appended:
            stored = incident_records.read_story(db, cluster, node)
            expected = msgspec.structs.replace(stored, position=position)
            return incident_records.append_to_story(db, cluster, expected, events, at)

        appended: Appended = await self._journal.transact(work)
        return appended

    async def append_to(
        self, incident: str, event: IncidentNoted | PeopleTold | RunEnded, at: float
    ) -> IncidentEntry | None:
        entry: IncidentEntry | None = await self._journal.transact(
            lambda db: incident_records.append_to_incident(db, incident, event, at)
        )
        return entry

    async def entries(self, incident: str) -> Sequence[IncidentEntry]:
        def look(db: Connection) -> Sequence[IncidentEntry]:
            incident_records.read_row(db, incident)
            return incident_records.read_entries(db, incident)

        found: Sequence[IncidentEntry] = await self._journal.look(look)
        return found

    async def row(self, incident: str) -> IncidentRow:
        found: IncidentRow = await self._journal.look(
            lambda db: incident_records.read_row(db, incident)
        )
        return found

    async def rows(self, wanted: IncidentFilter) -> Sequence[IncidentRow]:
        index = incident_index.c
        query = select(index.body).order_by(index.opened.desc(), index.incident.desc())
        if wanted.cluster:
            query = query.where(index.cluster == wanted.cluster)
        if wanted.node:
            query = query.where(index.node == wanted.node)
        if wanted.only_open:
            query = query.where(index.ended.is_(None))
        if wanted.since is not None:
            query = query.where(index.opened >= wanted.since)
        if wanted.until is not None:
            query = query.where(index.opened < wanted.until)
        query = query.limit(wanted.limit)

        def look(db: Connection) -> Sequence[IncidentRow]:
            return [
                msgspec.json.decode(body, type=IncidentRow) for body in db.execute(query).scalars()
            ]

        found: Sequence[IncidentRow] = await self._journal.look(look)
        return found

    async def with_key(self, cluster: str, key: str) -> str:
        query = select(incident_keys.c.incident).where(
            incident_keys.c.cluster == cluster, incident_keys.c.key == key
        )
        return str(await self._journal.look(lambda db: db.execute(query).scalar() or ""))

    async def runs_of(self, incident: str) -> Sequence[str]:
        query = (
            select(incident_runs.c.run_id)
            .where(incident_runs.c.incident == incident)
            .order_by(incident_runs.c.run_id)
        )
        found: Sequence[str] = await self._journal.look(
            lambda db: list(db.execute(query).scalars())
        )
        return found

    async def incident_of(self, run_id: str) -> str:
        query = select(incident_runs.c.incident).where(incident_runs.c.run_id == run_id)

        def look(db: Connection) -> str:
            records.find(db, run_id)
            return str(db.execute(query).scalar() or "")

        found: str = await self._journal.look(look)
        return found
