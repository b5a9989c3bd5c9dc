"""Jira: webhooks an administrator registered, and the legacy webhooks of JSM automation.

A created issue may start a run; an issue moved to a status of category Done is a recovery
notice. Where the node is, only the operator knows. The delivery is made of what the
signature covers; the header X-Atlassian-Webhook-Identifier is not.
Source: https://developer.atlassian.com/cloud/jira/platform/webhooks,
https://developer.atlassian.com/server/jira/platform/jira-service-desk-webhooks/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.senders.http_request import RawRequest, quote, require_json, wrong_content
from nvsx.core.senders.json_body import parse_json_object
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
)

AUTOMATION = "automation"
_UPDATED = "jira:issue_updated"
_DONE = ("done", "closed", "resolved")


def decode(request: RawRequest, setup: SourceSetup) -> list[TriggerEvent]:
    """Always one event, from a webhook with `webhookEvent`."""
    require_json(request)
    body = parse_json_object(request.body)
    kind = text_of(body.get("webhookEvent"))
    if not kind:
        raise wrong_content("webhookEvent is missing", "this endpoint takes Jira's webhooks")
    refusal = "" if setup.may_start(kind) else f"event {quote(kind)} starts no run"
    return [_make_event(body, kind, refusal, request, setup)]


def decode_automation(request: RawRequest, setup: SourceSetup) -> list[TriggerEvent]:
    """Always one event: the automation rule has decided already that it matters.

    "Send web request" posts the issue itself (Jira format), the older webhook has it in `issue`.
    """
    require_json(request)
    body = parse_json_object(request.body)
    if isinstance(body.get("fields"), dict) and text_of(body.get("key")):
        body = {**body, "issue": body}
    if not isinstance(body.get("issue"), dict):
        raise wrong_content(
            "issue is no object", "this endpoint takes the issue data of Jira's automation"
        )
    return [_make_event(body, AUTOMATION, "", request, setup)]


def _make_event(
    body: Mapping[str, Any], kind: str, refusal: str, request: RawRequest, setup: SourceSetup
) -> TriggerEvent:
    issue = object_at(body, "issue")
    fields = object_at(issue, "fields")
    done = _is_done(fields) if kind == AUTOMATION else kind == _UPDATED and _was_ended(body, fields)
    finder = setup.make_finder(body)
    summary = text_of(fields.get("summary"))
    at = body.get("timestamp")
    state = read_alert_state(
        finder,
        state=(("issue.fields.status", "done" if done else ""),),
        severity=(("issue.fields.priority", object_at(fields, "priority").get("name")),),
        time=(("timestamp", at), ("issue.fields.updated", fields.get("updated"))),
        key=(("issue.key", issue.get("key")),),
    )
    facts = TriggerFacts(
        node=finder.find_node(texts=(summary,)),
        check_name=finder.find("check"),
        error_codes=split_codes(
            finder.find(
                "errorCode", ("issue.fields.labels xid-*", find_xid_tag(fields.get("labels")))
            )
        ),
        cluster=finder.find("cluster"),
        is_fatal=not state.resolved and state.serious,
        is_healthy=state.resolved,
        message=summary,
        labels={
            name: said
            for name, said in (
                ("issue", text_of(issue.get("key"))),
                ("project", text_of(issue.get("key")).partition("-")[0]),
                ("priority", text_of(object_at(fields, "priority").get("name"))),
                ("status", text_of(object_at(fields, "status").get("name"))),
            )
            if said
        },
        source=setup.name,
        generated_at=state.time,
    )
    return finish_event(
        TriggerEvent(
            source=setup.name,
            received=request.received,
            delivery=digest_of(
                "jira",
                kind,
                text_of(issue.get("id")) or text_of(issue.get("key")),
                text_of(object_at(body, "changelog").get("id")),
                at or state.time,
            ),
            facts=add_meant_fault(facts, finder, ()),
            payload=body,
            runbook=finder.find("runbook"),
            resolved=state.resolved,
            alert=state.key,
            refusal="" if state.resolved else refusal,
        ),
        finder,
        setup,
    )


def _is_done(fields: Mapping[str, Any]) -> bool:
    status = object_at(fields, "status")
    category = text_of(object_at(status, "statusCategory").get("key")).lower()
    return category == "done" or text_of(status.get("name")).lower() in _DONE


def _was_ended(body: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    """Whether this very change moved the issue to an end."""
    items = object_at(body, "changelog").get("items")
    moved = [
        text_of(item.get("toString")).lower()
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, Mapping) and item.get("field") == "status"
    ]
    category = text_of(object_at(object_at(fields, "status"), "statusCategory").get("key")).lower()
    return bool(moved) and (category == "done" or moved[-1] in _DONE)


JIRA = Sender(
    name="jira",
    decode=decode,
    scheme="websub",
    horizon=24 * 3600.0,  # up to five tries, and secondary deliveries 15 minutes late each
    event_types=("jira:issue_created",),
    starts="`jira:issue_created`",
    recovers="status moved to Done",
    known_by="event, issue, change, time",
)

JSM_AUTOMATION = Sender(
    name="jsm-automation",
    decode=decode_automation,
    scheme="bearer",
    horizon=JIRA.horizon,
    starts="an issue that is not done",
    recovers="an issue that is done",
    known_by="issue, time",
)
