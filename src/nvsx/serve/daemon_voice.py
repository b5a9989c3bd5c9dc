"""What the daemon tells people: what hooks ask, and what it says by itself of each incident.

It hears of every incident from the keeper; at the start it looks at what is open, at what ended
while nobody looked and still has a page or a ticket open somewhere, and takes in what runs of dead
owners asked.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from nvsx.core.notify.outbox import Delivery, OutboxFilter
from nvsx.core.notify.told_words import is_failing, tell_delivery
from nvsx.core.routing.inbox import Silence
from nvsx.notify.telling import Telling
from nvsx.serve.incident_keeper import IncidentKeeper
from nvsx.serve.incident_publisher import IncidentNews
from nvsx.serve.metrics import Metrics

log = logging.getLogger(__name__)

PAGES_ARE_READ_EVERY = 15.0
"""Seconds. How old the figure of the oldest undelivered page may be."""


class DaemonVoice:
    """`listen_to` the keeper before it begins, `take_up_incidents` after; `telling` does the
    work."""

    def __init__(self, telling: Telling, metrics: Metrics, cluster: str) -> None:
        self._telling = telling
        self._metrics = metrics
        self._cluster = cluster
        self._silenced: frozenset[str] = frozenset()
        telling.speaker.is_silenced = self.is_silenced

    def is_silenced(self, node: str) -> bool:
        return node in self._silenced

    def heed_silences(self, silences: Iterable[Silence]) -> None:
        """Those that hold now. What was held back is said when one ends."""
        nodes = frozenset(s.node for s in silences if s.cluster in ("", self._cluster))
        ended, self._silenced = self._silenced - nodes, nodes
        for node in ended:
            self._telling.speaker.look_again(node)

    def listen_to(self, keeper: IncidentKeeper) -> None:
        """Hear of what becomes of incidents from now on: before the keeper begins, since what it
        finds over at its first look is told, too."""
        keeper.listen(self._hear_news)

    async def take_up_incidents(self, keeper: IncidentKeeper) -> None:
        """Look at what is open, and at what ended in another process and has a page or a ticket
        open still. Raises StoreError."""
        following = set()
        for incident, state in keeper.open_incidents:
            self._telling.speaker.hear(incident, state)
            following.add(incident)
        for subject in await self._telling.outbox.open_incidents():
            if subject in following:
                continue
            about = await self._telling.ask_subject(subject)
            incident = subject
            if about.storm is not None and about.storm.is_over:
                # Whichever of its members is asked about, the storm's end is said.
                incident = about.storm.members[0].incident
                about = await self._telling.ask_subject(incident)
            if about.incident is not None and about.incident.ended is not None:
                self._telling.speaker.hear(incident, about.incident)

    def _hear_news(self, news: IncidentNews) -> None:
        self._telling.speaker.hear(news.incident, news.after)

    async def read_waiting(self, now: float) -> None:
        """Bring the figures of what is undelivered up to date. Raises StoreError."""
        waiting = await self._telling.outbox.deliveries(OutboxFilter(only_open=True, limit=None))
        pages = [d.accepted for d in waiting if d.message.kind == "page" and not d.fallback]
        self._metrics.set_undelivered(len(waiting), now - min(pages) if pages else 0.0)


def note_deliveries(metrics: Metrics, deliveries: Sequence[Delivery]) -> None:
    """Count what was settled, and say loudly what nobody was told."""
    for delivery in deliveries:
        if delivery.state == "waiting":
            if delivery.tries:
                metrics.count_try(delivery.target, "failed")
        else:
            metrics.count_try(delivery.target or "nobody", delivery.state.replace(" ", "_"))
        if is_failing(delivery):
            log.warning("%s", tell_delivery(delivery))
