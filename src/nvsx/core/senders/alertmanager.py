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
from nvsx.core.senders.instants import name_instant, read_rfc3339
from nvsx.core.senders.json_body import parse_json_object
from nvsx.core.senders.label_places import (
    CODE_LABELS,
    SEVERITY_LABELS,
    label_places,
    node_places,
)
from nvsx.core.senders.life_cycle import AlertState, read_alert_state
from nvsx.core.senders.sender import (
    Sender,
    SourceSetup,
    add_meant_fault,
    digest_of,
    finish_event,
    split_codes,
    text_of,
    texts_of,
)

_CHECK_LABELS = ("check", "checkName", "alertname")
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
    annotations = texts_of(alert.get("annotations"))
    document = {**group, "alert": alert}
    finder = setup.make_finder(document)
    state = read_alert_state(
        finder,
        state=(("status", alert.get("status")), ("the group's status", group.get("status"))),
        severity=label_places(labels, SEVERITY_LABELS),
        time=(("startsAt", alert.get("startsAt")),),
        key=(("fingerprint", alert.get("fingerprint")),),
    )
    facts = TriggerFacts(
        node=finder.find_node(*node_places(labels)),
        check_name=finder.find("check", *label_places(labels, _CHECK_LABELS)),
        error_codes=split_codes(finder.find("errorCode", *label_places(labels, CODE_LABELS))),
        cluster=finder.find("cluster", ("label cluster", labels.get("cluster"))),
        is_fatal=not state.resolved and state.serious,
        is_healthy=state.resolved,
        message=annotations.get("summary") or annotations.get("description", ""),
        labels=labels,
        source=setup.name,
        generated_at=read_rfc3339(alert.get("endsAt")) if state.resolved else state.time,
    )
    return finish_event(
        TriggerEvent(
            source=setup.name,
            received=request.received,
            delivery=_identify_delivery(alert, state),
            facts=add_meant_fault(facts, finder, annotations.values()),
            payload=document,
            runbook=finder.find("runbook"),
            resolved=state.resolved,
            alert=state.key or digest_of("labels", alert.get("labels")),
            alert_since=state.time,
            standing=not state.resolved,
            refusal=_why_refused(raw, state),
            unseen=hidden,
        ),
        finder,
        setup,
    )


def _identify_delivery(alert: Mapping[str, Any], state: AlertState) -> str:
    fingerprint = state.key or alert.get("labels")
    status = "resolved" if state.resolved else state.between or "firing"
    return digest_of("alert", fingerprint, status, name_instant(alert.get("startsAt")))


def _why_refused(raw: object, state: AlertState) -> str:
    if not isinstance(raw, Mapping):
        return "the alert is no JSON object"
    return f"state {quote(state.between)} starts no run" if state.between else ""


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
