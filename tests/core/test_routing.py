# ruff: noqa: E501 - one case a line: the tables are read by their columns
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from nvsx.core.incident.session import HealthEvent
from nvsx.core.routing.route import (
    EVENT_KEYS,
    Holds,
    TriggerFacts,
    Truth,
    find_unknown_event_keys,
    route,
)
from nvsx.core.runbook.schema import Runbook

XID_79 = TriggerFacts(
    node="gpu-1",
    check_name="SysLogsXIDError",
    error_codes=("79",),
    is_fatal=True,
    recommended_action="RESTART_BM",
    agent="syslog-health-monitor",
    component_class="GPU",
    labels={"team": "ml"},
)


def book(name: str, *triggers: dict[str, Any], tags: tuple[str, ...] = (), **stage: Any) -> Runbook:
    """A runbook with these triggers and tags, and one stage."""
    return Runbook.model_validate(
        {
            "apiVersion": "nvsx/v1",
            "kind": "Runbook",
            "metadata": {"name": name, "tags": list(tags)},
            "triggers": list(triggers),
            "stages": [{"id": "detect", **stage}],
        }
    )


def winner(event: TriggerFacts, *books: Runbook) -> str | None:
    """The name of the runbook that fires."""
    found = route(event, books).winner
    return found.name if found else None


def reason(event: TriggerFacts, only: Runbook) -> str:
    """Why the first rule of a runbook did or did not match."""
    return route(event, [only]).explanations[0].rules[0].reason


@pytest.mark.parametrize(
    "trigger",
    [
        {"check": "SysLogsXIDError"},
        {"check": "syslogsxiderror"},
        {"errorCode": [48, 79]},
        {"agent": "syslog-health-monitor"},
        {"componentClass": "gpu"},
        {"recommendedAction": "restart_bm"},
        {"labels": {"team": ["ml", "hpc"]}},
        {"check": "SysLogsXIDError", "errorCode": 79, "agent": "syslog-health-monitor"},
    ],
)
def test_a_trigger_matches_when_all_its_keys_do(trigger: dict[str, Any]) -> None:
    """Each criterion matches exactly and without regard to case; lists are alternatives."""
    assert winner(XID_79, book("a", trigger)) == "a"


@pytest.mark.parametrize(
    ("trigger", "why"),
    [
        ({"check": "XID"}, "check is SysLogsXIDError, not XID"),
        ({"errorCode": "7"}, "errorCode is 79, not 7"),
        ({"check": "SysLogsXIDError", "errorCode": 48}, "errorCode is 79, not 48"),
        ({"labels": {"team": "hpc"}}, "label team is ml, not hpc"),
        ({"labels": {"zone": "a"}}, "label zone is not said, not a"),
        ({"check": "SysLogsXIDError", "fatal": False}, "the event is fatal; `fatal: any` would let it through"),
        ({"check": "SysLogsXIDError", "strategy": "STORE_ONLY"}, "its strategy is EXECUTE_REMEDIATION; `strategy: [EXECUTE_REMEDIATION]` would let it through"),
    ],
)  # fmt: skip
def test_a_mismatch_says_why(trigger: dict[str, Any], why: str) -> None:
    """Parts of words never match, and the first key that does not fit is named."""
    assert winner(XID_79, book("a", trigger)) is None
    assert reason(XID_79, book("a", trigger)) == why


@pytest.mark.parametrize(
    "changes",
    [{"is_healthy": True}, {"is_fatal": False}, {"processing_strategy": "STORE_ONLY"}],
)
@pytest.mark.parametrize("how", ["trigger", "tag", "detect"])
def test_only_unhealthy_fatal_events_to_be_remediated_fire(
    changes: dict[str, Any], how: str
) -> None:
    """By default the rest fires nothing, however the runbook is routed."""
    by = {
        "trigger": book("a", {"errorCode": 79}),
        "tag": book("a", tags=("xid-79",)),
        "detect": book("a", watch=[{"kind": "node-condition", "type": "SysLogsXIDError"}]),
    }[how]
    event = TriggerFacts(check_name="SysLogsXIDError", error_codes=("79",), is_fatal=True)
    assert winner(event, by) == "a"
    changed = TriggerFacts(
        **{"check_name": "SysLogsXIDError", "error_codes": ("79",), "is_fatal": True, **changes}
    )
    assert winner(changed, by) is None


