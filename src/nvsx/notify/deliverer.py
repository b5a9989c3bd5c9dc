"""Delivers what the outbox holds: a worker for each target, pages first, each try judged anew.

    12:00:00 a page and three posts are accepted · the worker of oncall begins a try of the page (on
             disk), asks what is true now, sends it, writes the receipt · that of gpu-ops sends the
             three posts as one
    12:00:01 gpu-ops answers 429, Retry-After 30: its deliveries wait, and nothing else is sent
             there before 12:00:31 · oncall is not kept waiting
    12:00:02 nvsx is killed in the middle of a post: the next owner finds it begun and not settled,
             and its next try is `unsure`

Several processes of one state folder may deliver side by side: who begins a try has it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from nvsx.core.errors import StoreError
from nvsx.core.masking import Masker
from nvsx.core.notify.judgement import (
    GiveUp,
    Judgement,
    Send,
    Would,
    settle_failed,
    settle_sent,
    settle_unsent,
)
from nvsx.core.notify.judging import judge
from nvsx.core.notify.message import Message
from nvsx.core.notify.order import FactsLevel, Receipt
from nvsx.core.notify.order_making import TargetTraits
from nvsx.core.notify.outbox import NOBODY, Delivery, DeliveryChange, Outbox, OutboxFilter
from nvsx.core.notify.subject import Subject
from nvsx.core.notify.target_port import DeliveryDelayed, DeliveryRefused, MessageTarget
from nvsx.core.notify.told_ledger import ToldLedger, fold_ledger
from nvsx.core.ports import Clock
from nvsx.notify.pacing import Allowance, is_tried_enough, pause_after

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
"""Seconds. What another process has accepted is found so late, where that one does not deliver."""
SEND_LIMIT = 40.0
"""Seconds. A target cuts its own requests after 30; one that hangs beyond that is cut here."""
ROUNDS = 20
"""Orders of one subject at one target in a row; then others have their turn."""

Accept = Callable[[Sequence[Message]], Awaitable[object]]
AskSubject = Callable[[str], Awaitable[Subject]]
OnSettled = Callable[[Sequence[Delivery]], None]


class DeliveryTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A target and what has to be known of it; `per_minute` and `burst` are its rate."""

    target: MessageTarget
    facts: FactsLevel = "node"
    per_minute: float = 60.0
    burst: int = 1

    @property
    def traits(self) -> TargetTraits:
        target = self.target
        return TargetTraits(
            name=target.name, kind=target.kind, facts=self.facts, has_threads=target.has_threads
        )


