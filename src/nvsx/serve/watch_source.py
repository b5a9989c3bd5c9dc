"""The watch source: faults that appear on nodes, and the open sessions nobody runs yet.

Over the Observer port alone; no database and no sender. What appears while it watches
fires within a second; what was open before, or slipped through a gap, is offered as
`late`. It offers to the intake and decides nothing: an event that could not be stored is
offered again until it is, since nobody else would deliver it a second time.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Coroutine

from nvsx.core.errors import StoreError
from nvsx.core.incident.session import HealthEvent
from nvsx.core.ports import Clock, Fault, Observer
from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import Answer, Intake, TriggerEvent

log = logging.getLogger(__name__)

SOURCE = "watch"
#: Offers at once: each waits for one commit, and a commit takes whatever waits.
TOGETHER = 64
#: A fault this young is still on its way through the stream.
YOUNG = 30.0
LONGEST_PAUSE = 30.0


def identity_of(event: HealthEvent) -> str:
    """What tells one health event from another: its database id, else a hash of its content."""
    if event.id:
        return event.id
    entities = ",".join(f"{kind}={value}" for kind, value in sorted(event.entities))
    said = (event.check, ",".join(sorted(event.error_codes)), entities, f"{event.generated_at:.6f}")
    return hashlib.sha256("\0".join(said).encode("utf-8", "surrogatepass")).hexdigest()[:20]


def event_of(
    fault: Fault, now: float, *, late: bool = False, quarantined: bool = False
) -> TriggerEvent:
    """A fault as a trigger. `now` is in Unix seconds. `quarantined`: NVSentinel holds the node for
    it, though the fault was not found by its session."""
    return TriggerEvent(
        source=SOURCE,
        delivery="/".join(
            p for p in (fault.node, fault.session_key, identity_of(fault.event)) if p
        ),
        facts=TriggerFacts.of(
            fault.event, source=SOURCE, quarantined=quarantined or bool(fault.session_key)
        ),
        received=now,
        event=fault.event,
        session_key=fault.session_key,
        there_since=fault.since or None,
        late=late,
    )


class WatchSource:
    """`follow` runs until it is cancelled; `adopt` looks once at what is open now."""

    def __init__(self, observer: Observer, intake: Intake, clock: Clock) -> None:
        self._observer = observer
        self._intake = intake
        self._clock = clock
        self._gate = asyncio.Semaphore(TOGETHER)
        self._settled: set[str] = set()

    def follow(self) -> Coroutine[None, None, None]:
        """What offers every fault from this call on, also those before it is awaited."""
        return self._offer_each(self._observer.faults())

    async def _offer_each(self, faults: AsyncIterator[Fault]) -> None:
        running: set[asyncio.Task[Answer]] = set()
        try:
            async for fault in faults:
                await self._gate.acquire()
                offer = self._offer_until_stored(event_of(fault, self._clock.now()))
                task = asyncio.create_task(offer, name=f"fault on {fault.node}")
                running.add(task)
                task.add_done_callback(self._free_place)
                task.add_done_callback(running.discard)
        finally:
            for task in running:
                task.cancel()

    def _free_place(self, task: asyncio.Task[Answer]) -> None:
        self._gate.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a fault was not taken: %r", error, exc_info=error)

    async def adopt(self, *, all_ages: bool = True) -> int:
        """Offer what is open now and has not been settled, as late; how many runs that fired.

        10:00:00 nvsx starts, n1 has been ill since 9:00      offered, late
        10:00:30 n2 is ill since 10:00:20, not `all_ages`     left to the stream (YOUNG)
        10:01:00 n2 is still ill                              offered, late; the intake knows it
        10:01:30 nothing has changed                          nothing is offered

        Without `all_ages` a fault of this moment is left to the stream. Raises ClusterError.
        """
        now = self._clock.now()
        listed = await self._observer.nodes_in_incident()
        names = {_name_fault(fault): fault for fault in listed}
        self._settled &= names.keys()
        fresh = [
            fault
            for name, fault in names.items()
            if name not in self._settled and (all_ages or now - fault.event.generated_at >= YOUNG)
        ]
        self._settled |= {_name_fault(fault) for fault in fresh}
        return sum(await asyncio.gather(*(self._adopt_fault(fault) for fault in fresh)))

    def forget(self) -> None:
        """Offer everything again at the next `adopt`: silences or runbooks have changed."""
        self._settled.clear()

    async def _adopt_fault(self, fault: Fault) -> int:
        answer = await self.offer(event_of(fault, self._clock.now(), late=True))
        return int(answer.outcome == "fired")

    async def offer(self, event: TriggerEvent) -> Answer:
        """Offer in turn, until it is stored."""
        async with self._gate:
            return await self._offer_until_stored(event)

    async def _offer_until_stored(self, event: TriggerEvent) -> Answer:
        """Offer until it is stored."""
        pause = 1.0
        while True:
            try:
                return await self._intake.offer(event)
            except StoreError as error:
                log.warning("a fault on %s waits to be stored: %s", event.facts.node, error)
            await self._clock.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)


def _name_fault(fault: Fault) -> str:
    return "/".join((fault.node, fault.session_key or identity_of(fault.event)))