def test_a_trigger_may_widen() -> None:
    """Thermal warnings and stored-only events fire when a trigger says so; healthy never."""
    warm = TriggerFacts(check_name="GpuThermalWatch", processing_strategy="STORE_ONLY")
    wide = {"check": "GpuThermalWatch", "fatal": "any", "strategy": ["STORE_ONLY"]}
    assert winner(warm, book("a", wide)) == "a"
    assert (
        winner(TriggerFacts(check_name="GpuThermalWatch", is_healthy=True), book("a", wide)) is None
    )


def test_tags_route_only_without_triggers() -> None:
    """A tag that is the check, or xid-<code>, routes; with triggers, tags are only labels."""
    assert winner(XID_79, book("a", tags=("XID-79",))) == "a"
    assert winner(XID_79, book("a", tags=("sysLogsXidError",))) == "a"
    assert winner(XID_79, book("a", tags=("xid", "infra", "xid-7"))) is None
    assert winner(XID_79, book("a", {"errorCode": 48}, tags=("xid-79",))) is None


@pytest.mark.parametrize(
    ("watch", "fires"),
    [
        ({"type": "SysLogsXIDError"}, True),
        ({"type": ["X", "syslogsxiderror"], "errorCode": 79}, True),
        ({"type": "SysLogsXIDError", "errorCode": 48}, False),
        ({"type": "SysLogsXIDError", "status": "False"}, False),
        ({"type": "SysLogsXIDError", "absent": True}, False),
        ({"type": "SysLogs"}, False),
    ],
)
def test_the_detect_stage_routes_last(watch: dict[str, Any], fires: bool) -> None:
    """Without triggers, a condition the detect stage waits for routes, its codes included."""
    by_detect = book("a", watch=[{"kind": "node-condition", **watch}])
    assert (winner(XID_79, by_detect) == "a") is fires


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"errorCode": 79}, {"check": "SysLogsXIDError", "agent": "syslog-health-monitor"}),
        ({"check": "SysLogsXIDError"}, {"agent": "syslog-health-monitor", "componentClass": "GPU"}),
        ({"check": "SysLogsXIDError", "errorCode": 79}, {"errorCode": 79}),
        ({"errorCode": 79}, {"errorCode": [79, 48]}),
        ({"agent": "syslog-health-monitor", "labels": {"team": "ml"}}, {"agent": "syslog-health-monitor"}),
    ],
)  # fmt: skip
def test_the_most_specific_wins(better: dict[str, Any], worse: dict[str, Any]) -> None:
    """Code before check before the number of criteria before fewer alternatives."""
    for books in (book("a", better), book("b", worse)), (book("b", worse), book("a", better)):
        assert winner(XID_79, *books) == "a"


def test_triggers_go_before_tags_and_tags_before_detect() -> None:
    """An explicit trigger beats a tag of the same weight."""
    check = {"check": "SysLogsXIDError"}
    tag = book("tag", tags=("SysLogsXIDError",))
    detect = book("detect", watch=[{"kind": "node-condition", "type": "SysLogsXIDError"}])
    assert winner(XID_79, detect, tag, book("trigger", check)) == "trigger"
    assert winner(XID_79, detect, tag) == "tag"


def test_a_tie_fires_nothing() -> None:
    """Two equally specific runbooks are named, and neither fires."""
    result = route(XID_79, [book("a", {"errorCode": 79}), book("b", {"errorCode": 79})])
    assert (result.winner, result.tie) == (None, ("a", "b"))
    assert result.reason == "a and b match equally well, so none fires"


CATCH_ALL = {"default": True}


def test_the_catch_all_takes_what_no_other_matches() -> None:
    """It fires for a code nobody names, says so, and never before another match, however wide."""
    wide = book("wide", {"componentClass": "GPU"})
    assert winner(XID_79, wide, book("rest", CATCH_ALL)) == "wide"
    other = msgspec.structs.replace(XID_79, component_class="NIC")
    result = route(other, [wide, book("rest", CATCH_ALL)])
    assert result.winner is not None
    assert result.reason == (
        "rest: triggers[0] is the catch-all (default: true): it takes what no other runbook matches"
    )


