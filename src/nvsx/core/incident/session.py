"""Incidents: a health event, a quarantine session, and the times of a repair.

A session is NVSentinel's own notion: from the moment a node carries the quarantine
annotation until annotation *and* state label are gone. The nvsentinel package reads it
off a node; this module only defines what it is.
Times are Unix seconds; None stands for "has not happened, or was not seen".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec


class HealthEvent(msgspec.Struct, frozen=True):
    """One health event, wherever it was read: annotation, database, or CloudEvent.

    `action` and `strategy` are enum names (RESTART_BM, EXECUTE_REMEDIATION). `id` is the
    database id, "" where there is none (2025 annotations, CloudEvents). `document` is the
    stored document in the MongoDB layout, for `health-event` filters; empty elsewhere.
    Source: data-models/protobufs/health_event.proto.
    """

    check: str
    node: str
    id: str = ""
    agent: str = ""
    component_class: str = ""
    error_codes: tuple[str, ...] = ()
    action: str = "NONE"
    strategy: str = "EXECUTE_REMEDIATION"
    fatal: bool = False
    healthy: bool = False
    message: str = ""
    entities: tuple[tuple[str, str], ...] = ()
    generated_at: float = 0.0
    created_at: float = 0.0
    metadata: Mapping[str, str] = {}
    document: Mapping[str, Any] = {}


Ending = Literal["", "recovered", "cancelled", "terminated"]


class Session(msgspec.Struct, frozen=True):
    """A quarantine session of one node, as far as it has been seen.

    `key` is the id of its first event (or a stable stand-in for annotations without ids),
    "" when no session is known. `states` are the state-label values seen, in order, with
    the time each was first seen; `state` is the label now. `events` are all events seen in
    the annotation during the session, joined ones included. `previous_end` is when the
    node's session before this one ended, as far as its labels tell. `node_uid` is the Node
    object the session is about, and `replaced_at` when a new one of the same name was created
    after that one had gone.
    """

    key: str = ""
    open: bool = False
    events: tuple[HealthEvent, ...] = ()
    state: str = ""
    states: tuple[tuple[str, float], ...] = ()
    generated_at: float | None = None
    quarantined_at: float | None = None
    ended_at: float | None = None
    ending: Ending = ""
    ending_detail: str = ""
    cordoned: bool = False
    cordon_preexisting: bool = False
    previous_end: float | None = None
    node_uid: str = ""
    replaced_at: float | None = None

    @property
    def known(self) -> bool:
        return bool(self.key)

    @property
    def began(self) -> float | None:
        """The earliest time that belongs to this session."""
        times = [t for t in (self.generated_at, self.quarantined_at) if t]
        return min(times) if times else None

    def reached(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.states)


NO_SESSION = Session()


class Times(msgspec.Struct, frozen=True):
    """The marks of one incident; each None until it was seen.

    Time to repair = `generated` → `unquarantined`, as NVSentinel measures it
    (`fault_quarantine_node_remediation_duration_seconds`); without drain, the time from
    `drain_began` to `drain_finished` is taken off, as far as the fault was there:

        12:00:00 XID 79, drained from 12:00:02 to 12:00:24, released 12:00:38: 38 s, 16 s without
        12:00:17 an NVLink fault joins: 21 s to repair, 7 s of drain are its own, 14 s without
    """

    generated: float | None = None
    condition_seen: float | None = None
    quarantined: float | None = None
    drain_began: float | None = None
    drain_finished: float | None = None
    remediation_created: float | None = None
    node_ready: float | None = None
    healthy: float | None = None
    unquarantined: float | None = None

    def time_to_repair(self) -> float | None:
        if self.generated is None or self.unquarantined is None:
            return None
        return max(0.0, self.unquarantined - self.generated)

    def time_to_repair_without_drain(self) -> float | None:
        """None as well when the end of the drain was not seen: nobody knows how long it was."""
        total = self.time_to_repair()
        if total is None or self.drain_finished is None:
            return None
        if self.drain_began is None:  # nothing to drain: NVSentinel goes straight to the end
            return total
        began = max(self.drain_began, self.generated or 0.0)
        return max(0.0, total - max(0.0, self.drain_finished - began))
