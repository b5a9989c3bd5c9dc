from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

if TYPE_CHECKING:
    from tests.starters.conftest import Hook, Services

pytestmark = pytest.mark.server("curl")

HOOKS = Path(__file__).resolve().parents[2] / "runbooks" / "hooks"
PAGERDUTY_KEY = "R0123456789abcdef0123456789abcde"
KEY = "prod/gpu-07/68a5f2e7"
IMPACT = {
    "pods": [
        {"namespace": "ml", "name": "train-0", "owner": "Job/train", "phase": "Running", "gpus": 8},
        {"namespace": "ml", "name": "web", "owner": "", "phase": "Running", "gpus": 0},
    ],
    "unread": "",
}
ALL_HOOKS = sorted(f"{p.parent.name}/{p.stem}" for p in HOOKS.glob("*/on-*.sh"))
#: A node NVSentinel left to people, one it ordered a reboot for, and one of last week's.
PEOPLE = "remediation-failed\\n\\n[]\\n"
REBOOTED = (
    'remediation-failed\\n{"equivalenceGroups":{"restart":{"maintenanceCR":'
    '"maintenance-gpu-07-68a5f2e7"}}}\\n[{"id":"68a5f2e7"}]\\n'
)
STALE = REBOOTED.replace("gpu-07-68a5f2e7", "gpu-07-00000000")


def test_quarantine_opens_alert_message_and_ticket(hook: Hook, services: Services) -> None:
    """At quarantine a warning page, a Slack message and a ticket go out, with the impact."""
    (hook.artifacts / "impact.json").write_text(json.dumps(IMPACT))
    done = hook.run("gpu-off-bus/on-quarantine", **services.channels)
    assert done.returncode == 0, done.stderr

    (page,) = services.to("/v2/enqueue")
    assert page.json["routing_key"] == PAGERDUTY_KEY
    assert page.json["event_action"] == "trigger"
    assert page.json["dedup_key"] == KEY
    assert page.json["payload"]["severity"] == "warning"
    assert page.json["payload"]["source"] == "gpu-07"
    assert "Job/train" in page.json["payload"]["custom_details"]["details"]

    (alert,) = services.to("/v2/alerts")
    assert alert.headers["Authorization"] == "GenieKey opsgenie-s3cret"
    assert alert.json["alias"] == KEY
    assert len(alert.json["message"]) <= 130

    (post,) = services.to("/slack")
    assert post.headers["Content-Type"] == "application/json"
    assert "XID 79" in post.json["text"]
    assert [b["type"] for b in post.json["blocks"]] == ["header", "section", "section"]
    assert len(post.json["blocks"][2]["fields"]) <= 10

    (ticket,) = services.to("/rest/api/3/issue")
    fields = ticket.json["fields"]
    assert fields["project"] == {"key": "GPU"}
    assert fields["labels"] == ["nvsx", "gpu-off-bus", "nvsx-run-01JRUN"]
    paragraphs = [p["content"][0]["text"] for p in fields["description"]["content"]]
    assert "- ml/train-0: 8 GPUs, of Job/train" in paragraphs
    scheme, _, credentials = ticket.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    assert b64decode(credentials).decode() == 'bot@example.com:jira"s3cret\\'

    assert hook.report == [
        f"notify target=pagerduty ref={KEY}",
        f"notify target=opsgenie ref={KEY}",
        "notify target=slack ref=quarantine",
        "notify target=jira ref=GPU-42",
    ]


@pytest.mark.parametrize("name", ALL_HOOKS)
def test_without_variables_a_hook_says_what_it_would_do(
    hook: Hook, services: Services, name: str
) -> None:
    """With no channel set up, every hook succeeds, says so, and reports nobody as told."""
    done = hook.run(name, NVSX_SANDBOX="1")
    assert done.returncode == 0, done.stderr
    assert "not set" in done.stdout or "none set up" in done.stdout
    if not name.endswith("/on-preflight"):
        assert "SLACK_WEBHOOK_URL is not set; would post: [SANDBOX] " in done.stdout
    assert hook.report == []
    assert services.requests == []


