"""Whose body this is: a sender's message that came to the wrong path is told the right one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The keys by which a body is known, at its top or below one key, and its sender.
_SHAPES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("specversion", "type", "source"), "nvsentinel"),
    (("alerts", "orgId"), "grafana"),
    (("alerts", "version"), "alertmanager"),
    (("alerts", "receiver"), "alertmanager"),
    (("event.event_type",), "pagerduty"),
    (("action", "alert.alertId"), "opsgenie"),
    (("webhookEvent",), "jira"),
    (("issue.fields",), "jsm-automation"),
    (("fields.summary", "key"), "jsm-automation"),
    (("Type", "TopicArn"), "sns"),
    (("evalMatches", "ruleId"), "grafana-legacy"),
    (("incident.incident_id", "incident.state"), "gcp"),
    (("issueUrl", "impactedEntities"), "newrelic"),
    (("condition_name", "current_state"), "newrelic"),
    (("alert_transition",), "datadog"),
    (("event_type", "last_updated", "title"), "datadog"),
    (("event_id", "host_name"), "zabbix"),
    (("event_value", "alert_subject"), "zabbix"),
    (("entity_id", "monitoring_tool"), "splunk-oncall"),
    (("short_description", "cmdb_ci"), "servicenow"),
)


def recognise_sender(body: Mapping[str, Any]) -> str:
    """The kind of sender whose shape the body has; "" for none."""
    return next((kind for keys, kind in _SHAPES if all(_has_key(body, k) for k in keys)), "")


def _has_key(body: Mapping[str, Any], path: str) -> bool:
    outer, _, inner = path.partition(".")
    below = body.get(outer)
    return outer in body and (not inner or (isinstance(below, Mapping) and inner in below))
