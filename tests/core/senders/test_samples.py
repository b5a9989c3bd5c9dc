import copy
from typing import Any

import pytest
from tests.core.senders.bodies import CLUSTER, JSON, NODE, STRUCTURED, body, one, raw, read, setup

from nvsx.core.senders.registry import SENDERS

TITLE = {"from": "event.data.title", "pattern": r"XID (?P<errorCode>\d+) .* on (?P<node>\S+)"}


@pytest.mark.parametrize(
    ("sample", "kind", "headers", "check", "code", "state"),
    [
        ("nvsentinel/fault", "nvsentinel", STRUCTURED, "SysLogsXIDError", "79", "fatal"),
        ("nvsentinel/recovered", "nvsentinel", STRUCTURED, "SysLogsXIDError", "", "resolved"),
        ("alertmanager/fault", "alertmanager", JSON, "GpuXidCritical", "79", "fatal"),
        ("alertmanager/resolved", "alertmanager", JSON, "GpuXidCritical", "79", "resolved"),
        ("grafana/fault", "grafana", JSON, "GpuXidCritical", "79", "fatal"),
        ("opsgenie/fault", "opsgenie", JSON, "GpuXidError", "79", "fatal"),
    ],
)  # fmt: skip
def test_a_sample_becomes_its_event(
    sample: str, kind: str, headers: dict[str, str], check: str, code: str, state: str
) -> None:
    """Without any rule of an operator, node, cluster, check and code are found where this
    sender has them, and a recovery is told from a fault."""
    event = one(raw(sample), setup(kind), headers)
    facts = event.facts
    assert event.refusal == ""
    assert (facts.node, facts.cluster, facts.check_name) == (NODE, CLUSTER, check)
    assert facts.error_codes == ((code,) if code else ())
    assert (event.resolved, facts.is_healthy, facts.is_fatal) == (
        (True, True, False) if state == "resolved" else (False, False, True)
    )
    assert event.source == facts.source == kind
    assert event.delivery
    assert event.steps


@pytest.mark.parametrize("kind", SENDERS)
def test_every_senders_fault_may_start_a_run_and_is_known_again(kind: str) -> None:
    """The recorded body of each sender is, with a rule for the node, one event that nothing
    refuses; the same body again is the same delivery, and may be repeated as the sender says."""
    sample = raw(f"{kind}/fault")
    headers = {"Content-Type": SENDERS[kind].assume_type({}, sample)}
    rule: dict[str, Any] = (
        {} if kind == "generic" else {"node": {"cel": f"'{NODE}'", "first": True}}
    )
    event, again = (one(sample, setup(kind, **rule), headers) for _ in range(2))
    assert (event.refusal, event.facts.node, event.resolved) == ("", NODE, False)
    assert event.delivery == again.delivery
    assert event.horizon == SENDERS[kind].horizon
    # It has neither an identity nor a time, and the same text may be the next fault.
    assert event.delivery or kind == "grafana-legacy"


def test_a_binary_event_says_the_same_as_a_structured_one() -> None:
    """The content mode changes neither the facts nor the delivery, so a gateway that turns
    one into the other makes no second run."""
    wrapped = body("nvsentinel/binary")
    binary = one(wrapped["body"], setup("nvsentinel"), wrapped["headers"])
    structured = one(raw("nvsentinel/fault"), setup("nvsentinel"), STRUCTURED)
    assert binary.facts == structured.facts
    assert binary.delivery == structured.delivery
    assert binary.payload["subject"] == "gb200-r07-n03 GPU 3"


@pytest.mark.parametrize(
    ("sample", "kind", "resolved"),
    [("opsgenie/closed", "opsgenie", True), ("jsm/fault", "jsm", False)],
)
def test_an_opsgenie_alert_without_details_is_found_by_its_entity(
    sample: str, kind: str, resolved: bool
) -> None:
    """Details do not come with `Close`, nor where they are not ticked."""
    event = one(raw(sample), setup(kind))
    assert (event.refusal, event.facts.node, event.resolved) == ("", NODE, resolved)


def test_a_resolved_pagerduty_incident_is_a_recovery_notice() -> None:
    """Of the node that the operator's rule finds."""
    event = one(raw("pagerduty/resolved"), setup("pagerduty", node=TITLE))
    assert (event.refusal, event.facts.node, event.resolved) == ("", NODE, True)


def test_a_batch_has_an_event_for_each_item() -> None:
    """Three nodes in one array are three events with a delivery each."""
    events = read(
        raw("nvsentinel/batch"),
        setup("nvsentinel"),
        {"Content-Type": "application/cloudevents-batch+json"},
    )
    assert [e.facts.node for e in events] == ["gb200-r07-n01", "gb200-r07-n02", NODE]
    assert {e.facts.recommended_action for e in events} == {"CONTACT_SUPPORT"}
    assert len({e.delivery for e in events}) == 3


def test_the_generic_sample_is_a_dry_run_of_the_named_runbook() -> None:
    """The own request carries runbook, node, key, labels and dry_run, and its text survives."""
    event = one(raw("generic/fault"), setup("generic", scheme="github"))
    assert (event.runbook, event.facts.node, event.dry_run) == ("gpu-off-bus", NODE, True)
    assert event.idempotency_key == "drill-2026-11-20-01"
    assert event.facts.labels == {"cluster": CLUSTER, "xid": "79"}
    assert event.payload["payload"]["note"] == "naïve UTF-8 check: 温度 ✓"


def test_the_jira_sample_starts_no_run() -> None:
    """An issue that is moved to In Progress is people at work: recorded, and ignored."""
    event = one(raw("jira/moved"), setup("jira"))
    assert event.refusal == "event 'jira:issue_updated' starts no run"
    assert not event.resolved
    assert event.facts.error_codes == ("79",)


def test_a_jira_issue_that_is_created_starts_a_run_where_the_rule_says() -> None:
    """The node is where the operator says; the code is in a label."""
    issue = {**body("jira/moved"), "webhookEvent": "jira:issue_created"}
    rule = {"from": "issue.fields.summary", "pattern": r"on (?P<node>\S+)"}
    event = one(issue, setup("jira", node=rule))
    assert (event.refusal, event.facts.node, event.facts.error_codes) == ("", NODE, ("79",))


def test_a_pagerduty_title_is_mapped_by_the_operators_pattern() -> None:
    """One pattern with two named groups fills the node and, beside it, the error code."""
    incident = body("pagerduty/fault")
    incident["event"]["data"]["incident_key"] = "d41d8cd98f00b204"
    ambiguous = copy.deepcopy(incident)
    ambiguous["event"]["data"]["title"] += " (peer a1-b2)"
    assert "no node" in one(ambiguous, setup("pagerduty")).refusal
    event = one(incident, setup("pagerduty", node=TITLE))
    assert (event.refusal, event.facts.node, event.facts.error_codes) == ("", NODE, ("79",))