@pytest.mark.parametrize("name", ALL_HOOKS)
def test_no_hook_prints_a_secret(hook: Hook, services: Services, name: str) -> None:
    """Neither output nor artifacts hold a key, a token or the webhook's address."""
    services.answers["/"] = [(400, '{"error":"no"}')] * 2
    done = hook.run(name, **services.channels)
    kept = "".join(p.read_text() for p in hook.artifacts.iterdir())
    for secret in ("s3cret", PAGERDUTY_KEY):
        assert secret not in done.stdout + done.stderr + kept


def test_secrets_are_not_in_any_argument(hook: Hook, services: Services) -> None:
    """curl is given addresses, keys and bodies through its input, not its arguments."""
    arguments = hook.artifacts / "arguments"
    fake = hook.bin / "curl"
    fake.write_text(
        f'#!/bin/sh\nprintf "%s " "$@" >>{arguments}\ncat >>{arguments}.in\nprintf "ok\\n200"\n'
    )
    fake.chmod(0o755)
    hook.run("gpu-off-bus/on-quarantine", **services.channels)
    assert "s3cret" in arguments.with_suffix(".in").read_text()
    assert "s3cret" not in arguments.read_text()
    assert PAGERDUTY_KEY not in arguments.read_text()
    assert "http" not in arguments.read_text().replace("%{http_code}", "")


def test_recover_resolves_what_was_opened(hook: Hook, services: Services) -> None:
    """Recovery resolves every alert of the run, under its key, and gives the time to repair."""
    hook.run("gpu-off-bus/on-quarantine", **services.channels)
    hook.run("gpu-off-bus/on-overdue", NVSX_STAGE="drain", **services.channels)
    services.requests.clear()
    # The session's key became known later: resolve must still meet trigger.
    done = hook.run(
        "gpu-off-bus/on-recover",
        NVSX_MTTR_MS="949000",
        NVSX_INCIDENT_KEY="prod/gpu-07/68a5f2e7/later",
        **services.channels,
    )
    assert done.returncode == 0, done.stderr
    resolved = [r.json for r in services.to("/v2/enqueue")]
    assert [(r["event_action"], r["dedup_key"]) for r in resolved] == [
        ("resolve", KEY),
        ("resolve", f"{KEY}/overdue"),
    ]
    closed = [r.path for r in services.to("/v2/alerts")]
    assert closed == [
        f"/v2/alerts/prod%2Fgpu-07%2F68a5f2e7{part}/close?identifierType=alias"
        for part in ("", "%2Foverdue")
    ]
    assert "Time to repair: 15m 49s." in services.to("/slack")[0].json["text"]
    (comment,) = services.to("/rest/api/3/issue/GPU-42/comment")
    assert comment.json["body"]["type"] == "doc"


def test_no_time_to_repair_is_made_up(hook: Hook, services: Services) -> None:
    """When nvsx has no time to repair, the message has none."""
    hook.run("gpu-off-bus/on-recover", NVSX_MTTR_MS="", **services.channels)
    assert "repair:" not in services.to("/slack")[0].json["text"]


def test_a_replaced_node_is_not_told_as_repaired(hook: Hook, services: Services) -> None:
    """When the incident ended with another machine, the message says that and nothing else."""
    hook.run("gpu-off-bus/on-recover", NVSX_REASON="the node was replaced", **services.channels)
    text = services.to("/slack")[0].json["text"]
    assert "It is over: the node was replaced." in text
    assert "The GPU is back" not in text


def test_a_cordon_that_is_not_nvsentinels_is_pointed_out(hook: Hook, services: Services) -> None:
    """A node released but still unschedulable is told with the reason."""
    hook.kubectl("printf true")
    hook.run("gpu-off-bus/on-recover", **services.channels)
    assert "still cordoned" in services.to("/slack")[0].json["text"]


