"""Masking: secrets do not leave through what scripts print.

A `Masker` knows the values of the environment's secret variables and the forms in which
tools print them (percent-encoded, JSON-escaped, base64 in any alignment, line by line).
Every line goes through it before it is shown, stored or sent anywhere. It recognises
values, not the look of a secret: what is in no such variable, it cannot know.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping

MASK = "***"
SHORTEST = 8
"""Characters; shorter values would mask ordinary words."""

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|KEY|SECRET|PASSWORD|PASSWD|DSN|CREDENTIALS|WEBHOOK_URL)$", re.IGNORECASE
)
_USER_INFO = re.compile(r"(?<=://)[^/\s?#\"'<>]{1,1024}@")
_URL_PASSWORD = re.compile(r"://[^/\s?#:@]*:([^/\s?#]+)@")
_URL_PATH = re.compile(r"https?://[^/\s]+/(\S+)")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def is_secret_name(name: str) -> bool:
    """Whether the value of variable `name` is masked. nvsx's own facts never are."""
    return not name.startswith("NVSX_") and _SECRET_NAME.search(name) is not None


class Masker:
    """Replaces the secrets of `environ`, those in `extra`, and user-info in URLs, by `***`."""

    def __init__(self, environ: Mapping[str, str], extra: Iterable[str] = ()) -> None:
        found: set[str] = set()
        for name, value in environ.items():
            if is_secret_name(name):
                found.update(_forms(value))
            elif "://" in value:
                for password in _URL_PASSWORD.findall(value):
                    found.update(_forms(password))
        for value in extra:
            found.update(_forms(value))
        self._needles = sorted(found, key=lambda n: (-len(n), n))

    @property
    def longest(self) -> int:
        """Characters in the longest form; a text cut shorter than this may hide one."""
        return len(self._needles[0]) if self._needles else 0

    def mask(self, text: str) -> str:
        """`text` with each secret replaced; overlapping secrets become one mask."""
        present = [needle for needle in self._needles if needle in text]
        if present:
            text = _cover(text, _spans(text, present))
        if "://" in text and "@" in text:
            text = _USER_INFO.sub(f"{MASK}@", text)
        return text


def _forms(value: str) -> Iterator[str]:
    """The forms of one secret value, each long enough to be told from ordinary text."""
    whole = value.strip()
    parts = {whole, *(line.strip() for line in whole.splitlines())}
    path = _URL_PATH.fullmatch(whole)
    if path:
        parts.add(path[1])
    for part in parts:
        if len(part) < SHORTEST or part.startswith("-----"):
            continue
        yield part
        yield _percent_encoded(part)
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        yield from _base64_forms(part.encode())


def _percent_encoded(text: str) -> str:
    return "".join(
        c if c in _UNRESERVED else "".join(f"%{byte:02X}" for byte in c.encode()) for c in text
    )


def _base64_forms(raw: bytes) -> Iterator[str]:
    """The characters `raw` alone decides, for each of the three places it can start at."""
    for lead in range(3):
        encoded = base64.b64encode(bytes(lead) + raw).decode()
        first = (0, 2, 3)[lead]
        form = encoded[first : (lead + len(raw)) * 8 // 6]
        if len(form) >= SHORTEST:
            yield form
            yield form.replace("+", "-").replace("/", "_")


def _spans(text: str, needles: Iterable[str]) -> list[tuple[int, int]]:
    spans = []
    for needle in needles:
        at = text.find(needle)
        while at >= 0:
            spans.append((at, at + len(needle)))
            at = text.find(needle, at + 1)
    return sorted(spans)


def _cover(text: str, spans: list[tuple[int, int]]) -> str:
    out = []
    end = 0
    covered = 0
    for start, stop in spans:
        if start >= covered:
            out.append(text[end:start])
            out.append(MASK)
        covered = max(covered, stop)
        end = covered
    out.append(text[end:])
    return "".join(out)