@pytest.mark.parametrize(
    ("changes", "taken", "why"),
    [
        ({}, True, ""),
        ({"is_fatal": False}, False, "the event is not fatal, and the node is not quarantined for it"),
        ({"is_fatal": False, "quarantined": True}, True, ""),
        ({"processing_strategy": "STORE_ONLY"}, False, "its strategy is STORE_ONLY: NVSentinel does not act on it"),
        ({"processing_strategy": "STORE_ONLY", "quarantined": True}, True, ""),
        ({"is_healthy": True, "quarantined": True}, False, "the event is healthy"),
        ({"check_name": "CSPMaintenance", "quarantined": True}, False, "it is planned work, which the catch-all leaves to a runbook that names it"),
        ({"labels": {"maintenanceRequestName": "m1"}, "quarantined": True}, False, "it is planned work, which the catch-all leaves to a runbook that names it"),
        ({"labels": {"maintenanceRequestName": ""}}, True, ""),
        ({"source": "grafana", "catch_all": False}, False, "alerts of grafana go to the catch-all only with serve.sources.grafana.default: true in nvsx.yaml"),
        ({"source": "grafana", "catch_all": True}, True, ""),
    ],
)  # fmt: skip
def test_the_catch_all_takes_faults_and_quarantines_only(
    changes: dict[str, Any], taken: bool, why: str
) -> None:
    """What NVSentinel acts on is taken; what nothing follows from, planned work and alerts of a
    source that did not ask for it are left, each with its reason."""
    event = msgspec.structs.replace(XID_79, **changes)
    rest = book("rest", CATCH_ALL)
    assert (winner(event, rest) == "rest") is taken
    assert taken or reason(event, rest) == why


def test_two_catch_alls_are_a_tie() -> None:
    """Neither of two fires, as for all others."""
    result = route(XID_79, [book("a", CATCH_ALL), book("b", CATCH_ALL)])
    assert (result.winner, result.tie) == (None, ("a", "b"))


def test_a_runbook_can_have_the_catch_all_beside_a_trigger() -> None:
    """Its own trigger keeps its weight, and what is left comes to it as well."""
    both = book("both", {"errorCode": 79}, CATCH_ALL)
    assert winner(XID_79, book("check", {"check": "SysLogsXIDError"}), both) == "both"
    assert winner(msgspec.structs.replace(XID_79, error_codes=("48",)), both) == "both"


def test_a_runbook_that_causes_faults_never_fires() -> None:
    """A drill is started by people, whatever its tags say."""
    drill = Runbook.model_validate(
        {
            "apiVersion": "nvsx/v1",
            "kind": "Runbook",
            "metadata": {"name": "d", "tags": ["drill", "xid-79"]},
            "stages": [{"id": "inject"}, {"id": "detect"}],
        }
    )
    assert winner(XID_79, drill) is None


def test_expressions_are_asked_of_the_port() -> None:
    """`when` sees the event by its documented keys; its reason becomes the rule's."""
    seen: list[Mapping[str, object]] = []

    def evaluate(event: Mapping[str, object]) -> Holds:
        seen.append(event)
        return lambda expression: Truth(expression == "yes", "because")

    assert route(XID_79, [book("a", {"when": "yes"})], evaluate).winner
    refused = route(XID_79, [book("a", {"when": "no"})], evaluate)
    assert refused.explanations[0].rules[0].reason == "when: because"
    assert seen[0]["errorCode"] == ["79"]
    assert set(seen[0]) <= set(EVENT_KEYS)


def test_without_an_evaluator_no_expression_holds() -> None:
    """A `when` that nobody evaluates does not match by accident."""
    result = route(XID_79, [book("a", {"when": "true"})])
    assert result.winner is None
    assert "not evaluated" in result.explanations[0].rules[0].reason


def test_what_a_source_did_not_say_is_no_key() -> None:
    """An expression over a missing fact is no match instead of a match with nothing."""
    assert set(TriggerFacts().event()) == {
        "errorCode",
        "isFatal",
        "isHealthy",
        "entities",
        "labels",
        "processingStrategy",
    }


