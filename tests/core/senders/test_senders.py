import copy
from typing import Any

import pytest
from tests.core.senders.bodies import (
    BATCH,
    JSON,
    NODE,
    STRUCTURED,
    body,
    encoded,
    one,
    raw,
    read,
    setup,
)
from tests.core.senders.test_samples import TITLE

from nvsx.core import patterns
from nvsx.core.senders.http_request import Refused
from nvsx.core.senders.registry import SENDERS

FAULT = "nvsentinel/fault"


# --- Alertmanager and Grafana -------------------------------------------------------------


def group(*alerts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An Alertmanager group of the sample's alert, changed for each of `alerts`."""
    sample = body("alertmanager/fault")
    base = sample["alerts"][0]
    sample["alerts"] = [
        {**base, **alert, "labels": {**base["labels"], **alert.get("labels", {})}}
        for alert in alerts
    ]
    return {**sample, **changes}


def test_a_mixed_group_is_read_alert_by_alert() -> None:
    """The group says firing, yet the alert that is over is a recovery notice."""
    events = read(
        group(
            {"fingerprint": "a"},
            {"fingerprint": "b", "status": "resolved", "endsAt": "2026-11-20T03:14:00Z"},
            status="firing",
        ),
        setup("alertmanager"),
    )
    assert [e.resolved for e in events] == [False, True]


@pytest.mark.parametrize(
    ("kind", "sample", "settings", "taken"),
    [
        ("alertmanager", "alertmanager/fault", {}, False),
        ("alertmanager", "alertmanager/fault", {"default": True}, True),
        ("nvsentinel", FAULT, {}, True),
    ],
)
def test_alerts_go_to_the_catch_all_where_their_source_says_so(
    kind: str, sample: str, settings: dict[str, Any], taken: bool
) -> None:
    """A fault that NVSentinel's exporter sends may always be caught, an alert only on request."""
    headers = STRUCTURED if kind == "nvsentinel" else JSON
    (event, *_) = read(body(sample), setup(kind, **settings), headers)
    assert event.facts.catch_all is taken


def test_a_rack_storm_tells_what_it_hides() -> None:
    """36 alerts shown and 36 cut off: 36 events, each of which says that 36 more exist."""
    alerts = [{"fingerprint": f"{n}", "labels": {"node": f"n{n}"}} for n in range(36)]
    events = read(group(*alerts, truncatedAlerts=36), setup("alertmanager"))
    assert len({e.delivery for e in events}) == 36
    assert {e.unseen for e in events} == {36}


def test_a_group_whose_alerts_were_all_cut_off_is_not_silence() -> None:
    """No alert shown and 36 cut off: one event that fires nothing and says that 36 exist."""
    event = one(
        {**body("alertmanager/fault"), "alerts": [], "truncatedAlerts": 36},
        setup("alertmanager"),
    )
    assert event.unseen == 36
    assert "cluster is listed" in event.refusal
    assert read({**body("alertmanager/fault"), "alerts": []}, setup("alertmanager")) == []


def test_a_sender_that_says_still_firing_is_believed() -> None:
    """Whatever reason a notification has, its alert fires: its delivery makes it a repeat."""
    reasons = ("repeat interval elapsed", "first notification", "a reason of a later version")
    events = [
        one(group({}, notification_reason=reason), setup("alertmanager")) for reason in reasons
    ]
    assert {event.refusal for event in events} == {""}
    assert len({event.delivery for event in events}) == 1
    assert all(event.standing for event in events)


def test_an_alert_is_recognised_in_every_group() -> None:
    """A retry, and the same alert in another group, have one delivery; a new start, the
    recovery and another alert have others."""
    first = one(group({}), setup("alertmanager")).delivery
    assert one(group({}, groupKey="other", receiver="x"), setup("alertmanager")).delivery == first
    others = (
        {"startsAt": "2026-11-21T03:13:52Z"},
        {"status": "resolved"},
        {"fingerprint": "ffff"},
    )
    assert first not in {one(group(o), setup("alertmanager")).delivery for o in others}


def test_go_s_zero_time_is_no_time() -> None:
    """endsAt 0001-01-01 means "not ended"; nanoseconds are read."""
    event = one(group({"status": "resolved"}), setup("alertmanager"))
    assert event.facts.generated_at is None
    event = one(group({"startsAt": "2026-11-20T03:13:52.123456789Z"}), setup("alertmanager"))
    assert event.facts.generated_at == pytest.approx(1_795_144_432.123456, abs=1e-5)


def test_one_bad_alert_does_not_cost_the_others() -> None:
    """A node that cannot be one is refused for its alert alone, and never passed on; an address
    is a word that the cluster has to be asked about."""
    events = read(
        group({"labels": {"node": "10.0.0.1:9400"}}, {"labels": {"node": "../../etc"}}, {}),
        setup("alertmanager"),
    )
    assert [e.facts.node for e in events] == ["", "", NODE]
    assert [[w.word for w in e.node_words] for e in events] == [["10.0.0.1:9400"], [], [NODE]]
    assert [e.refusal.partition(":")[0] for e in events] == [
        "",
        "'../../etc' is no node name",
        "",
    ]


def test_a_warning_is_not_fatal() -> None:
    """Only runbooks that say `fatal: any` take a warning; an alert without severity is taken
    at its sender's word."""
    warn = one(group({"labels": {"severity": "warning"}}), setup("alertmanager"))
    none = one(group({"labels": {"severity": ""}}), setup("alertmanager"))
    assert (warn.facts.is_fatal, none.facts.is_fatal) == (False, True)


def test_what_a_group_repeats_is_not_stored_a_thousand_times() -> None:
    """Payloads keep a small group, and drop a large one."""
    small = read(group({}, {}), setup("alertmanager"))
    assert small[0].payload["groupKey"] == body("alertmanager/fault")["groupKey"]
    large = read(group({}, {}, groupKey="x" * 100_000), setup("alertmanager"))
    assert [sorted(e.payload) for e in large] == [["alert"], ["alert"]]


@pytest.mark.parametrize(
    ("rule", "node"),
    [
        ({"from": "alert.labels.node"}, NODE),
        ({"from": "alert.annotations.summary", "pattern": r"on (\S+)"}, NODE),
        ({"from": "alert.labels.rack", "pattern": r"r\d+"}, "r07"),
        ({"cel": "body.alert.labels.rack + '-' + body.alert.labels.gpu"}, "r07-3"),
        ([{"from": "alert.labels.absent"}, {"cel": "body.alert.labels.node"}], NODE),
        ({"from": "groupLabels.node"}, NODE),
        ({"from": "alert.labels.absent"}, NODE),
    ],
)
def test_rules_find_the_node(rule: object, node: str) -> None:
    """By path, by pattern, by CEL, by the first rule that finds one, else where it usually is."""
    listed: list[Any] = rule if isinstance(rule, list) else [rule]
    rules = [{**each, "first": True} for each in listed]
    assert one(group({}), setup("alertmanager", node=rules)).facts.node == node


def test_a_rule_for_the_node_comes_after_the_usual_places() -> None:
    """Where they name no node of the cluster, the rule's word is next; `first` turns it round."""
    rule = {"from": "alert.labels.rack", "pattern": r"r\d+"}
    words = one(group({}), setup("alertmanager", node=rule)).node_words
    assert [w.word for w in words] == [NODE, "r07"]
    words = one(group({}), setup("alertmanager", node={**rule, "first": True})).node_words
    assert [w.word for w in words] == ["r07", NODE]


def test_a_rule_names_the_runbook() -> None:
    """A runbook found in a message is passed on by name; a path is no name, so nothing is found."""
    rule = {"from": "alert.annotations.runbook_url", "pattern": r"([^/]+)$"}
    assert one(group({}), setup("alertmanager", runbook=rule)).runbook == "gpu-off-bus"
    path = {"annotations": {"runbook_url": "../../evil"}}
    rule = {"from": "alert.annotations.runbook_url"}
    event = one(group(path), setup("alertmanager", runbook=rule))
    assert (event.runbook, event.refusal) == ("", "")
    assert "runbook: '../../evil' is no runbook's name" in event.steps


def test_a_pattern_cannot_hold_up_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested repeats over texts made for them would take years: one message, however many
    alerts it has, gets a tenth of a second for patterns, and the steps say what happened."""
    tried: list[float] = []

    def search(pattern: str, text: str, seconds: float) -> patterns.Found | None:
        tried.append(seconds)
        return search_within(pattern, text, seconds)

    search_within = patterns.search_within
    monkeypatch.setattr(patterns, "search_within", search)
    rule = {"from": "alert.annotations.summary", "pattern": r"^(?!x)(([a-z])+.)+[A-Z]([a-z])+$"}
    hostile = {"fingerprint": "a", "annotations": {"summary": "a" * 1000}, "labels": {"node": ""}}
    events = read(group(*[hostile] * 200), setup("alertmanager", node=rule))
    assert max(tried) <= 0.1
    # Each was stopped after HURRIED seconds at the earliest: the others were not begun.
    assert 0 < len(tried) <= 0.1 / patterns.HURRIED + 1
    assert len(events) == 200
    assert all("takes too long" in "".join(e.steps) and "no node" in e.refusal for e in events)
    later = one(group({"annotations": {"summary": "aa b Cc"}}), setup("alertmanager", node=rule))
    assert "takes too long" not in "".join(later.steps)


# --- CloudEvents --------------------------------------------------------------------------


def exported(**changes: Any) -> dict[str, Any]:
    """The sample fault with changes to its health event."""
    sample = body(FAULT)
    sample["data"]["healthEvent"].update(changes)
    assert isinstance(sample, dict)
    return sample


def test_an_export_is_recognised_by_its_content() -> None:
    """Each export of one event has a new id and is the same delivery; what differs by one
    nanosecond, in codes or in health is another."""
    first = one(exported(), setup("nvsentinel"), STRUCTURED).delivery
    again = {**exported(), "id": "another", "time": "2026-11-20T04:00:00Z"}
    assert one(again, setup("nvsentinel"), STRUCTURED).delivery == first
    for change in (
        {"generatedTimestamp": "2026-11-20T03:13:51.963024981Z"},
        {"errorCode": ["79", "48"]},
        {"isHealthy": True},
        {"nodeName": "gb200-r07-n04"},
        {"agent": "gpu-health-monitor"},
    ):
        other = one(exported(**change), setup("nvsentinel"), STRUCTURED)
        assert other.delivery != first
    shuffled = exported()
    shuffled["data"]["healthEvent"]["entitiesImpacted"].reverse()
    assert one(shuffled, setup("nvsentinel"), STRUCTURED).delivery == first


def test_both_generations_of_type_and_source_are_read() -> None:
    """The exporter's first version named type and source differently."""
    old = exported()
    old["type"], old["source"] = "com.nvidia.nvsentinel.healthevents.v1", "nvsentinel/lab"
    del old["data"]["metadata"]
    event = one(old, setup("nvsentinel"), STRUCTURED)
    assert (event.refusal, event.facts.cluster, event.facts.node) == ("", "lab", NODE)


def test_a_stale_event_keeps_its_own_time() -> None:
    """A backfilled event is as old as it says; how old is too old, the intake decides."""
    old = exported(generatedTimestamp="2026-10-25T03:13:51.963024980Z")
    event = one(old, setup("nvsentinel"), STRUCTURED)
    assert event.facts.generated_at == pytest.approx(1_792_898_031.963, abs=0.001)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"type": "com.example.other"}, "is not a health event of NVSentinel"),
        ({"specversion": "0.3"}, "is not supported"),
        ({"data": {"healthEvent": {}}}, "no health event"),
        ({"data": None}, "no health event"),
        ({"data_base64": "bm90IGpzb24=", "data": None}, "no health event"),
    ],
)
def test_a_strange_event_never_blocks_the_exporter(change: dict[str, Any], why: str) -> None:
    """It is taken and ignored: a 4xx would be repeated for ever."""
    event = one({**exported(), **change}, setup("nvsentinel"), STRUCTURED)
    assert why in event.refusal


