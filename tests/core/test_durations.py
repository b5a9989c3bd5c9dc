from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from nvsx.core import durations
from nvsx.core.fields import Duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("15m", 900),
        ("1h30m", 5400),
        ("2d", 172800),
        ("0", 0),
        ("1.5h", 5400),
        ("400d", 34560000),
    ],
)
def test_parse_sums_units(text: str, seconds: float) -> None:
    """A duration is the sum of its numbers times their units."""
    assert durations.parse(text) == seconds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("30", "30s, 30m or 30h"),
        ("", "is empty"),
        ("-5m", "is negative"),
        ("5 minutes", "use s, m, h, d"),
        ("5M", "use s, m, h, d"),
        ("10ms", "use s, m, h, d"),
        ("1m1m", "names a unit twice"),
        ("400d1s", "longer than 400d"),
        ("\u0661s", "use s, m, h, d"),
    ],
)
def test_parse_says_what_is_wrong(text: str, says: str) -> None:
    """Text that is no duration is refused with a message for the person who wrote it."""
    with pytest.raises(ValueError, match=says):
        durations.parse(text)


@given(st.integers(min_value=0, max_value=400 * 86400))
def test_format_is_read_back(seconds: int) -> None:
    """What `format` writes, `parse` reads as the same number of whole seconds."""
    assert durations.parse(durations.format(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.25, "0.2s"),
        (59.5, "59.5s"),
        (59.97, "1m"),
        (60.4, "1m"),
        (3600, "1h"),
        (90061, "1d1h1m1s"),
        (-0.5, "-0.5s"),
        (-60, "-1m"),
    ],
)
def test_format_is_short(seconds: float, text: str) -> None:
    """Durations are shown with the fewest units that say them."""
    assert durations.format(seconds) == text


class Holder(BaseModel):
    wait: Duration


def test_numbers_are_seconds_in_code_and_refused_in_files() -> None:
    """A bare number is seconds to Python code, but too ambiguous for a file."""
    assert Holder(wait=90).wait == 90.0
    with pytest.raises(ValidationError, match="has no unit"):
        Holder.model_validate({"wait": 90}, context={"file": True})


@pytest.mark.parametrize("seconds", [0, 0.5, durations.MAX_SECONDS])
def test_numbers_within_the_limits_are_taken(seconds: float) -> None:
    """Both ends of what a duration may be belong to it."""
    assert Holder(wait=seconds).wait == seconds


@pytest.mark.parametrize("value", [-0.5, durations.MAX_SECONDS + 0.5, True, None])
def test_other_values_are_refused(value: Any) -> None:
    """Numbers outside the limits, and what is neither a number nor text, are no durations."""
    with pytest.raises(ValidationError, match="a duration"):
        Holder(wait=value)


def test_json_schema_of_a_duration_is_text() -> None:
    """Editors are told that a duration is text with a pattern, as people write it."""
    schema = Holder.model_json_schema()["properties"]["wait"]
    assert schema["type"] == "string"
    assert schema["pattern"] == durations.PATTERN
