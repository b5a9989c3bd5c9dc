"""Signatures of webhooks, checked over the bytes as received. Pure: no clock, no files.

The endpoint's configuration chooses the scheme; the headers of a request never do. Every
candidate is compared with every live secret in constant time, without stopping early.
Signed times may differ from ours by 300 s. SHA-1 (GitHub's old X-Hub-Signature) is not
offered. Sources: PagerDuty/developer-docs docs/webhooks/04-Signatures.md;
grafana/alerting http/hmac.go; GitHub "Validating webhook deliveries"; WebSub section 7.1;
https://github.com/standard-webhooks/standard-webhooks; RFC 6750, RFC 7617.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from nvsx.core.senders.http_request import RawRequest
from nvsx.core.senders.refusals import Refused
from nvsx.core.senders.sources import Scheme

WINDOW = 300.0
"""Seconds a signed time may be off, either way."""

#: Schemes for which the body is not needed: the caller can be turned away before it is read.
HEADER_ONLY: frozenset[Scheme] = frozenset({"bearer", "basic"})

_MAX_CANDIDATES = 16
_WEBSUB = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}


class Rule(msgspec.Struct, frozen=True):
    """How the requests of one source are signed. Headers: "" for the scheme's own."""

    scheme: Scheme
    header: str = ""
    timestamp_header: str = ""


def check(rule: Rule, request: RawRequest, secrets: Sequence[bytes], now: float) -> str:
    """Why the request is not authentic, for the log, not for the caller; "" when it is.

    `now` is in Unix seconds. Without any secret nothing is authentic.
    """
    live = [secret for secret in secrets if secret]
    if not live:
        return "no secret is configured"
    try:
        return _CHECKS[rule.scheme](rule, request, live, now)
    except Refused as exc:
        return exc.message


def mac(secret: bytes, *parts: bytes, method: str = "sha256") -> str:
    """Lower-case hex HMAC of the parts in a row."""
    digest = hmac.new(secret, digestmod=_WEBSUB[method])
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def same(candidates: Iterable[str], expected: Iterable[str]) -> bool:
    """Whether a candidate is among the expected. Compares each with each."""
    wanted = [_bytes(text) for text in expected]
    found = False
    for candidate in list(candidates)[:_MAX_CANDIDATES]:
        for want in wanted:
            found |= hmac.compare_digest(_bytes(candidate), want)
    return found


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _pagerduty(rule: Rule, request: RawRequest, secrets: Sequence[bytes], now: float) -> str:  # noqa: ARG001
    header = rule.header or "X-PagerDuty-Signature"
    entries = [entry.strip() for entry in request.headers.listed(header).split(",")]
    candidates = [e.removeprefix("v1=") for e in entries if e.startswith("v1=")]
    if not candidates:
        return f"{header} is missing or has no v1 entry"
    expected = [mac(secret, request.body) for secret in secrets]
    return "" if same(candidates, expected) else f"{header} does not match"


def _grafana(rule: Rule, request: RawRequest, secrets: Sequence[bytes], now: float) -> str:
    header = rule.header or "X-Grafana-Alerting-Signature"
    candidate = request.headers.get(header)
    if not candidate:
        return f"{header} is missing"
    prefix = b""
    if rule.timestamp_header:
        stamp = request.headers.get(rule.timestamp_header)
        if wrong := _stale(stamp, rule.timestamp_header, now):
            return wrong
        prefix = f"{stamp}:".encode()
    expected = [mac(secret, prefix, request.body) for secret in secrets]
    return "" if same([candidate], expected) else f"{header} does not match"


def _github(rule: Rule, request: RawRequest, secrets: Sequence[bytes], now: float) -> str:  # noqa: ARG001
    header = rule.header or "X-Hub-Signature-256"
    candidate = request.headers.get(header)
    if not candidate.startswith("sha256="):
        return f"{header} is missing or not sha256"
    expected = [f"sha256={mac(secret, request.body)}" for secret in secrets]
    return "" if same([candidate], expected) else f"{header} does not match"


def _websub(rule: Rule, request: RawRequest, secrets: Sequence[bytes], now: float) -> str:  # noqa: ARG001
    header = rule.header or "X-Hub-Signature"
    method, _, candidate = request.headers.get(header).partition("=")
    if method not in _WEBSUB or not candidate:
        return f"{header} is missing or its method is none of {', '.join(_WEBSUB)}"
    expected = [mac(secret, request.body, method=method) for secret in secrets]
    return "" if same([candidate], expected) else f"{header} does not match"


def _standard(rule: Rule, request: RawRequest, secrets: Sequence[bytes], now: float) -> str:  # noqa: ARG001
    identity = request.headers.get("webhook-id")
    stamp = request.headers.get("webhook-timestamp")
    entries = request.headers.get("webhook-signature").split()
    candidates = [e.removeprefix("v1,") for e in entries if e.startswith("v1,")]
    if not identity or not candidates:
        return "webhook-id or a v1 entry of webhook-signature is missing"
    if wrong := _stale(stamp, "webhook-timestamp", now):
        return wrong
    expected = []
    for secret in secrets:
        key = standard_key(secret)
        if key is None:
            return "the secret is not base64"
        signed = hmac.digest(key, _bytes(f"{identity}.{stamp}.") + request.body, "sha256")
        expected.append(base64.b64encode(signed).decode())
    return "" if same(candidates, expected) else "webhook-signature does not match"


def standard_key(secret: bytes) -> bytes | None:
    """The key in a Standard Webhooks secret: base64, after `whsec_`. None when it is not."""
    try:
        return base64.b64decode(secret.removeprefix(b"whsec_"), validate=True) or None
    except binascii.Error:
        return None


def _bearer(rule: Rule, request: RawRequest, secrets: Sequence[bytes], now: float) -> str:  # noqa: ARG001
    token = bearer_token(request)
    if not token:
        return "no bearer token"
    expected = (secret.decode("utf-8", "surrogateescape") for secret in secrets)
    return "" if same([token], expected) else "the bearer token is not the configured one"


def bearer_token(request: RawRequest) -> str:
    """The token of `Authorization: Bearer …`; "" when there is none."""
    scheme, _, token = request.headers.get("authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _basic(rule: Rule, request: RawRequest, secrets: Sequence[bytes], now: float) -> str:  # noqa: ARG001
    pair = basic_pair(request)
    if not pair:
        return "no basic credentials"
    expected = (secret.decode("utf-8", "surrogateescape") for secret in secrets)
    return "" if same([pair], expected) else "the credentials are not the configured ones"


def basic_pair(request: RawRequest) -> str:
    """`user:password` of `Authorization: Basic …`; "" when there is none."""
    scheme, _, coded = request.headers.get("authorization").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(coded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _stale(stamp: str, header: str, now: float) -> str:
    if not re.fullmatch(r"[0-9]{1,12}", stamp):
        return f"{header} is missing or no Unix time"
    if abs(now - int(stamp)) > WINDOW:
        return f"{header} is more than {WINDOW:.0f} s away from now"
    return ""


_CHECKS: Mapping[Scheme, Callable[[Rule, RawRequest, Sequence[bytes], float], str]] = {
    "pagerduty": _pagerduty,
    "grafana": _grafana,
    "github": _github,
    "websub": _websub,
    "standard-webhooks": _standard,
    "bearer": _bearer,
    "basic": _basic,
}
