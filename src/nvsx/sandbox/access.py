"""Who may do what: two accounts, one of which only reads.

The API server asks for every request; `kubectl auth can-i` asks through
SelfSubjectAccessReview, whose body typed clients send as protobuf, so the few fields of
it are read here. Tokens are compared in constant time and never shown.

A token may also lead the path (`/token/T/api/v1/...`): client-go sends no credentials of
a kubeconfig over plain HTTP, but keeps the path of its server URL.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import Any

import msgspec

from nvsx.sandbox.requests import Target
from nvsx.sandbox.statuses import BadRequest, Forbidden, Unauthorized, UnsupportedMediaType

ADMIN, VIEWER = "nvsx-sandbox", "nvsx-sandbox-viewer"
READ_VERBS = frozenset({"get", "list", "watch"})
_REVIEWS = "authorization.k8s.io"
_MAGIC = b"k8s\x00"
_PREFIX = "/token/"


def url_with_token(url: str, token: str) -> str:
    """A server URL that carries its token in the path, for a kubeconfig."""
    return f"{url}{_PREFIX}{token}"


def split_token(path: str, authorization: str) -> tuple[str, str]:
    """The path without a leading token, and the Authorization it stands for."""
    if not path.startswith(_PREFIX):
        return path, authorization
    token, _, rest = path.removeprefix(_PREFIX).partition("/")
    return f"/{rest}", f"Bearer {token}"


@dataclass(frozen=True, slots=True)
class Access:
    """The bearer tokens of both accounts; random unless given."""

    token: str
    read_only_token: str

    @classmethod
    def with_tokens(cls, token: str | None, read_only_token: str | None) -> Access:
        return cls(token or secrets.token_urlsafe(24), read_only_token or secrets.token_urlsafe(24))

    def account(self, authorization: str) -> str:
        """The account of an Authorization header; Unauthorized."""
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer":
            for token, account in ((self.token, ADMIN), (self.read_only_token, VIEWER)):
                if hmac.compare_digest(given.strip().encode(), token.encode()):
                    return account
        raise Unauthorized("Unauthorized")


def allowed(account: str, verb: str, group: str) -> bool:
    """Everything for the admin; reading, and asking what is allowed, for the viewer."""
    return account == ADMIN or verb in READ_VERBS or (verb == "create" and group == _REVIEWS)


def check(account: str, target: Target) -> None:
    """Forbidden, worded as RBAC words it, when the account may not."""
    if not allowed(account, target.verb, target.group):
        name = f'"{target.name}" ' if target.name else ""
        raise Forbidden(
            f'{target.plural} {name}is forbidden: User "{account}" cannot {target.verb} '
            f"{target.described}",
            name=target.name,
            group=target.group,
            kind=target.plural,
        )


def review(account: str, body: bytes, content_type: str) -> dict[str, Any]:
    """The answered SelfSubjectAccessReview."""
    attributes = _attributes(body, content_type)
    verb, group = attributes.get("verb", ""), attributes.get("group", "")
    verdict = allowed(account, verb, group)
    return {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": f"{_REVIEWS}/v1",
        "metadata": {},
        "spec": {"resourceAttributes": attributes},
        "status": {
            "allowed": verdict,
            "reason": "" if verdict else "this account of the sandbox only reads",
        },
    }


def _attributes(body: bytes, content_type: str) -> dict[str, str]:
    """resourceAttributes, or of nonResourceAttributes the verb."""
    if content_type == "application/json":
        try:
            spec = msgspec.json.decode(body).get("spec") or {}
        except (msgspec.DecodeError, AttributeError) as error:
            raise BadRequest(f"the body is not a SelfSubjectAccessReview: {error}") from None
        return dict(spec.get("resourceAttributes") or spec.get("nonResourceAttributes") or {})
    if not body.startswith(_MAGIC):
        raise UnsupportedMediaType(f"the body media type {content_type} is not supported")
    try:
        raw = _fields(body[len(_MAGIC) :]).get(2, b"")
        spec = _fields(_fields(raw).get(2, b""))
        if 2 in spec:
            return {"verb": _fields(spec[2]).get(2, b"").decode()}
        found = _fields(spec.get(1, b""))
    except (IndexError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not a SelfSubjectAccessReview: {error}") from None
    names = {1: "namespace", 2: "verb", 3: "group", 4: "version", 5: "resource", 7: "name"}
    return {name: found[n].decode() for n, name in names.items() if found.get(n)}


def _fields(message: bytes) -> dict[int, bytes]:
    """The length-delimited fields of a protobuf message by number; varints are skipped."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == 2:
            size, at = _varint(message, at)
            found[key >> 3] = message[at : at + size]
            at += size
        else:
            _, at = _varint(message, at)
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
