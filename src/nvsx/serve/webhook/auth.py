"""Who may call. Every caller needs a token or a valid signature, but for one exception.

The exception is the operator at the keyboard: connected from this machine by a socket of
the daemon's own user, to a local name, through nothing that forwards, not from a web page,
outside a pod. `Gate` decides for one source; it gives a reason for the log, and the caller
gets none.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import msgspec

from nvsx.core.senders import signatures
from nvsx.core.senders.http_request import RawRequest, unauthorized
from nvsx.core.senders.sender import Sender
from nvsx.project.secret_files import Secret
from nvsx.serve.webhook.connections import LOOPBACK, plain_address
from nvsx.serve.webhook.oauth import TokenEndpoint

_LOCAL_NAME = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?", re.IGNORECASE)
_ADDED_BY_PROXIES = (
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-for",
    "x-original-host",
    "x-original-url",
    "x-originating-ip",
    "x-remote-ip",
    "x-remote-addr",
    "x-request-id",
    "x-rewrite-url",
    "x-appengine-user-ip",
    "true-client-ip",
    "client-ip",
    "fly-client-ip",
    "fastly-client-ip",
    "cdn-loop",
    "proxy-authorization",
    "proxy-connection",
)
_ADDED_BY_BROWSERS = ("origin", "referer", "cookie", "upgrade-insecure-requests")
_PREFIXES_OF_PROXIES = ("x-envoy-", "x-amzn-", "cf-", "x-azure-", "x-b3-")
_PREFIXES_OF_BROWSERS = ("sec-fetch-", "sec-ch-", "access-control-")


async def _nothing_shown() -> str:
    return "nothing shows whose connection it is"


class Caller(msgspec.Struct, frozen=True):
    """How the request came in. `peer` is the connection's far address, "" when unknown;
    `version` the HTTP version as (major, minor).

    `why_not_ours` asks the kernel, only where all else speaks for the operator: why the
    connection's other end is not a socket of the daemon's own user; "" when it is.
    """

    peer: str = ""
    version: tuple[int, int] = (1, 1)
    why_not_ours: Callable[[], Awaitable[str]] = _nothing_shown


async def why_not_operator(request: RawRequest, caller: Caller) -> str:
    """The reason why this is not the operator at the keyboard; "" when it is.

    `curl localhost:8080/webhook` from the shell that started nvsx      ""
    the same from another account's shell                               uid 1001's
    through nginx as www-data, which adds nothing, over HTTP/1.1        uid 33's
    through nginx of the daemon's own user with X-Forwarded-For         forwarded
    from a page in the operator's browser                               Origin
    """
    return _why_not_local(request, caller) or await caller.why_not_ours()


def _why_not_local(request: RawRequest, caller: Caller) -> str:
    """What the request itself says against the operator."""
    if plain_address(caller.peer) not in LOOPBACK:
        return "not called from this machine"
    if not _LOCAL_NAME.fullmatch(request.headers.get("host")):
        return "the Host is not localhost"
    for given in request.headers.names():
        name = given.replace("_", "-")
        if (
            "forwarded" in name
            or name in _ADDED_BY_PROXIES
            or name.startswith(_PREFIXES_OF_PROXIES)
        ):
            return f"it was forwarded ({name})"
        if name in _ADDED_BY_BROWSERS or name.startswith(_PREFIXES_OF_BROWSERS):
            return f"it comes from a web page ({name})"
    if caller.version < (1, 1):
        return "it is HTTP/1.0, as many proxies send without a forwarding header"
    return ""


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

    async def admit(self, request: RawRequest, caller: Caller, sender: Sender, now: float) -> None:
        """Let in who has the token, an access token for NVSentinel's events, or is the
        operator. Raises Refused (401)."""
        if "authorization" in request.headers:
            presented = signatures.bearer_token(request)
            own = signatures.why_not_authentic(
                signatures.SignatureRule("bearer"), request, self._token.values(), now
            )
            if not own:
                return
            endpoint = self.endpoint if sender.takes_access_tokens else None
            if endpoint is not None and endpoint.accepts(presented, now):
                return
            raise unauthorized("the bearer token is not valid")
        reason = "a token is required"
        if self._operator:
            reason = await why_not_operator(request, caller)
            if not reason:
                return
        raise unauthorized(f"no bearer token; {reason}")


class Gate:
    """The authentication of one source: its own secret where one is configured, which is
    then the only way in, else the doorman."""

    def __init__(
        self,
        sender: Sender,
        doorman: Doorman,
        rule: signatures.SignatureRule | None = None,
        secret: Secret | None = None,
    ) -> None:
        self._sender = sender
        self._doorman = doorman
        self._rule = rule if secret is not None else None
        self._secret = secret

    @property
    def needs_body(self) -> bool:
        """Whether the signature is over the body; otherwise callers are turned away
        before it is read."""
        return self._rule is not None and signatures.SCHEMES[self._rule.scheme].over_body

    async def admit(self, request: RawRequest, caller: Caller, now: float) -> None:
        """Raises Refused (401) with a reason for the log."""
        if self._rule is None or self._secret is None:
            await self._doorman.admit(request, caller, self._sender, now)
        elif reason := signatures.why_not_authentic(
            self._rule, request, self._secret.values(), now
        ):
            raise unauthorized(reason)
