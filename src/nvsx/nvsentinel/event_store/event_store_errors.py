"""What can go wrong with NVSentinel's store, each with the next step for a person.

Both adapters translate their driver's exceptions with this module, once. Text of a driver
is shown only after `strip_secrets` took secrets and driver jargon out of it; a URI never is.
"""

from __future__ import annotations

import re
from typing import Literal

from nvsx.core.errors import StoreError

Kind = Literal[
    "driver",
    "configuration",
    "authentication",
    "permission",
    "database",
    "tls",
    "name",
    "refused",
    "timeout",
    "unavailable",
]


class HealthEventsError(StoreError):
    """NVSentinel's store could not be read; `kind` says in one word why."""

    def __init__(self, kind: Kind, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.kind = kind


class HealthEventsUnreachable(HealthEventsError):
    """Nobody answered: trying again can help."""

    retryable = True


_UNREACHABLE = ("name", "refused", "timeout", "unavailable")

# In this order: a TLS or login failure often mentions a timeout or a closed connection too.
_TELLS: tuple[tuple[Kind, str], ...] = (
    (
        "name",
        r"not known|nodename nor|name resolution|(resolve|translate) host|getaddrinfo|No address",
    ),
    ("database", 'database "[^"]*" does not exist'),
    (
        "authentication",
        r"authentication|no pg_hba|no password|role \S+ does not exist|valid client certificate",
    ),
    ("tls", r"certificate|\bssl\b|\btls\b|private key"),
    ("refused", "refused|connect call failed|no such file"),
    ("timeout", "timed out|timeout expired|no servers found|unreachable|no route"),
)

_NEXT: dict[Kind, str] = {
    "name": "check the host in healthEvents.uri; names of services work inside the cluster alone",
    "refused": "is the database running, and is the port right?",
    "timeout": "is a firewall or a NetworkPolicy in between?",
    "tls": "check the CA and the client certificate that healthEvents.credentials names",
    "authentication": "check healthEvents.credentials in nvsx.yaml",
    "unavailable": "nvsx tries again",
}
_POLICY = (
    "a NetworkPolicy may be in between: NVSentinel's lets pods of its own namespace ({}) in "
    "alone; run nvsx there, or allow its namespace"
)


def no_driver(kind: str, extra: str) -> HealthEventsError:
    return HealthEventsError(
        "driver",
        f"NVSentinel's events are in {kind}, and its driver is not installed",
        f"pip install 'nvsx[{extra}]'",
    )


def store_failure(kind: Kind, message: str, hint: str = "") -> HealthEventsError:
    """The error of a kind, with that kind's usual next step when none is given."""
    cls = HealthEventsUnreachable if kind in _UNREACHABLE else HealthEventsError
    return cls(kind, message, hint or _NEXT.get(kind, ""))


def connection_failure(where: str, said: str, *, in_pod: bool, namespace: str) -> HealthEventsError:
    """A connection that did not come about, judged by what the driver said."""
    told = (k for k, tell in _TELLS if re.search(tell, said, re.IGNORECASE))
    kind: Kind = next(told, "unavailable")
    words = {
        "name": "has a host name that cannot be resolved",
        "database": "has no such database",
        "authentication": "refused the credentials",
        "tls": "could not agree on TLS",
        "refused": "refused the connection",
        "timeout": "did not answer in time",
        "unavailable": "cannot be read",
    }[kind]
    hint = _POLICY.format(namespace) if in_pod and kind in ("timeout", "refused") else ""
    if kind == "database":
        hint = "check the database in healthEvents.uri"
    return store_failure(kind, f"{where} {words}: {said}", hint)


_READ = 4000
"""Characters of a driver's message that are looked at; 300 of them are shown."""


def strip_secrets(text: str, secrets: tuple[str, ...] = ()) -> str:
    """A driver's message on one line, without secrets, URIs and its own bookkeeping."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    # A server may quote a document, whose text is a tenant's: each pass over it has a limit.
    text = re.sub(r"\b\w+(\+\w+)?://\S*", "(a URI)", text[:_READ])
    text = re.sub(r"\s*\(configured timeouts:[^)]*\)", "", text)
    text = text.split(", Timeout:")[0].split(", full error:")[0]
    text = text.replace("connection failed: ", "").replace("ERROR:", "").replace("FATAL:", "")
    return " ".join(text.split())[:300]
