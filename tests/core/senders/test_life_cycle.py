"""States, severities and times as senders write them."""

from typing import Any

import pytest
from tests.core.senders.bodies import JSON, one, setup

from nvsx.core.senders.instants import name_instant, read_rfc3339
from nvsx.core.senders.life_cycle import read_severity, read_state

GRID: dict[str, Any] = {"node": {"from": "host"}, "check": {"cel": "'SysLogsXIDError'"}}


@pytest.mark.parametrize(
    ("firing", "resolved"),
    [
        ("alerting", "ok"),
        ("firing", "resolved"),
        ("open", "closed"),
        ("triggered", "recovered"),
        ("problem", "OK"),
        ("ALARM", "OK"),
        ("ACTIVATED", "CLOSED"),
        ("incident.triggered", "incident.resolved"),
        ("Re-Triggered", "Recovered"),
        ("false", "true"),
    ],
)
def test_states_that_belong_together_pair_up(firing: str, resolved: str) -> None:
    """A generic body with the one may start a run, with the other it is a recovery notice."""
    events = [
        one({"host": "n1", "state": state}, setup("generic", resolved={"from": "state"}, **GRID))
        for state in (firing, resolved)
    ]
    assert [(e.resolved, e.facts.is_healthy, e.facts.is_fatal) for e in events] == [
        (False, False, True),
        (True, True, False),
    ]


@pytest.mark.parametrize("state", ["acknowledged", "ACK", "pending", "No Data", "snoozed"])
def test_peoples_work_on_an_alert_starts_nothing(state: str) -> None:
    """It is neither a fault nor its end."""
    assert read_state(state) == "other"
    event = one({"host": "n1", "status": state}, setup("generic", **GRID))
    assert "starts no run" in event.refusal


def test_an_unknown_state_is_going_on_and_said() -> None:
    """A word nobody knows hides no fault."""
    event = one({"host": "n1", "status": "wobbling"}, setup("generic", **GRID))
    assert (event.resolved, event.refusal, event.facts.is_fatal) == (False, "", True)
    assert "resolved: state 'wobbling' is not known: taken as going on" in event.steps


@pytest.mark.parametrize(
    ("word", "serious"),
    [
        ("critical", True),
        ("CRITICAL", True),
        ("crit", True),
        ("page", True),
        ("P1", True),
        ("p2", True),
        ("sev1", True),
        ("SEV-1", True),
        ("Sev 2", True),
        ("severity 1", True),
        ("S1", True),
        ("1 - Critical", True),
        ("disaster", True),
        ("major", True),
        ("High", True),
        ("error", True),
        ("fatal", True),
        ("emergency", True),
        ("Highest", True),
        ("P4", False),
        ("sev-5", False),
        ("warning", False),
        ("minor", False),
        ("4 - Low", False),
        ("info", False),
        ("Not classified", False),
        ("1", None),
        ("wake-somebody", None),
    ],
)
def test_severities_are_read_as_people_mean_them(word: str, serious: bool | None) -> None:
    """Spellings of every product; what is not known is serious, and said."""
    assert read_severity(word) is serious
    event = one(
        {"host": "n1", "severity": word}, setup("generic", severity={"from": "severity"}, **GRID)
    )
    assert event.facts.is_fatal is (serious is not False)
    said = f"severity: '{word}' is not known: taken as serious" in event.steps
    assert said is (serious is None)


@pytest.mark.parametrize(
    ("one_way", "other"),
    [
        ("2026-11-20T03:13:52Z", "2026-11-20T03:13:52+00:00"),
        ("2026-11-20T03:13:52.100Z", "2026-11-20T04:13:52.1+01:00"),
        ("2026-11-20T03:13:52Z", "2026-11-20T03:13:52+0000"),
    ],
)
def test_one_instant_has_one_name(one_way: str, other: str) -> None:
    """However its zone and its decimals are written; the next nanosecond is another."""
    assert name_instant(one_way) == name_instant(other)
    assert name_instant("2026-11-20T03:13:52.000000001Z") != name_instant("2026-11-20T03:13:52Z")
    assert name_instant("yesterday") == "yesterday"
    assert read_rfc3339(one_way) == read_rfc3339(other)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"began": "2026-11-20T03:13:52+00:00"}, True),
        ({"note": "another text"}, True),
        ({"began": "2026-11-20T03:13:53Z"}, False),
        ({"id": "b"}, False),
        ({"status": "closed"}, False),
    ],
)
def test_the_senders_own_identity_is_the_dedupe_key(change: dict[str, str], same: bool) -> None:
    """Key, state and time make a delivery; other differences make no second one."""
    rules = {**GRID, "key": {"from": "id"}, "time": {"from": "began"}}
    body = {"host": "n1", "id": "a", "status": "open", "began": "2026-11-20T03:13:52Z"}
    first, again = (one(b, setup("generic", **rules), JSON) for b in (body, {**body, **change}))
    assert (first.delivery == again.delivery) is same
    assert first.alert == "a"
    assert first.facts.generated_at == 1_795_144_432.0


def test_a_key_without_a_time_is_no_delivery() -> None:
    """The next fault of the same alert must not be taken for a repeat of the last."""
    event = one({"host": "n1", "id": "a"}, setup("generic", key={"from": "id"}, **GRID))
    assert (event.delivery, event.alert) == ("", "a")


def test_an_error_code_that_is_a_sentence_is_none() -> None:
    """A rule that finds rubbish has found nothing, and the next one is tried."""
    rules = [{"from": "text"}, {"from": "code"}]
    body = {"host": "n1", "text": "79 is what (it) said!", "code": 79}
    event = one(body, setup("generic", errorCode=rules, **GRID))
    assert event.facts.error_codes == ("79",)


def test_datadogs_trigger_and_recovery_are_one_alert_and_two_hosts_are_two() -> None:
    """Its default payload has no identity: title and scope are it, the state in front is not."""

    def datadog(state: str, host: str) -> Any:
        title = f"[{state} on {{host:{host}}}] GPU XID 79"
        return one({"title": title, "date": "1795144445316"}, setup("datadog"))

    fired, over, other = (
        datadog(*said) for said in (("Triggered", "n1"), ("Recovered", "n1"), ("Triggered", "n2"))
    )
    assert fired.alert == over.alert != other.alert
    assert len({fired.delivery, over.delivery, other.delivery}) == 3