def test_a_failure_pages_beside_the_open_alert(hook: Hook, services: Services) -> None:
    """An open alert does not silence the failure: it comes critical, with a key of its own."""
    hook.run("gpu-off-bus/on-quarantine", **services.channels)
    hook.run(
        "gpu-off-bus/on-failure",
        NVSX_FAILED_STAGE="remediate",
        NVSX_REASON='RebootNode: "timed out"\nafter 25m',
        **services.channels,
    )
    page = services.to("/v2/enqueue")[1].json
    assert page["dedup_key"] == f"{KEY}/people"
    assert page["payload"]["severity"] == "critical"
    assert "failed in remediate" in page["payload"]["summary"]
    assert 'RebootNode: "timed out"\nafter 25m' in page["payload"]["custom_details"]["details"]
    assert services.to("/rest/api/3/issue/GPU-42/comment")


def test_a_repeated_hook_sends_only_what_is_missing(hook: Hook, services: Services) -> None:
    """A second attempt repeats the message that failed and no other."""
    services.answers["/slack"] = [(400, "invalid_payload")]
    first = hook.run("gpu-off-bus/on-quarantine", **services.channels)
    assert first.returncode == 1
    assert "slack: NOT told, the post failed with HTTP 400: invalid_payload" in first.stderr
    services.requests.clear()
    second = hook.run("gpu-off-bus/on-quarantine", NVSX_ATTEMPT="2", **services.channels)
    assert second.returncode == 0, second.stderr
    assert [r.path.split("/")[1] for r in services.requests] == ["slack"]


def test_a_lost_answer_does_not_open_a_second_ticket(hook: Hook, services: Services) -> None:
    """On a second attempt the ticket is looked for by the run's label before one is opened."""
    services.answers["/rest/api/3/search"] = [(200, '{"issues":[{"id":"1","key":"GPU-7"}]}')]
    done = hook.run("gpu-off-bus/on-quarantine", NVSX_ATTEMPT="2", **services.channels)
    assert done.returncode == 0, done.stderr
    (search,) = services.to("/rest/api/3/search/jql")
    assert search.method == "GET"
    query = parse_qs(urlsplit(search.path).query)
    assert query["jql"] == ['labels = "nvsx-run-01JRUN"']
    assert not [r for r in services.requests if r.path == "/rest/api/3/issue"]
    assert "notify target=jira ref=GPU-7" in hook.report


def test_a_failed_search_opens_no_ticket(hook: Hook, services: Services) -> None:
    """When the search cannot be made, nothing is opened and the hook says so."""
    services.answers["/rest/api/3/search"] = [(401, "{}")]
    done = hook.run("gpu-off-bus/on-quarantine", NVSX_ATTEMPT="2", **services.channels)
    assert done.returncode == 1
    assert not [r for r in services.requests if r.path == "/rest/api/3/issue"]


@pytest.mark.parametrize("status", [429, 503])
def test_an_overloaded_service_is_asked_again(hook: Hook, services: Services, status: int) -> None:
    """A page answered 429 or 5xx is repeated with the same key, and then counts as sent."""
    services.answers["/v2/enqueue"] = [(status, "{}")]
    channels = {k: v for k, v in services.channels.items() if k.startswith("PAGERDUTY")}
    done = hook.run("gpu-off-bus/on-quarantine", **channels)
    assert done.returncode == 0, done.stderr
    assert [r.json["dedup_key"] for r in services.to("/v2/enqueue")] == [KEY, KEY]
    assert hook.report == [f"notify target=pagerduty ref={KEY}"]


def test_a_ticket_is_never_created_twice_by_a_retry(hook: Hook, services: Services) -> None:
    """A create that failed is not repeated within the hook: Jira has no idempotency key."""
    services.answers["/rest/api/3/issue"] = [(503, "{}")]
    done = hook.run("gpu-off-bus/on-quarantine", **services.channels)
    assert done.returncode == 1
    assert len(services.to("/rest/api/3/issue")) == 1