@pytest.mark.parametrize("node", ["", "UPPER", "a/b", "-a", "a" * 254, "a..b", 7])
def test_a_node_kubernetes_cannot_have_is_never_passed_on(node: object) -> None:
    """Neither in the facts nor in the health event."""
    event = one(exported(nodeName=node), setup("nvsentinel"), STRUCTURED)
    if node == 7:
        assert event.facts.node == "7"
    else:
        assert (event.facts.node, event.event) == ("", None)
        assert event.refusal


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (raw(FAULT), JSON, 415),
        (raw(FAULT), {"Content-Type": "application/cloudevents+avro"}, 415),
        (raw(FAULT), {}, 415),
        (b"{", STRUCTURED, 400),
        (b"[]", STRUCTURED, 400),
        (b"{}", STRUCTURED, 422),
        (b"{}", BATCH, 400),
    ],
)
def test_what_is_no_cloudevent_is_refused(
    content: bytes, headers: dict[str, str], status: int
) -> None:
    """By the content type first, then by JSON, then by the attributes every one has."""
    with pytest.raises(Refused) as caught:
        read(content, setup("nvsentinel"), headers)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("ce-subject", "%C0%A0", 400),
        ("ce-subject", "%ED%A0%80", 400),
        ("ce-datacontenttype", "application/json", 400),
        ("Content-Type", "text/plain", 415),
        ("Content-Type", "application/json; charset=utf-16", 415),
    ],
)
def test_a_binary_event_with_a_bad_header_is_refused(header: str, value: str, status: int) -> None:
    """Overlong UTF-8, surrogates, a second content type, and data that is no JSON."""
    wrapped = body("nvsentinel/binary")
    with pytest.raises(Refused) as caught:
        read(wrapped["body"], setup("nvsentinel"), {**wrapped["headers"], header: value})
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("sent", "meant"),
    [("a%20b", "a b"), ('"a b"', "a b"), ('"a%22b"', 'a"b'), ("%E2%82%AC", "€"), ("%2541", "%41")],
)
def test_attributes_are_unquoted_and_decoded_once(sent: str, meant: str) -> None:
    """Quotes first, then one round of percent-decoding."""
    wrapped = body("nvsentinel/binary")
    headers = {k: v for k, v in wrapped["headers"].items() if k != "ce-subject"}
    event = one(wrapped["body"], setup("nvsentinel"), {**headers, "CE-Subject": sent})
    assert event.payload["subject"] == meant


