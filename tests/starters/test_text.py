import json
from collections.abc import Callable

import pytest

Lib = Callable[..., str]

HOSTILE = [
    'a "quote" and a \\ backslash',
    "line one\nline two\r\n\ttabbed",
    "".join(map(chr, range(1, 32))) + "\x7f",
    "snö 東京 🔥 \u2028",
    '"},"routing_key":"x',
    "$(touch /tmp/x) `id` ${HOME} & \\& %s %n",
    "-n",
    "",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_json_string_round_trips(lib: Lib, text: str, locale: str) -> None:
    """Any text comes back unchanged from the JSON the hooks build, whatever the locale."""
    assert json.loads(lib("json_string", text, LC_ALL=locale)) == text


def test_json_string_survives_bytes_that_are_not_text(lib: Lib) -> None:
    """Bytes that are not UTF-8 are dropped, so that the message still gets through."""
    assert json.loads(lib("json_string", "a\udcffb\udcc3")) == "ab"


@pytest.mark.parametrize("limit", range(8, 30))
def test_clip_never_cuts_inside_a_character(lib: Lib, limit: int) -> None:
    """A text is cut to the limit in bytes and stays valid UTF-8."""
    cut = lib("clip", "東京🔥é" * 8, str(limit))
    assert len(cut.encode()) <= limit
    assert cut.endswith("...")


def test_clip_leaves_short_text_alone(lib: Lib) -> None:
    """What fits is not touched."""
    assert lib("clip", "東京", "6") == "東京"


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        ("999", "0s"),
        ("59999", "59s"),
        ("754321", "12m 34s"),
        ("3723000", "1h 02m 03s"),
        ("0754321", "12m 34s"),
        ("", ""),
        ("null", ""),
        ("-5", ""),
    ],
)
def test_durations_are_readable_and_never_made_up(lib: Lib, ms: str, text: str) -> None:
    """Milliseconds read as hours, minutes and seconds; anything else as nothing."""
    assert lib("human_ms", ms) == text


def test_slack_text_keeps_its_markup_characters_as_text(lib: Lib) -> None:
    """The characters Slack gives a meaning to are escaped."""
    assert lib("slack_escape", "<!channel> a & b") == "&lt;!channel&gt; a &amp; b"


def test_url_encoding_is_by_byte(lib: Lib) -> None:
    """An alias with slashes and other characters fits one path segment."""
    assert lib("url_encode", "prod/gpu-07/é ~") == "prod%2Fgpu-07%2F%C3%A9%20~"


def test_long_incident_keys_stay_different(lib: Lib) -> None:
    """Keys over PagerDuty's limit are shortened, and two that differ at the end still differ."""
    keys = [lib("incident_key", NVSX_INCIDENT_KEY="n" * 300 + end) for end in "ab"]
    assert keys[0] != keys[1]
    assert max(map(len, keys)) <= 255 - len("/overdue")
