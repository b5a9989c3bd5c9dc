"""What settling decides about: an event, its runbook, and a look at its node."""

from __future__ import annotations

import msgspec

from nvsx.core.incident.incident_state import FaultRecord, IncidentState
from nvsx.core.incident.node_look import NodeLook
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.routing.route import TriggerFacts
from nvsx.follow.run_request import RunRequest

#: Clocks of nodes and senders may differ by so much: an event that is at most this much older than
#: the open incident is part of it.
SLACK = 120.0


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """An event after routing, with all that needs no store to know.

    `runbook` is "" when nothing matches; then `no_match` says why. `explicit` is true when the
    sender named the runbook. `unwanted` says why the event is not for this cluster, or that its
    source rules a run out. `horizon` is how long a delivery may be repeated. `age` is None when
    the event has no time, or its sender says that it is firing now. `event_id` is NVSentinel's.
    `look` is the node with the event's own evidence in it, None where there is none to look at.
    `domain` is the node's NVLink domain, `gpu_nodes` how many the cluster has. `run` is the run
    to create and `request` what it is asked for.
    """

    now: float
    keys: tuple[str, ...]
    horizon: float
    cluster: str
    source: str
    facts: TriggerFacts
    event_id: str = ""
    runbook: str = ""
    no_match: str = ""
    matched: str = ""
    explicit: bool = False
    unwanted: str = ""
    resolved: bool = False
    age: float | None = None
    late: bool = False
    look: NodeLook | None = None
    domain: str = ""
    gpu_nodes: int = 0
    run: NewRun
    request: RunRequest | None = None

    @property
    def node(self) -> str:
        return self.facts.node

    @property
    def what(self) -> str:
        """The fault in a few words."""
        codes = ", ".join(self.facts.error_codes)
        return f"{self.facts.check_name or 'an event'} {codes}".strip()

    @property
    def is_serious(self) -> bool:
        """NVSentinel or a sender means that the node is to be repaired."""
        acts = self.facts.processing_strategy == "EXECUTE_REMEDIATION"
        return self.facts.is_fatal and acts and not (self.resolved or self.facts.is_healthy)


def is_about(
    facts: TriggerFacts, event_id: str, check: str, codes: tuple[str, ...], ids: tuple[str, ...]
) -> bool:
    """Whether an event and a fault or an alert of the incident are about the same thing.

    The id decides where both have one; else the check with its codes, or the codes alone, since
    every sender has a name of its own for XID 79.
    """
    if event_id and event_id in ids:
        return True
    said, known = {c.casefold() for c in facts.error_codes}, {c.casefold() for c in codes}
    if facts.check_name.casefold() == check.casefold():
        return not (said and known) or bool(said & known)
    return bool(said & known)


def faults_of_event(case: Case, incident: IncidentState) -> tuple[FaultRecord, ...]:
    """The faults of the incident that the event is about, those that are there now."""
    found = [
        f
        for f in incident.faults
        if f.cleared is None
        and is_about(case.facts, case.event_id, f.latest.check, f.latest.error_codes, f.latest.ids)
    ]
    exact = [f for f in found if case.event_id and case.event_id in f.latest.ids]
    return tuple(exact or found)
