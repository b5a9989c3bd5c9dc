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
from nvsx.core.senders.http_request import RawRequest, require_json
from nvsx.core.senders.instants import epoch
from nvsx.core.senders.json_body import parse_object
from nvsx.core.senders.refusals import quoted, wrong
from nvsx.core.senders.sender import (
    Sender,
    SourceSetup,
    codes,
    digest,
    finish,
    section,
    text,
    xid_tag,
)

AUTOMATION = "automation"
_UPDATED = "jira:issue_updated"
_DONE = ("done", "closed", "resolved")


def decode(request: RawRequest, setup: SourceSetup) -> list[TriggerEvent]:
    """Always one event, from a webhook with `webhookEvent`."""
    require_json(request)
    body = parse_object(request.body)
    kind = text(body.get("webhookEvent"))
    if not kind:
        raise wrong("webhookEvent is missing", "this endpoint takes Jira's webhooks")
    refusal = "" if setup.may_start(kind) else f"event {quoted(kind)} starts no run"
    return [_event(body, kind, refusal, request, setup)]


def decode_automation(request: RawRequest, setup: SourceSetup) -> list[TriggerEvent]:
    """Always one event: the automation rule has decided already that it matters."""
    require_json(request)
    body = parse_object(request.body)
    if not isinstance(body.get("issue"), dict):
        raise wrong("issue is no object", "this endpoint takes webhooks of JSM automation")
    return [_event(body, AUTOMATION, "", request, setup)]


def _event(
    body: Mapping[str, Any], kind: str, refusal: str, request: RawRequest, setup: SourceSetup
) -> TriggerEvent:
    issue = section(body, "issue")
    fields = section(issue, "fields")
    resolved = kind == _UPDATED and _is_done(body, fields)
    finder = setup.make_finder(body)
    at = body.get("timestamp")
    facts = TriggerFacts(
        node=finder.find("node"),
        check_name=finder.find("check"),
        error_codes=codes(
            finder.find("errorCode", ("issue.fields.labels xid-*", xid_tag(fields.get("labels"))))
        ),
        cluster=finder.find("cluster"),
        is_fatal=not resolved,
        is_healthy=resolved,
        message=text(fields.get("summary")),
        labels={
            name: said
            for name, said in (
                ("issue", text(issue.get("key"))),
                ("project", text(issue.get("key")).partition("-")[0]),
                ("priority", text(section(fields, "priority").get("name"))),
                ("status", text(section(fields, "status").get("name"))),
            )
            if said
        },
        source=setup.name,
        generated_at=epoch(at),
    )
    return finish(
        TriggerEvent(
            source=setup.name,
            received=request.received,
            delivery=digest(
                "jira",
                kind,
                text(issue.get("id")) or text(issue.get("key")),
                text(section(body, "changelog").get("id")),
                at,
            ),
            facts=facts,
            payload=body,
            runbook=finder.find("runbook"),
            resolved=resolved,
            refusal="" if resolved else refusal,
        ),
        finder,
        setup,
    )


def _is_done(body: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    """Whether this very change moved the issue to an end."""
    items = section(body, "changelog").get("items")
    moved = [
        text(item.get("toString")).lower()
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, Mapping) and item.get("field") == "status"
    ]
    category = text(section(section(fields, "status"), "statusCategory").get("key")).lower()
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
    starts="every message",
    known_by="issue, time",
)