def test_a_dead_service_does_not_stop_the_others(hook: Hook, services: Services) -> None:
    """With one service unreachable the rest are told, and the hook ends with 1."""
    channels = services.channels | {"PAGERDUTY_EVENTS_URL": "http://127.0.0.1:9/v2/enqueue"}
    done = hook.run("gpu-off-bus/on-quarantine", **channels)
    assert done.returncode == 1
    assert "pagerduty: NOT told" in done.stderr
    assert services.to("/slack")
    assert not [line for line in hook.report if "pagerduty" in line]


def test_a_member_of_a_storm_pages_nobody(hook: Hook, services: Services) -> None:
    """In a storm only the leader pages and posts; a member keeps its ticket."""
    storm = {"NVSX_STORM_SIZE": "12", **services.channels}
    done = hook.run("gpu-off-bus/on-quarantine", NVSX_STORM_ROLE="member", **storm)
    assert "one of 12 nodes in a storm" in done.stdout
    assert {r.path for r in services.requests} == {"/rest/api/3/issue"}
    hook.run("nvlink-fault/on-quarantine", NVSX_STORM_ROLE="leader", **storm)
    assert "one of 12 nodes" in services.to("/slack")[0].json["text"]
    assert services.to("/v2/enqueue")


@pytest.mark.parametrize(
    ("variable", "mark"), [("NVSX_DRILL", "[DRILL]"), ("NVSX_SANDBOX", "[SANDBOX]")]
)
def test_a_rehearsal_is_marked_in_every_message(
    hook: Hook, services: Services, variable: str, mark: str
) -> None:
    """With hooks live, whatever a drill or a sandbox run sends begins with its mark."""
    hook.run("gpu-off-bus/on-quarantine", **{variable: "1"}, **services.channels)
    assert services.to("/v2/enqueue")[0].json["payload"]["summary"].startswith(mark)
    assert services.to("/v2/alerts")[0].json["message"].startswith(mark)
    assert services.to("/slack")[0].json["text"].startswith(mark)
    assert services.to("/rest/api/3/issue")[0].json["fields"]["summary"].startswith(mark)


@pytest.mark.parametrize("runbook", ["nvlink-fault", "driver-hang", "nvswitch-fault", "any-fault"])
@pytest.mark.parametrize(
    ("node", "severity"), [(PEOPLE, "critical"), (STALE, "critical"), (REBOOTED, None)]
)
def test_people_are_paged_only_when_the_repair_is_theirs(
    hook: Hook, services: Services, runbook: str, node: str, severity: str | None
) -> None:
    """A node left to people pages; one whose reboot was ordered for this incident does not."""
    hook.kubectl(f"printf '{node}'")
    done = hook.run(f"{runbook}/on-remediate", **services.channels)
    assert done.returncode == 0, done.stderr
    severities = [r.json["payload"]["severity"] for r in services.to("/v2/enqueue")]
    assert severities == ([severity] if severity else [])
    assert ("finished" in services.to("/slack")[0].json["text"]) is (severity is None)


def test_a_node_that_was_released_meanwhile_pages_nobody(hook: Hook, services: Services) -> None:
    """Without label and request nothing is claimed: neither a repair nor a hand-over."""
    hook.kubectl("printf '\\n\\n\\n'")
    hook.run("nvswitch-fault/on-remediate", **services.channels)
    assert services.to("/v2/enqueue") == []
    assert "no request and no refusal any more" in services.to("/slack")[0].json["text"]


def test_not_knowing_who_repairs_pages(hook: Hook, services: Services) -> None:
    """When the cluster cannot be read, a person is asked to look, and told that."""
    hook.run("driver-hang/on-remediate", **services.channels)
    assert "could not read" in services.to("/slack")[0].json["text"]
    assert services.to("/v2/enqueue")[0].json["payload"]["severity"] == "critical"


