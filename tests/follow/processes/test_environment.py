from pathlib import Path

import pytest

from nvsx.follow.processes import script_environment

EXPORTED = {
    "PATH": "/usr/bin",
    "HOME": "/home/op",
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T/B/x",
    "PAGERDUTY_ROUTING_KEY": "r0ut1ng",
    "TEAM_CHANNEL": "#gpu",
    "ANTHROPIC_API_KEY": "sk-ant-1",
    "NVSX_WEBHOOK_TOKEN": "t0ken",
    "NVSX_ALERTMANAGER_SECRET": "s",
    "NVSX_HEALTH_EVENTS_URI": "mongodb://u:p@h",
    "NVSX_STATE_DIR": "/state",
    "NVSX_STAGE": "outer",
    "NVSX_SANDBOX": "1",
    "NVSX_IDEMPOTENCY_KEY": "outer",
    "KUBECONFIG": "/home/op/.kube/config",
}


def build(
    exported: dict[str, str] | None = None,
    facts: dict[str, str] | None = None,
    *,
    kubeconfig: Path | None = Path("/run/kubeconfig"),
    guard_dir: Path | None = None,
    may_page: bool = True,
) -> dict[str, str]:
    """An environment with the usual arguments."""
    return script_environment.build_environment(
        EXPORTED if exported is None else exported,
        facts or {},
        project_root=Path("/project"),
        kubeconfig=kubeconfig,
        guard_dir=guard_dir,
        may_page=may_page,
    )


def test_exported_variables_pass() -> None:
    """What the operator exported reaches a script, webhooks of the team included."""
    built = build()
    for name in ("PATH", "HOME", "SLACK_WEBHOOK_URL", "PAGERDUTY_ROUTING_KEY", "NVSX_STATE_DIR"):
        assert built[name] == EXPORTED[name]


@pytest.mark.parametrize(
    "name",
    [
        "ANTHROPIC_API_KEY",
        "NVSX_WEBHOOK_TOKEN",
        "NVSX_ALERTMANAGER_SECRET",
        "NVSX_HEALTH_EVENTS_URI",
        "NVSX_STAGE",
        "NVSX_SANDBOX",
        "NVSX_IDEMPOTENCY_KEY",
    ],
)
def test_own_secrets_and_outer_facts_do_not(name: str) -> None:
    """nvsx's own secrets and the facts of an outer run are taken out."""
    assert name not in build()


def test_facts_go_on_top() -> None:
    """A run's facts replace what was exported; the project folder has both its names."""
    built = build(facts={"NVSX_STAGE": "detect", "NVSX_IDEMPOTENCY_KEY": "r/detect/hooks/a_b.sh"})
    assert built["NVSX_STAGE"] == "detect"
    assert built["NVSX_IDEMPOTENCY_KEY"] == "r/detect/hooks/a_b.sh"
    assert built["NVSX_PROJECT_ROOT"] == built["NVSX_PLAYGROUND"] == "/project"


def test_kubeconfig_is_the_runs_own() -> None:
    """kubectl finds the run's private file, or none, and never whatever is current."""
    assert build()["KUBECONFIG"] == "/run/kubeconfig"
    assert build(kubeconfig=None)["KUBECONFIG"] == "/dev/null"


def test_guard_comes_first() -> None:
    """The guard's folder is the first on PATH, also when none was exported."""
    assert build(guard_dir=Path("/g"))["PATH"] == "/g:/usr/bin"
    assert build({}, guard_dir=Path("/g"))["PATH"].startswith("/g:/")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLACK_WEBHOOK_URL", "https://example.com/x"),
        ("MY_WEBHOOK", "https://example.com/x"),
        ("slack_webhook_gpu", "x"),
        ("PAGERDUTY_ROUTING_KEY", "x"),
        ("PD_INTEGRATION_KEY", "x"),
        ("OPSGENIE_API_KEY", "x"),
        ("JIRA_TOKEN", "x"),
        ("GITHUB_TOKEN_FILE", "/x"),
        ("SMTP_PASSWORD", "x"),
        ("SENTRY_DSN", "x"),
        ("SMTP_PASS", "x"),
        ("GH_PAT", "x"),
        ("BASIC_AUTH_HEADER", "x"),
        ("NVSX_TEAM_WEBHOOK", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("NOTIFY_URL", "https://hooks.slack.com/services/T/B/x"),
        ("PAGE_ENDPOINT", "https://events.pagerduty.com/v2/enqueue"),
        ("TICKETS", "https://bot:hunter2@jira.example.com/"),
        ("MATTERMOST_URL", "https://mm.example.com/hooks/abcdefghijklmnopqrstuvwxyz"),
        ("ONCALL_URL", "https://oncall.example.com/integrations/v1/webhook/x/"),
        ("ZAP", "https://hooks.zapier.com/hooks/catch/1/x"),
        ("FLOW", "https://default1.api.powerplatform.com/powerautomate/x"),
        ("OWN", "http://webhook.example.com:9000"),
        ("TOPIC_URL", "https://ntfy.sh/gpu"),
        ("SLACK_HOOK", "x"),
    ],
)
def test_a_drill_cannot_page(name: str, value: str) -> None:
    """What looks like a secret or a webhook, by name or value, is not there in a drill."""
    exported = {"PATH": "/usr/bin", name: value}
    assert name not in build(exported, may_page=False)
    assert name in build(exported)


def test_a_drill_keeps_the_rest() -> None:
    """Ordinary variables, and the run's own facts, stay in a drill."""
    theirs = {"PWD": "/w", "OLDPWD": "/v", "SSH_AUTH_SOCK": "/s", "TOKENIZERS_PARALLELISM": "1"}
    theirs |= {"WIKI": "https://wiki.example.com/hookup", "PAGERS": "less", "PAGER": "less -R"}
    built = build(EXPORTED | theirs, {"NVSX_IDEMPOTENCY_KEY": "k"}, may_page=False)
    assert theirs.items() <= built.items()
    assert built["TEAM_CHANNEL"] == "#gpu"
    assert built["HOME"] == "/home/op"
    assert built["NVSX_IDEMPOTENCY_KEY"] == "k"


@pytest.mark.parametrize(
    "name",
    [
        "NVSX_TARGET_NODE",
        "NVSX_INCIDENT_KEY",
        "NVSX_TRIGGER",
        "NVSX_CLUSTER",
        "NVSX_REPEAT_GPU",
    ],
)
def test_event_text_is_harmless(name: str) -> None:
    """Facts that come from events hold letters, digits and ._:/- only."""
    assert set(build(facts={name: 'a$(x);\n`"é|b'})[name]) <= set("axb-")
    assert build(facts={name: "gpu-01.eu:9/x"})[name] == "gpu-01.eu:9/x"


def test_reason_keeps_its_words() -> None:
    """The reason stays readable, on one line, and without what a shell would expand."""
    reason = build(facts={"NVSX_REASON": 'timed out; "$(reboot)"\n`x` (15m)'})["NVSX_REASON"]
    assert reason == "timed out; __(reboot)___x_ (15m)"
