"""Put together: what a process needs to take messages in, to deliver them, and to speak itself.

A daemon tells as long as it lives; a run by hand until its messages are out, or half a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from nvsx.core.errors import UsageError
from nvsx.core.incident.incident_state import NodeStory
from nvsx.core.incident.incident_store import IncidentStore
from nvsx.core.notify.outbox import Delivery, Outbox
from nvsx.core.notify.subject import Subject
from nvsx.core.ports import Clock
from nvsx.notify.deliverer import AskSubject, Deliverer, DeliveryTarget, OnSettled
from nvsx.notify.message_desk import MessageDesk, book_of, make_hook_answers
from nvsx.notify.speaker import IncidentSpeaker
from nvsx.notify.targets.target_registry import TARGET_KINDS, make_targets
from nvsx.project.home import Home
from nvsx.project.settings import choose_notify_settings
from nvsx.store import incidents_of, outbox_of, storms_of
from nvsx.store.sqlite_journal import SqliteJournal
from nvsx.store.storm_views import StormReader

TRIES_END_WITHIN = 5.0
"""Seconds, when nvsx ends. Most are answered within one; what is cut after that is `unsure`."""


class Telling(NamedTuple):
    """`desk` takes messages in, `deliverer` delivers them, `speaker` hears of incidents;
    `ask_subject` tells what messages are about, by the id of an incident or a storm."""

    desk: MessageDesk
    deliverer: Deliverer
    speaker: IncidentSpeaker
    outbox: Outbox
    ask_subject: AskSubject


class Bell:
    """Rings whoever delivers. Spools are made before that one is there: until then nobody hears,
    and what was stored is found at its first look."""

    def __init__(self) -> None:
        self.call: Callable[[], None] = lambda: None

    def ring(self) -> None:
        self.call()


class SubjectReader:
    """What messages are about, from the store: the truth for every process of a state folder."""

    def __init__(
        self, incidents: IncidentStore, cluster_name: str, storms: StormReader | None = None
    ) -> None:
        self._incidents = incidents
        self._storms = storms
        self._cluster_name = cluster_name

    async def __call__(self, subject: str) -> Subject:
        """The incident or storm of this id; one without an incident for a test, or for one that
        the store has forgotten. Raises StoreError."""
        storm = await self._storms.storm(subject) if self._storms is not None else None
        if storm is not None:
            return Subject(subject=subject, storm=storm, cluster=self._cluster_name)
        try:
            row = await self._incidents.row(subject)
            entries = await self._incidents.entries(subject)
        except UsageError:
            return Subject(subject=subject, cluster=self._cluster_name)
        story = NodeStory(row.node).after_entries(entries)
        return Subject(
            subject=subject, incident=story.open or story.last, cluster=self._cluster_name
        )


@asynccontextmanager
async def open_telling(
    home: Home,
    journal: SqliteJournal,
    clock: Clock,
    *,
    cluster_name: str = "",
    routed: bool = True,
    live: bool = False,
    on_settled: OnSettled = lambda _deliveries: None,
) -> AsyncIterator[Telling]:
    """Tell people until the block ends; what is under way then is left to the next owner."""
    settings = choose_notify_settings(home.settings, home.env)
    outbox = outbox_of(journal)
    made = make_targets(settings, home.env, home.project.root, home.masker)
    targets = {
        name: DeliveryTarget(
            target=target,
            facts=settings.targets[name].facts,
            per_minute=TARGET_KINDS[target.kind].per_minute,
            burst=TARGET_KINDS[target.kind].burst,
        )
        for name, target in made.items()
    }
    storms = storms_of(journal)
    answer_hooks = make_hook_answers(home, outbox)

    def hear_settled(deliveries: Sequence[Delivery]) -> None:
        answer_hooks(deliveries)
        on_settled(deliveries)

    bell = Bell()
    subjects = SubjectReader(incidents_of(journal), cluster_name, storms)
    desk = MessageDesk(outbox, book_of(settings), clock.now, bell.ring, storms.storm_of)
    deliverer = Deliverer(
        outbox,
        targets,
        desk.accept,
        subjects,
        clock,
        owner=journal.owner,
        masker=home.masker,
        on_settled=hear_settled,
    )
    bell.call = deliverer.nudge
    speaker = IncidentSpeaker(
        outbox, desk.accept, clock, routed=routed, live=live, storm_of=storms.storm_of
    )
    tasks = [
        asyncio.create_task(deliverer.run(), name="deliveries"),
        asyncio.create_task(speaker.run(), name="what nvsx says"),
    ]
    try:
        yield Telling(desk, deliverer, speaker, outbox, subjects)
    finally:
        await deliverer.finish_tries(TRIES_END_WITHIN)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(t.close() for t in made.values()), return_exceptions=True)


def list_undelivered(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Those that somebody should have been told by now: no fallback that waits for its turn."""
    return [d for d in deliveries if d.is_open and not d.fallback]
