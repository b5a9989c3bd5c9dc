"""A time line of a node with its messages: what is seen, what hooks ask for, what nvsx says."""

from __future__ import annotations

from typing import Any

from tests.core.incident.timelines import NOON, Timeline
from tests.core.notify.playhouse import BOOK, Playhouse

from nvsx.core.incident.incident_events import (
    IncidentEvent,
    IncidentOpened,
    RunEnded,
    RunJoined,
)
from nvsx.core.incident.incident_state import Stamp
from nvsx.core.notify.addressing import NotifyBook
from nvsx.core.notify.message import Message, MessageKind
from nvsx.core.notify.speaking import Speaking, speak


class Telling:
    """Seconds count from noon. The node's incidents are i-1, i-2 and so on."""

    def __init__(self, line: Timeline | None = None, book: NotifyBook = BOOK) -> None:
        self.line = line or Timeline()
        self.house = Playhouse(book)
        self.routed = True
        self.silenced = False
        self.now = 0.0
        self._calls = 0

    @property
    def incident_id(self) -> str:
        """Of the open incident, or the last."""
        opened = sum(isinstance(e, IncidentOpened) for _, e in self.line.events)
        return f"i-{opened}"

    def at(self, seconds: float, **changes: Any) -> Telling:
        """The next sight; nvsx says what it has to say, and what is due is delivered."""
        self.line.at(seconds, **changes)
        return self.look(seconds)

    def wait(self, until: float, every: float = 15.0) -> Telling:
        """Time goes on, and nothing else changes."""
        now = self.line.sight.mono
        while now < until:
            now = min(now + every, until)
            self.at(now)
        return self

    def look(self, seconds: float) -> Telling:
        """nvsx speaks of the incident as it is, and what is due is delivered."""
        self.now = seconds
        now = NOON + seconds
        if self.incident_id != "i-0":
            self.house.incidents[self.incident_id] = self.line.incident
            asked = Speaking(
                incident_id=self.incident_id,
                incident=self.line.incident,
                known=self.house.known(self.incident_id),
                silenced=self.silenced,
                routed=self.routed,
            )
            self.house.accept(speak(asked, now).messages, now)
        self.house.deliver(now)
        return self

    def say(self, event: IncidentEvent) -> Telling:
        """A fact that a run or a person adds."""
        self.line.story = self.line.story.after(event, Stamp(NOON + self.now, self.now))
        return self

    def run_joins(self, *faults: int, run: str = "run-1") -> Telling:
        """A run begins for these faults (all of them by default)."""
        return self.say(RunJoined(run_id=run, runbook="gpu-off-bus", faults=faults))

    def run_ends(self, status: str, run: str = "run-1") -> Telling:
        """A run is over."""
        return self.say(RunEnded(run_id=run, status=status))

    def hook(self, kind: MessageKind, title: str, **more: Any) -> Telling:
        """A hook asks at this moment, and is heard at once."""
        self._calls += 1
        incident = self.line.incident
        given: dict[str, Any] = {
            "call": f"run-1/hook-{self._calls}/1",
            "incident": self.incident_id,
            "node": "gpu-1",
            "run": "run-1",
            "cause": incident.cause.code,
            "repair": incident.attempt.no if incident.attempt is not None else 0,
            "asked": NOON + self.now,
        }
        self.house.accept([Message(kind=kind, title=title, **(given | more))], NOON + self.now)
        return self.look(self.now)
