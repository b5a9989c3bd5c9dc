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
    ],
)
def test_wrong_filters_say_what_is_wrong(value: object, says: str) -> None:
    """Unknown operators and operands of the wrong kind are named."""
    with pytest.raises(ValueError, match=says):
        filters.parse(value)


def test_deep_filters_are_refused() -> None:
    """Nesting has a limit, so a filter cannot exhaust the stack."""
    value: dict[str, Any] = {"a": 1}
    for _ in range(100):
        value = {"$and": [value]}
    with pytest.raises(ValueError, match="nested deeper"):
        filters.parse(value)
