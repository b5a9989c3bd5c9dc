"""Who may do what: two accounts, one of which only reads.

The API server asks for every request; `kubectl auth can-i` asks through
SelfSubjectAccessReview. Without a token only health and version are told, as on a real
server. Tokens are compared in constant time and never shown.

A token may also lead the path (`/token/T/api/v1/...`): client-go sends no credentials of
a kubeconfig over plain HTTP, but keeps the path of its server URL.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from nvsentinel_sandbox.kube.requests import Target
from nvsentinel_sandbox.kube.statuses import Forbidden, Unauthorized, invalid, unfit

ADMIN, VIEWER, ANONYMOUS = "nvsx-sandbox", "nvsx-sandbox-viewer", "system:anonymous"
READ_VERBS = frozenset({"get", "list", "watch"})
_REVIEWS = frozenset(("authentication.k8s.io", "authorization.k8s.io"))
_PUBLIC = ("/healthz", "/livez", "/readyz", "/version")
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
        """The account of an Authorization header, anonymous without one; Unauthorized."""
        if not authorization:
            return ANONYMOUS
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer":
            for token, account in ((self.token, ADMIN), (self.read_only_token, VIEWER)):
                if hmac.compare_digest(given.strip().encode(), token.encode()):
                    return account
        raise Unauthorized("Unauthorized")


def is_allowed(account: str, verb: str, group: str) -> bool:
    """Everything for the admin; reading, and asking what is allowed, for the viewer."""
    if account == ANONYMOUS:
        return False
    return account == ADMIN or verb in READ_VERBS or (verb == "create" and group in _REVIEWS)


def check(account: str, target: Target) -> None:
    """Forbidden, worded as RBAC words it, when the account may not."""
    if not is_allowed(account, target.verb, target.group):
        name = f'"{target.name}" ' if target.name else ""
        raise Forbidden(
            f'{target.qualified} {name}is forbidden: User "{account}" cannot {target.verb} '
            f"{target.described}",
            name=target.name,
            group=target.group,
            kind=target.plural,
        )


def check_path(account: str, path: str) -> None:
    """Forbidden when the account may not read a path that names no resource."""
    if account == ANONYMOUS and not path.startswith(_PUBLIC):
        raise Forbidden(f'forbidden: User "{account}" cannot get path "{path}"')


def review(account: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The answered SelfSubjectAccessReview, SelfSubjectRulesReview or SelfSubjectReview."""
    found = {k: v for k, v in asked.items() if k in ("apiVersion", "kind", "spec")}
    found |= {"metadata": {"creationTimestamp": None}}
    spec = asked.get("spec") or {}
    if asked["kind"] == "SelfSubjectReview":
        groups = ["system:masters"] if account == ADMIN else []
        user = {"username": account, "groups": [*groups, "system:authenticated"]}
        return {**found, "status": {"userInfo": user}}
    if asked["kind"] == "SelfSubjectRulesReview":
        return {**found, "status": _rules_of(account)}
    attributes = spec.get("resourceAttributes") or spec.get("nonResourceAttributes")
    if attributes is None:
        needed = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        fault = unfit("spec.resourceAttributes", None, needed)
        raise invalid("SelfSubjectAccessReview", "authorization.k8s.io", "", [fault])
    verdict = is_allowed(account, attributes.get("verb", ""), attributes.get("group", ""))
    reason = {} if verdict else {"reason": "this account of the sandbox only reads"}
    return {**found, "status": {"allowed": verdict, **reason}}


def _rules_of(account: str) -> dict[str, Any]:
    """What `kubectl auth can-i --list` prints."""
    verbs = ["*"] if account == ADMIN else sorted(READ_VERBS)
    resources = [{"verbs": verbs, "apiGroups": ["*"], "resources": ["*"]}]
    for group, plural in (
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ):
        resources.append({"verbs": ["create"], "apiGroups": [group], "resources": [plural]})
    paths = [{"verbs": verbs if account == ADMIN else ["get"], "nonResourceURLs": ["*"]}]
    return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}
