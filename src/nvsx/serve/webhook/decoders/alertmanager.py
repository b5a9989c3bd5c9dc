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

from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.serve.webhook.decoders.event_checks import (
    Setup,
    codes,
    digest,
    finish,
    section,
    text,
    texts,
)
from nvsx.serve.webhook.http_request import RawRequest, require_json
from nvsx.serve.webhook.instants import rfc3339
from nvsx.serve.webhook.json_body import parse_object
from nvsx.serve.webhook.refusals import quoted, wrong

HORIZON = 6 * 3600.0
"""Seconds. Retries end with the group interval (5 m); the rest is for long repeat intervals."""

_NODE_LABELS = ("node", "kubernetes_node", "nodename", "node_name", "Hostname", "hostname")
_CODE_LABELS = ("xid", "error_code", "errorCode", "err_code")
_CHECK_LABELS = ("check", "checkName", "alertname")
_FATAL = ("", "critical", "fatal", "page", "emergency", "error", "high")
_GROUP_KEYS = ("receiver", "status", "groupKey", "groupLabels", "externalURL", "version", "orgId")
_GROUP_BYTES = 16 * 1024


def decode(request: RawRequest, setup: Setup) -> list[TriggerEvent]:
    """One event an alert; one for what a group hides when it shows no alert at all."""
    require_json(request)
    body = parse_object(request.body)
    alerts = body.get("alerts")
    if not isinstance(alerts, list):
        raise wrong(
            "alerts is no list", "this endpoint takes the webhooks of Alertmanager and Grafana"
        )
    if (
        setup.kind == "alertmanager"
        and text(body.get("version")) not in ("4", "")
        and ("orgId" not in body)
    ):
        raise wrong(f"version {quoted(body['version'])} is not supported; Alertmanager sends 4")
    unseen = body.get("truncatedAlerts")
    hidden = unseen if isinstance(unseen, int) and unseen > 0 else 0
    group = _group(body)
    if hidden and not alerts:
        return [_all_cut(body, int(hidden), group, request, setup)]
    return [_event(alert, group, int(hidden), request, setup) for alert in alerts]


def _all_cut(
    body: Mapping[str, Any],
    hidden: int,
    group: Mapping[str, Any],
    request: RawRequest,
    setup: Setup,
) -> TriggerEvent:
    return TriggerEvent(
        source=setup.name,
        received=request.received,
        delivery=digest("all-cut", body.get("groupKey"), hidden, request.received),
        facts=TriggerFacts(source=setup.name, message=f"{hidden} alerts were cut off"),
        payload=group,
        refusal=f"all {hidden} alerts of the group were cut off: the cluster is listed instead",
        unseen=hidden,
    )


def _group(body: Mapping[str, Any]) -> dict[str, Any]:
    """What each alert's payload keeps of its group. Thousands of alerts can share one."""
    kept = {key: body[key] for key in _GROUP_KEYS if key in body}
    return kept if len(json.dumps(kept)) <= _GROUP_BYTES else {}


def _event(
    raw: object,
    group: Mapping[str, Any],
    hidden: int,
    request: RawRequest,
    setup: Setup,
) -> TriggerEvent:
    alert = raw if isinstance(raw, Mapping) else {}
    labels = texts(alert.get("labels"))
    annotations = section(alert, "annotations")
    status = text(alert.get("status")).lower()
    resolved = status == "resolved"
    document = {**group, "alert": alert}
    finder = setup.finder(document)
    facts = TriggerFacts(
        node=finder.find("node", *((f"label {n}", labels.get(n)) for n in _NODE_LABELS)),
        check_name=finder.find("check", *((f"label {n}", labels.get(n)) for n in _CHECK_LABELS)),
        error_codes=codes(
            finder.find("errorCode", *((f"label {n}", labels.get(n)) for n in _CODE_LABELS))
        ),
        cluster=finder.find("cluster", ("label cluster", labels.get("cluster"))),
        is_fatal=not resolved and labels.get("severity", "").lower() in _FATAL,
        is_healthy=resolved,
        message=text(annotations.get("summary")) or text(annotations.get("description")),
        labels=labels,
        source=setup.name,
        generated_at=rfc3339(alert.get("endsAt" if resolved else "startsAt")),
    )
    return finish(
        TriggerEvent(
            source=setup.name,
            received=request.received,
            delivery=_delivery(alert, status),
            horizon=HORIZON,
            facts=facts,
            payload=document,
            runbook=finder.find("runbook"),
            resolved=resolved,
            alert=_alert(alert),
            alert_since=rfc3339(alert.get("startsAt")),
            standing=not resolved,
            refusal=_refusal(raw, status),
            unseen=hidden,
        ),
        finder,
        setup,
    )


def _alert(alert: Mapping[str, Any]) -> str:
    """What is the same in its firing and in its resolve."""
    return text(alert.get("fingerprint")) or digest("labels", alert.get("labels"))


def _delivery(alert: Mapping[str, Any], status: str) -> str:
    fingerprint = text(alert.get("fingerprint")) or alert.get("labels")
    return digest("alert", fingerprint, status, alert.get("startsAt"))


def _refusal(raw: object, status: str) -> str:
    if not isinstance(raw, Mapping):
        return "the alert is no JSON object"
    if status not in ("firing", "resolved"):
        return f"status {quoted(status)} is neither firing nor resolved"
    return ""
