"""Opsgenie and Jira Service Management operations: the same outgoing webhook.

`Create` starts a run, `Close` is a recovery notice, other actions are people's work on the
alert. Details and description come only with some actions, and only when ticked.
Source: https://docs.opsgenie.com/docs/marid-alert-action-data,
https://support.atlassian.com/jira-service-management-cloud/docs/alert-action-data-for-jira-edge-connector
"""

from __future__ import annotations

import msgspec

from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.senders.http_request import RawRequest, quote, require_json, wrong_content
from nvsx.core.senders.instants import read_unix_time
from nvsx.core.senders.json_body import parse_json_object
from nvsx.core.senders.message_fields import is_node_name, parse_stable_key
from nvsx.core.senders.sender import (
    Sender,
    SourceSetup,
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
    known = parse_stable_key(alert.get("alias"))
    entity = text_of(alert.get("entity"))
    finder = setup.make_finder(body)
    alias = "alert.alias"
    facts = TriggerFacts(
        node=finder.find_node(
            ("alert.details.node", details.get("node")),
            (alias, known.get("node")),
            ("alert.entity", entity if is_node_name(entity) else ""),
        ),
        check_name=finder.find(
            "check",
            ("alert.details.check", details.get("check")),
            (alias, known.get("check")),
        ),
        error_codes=split_codes(
            finder.find(
                "errorCode",
                ("alert.details.xid", details.get("xid")),
                (alias, known.get("errorCode")),
                ("alert.tags xid-*", find_xid_tag(alert.get("tags"))),
            )
        ),
        cluster=finder.find(
            "cluster",
            ("alert.details.cluster", details.get("cluster")),
            (alias, known.get("cluster")),
        ),
        is_fatal=not resolved and text_of(alert.get("priority")).upper() not in ("P4", "P5"),
        is_healthy=resolved,
        message=text_of(alert.get("message")),
        labels=details,
        source=setup.name,
        generated_at=read_unix_time(alert.get("updatedAt" if resolved else "createdAt")),
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
                facts=facts,
                payload=body,
                runbook=finder.find("runbook"),
                resolved=resolved,
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
