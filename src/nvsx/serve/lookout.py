"""The lookout: sees to it that every fault of an open incident is routed, each by itself.

Most faults are offered by a source the moment they appear. What no source offered is offered from
here: a fault that joined an incident in a mode that only listens to senders, a side effect that
outlived its repair, one that was there when nvsx began. What was throttled or silenced is offered
again when that ends, as late. The intake decides.

    12:00:00 the poll brings XID 79 of n1: its run fires
    12:00:01 the node also shows an NVLink fault, which the poll has not brought yet
    12:00:03 nobody has offered it: the lookout does · 12:00:10 the poll brings it: attached
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from nvsx.core.errors import ClusterError
from nvsx.core.incident.incident_events import SideEffectOutlived
from nvsx.core.incident.incident_state import AlertRecord, FaultRecord, IncidentState
from nvsx.core.incident.session import HealthEvent
from nvsx.core.ports import Clock, Fault
from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.serve.incident_keeper import IncidentKeeper
from nvsx.serve.incident_publisher import IncidentNews
from nvsx.serve.settling_case import is_about
from nvsx.serve.watch_source import WatchSource, event_of

log = logging.getLogger(__name__)

PAUSE = 5.0
"""Seconds until a cluster that could not be listed is tried again."""
GRACE = 2.0
"""Seconds in which the source that saw a fault first offers it itself."""


def faults_without_run(incident: IncidentState) -> Iterator[FaultRecord]:
    """Those that are there, that a runbook may want, and that no run is known to be for.

    A repair's own side effects are no news: RebootNode sent 12:00, `DCGM unreachable` 12:01, Ready
    12:02: nothing until 12:07, then it is offered if it is still there.
    """
    served = {no for joined, _ in incident.runs for no in joined.faults}
    for fault in incident.faults:
        wanted = fault.latest.fatal or fault.latest.routed or is_held_for(fault)
        if wanted and fault.cleared is None and not fault.is_side_effect and fault.no not in served:
            yield fault


def is_held_for(fault: FaultRecord) -> bool:
    """Whether NVSentinel's quarantine lists it; what is planned is nobody's to be called for."""
    return "annotation" in fault.latest.by and not fault.latest.planned


def alerts_without_run(incident: IncidentState) -> Iterator[AlertRecord]:
    """Those of an incident that consists of alerts alone, and has had no run."""
    if incident.faults or incident.runs:
        return
    for alert in incident.alerts:
        if not alert.resolved and alert.attached.names_fault:
            yield alert


class Lookout:
    """Give it reasons at any time; `keep` looks, and never returns."""

    def __init__(self, watch: WatchSource, keeper: IncidentKeeper, clock: Clock) -> None:
        self._watch = watch
        self._keeper = keeper
        self._clock = clock
        self._everywhere = False
        self._nodes: set[str] = set()
        self._waiting: set[str] = set()
        self._offered: set[tuple[str, str]] = set()
        self._again: set[tuple[str, str]] = set()
        self._reason = asyncio.Event()
        keeper.listen(self._hear_news)

    def note_offered(self, event: TriggerEvent) -> None:
        """Somebody has offered it, and the intake has decided: that is not asked again before
        something has changed."""
        found = self._keeper.incident_on(event.facts.node)
        if found is None:
            return
        incident, state = found
        event_id = event.event.id if event.event is not None else ""
        for fault in state.faults:
            known = fault.latest
            if is_about(event.facts, event_id, known.check, known.error_codes, known.ids):
                self._offered.add((incident, f"fault {fault.no}"))

    def everywhere(self) -> None:
        """Faults were cut off a message: look at all nodes. Hundred reasons are one look."""
        self._everywhere = True
        self._reason.set()

    def later(self, node: str) -> None:
        """A fault on `node` was throttled: it is offered once more when `again` is called."""
        if node:
            self._waiting.add(node)

    def again(self) -> None:
        """Some time has passed: what was throttled may have its turn."""
        if self._waiting:
            self._forget_offers(self._waiting)
            self._waiting.clear()

    def start_over(self) -> None:
        """Silences or runbooks have changed: offer everything without a run once more."""
        self._forget_offers({state.opened.node for _, state in self._keeper.open_incidents})

    def _forget_offers(self, nodes: set[str]) -> None:
        on = {i for i, state in self._keeper.open_incidents if state.opened.node in nodes}
        gone = {offer for offer in self._offered if offer[0] in on}
        self._offered -= gone
        self._again |= gone
        self._nodes |= nodes
        self._reason.set()

    def _hear_news(self, news: IncidentNews) -> None:
        if news.after.ended is not None:
            for offers in (self._offered, self._again):
                offers -= {offer for offer in offers if offer[0] == news.incident}
            return
        outlived = {e.fault for e in news.events if isinstance(e, SideEffectOutlived)}
        self._offered -= {(news.incident, f"fault {no}") for no in outlived}
        if any(faults_without_run(news.after)) or any(alerts_without_run(news.after)):
            self._nodes.add(news.node)
            self._reason.set()

    async def keep(self) -> None:
        """Look whenever there is a reason, until the cluster could be read."""
        while True:
            await self._reason.wait()
            await self._clock.sleep(GRACE)
            self._reason.clear()
            everywhere, nodes = self._everywhere, self._nodes
            self._everywhere, self._nodes = False, set()
            try:
                if everywhere:
                    began = await self._watch.adopt(all_ages=True)
                    log.info(
                        "faults were cut off, so the cluster was listed; runs that began: %d", began
                    )
                await asyncio.gather(*(self._offer_on(node) for node in nodes))
            except ClusterError as error:
                log.warning("open incidents cannot be looked for now: %s", error)
                self._everywhere = self._everywhere or everywhere
                self._nodes |= nodes
                self._reason.set()
                await self._clock.sleep(PAUSE)
            except Exception:
                log.exception("looking for faults without a run failed; it goes on")

    async def _offer_on(self, node: str) -> None:
        found = self._keeper.incident_on(node)
        if found is None:
            return
        incident, state = found
        for fault in faults_without_run(state):
            offer = (incident, f"fault {fault.no}")
            if offer not in self._offered:
                self._offered.add(offer)
                found_late = state.opened.late and fault.seen.at == state.began.at
                event = self._keeper.desks.health_event(node, fault.latest.ids) or _event_of(
                    node, fault
                )
                late = found_late or offer in self._again
                told = event_of(
                    Fault(node, event), self._clock.now(), late=late, quarantined=is_held_for(fault)
                )
                await self._watch.offer(told)
        for alert in alerts_without_run(state):
            offer = (incident, f"alert {alert.attached.key}")
            if offer not in self._offered:
                self._offered.add(offer)
                if offer in self._again:  # its first offer is what brought it
                    await self._watch.offer(_alert_again(node, alert, self._clock.now()))


def _event_of(node: str, fault: FaultRecord) -> HealthEvent:
    known = fault.latest
    return HealthEvent(
        check=known.check,
        node=node,
        id=known.ids[-1] if known.ids else "",
        error_codes=known.error_codes,
        action=known.action or "NONE",
        fatal=known.fatal,
        message=known.message,
        entities=known.entities,
        generated_at=known.generated or 0.0,
    )


def _alert_again(node: str, alert: AlertRecord, now: float) -> TriggerEvent:
    known = alert.attached
    facts = TriggerFacts(
        node=node,
        check_name=known.check,
        error_codes=known.error_codes,
        is_fatal=True,
        source=known.source,
        generated_at=known.started,
    )
    return TriggerEvent(
        source=known.source,
        delivery="",
        facts=facts,
        received=now,
        alert=known.key.removeprefix(f"{known.source}:"),
        alert_since=known.started,
        late=True,
        standing=True,
    )
