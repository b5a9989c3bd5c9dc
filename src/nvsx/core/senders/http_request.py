"""What a decoder and a signature check see of an HTTP request: headers and raw bytes.

The server makes one a request; `explain` makes them from files. Header names compare
without regard to case. Nothing here trusts or interprets the body.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from nvsx.core.senders.refusals import Refused, unsupported_type


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