class Deliverer:
    """`run` delivers until it is cancelled; `nudge` it when something was accepted.

    `accept` takes in what is said instead of, or beside, something else. `ask_subject` gives what
    messages are about as it is now, by the id of an incident or a storm. `owner` names this
    process in the outbox. `on_settled` hears of everything that is settled or put off; it must not
    wait.
    """

    def __init__(  # noqa: PLR0913 - the ports, wired once
        self,
        outbox: Outbox,
        targets: Mapping[str, DeliveryTarget],
        accept: Accept,
        ask_subject: AskSubject,
        clock: Clock,
        *,
        owner: str,
        masker: Masker | None = None,
        on_settled: OnSettled = lambda _deliveries: None,
        chance: random.Random | None = None,
    ) -> None:
        self._outbox = outbox
        self._targets = targets
        self._accept = accept
        self._ask_subject = ask_subject
        self._clock = clock
        self._owner = owner
        self._masker = masker or Masker()
        self._on_settled = on_settled
        self._chance = chance or random.Random()  # noqa: S311 - it spreads tries, and hides nothing
        self._news = asyncio.Event()
        self._workers: dict[str, _TargetWorker] = {}
        self._settled = asyncio.Event()

    # --- what others do ---------------------------------------------------------------------

    def nudge(self) -> None:
        """Look at the outbox now."""
        self._news.set()

    async def until_delivered(self, incidents: Iterable[str], seconds: float) -> Sequence[Delivery]:
        """Wait until nothing waits for these incidents, `seconds` at most; what still does."""
        wanted = [OutboxFilter(incident=i, only_open=True, limit=None) for i in incidents]
        end = self._clock.now() + seconds
        while True:
            settled = self._settled
            left = [d for f in wanted for d in await self._outbox.deliveries(f)]
            rest = end - self._clock.now()
            if not left or rest <= 0:
                return left
            await self._wait_for(settled, min(rest, LOOK_EVERY))

    # --- delivering -------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver until cancelled. A try that is under way then is cut and left to the next owner,
        as unsure."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._news.clear()
                pause = LOOK_EVERY
                try:
                    pause = await self._hand_out(group)
                except StoreError as error:
                    log.warning("nothing can be delivered now: %s", error)
                await self._wait_for(self._news, pause)

    async def _hand_out(self, group: asyncio.TaskGroup) -> float:
        """Give what is due to the workers; seconds until the next look."""
        now = self._clock.now()
        for delivery in await self._outbox.due(now):
            worker = self._workers.get(delivery.target)
            if worker is None:
                worker = self._workers[delivery.target] = _TargetWorker(self, delivery.target)
                group.create_task(worker.run(), name=f"deliveries to {delivery.target or 'nobody'}")
            worker.put(delivery)
        due = await self._outbox.next_due()
        if due is None or due <= now:
            return LOOK_EVERY
        return min(LOOK_EVERY, due - now)

    async def _wait_for(self, event: asyncio.Event, seconds: float) -> None:
        """Until the event, `seconds` of the injected clock at most."""
        waits = [
            asyncio.ensure_future(event.wait()),
            asyncio.ensure_future(self._clock.sleep(seconds)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    async def deliver_group(self, name: str, numbers: Sequence[int]) -> _Outcome:
        """Deliver what waits at one target about one subject (or in one digest), order by order."""
        for _ in range(ROUNDS):
            rows = await self._read_open(numbers)
            if not rows:
                return _Outcome()
            about, ledger = await self._see(rows[0].message.subject)
            judged = self._judge(name, rows, about, ledger)
            await self._write_unsent(judged)
            sends = [j for j in judged if isinstance(j, Send | Would)]
            if not sends:
                return _Outcome()
            outcome = await self._try_order(name, sends[0].covers)
            if outcome.pause or outcome.lost:
                return outcome
        return _Outcome()

    async def _read_open(self, numbers: Sequence[int]) -> list[Delivery]:
        """Those of `numbers` that are still to be delivered, as they are now."""
        now = self._clock.now()
        found = await self._outbox.deliveries(OutboxFilter(only_open=True, limit=None))
        return [d for d in found if d.number in numbers and d.due <= now]

    async def _see(self, subject: str) -> tuple[Subject, ToldLedger]:
        about = await self._ask_subject(subject)
        own = await self._outbox.deliveries(OutboxFilter(subject=subject, limit=None))
        continued: Sequence[Delivery] = ()
        if about.incident is not None and about.incident.opened.again_of:
            before = about.incident.opened.again_of
            continued = await self._outbox.deliveries(OutboxFilter(subject=before, limit=None))
        return about, fold_ledger(own, continued)

    def _judge(
        self, name: str, rows: Sequence[Delivery], about: Subject, ledger: ToldLedger
    ) -> tuple[Judgement, ...]:
        known = self._targets.get(name)
        if known is None and name != NOBODY:
            reason = f"nvsx.yaml has no target {name} any more"
            return (GiveUp(covers=tuple(d.number for d in rows), reason=reason),)
        traits = known.traits if known is not None else TargetTraits(name=NOBODY, kind="")
        return judge(rows, about, ledger, traits, self._clock.now())

    async def _write_unsent(self, judged: Sequence[Judgement]) -> None:
        for one in judged:
            if isinstance(one, Send | Would):
                continue
            instead = getattr(one, "instead", ())
            if instead:
                await self._accept(instead)
            await self._settle(settle_unsent(one))

    async def _try_order(self, name: str, covers: Sequence[int]) -> _Outcome:
        """Begin the try, judge for the last time, send. What another process has begun meanwhile
        is its own."""
        now = self._clock.now()
        taken = await self._outbox.begin_try(covers, self._owner, now)
        if not taken:
            return _Outcome(lost=True)
        about, ledger = await self._see(taken[0].message.subject)
        judged = self._judge(name, taken, about, ledger)
        sends = [j for j in judged if isinstance(j, Send | Would)]
        covered = set(sends[0].covers) if sends else set()
        unsent = [j for j in judged if not isinstance(j, Send | Would)]
        covered |= {n for j in unsent for n in j.covers}
        back = [
            DeliveryChange(number=d.number, state="waiting", due=now, tried=False)
            for d in taken
            if d.number not in covered
        ]
        if back:
            await self._settle(back)
        await self._write_unsent(unsent)
        if not sends:
            return _Outcome()
        return await self._send(name, sends[0], taken, ledger, about)

    async def _send(
        self,
        name: str,
        sent: Send | Would,
        taken: Sequence[Delivery],
        ledger: ToldLedger,
        about: Subject,
    ) -> _Outcome:
        if sent.beside:
            await self._accept(sent.beside)
        known = self._targets[name]
        if isinstance(sent, Would):
            text = "\n".join(filter(None, (sent.order.title, sent.order.text)))
            receipt = Receipt(
                target=name,
                kind=known.target.kind,
                action=sent.order.action,
                t=self._clock.now(),
                text=self._masker.value(text),
            )
            await self._settle(settle_sent(sent, receipt))
            return _Outcome()
        first = next(d for d in taken if d.number == sent.order.delivery)
        try:
            async with asyncio.timeout(SEND_LIMIT):
                receipt = await known.target.deliver(sent.order)
        except TimeoutError:
            error = DeliveryDelayed(f"{name}: no answer within {SEND_LIMIT:.0f} s", unsure=True)
            return await self._put_off(sent, first, error)
        except DeliveryDelayed as error:
            return await self._put_off(sent, first, error)
        except DeliveryRefused as error:
            if error.gone and sent.order.ref:
                without = ledger.without_ref(name, sent.order.ref)
                judged = self._judge(name, taken, about, without)
                anew = [j for j in judged if isinstance(j, Send)]
                if anew and anew[0].order.ref != sent.order.ref:
                    return await self._send(name, anew[0], taken, without, about)
            words = f"{error.message}; {error.hint}" if error.hint else error.message
            await self._settle(settle_unsent(GiveUp(covers=sent.covers, reason=words)))
            return _Outcome(refused=True)
        await self._settle(settle_sent(sent, receipt))
        return _Outcome()

    async def _put_off(self, sent: Send, first: Delivery, error: DeliveryDelayed) -> _Outcome:
        now = self._clock.now()
        if is_tried_enough(first, now):
            reason = f"tried {first.tries + 1} times: {error.message}"
            await self._settle(settle_unsent(GiveUp(covers=sent.covers, reason=reason)))
            return _Outcome(refused=True)
        page = first.message.kind in ("page", "resolve")
        pause = pause_after(first.tries + 1, page=page, after=error.after, chance=self._chance)
        changes = settle_failed(sent, now + pause, error.message, unsure=error.unsure)
        await self._settle(changes)
        return _Outcome(pause=True, after=error.after)

    async def _settle(self, changes: Sequence[DeliveryChange]) -> None:
        changed = await self._outbox.settle(changes, self._clock.now())
        self._on_settled(changed)
        self._settled.set()
        self._settled = asyncio.Event()

    def make_allowance(self, name: str) -> Allowance:
        known = self._targets.get(name)
        now = self._clock.now()
        if known is None:
            return Allowance(6000.0, 100, now)
        return Allowance(known.per_minute, known.burst, now)

    def pause_of_target(self, failures: int, after: float) -> float:
        """How long a target that fails is left alone: as long as a page would wait."""
        return pause_after(failures, page=True, after=after, chance=self._chance)

    @property
    def clock(self) -> Clock:
        return self._clock


class _Outcome(msgspec.Struct, frozen=True):
    """`pause`: the target did not take it, `after` is its Retry-After. `lost`: another process has
    what was to be sent. `refused`: it will never take it."""

    pause: bool = False
    after: float = 0.0
    lost: bool = False
    refused: bool = False


class _TargetWorker:
    """Delivers to one target, subject by subject: the one with a page first, else the oldest."""

    def __init__(self, deliverer: Deliverer, name: str) -> None:
        self._deliverer = deliverer
        self._name = name
        self._allowance = deliverer.make_allowance(name)
        self._waiting: dict[str, dict[int, Delivery]] = {}
        self._some = asyncio.Event()
        self._failures = 0

    def put(self, delivery: Delivery) -> None:
        """It is due. What waits here already stays as it is: it is read anew before it is sent."""
        group = delivery.message.digest or delivery.message.subject
        self._waiting.setdefault(group, {})[delivery.number] = delivery
        self._some.set()

    async def run(self) -> None:
        while True:
            await self._some.wait()
            if not self._waiting:
                self._some.clear()
                continue
            await self._until_allowed()
            group = self._choose_group()
            rows = self._waiting.pop(group)
            try:
                outcome = await self._deliverer.deliver_group(self._name, tuple(rows))
            except StoreError as error:
                log.warning("%s: the outbox cannot be read or written: %s", self._name, error)
                outcome = _Outcome(pause=True)
            except Exception:
                log.exception("a delivery to %s failed; the others go on", self._name)
                outcome = _Outcome(pause=True)
            if outcome.pause:
                self._failures += 1
                self._waiting.clear()  # all of it waits in the outbox, and comes back from there
                pause = self._deliverer.pause_of_target(self._failures, outcome.after)
                await self._deliverer.clock.sleep(pause)
                self._waiting.clear()
            else:
                self._failures = 0
            self._deliverer.nudge()

    async def _until_allowed(self) -> None:
        while wait := self._allowance.take(self._deliverer.clock.now()):
            await self._deliverer.clock.sleep(wait)

    def _choose_group(self) -> str:
        """A page waits for nobody's posts."""

        def weigh(group: str) -> tuple[bool, int]:
            rows = self._waiting[group].values()
            return not any(d.message.kind in ("page", "resolve") for d in rows), min(
                d.number for d in rows
            )

        return min(self._waiting, key=weigh)
