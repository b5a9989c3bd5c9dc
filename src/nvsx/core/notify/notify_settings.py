"""`notify:` of nvsx.yaml: targets, and which of them are told of what.

Secrets are never in the file: `…Env` names a variable, `…File` a file. Without any `notify:` the
variables that people have make the targets (`targets_of_environment`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from nvsx.core.fields import Model, Text, Texts

FactsSetting = Literal["none", "node", "full"]


class _TargetSettings(Model):
    url: Text | None = Field(None, description="Another endpoint: regional, on premises, a test.")
    facts: FactsSetting = Field(
        "node", description="How much of the incident is sent; full names jobs and namespaces."
    )


class SlackTarget(_TargetSettings):
    """A bot token with a channel (threads, edits), or an incoming webhook (neither)."""

    kind: Literal["slack"]
    bot_token_file: Text | None = None
    bot_token_env: Text | None = None
    channel: Text | None = None
    webhook_url_file: Text | None = None
    webhook_url_env: Text | None = None

    @model_validator(mode="after")
    def _one_way(self) -> SlackTarget:
        bot = [w for w in (self.bot_token_file, self.bot_token_env) if w is not None]
        hook = [w for w in (self.webhook_url_file, self.webhook_url_env) if w is not None]
        if len(bot) + len(hook) != 1:
            raise ValueError(
                "slack has exactly one of botTokenFile, botTokenEnv, webhookUrlFile, webhookUrlEnv"
            )
        if bot and self.channel is None:
            raise ValueError("slack with a bot token needs a channel")
        if hook and (self.channel is not None or self.url is not None):
            raise ValueError("a webhook of slack has its channel and address in itself")
        return self


class PagerDutyTarget(_TargetSettings):
    """An Events API v2 integration."""

    kind: Literal["pagerduty"]
    routing_key_file: Text | None = None
    routing_key_env: Text | None = None

    @model_validator(mode="after")
    def _one_key(self) -> PagerDutyTarget:
        if (self.routing_key_file is None) == (self.routing_key_env is None):
            raise ValueError("pagerduty has exactly one of routingKeyFile, routingKeyEnv")
        return self


class OpsgenieTarget(_TargetSettings):
    """Opsgenie, or JSM operations by its `url`."""

    kind: Literal["opsgenie"]
    api_key_file: Text | None = None
    api_key_env: Text | None = None

    @model_validator(mode="after")
    def _one_key(self) -> OpsgenieTarget:
        if (self.api_key_file is None) == (self.api_key_env is None):
            raise ValueError("opsgenie has exactly one of apiKeyFile, apiKeyEnv")
        return self


class JiraTarget(_TargetSettings):
    """Jira Cloud (user and API token) or Server/Data Center (a personal token, no user)."""

    kind: Literal["jira"]
    project: Text
    issue_type: Text = "Task"
    fields: dict[str, Text | Texts] = Field({}, description="More fields of the issue, by name.")
    user_file: Text | None = None
    user_env: Text | None = None
    token_file: Text | None = None
    token_env: Text | None = None
    close_transition: Text | None = Field(
        None, description="The transition that closes an issue; else the first that ends in done."
    )

    @model_validator(mode="after")
    def _place_and_token(self) -> JiraTarget:
        if self.url is None:
            raise ValueError("jira needs a url")
        if (self.token_file is None) == (self.token_env is None):
            raise ValueError("jira has exactly one of tokenFile, tokenEnv")
        return self


class WebhookTarget(_TargetSettings):
    """Any address; signed as Standard Webhooks where a secret is given."""

    kind: Literal["webhook"]
    secret_file: Text | None = None
    secret_env: Text | None = None

    @model_validator(mode="after")
    def _needs_url(self) -> WebhookTarget:
        if self.url is None:
            raise ValueError("webhook needs a url")
        return self


class AppriseTarget(_TargetSettings):
    """Whatever Apprise knows: Teams, Discord, e-mail, SNS, … Its URL has the secret in it."""

    kind: Literal["apprise"]
    url_file: Text | None = None
    url_env: Text | None = None

    @model_validator(mode="after")
    def _one_url(self) -> AppriseTarget:
        if (self.url_file is None) == (self.url_env is None):
            raise ValueError("apprise has exactly one of urlFile, urlEnv")
        if self.url is not None:
            raise ValueError("an Apprise URL has its secret in it: urlFile or urlEnv, not url")
        return self


TargetSettings = Annotated[
    SlackTarget | PagerDutyTarget | OpsgenieTarget | JiraTarget | WebhookTarget | AppriseTarget,
    Field(discriminator="kind"),
]


_PAGERS = ("pagerduty", "opsgenie")
"""They take pages, and nothing else; the others take at least something like it."""


SETTINGS_OF_KIND: dict[str, type[_TargetSettings]] = {
    "slack": SlackTarget,
    "pagerduty": PagerDutyTarget,
    "opsgenie": OpsgenieTarget,
    "jira": JiraTarget,
    "webhook": WebhookTarget,
    "apprise": AppriseTarget,
}


class DefaultTargets(Model):
    """Who is told where a message names nobody. Each list is told all at once."""

    page: Texts = ()
    page_fallback: Texts = Field(
        (), description="Told when no page of the list could be delivered for 2 minutes."
    )
    post: Texts = ()
    ticket: Texts = ()


class NotifySettings(Model):
    targets: dict[Text, TargetSettings] = Field({}, description="By name.")
    default: DefaultTargets = DefaultTargets()


def find_misdirected(settings: NotifySettings) -> Iterator[tuple[str, str, str]]:
    """Names in the default lists that lead nowhere: (the list's key, the name, why).

    For example post: [oncall], where oncall is a pager: a post would never be read.
    """
    lists = {
        "page": settings.default.page,
        "pageFallback": settings.default.page_fallback,
        "post": settings.default.post,
        "ticket": settings.default.ticket,
    }
    for key, names in lists.items():
        for name in names:
            target = settings.targets.get(name)
            if target is None:
                yield key, name, f"there is no target '{name}'"
            elif target.kind in _PAGERS and not key.startswith("page"):
                yield key, name, f"'{name}' is a pager and takes no {key}"
