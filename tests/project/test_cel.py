import pytest

from nvsx.core.patterns import MAX_TEXT
from nvsx.core.routing.route import TriggerFacts
from nvsx.project import cel

EVENT = TriggerFacts(
    check_name="SysLogsXIDError",
    error_codes=("79",),
    is_fatal=True,
    entities=(("GPU", "3"),),
    labels={"example.com/team": "ml"},
    generated_at=1000.5,
).event()


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ('event.checkName == "SysLogsXIDError"', True),
        ('"79" in event.errorCode', True),
        ("event.errorCode.exists(c, c == '48')", False),
        ('event.labels["example.com/team"] == "ml"', True),
        ('event.entities.exists(e, e.entityType == "GPU" && e.entityValue == "3")', True),
        ("event.isFatal && !event.isHealthy", True),
        ("event.generatedAt > 1000.0", True),
        ('has(event.nodeName) && event.nodeName == "x"', False),
        ('event.checkName.startsWith("SysLogs")', True),
    ],
)
def test_expressions_are_evaluated(expression: str, holds: bool) -> None:
    """Every documented key of `event` can be used."""
    assert cel.check(expression) == ""
    assert cel.evaluate(EVENT)(expression).holds is holds


def test_a_missing_key_is_no_match_with_the_reason() -> None:
    """An event without the key does not match, and the reason names the key."""
    truth = cel.evaluate(EVENT)('event.nodeName == "x"')
    assert truth == (False, "the event has no nodeName")


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("event.", "Syntax error"),
        ("foo == 1", "undeclared reference to 'foo' at character 1"),
        ("true &&\n bar", "at line 2, character 2"),
        ("1 + 1", "the expression is int, not true or false"),
        ("'x'", "not true or false"),
        ("true" + " || true" * 400, "longer than"),
        ('event.message.matches("(?:a?){1000}(?:a?){1000}(?:a?){1000}")', "4000 are the most"),
    ],
)
def test_what_does_not_compile_is_explained(expression: str, says: str) -> None:
    """A wrong expression is described in one line, with the place inside it."""
    message = cel.check(expression)
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "expression", ["event", "event.checkName", "event.", "event.errorCode[5] == 'x'"]
)
def test_evaluation_never_raises(expression: str) -> None:
    """What is neither true nor false does not hold, and says so."""
    truth = cel.evaluate(EVENT)(expression)
    assert not truth.holds
    assert truth.reason


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("body.alert.labels.node", ("gpu-1", "")),
        ("body.alert.labels.zone + '-1'", ("", "the body has no zone")),
        ("body.number", ("79", "")),
        ("body.alert", ("", "it gives no text")),
        ("body.empty", ("", "it gives no text")),
    ],
)
def test_a_rule_finds_a_text(expression: str, found: tuple[str, str]) -> None:
    """A rule of a webhook source gives a text or a reason, whatever the body holds."""
    body = {"alert": {"labels": {"node": "gpu-1"}}, "number": 79, "empty": ""}
    assert cel.check_value(expression) == ""
    assert cel.value(expression, body) == found


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_a_number_beyond_64_bits_does_not_spoil_the_message(number: int) -> None:
    """CEL has no such whole number; a rule finds what it asks for beside one."""
    body = {"node": "gpu-1", "alerts": [{"sequence": number}]}
    assert cel.value("body.node", body) == ("gpu-1", "")


@pytest.mark.parametrize(("length", "found"), [(MAX_TEXT, "whole"), (MAX_TEXT + 1, "cut")])
def test_a_long_text_is_cut(length: int, found: str) -> None:
    """A megabyte from a sender costs an expression no more than a long line."""
    asked = f"""body.alerts[0].text.endsWith("!") && body.alerts[0].text.size() == {length}"""
    body = {"alerts": [{"text": "a" * (length - 1) + "!"}]}
    assert cel.value(f'{asked} ? "whole" : "cut"', body) == (found, "")


def test_a_long_text_of_an_event_is_cut() -> None:
    """A condition's message may be as long as a tenant likes."""
    assert cel.evaluate({"message": "a" * 100_000})(f"event.message.size() == {MAX_TEXT}").holds


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("body.a.lowerAscii()", "gpu-node-a1.corp"),
        ("body.a.lowerAscii().split('.')[0]", "gpu-node-a1"),
        ("body.a.replace('GPU-', '')", "Node-A1.corp"),
        ("body.a.substring(0, 3)", "GPU"),
        ("body.a.extract('(?i)node-([a-z0-9]+)')", "A1"),
        ("body.a.extract('Node')", "Node"),
        ("body.a.extract('(?!x)N(.)de')", "o"),  # what RE2 refuses is searched as well
        ("body.a.matches('(?i)^gpu') ? 'yes' : 'no'", "yes"),
    ],
)
def test_the_usual_text_functions_are_there(expression: str, found: str) -> None:
    """Lower case, parts, replacement, and what a pattern's group matches."""
    assert cel.check_value(expression) == ""
    assert cel.value(expression, {"a": "GPU-Node-A1.corp"}) == (found, "")


@pytest.mark.parametrize("pattern", ["XID ([0-9]+)", "(", "(a+)+$"])
def test_a_pattern_without_a_match_extracts_nothing(pattern: str) -> None:
    """No match, no pattern at all, and one that would take years: nothing is found."""
    expression = f"body.a.extract('{pattern}')"
    assert cel.value(expression, {"a": "a" * 4000 + "!"}).value == ""


def test_true_and_false_answer_whether_it_is_resolved() -> None:
    """Only the rule for `resolved` may be true or false."""
    assert cel.check_value("body.state == 'ok'", boolean=True) == ""
    assert "not a text" in cel.check_value("body.state == 'ok'")
    assert cel.value("body.state == 'ok'", {"state": "ok"}).value == "true"
