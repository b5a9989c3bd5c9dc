"""What an event says of a node, as evidence for its incident."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from nvsx.core.incident.sight import SeenAlert, SeenFault
from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.serve.node_desk import NodeDesk
from nvsx.serve.settling_case import is_about


def facts_of_fault(node: str, fault: SeenFault) -> TriggerFacts:
    """A fault as routing reads it; what only its event said is not known here."""
    return TriggerFacts(
        node=node,
        check_name=fault.check,
        error_codes=fault.error_codes,
        is_fatal=fault.fatal,
        recommended_action=fault.action,
        entities=fault.entities,
        message=fault.message,
        source="watch",
        generated_at=fault.generated_at or None,
    )


def fault_of_event(event: TriggerEvent, facts: TriggerFacts) -> SeenFault:
    """The fault an event tells of."""
    named = event.event.id if event.event is not None else ""
    return SeenFault(
        facts.check_name, facts.error_codes, facts.entities, ids=(named,) if named else ()
    )


def alert_of_event(
    event: TriggerEvent, facts: TriggerFacts, now: float, *, routed: bool
) -> SeenAlert:
    """What a sender holds up, as evidence: its key and start are one episode of it.

    A delivery that names a runbook and no fault (the README's curl) is one of its own.
    """
    names_fault = bool(facts.check_name or facts.error_codes)
    said = "\0".join((facts.check_name, *sorted(facts.error_codes), *_read_entities(facts)))
    if event.event is not None and event.event.id:
        key = event.event.id
    elif event.alert:
        key = event.alert
    elif names_fault:
        key = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:20]
    else:
        key = event.idempotency_key or event.delivery or f"{event.received:.3f}"
    began = event.alert_since if event.alert_since is not None else facts.generated_at
    return SeenAlert(
        key=f"{event.source}:{key}",
        started=began if began is not None else now,
        routed=routed,
        source=event.source,
        check=facts.check_name,
        error_codes=facts.error_codes,
        entities=facts.entities,
        names_fault=names_fault,
    )


def _read_entities(facts: TriggerFacts) -> list[str]:
    return sorted("=".join(entity) for entity in facts.entities)


def find_alerts_taken_back(
    event: TriggerEvent, facts: TriggerFacts, desk: NodeDesk
) -> Iterator[SeenAlert]:
    """Those of the sender's alerts that a recovery notice ends: the one it names, or all about
    the same where it names none."""
    for alert in desk.alerts.values():
        if alert.source != event.source:
            continue
        if event.alert:
            same = alert.key == f"{event.source}:{event.alert}"
        else:
            about = is_about(facts, "", alert.check, alert.error_codes, ())
            same = about and alert.names_fault
        if same:
            yield msgspec.structs.replace(alert, firing=False)