@pytest.mark.parametrize(
    ("name", "alarming", "ordinary"),
    [
        ("driver-hang", '{"strategy":"STORE_ONLY"}', '{"strategy":"EXECUTE_REMEDIATION"}'),
        ("thermal-throttle", '{"action":"CONTACT_SUPPORT"}', '{"action":"NONE"}'),
    ],
)
def test_what_nobody_will_repair_pages_at_once(
    hook: Hook, services: Services, name: str, alarming: str, ordinary: str
) -> None:
    """An event NVSentinel only stores, or leaves to people, pages when it is seen."""
    event = hook.artifacts / "event.json"
    event.write_text(ordinary)
    hook.run(f"{name}/on-detect", NVSX_EVENT_FILE=str(event), **services.channels)
    assert not services.to("/v2/enqueue")
    event.write_text(alarming)
    hook.run(
        f"{name}/on-detect",
        NVSX_IDEMPOTENCY_KEY="2",
        NVSX_EVENT_FILE=str(event),
        **services.channels,
    )
    assert services.to("/v2/enqueue")[0].json["payload"]["severity"] == "critical"


@pytest.mark.parametrize(
    ("change", "code"),
    [({}, 0), ({"PAGERDUTY_ROUTING_KEY": "short"}, 1), ({"JIRA_USER": ""}, 1)],
)
def test_preflight_finds_channels_that_cannot_work(
    hook: Hook, services: Services, change: dict[str, str], code: int
) -> None:
    """Preflight sends nothing, and fails when a channel is half set up."""
    done = hook.run("gpu-off-bus/on-preflight", **(services.channels | change))
    assert done.returncode == code, done.stderr
    assert services.requests == []


def test_a_rehearsal_without_secrets_passes_preflight(hook: Hook, services: Services) -> None:
    """What nvsx takes away for a sandbox run is no mistake in the set-up."""
    left = {"JIRA_BASE_URL": services.url, "JIRA_USER": "bot", "JIRA_PROJECT": "GPU"}
    done = hook.run("gpu-off-bus/on-preflight", NVSX_SANDBOX="1", **left)
    assert done.returncode == 0, done.stderr


def test_hostile_facts_stay_inside_their_fields(hook: Hook, services: Services) -> None:
    """Quotes, markup and control characters in a reason change no message's structure."""
    reason = 'x","routing_key":"evil"\n<!channel> \x07\x1b[31m 東京 \\'
    hook.run("gpu-off-bus/on-failure", NVSX_REASON=reason, **services.channels)
    page = services.to("/v2/enqueue")[0].json
    assert page["routing_key"] == PAGERDUTY_KEY
    assert reason in page["payload"]["custom_details"]["details"]
    assert "<!channel>" not in services.to("/slack")[0].json["text"]


@pytest.mark.parametrize(
    ("event", "title"),
    [
        ({"check": "SysLogsXIDError", "error_codes": ["110"]}, "Fault SysLogsXIDError 110"),
        ({"data": {"healthEvent": {"checkName": "Mine", "errorCode": []}}}, "Fault Mine"),
        ({"check": "SysLogsXIDError", "error_codes": ["<b>"]}, "Node fault"),
        ({"alert": {"labels": {}}}, "Node fault"),
        ([], "Node fault"),
    ],
)
def test_the_catch_all_names_the_fault(
    hook: Hook, services: Services, event: object, title: str
) -> None:
    """Its messages carry check and codes of the event that fired it, and no text of a stranger."""
    file = hook.artifacts / "event.json"
    file.write_text(json.dumps(event))
    hook.run("any-fault/on-detect", NVSX_EVENT_FILE=str(file), **services.channels)
    assert services.to("/slack")[0].json["text"].startswith(f"{title} on gpu-07")


@pytest.mark.parametrize("turn", ["detect", "quarantine", "overdue", "recover", "failure"])
def test_planned_work_pages_nobody(hook: Hook, services: Services, turn: str) -> None:
    """Each turn of planned maintenance is posted, and the pager is not touched."""
    done = hook.run(f"csp-maintenance/on-{turn}", **services.channels)
    assert done.returncode == 0, done.stderr
    assert services.to("/v2/") == []
    assert "Planned maintenance" in services.to("/slack")[0].json["text"]