# --- PagerDuty, Opsgenie, Jira ------------------------------------------------------------


def test_a_replayed_pagerduty_event_cannot_hide_behind_a_new_header() -> None:
    """The delivery is the signed event id, whatever X-Webhook-Id says."""
    sample = raw("pagerduty/fault")
    ids = {
        one(sample, setup("pagerduty"), {**JSON, "X-Webhook-Id": delivery}).delivery
        for delivery in ("a", "b")
    }
    assert ids == {"01GPUFAULTTRIGGER0000001"}


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"event": None},
        {"event": {"event_type": "pagey.ping"}},
        {"event": {"data": 1}},
        {"x": []},
    ],
)
def test_pagerduty_is_never_refused(content: dict[str, Any]) -> None:
    """Three refusals in a row would switch its subscription off for a day."""
    assert one(content, setup("pagerduty")).refusal


@pytest.mark.parametrize("kind", ["incident.acknowledged", "incident.annotated", "service.updated"])
def test_other_pagerduty_events_start_no_run(kind: str) -> None:
    """Unless nvsx.yaml lists them."""
    incident = body("pagerduty/fault")
    incident["event"]["event_type"] = kind
    assert one(incident, setup("pagerduty")).refusal == f"event type '{kind}' starts no run"
    assert one(incident, setup("pagerduty", events=[kind], node=TITLE)).refusal == ""


