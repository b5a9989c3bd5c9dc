"""A stage for messages: targets that behave as vendors do, and a deliverer without I/O.

`Playhouse` accepts messages, judges and "sends" what waits, and keeps what a person would have
been woken by and have read, in order. Targets can be down, refuse, or take a message whose answer
is lost (`cut`). Nothing here decides: it does what the judge says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace

from nvsx.core.incident.incident_state import IncidentState
from nvsx.core.notify.addressing import NotifyBook, address
from nvsx.core.notify.judgement import (
    Drop,
    Send,
    Wait,
    Would,
    settle_failed,
    settle_sent,
    settle_unsent,
)
from nvsx.core.notify.judging import judge
from nvsx.core.notify.merging import find_subject, group_deliveries, tell_minute
from nvsx.core.notify.message import Message
from nvsx.core.notify.order import Order, Receipt
from nvsx.core.notify.order_making import TargetTraits
from nvsx.core.notify.outbox import Delivery, DeliveryChange
from nvsx.core.notify.subject import StormView, Subject
from nvsx.core.notify.told_ledger import PageAnswer, fold_ledger

#: up · down: nothing arrives · cut: it arrives, and the answer is lost, or nvsx was killed · killed
#: early: so, before anything was sent, and that cannot be known.
Weather = Literal["up", "down", "cut", "killed early"]
BOOK = NotifyBook(
    kinds={
        "oncall": "pagerduty",
        "dc-hands": "opsgenie",
        "gpu-ops": "slack",
        "tickets": "jira",
    },
    page=("oncall",),
    page_fallback=("dc-hands",),
    post=("gpu-ops",),
    ticket=("tickets",),
)
RETRY_AFTER = 10.0


@dataclass
class Pager:
    """Dedupes by key as pagers do: a trigger of an open key wakes nobody."""

    open: dict[str, str] = field(default_factory=dict)
    woken: list[tuple[float, str]] = field(default_factory=list)

    def take(self, order: Order, account: str) -> None:
        """One order."""
        if order.action == "close page":
            if self.open.get(order.key) == account:
                del self.open[order.key]
        elif order.key not in self.open:
            self.open[order.key] = account
            self.woken.append((order.at, order.title))


class Playhouse:
    """Incidents and storms by their ids as they are now; the rest follows from messages."""

    def __init__(self, book: NotifyBook = BOOK) -> None:
        self.book = book
        self.incidents: dict[str, IncidentState] = {}
        self.storms: dict[str, StormView] = {}
        self.deliveries: dict[int, Delivery] = {}
        self.weather: dict[str, Weather] = {}
        self.pagers: dict[str, Pager] = {n: Pager() for n in book.kinds}
        self.answers: list[PageAnswer] = []
        self.sent: list[tuple[str, Order]] = []
        self.account = "…1234"

    # --- accepting ------------------------------------------------------------------------

    def accept(self, messages: Iterable[Message], now: float) -> None:
        """As the outbox does: a call that is known is not stored again."""
        for message in messages:
            if any(d.message.call == message.call for d in self.deliveries.values()):
                continue
            found = address(message, self.book, list(self.deliveries.values()))
            for target in found.targets:
                number = len(self.deliveries) + 1
                self.deliveries[number] = Delivery(
                    number=number,
                    target=target.name,
                    kind=target.kind,
                    message=found.message,
                    fallback=target.fallback,
                    accepted=now,
                    due=now + target.after,
                )

    def known(self, subject: str) -> list[Message]:
        """The messages of an incident or a storm that were accepted."""
        found = {
            d.message.call: d.message
            for d in self.deliveries.values()
            if subject in (d.message.incident, d.message.storm)
        }
        return list(found.values())

    # --- delivering -----------------------------------------------------------------------

    def deliver(self, now: float) -> None:
        """All that is due, and what waits beside it, until nothing is left to do now."""
        people = {i: s.state == "needs people" for i, s in self.incidents.items()}
        while due := {
            (d.target, d.message.digest, _subject_of(d, people))
            for d in self.deliveries.values()
            if d.is_open and d.due <= now
        }:
            waiting = [d for d in self.deliveries.values() if d.is_open]
            for key, batch in group_deliveries(waiting, people).items():
                if key in due:
                    ready = [d for d in batch if d.due <= now or not d.fallback]
                    self._deliver_batch(key[0], key[2], ready, now)

    def _deliver_batch(self, target: str, subject: str, batch: list[Delivery], now: float) -> None:
        traits = TargetTraits(
            name=target,
            kind=self.book.kinds.get(target, ""),
            facts="node",
            has_threads=self.book.kinds.get(target) == "slack",
        )
        left = {d.number for d in batch}
        while left:
            rows = [self.deliveries[n] for n in sorted(left)]
            about = Subject(
                subject=subject,
                incident=self.incidents.get(subject),
                storm=self.storms.get(subject),
                cluster="prod",
            )
            people = {i: s.state == "needs people" for i, s in self.incidents.items()}
            own = [d for d in self.deliveries.values() if _subject_of(d, people) == subject]
            for judged in judge(rows, about, fold_ledger(own, (), self.answers), traits, now):
                left -= set(judged.covers)
                if isinstance(judged, Send | Would):
                    self.accept(judged.beside, now)
                    self._settle(self._send(target, judged, now), now)
                else:
                    if isinstance(judged, Drop):
                        self.accept(judged.instead, now)
                    assert not isinstance(judged, Wait) or judged.until > now
                    self._settle(settle_unsent(judged), now)

    def _send(self, target: str, judged: Send | Would, now: float) -> tuple[DeliveryChange, ...]:
        order = judged.order
        weather = self.weather.get(target, "up")
        if isinstance(judged, Send) and weather in ("up", "cut"):
            if order.action.endswith("page"):
                self.pagers[target].take(order, self.account)
            self.sent.append((target, order))
        if isinstance(judged, Send) and weather == "killed early":
            # The next owner finds a try that was begun, and knows no more of it.
            due = now + RETRY_AFTER
            return tuple(
                DeliveryChange(number=n, state="waiting", due=due, unsure=True)
                for n in judged.covers
            )
        if isinstance(judged, Send) and weather != "up":
            return settle_failed(judged, now + RETRY_AFTER, "503", unsure=weather == "cut")
        ref = order.ref or f"ref-{order.delivery}"
        receipt = Receipt(
            target=target, kind="", action=order.action, ref=ref, t=now, account=self.account
        )
        return settle_sent(judged, receipt)

    def _settle(self, changes: Iterable[DeliveryChange], now: float) -> None:
        for change in changes:
            row = self.deliveries[change.number]
            if change.state == "waiting" and not change.action and row.unsure:
                change = replace(change, role=row.role, action=row.action, key=row.key)  # noqa: PLW2901
            assert row.is_open, f"delivery {row.number} was settled twice"
            self.deliveries[change.number] = replace(
                row,
                state=change.state,
                due=change.due,
                tries=row.tries + change.tried,
                unsure=row.unsure or (change.tried and change.unsure),
                reason=change.reason,
                role=change.role,
                action=change.action,
                key=change.key,
                receipt=change.receipt,
                settled=None if change.state == "waiting" else now,
                merged_into=change.merged_into,
            )

    # --- what came of it ------------------------------------------------------------------

    def woken(self) -> list[tuple[str, str]]:
        """When somebody was woken at any pager, and the first words on the phone."""
        found = [w for pager in self.pagers.values() for w in pager.woken]
        return [(tell_minute(at), title) for at, title in sorted(found)]

    def read(self, subject: str = "") -> list[str]:
        """All that was sent, as one would read it: `12:25Z oncall open page: title`."""
        return [
            f"{tell_minute(o.at)} {target} {o.action}: {o.title}"
            for target, o in self.sent
            if subject in ("", o.incident)
        ]

    def still_open(self) -> list[str]:
        """Keys of pages that are open at some pager."""
        return sorted(key for pager in self.pagers.values() for key in pager.open)


def _subject_of(delivery: Delivery, people: dict[str, bool]) -> str:
    return "" if delivery.message.digest else find_subject(delivery.message, people)
