"""doctor's verdicts on targets: each is asked, nobody is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.vendors import JiraStandIn, OpsgenieStandIn, PagerDutyStandIn, SlackStandIn

from nvsx.commands.doctor.checkup import CheckFinding, examine
from nvsx.commands.doctor.doctor_checks import CHECKS
from nvsx.commands.doctor.doctor_facts import ChosenCluster, ClusterSeen, ProjectSeen, Survey
from nvsx.commands.doctor.doctor_targets import make_target_checks
from nvsx.commands.doctor.survey import survey_machine
from nvsx.commands.doctor.surveyed_targets import survey_targets
from nvsx.project.home import Home


async def examine_targets(folder: Path, text: str = "") -> dict[str, CheckFinding]:
    """The findings about telling people, in a project with this nvsx.yaml."""
    (folder / "runbooks").mkdir(exist_ok=True)
    (folder / "nvsx.yaml").write_text(text)
    home = Home(project_flag=str(folder))
    telling = await survey_targets(home)
    project = ProjectSeen(root=str(folder), kind="flag")
    seen = Survey(survey_machine(home), ChosenCluster(), ClusterSeen(), project, telling)
    report = examine(seen, (*(c for c in CHECKS if c.id == "notify"), *make_target_checks(seen)))
    return {f.check.id: f for f in report.findings}


async def test_targets_of_variables_are_each_proved_and_nobody_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four vendors, four lines of evidence, no message anywhere."""
    async with (
        SlackStandIn() as slack,
        PagerDutyStandIn() as pagerduty,
        OpsgenieStandIn() as opsgenie,
        JiraStandIn() as jira,
    ):
        for name, value in {
            "SLACK_WEBHOOK_URL": slack.webhook_url,
            "PAGERDUTY_ROUTING_KEY": pagerduty.key,
            "PAGERDUTY_EVENTS_URL": pagerduty.events_url,
            "OPSGENIE_API_KEY": opsgenie.key,
            "OPSGENIE_API_URL": opsgenie.url,
            "JIRA_BASE_URL": jira.url,
            "JIRA_USER": jira.user,
            "JIRA_API_TOKEN": jira.token,
            "JIRA_PROJECT": jira.project,
        }.items():
            monkeypatch.setenv(name, value)
        found = await examine_targets(tmp_path)
        assert {name: one.outcome.status for name, one in found.items()} == {
            "notify": "ok",
            "notify:slack": "ok",
            "notify:pagerduty": "ok",
            "notify:opsgenie": "ok",
            "notify:jira": "ok",
        }
        said = "pages → pagerduty, opsgenie; posts → slack; tickets → jira"
        assert found["notify"].outcome.evidence == said
        assert "cannot be asked without a page" in found["notify:pagerduty"].outcome.evidence
        for vendor in (slack, pagerduty, opsgenie, jira):
            assert (vendor.read, vendor.woken, vendor.wrong) == ([], [], [])


async def test_a_target_that_fails_says_why_and_the_others_are_still_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that is not there, a key of the wrong form, and one that is well."""
    async with SlackStandIn() as slack, PagerDutyStandIn() as pagerduty:
        monkeypatch.setenv("SLACK_HOOK", slack.webhook_url)
        monkeypatch.setenv("DC_KEY", "too-short-for-a-key")
        found = await examine_targets(
            tmp_path,
            f"""
notify:
  targets:
    ops: {{kind: slack, webhookUrlEnv: SLACK_HOOK}}
    oncall: {{kind: pagerduty, routingKeyFile: not-there, url: "{pagerduty.url}"}}
    dc: {{kind: pagerduty, routingKeyEnv: DC_KEY, url: "{pagerduty.url}"}}
  default: {{page: [oncall], pageFallback: [dc], post: [ops]}}
""",
        )
    assert found["notify:ops"].outcome.status == "ok"
    missing, wrong = found["notify:oncall"].outcome, found["notify:dc"].outcome
    assert (missing.status, wrong.status) == ("failed", "failed")
    assert f"secret file {tmp_path / 'not-there'} cannot be read" in missing.evidence
    assert "variable DC_KEY is not 32 letters and digits" in wrong.evidence
    assert "too-short" not in wrong.evidence


async def test_pages_that_wake_nobody_and_variables_that_are_missing_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slack alone; then Jira with three of its four variables; then nothing at all."""
    assert (await examine_targets(tmp_path))["notify"].outcome.status == "skipped"
    async with SlackStandIn() as slack:
        monkeypatch.setenv("SLACK_WEBHOOK_URL", slack.webhook_url)
        outcome = (await examine_targets(tmp_path))["notify"].outcome
        assert outcome.status == "warning"
        assert outcome.evidence.endswith("no page wakes anybody")
        monkeypatch.setenv("JIRA_BASE_URL", "https://jira.example.com")
        outcome = (await examine_targets(tmp_path))["notify"].outcome
        assert outcome.evidence == (
            "there is no target jira: not set: JIRA_USER, JIRA_API_TOKEN, JIRA_PROJECT"
        )
