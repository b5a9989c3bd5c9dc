# ruff: noqa: E501 - one answer a line: the table is read by its columns
"""What an answer means for the next try; what is shortened how; what a secret may show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.fakes.vendors import WebhookStandIn, fails

from nvsx.core.masking import Masker
from nvsx.core.notify.target_port import DeliveryDelayed, DeliveryRefused
from nvsx.notify.target_secrets import TargetSecret, show_last
from nvsx.notify.targets import vendor_http
from nvsx.notify.targets.vendor_http import HttpAnswer, VendorHttp, read_reason, read_wait
from nvsx.notify.targets.wording import fit_key, shorten


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        (" 30 ", 30.0),
        ("-5", 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("nan", 0.0),
        ("3600", 3600.0),
        ("86400", 3600.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 28 Nov 2025 03:12:30 GMT", 30.0),
        ("Sat, 28 Nov 2026 03:12:30 GMT", 3600.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_date_within_bounds(
    monkeypatch: pytest.MonkeyPatch, said: str, seconds: float
) -> None:
    """It is 03:12:00; more than an hour is not believed."""
    monkeypatch.setattr(vendor_http, "time", lambda: 1764299520.0)
    assert read_wait({"Retry-After": said}) == seconds


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"message": "Event object is invalid", "errors": ["bad key"]}', "Event object is invalid · bad key"),
        ('{"errorMessages": ["No project"], "errors": {"rack": "unknown"}}', "No project · rack: unknown"),
        ('{"ok": false, "error": "invalid_auth"}', "invalid_auth"),
        ("invalid_payload", "invalid_payload"),
        ("<html><body>502 Bad Gateway</body></html>", ""),
        ("[1, 2]", "[1, 2]"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_reason_is_in_the_vendors_words(text: str, reason: str) -> None:
    """From where each vendor writes it; a gateway's page is no reason."""
    assert read_reason(HttpAnswer(400, {}, text)) == reason


async def test_no_text_of_an_error_has_a_secret_in_it(tmp_path: Path) -> None:
    """A vendor that repeats the key, or the URL that was asked, is masked."""
    secret = TargetSecret("audit", None, "KEY", tmp_path, {"KEY": "hunter2-hunter2"})
    async with WebhookStandIn() as vendor:
        http = VendorHttp("audit", [secret])
        url = f"{vendor.url}/hook/hunter2-hunter2"
        vendor.misbehave(fails(503))
        with pytest.raises(DeliveryDelayed) as delayed:
            await http.request("POST", url, json_body={})
        answer = HttpAnswer(400, {}, '{"message": "key hunter2-hunter2 is unknown"}')
        refused = http.refuse(answer, "the page")
        await vendor.go_down()
        with pytest.raises(DeliveryDelayed) as down:
            await http.request("POST", url, json_body={})
        await http.close()
    assert "key *** is unknown" in str(refused)
    for error in (delayed.value, down.value, refused):
        assert "hunter2" not in str(error)


@pytest.mark.parametrize("url", ["no-url", "ftp://example.com/x", "http://[bad/", "http://a:b:c/"])
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    """It will not become one by trying again."""
    http = VendorHttp("audit")
    with pytest.raises(DeliveryRefused, match="audit: "):
        await http.request("POST", url, json_body={})
    await http.close()


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY leads the request; NO_PROXY keeps it direct."""
    async with WebhookStandIn() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        http = VendorHttp("audit")
        await http.request("GET", "http://vendor.invalid/somewhere")
        assert proxy.requests[0].headers["Host"] == "vendor.invalid"
        await http.close()


@pytest.mark.parametrize(
    ("text", "most", "short"),
    [
        ("drain waits", 11, "drain waits"),
        ("drain waits for approval", 11, "drain…"),
        ("drain waits for approval", 12, "drain waits…"),
        ("drain waits, for approval", 14, "drain waits…"),
        ("averylongsinglename", 8, "averylo…"),
        ("a verylongsinglename", 12, "a verylongs…"),
        ("anything", 0, ""),
    ],
)
def test_words_are_shortened_at_their_ends(text: str, most: int, short: str) -> None:
    """A word is cut only where it is most of the text; the mark is within the limit."""
    assert shorten(text, most) == short
    assert len(short) <= most


def test_a_long_key_keeps_its_beginning_and_stays_different() -> None:
    """Exactly as long as it may be: as it is. Longer: cut, and still different."""
    assert fit_key("k" * 255, 255) == "k" * 255
    one, two = (fit_key("k" * 300 + end, 255) for end in "ab")
    assert len(one) == len(two) == 255
    assert one != two


@pytest.mark.parametrize(
    ("secret", "shown"), [("0123456789abcdef", "…cdef"), ("short-secret", "…")]
)
def test_of_a_key_the_last_four_characters_are_shown(secret: str, shown: str) -> None:
    """And of a short one nothing."""
    assert show_last(secret) == shown


def test_a_secret_is_learned_by_the_masker_and_shown_by_its_place_alone(tmp_path: Path) -> None:
    """Each value that was read is masked from then on, the old one too."""
    path, masker = tmp_path / "token", Masker()
    path.write_text("first-secret-value\n")
    secret = TargetSecret("oncall", "token", None, tmp_path, {}, masker)
    assert secret.read() == "first-secret-value"
    path.write_text("second-secret-value\n")
    assert secret.read() == "second-secret-value"
    assert masker.mask("first-secret-value second-secret-value") == "*** ***"
    assert repr(secret) == f"TargetSecret(file {path})"


@pytest.mark.parametrize(
    ("variable", "content", "said"),
    [
        ("KEY", None, "oncall: variable KEY is not set"),
        (None, None, "cannot be read: No such file or directory"),
        (None, b"", "is empty"),
        (None, b"\xff\xfe", "is no text"),
    ],
)
def test_a_secret_that_cannot_be_read_names_its_place(
    tmp_path: Path, variable: str | None, content: bytes | None, said: str
) -> None:
    """What is missing may come: it is waited for."""
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    file: Any = None if variable else "token"
    secret = TargetSecret("oncall", file, variable, tmp_path, {})
    with pytest.raises(DeliveryDelayed, match=said) as caught:
        secret.read()
    assert caught.value.unsure is False