def test_facts_come_from_health_events() -> None:
    """NVSentinel's own events carry over whole."""
    facts = TriggerFacts.of(
        HealthEvent(check="A", node="n", error_codes=("1",), action="NONE", fatal=True),
        source="watch",
    )
    assert (facts.check_name, facts.node, facts.error_codes) == ("A", "n", ("1",))
    assert (facts.is_fatal, facts.recommended_action, facts.source) == (True, "NONE", "watch")
    assert facts.generated_at is None


def test_unknown_event_keys_are_found() -> None:
    """Keys no event has are found, texts in quotes are left alone."""
    expression = 'event.checkNme == "event.foo" && event.labels["x"] == "y" && has(event.nodename)'
    assert find_unknown_event_keys(expression) == ("checkNme", "nodename")


DETECT = {"kind": "node-condition", "type": "SysLogsXIDError"}


@pytest.mark.parametrize(
    ("only", "rule", "reason", "specificity"),
    [
        (book("a", {"errorCode": [79, 48]}), "triggers[0]", "triggers[0] matches errorCode 79|48", (1, 0, 1, 2, -2)),
        (book("a", {"check": "SysLogsXIDError"}), "triggers[0]", "triggers[0] matches check SysLogsXIDError", (0, 1, 1, 2, -1)),
        (book("a", {"when": "yes"}), "triggers[0]", "triggers[0] matches when", (0, 1, 1, 2, 0)),
        (book("a", {"labels": {"team": "ml"}}), "triggers[0]", "triggers[0] matches labels team=ml", (0, 0, 1, 2, -1)),
        (
            book("a", {"agent": "syslog-health-monitor", "labels": {"team": ["ml", "x"], "zone": "a"}}),
            "triggers[0]",
            "triggers[0] matches agent syslog-health-monitor, labels team=ml|x|zone=a",
            (0, 0, 3, 2, -4),
        ),
        (book("a", tags=("XID-79",)), "tag XID-79", "tag XID-79 is its error code", (1, 0, 1, 1, -1)),
        (book("a", tags=("SysLogsXIDError",)), "tag SysLogsXIDError", "tag SysLogsXIDError is its check", (0, 1, 1, 1, -1)),
        (book("a", watch=[DETECT]), "detect watch SysLogsXIDError", "detect watch SysLogsXIDError is its check", (0, 1, 1, 0, -1)),
        (
            book("a", watch=[{**DETECT, "type": ["SysLogsXIDError", "B"], "errorCode": 79}]),
            "detect watch SysLogsXIDError|B",
            "detect watch SysLogsXIDError|B is its check",
            (1, 1, 2, 0, -3),
        ),
    ],
)  # fmt: skip
def test_each_rule_has_its_weight(
    only: Runbook, rule: str, reason: str, specificity: tuple[int, ...]
) -> None:
    """Code, check or expression, number of criteria, kind of rule, fewer alternatives."""
    event = msgspec.structs.replace(XID_79, labels={"team": "ml", "zone": "a"})
    result = route(event, [only], lambda _: lambda expression: Truth(expression == "yes"))
    (judged,) = result.explanations[0].rules
    assert (judged.rule, judged.matched, judged.reason) == (rule, True, reason)
    assert judged.specificity == specificity
    assert result.reason == f"a: {reason}"


def test_a_runbook_competes_with_its_best_rule() -> None:
    """Its weaker rules neither help nor harm it."""
    both = book("a", {"agent": "syslog-health-monitor"}, {"errorCode": 79})
    for books in ((both, book("b", {"check": "SysLogsXIDError"})),):
        assert winner(XID_79, *books) == "a"
        assert winner(XID_79, *reversed(books)) == "a"


