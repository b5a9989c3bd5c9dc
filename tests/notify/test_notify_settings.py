# ruff: noqa: E501 - one mistake a line: the table is read by its columns
"""`notify:` of nvsx.yaml, and the targets of the variables that people have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nvsx.core.errors import InvalidRunbook
from nvsx.core.notify.notify_settings import SETTINGS_OF_KIND
from nvsx.core.notify.usual_variables import missing_variables, targets_of_environment
from nvsx.notify.targets.target_registry import TARGET_KINDS, make_targets
from nvsx.project import settings
from nvsx.project.secret_masker import masker_of, secret_variables

DOCUMENTED = """
notify:
  targets:
    gpu-ops:  {kind: slack, botTokenFile: bot, channel: "#gpu-ops", facts: full}
    oncall:   {kind: pagerduty, routingKeyEnv: PAGERDUTY_ROUTING_KEY}
    dc-hands: {kind: pagerduty, routingKeyFile: dc}
    tickets:  {kind: jira, url: https://jira.example.com, project: INFRA, issueType: Incident, fields: {component: gpu}, userEnv: JIRA_USER, tokenEnv: JIRA_PASS_WORD}
    mail:     {kind: apprise, urlEnv: MAIL_URL}
    audit:    {kind: webhook, url: https://audit.example.com, secretFile: audit}
  default: {page: [oncall], pageFallback: dc-hands, post: [gpu-ops, mail], ticket: [tickets]}
"""


def load(folder: Path, text: str) -> settings.Settings:
    """The settings of a file with this text."""
    (folder / "nvsx.yaml").write_text(text)
    return settings.load(folder, {})


def test_the_documented_file_makes_its_targets(tmp_path: Path) -> None:
    """The example of the documentation is valid, and each target is of its kind."""
    notify = load(tmp_path, DOCUMENTED).notify
    assert notify is not None
    assert notify.default.page_fallback == ("dc-hands",)
    targets = make_targets(notify, {}, tmp_path)
    assert {name: target.kind for name, target in targets.items()} == {
        "gpu-ops": "slack",
        "oncall": "pagerduty",
        "dc-hands": "pagerduty",
        "tickets": "jira",
        "mail": "apprise",
        "audit": "webhook",
    }
    assert [name for name, target in targets.items() if target.has_threads] == ["gpu-ops"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{targets: {a: {kind: slak}}}", "nvsx.yaml:1:30: unknown target kind 'slak' (did you mean slack? kinds: slack, pagerduty, opsgenie, jira, webhook, apprise)"),
        ("{targets: {a: {}}}", "nvsx.yaml:1:23: a target needs 'kind' (kinds: slack, pagerduty, opsgenie, jira, webhook, apprise)"),
        ("{targets: {slack: {kind: slack}}}", "nvsx.yaml:1:27: slack has exactly one of botTokenFile, botTokenEnv, webhookUrlFile, webhookUrlEnv"),
        ("{targets: {slack: {kind: slack, webhookUrlEnv: X, facst: y}}}", "nvsx.yaml:1:59: unknown key 'facst' (did you mean facts?)"),
        ("{targets: {a: {kind: slack, botTokenEnv: X}}}", "nvsx.yaml:1:23: slack with a bot token needs a channel"),
        ("{targets: {a: {kind: slack, webhookUrlEnv: X, channel: c}}}", "nvsx.yaml:1:23: a webhook of slack has its channel and address in itself"),
        ("{targets: {a: {kind: pagerduty, routingKeyEnv: X, routingKeyFile: y}}}", "nvsx.yaml:1:23: pagerduty has exactly one of routingKeyFile, routingKeyEnv"),
        ("{targets: {a: {kind: pagerduty, routingKeyEnv: X, facts: all}}}", "nvsx.yaml:1:66: facts: unknown value 'all' (use none, node, full)"),
        ("{targets: {a: {kind: jira, project: X, tokenEnv: T}}}", "nvsx.yaml:1:23: jira needs a url"),
        ("{targets: {a: {kind: jira, url: u, tokenEnv: T}}}", "nvsx.yaml:1:23: 'project' is missing"),
        ("{targets: {a: {kind: webhook}}}", "nvsx.yaml:1:23: webhook needs a url"),
        ("{targets: {a: {kind: apprise, urlEnv: X, url: 'mailto://x'}}}", "nvsx.yaml:1:23: an Apprise URL has its secret in it: urlFile or urlEnv, not url"),
        ("{default: {page: [oncall]}}", "nvsx.yaml:1:27: default.page: there is no target 'oncall' (targets: none)"),
        ("{targets: {oncall: {kind: pagerduty, routingKeyEnv: X}}, default: {page: oncal}}", "nvsx.yaml:1:82: default.page: there is no target 'oncal' (did you mean oncall?)"),
        ("{targets: {oncall: {kind: pagerduty, routingKeyEnv: X}}, default: {post: [oncall]}}", "nvsx.yaml:1:83: default.post: 'oncall' is a pager and takes no post"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, found: str) -> None:
    """Line, column, what is wrong and what was probably meant."""
    with pytest.raises(InvalidRunbook) as caught:
        load(tmp_path, f"notify: {text}\n")
    assert str(caught.value) == found


def test_the_variables_people_have_make_the_targets() -> None:
    """All of them: four targets, and each default list has those of its kind."""
    env = {
        "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/x",
        "PAGERDUTY_ROUTING_KEY": "R" * 32,
        "PAGERDUTY_EVENTS_URL": "https://events.eu.pagerduty.com/v2/enqueue",
        "OPSGENIE_API_KEY": "key",
        "OPSGENIE_API_URL": "https://api.eu.opsgenie.com",
        "JIRA_BASE_URL": "https://jira.example.com",
        "JIRA_USER": "nvsx",
        "JIRA_API_TOKEN": "token",
        "JIRA_PROJECT": "INFRA",
    }
    made = targets_of_environment(env)
    assert list(made.targets) == ["slack", "pagerduty", "opsgenie", "jira"]
    assert made.default.page == ("pagerduty", "opsgenie")
    assert (made.default.post, made.default.ticket) == (("slack",), ("jira",))
    assert made.targets["pagerduty"].url == env["PAGERDUTY_EVENTS_URL"]
    assert list(make_targets(made, env)) == list(made.targets)


def test_without_a_pager_a_page_goes_to_slack_and_without_anything_nowhere() -> None:
    """A page in a channel is better than none; no variable, no target."""
    alone = targets_of_environment({"SLACK_WEBHOOK_URL": "https://x"})
    assert (alone.default.page, alone.default.ticket) == (("slack",), ())
    assert targets_of_environment({"SLACK_WEBHOOK_URL": ""}).targets == {}


def test_jira_needs_all_its_variables_and_the_missing_ones_are_named() -> None:
    """Three of four make no target; none at all is no mistake."""
    some = {"JIRA_BASE_URL": "https://x", "JIRA_USER": "u", "JIRA_PROJECT": "P"}
    assert targets_of_environment(some).targets == {}
    assert missing_variables(some) == ("JIRA_API_TOKEN",)
    assert missing_variables({}) == ()


def test_the_file_goes_before_the_variables(tmp_path: Path) -> None:
    """`notify:` in the file, even an empty one, is all there is."""
    env = {"SLACK_WEBHOOK_URL": "https://x"}
    assert list(settings.choose_notify_settings(settings.Settings(), env).targets) == ["slack"]
    written = load(tmp_path, "notify: {}\n")
    assert settings.choose_notify_settings(written, env).targets == {}


def test_secrets_of_targets_are_masked_and_hooks_keep_their_variables(tmp_path: Path) -> None:
    """Files and variables that targets name are known to the masker; scripts still get a variable
    that the operator exported."""
    for name in ("bot", "dc", "audit"):
        (tmp_path / name).write_text(f"secret-in-file-{name}")
    env = {"MAIL_URL": "mailtos-secret-address", "JIRA_PASS_WORD": "jira-secret-token"}
    loaded = load(tmp_path, DOCUMENTED)
    masker = masker_of(env, None, tmp_path, loaded)
    for secret in (
        *env.values(),
        "secret-in-file-bot",
        "secret-in-file-dc",
        "secret-in-file-audit",
    ):
        assert masker.mask(f"<{secret}>") == "<***>"
    assert list(secret_variables(loaded)) == []


def test_every_kind_of_the_settings_can_be_made() -> None:
    """The list of kinds in the file and that of the targets are one."""
    assert list(SETTINGS_OF_KIND) == list(TARGET_KINDS)


def test_without_targets_no_client_is_loaded() -> None:
    """A command that tells nobody pays for no HTTP library, nor for the extra."""
    program = """
import sys
from nvsx.core.notify.usual_variables import targets_of_environment
from nvsx.notify.targets.target_registry import make_targets
make_targets(targets_of_environment({}))
assert not {"aiohttp", "apprise"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