@pytest.mark.parametrize("action", ["Acknowledge", "AddNote", "EscalateNext", ""])
def test_people_at_work_on_an_opsgenie_alert_start_no_run(action: str) -> None:
    """Create starts, Close ends, the rest is people."""
    alert = {**body("opsgenie/fault"), "action": action}
    assert one(alert, setup("opsgenie")).refusal == f"action {action!r} starts no run"


def test_an_opsgenie_action_is_one_delivery() -> None:
    """A retry is the same; the next action on the alert is not."""
    create, close = (
        one(raw(f"opsgenie/{name}"), setup("opsgenie")) for name in ("fault", "closed")
    )
    assert create.delivery == one(raw("opsgenie/fault"), setup("opsgenie")).delivery
    assert create.delivery != close.delivery
    assert create.facts.generated_at == 1763608447.0


def test_a_jira_issue_that_is_done_is_a_recovery_notice() -> None:
    """A change of status to Done is one; a change of something else on a done issue is not."""
    issue = body("jira/moved")
    issue["changelog"]["items"][0]["toString"] = "Done"
    node = {"from": "issue.fields.summary", "pattern": r"on (\S+)"}
    done = one(issue, setup("jira", node=node))
    assert (done.resolved, done.refusal) == (True, "")
    issue["changelog"]["items"][0]["field"] = "labels"
    assert not one(issue, setup("jira", node=node)).resolved


