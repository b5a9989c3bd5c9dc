"""Publishes what becomes of incidents: to those who listen, and to the views that runs hold."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable

import msgspec

from nvsx.core.incident.incident_events import IncidentEvent
from nvsx.core.incident.incident_state import IncidentState

log = logging.getLogger(__name__)

TellRunEnded = Callable[[str, str], Awaitable[None]]


class IncidentNews(msgspec.Struct, frozen=True):
    """What an incident has become. `before` is None for one that has just begun."""

    incident: str
    node: str
    before: IncidentState | None
    after: IncidentState
    events: tuple[IncidentEvent, ...]


class LiveIncident:
    """Implements core.incident.incident_view.IncidentView; the keeper puts new states in."""

    def __init__(self, incident: str, state: IncidentState, tell: TellRunEnded) -> None:
        self.incident = incident
        self._state = state
        self._tell_run_ended = tell
        self._news = asyncio.Event()

    @property
    def current(self) -> IncidentState:
        return self._state

    async def changed(self, seen: IncidentState) -> IncidentState:
        while self._state is seen:
            await self._news.wait()
        return self._state

    async def tell_run_ended(self, run_id: str, status: str) -> None:
        await self._tell_run_ended(run_id, status)

    def put(self, state: IncidentState) -> None:
        self._state = state
        self._news.set()
        self._news = asyncio.Event()


Listener = Callable[[IncidentNews], None]


class IncidentPublisher:
    """`tell_run_ended` is how a view puts the end of a run on its incident's record."""

    def __init__(self, tell_run_ended: TellRunEnded) -> None:
        self._tell_run_ended = tell_run_ended
        self._listeners: list[Listener] = []
        self._views: weakref.WeakValueDictionary[str, LiveIncident] = weakref.WeakValueDictionary()
        self._held: dict[str, LiveIncident] = {}

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of all that is stored from now on. It must not wait."""
        self._listeners.append(listener)

    def find_view(self, incident: str) -> LiveIncident | None:
        """The one view of an incident that somebody holds."""
        return self._views.get(incident)

    def make_view(self, incident: str, state: IncidentState) -> LiveIncident:
        """A view of `incident`, which nobody holds yet."""
        view = self._views[incident] = LiveIncident(incident, state, self._tell_run_ended)
        return view

    def publish(self, news: IncidentNews) -> None:
        """Put the new state into the view of the incident, and tell the listeners."""
        view = self._views.get(news.incident)
        if view is None:
            view = self.make_view(news.incident, news.after)
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
