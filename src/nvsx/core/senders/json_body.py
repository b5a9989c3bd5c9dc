"""JSON from the network, read with limits.

Bytes become plain data, or a Refused with status 400: not UTF-8, not JSON, nested too
deeply, too many values, the same key twice in one object (two readers would see two
messages), numbers and texts that JSON cannot carry back out. It looks at structure alone.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

from nvsx.core.senders.http_request import bad_json, quote

MAX_DEPTH = 32
MAX_VALUES = 50_000

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},]', re.DOTALL)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def parse_json(raw: bytes) -> Any:
    """The value in `raw`. Raises Refused (400)."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        raise bad_json(f"the body is not UTF-8 at byte {exc.start}") from None
    _refuse_oversized(raw)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object_of_unique_keys,
            parse_float=_read_finite,
            parse_int=_read_whole,
            parse_constant=_refuse_constant,
        )
    except ValueError as exc:
        raise bad_json(f"the body is not JSON: {exc}") from None
    if re.search(r"\\u[dD][89a-fA-F]", text) and _SURROGATE.search(_dump_numbers(value)):
        raise bad_json("the body has half a surrogate pair")
    return value


def parse_json_object(raw: bytes) -> dict[str, Any]:
    """As `parse`; anything but an object is refused as well."""
    value = parse_json(raw)
    if not isinstance(value, dict):
        raise bad_json("the body is no JSON object")
    return value


def _dump_numbers(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _refuse_oversized(raw: bytes) -> None:
    """Depth and number of values, before anything is built from them."""
    opened = raw.count(b"[") + raw.count(b"{")
    if opened <= MAX_DEPTH and opened + raw.count(b",") <= MAX_VALUES:
        return  # as nearly every message; brackets inside texts can only count too many
    depth = values = 0
    for token in _TOKENS.finditer(raw):
        kind = token[0][:1]
        if kind in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise bad_json(f"the body is nested deeper than {MAX_DEPTH} levels")
        elif kind in b"]}":
            depth -= 1
        values += kind in b"[{,"
        if values > MAX_VALUES:
            raise bad_json(f"the body has more than {MAX_VALUES} values")


def _object_of_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"key {quote(twice)} is there twice")
    return found


def _read_finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _read_whole(text: str) -> int:
    """Every digit stays, also beyond 64 bits: such a number may be somebody's key. What not even
    a double can hold, no other reader of JSON could take (RFC 8259 section 6)."""
    _read_finite(text)
    return int(text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