def test_a_jsm_automation_rule_starts_a_run() -> None:
    """It has an issue and a time, no webhookEvent, and was sent on purpose."""
    issue = body("jira/moved")
    del issue["webhookEvent"]
    node = {"from": "issue.fields.labels.2"}
    event = one(issue, setup("jsm-automation", node=node))
    assert (event.refusal, event.facts.node) == ("", NODE)


# --- generic ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"dryrun": True}, 422),
        ({"runbook": 7}, 422),
        ({"runbook": None}, 422),
        ({"target_node": "Not_A_Node"}, 422),
        ({"target_node": "a/../b"}, 422),
        ({"target_node": ["a"]}, 422),
        ({"dry_run": "yes"}, 422),
        ({"labels": {"a": 1}}, 422),
        ({"payload": "text"}, 422),
        ({"idempotency_key": "k" * 256}, 422),
        ({"source": "a\nb"}, 422),
        ({"runbook": "../evil"}, 404),
        ({"runbook": "/etc/passwd"}, 404),
        ({"runbook": "a/b"}, 404),
        ({"runbook": "a..b"}, 404),
        ({"runbook": ""}, 404),
    ],
)
def test_a_wrong_run_request_is_refused(change: dict[str, Any], status: int) -> None:
    """Types, names and keys are strict: a misspelt dry_run must not be a real run."""
    with pytest.raises(Refused) as caught:
        read({**body("generic/fault"), **change}, setup("generic"))
    assert caught.value.status == status


@pytest.mark.parametrize("name", ["gpu-off-bus", "#rogue-moose", "rogue-moose"])
def test_a_runbook_goes_by_name_or_nickname(name: str) -> None:
    """With or without a leading #."""
    assert one({"runbook": name}, setup("generic")).runbook == name


def test_a_signed_body_is_recognised_whatever_its_headers_say() -> None:
    """Where the body alone is signed, unsigned headers cannot make a replay a new request;
    where a token is all there is, the sender's id counts."""
    asked = {"runbook": "gpu-off-bus"}
    signed = setup("generic", scheme="github")
    ids = {one(asked, signed, {**JSON, "X-GitHub-Delivery": d}).delivery for d in "ab"}
    assert len(ids) == 1
    plain = setup("generic")
    ids = {one(asked, plain, {**JSON, "Idempotency-Key": d}).delivery for d in "ab"}
    assert len(ids) == 2
    assert one(asked, plain).delivery == ""
    standard = setup("generic", scheme="standard-webhooks")
    assert one(asked, standard, {**JSON, "webhook-id": "msg_1"}).delivery == "msg_1"


def test_any_json_is_mapped_by_rules() -> None:
    """A generic source with rules takes what its sender likes to send."""
    rules = setup("generic", name="grid", node={"from": "host.name"}, check={"from": "what"})
    event = one({"host": {"name": "n1"}, "what": "GpuThermalWatch", "more": [1]}, rules)
    assert (event.facts.node, event.facts.check_name, event.refusal) == (
        "n1",
        "GpuThermalWatch",
        "",
    )
    assert event.source == "grid"


def test_every_sender_has_a_horizon() -> None:
    """PagerDuty repeats for two days; nobody for less than minutes."""
    assert one(raw("pagerduty/fault"), setup("pagerduty")).horizon == 48 * 3600
    assert all(sender.horizon >= 600 for sender in SENDERS.values())


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("alertmanager", {}),
        ("alertmanager", {"alerts": {}}),
        ("alertmanager", {"version": "3", "alerts": []}),
        ("opsgenie", {"action": "Create"}),
        ("jira", {"issue": {}}),
        ("jsm-automation", {"issue": 1}),
    ],
)
def test_another_senders_body_is_refused(kind: str, content: dict[str, Any]) -> None:
    """422 tells whoever set the sender up that this is the wrong endpoint."""
    with pytest.raises(Refused) as caught:
        read(content, setup(kind))
    assert caught.value.status == 422


def test_decoding_does_not_change_the_message() -> None:
    """The payload is the message as it was read."""
    before = body("pagerduty/fault")
    event = one(encoded(copy.deepcopy(before)), setup("pagerduty"))
    assert event.payload == before
