"""What a decoder and a signature check see of an HTTP request: headers and raw bytes.

The server makes one a request; `explain` makes them from files. Header names compare
without regard to case. Nothing here trusts or interprets the body.

What is not taken is Refused, by decoders, signatures and the server; the server turns it into
an answer. It is a UsageError: the caller has to change the request. Texts are for the sender's
log, so they never hold a secret, and what they quote of a request is short and printable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

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


class Headers:
    """HTTP headers, read only. Values are text as received (latin-1 or UTF-8)."""

    def __init__(self, pairs: Iterable[tuple[str, str]] | Mapping[str, str] = ()) -> None:
        items = pairs.items() if isinstance(pairs, Mapping) else pairs
        self._values: dict[str, list[str]] = {}
        for name, value in items:
            self._values.setdefault(name.lower(), []).append(value.strip())

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._values

    def names(self) -> Iterable[str]:
        """All names, in lower case."""
        return self._values.keys()

    def get(self, name: str) -> str:
        """The one value; "" when there is none.

        Raises Refused (400) when there are several: which of them counts would be a guess.
        """
        values = self._values.get(name.lower(), [])
        if len(values) > 1:
            raise Refused(400, f"header {name.lower()} is there more than once")
        return values[0] if values else ""

    def listed(self, name: str) -> str:
        """All values of a list header, with commas (RFC 9110 section 5.2)."""
        return ",".join(self._values.get(name.lower(), []))


class RawRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`body` is what came over the wire, byte for byte; `received` is in Unix seconds."""

    body: bytes
    headers: Headers = Headers()
    received: float = 0.0

    @property
    def media_type(self) -> str:
        """The media type without parameters, in lower case. "" when none was sent.

        Raises Refused (415) for a character set other than UTF-8: JSON has no other.
        """
        kind, *parameters = self.headers.get("content-type").split(";")
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                charset = value.strip().strip('"').lower()
                if charset not in ("utf-8", "utf8", "us-ascii"):
                    raise unsupported_type("the body has to be UTF-8")
        return kind.strip().lower()


def is_json(media_type: str) -> bool:
    """Whether it is JSON or a format on top of it, CloudEvents' own excepted."""
    if media_type.startswith("application/cloudevents"):
        return False
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def require_json(request: RawRequest) -> None:
    """Raises Refused (415). Browsers cannot send JSON to another site without asking."""
    if not is_json(request.media_type):
        raise unsupported_type("send it with Content-Type: application/json")
