from typing import Any

import pytest

from nvsx.core.watches import filters


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"healthevent.checkname": "SysLogsXIDError"},
        {"a": {"$in": [1, 2]}, "b": {"$not": {"$gte": 3}}, "c": {"$exists": True}},
        {"$or": [{"a": 1}, {"$and": [{"b": {"$regex": "^x"}}]}]},
        {"a": {"plain": {"nested": 1}}},
    ],
)
def test_supported_filters_pass(value: dict[str, Any]) -> None:
    """Every supported operator is accepted where it belongs."""
    assert filters.parse(value) == value


def test_json_text_is_the_same_as_a_mapping() -> None:
    """Early runbooks write the filter as JSON text."""
    assert filters.parse('{"a": {"$ne": null}}') == {"a": {"$ne": None}}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("{a: 1}", "not JSON"),
        ("[]", "mapping"),
        ({"a": {"$gtt": 1}}, r"\$gtt is not supported; did you mean \$gt"),
        ({"$where": "1"}, "not supported"),
        ({"a": {"$regex": "x", "$options": "i"}}, r"\(\?i\)"),
        ({"a": {"$in": 1}}, "list"),
        ({"a": {"$exists": 1}}, "true or false"),
        ({"a": {"$regex": "("}}, "does not compile"),
        ({"$and": []}, "list of filters"),
        ({"$or": [1]}, "list of filters"),
        ({"a": {"$not": 3}}, "condition"),
        ({"": 1}, "is not a name"),
        ({"a": {"$gt": 1, "x": 2}}, "operator x is not supported; use .eq"),
    ],
)
def test_wrong_filters_say_what_is_wrong(value: object, says: str) -> None:
    """Unknown operators and operands of the wrong kind are named."""
    with pytest.raises(ValueError, match=says):
        filters.parse(value)


def nest(operator: str, times: int) -> dict[str, Any]:
    """A filter with `operator` that many times within itself."""
    inner: dict[str, Any] = {"$eq": 1} if operator == "$not" else {"a": 1}
    for _ in range(times):
        inner = {"$not": inner} if operator == "$not" else {operator: [inner]}
    return {"a": inner} if operator == "$not" else inner


@pytest.mark.parametrize(("operator", "most"), [("$and", 16), ("$or", 16), ("$not", 15)])
def test_deep_filters_are_refused(operator: str, most: int) -> None:
    """Nesting has a limit, so a filter cannot exhaust the stack."""
    assert filters.parse(nest(operator, most))
    with pytest.raises(ValueError, match="nested deeper than 16 levels"):
        filters.parse(nest(operator, most + 1))


def test_the_place_of_a_json_mistake_is_told() -> None:
    """Characters count from 1."""
    with pytest.raises(ValueError, match=r"not JSON: .* at character 2;"):
        filters.parse("{a: 1}")
