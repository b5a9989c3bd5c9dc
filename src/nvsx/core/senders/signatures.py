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
from typing import NamedTuple

import msgspec

from nvsx.core.senders.http_request import RawRequest, Refused

WINDOW = 300.0
"""Seconds a signed time may be off, either way."""

_MAX_CANDIDATES = 16
_WEBSUB = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}


class SignatureRule(msgspec.Struct, frozen=True):
    """How the requests of one source are signed. Headers: "" for the scheme's own."""

    scheme: str
    header: str = ""
    timestamp_header: str = ""


class Claim(NamedTuple):
    """A request, how it has to be signed, with which secrets, and the time (Unix seconds)."""

    rule: SignatureRule
    request: RawRequest
    secrets: Sequence[bytes]
    now: float


def why_not_authentic(
    rule: SignatureRule, request: RawRequest, secrets: Sequence[bytes], now: float
) -> str:
    """Why the request is not authentic, for the log, not for the caller; "" when it is.

    `now` is in Unix seconds. Without any secret nothing is authentic.
    """
    live = [secret for secret in secrets if secret]
    if not live:
        return "no secret is configured"
    try:
        return SCHEMES[rule.scheme].check(Claim(rule, request, live, now))
    except Refused as exc:
        return exc.message


def hex_mac(secret: bytes, *parts: bytes, method: str = "sha256") -> str:
    """Lower-case hex HMAC of the parts in a row."""
    digest = hmac.new(secret, digestmod=_WEBSUB[method])
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def any_matches(candidates: Iterable[str], expected: Iterable[str]) -> bool:
    """Whether a candidate is among the expected. Compares each with each."""
    wanted = [_encode_text(text) for text in expected]
    found = False
    for candidate in list(candidates)[:_MAX_CANDIDATES]:
        for want in wanted:
            found |= hmac.compare_digest(_encode_text(candidate), want)
    return found


def _encode_text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _check_pagerduty(claim: Claim) -> str:
    header = claim.rule.header or "X-PagerDuty-Signature"
    entries = [entry.strip() for entry in claim.request.headers.listed(header).split(",")]
    candidates = [e.removeprefix("v1=") for e in entries if e.startswith("v1=")]
    if not candidates:
        return f"{header} is missing or has no v1 entry"
    expected = [hex_mac(secret, claim.request.body) for secret in claim.secrets]
    return "" if any_matches(candidates, expected) else f"{header} does not match"


def _check_grafana(claim: Claim) -> str:
    header = claim.rule.header or "X-Grafana-Alerting-Signature"
    candidate = claim.request.headers.get(header)
    if not candidate:
        return f"{header} is missing"
    prefix = b""
    if claim.rule.timestamp_header:
        stamp = claim.request.headers.get(claim.rule.timestamp_header)
        if wrong := _why_stale(stamp, claim.rule.timestamp_header, claim.now):
            return wrong
        prefix = f"{stamp}:".encode()
    expected = [hex_mac(secret, prefix, claim.request.body) for secret in claim.secrets]
    return "" if any_matches([candidate], expected) else f"{header} does not match"


def _check_github(claim: Claim) -> str:
    header = claim.rule.header or "X-Hub-Signature-256"
    candidate = claim.request.headers.get(header)
    if not candidate.startswith("sha256="):
        return f"{header} is missing or not sha256"
    expected = [f"sha256={hex_mac(secret, claim.request.body)}" for secret in claim.secrets]
    return "" if any_matches([candidate], expected) else f"{header} does not match"


def _check_websub(claim: Claim) -> str:
    header = claim.rule.header or "X-Hub-Signature"
    method, _, candidate = claim.request.headers.get(header).partition("=")
    if method not in _WEBSUB or not candidate:
        return f"{header} is missing or its method is none of {', '.join(_WEBSUB)}"
    expected = [hex_mac(secret, claim.request.body, method=method) for secret in claim.secrets]
    return "" if any_matches([candidate], expected) else f"{header} does not match"


