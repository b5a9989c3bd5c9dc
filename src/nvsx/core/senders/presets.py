"""Senders that are a few rules over any JSON: `kind: datadog` in nvsx.yaml, and done.

Each is made after the body that its documentation shows, and after the variables that people add
to it there. An operator's rules go before these. A sender whose bodies have a shape of their own
(a list of alerts, a message within a message) has a decoder beside this module.
"""

from __future__ import annotations

from collections.abc import Mapping

from nvsx.core.senders import generic
from nvsx.core.senders.message_fields import Extract
from nvsx.core.senders.sender import Sender
from nvsx.core.senders.shipped_rules import XID_PATTERN, list_rules, take_cel, take_path

#: https://docs.datadoghq.com/integrations/webhooks/: the default payload, and the variables.
_DATADOG = list_rules(
    node=(
        take_path("tags", r"(?:^|,\s*)(?:kube_node|node|host|kubernetes_node):([^,]+)"),
        take_path("alert_scope", r"(?:^|,\s*)(?:kube_node|node|host):([^,]+)"),
        take_path("title", r"\{(?:[^}]*,)?(?:kube_node|node|host):([^,}]+)"),
        "hostname",
        "host",
    ),
    errorCode=(
        take_path("tags", r"(?:^|,\s*)(?:xid|err_code):(\d+)"),
        take_path("title", XID_PATTERN),
    ),
    check=("alert_metric", "alert_title", "title"),
    resolved=("alert_transition", take_path("title", r"^\[([A-Za-z -]+?)(?: on [^\]]*)?\]")),
    severity=(
        "alert_priority",
        take_path("alert_transition", r"(?i)^(?:re-)?(warn)$"),
        take_path("title", r"^\[(?:Re-)?(Warn)\b"),
        take_path("priority", r"^(P\d)$"),
        take_path("title", r"^\[(P\d)\]"),
    ),
    time=("date", "last_updated"),
    key=(
        "alert_cycle_key",
        "aggreg_key",
        # Title and scope are the same from trigger to recovery, the state in front is not.
        take_cel(
            r"body.title.extract('\\{[^}]*\\}')"
            r" + body.title.extract('^\\[[^\\]]*\\] *(.+)$')"
            " + (has(body.tags) ? ' ' + body.tags : '')"
        ),
    ),
)

#: https://docs.newrelic.com/docs/alerts/get-notified/notification-integrations: the workflow's
#: template; `current_state` and `targets` are those of the older channels.
_NEWRELIC = list_rules(
    node=(
        "impactedEntities.0",
        "targets.0.labels.host",
        "targets.0.labels.hostname",
        "targets.0.name",
        "entitiesData.names.0",
    ),
    errorCode=(
        take_path("title", XID_PATTERN),
        take_path("condition_name", XID_PATTERN),
        take_path("details", XID_PATTERN),
    ),
    check=("alertConditionNames.0", "condition_name", "title"),
    resolved=("state", "current_state"),
    severity=("priority", "severity"),
    time=("createdAt", "timestamp"),
    key=("issueId", "incident_id", "id"),
)

#: https://www.zabbix.com/documentation/current/en/manual/config/notifications/media/webhook: a
#: media type's parameters, named after their macros as the shipped ones do.
_ZABBIX = list_rules(
    node=("host_name", "host_host", "host", "hostname", "host_ip"),
    errorCode=(
        take_path("alert_subject", XID_PATTERN),
        take_path("event_name", XID_PATTERN),
        take_path("trigger_name", XID_PATTERN),
        take_path("alert_message", XID_PATTERN),
    ),
    check=("event_name", "trigger_name", "alert_subject"),
    resolved=(
        # {EVENT.VALUE}: 1 is a problem, 0 its end; {EVENT.UPDATE.STATUS} 1 is people's work.
        take_cel("string(body.event_update_status) == '1' ? 'updated' : ''"),
        take_cel("string(body.event_value) == '0' ? 'resolved' : 'problem'"),
        "event_status",
        "trigger_status",
        "status",
        take_path("alert_subject", r"^(Problem|Resolved|OK|Updated)\b"),
    ),
    severity=(
        "event_severity",
        "trigger_severity",
        "severity",
        # {EVENT.NSEVERITY} and {TRIGGER.NSEVERITY}: 0 is the mildest, 5 a disaster.
        take_cel("int(body.event_nseverity) >= 3 ? 'high' : 'warning'"),
    ),
    time=("event_time_iso", "event_timestamp"),
    key=("event_id", "eventid"),
)

#: https://help.splunk.com/en/splunk-observability-cloud/splunk-on-call: outgoing webhooks, and the
#: fields of an alert.
_SPLUNK_ON_CALL = list_rules(
    node=(
        "host_name",
        "alert.host_name",
        "ALERT.host_name",
        take_path("entity_id", r"^([^/\s]+)"),
        take_path("alert.entity_id", r"^([^/\s]+)"),
        take_path("INCIDENT.ENTITY_ID", r"^([^/\s]+)"),
    ),
    errorCode=(
        take_path("entity_display_name", XID_PATTERN),
        take_path("state_message", XID_PATTERN),
        take_path("entity_id", XID_PATTERN),
    ),
    check=("service", "entity_display_name", "entity_id"),
    resolved=("alert_type", "message_type", "current_phase", "current_alert_phase", "state"),
    severity=("severity", take_path("message_type", r"(?i)^(critical|warning|info)$")),
    time=("state_start_time", "timestamp"),
    key=("incident_id", "incident_number", "entity_id"),
)

