"""A fake of the Outbox port: the same rules, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace
from tests.fakes.fake_incidents import FakeIncidents

from nvsx.core.errors import UsageError
from nvsx.core.notify.order import OrderAction
from nvsx.core.notify.outbox import (
    CLOCK_WENT_BACK,
    TRY_LIMIT,
    Addressed,
    Delivery,
    DeliveryChange,
    OutboxFilter,
    PageRole,
    told_of,
)


class FakeOutbox:
    """See core.notify.outbox.Outbox. `incidents` are told what was delivered; owners in `dead`
    were killed."""

    def __init__(self, incidents: FakeIncidents | None = None) -> None:
        self.incidents = incidents
        self.dead: set[str] = set()
        self._calls: dict[str, list[int]] = {}
        self._rows: dict[int, Delivery] = {}
        self._owners: dict[int, str] = {}
        self._decided: dict[int, float] = {}

    async def accept(self, addressed: Sequence[Addressed], at: float) -> Sequence[Delivery]:
        found: list[Delivery] = []
        for one in addressed:
            if one.message.call not in self._calls:
                self._store(one, at)
            found += await self.of_call(one.message.call)
        return found

    def _store(self, one: Addressed, at: float) -> None:
        numbers = self._calls.setdefault(one.message.call, [])
        for target in one.targets:
            number = len(self._rows) + 1
            numbers.append(number)
            self._decided[number] = at
            self._rows[number] = Delivery(
                number=number,
                target=target.name,
                kind=target.kind,
                message=one.message,
                fallback=target.fallback,
                accepted=at,
                due=at + target.after,
            )

    async def due(self, now: float, limit: int = 200) -> Sequence[Delivery]:
        found = [
            row
            for row in self._rows.values()
            if row.is_open
            and (row.due <= now or self._decided[row.number] > now + CLOCK_WENT_BACK)
            and self._is_free(row, "", now)
        ]
        found.sort(key=lambda r: (r.message.kind != "page", r.due, r.number))
        taken = Counter[str]()
        chosen = []
        for row in found:
            taken[row.target] += 1
            if taken[row.target] <= limit:
                chosen.append(_as_read(row))
        return chosen

    async def next_due(self) -> float | None:
        waiting = [row for row in self._rows.values() if row.is_open]
        times = [r.due if r.begun is None else r.begun + TRY_LIMIT for r in waiting]
        return min(times, default=None)

    def _is_free(self, row: Delivery, owner: str, now: float) -> bool:
        if row.begun is None or now - row.begun > TRY_LIMIT:
            return True
        holder = self._owners[row.number]
        return holder == owner or holder in self.dead

    async def begin_try(self, numbers: Sequence[int], owner: str, at: float) -> Sequence[Delivery]:
        taken = [
            row
            for number, row in self._rows.items()
            if number in numbers and row.is_open and self._is_free(row, owner, at)
        ]
        for row in taken:
            unsure = row.unsure or row.begun is not None
            self._rows[row.number] = replace(row, begun=at, unsure=unsure)
            self._owners[row.number] = owner
        return [_as_read(row) for row in taken]

    async def mark_try(
        self, numbers: Sequence[int], action: OrderAction, role: PageRole, key: str
    ) -> None:
        for number in numbers:
            row = self._rows[number]
            if row.is_open:
                self._rows[number] = replace(row, action=action, role=role, key=key)

    async def settle(self, changes: Sequence[DeliveryChange], at: float) -> Sequence[Delivery]:
        settled = []
        for change in changes:
            row = self._rows.get(change.number)
            if row is None or not row.is_open:
                continue
            if change.state == "waiting" and not change.action and row.unsure:
                change = replace(change, role=row.role, action=row.action, key=row.key)  # noqa: PLW2901
            changed = replace(
                row,
                state=change.state,
                due=change.due,
                tries=row.tries + (1 if change.tried else 0),
                begun=None,
                unsure=row.unsure or (change.tried and change.unsure),
                reason=change.reason,
                role=change.role,
                action=change.action,
                key=change.key,
                receipt=change.receipt,
                settled=None if change.state == "waiting" else at,
                merged_into=change.merged_into,
            )
            self._rows[change.number] = changed
            self._decided[change.number] = at
            settled.append(changed)
        settled.sort(key=lambda r: r.number)
        for row in settled:
            await self._tell_incident(row, at)
        return settled

    async def _tell_incident(self, row: Delivery, at: float) -> None:
        told = told_of(row)
        if told is None or self.incidents is None or not row.message.incident:
            return
        try:
            await self.incidents.append_to(row.message.incident, told, at)
        except UsageError:
            return

    async def deliveries(self, wanted: OutboxFilter) -> Sequence[Delivery]:
        found = [
            _as_read(row)
            for row in self._rows.values()
            if wanted.incident in ("", row.message.incident, row.message.subject)
            and wanted.subject in ("", row.message.subject)
            and wanted.target in (None, row.target)
            and (row.is_open or not wanted.only_open)
            and (wanted.since is None or row.accepted >= wanted.since)
        ]
        return found if wanted.limit is None else found[-wanted.limit :]

    async def of_call(self, call: str) -> Sequence[Delivery]:
        return [_as_read(self._rows[number]) for number in self._calls.get(call, ())]

    async def open_incidents(self) -> Sequence[str]:
        opened: dict[tuple[str, str, str, str], bool] = {}
        delivered = [r for r in self._rows.values() if r.state == "delivered" and r.receipt]
        for row in sorted(delivered, key=lambda r: (r.settled or 0.0, r.number)):
            verb, _, thing = row.action.partition(" ")
            account = row.receipt.account if row.receipt is not None else ""
            key = (row.message.subject, row.target, f"{thing}{row.role}", account)
            if verb == "open":
                opened[key] = True
            elif verb == "close":
                opened[key] = False
        return sorted({key[0] for key, is_open in opened.items() if is_open and key[0]})


def _as_read(row: Delivery) -> Delivery:
    return replace(row, unsure=row.unsure or row.begun is not None)
