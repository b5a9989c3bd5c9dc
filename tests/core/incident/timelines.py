"""Time lines: a node's sights told one after the other, each as a change of the one before."""

from __future__ import annotations

from typing import Any

import msgspec

from nvsx.core.incident.deciding import WatchMemory
from nvsx.core.incident.incident_events import (
    IncidentEntry,
    IncidentEvent,
    IncidentOpened,
    RunJoined,
    StateChanged,
    decode_incident_entry,
    encode_incident_entry,
)
from nvsx.core.incident.incident_state import IncidentState, NodeStory
from nvsx.core.incident.sight import SeenAlert, SeenFault, SeenHold, SeenRepair, SeenSession, Sight
from nvsx.core.incident.stepping import Step, close_by_hand, join_by_hand, step
from nvsx.core.incident.tolerances import IncidentLimits

#: 2026-03-02 12:00:00 UTC; time lines count seconds from here.
NOON = 1772452800.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
HEALTHY: dict[str, Any] = {"faults": (), "session": SeenSession(release_mark="released-1")}


class Timeline:
    """A node under watch. `at` makes the next sight; what it does not name stays as it was."""

    def __init__(self, *, looking: bool = True, limits: IncidentLimits | None = None) -> None:
        self.limits = limits or IncidentLimits()
        self.story = NodeStory("gpu-1")
        self.memory = WatchMemory()
        self.entries: list[IncidentEntry] = []
        self.events: list[tuple[float, IncidentEvent]] = []
        self.sight = Sight(
            at=NOON,
            mono=0.0,
            node="gpu-1",
            cluster_uid="cluster-1",
            node_uid="node-1",
            boot_id="boot-1",
            ready=True,
            ready_at=NOON - DAY,
        )
        if looking:
            self.at(-15.0)

    def at(self, seconds: float, **changes: Any) -> Timeline:
        self._see(seconds, changes)
        return self._take(seconds, step(self.story, self.memory, self.sight, self.limits))

    def run_by_hand(
        self, seconds: float, run_id: str = "run-1", *, drill: bool = False
    ) -> Timeline:
        self._see(seconds, {})
        run = RunJoined(run_id=run_id, drill=drill)
        return self._take(
            seconds, join_by_hand(self.story, self.memory, self.sight, run, self.limits)
        )

    def closed(self, seconds: float, by: str) -> Timeline:
        self._see(seconds, {})
        return self._take(seconds, close_by_hand(self.story, self.memory, self.sight, by))

    def wait(self, until: float, every: float = 15.0) -> Timeline:
        """Time goes on, and nothing else changes."""
        now = self.sight.mono
        while now + every < until:
            now += every
            self.at(now)
        return self.at(until)

    def restarted(self) -> Timeline:
        """A new process: what was stored is read again, what was remembered is gone."""
        lines = [encode_incident_entry(e) for e in self.entries]
        self.story = NodeStory("gpu-1").after_entries(decode_incident_entry(x) for x in lines)
        self.memory = WatchMemory()
        return self

    def _see(self, seconds: float, changes: dict[str, Any]) -> None:
        changes = {"at": NOON + seconds, "mono": seconds} | changes
        self.sight = msgspec.structs.replace(self.sight, **changes)

    def _take(self, seconds: float, done: Step) -> Timeline:
        self.story, self.memory = done.story, done.memory
        for event in done.events:
            self.events.append((seconds, event))
            self.entries.append(
                IncidentEntry("gpu-1", len(self.entries) + 1, NOON + seconds, event)
            )
        return self

    # --- what came of it ------------------------------------------------------------------

    @property
    def incident(self) -> IncidentState:
        """The open incident, or the last."""
        found = self.story.open or self.story.last
        assert found is not None
        return found

    @property
    def opened(self) -> int:
        return sum(isinstance(e, IncidentOpened) for _, e in self.events)

    def states(self) -> list[str]:
        """States told since the last incident began, each once in a row."""
        found: list[str] = []
        for _, event in self.events:
            if isinstance(event, IncidentOpened):
                found = ["observing"]
            elif isinstance(event, StateChanged) and found[-1] != event.state:
                found.append(event.state)
            elif str(event.__struct_config__.tag) == "ended":
                found.append("over")
        return found

    def when(self, kind: str) -> list[float]:
        """When events of a kind were told."""
        return [t for t, e in self.events if str(e.__struct_config__.tag) == kind]

    def attempts(self) -> list[tuple[str, str]]:
        return [
            (a.began.why, a.ended.outcome if a.ended else "at work") for a in self.incident.attempts
        ]

    @property
    def ending(self) -> str:
        ended = self.incident.ended
        return ended.how if ended is not None else ""


