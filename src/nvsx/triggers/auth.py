"""Who may call. Every caller needs a token or a valid signature, but for one exception.

The exception is the operator at the keyboard: connected from this machine, to a local
name, through nothing that forwards, not from a web page, outside a pod. `Gate` decides
for one source; it gives a reason for the log, and the caller gets none.
"""

from __future__ import annotations

import ipaddress

import msgspec

from nvsx.core.sources import Kind
from nvsx.triggers import signatures
from nvsx.triggers.oauth import TokenEndpoint
from nvsx.triggers.refusals import unauthorized
from nvsx.triggers.request import RawRequest
from nvsx.triggers.secretfiles import Secret

_LOOPBACK = ("127.0.0.1", "::1")
_LOCAL_NAMES = ("localhost", "127.0.0.1")
_FORWARDING = (
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-for",
    "x-original-host",
    "x-originating-ip",
    "x-remote-ip",
    "x-remote-addr",
    "x-envoy-external-address",
    "x-appengine-user-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fly-client-ip",
    "fastly-client-ip",
)


class Caller(msgspec.Struct, frozen=True):
    """How the request came in. `peer` is the connection's far address, "" when unknown;
    `version` the HTTP version as (major, minor)."""

    peer: str = ""
    version: tuple[int, int] = (1, 1)


def why_not_operator(request: RawRequest, caller: Caller) -> str:
    """The reason why this is not the operator at the keyboard; "" when it is."""
    if _plain_address(caller.peer) not in _LOOPBACK:
        return "not called from this machine"
    host = request.headers.get("host").lower()
    name, colon, port = host.partition(":")
    if name not in _LOCAL_NAMES or (colon and not port.isdigit()):
        return "the Host is not localhost"
    names = request.headers.names()
    if through := [n for n in names if n in _FORWARDING or n.startswith("x-forwarded")]:
        return f"it was forwarded ({through[0]})"
    if "origin" in request.headers:
        return "it comes from a web page (Origin)"
    if caller.version < (1, 1):
        return "it is HTTP/1.0, as many proxies send without a forwarding header"
    return ""


def _plain_address(peer: str) -> str:
    """::ffff:127.0.0.1 is 127.0.0.1 on a socket for both families."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


class Doorman:
    """The daemon's own rules: its token, its token endpoint, the operator's exception.

    `operator` is False with --require-auth and in a pod.
    """

    def __init__(
        self, token: Secret, *, operator: bool, endpoint: TokenEndpoint | None = None
    ) -> None:
        self._token = token
        self._operator = operator
        self.endpoint = endpoint

    def admit(self, request: RawRequest, caller: Caller, kind: Kind, now: float) -> None:
        """Let in who has the token, an access token for NVSentinel's events, or is the
        operator. Raises Refused (401)."""
        if "authorization" in request.headers:
            presented = signatures.bearer_token(request)
            own = signatures.check(signatures.Rule("bearer"), request, self._token.values(), now)
            if not own:
                return
            if kind == "nvsentinel" and self.endpoint and self.endpoint.accepts(presented, now):
                return
            raise unauthorized("the bearer token is not valid")
        reason = "a token is required"
        if self._operator:
            reason = why_not_operator(request, caller)
            if not reason:
                return
        raise unauthorized(f"no bearer token; {reason}")


class Gate:
    """The authentication of one source: its own secret where one is configured, which is
    then the only way in, else the doorman."""

    def __init__(
        self,
        kind: Kind,
        doorman: Doorman,
        rule: signatures.Rule | None = None,
        secret: Secret | None = None,
    ) -> None:
        self._kind = kind
        self._doorman = doorman
        self._rule = rule if secret is not None else None
        self._secret = secret

    @property
    def needs_body(self) -> bool:
        """Whether the signature is over the body; otherwise callers are turned away
        before it is read."""
        return self._rule is not None and self._rule.scheme not in signatures.HEADER_ONLY

    def admit(self, request: RawRequest, caller: Caller, now: float) -> None:
        """Raises Refused (401) with a reason for the log."""
        if self._rule is None or self._secret is None:
            self._doorman.admit(request, caller, self._kind, now)
        elif reason := signatures.check(self._rule, request, self._secret.values(), now):
            raise unauthorized(reason)
