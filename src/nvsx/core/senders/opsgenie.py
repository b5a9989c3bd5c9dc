"""Opsgenie and Jira Service Management operations: the same outgoing webhook.

`Create` starts a run, `Close` is a recovery notice, other actions are people's work on the
alert. Details and description come only with some actions, and only when ticked.
Source: https://docs.opsgenie.com/docs/marid-alert-action-data,
https://support.atlassian.com/jira-service-management-cloud/docs/alert-action-data-for-jira-edge-connector
"""

from __future__ import annotations

from functools import partial

import msgspec

from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.senders.http_request import RawRequest, quote, require_json, wrong_content
from nvsx.core.senders.json_body import parse_json_object
from nvsx.core.senders.label_places import (
    CODE_LABELS,
    SEVERITY_LABELS,
    label_places,
    node_places,
)
from nvsx.core.senders.life_cycle import read_alert_state
from nvsx.core.senders.sender import (
    Sender,
    SourceSetup,
    add_meant_fault,
    digest_of,
    find_xid_tag,
    finish_event,
    object_at,
    split_codes,
    text_of,
    texts_of,
)

RESOLVES = "close"


def decode(request: RawRequest, setup: SourceSetup) -> list[TriggerEvent]:
    """Always one event."""
    require_json(request)
    body = parse_json_object(request.body)
    if not isinstance(body.get("alert"), dict):
        raise wrong_content(
            "alert is no object", "this endpoint takes webhooks of Opsgenie and JSM"
        )
    alert = object_at(body, "alert")
    action = text_of(body.get("action"))
    resolved = action.lower() == RESOLVES
    details = texts_of(alert.get("details"))
    entity = text_of(alert.get("entity"))
    finder = setup.make_finder(body)
    message = text_of(alert.get("message"))
    in_details = partial(label_places, details, prefix="alert.details.")
    state = read_alert_state(
        finder,
        state=(("action", action if resolved else ""),),
        severity=(("alert.priority", alert.get("priority")), *in_details(SEVERITY_LABELS)),
        time=(("alert", alert.get("updatedAt" if resolved else "createdAt")),),
        key=(("alert.alertId", alert.get("alertId")),),
    )
    resolved = state.resolved
    facts = TriggerFacts(
        node=finder.find_node(
            *node_places(details, "alert.details."),
            ("alert.entity", entity),
            texts=(message,),
        ),
        check_name=finder.find(
            "check",
            ("alert.details.check", details.get("check")),
        ),
        error_codes=split_codes(
            finder.find(
                "errorCode",
                *in_details(CODE_LABELS),
                ("alert.tags xid-*", find_xid_tag(alert.get("tags"))),
            )
        ),
        cluster=finder.find(
            "cluster",
            ("alert.details.cluster", details.get("cluster")),
        ),
        is_fatal=not resolved and state.serious,
        is_healthy=resolved,
        message=message,
        labels=details,
        source=setup.name,
        generated_at=state.time,
    )
    refusal = ""
    if not resolved and not setup.may_start(action):
        refusal = f"action {quote(action)} starts no run"
    return [
        finish_event(
            TriggerEvent(
                source=setup.name,
                received=request.received,
                delivery=digest_of(
                    "opsgenie", alert.get("alertId"), action, alert.get("updatedAt")
                ),
                facts=add_meant_fault(facts, finder, (text_of(alert.get("description")),)),
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


OPSGENIE = Sender(
    name="opsgenie",
    decode=decode,
    scheme="bearer",
    horizon=3600.0,  # a few tries
    event_types=("Create",),
    starts="`Create`",
    recovers="`Close`",
    known_by="alert, action, update time",
)

JSM = msgspec.structs.replace(OPSGENIE, name="jsm")