#: https://www.servicenow.com/docs/: an incident or an event of Event Management as a business
#: rule or a flow sends it, plain, with display values, or as records of a table.
_SERVICENOW = list_rules(
    node=(
        "cmdb_ci.display_value",
        "cmdb_ci.name",
        "cmdb_ci",
        "node",
        "records.0.node",
        "result.cmdb_ci.display_value",
        "result.node",
    ),
    errorCode=(
        take_path("short_description", XID_PATTERN),
        take_path("description", XID_PATTERN),
        take_path("records.0.description", XID_PATTERN),
        take_path("result.short_description", XID_PATTERN),
    ),
    check=("u_check", "metric_name", "short_description", "records.0.metric_name"),
    resolved=(
        # Of an incident's numbers 6 is resolved, 7 closed, 8 cancelled.
        take_cel("string(body.state) in ['6', '7', '8'] ? 'resolved' : ''"),
        take_path("state", r"(?i)^(new|resolved|closed|canceled|in progress|on hold)$"),
        "state.display_value",
        "result.state.display_value",
        "resolution_state",
    ),
    severity=(
        take_path("priority", r"^\d - (.+)$"),
        take_path("priority.display_value", r"^\d - (.+)$"),
        take_cel("int(body.priority) <= 3 ? 'high' : 'low'"),
        take_cel("int(body.severity) in [1, 2, 3] ? 'high' : 'low'"),
    ),
    time=("sys_created_on", "opened_at", "time_of_event"),
    key=("number", "sys_id", "result.number"),
)

#: https://docs.cloud.google.com/monitoring/support/notification-options: schema 1.2.
_GCP = list_rules(
    node=(
        "incident.resource.labels.node_name",
        "incident.metric.labels.node",
        "incident.metric.labels.Hostname",
        "incident.metric.labels.exported_node",
        "incident.metadata.system_labels.node_name",
        "incident.metadata.system_labels.name",
        "incident.resource_display_name",
        "incident.resource_name",
        "incident.resource.labels.instance_id",
    ),
    errorCode=(
        "incident.metric.labels.err_code",
        "incident.metric.labels.xid",
        take_path("incident.summary", XID_PATTERN),
        take_path("incident.condition_name", XID_PATTERN),
        take_path("incident.policy_name", XID_PATTERN),
    ),
    check=("incident.policy_user_labels.check", "incident.condition_name", "incident.policy_name"),
    cluster=("incident.resource.labels.cluster_name",),
    resolved=("incident.state",),
    severity=("incident.severity", "incident.policy_user_labels.severity"),
    time=("incident.started_at",),
    key=("incident.incident_id",),
)

#: https://grafana.com/docs/grafana/v8.5/alerting/old-alerting/notifications/#webhook
_GRAFANA_LEGACY = list_rules(
    node=(
        "evalMatches.0.tags.exported_node",
        "evalMatches.0.tags.node",
        "evalMatches.0.tags.Hostname",
        "evalMatches.0.tags.instance",
        "tags.node",
    ),
    errorCode=(
        "evalMatches.0.tags.err_code",
        "evalMatches.0.tags.xid",
        "tags.xid",
        take_path("title", XID_PATTERN),
        take_path("ruleName", XID_PATTERN),
        take_path("message", XID_PATTERN),
    ),
    check=("tags.check", "ruleName", "title"),
    resolved=("state",),
    severity=("tags.severity",),
    key=("ruleId",),
)


#: Those that give each problem, issue or incident an identity of its own.
_NUMBERED = ("newrelic", "zabbix", "servicenow", "gcp")


def _make_preset(
    name: str,
    rules: Mapping[str, tuple[Extract, ...]],
    starts: str,
    recovers: str,
    key: str,
    per_item: str = "",
) -> Sender:
    return Sender(
        name=name,
        decode=generic.decode,
        scheme="bearer",
        horizon=24 * 3600.0,
        rules=rules,
        per_item=per_item,
        one_key_per_episode=name in _NUMBERED,
        starts=starts,
        recovers=recovers,
        known_by=key,
    )


PRESETS = (
    _make_preset("datadog", _DATADOG, "Triggered", "Recovered", "alert cycle, date"),
    _make_preset("newrelic", _NEWRELIC, "activated, open", "closed", "issue", "impactedEntities"),
    _make_preset("zabbix", _ZABBIX, "a problem", "its recovery", "event id"),
    _make_preset("splunk-oncall", _SPLUNK_ON_CALL, "critical", "recovery", "incident, time"),
    _make_preset("servicenow", _SERVICENOW, "new", "resolved, closed", "number"),
    _make_preset("gcp", _GCP, "open", "closed", "incident id"),
    _make_preset(
        "grafana-legacy",
        _GRAFANA_LEGACY,
        "each match",
        "ok",
        "nothing: it repeats nothing",
        "evalMatches",
    ),
)
