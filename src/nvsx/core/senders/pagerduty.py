"""PagerDuty v3 webhooks: one event a request.

The delivery is `event.id`, which the signature covers; the header X-Webhook-Id repeats as
well, but whoever replays a request could change it. PagerDuty has no field for a node, so
one comes from the operator's rules, or is the only machine named in the title. Any JSON object is
answered with 2xx: three refused deliveries in a row switch the subscription off for a day.
Source: https://developer.pagerduty.com/docs/webhooks-overview
(PagerDuty/developer-docs docs/webhooks/01-Overview.md, 02-Behavior.md).
"""

from __future__ import annotations

from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.senders.http_request import RawRequest, quote, require_json
from nvsx.core.senders.json_body import parse_json_object
from nvsx.core.senders.life_cycle import read_alert_state
from nvsx.core.senders.sender import (
    Sender,
    SourceSetup,
    add_meant_fault,
    bound_identity,
    digest_of,
    finish_event,
    object_at,
    split_codes,
    text_of,
)

RESOLVES = "incident.resolved"


def decode(request: RawRequest, setup: SourceSetup) -> list[TriggerEvent]:
    """Always one event."""
    require_json(request)
    body = parse_json_object(request.body)
    event = object_at(body, "event")
    data = object_at(event, "data")
    kind = text_of(event.get("event_type"))
    resolved = kind == RESOLVES
    finder = setup.make_finder(body)
    title = text_of(data.get("title"))
    state = read_alert_state(
        finder,
        state=(("event.event_type", kind if resolved else ""),),
        severity=(("event.data.urgency", data.get("urgency")),),
        time=(("event.occurred_at", event.get("occurred_at")),),
        key=(("event.data.id", data.get("id")),),
    )
    resolved = state.resolved
    facts = TriggerFacts(
        node=finder.find_node(texts=(title,)),
        check_name=finder.find("check"),
        error_codes=split_codes(finder.find("errorCode")),
        cluster=finder.find("cluster"),
        is_fatal=not resolved and state.serious,
        is_healthy=resolved,
        message=title,
        labels={
            name: said
            for name, said in (
                ("service", text_of(object_at(data, "service").get("summary"))),
                ("priority", text_of(object_at(data, "priority").get("summary"))),
                ("urgency", text_of(data.get("urgency"))),
                ("incident_type", text_of(object_at(data, "incident_type").get("name"))),
            )
            if said
        },
        source=setup.name,
        generated_at=state.time,
    )
    refusal = ""
    if not event:
        refusal = "it has no event, as PagerDuty's v3 webhooks do: add a v3 subscription there"
    elif not resolved and not setup.may_start(kind):
        refusal = f"event type {quote(kind)} starts no run"
    identity = text_of(event.get("id"))
    return [
        finish_event(
            TriggerEvent(
                source=setup.name,
                received=request.received,
                delivery=bound_identity(identity) if identity else digest_of("pagerduty", body),
                facts=add_meant_fault(facts, finder, ()),
                payload=body,
                runbook=finder.find("runbook"),
                resolved=resolved,
                alert=state.key,
                refusal=refusal,
            ),
            finder,
            setup,
        )
    ]


PAGERDUTY = Sender(
    name="pagerduty",
    decode=decode,
    scheme="pagerduty",
    horizon=48 * 3600.0,  # as PagerDuty's documentation says
    event_types=("incident.triggered",),
    starts="`incident.triggered`",
    recovers="`incident.resolved`",
    known_by="`event.id`",
)
