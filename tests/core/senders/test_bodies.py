import json

import msgspec
import pytest

from nvsx.core.senders import json_body
from nvsx.core.senders.http_request import Headers, RawRequest, Refused, quote
from nvsx.core.senders.instants import read_rfc3339, read_unix_time
from nvsx.core.senders.message_fields import (
    Finder,
    is_node_name,
    look_up,
    no_computation,
)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": 1}x', "not JSON"),
        (b"\xff\xfe{}", "not UTF-8 at byte 0"),
        (b'{"a": "\xc0\xa0"}', "not UTF-8 at byte 7"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8 at byte 7"),
        (b'{"a": 1, "b": 2, "a": 3}', "key 'a' is there twice"),
        (b'[{"x": {"k": 1, "k": 1}}]', "key 'k' is there twice"),
        (b'{"a": 1, "\\u0061": 2}', "key 'a' is there twice"),
        (b"[" * 33 + b"]" * 33, "deeper than 32"),
        (b"[" * 1_000_000, "deeper than 32"),
        (b'{"a":' * 100_000, "deeper than 32"),
        (b"[" + b"0," * 50_001 + b"0]", "more than 50000 values"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b"[1e999]", "too large"),
        (b"[" + b"9" * 5000 + b"]", "too large"),
        (b"[-1" + b"0" * 400 + b"]", "too large"),
        (rb'["\ud800"]', "half a surrogate pair"),
        (rb'{"\udfff": 1}', "half a surrogate pair"),
        (b'"' + b"\\" * 999_999, "not JSON"),
    ],
)  # fmt: skip
def test_a_body_that_could_hurt_is_refused(raw: bytes, why: str) -> None:
    """400, with the reason, before anything large or ambiguous is built."""
    with pytest.raises(Refused, match=why) as caught:
        json_body.parse_json(raw)
    assert caught.value.status == 400


def test_an_ordinary_body_is_what_json_says() -> None:
    """Texts that look like structure, escapes, pairs and nesting within the limits."""
    value = {"a": ['[{"', "\\", 1.5, -0.0, None, True], "温度": "😀", "deep": [[[[[{}]]]]]}
    for ascii_only in (True, False):
        assert json_body.parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


def test_whole_numbers_keep_every_digit() -> None:
    """64 bits are no limit, not in the parser and not in what the store keeps."""
    numbers = [2**63 - 1, 2**63, 2**63 + 1, -(2**63), -(2**63) - 1, 2**64, 10**30 + 1, 10**308]
    values = json_body.parse_json(json.dumps(numbers).encode())
    assert values == numbers
    assert all(type(value) is int for value in values)
    assert msgspec.json.decode(msgspec.json.encode(values)) == numbers


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2026-11-20T03:13:51.963024980Z", 1_795_144_431.96302498),
        ("2026-11-20T03:13:51.9Z", 1_795_144_431.9),
        ("2026-11-20T04:13:51+01:00", 1_795_144_431.0),
        ("2026-11-19T22:13:51-05:00", 1_795_144_431.0),
        ("2016-12-31T23:59:60Z", 1_483_228_800.0),
        ("0001-01-01T00:00:00Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-11-20", None),
        ("2026-11-20T03:13:51", None),
        ("٢026-11-20T03:13:51Z", None),
        ("9999-12-31T23:59:59-23:59", None),
        (17, None),
        (None, None),
    ],
)
def test_times_are_read_by_the_letter(text: object, seconds: float | None) -> None:
    """Any number of decimals; no zone, no such day or another format is no time."""
    found = read_rfc3339(text)
    assert found == (None if seconds is None else pytest.approx(seconds, abs=1e-6))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1763608447, 1763608447.0),
        (1763608447000, 1763608447.0),
        (1763608447482000000, 1763608447.482),
        ("1763608447000", 1763608447.0),
        (True, None),
        (-1, None),
        (12, None),
        ("soon", None),
        (None, None),
    ],
)
def test_unix_times_are_told_by_their_size(value: object, seconds: float | None) -> None:
    """Seconds, milliseconds and nanoseconds are decades apart."""
    assert read_unix_time(value) == (None if seconds is None else pytest.approx(seconds, abs=1e-3))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b", "1"),
        ("list.1.name", "x"),
        ("list.9.name", ""),
        ("list.x", ""),
        ("nvidia.com/gpu.product", "GB200"),
        ("a", ""),
        ("a.b.c", ""),
        ("flag", ""),
    ],
)
def test_a_path_leads_to_a_text(path: str, found: str) -> None:
    """Through objects, lists by number, and keys with dots; objects and flags are no text."""
    document = {
        "a": {"b": 1},
        "list": [{}, {"name": "x"}],
        "nvidia.com/gpu.product": "GB200",
        "flag": True,
    }
    text, reason = look_up(document, path)
    assert text == found
    assert bool(reason) == (not found)


def test_the_steps_tell_what_was_tried() -> None:
    """An operator reads why a value was or was not found."""
    finder = Finder({}, {}, no_computation)
    assert finder.find("node", ("label node", ""), ("label host", "n1")) == "n1"
    assert finder.find("check", ("label alertname", None)) == ""
    assert finder.steps == ["node: label host is 'n1'", "check: not in label alertname"]


@pytest.mark.parametrize("name", ["a", "gb200-r07-n03", "ip-10-0-0-1.ec2.internal", "1a", "a" * 63])
def test_node_names_are_dns_1123_subdomains(name: str) -> None:
    """Labels of up to 63 characters, with dots between."""
    assert is_node_name(name)


@pytest.mark.parametrize(
    "name", ["", "A", "a_b", "a/b", ".", "a.", "-a", "a-", "a" * 64, "a\n", "ä"]
)
def test_anything_else_is_no_node_name(name: str) -> None:
    """Nothing that a path, a shell or a header could take for something else."""
    assert not is_node_name(name)


def test_what_is_quoted_is_short_and_printable() -> None:
    """No control sequence and no page of text reaches a log through a refusal."""
    shown = quote("\x1b[31m\n" + "x" * 500)
    assert shown.isprintable()
    assert len(shown) <= 81


def test_a_header_that_is_there_twice_decides_nothing() -> None:
    """Which of the two counts would be a guess, so the request is refused."""
    headers = Headers([("Host", "a"), ("host", "b"), ("X", "1")])
    assert headers.get("x") == "1"
    with pytest.raises(Refused):
        headers.get("HOST")
    assert RawRequest(body=b"").media_type == ""