def fault(
    check: str = "SysLogsXIDError", code: str = "79", *ids: str, by: str = "", **more: Any
) -> SeenFault:
    """A fatal fault of GPU 0; with ids the annotation lists it too."""
    sources = frozenset(by.split() or (["condition", "annotation"] if ids else ["condition"]))
    given: dict[str, Any] = {
        "action": "RESTART_BM",
        "fatal": True,
        "routed": True,
        "entities": (("GPU", "0"),),
    }
    return SeenFault(check, (code,), ids=ids, by=sources, **(given | more))


def warning(mark: str, *, routed: bool = True, **more: Any) -> SeenFault:
    """A thermal warning: an Event and nothing else."""
    given: dict[str, Any] = {"by": "event", "mark": mark, "routed": routed, "fatal": False}
    check = more.pop("check", "GpuThermalWatch")
    return fault(check, "THROTTLE", **(given | {"action": "NONE"} | more))


def session(*ids: str, state: str = "quarantined", **more: Any) -> SeenSession:
    """NVSentinel holds the node for these events."""
    return SeenSession(marked=True, ids=ids, state=state, cordon_mark=f"cordon-{ids[0]}", **more)


def released(mark: str = "released-1", at: float = 0.0, **more: Any) -> SeenSession:
    """No mark is left but that of the last release."""
    return SeenSession(release_mark=mark, released_at=NOON + at if at else 0.0, **more)


def reboot(event_id: str, uid: str = "u1", **more: Any) -> SeenRepair:
    """A RebootNode, not signalled yet."""
    given: dict[str, Any] = {"kind": "RebootNode", "effect": "boot"}
    return SeenRepair(name=f"maintenance-{event_id}", uid=uid, event_id=event_id, **(given | more))


def sent(event_id: str, uid: str = "u1", **more: Any) -> SeenRepair:
    """Its signal was sent."""
    return reboot(event_id, uid, signal="sent", **more)


def done(event_id: str, uid: str = "u1", **more: Any) -> SeenRepair:
    """NVSentinel reports it as done."""
    return sent(event_id, uid, outcome="succeeded", **more)


def failed(event_id: str, failure: str, uid: str = "u1", **more: Any) -> SeenRepair:
    """It failed so."""
    signal = "refused" if failure == "refused" else "sent"
    given: dict[str, Any] = {"signal": signal, "outcome": "failed", "failure": failure}
    return reboot(event_id, uid, **(given | {"detail": f"it ended with a {failure}"} | more))


def cordon(who: str = "somebody with kubectl") -> SeenHold:
    """Somebody's own cordon."""
    return SeenHold("cordon", who)


def alert(key: str = "GpuHot", started: float = 0.0, **more: Any) -> SeenAlert:
    """An alert that fires."""
    given: dict[str, Any] = {"check": "GpuHot", "source": "Alertmanager"}
    return SeenAlert(key, NOON + started, **(given | more))


def quarantined(seconds: float = 0.0, event_id: str = "e1", **more: Any) -> Timeline:
    """XID 79, quarantined at once, nothing asked for yet."""
    line = Timeline(**more)
    return line.at(
        seconds, faults=(fault("SysLogsXIDError", "79", event_id),), session=session(event_id)
    )


def repaired(seconds: float = 0.0, event_id: str = "e1") -> Timeline:
    """XID 79 at `seconds`, rebooted by a minute later, released ten seconds after that."""
    line = quarantined(seconds, event_id)
    line.at(seconds + 5, repairs=(sent(event_id),))
    line.at(seconds + 20, ready=False)
    line.at(seconds + 60, ready=True, ready_at=NOON + seconds + 60, boot_id=f"boot-{event_id}")
    line.at(seconds + 61, repairs=(done(event_id),))
    mark = f"released-{event_id}"
    return line.at(seconds + 70, faults=(), session=released(mark, seconds + 70))
