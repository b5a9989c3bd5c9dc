"""Storms as messages know them: read from what intake wrote down, the incidents, and the outbox.

12:00:00 n1 and n2 fire runs and page for themselves · 12:00:40 n3 of their rack: intake notes that
         all three runs have one leader, in the transaction that makes n3's run
12:00:41 n3's hook pages: its incident is of the storm, and has no page of its own: it joins quietly
12:50:00 the last of their incidents is over: so is the storm
"""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, func, select

from nvsx.core.incident.incident_store import IncidentRow
from nvsx.core.notify.subject import StormMember, StormView
from nvsx.core.routing.inbox import StormFault
from nvsx.store.inbox_tables import storm_faults
from nvsx.store.incident_tables import incident_index, incident_runs
from nvsx.store.outbox_tables import outbox_deliveries, outbox_messages
from nvsx.store.sqlite_journal import SqliteJournal

STORM_ID = "storm-"
"""Before the id of the incident that was first: what messages of a storm are about."""


class StormReader:
    """Lives as long as its journal. Raises StoreError."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal

    async def storm_of(self, incident: str) -> StormView | None:
        """The storm that an incident is part of."""
        found: StormView | None = await self._journal.look(lambda db: read_storm(db, incident))
        return found

    async def storm(self, storm: str) -> StormView | None:
        """A storm by its id."""
        if not storm.startswith(STORM_ID):
            return None
        return await self.storm_of(storm.removeprefix(STORM_ID))


def read_storm(db: Connection, incident: str) -> StormView | None:
    """The storm with its members as they are now, the first of them first."""
    leader = db.execute(
        select(storm_faults.c.leader)
        .join(incident_runs, incident_runs.c.run_id == storm_faults.c.run_id)
        .where(incident_runs.c.incident == incident, storm_faults.c.leader != "")
    ).scalar()
    if not leader:
        return None
    query = (
        select(storm_faults.c.body.label("fault"), incident_index.c.body.label("row"))
        .join(incident_runs, incident_runs.c.run_id == storm_faults.c.run_id)
        .join(incident_index, incident_index.c.incident == incident_runs.c.incident)
        .where(storm_faults.c.leader == leader)
        .order_by(storm_faults.c.seen, storm_faults.c.run_id)
    )
    rows: dict[str, IncidentRow] = {}
    faults: list[StormFault] = []
    for fault, body in db.execute(query):
        row = msgspec.json.decode(body, type=IncidentRow)
        rows.setdefault(row.incident, row)
        faults.append(msgspec.json.decode(fault, type=StormFault))
    first = next(iter(rows.values()))
    storm = f"{STORM_ID}{first.incident}"
    paged = _first_pages(db, [storm, *rows])
    begun = paged.get(storm)
    members = tuple(
        StormMember(
            incident=row.incident,
            node=row.node,
            paged_itself=row.incident in paged and (begun is None or paged[row.incident] <= begun),
            needs_people=row.state == "needs people",
            is_over=row.ended is not None,
        )
        for row in rows.values()
    )
    domains = {fault.domain for fault in faults}
    shared = faults[0]
    return StormView(
        storm=storm,
        key=f"storm-{first.key}",
        fault=" ".join((shared.check, *shared.codes)),
        domain=domains.pop() if len(domains) == 1 else "",
        members=members,
    )


def _first_pages(db: Connection, subjects: list[str]) -> dict[str, float]:
    """When each of these had its first page accepted."""
    query = (
        select(outbox_messages.c.subject, func.min(outbox_messages.c.accepted).label("first"))
        .join(outbox_deliveries, outbox_deliveries.c.call == outbox_messages.c.call)
        .where(outbox_deliveries.c.is_page, outbox_messages.c.subject.in_(subjects))
        .group_by(outbox_messages.c.subject)
    )
    return {row.subject: row.first for row in db.execute(query)}
