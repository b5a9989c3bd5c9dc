"""The one list of kinds of targets, and the targets that settings name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvsx.core.masking import Masker
from nvsx.core.notify.notify_settings import (
    AppriseTarget,
    JiraTarget,
    NotifySettings,
    OpsgenieTarget,
    PagerDutyTarget,
    SlackTarget,
    WebhookTarget,
)
from nvsx.core.notify.target_port import MessageTarget
from nvsx.notify.target_secrets import TargetSecret

MakeSecret = Callable[[str | None, str | None], TargetSecret]
"""(file, variable) → the secret of the target that is made."""


@dataclass(frozen=True, slots=True)
class TargetKind:
    """One kind. `per_minute`: messages that its vendor takes, as it publishes; a target of its own
    may be slower. `burst`: how many of them at once. A factory imports what it needs."""

    make: Callable[[str, Any, MakeSecret], MessageTarget]
    per_minute: float
    burst: int = 1


def _make_slack(name: str, settings: SlackTarget, secret: MakeSecret) -> MessageTarget:
    from nvsx.notify.targets.slack_target import SlackBot, SlackWebhook

    if settings.webhook_url_file or settings.webhook_url_env:
        return SlackWebhook(name, secret(settings.webhook_url_file, settings.webhook_url_env))
    token = secret(settings.bot_token_file, settings.bot_token_env)
    return SlackBot(name, token, settings.channel or "", settings.url)


def _make_pagerduty(name: str, settings: PagerDutyTarget, secret: MakeSecret) -> MessageTarget:
    from nvsx.notify.targets.pagerduty_target import PagerDuty

    key = secret(settings.routing_key_file, settings.routing_key_env)
    return PagerDuty(name, key, settings.url)


def _make_opsgenie(name: str, settings: OpsgenieTarget, secret: MakeSecret) -> MessageTarget:
    from nvsx.notify.targets.opsgenie_target import Opsgenie

    return Opsgenie(name, secret(settings.api_key_file, settings.api_key_env), settings.url)


def _make_jira(name: str, settings: JiraTarget, secret: MakeSecret) -> MessageTarget:
    from nvsx.notify.targets.jira_target import Jira

    has_user = settings.user_file or settings.user_env
    return Jira(
        name,
        settings.url or "",
        user=secret(settings.user_file, settings.user_env) if has_user else None,
        token=secret(settings.token_file, settings.token_env),
        project=settings.project,
        issue_type=settings.issue_type,
        fields=settings.fields,
        close_transition=settings.close_transition,
    )


def _make_webhook(name: str, settings: WebhookTarget, secret: MakeSecret) -> MessageTarget:
    from nvsx.notify.targets.webhook_target import Webhook

    signed = settings.secret_file or settings.secret_env
    key = secret(settings.secret_file, settings.secret_env) if signed else None
    return Webhook(name, settings.url or "", key)


def _make_apprise(name: str, settings: AppriseTarget, secret: MakeSecret) -> MessageTarget:
    from nvsx.notify.targets.apprise_target import AppriseSender

    return AppriseSender(name, secret(settings.url_file, settings.url_env))


TARGET_KINDS: Mapping[str, TargetKind] = {
    # One message a second and channel, short bursts are tolerated.
    "slack": TargetKind(_make_slack, per_minute=60, burst=3),
    # About 120 a minute and key, counted over a minute that slides: a burst counts in full.
    "pagerduty": TargetKind(_make_pagerduty, per_minute=110, burst=10),
    "opsgenie": TargetKind(_make_opsgenie, per_minute=60, burst=3),
    # Each message is two or three requests.
    "jira": TargetKind(_make_jira, per_minute=60, burst=3),
    "webhook": TargetKind(_make_webhook, per_minute=600, burst=10),
    "apprise": TargetKind(_make_apprise, per_minute=60, burst=1),
}


def make_targets(
    settings: NotifySettings,
    env: Mapping[str, str] = os.environ,
    root: Path = Path(),
    masker: Masker | None = None,
) -> dict[str, MessageTarget]:
    """The targets by name. No secret is read and nobody asked before one is used.

    Relative files start at `root`, the project. `masker` learns the secrets that are read.
    """
    made: dict[str, MessageTarget] = {}
    for name, target in settings.targets.items():

        def open_secret(file: str | None, variable: str | None, name: str = name) -> TargetSecret:
            return TargetSecret(name, file, variable, root, env, masker)

        made[name] = TARGET_KINDS[target.kind].make(name, target, open_secret)
    return made