@pytest.mark.parametrize(
    ("healthy", "reason"),
    [
        (True, "a healthy event fires nothing"),
        (False, "no runbook matches SysLogsXIDError 79"),
    ],
)
def test_why_nothing_fires(healthy: bool, reason: str) -> None:
    """In one sentence for a person."""
    event = msgspec.structs.replace(XID_79, is_healthy=healthy)
    result = route(event, [book("a", {"errorCode": 48})])
    assert (result.winner, result.tie, result.reason) == (None, (), reason)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"is_fatal": False, "severity": "P4", "source": "alertmanager"},
            "severity P4 is not serious; serve.sources.alertmanager.severity in nvsx.yaml says",
        ),
        ({"is_fatal": False}, "a is for it, but it is not fatal; `fatal: any` in its triggers"),
        (
            {"processing_strategy": "STORE_ONLY", "source": "poll"},
            "a is for it, but its strategy is STORE_ONLY, so NVSentinel does not act on it",
        ),
        (
            {"error_codes": (), "source": "grid"},
            "no error code was found (serve.sources.grid.errorCode in nvsx.yaml says where it is)",
        ),
        (
            {"check_name": "GPUX", "error_codes": ("5",), "source": "grid"},
            "no runbook matches GPUX 5; serve.sources.grid.check in nvsx.yaml says which check",
        ),
        (
            {"check_name": "", "error_codes": (), "source": "grid"},
            "it names no check; serve.sources.grid.check or .runbook in nvsx.yaml does",
        ),
    ],
)
def test_the_reason_is_what_would_change_it(changes: dict[str, Any], says: str) -> None:
    """The most specific one, with the line of nvsx.yaml or of the runbook."""
    event = msgspec.structs.replace(XID_79, **changes)
    result = route(event, [book("a", {"check": "SysLogsXIDError", "errorCode": 79})])
    assert result.winner is None
    assert says in result.reason


def test_an_alert_goes_by_its_own_name_before_its_meaning() -> None:
    """A runbook for the alert's name takes it; without one, the runbook for what it means; a
    catch-all comes after both."""
    event = msgspec.structs.replace(
        XID_79, check_name="GPUX", meant_check="SysLogsXIDError", meant_codes=("79",)
    )
    named, meant = book("a", {"check": "GPUX"}), book("b", {"check": "SysLogsXIDError"})
    rest = book("c", {"default": True})
    assert winner(event, named, meant, rest) == "a"
    assert winner(event, meant, rest) == "b"
    assert winner(event, rest) == "c"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"is_healthy": True}, "the event is healthy"),
        (
            {"is_fatal": False},
            "the event is not fatal; only a `triggers` entry with `fatal: any` takes it",
        ),
        (
            {"processing_strategy": "STORE_ONLY"},
            "its strategy is STORE_ONLY; only a `triggers` entry with `strategy` takes it",
        ),
    ],
)
@pytest.mark.parametrize("only", [book("a", tags=("xid-79",)), book("a", watch=[DETECT])])
def test_tags_and_detect_watches_say_why_not(
    changes: dict[str, Any], why: str, only: Runbook
) -> None:
    """They take only what is to be repaired."""
    assert reason(msgspec.structs.replace(XID_79, **changes), only) == why
    other = msgspec.structs.replace(XID_79, check_name="B", error_codes=("1",), **changes)
    assert reason(other, only) != why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"check_name": "B"}, "the check is B"),
        ({"check_name": ""}, "the check is not said"),
        ({"error_codes": ("1", "2")}, "errorCode is 1 or 2, not 79"),
    ],
)
def test_a_detect_watch_says_what_differs(changes: dict[str, Any], why: str) -> None:
    """Check first, then the error codes."""
    only = book("a", watch=[{**DETECT, "errorCode": 79}])
    assert reason(msgspec.structs.replace(XID_79, **changes), only) == why


def test_a_false_expression_without_a_reason_is_false() -> None:
    """An evaluator need not say why."""
    result = route(XID_79, [book("a", {"when": "x"})], lambda _: lambda _: Truth(False))
    assert result.explanations[0].rules[0].reason == "when: is false"


@pytest.mark.parametrize("generated", [0.0, 5.0])
def test_an_event_has_what_was_said(generated: float) -> None:
    """Entities with their names, and the time only where there is one."""
    event = HealthEvent(check="A", node="n", entities=(("PCI", "b3"),), generated_at=generated)
    said = TriggerFacts.of(event).event()
    assert said["entities"] == [{"entityType": "PCI", "entityValue": "b3"}]
    assert said.get("generatedAt") == (generated or None)
