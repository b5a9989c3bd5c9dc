"""Refusals: a request that is not taken, and the HTTP status that says so.

Decoders, signatures and the server raise them; the server turns them into answers. They
are UsageErrors: the caller has to change the request. Texts are for the sender's log, so
they never hold a secret, and what they quote of a request is short and printable.
"""

from __future__ import annotations

from nvsx.core.errors import UsageError


class Refused(UsageError):
    """`status` is 400, 401, 404, 408, 413, 415, 422, or 503 where a limit was hit (RFC 9110)."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


def bad_json(message: str) -> Refused:
    return Refused(400, message)


def unauthorized(reason: str) -> Refused:
    """`reason` is for the daemon's log alone: the answer never tells it."""
    return Refused(401, reason)


def unsupported_type(message: str) -> Refused:
    return Refused(415, message)


def wrong_content(message: str, hint: str = "") -> Refused:
    """JSON, but not what this endpoint takes."""
    return Refused(422, message, hint)


def quote(value: object, limit: int = 80) -> str:
    """`value` as it may be repeated in a message: one short line of printable ASCII."""
    text = ascii(str(value)[: limit + 1])
    return text if len(text) <= limit else f"{text[:limit]}…"
