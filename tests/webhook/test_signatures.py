# ruff: noqa: E501 - one scheme a line: the table is read by its columns
import base64
import hashlib
import hmac
from typing import Any

import pytest

from nvsx.core.senders.http_request import Headers, RawRequest
from nvsx.core.senders.signatures import WINDOW, SignatureRule, why_not_authentic

NOW = 1_614_265_330.0
BODY = '{"event": {"id": "naïve 温度"}}'.encode()
OLD, NEW = b"old-secret", b"new-secret"
STAMPED = SignatureRule("grafana", timestamp_header="X-Grafana-Alerting-Timestamp")


def hexed(secret: bytes, content: bytes, method: str = "sha256") -> str:
    """An HMAC, computed without nvsx."""
    return hmac.new(secret, content, getattr(hashlib, method)).hexdigest()


def standard(secret: bytes, identity: str, stamp: str, content: bytes) -> str:
    """A Standard Webhooks signature, computed without nvsx."""
    signed = hmac.new(secret, f"{identity}.{stamp}.".encode() + content, hashlib.sha256)
    return "v1," + base64.b64encode(signed.digest()).decode()


def verdict(
    rule: SignatureRule,
    headers: dict[str, str],
    secrets: tuple[bytes, ...] = (OLD, NEW),
    content: bytes = BODY,
    now: float = NOW,
) -> str:
    """What is wrong; nothing for an authentic request."""
    return why_not_authentic(rule, RawRequest(body=content, headers=Headers(headers)), secrets, now)


WHSEC = b"whsec_" + base64.b64encode(NEW)
BASIC = "Basic " + base64.b64encode(b"alertmanager:pa:ss").decode()
AUTHENTIC: list[Any] = [
    pytest.param(SignatureRule("pagerduty"), {"X-PagerDuty-Signature": f"v1={hexed(NEW, BODY)}"}, (NEW,), id="pagerduty"),
    pytest.param(SignatureRule("grafana"), {"X-Grafana-Alerting-Signature": hexed(NEW, BODY)}, (NEW,), id="grafana"),
    pytest.param(
        STAMPED,
        {
            "X-Grafana-Alerting-Signature": hexed(NEW, b"1614265330:" + BODY),
            "X-Grafana-Alerting-Timestamp": "1614265330",
        },
        (NEW,),
        id="grafana with time",
    ),
    pytest.param(SignatureRule("github"), {"X-Hub-Signature-256": f"sha256={hexed(NEW, BODY)}"}, (NEW,), id="github"),
    pytest.param(SignatureRule("websub"), {"X-Hub-Signature": f"sha256={hexed(NEW, BODY)}"}, (NEW,), id="websub"),
    pytest.param(SignatureRule("websub"), {"X-Hub-Signature": f"sha512={hexed(NEW, BODY, 'sha512')}"}, (NEW,), id="websub 512"),
    pytest.param(
        SignatureRule("standard-webhooks"),
        {
            "webhook-id": "msg_1",
            "webhook-timestamp": "1614265330",
            "webhook-signature": standard(NEW, "msg_1", "1614265330", BODY),
        },
        (WHSEC,),
        id="standard",
    ),
    pytest.param(SignatureRule("bearer"), {"Authorization": "bearer new-secret"}, (NEW,), id="bearer"),
    pytest.param(SignatureRule("basic"), {"Authorization": BASIC}, (b"alertmanager:pa:ss",), id="basic"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "headers", "secrets"), AUTHENTIC)
def test_an_authentic_request_passes(
    rule: SignatureRule, headers: dict[str, str], secrets: tuple[bytes, ...]
) -> None:
    """With its secret alone, and with it as the second of two; never with another, with
    none, or with an empty one."""
    assert verdict(rule, headers, secrets) == ""
    assert verdict(rule, headers, (b"b2xk", *secrets)) == ""
    assert verdict(rule, headers, (b"b2xk",))
    assert verdict(rule, headers, ()) == "no secret is configured"
    assert verdict(rule, headers, (b"",)) == "no secret is configured"


@pytest.mark.parametrize(("rule", "headers", "secrets"), AUTHENTIC)
def test_one_changed_byte_fails(
    rule: SignatureRule, headers: dict[str, str], secrets: tuple[bytes, ...]
) -> None:
    """In the body, where it is signed, and anywhere in the header that proves it."""
    if rule.scheme not in ("bearer", "basic"):
        for at in range(len(BODY)):
            changed = BODY[:at] + bytes([BODY[at] ^ 1]) + BODY[at + 1 :]
            assert verdict(rule, headers, secrets, changed)
    for name, value in headers.items():
        for at in range(len(value)):
            other = "0" if value[at] != "0" else "1"
            changed_value = value[:at] + other + value[at + 1 :]
            assert verdict(rule, {**headers, name: changed_value}, secrets)


