"""Publishes what becomes of incidents: to those who listen, and to the views that runs hold."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from nvsx.core.incident.incident_events import IncidentEvent
from nvsx.core.incident.incident_state import IncidentState

log = logging.getLogger(__name__)

Say = Callable[[Sequence[IncidentEvent]], Awaitable[None]]


class IncidentNews(msgspec.Struct, frozen=True):
    """What an incident has become. `before` is None for one that has just begun."""

    incident: str
    node: str
    before: IncidentState | None
    after: IncidentState
    events: tuple[IncidentEvent, ...]


class LiveIncident:
    """Implements core.incident.incident_view.IncidentView; the keeper puts new states in."""

    def __init__(self, incident: str, state: IncidentState, say: Say) -> None:
        self.incident = incident
        self._state = state
        self._say = say
        self._news = asyncio.Event()

    @property
    def current(self) -> IncidentState:
        return self._state

    async def changed(self, seen: IncidentState) -> IncidentState:
        while self._state is seen:
            await self._news.wait()
        return self._state

    async def say(self, events: Sequence[IncidentEvent]) -> None:
        await self._say(events)

    def put(self, state: IncidentState) -> None:
        self._state = state
        self._news.set()
        self._news = asyncio.Event()


Listener = Callable[[IncidentNews], None]
SayOnNode = Callable[[str, Sequence[IncidentEvent]], Awaitable[None]]


class IncidentPublisher:
    """`say` is how a view appends to the story of its node."""

    def __init__(self, say: SayOnNode) -> None:
        self._say = say
        self._listeners: list[Listener] = []
        self._views: weakref.WeakValueDictionary[str, LiveIncident] = weakref.WeakValueDictionary()
        self._held: dict[str, LiveIncident] = {}

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of all that is stored from now on. It must not wait."""
        self._listeners.append(listener)

    def find_view(self, incident: str) -> LiveIncident | None:
        """The one view of an incident that somebody holds."""
        return self._views.get(incident)

    def make_view(self, incident: str, node: str, state: IncidentState) -> LiveIncident:
        """A view of `incident`, which nobody holds yet."""

        async def say(events: Sequence[IncidentEvent]) -> None:
            await self._say(node, events)

        view = self._views[incident] = LiveIncident(incident, state, say)
        return view

    def publish(self, news: IncidentNews) -> None:
        """Put the new state into the view of the incident, and tell the listeners."""
        view = self._views.get(news.incident)
        if view is None:
            view = self.make_view(news.incident, news.node, news.after)
        else:
            view.put(news.after)
        if news.after.ended is None:
            self._held[news.incident] = view
        else:
            self._held.pop(news.incident, None)
        for listener in self._listeners:
            try:
                listener(news)
            except Exception:
                log.exception("a listener to incidents failed; the incident goes on")