def _check_standard_webhooks(claim: Claim) -> str:
    identity = claim.request.headers.get("webhook-id")
    stamp = claim.request.headers.get("webhook-timestamp")
    entries = claim.request.headers.get("webhook-signature").split()
    candidates = [e.removeprefix("v1,") for e in entries if e.startswith("v1,")]
    if not identity or not candidates:
        return "webhook-id or a v1 entry of webhook-signature is missing"
    if wrong := _why_stale(stamp, "webhook-timestamp", claim.now):
        return wrong
    expected = []
    for secret in claim.secrets:
        key = _standard_key(secret)
        if key is None:
            return "the secret is not base64"
        signed = hmac.digest(
            key, _encode_text(f"{identity}.{stamp}.") + claim.request.body, "sha256"
        )
        expected.append(base64.b64encode(signed).decode())
    return "" if any_matches(candidates, expected) else "webhook-signature does not match"


def _standard_key(secret: bytes) -> bytes | None:
    """The key in a Standard Webhooks secret: base64, after `whsec_`. None when it is not."""
    try:
        return base64.b64decode(secret.removeprefix(b"whsec_"), validate=True) or None
    except binascii.Error:
        return None


def _check_bearer(claim: Claim) -> str:
    token = bearer_token(claim.request)
    if not token:
        return "no bearer token"
    expected = (secret.decode("utf-8", "surrogateescape") for secret in claim.secrets)
    return "" if any_matches([token], expected) else "the bearer token is not the configured one"


def bearer_token(request: RawRequest) -> str:
    """The token of `Authorization: Bearer …`; "" when there is none."""
    scheme, _, token = request.headers.get("authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _check_basic(claim: Claim) -> str:
    pair = basic_pair(claim.request)
    if not pair:
        return "no basic credentials"
    expected = (secret.decode("utf-8", "surrogateescape") for secret in claim.secrets)
    return "" if any_matches([pair], expected) else "the credentials are not the configured ones"


def basic_pair(request: RawRequest) -> str:
    """`user:password` of `Authorization: Basic …`; "" when there is none."""
    scheme, _, coded = request.headers.get("authorization").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(coded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _why_stale(stamp: str, header: str, now: float) -> str:
    if not re.fullmatch(r"[0-9]{1,12}", stamp):
        return f"{header} is missing or no Unix time"
    if abs(now - int(stamp)) > WINDOW:
        return f"{header} is more than {WINDOW:.0f} s away from now"
    return ""


def _why_not_standard(secret: bytes) -> str:
    return "" if _standard_key(secret) is not None else "is not base64 after whsec_"


class SignatureScheme(msgspec.Struct, frozen=True, kw_only=True):
    """One way to prove who sends, as `signature` in nvsx.yaml names it.

    `proof` is what docs/webhooks.md says of it. `over_body`: the body is signed, so it has to
    be read before the caller is known. `identity` is a signed header that names the delivery.
    `own_header` and `timestamped`: the operator may name the header with the signature, or
    one with the time. `why_unusable` says what is wrong with a secret; "" when nothing is.
    """

    name: str
    check: Callable[[Claim], str]
    proof: str
    over_body: bool = True
    identity: str = ""
    own_header: bool = True
    timestamped: bool = False
    why_unusable: Callable[[bytes], str] = lambda _: ""


SCHEMES: Mapping[str, SignatureScheme] = {
    scheme.name: scheme
    for scheme in (
        SignatureScheme(
            name="pagerduty",
            check=_check_pagerduty,
            proof="`X-PagerDuty-Signature: v1=<hex>`, several during rotation",
        ),
        SignatureScheme(
            name="grafana",
            check=_check_grafana,
            proof="`X-Grafana-Alerting-Signature: <hex>`; with `timestampHeader` the time is"
            " signed too",
            timestamped=True,
        ),
        SignatureScheme(
            name="github", check=_check_github, proof="`X-Hub-Signature-256: sha256=<hex>`"
        ),
        SignatureScheme(
            name="websub",
            check=_check_websub,
            proof="`X-Hub-Signature: sha256=<hex>` (also sha384, sha512)",
        ),
        SignatureScheme(
            name="standard-webhooks",
            check=_check_standard_webhooks,
            proof="`webhook-id`, `webhook-timestamp`, `webhook-signature`",
            identity="webhook-id",
            own_header=False,
            why_unusable=_why_not_standard,
        ),
        SignatureScheme(
            name="bearer",
            check=_check_bearer,
            proof="`Authorization: Bearer <secret>`",
            over_body=False,
            own_header=False,
        ),
        SignatureScheme(
            name="basic",
            check=_check_basic,
            proof="`Authorization: Basic …`; the secret is `user:password`",
            over_body=False,
            own_header=False,
        ),
    )
}