@pytest.mark.parametrize(("rule", "headers", "secrets"), AUTHENTIC)
def test_a_missing_or_empty_proof_fails(
    rule: SignatureRule, headers: dict[str, str], secrets: tuple[bytes, ...]
) -> None:
    """Every header of a scheme is needed, and the proof of another scheme is none."""
    for name in headers:
        assert verdict(rule, {k: v for k, v in headers.items() if k != name}, secrets)
        assert verdict(rule, {**headers, name: ""}, secrets)
    others = [p.values for p in AUTHENTIC if p.values[0].scheme != rule.scheme]
    for _, other, _ in others:
        assert verdict(rule, other, secrets)


def test_github_s_published_vector() -> None:
    """The example of GitHub's documentation."""
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    secret = b"It's a Secret to Everybody"
    assert (
        verdict(
            SignatureRule("github"), {"X-Hub-Signature-256": signature}, (secret,), b"Hello, World!"
        )
        == ""
    )


def test_standard_webhooks_known_vector() -> None:
    """The example the libraries of Standard Webhooks are tested with."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert (
        verdict(SignatureRule("standard-webhooks"), headers, (secret,), b'{"test": 2432232314}')
        == ""
    )


def test_during_rotation_pagerduty_sends_two_signatures() -> None:
    """One fitting entry is enough, in any place, with spaces, beside unknown versions."""
    good = f"v1={hexed(OLD, BODY)}"
    bad = f"v1={hexed(b'other', BODY)}"
    for header in (f"{bad},{good}", f" {good} , {bad} ", f"v2=abc,{good}"):
        assert verdict(SignatureRule("pagerduty"), {"X-PagerDuty-Signature": header}) == ""
    for header in (bad, f"v2={hexed(OLD, BODY)}", hexed(OLD, BODY), f"{bad},{bad}", ","):
        assert verdict(SignatureRule("pagerduty"), {"X-PagerDuty-Signature": header})


def test_candidates_are_bounded() -> None:
    """A header full of guesses is not compared to its end."""
    header = ",".join(["v1=0"] * 100 + [f"v1={hexed(OLD, BODY)}"])
    assert verdict(SignatureRule("pagerduty"), {"X-PagerDuty-Signature": header})


@pytest.mark.parametrize("offset", [-WINDOW - 1, WINDOW + 1, -1e9, 1e9])
@pytest.mark.parametrize("index", [2, 6])
def test_a_signed_time_has_to_be_near(index: int, offset: float) -> None:
    """A captured request is worthless five minutes later, and so is one from the future."""
    rule, headers, secrets = AUTHENTIC[index].values
    assert "away from now" in verdict(rule, headers, secrets, now=NOW + offset)
    near = offset / abs(offset) * (WINDOW - 1)
    assert verdict(rule, headers, secrets, now=NOW + near) == ""


@pytest.mark.parametrize("stamp", ["", "x", "1614265330.5", "-1", "١٦١٤٢٦٥٣٣٠", "1" * 13, "1e9"])
def test_a_time_that_is_no_unix_time_fails(stamp: str) -> None:
    """Only digits, and not too many."""
    headers = {
        "X-Grafana-Alerting-Signature": hexed(NEW, f"{stamp}:".encode() + BODY),
        "X-Grafana-Alerting-Timestamp": stamp,
    }
    assert "Unix time" in verdict(STAMPED, headers)


def test_a_time_that_is_not_configured_is_not_signed() -> None:
    """Without its setting Grafana signs the body alone; with it, the body alone is not enough."""
    headers = {"X-Grafana-Alerting-Signature": hexed(NEW, BODY)}
    assert verdict(SignatureRule("grafana"), {**headers, "X-Grafana-Alerting-Timestamp": "1"}) == ""
    assert verdict(STAMPED, {**headers, "X-Grafana-Alerting-Timestamp": "1614265330"})


def test_sha1_is_not_accepted() -> None:
    """GitHub's old header is a SHA-1, and WebSub's method list leaves it out."""
    old = {"X-Hub-Signature": f"sha1={hexed(NEW, BODY, 'sha1')}"}
    assert verdict(SignatureRule("websub"), old)
    assert verdict(SignatureRule("github", header="X-Hub-Signature"), old)


def test_header_names_can_be_set() -> None:
    """A proxy or a newer sender may name them otherwise."""
    rule = SignatureRule("github", header="X-Our-Signature")
    assert verdict(rule, {"x-our-signature": f"sha256={hexed(OLD, BODY)}"}) == ""


def test_a_reason_never_tells_a_secret() -> None:
    """Reasons are logged, so they name headers and nothing that was in them."""
    for param in AUTHENTIC:
        rule, headers, _ = param.values
        reason = verdict(rule, headers, (b"c2VjcmV0LXZhbHVl",))
        assert reason
        assert not any(v in reason for v in headers.values())
        assert "c2VjcmV0" not in reason


def test_two_proofs_prove_nothing() -> None:
    """A header that is there twice is refused."""
    pairs = [("Authorization", "Bearer old-secret"), ("Authorization", "Bearer x")]
    request = RawRequest(body=BODY, headers=Headers(pairs))
    assert "more than once" in why_not_authentic(SignatureRule("bearer"), request, (OLD,), NOW)
