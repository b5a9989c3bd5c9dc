"""Lets nvsx speak for incidents: asks what is true and not said yet, and hands it to the outbox.

12:00:00 the keeper publishes i-7: heard · nothing is nvsx's to say before 12:01:00
12:01:00 no run has begun for the fault: "no runbook is for …", accepted under its call
12:09:00 nvsx restarts and hears i-7 again: the call is known, nothing is said twice
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from nvsx.core.errors import StoreError
from nvsx.core.incident.incident_state import IncidentState
from nvsx.core.notify.message import Message
from nvsx.core.notify.outbox import Outbox, OutboxFilter
from nvsx.core.notify.speaking import Speaking, speak
from nvsx.core.notify.storm_speaking import speak_of_storm
from nvsx.core.ports import Clock
from nvsx.notify.message_desk import StormOf, know_no_storm
from nvsx.notify.waiting import wait_for_event

log = logging.getLogger(__name__)

LONGEST_LOOK = 3600.0
"""Seconds. Whatever waits is asked about at least so often."""
PAUSE = 5.0
"""Seconds, after the store refused."""

Accept = Callable[[Sequence[Message]], Awaitable[object]]


class IncidentSpeaker:
    """`hear` of each change of an incident; `run` speaks until it is cancelled.

    `routed`: runbooks are looked for in this process (a daemon). `is_silenced` says whether a node
    is. `storm_of` gives the storm that an incident is part of. `live` is for a rehearsal whose
    words leave (`--live-hooks`).
    """

    def __init__(
        self,
        outbox: Outbox,
        accept: Accept,
        clock: Clock,
        *,
        routed: bool = True,
        live: bool = False,
        is_silenced: Callable[[str], bool] = lambda _node: False,
        storm_of: StormOf = know_no_storm,
    ) -> None:
        self._outbox = outbox
        self._accept = accept
        self._clock = clock
        self._routed = routed
        self._live = live
        self.is_silenced = is_silenced
        self._storm_of = storm_of
        self._states: dict[str, IncidentState] = {}
        self._due: dict[str, float] = {}
        self._news = asyncio.Event()

    def hear(self, incident: str, state: IncidentState) -> None:
        """What an incident has become. Never waits."""
        self._states[incident] = state
        self._due[incident] = self._clock.now()
        self._news.set()

    def look_again(self, node: str) -> None:
        """Ask anew what is to be said of a node: it is silenced no more."""
        now = self._clock.now()
        for incident, state in self._states.items():
            if state.opened.node == node:
                self._due[incident] = now
        self._news.set()

    async def run(self) -> None:
        """Speak until cancelled."""
        while True:
            self._news.clear()
            now = self._clock.now()
            for incident in [i for i, due in self._due.items() if due <= now]:
                await self.speak_of(incident)
            wake = min(self._due.values(), default=now + LONGEST_LOOK)
            pause = max(0.0, min(wake - self._clock.now(), LONGEST_LOOK))
            await wait_for_event(self._news, self._clock, pause)

    async def speak_of(self, incident: str) -> None:
        """Say what is to be said of one incident now, and plan the next look."""
        state = self._states[incident]
        self._due.pop(incident, None)
        try:
            next_look = await self.speak_now(incident, state)
        except StoreError as error:
            log.warning("what is to be told of %s waits: %s", incident, error)
            self._due.setdefault(incident, self._clock.now() + PAUSE)
            return
        except Exception:
            log.exception("what is to be told of %s waits; nvsx speaks of the others", incident)
            self._due.setdefault(incident, self._clock.now() + LONGEST_LOOK)
            return
        if next_look is not None:
            self._due.setdefault(incident, next_look)
        elif state.ended is not None and incident not in self._due:
            self._states.pop(incident, None)

    async def speak_now(self, incident: str, state: IncidentState) -> float | None:
        """Say what is to be said of the incident as it is in `state`; when to ask again for
        time's sake. Raises StoreError."""
        storm = await self._storm_of(incident)
        wanted = OutboxFilter(incident=incident, limit=None)
        known = [d.message for d in await self._outbox.deliveries(wanted)]
        asked = Speaking(
            incident_id=incident,
            incident=state,
            known=known,
            silenced=self.is_silenced(state.opened.node),
            routed=self._routed,
            storm=storm,
        )
        spoken = speak(asked, self._clock.now())
        messages = list(spoken.messages)
        if storm is not None:
            of_storm = await self._outbox.deliveries(OutboxFilter(subject=storm.storm, limit=None))
            sample = known[-1] if known else None
            messages += speak_of_storm(
                storm, [d.message for d in of_storm], self._clock.now(), sample
            )
        if messages:
            await self._accept([_with_live(m, live=self._live) for m in messages])
        return spoken.next_look


def _with_live(message: Message, *, live: bool) -> Message:
    return replace(message, live=True) if live and message.rehearsal else message
