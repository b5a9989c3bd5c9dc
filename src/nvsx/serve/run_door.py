"""How a keeper lets runs in: the port `IncidentDoor` on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nvsx.core.incident.incident_events import RunJoined
from nvsx.core.incident.incident_view import IncidentView
from nvsx.core.incident.tolerances import SANDBOX_LIMITS, IncidentLimits
from nvsx.follow.cluster_access import SystemClock
from nvsx.follow.workplace import Workplace
from nvsx.notify.speaker import IncidentSpeaker
from nvsx.serve.incident_keeper import IncidentKeeper
from nvsx.store import incidents_of


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
        limits=SANDBOX_LIMITS if workplace.where.sandbox else IncidentLimits(),
        masker=workplace.home.masker,
        sandbox=workplace.where.sandbox,
        inspect=workplace.observer.installation,
    )
    if speaker is not None:
        keeper.listen(lambda news: speaker.hear(news.incident, news.after))
    await keeper.begin_for_one()
    try:
        yield KeeperDoor(keeper)
    finally:
        await keeper.end()
