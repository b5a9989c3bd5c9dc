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
from nvsx.notify.pacing import is_tried_enough, pause_after
from nvsx.notify.target_worker import TargetWorker, TurnOutcome, name_group
from nvsx.notify.waiting import wait_for_event

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
"""Seconds. What another process has accepted is found so late, where that one does not deliver."""
SEND_LIMIT = 100.0
"""Seconds. A target's order is up to three requests of 30 s, and no try lives longer than
TRY_LIMIT: what hangs beyond this is cut, so that nobody takes it over while it is sent."""

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
        self._workers: dict[str, TargetWorker] = {}
        self._settled = asyncio.Event()

    # --- what others do ---------------------------------------------------------------------

    def nudge(self) -> None:
        """Look at the outbox now."""
        self._news.set()

    async def until_delivered(self, incidents: Iterable[str], seconds: float) -> Sequence[Delivery]:
        """Wait until nothing waits for these incidents, `seconds` at most; what still does. A
        fallback that waits for its turn is not waited for."""
        wanted = [OutboxFilter(incident=i, only_open=True, limit=None) for i in incidents]
        end = self._clock.now() + seconds
        while True:
            settled = self._settled
            left = [d for f in wanted for d in await self._outbox.deliveries(f)]
            left = [d for d in left if not d.fallback or d.due <= self._clock.now()]
            rest = end - self._clock.now()
            if not left or rest <= 0:
                return left
            await wait_for_event(settled, self._clock, min(rest, LOOK_EVERY))

    async def finish_tries(self, seconds: float) -> None:
        """Begin no further try, and give those that are under way time to be answered."""
        await asyncio.gather(*(w.finish(self._clock, seconds) for w in self._workers.values()))

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
                except Exception:
                    log.exception("what is due cannot be read; nvsx tries again")
                await wait_for_event(self._news, self._clock, pause)

    async def _hand_out(self, group: asyncio.TaskGroup) -> float:
        """Give what is due to the workers; seconds until the next look."""
        now = self._clock.now()
        for delivery in await self._outbox.due(now):
            name = delivery.target
            worker = self._workers.get(name)
            if worker is None:
                known = self._targets.get(name)
                rate = (known.per_minute, known.burst) if known is not None else None
                worker = self._workers[name] = TargetWorker(self, name, self._clock, rate)
                group.create_task(worker.run(), name=f"deliveries to {name or 'nobody'}")
            worker.put(delivery)
        due = await self._outbox.next_due()
        if due is None or due <= now:
            return LOOK_EVERY
        return min(LOOK_EVERY, due - now)

    async def deliver_next(
        self, name: str, one: Delivery, count_send: Callable[[], None]
    ) -> TurnOutcome:
        """Of what waits at one target for the subject (or the digest) of `one`, send the next
        order. `count_send` hears of it before it leaves. Raises StoreError."""
        rows = await self._read_group(name, one)
        about, ledger = await self._see_subject(one.message.subject)
        judged = self._judge_rows(name, rows, about, ledger)
        await self._write_unsent(judged)
        sends = [j for j in judged if isinstance(j, Send | Would)]
        if not sends:
            return TurnOutcome()
        outcome = await self._try_order(name, sends[0].covers, count_send)
        gone = {n for j in judged for n in j.covers}
        left = tuple(d for d in rows if d.number not in gone)
        return msgspec.structs.replace(outcome, left=left)

    async def _read_group(self, name: str, one: Delivery) -> list[Delivery]:
        """All that waits there and is judged together, also what was put off: an older word is
        never read after a newer one. A fallback waits for its turn."""
        message, now = one.message, self._clock.now()
        wanted = OutboxFilter(
            subject="" if message.digest else message.subject,
            target=name,
            only_open=True,
            limit=None,
        )
        found = await self._outbox.deliveries(wanted)
        group = name_group(message)
        return [
            d for d in found if name_group(d.message) == group and (not d.fallback or d.due <= now)
        ]

    async def read_waiting(self, name: str) -> Sequence[Delivery]:
        """What waits at a target, also what was put off. Raises StoreError."""
        now = self._clock.now()
        found = await self._outbox.deliveries(OutboxFilter(target=name, only_open=True))
        return [d for d in found if not d.fallback or d.due <= now]

    async def _see_subject(
        self, subject: str, taken: Sequence[Delivery] = ()
    ) -> tuple[Subject, ToldLedger]:
        """What it is about, and what was told of it. Those that were `taken` for this very try
        count as they stood before: nothing of it was sent yet."""
        about = await self._ask_subject(subject)
        if not subject:  # tests have nothing in common
            return about, fold_ledger(())
        before_try = {d.number: d for d in taken}
        found = await self._outbox.deliveries(OutboxFilter(subject=subject, limit=None))
        own = [before_try.get(d.number, d) for d in found]
        continued: Sequence[Delivery] = ()
        if about.incident is not None and about.incident.opened.again_of:
            before = about.incident.opened.again_of
            continued = await self._outbox.deliveries(OutboxFilter(subject=before, limit=None))
        return about, fold_ledger(own, continued)

    def _judge_rows(
        self, name: str, rows: Sequence[Delivery], about: Subject, ledger: ToldLedger
    ) -> tuple[Judgement, ...]:
        known = self._targets.get(name)
        if known is None and name != NOBODY:
            reason = f"nvsx.yaml has no target {name} any more"
            return (GiveUp(covers=tuple(d.number for d in rows), reason=reason),) if rows else ()
        traits = known.traits if known is not None else TargetTraits(name=NOBODY, kind="")
        return judge(rows, about, ledger, traits, self._clock.now())

    async def _write_unsent(self, judged: Sequence[Judgement]) -> None:
        for one in judged:
            if isinstance(one, Send | Would):
                continue
            instead = getattr(one, "instead", ())
            if instead:
                await self._accept(instead)
            await self._write_settled(settle_unsent(one))

    async def _try_order(
        self, name: str, covers: Sequence[int], count_send: Callable[[], None]
    ) -> TurnOutcome:
        """Begin the try, judge for the last time, send. What another process has begun meanwhile
        is its own."""
        taken = await self._outbox.begin_try(covers, self._owner, self._clock.now())
        if not taken:
            return TurnOutcome()
        try:
            about, ledger = await self._see_subject(taken[0].message.subject, taken)
            judged = self._judge_rows(name, taken, about, ledger)
            await self._write_unsent(judged)
        except Exception:
            await self._give_back(taken)
            raise
        sends = [j for j in judged if isinstance(j, Send | Would)]
        covered = {n for j in judged for n in j.covers}
        await self._give_back([d for d in taken if d.number not in covered])
        if not sends:
            return TurnOutcome()
        return await self._send_order(name, sends[0], taken, ledger, about, count_send)

    async def _give_back(self, taken: Sequence[Delivery]) -> None:
        """Nothing was sent of them: they wait as they did before."""
        now = self._clock.now()
        back = [
            DeliveryChange(number=d.number, state="waiting", due=now, reason=d.reason, tried=False)
            for d in taken
        ]
        if back:
            await self._write_settled(back)

    async def _send_order(
        self,
        name: str,
        sent: Send | Would,
        taken: Sequence[Delivery],
        ledger: ToldLedger,
        about: Subject,
        count_send: Callable[[], None],
    ) -> TurnOutcome:
        """Send one order, and write down what came of it."""
        if sent.beside:
            await self._accept(sent.beside)
        if isinstance(sent, Would):
            await self._write_settled(settle_sent(sent, self._show_order(name, sent)))
            return TurnOutcome()
        order = sent.order
        await self._outbox.mark_try(sent.covers, order.action, sent.role, order.key)
        count_send()
        try:
            async with asyncio.timeout(SEND_LIMIT):
                receipt = await self._targets[name].target.deliver(order)
        except DeliveryDelayed as error:
            return await self._put_off(sent, taken, error)
        except DeliveryRefused as error:
            if error.gone and order.ref:
                without = ledger.without_ref(name, order.ref)
                return await self._send_anew(name, sent, taken, without, about, count_send)
            words = f"{error.message}; {error.hint}" if error.hint else error.message
            await self._write_settled(settle_unsent(GiveUp(covers=sent.covers, reason=words)))
            return TurnOutcome()
        except TimeoutError:
            late = DeliveryDelayed(f"{name}: no answer within {SEND_LIMIT:.0f} s", unsure=True)
            return await self._put_off(sent, taken, late)
        except Exception as error:
            log.exception("%s: a delivery broke off", name)
            words = f"{name}: nvsx failed: {type(error).__name__}; its log says more"
            return await self._put_off(sent, taken, DeliveryDelayed(words, unsure=True))
        await self._write_settled(settle_sent(sent, receipt))
        return TurnOutcome()

    async def _send_anew(
        self,
        name: str,
        sent: Send,
        taken: Sequence[Delivery],
        ledger: ToldLedger,
        about: Subject,
        count_send: Callable[[], None],
    ) -> TurnOutcome:
        """The thread or ticket it was for is gone: what it is without it. A closed ticket that is
        gone needs no closing, a reply begins a new thread."""
        rows = [d for d in taken if d.number in sent.covers]
        judged = self._judge_rows(name, rows, about, ledger)
        await self._write_unsent(judged)
        sends = [j for j in judged if isinstance(j, Send)]
        if sends and sends[0].order.ref != sent.order.ref:
            return await self._send_order(name, sends[0], rows, ledger, about, count_send)
        left = set(sent.covers) - {n for j in judged if j not in sends for n in j.covers}
        if left:
            reason = f"{name}: what it was to be said on is gone ({sent.order.ref})"
            await self._write_settled(
                settle_unsent(GiveUp(covers=tuple(sorted(left)), reason=reason))
            )
        return TurnOutcome()

    def _show_order(self, name: str, sent: Would) -> Receipt:
        """What would have been sent, in place of a receipt."""
        text = "\n".join(filter(None, (sent.order.title, sent.order.text)))
        return Receipt(
            target=name,
            kind=self._targets[name].target.kind,
            action=sent.order.action,
            t=self._clock.now(),
            text=self._masker.mask(text),
        )

    async def _put_off(
        self, sent: Send, taken: Sequence[Delivery], error: DeliveryDelayed
    ) -> TurnOutcome:
        now = self._clock.now()
        first = next(d for d in taken if d.number == sent.order.delivery)
        reason = self._masker.mask(error.message)
        if is_tried_enough(first, now):
            words = f"tried {first.tries + 1} times: {reason}"
            await self._write_settled(settle_unsent(GiveUp(covers=sent.covers, reason=words)))
            return TurnOutcome(failed=True, after=error.after)
        page = first.message.kind in ("page", "resolve")
        pause = pause_after(first.tries + 1, page=page, after=error.after, chance=self._chance)
        await self._write_settled(settle_failed(sent, now + pause, reason, unsure=error.unsure))
        return TurnOutcome(failed=True, after=error.after)

    async def _write_settled(self, changes: Sequence[DeliveryChange]) -> None:
        changed = await self._outbox.settle(changes, self._clock.now())
        self._on_settled(changed)
        self._settled.set()
        self._settled = asyncio.Event()

    def pause_of_target(self, failures: int, after: float) -> float:
        """How long a target that fails is left alone: as long as a page would wait."""
        return pause_after(failures, page=True, after=after, chance=self._chance)
