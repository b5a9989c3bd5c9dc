"""Our own echo: what nvsx told a pager, a ticket system or a webhook is no news when it comes back.

The bodies are the vendors' own, with what nvsx's targets put into them.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.core.senders.bodies import body, one, setup
from tests.core.senders.test_samples import TITLE

from nvsx.core.notify.subject import name_page, name_ticket
from nvsx.core.senders.echo import find_echo

KEY = "inc-4f1b9c2d7e8a1b3c5d6f"
PAGE = name_page(KEY, "people")
LONG_PAGE = name_page("k" * 300, "watch")
LABEL = name_ticket(KEY)


def pagerduty(kind: str, key: str) -> dict[str, Any]:
    """PagerDuty's v3 webhook of an incident with this key."""
    found: dict[str, Any] = body("pagerduty/fault")
    found["event"]["event_type"] = kind
    found["event"]["data"]["incident_key"] = key
    return found


@pytest.mark.parametrize("key", [PAGE, LONG_PAGE, "nvsx/prod/gpu-7/GpuXidError/79"])
@pytest.mark.parametrize(
    "kind", ["incident.triggered", "incident.acknowledged", "incident.reopened"]
)
def test_a_pagerduty_incident_of_our_page_starts_nothing(kind: str, key: str) -> None:
    """Whatever the rules find in its title, and however keys were made by earlier hooks."""
    event = one(pagerduty(kind, key), setup("pagerduty", node=TITLE, events=[kind]))
    assert event.refusal.startswith("nvsx itself opened 'nvsx/")
    assert event.refusal.endswith("its own echo starts and changes nothing")


def test_a_pagerduty_incident_of_our_page_that_is_resolved_ends_nothing() -> None:
    """Somebody closed the page; that says nothing of the node."""
    event = one(pagerduty("incident.resolved", PAGE), setup("pagerduty", node=TITLE))
    assert event.refusal


@pytest.mark.parametrize("key", ["nvsxtra/gpu-7", "my/nvsx/key", "d41d8cd98f00b204", "nvsx"])
def test_a_pagerduty_incident_of_somebody_else_starts_its_run(key: str) -> None:
    """Only a key that begins as ours do is ours."""
    event = one(pagerduty("incident.triggered", key), setup("pagerduty", node=TITLE))
    assert event.refusal == ""


@pytest.mark.parametrize("sample", ["opsgenie/fault", "opsgenie/closed"])
@pytest.mark.parametrize("kind", ["opsgenie", "jsm"])
def test_an_alert_with_our_alias_starts_and_ends_nothing(kind: str, sample: str) -> None:
    """Created or closed."""
    alert = body(sample)
    alert["alert"]["alias"] = PAGE
    assert "its own echo" in one(alert, setup(kind)).refusal


def test_an_alert_that_names_our_page_in_its_details_is_ours() -> None:
    """An integration that makes its own alias keeps what it was given."""
    alert = body("opsgenie/fault")
    alert["alert"]["details"]["dedup_key"] = PAGE
    assert "its own echo" in one(alert, setup("opsgenie")).refusal


@pytest.mark.parametrize(
    ("labels", "ours"),
    [
        (["nvsx", LABEL], True),
        ([LABEL, "xid-79"], True),
        (["nvsx-run-01JD5T"], True),
        (["nvsx", "xid-79"], False),
        (["xnvsx-79"], False),
        ([], False),
    ],
)
def test_a_ticket_with_our_label_starts_nothing(labels: list[str], ours: bool) -> None:
    """The bare `nvsx` is a team's to give."""
    issue = {**body("jira/moved"), "webhookEvent": "jira:issue_created"}
    issue["issue"]["fields"]["labels"] = labels
    rule = {"from": "issue.fields.summary", "pattern": r"on (?P<node>\S+)"}
    assert bool(one(issue, setup("jira", node=rule)).refusal) is ours


def test_a_ticket_with_our_label_that_is_done_ends_nothing() -> None:
    """It is people's work on the ticket, and says nothing of the node."""
    issue = body("jira/moved")
    issue["issue"]["fields"]["labels"] = [LABEL]
    issue["issue"]["fields"]["status"] = {"name": "Done", "statusCategory": {"key": "done"}}
    issue["changelog"]["items"][0]["toString"] = "Done"
    rule = {"from": "issue.fields.summary", "pattern": r"on (?P<node>\S+)"}
    event = one(issue, setup("jira", node=rule))
    assert "nvsx's own label" in event.refusal


@pytest.mark.parametrize("bare", [False, True])
def test_an_automation_rule_on_our_ticket_starts_nothing(bare: bool) -> None:
    """`jsm-automation` starts a run with every message but this, wrapped or the issue alone."""
    issue = body("jsm-automation/fault")
    issue["issue"]["fields"]["labels"] = [LABEL]
    rule = {"from": "issue.fields.summary", "pattern": r"on (?P<node>\S+)"}
    event = one(issue["issue"] if bare else issue, setup("jsm-automation", node=rule))
    assert "nvsx's own label" in event.refusal


@pytest.mark.parametrize(
    ("message", "ours"),
    [
        ({"type": "nvsx.page.opened", "data": {"key": PAGE}, "node": "gpu-7"}, True),
        ({"dedup_key": PAGE, "node": "gpu-7"}, True),
        ({"dedup_key": "gpu-7/79", "node": "gpu-7"}, False),
    ],
)
def test_our_message_in_a_notification_of_sns_starts_nothing(
    message: dict[str, Any], ours: bool
) -> None:
    """A topic relays it as text within its own envelope."""
    notification = {"Type": "Notification", "MessageId": "m-1", "Message": json.dumps(message)}
    event = one(notification, setup("sns"), {"Content-Type": "text/plain"})
    assert ("its own echo" in event.refusal) is ours
    assert ours or event.refusal == ""


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "nvsx.page.opened", "data": {"key": PAGE, "node": "gpu-7"}},
        {"data": {"key": PAGE}},
        {"dedup_key": PAGE, "summary": "gpu-7"},
        {"labels": {"page": PAGE}},
        {"labels": [LABEL]},
        {"event": {"data": {"incident": {"incident_key": PAGE}}}},
    ],
)
def test_what_a_relay_makes_of_our_messages_is_ours(payload: dict[str, Any]) -> None:
    """A webhook target's event, or what an automation passes on of a page."""
    assert find_echo(payload)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"event": None, "alert": [], "labels": 7, "issue": "x"},
        {"runbook": "gpu-off-bus", "target_node": "gpu-7", "labels": {"cluster": "prod"}},
        {"message": f"people talk about {PAGE}"},
        {"alert": {"alias": 7, "tags": [None, {}]}},
    ],
)
def test_what_only_speaks_of_us_is_not_ours(payload: dict[str, Any]) -> None:
    """Keys and labels count, and no text; whatever shape a message has."""
    assert find_echo(payload) == ""
