"""A token endpoint of the OAuth 2.0 client-credentials grant, for one client.

NVSentinel's event exporter insists on one; this stands in where there is no identity
provider. Tokens are short-lived and signed with a key made of the daemon's token and the
client's secret: they survive a restart of the daemon, and end with either of the two.
Source: RFC 6749 sections 2.3.1, 4.4, 5; NVSentinel event-exporter/pkg/auth/oidc.go.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_plus

from nvsx.core.senders import signatures
from nvsx.core.senders.http_request import RawRequest, Refused
from nvsx.project.secret_files import Secret

LIFETIME = 3600
"""Seconds. An exporter fetches a new token when its own runs out."""

_AUDIENCE = "nvsx-health-events"


class TokenEndpoint:
    """Issues access tokens and recognises them."""

    def __init__(self, client_id: str, client_secret: Secret, token: Secret) -> None:
        self._client_id = client_id
        self._client_secret = client_secret
        self._token = token

    def answer(self, request: RawRequest, now: float) -> tuple[int, Mapping[str, object]]:
        """Status and JSON body for a token request (sections 5.1 and 5.2)."""
        try:
            if request.media_type != "application/x-www-form-urlencoded":
                return 400, {"error": "invalid_request"}
            form = _parse_form(request.body)
            identity, secret = _find_credentials(request, form)
        except (Refused, ValueError):
            return 400, {"error": "invalid_request"}
        known = (s.decode("utf-8", "surrogateescape") for s in self._client_secret.values())
        is_client = signatures.any_matches([identity], [self._client_id])
        if not (signatures.any_matches([secret], known) and is_client):
            return 401, {"error": "invalid_client"}
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        return 200, {
            "access_token": self._issue_token(now),
            "token_type": "Bearer",
            "expires_in": LIFETIME,
            **({"scope": form["scope"]} if form.get("scope") else {}),
        }

    def accepts(self, token: str, now: float) -> bool:
        """Whether `token` was issued here and has not expired."""
        payload, _, signature = token.partition(".")
        expected = (_sign_payload(payload, key) for key in self._derive_keys())
        if not signatures.any_matches([signature], expected):
            return False
        try:
            claims = json.loads(base64.urlsafe_b64decode(payload))
            return claims["aud"] == _AUDIENCE and float(claims["exp"]) > now
        except (ValueError, KeyError, TypeError):
            return False

    def _issue_token(self, now: float) -> str:
        claims = {"aud": _AUDIENCE, "exp": int(now) + LIFETIME, "jti": secrets.token_hex(8)}
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
        return f"{payload}.{_sign_payload(payload, self._derive_keys()[0])}"

    def _derive_keys(self) -> list[bytes]:
        return [
            hmac.digest(token, b"nvsx access tokens\0" + secret, "sha256")
            for token in self._token.values()
            for secret in self._client_secret.values()
        ]


def _sign_payload(payload: str, key: bytes) -> str:
    signature = hmac.digest(key, payload.encode("utf-8", "surrogateescape"), hashlib.sha256)
    return base64.urlsafe_b64encode(signature).decode()


def _parse_form(body: bytes) -> dict[str, str]:
    """Raises ValueError for what is no form, or has a key twice (section 3.2)."""
    pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20)
    form = dict(pairs)
    if len(form) != len(pairs):
        raise ValueError
    return form


def _find_credentials(request: RawRequest, form: Mapping[str, str]) -> tuple[str, str]:
    """Client id and secret, from the header (percent-encoded) or the form (section 2.3.1)."""
    pair = signatures.basic_pair(request)
    if pair:
        identity, _, secret = pair.partition(":")
        return unquote_plus(identity), unquote_plus(secret)
    return form.get("client_id", ""), form.get("client_secret", "")
