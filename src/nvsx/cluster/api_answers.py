"""Refusals: what an API server, or kubectl's proxy, means by an answer that is not 200.

The gateway and the reflector (for ERROR events inside a stream) come here, so that one
HTTP status or one Status object is one error of core.errors everywhere, with one message
and one next step. Source of the reasons: apimachinery meta/v1 StatusReason.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from nvsx.core.errors import (
    ClusterError,
    Forbidden,
    Gone,
    NotFound,
    Unauthorized,
    Unreachable,
)

#: Bytes of a refusal that are read; a proxy's error page can be anything.
LIMIT = 64 * 1024
#: Characters of it that a message shows.
_TEXT = 300
#: A server that was restored from a backup is behind our version: it has to be listed anew.
_TOO_NEW = "Too large resource version"
#: client-go's own words when a credential plug-in failed.
_CREDENTIALS = "getting credentials"


class Throttled(Unreachable):
    """429, or a 5xx that says when to come back: `retry_after` seconds from now."""

    def __init__(self, message: str, hint: str = "", retry_after: float = 1.0) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after


class Broken(Unreachable):
    """A stream ended in the middle of things: resume it before calling it a failure."""


class Status(msgspec.Struct):
    """The part of a Status object that says what went wrong."""

    code: int | None = None
    reason: str | None = None
    message: str | None = None
    details: Any = None


def error_of_answer(
    name: str, path: str, status: int, body: bytes, retry_after: str = ""
) -> ClusterError:
    """The error for an HTTP answer; `retry_after` is the header's text, "" when absent."""
    found = _parse_status(body)
    if found is None:
        text = _strip_markup(body)
        if status == 403:
            return Forbidden(f"nvsx's own kubectl proxy does not let {path} through")
        if status == 500 and _CREDENTIALS in text:
            return _no_credentials(name, text)
        if status == 500 and text:
            # kubectl proxy reports what it met on the way as a 500 in plain text.
            return Unreachable(f"{name} cannot be reached: {text}", "check the network and VPN")
        found = Status(message=text)
    found.code = status
    return error_of_status(name, path, found, retry_after)


def error_of_status(name: str, path: str, status: Status, retry_after: str = "") -> ClusterError:
    """The error for a Status object, whether it came as an answer or inside a watch."""
    text = (
        _strip_markup((status.message or "").encode()) or status.reason or f"status {status.code}"
    )
    code = status.code or 500
    if code == 410 or status.reason in {"Expired", "Gone"} or _TOO_NEW in text:
        return Gone(f"{name} no longer has that version of {path}: {text}")
    if code == 401:
        return Unauthorized(
            f"{name} does not accept these credentials: {text}",
            "log in again; `kubectl get nodes` must work first",
        )
    if code == 403:
        return Forbidden(
            f"{name} forbids reading {path}: {text}",
            "grant what `nvsx doctor --print-rbac` prints",
        )
    if code == 404:
        return NotFound(f"{name} has no {path}: {text}")
    if code == 429 or (code >= 500 and retry_after):
        seconds = _parse_retry_after(retry_after) or _seconds_in_details(status.details) or 1.0
        return Throttled(f"{name} asks to wait {seconds:g}s: {text}", retry_after=seconds)
    if code >= 500:
        return Unreachable(f"{name} answered {code} to {path}: {text}")
    return ClusterError(f"{name} answered {code} to {path}: {text}")


def _no_credentials(name: str, text: str) -> Unauthorized:
    return Unauthorized(
        f"kubectl could not get credentials for {name}: {text}",
        "run `kubectl get nodes` once and log in if it asks",
    )


def _parse_status(body: bytes) -> Status | None:
    try:
        return msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError:
        return None


def _strip_markup(body: bytes) -> str:
    text = re.sub(r"<[^>]*>", " ", body.decode("utf-8", "replace"))
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"


def _parse_retry_after(header: str) -> float:
    """Retry-After in seconds; Kubernetes never sends the date form."""
    header = header.strip()
    return float(header) if header.isdecimal() else 0.0


def _seconds_in_details(details: Any) -> float:
    value = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    return float(value) if isinstance(value, int | float) else 0.0
