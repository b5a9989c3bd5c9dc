"""Alertmanager (webhook version 4) and Grafana alerting: groups of alerts.

A group mixes states, so each alert is an event of its own. What a retry repeats is the
alert (fingerprint, status, start), not the group. `truncatedAlerts` are faults that are
there and not shown. Whatever fires does so now, however long ago it began; a group that comes only
because the repeat interval is over says so once more, and is a duplicate of what had its run.
Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config,
prometheus/alertmanager template/template.go and notify/webhook/webhook.go;
https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.senders.http_request import RawRequest, quote, require_json, wrong_content
from nvsx.core.senders.instants import read_rfc3339
from nvsx.core.senders.json_body import parse_json_object
from nvsx.core.senders.sender import (
    Sender,
    SourceSetup,
    digest_of,
    finish_event,
    object_at,
    split_codes,
    text_of,
    texts_of,
)

_NODE_LABELS = ("node", "kubernetes_node", "nodename", "node_name", "Hostname", "hostname")
_CODE_LABELS = ("xid", "error_code", "errorCode", "err_code")
_CHECK_LABELS = ("check", "checkName", "alertname")
_FATAL = ("", "critical", "fatal", "page", "emergency", "error", "high")
_GROUP_KEYS = ("receiver", "status", "groupKey", "groupLabels", "externalURL", "version", "orgId")
_GROUP_BYTES = 16 * 1024


def decode(request: RawRequest, setup: SourceSetup) -> list[TriggerEvent]:
    """One event an alert; one for what a group hides when it shows no alert at all."""
    require_json(request)
    body = parse_json_object(request.body)
    alerts = body.get("alerts")
    if not isinstance(alerts, list):
        raise wrong_content(
            "alerts is no list", "this endpoint takes the webhooks of Alertmanager and Grafana"
        )
    if (
        setup.sender.name == "alertmanager"
        and text_of(body.get("version")) not in ("4", "")
        and ("orgId" not in body)
    ):
        raise wrong_content(
            f"version {quote(body['version'])} is not supported; Alertmanager sends 4"
        )
    unseen = body.get("truncatedAlerts")
    hidden = unseen if isinstance(unseen, int) and unseen > 0 else 0
    group = _keep_of_group(body)
    if hidden and not alerts:
        return [_make_event_of_cut_alerts(body, int(hidden), group, request, setup)]
    return [_make_event(alert, group, int(hidden), request, setup) for alert in alerts]


def _make_event_of_cut_alerts(
    body: Mapping[str, Any],
    hidden: int,
    group: Mapping[str, Any],
    request: RawRequest,
    setup: SourceSetup,
) -> TriggerEvent:
    return TriggerEvent(
        source=setup.name,
        received=request.received,
        delivery=digest_of("all-cut", body.get("groupKey"), hidden, request.received),
        facts=TriggerFacts(source=setup.name, message=f"{hidden} alerts were cut off"),
        payload=group,
        refusal=f"all {hidden} alerts of the group were cut off: the cluster is listed instead",
        unseen=hidden,
    )


def _keep_of_group(body: Mapping[str, Any]) -> dict[str, Any]:
    """What each alert's payload keeps of its group. Thousands of alerts can share one."""
    kept = {key: body[key] for key in _GROUP_KEYS if key in body}
    return kept if len(json.dumps(kept)) <= _GROUP_BYTES else {}


def _make_event(
    raw: object,
    group: Mapping[str, Any],
    hidden: int,
    request: RawRequest,
    setup: SourceSetup,
) -> TriggerEvent:
    alert = raw if isinstance(raw, Mapping) else {}
    labels = texts_of(alert.get("labels"))
    annotations = object_at(alert, "annotations")
    status = text_of(alert.get("status")).lower()
    resolved = status == "resolved"
    document = {**group, "alert": alert}
    finder = setup.make_finder(document)
    facts = TriggerFacts(
        node=finder.find_node(*((f"label {n}", labels.get(n)) for n in _NODE_LABELS)),
        check_name=finder.find("check", *((f"label {n}", labels.get(n)) for n in _CHECK_LABELS)),
        error_codes=split_codes(
            finder.find("errorCode", *((f"label {n}", labels.get(n)) for n in _CODE_LABELS))
        ),
        cluster=finder.find("cluster", ("label cluster", labels.get("cluster"))),
        is_fatal=not resolved and labels.get("severity", "").lower() in _FATAL,
        is_healthy=resolved,
        message=text_of(annotations.get("summary")) or text_of(annotations.get("description")),
        labels=labels,
        source=setup.name,
        generated_at=read_rfc3339(alert.get("endsAt" if resolved else "startsAt")),
    )
    return finish_event(
        TriggerEvent(
            source=setup.name,
            received=request.received,
            delivery=_identify_delivery(alert, status),
            facts=facts,
            payload=document,
            runbook=finder.find("runbook"),
            resolved=resolved,
            alert=_identify_alert(alert),
            alert_since=read_rfc3339(alert.get("startsAt")),
            standing=not resolved,
            refusal=_why_refused(raw, status),
            unseen=hidden,
        ),
        finder,
        setup,
    )


def _identify_alert(alert: Mapping[str, Any]) -> str:
    """What is the same in its firing and in its resolve."""
    return text_of(alert.get("fingerprint")) or digest_of("labels", alert.get("labels"))


def _identify_delivery(alert: Mapping[str, Any], status: str) -> str:
    fingerprint = text_of(alert.get("fingerprint")) or alert.get("labels")
    return digest_of("alert", fingerprint, status, alert.get("startsAt"))


def _why_refused(raw: object, status: str) -> str:
    if not isinstance(raw, Mapping):
        return "the alert is no JSON object"
    if status not in ("firing", "resolved"):
        return f"status {quote(status)} is neither firing nor resolved"
    return ""


ALERTMANAGER = Sender(
    name="alertmanager",
    decode=decode,
    scheme="bearer",
    horizon=6 * 3600.0,  # retries end with the group interval (5 m); the rest is for repeats
    starts="each firing alert",
    recovers="each resolved alert",
    known_by="fingerprint, status, start",
)

GRAFANA = msgspec.structs.replace(ALERTMANAGER, name="grafana", scheme="grafana")
