"""SqliteOutbox: the Outbox port on the journal's database, through its writer."""

from __future__ import annotations

from collections.abc import Sequence

from nvsx.core.notify.order import OrderAction
from nvsx.core.notify.outbox import (
    Addressed,
    Delivery,
    DeliveryChange,
    OutboxFilter,
    PageRole,
)
from nvsx.store import outbox_records
from nvsx.store.outbox_tables import outbox_deliveries
from nvsx.store.sqlite_journal import SqliteJournal

#: Messages forgotten in one transaction: others write in between.
_FORGET_AT_ONCE = 500


class SqliteOutbox:
    """See core.notify.outbox.Outbox. Lives as long as its journal.

    An owner that is a journal's (`SqliteJournal.owner`) is known to be dead as soon as its process
    is; of any other name only the age of its try tells.
    """

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal

    async def accept(self, addressed: Sequence[Addressed], at: float) -> Sequence[Delivery]:
        accepted: Sequence[Delivery] = await self._journal.transact(
            lambda db: outbox_records.accept_messages(db, addressed, at)
        )
        return accepted

    async def due(self, now: float, limit: int = 200) -> Sequence[Delivery]:
        found: Sequence[Delivery] = await self._journal.look(
            lambda db: outbox_records.read_due(db, now, limit, self._journal.alive)
        )
        return found

    async def next_due(self) -> float | None:
        return await self._journal.look(outbox_records.read_next_due)

    async def begin_try(self, numbers: Sequence[int], owner: str, at: float) -> Sequence[Delivery]:
        taken: Sequence[Delivery] = await self._journal.transact(
            lambda db: outbox_records.begin_tries(db, numbers, owner, at, self._journal.alive)
        )
        return taken

    async def mark_try(
        self, numbers: Sequence[int], action: OrderAction, role: PageRole, key: str
    ) -> None:
        await self._journal.transact(
            lambda db: outbox_records.mark_tries(db, numbers, action, role, key)
        )

    async def settle(self, changes: Sequence[DeliveryChange], at: float) -> Sequence[Delivery]:
        settled: Sequence[Delivery] = await self._journal.transact(
            lambda db: outbox_records.settle_tries(db, changes, at)
        )
        return settled

    async def deliveries(self, wanted: OutboxFilter) -> Sequence[Delivery]:
        found: Sequence[Delivery] = await self._journal.look(
            lambda db: outbox_records.find_deliveries(db, wanted)
        )
        return found

    async def of_call(self, call: str) -> Sequence[Delivery]:
        found: Sequence[Delivery] = await self._journal.look(
            lambda db: outbox_records.read_deliveries(db, outbox_deliveries.c.call == call)
        )
        return found

    async def open_incidents(self) -> Sequence[str]:
        found: Sequence[str] = await self._journal.look(outbox_records.find_open_incidents)
        return found

    async def forget(self, before: float) -> int:
        """Forget messages that were settled everywhere before `before`; how many. What is open at
        some target stays, and so does what waits. Raises StoreError."""
        gone = 0
        while some := await self._journal.transact(
            lambda db: outbox_records.forget_settled(db, before, _FORGET_AT_ONCE)
        ):
            gone += some
        return gone
