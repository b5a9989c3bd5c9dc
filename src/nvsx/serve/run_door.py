"""How a keeper lets runs in: the port `IncidentDoor` on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nvsx.core.errors import StoreError
from nvsx.core.incident.incident_events import RunJoined
from nvsx.core.incident.incident_view import IncidentView
from nvsx.follow.cluster_access import SystemClock
from nvsx.follow.workplace import Workplace
from nvsx.notify.speaker import IncidentSpeaker
from nvsx.serve.incident_keeper import IncidentKeeper
from nvsx.serve.limits_of_settings import incident_limits_of
from nvsx.store import incidents_of

log = logging.getLogger(__name__)

READ_EVERY = 5.0
"""Seconds between two looks at what other processes wrote: one query, of one node."""


class KeeperDoor:
    """Implements core.incident.incident_door.IncidentDoor."""

    def __init__(self, keeper: IncidentKeeper) -> None:
        self._keeper = keeper

    async def join(self, node: str, joined: RunJoined) -> IncidentView:
        """See the port."""
        return await self._keeper.join_run(node, joined)


@asynccontextmanager
async def open_own_keeper(
    workplace: Workplace, speaker: IncidentSpeaker | None = None
) -> AsyncIterator[KeeperDoor]:
    """A keeper for one run by hand: it follows that run's node and no other. `speaker` hears of
    what becomes of it.

    A daemon may keep the same incident in the same store: both then see the same, and whoever is
    second has nothing to say.
    """
    keeper = IncidentKeeper(
        incidents=incidents_of(workplace.journal),
        observer=workplace.observer,
        clock=SystemClock(),
        cluster=workplace.where.cluster,
        limits=incident_limits_of(workplace.home.settings, sandbox=workplace.where.sandbox),
        masker=workplace.home.masker,
        sandbox=workplace.where.sandbox,
        inspect=workplace.observer.installation,
    )
    if speaker is not None:
        keeper.listen(lambda news: speaker.hear(news.incident, news.after))
    await keeper.begin_for_one()
    reading = asyncio.create_task(_read_what_people_wrote(keeper), name="what people wrote")
    try:
        yield KeeperDoor(keeper)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await keeper.end()


async def _read_what_people_wrote(keeper: IncidentKeeper) -> None:
    """`nvsx incidents close` from another terminal reaches the run within seconds."""
    while True:
        await asyncio.sleep(READ_EVERY)
        try:
            await keeper.take_in_what_people_wrote()
        except StoreError as error:
            log.warning("what people wrote cannot be read now: %s", error)
