"""Targets of the variables that people have, where nvsx.yaml has no `notify:`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nvsx.core.notify.notify_settings import NotifySettings

JIRA_VARIABLES = ("JIRA_BASE_URL", "JIRA_USER", "JIRA_API_TOKEN", "JIRA_PROJECT")


def targets_of_environment(env: Mapping[str, str]) -> NotifySettings:
    """Targets called slack, pagerduty, opsgenie and jira, and default lists with them.

    For example SLACK_WEBHOOK_URL alone: posts go to slack, and pages too, since a page in a channel
    is better than none. Of Jira all four variables are needed; `missing_variables` names the rest.
    """
    targets: dict[str, dict[str, Any]] = {}
    if env.get("SLACK_WEBHOOK_URL"):
        targets["slack"] = {"kind": "slack", "webhook_url_env": "SLACK_WEBHOOK_URL"}
    if env.get("PAGERDUTY_ROUTING_KEY"):
        targets["pagerduty"] = {
            "kind": "pagerduty",
            "routing_key_env": "PAGERDUTY_ROUTING_KEY",
            "url": env.get("PAGERDUTY_EVENTS_URL") or None,
        }
    if env.get("OPSGENIE_API_KEY"):
        targets["opsgenie"] = {
            "kind": "opsgenie",
            "api_key_env": "OPSGENIE_API_KEY",
            "url": env.get("OPSGENIE_API_URL") or None,
        }
    if all(env.get(name) for name in JIRA_VARIABLES):
        targets["jira"] = {
            "kind": "jira",
            "url": env["JIRA_BASE_URL"],
            "project": env["JIRA_PROJECT"],
            "issue_type": env.get("JIRA_ISSUE_TYPE") or "Task",
            "user_env": "JIRA_USER",
            "token_env": "JIRA_API_TOKEN",
        }
    pagers = [name for name in ("pagerduty", "opsgenie") if name in targets]
    posts = [name for name in ("slack",) if name in targets]
    tickets = [name for name in ("jira",) if name in targets]
    default = {"page": pagers or posts, "post": posts, "ticket": tickets}
    return NotifySettings.model_validate(
        {"targets": targets, "default": {name: list_ for name, list_ in default.items() if list_}}
    )


def missing_variables(env: Mapping[str, str]) -> tuple[str, ...]:
    """Jira's variables that are not set while others are: there is no target jira then."""
    missing = tuple(name for name in JIRA_VARIABLES if not env.get(name))
    return missing if len(missing) < len(JIRA_VARIABLES) else ()
