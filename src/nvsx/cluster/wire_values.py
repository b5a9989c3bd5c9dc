"""Texts and times of API objects: shared where they repeat over a cluster, and as numbers."""

from __future__ import annotations

import functools
from datetime import UTC, datetime

# The pool outlives the objects: it must stay small whatever messages and annotations hold.
_POOL_LIMIT = 100_000
_SHARED_LENGTH = 128
_pool: dict[str, str] = {}


def share_text(text: str | None) -> str:
    """One copy of equal strings. Not sys.intern, which keeps strings for ever on 3.12."""
    if not text:
        return ""
    return _pool.setdefault(text, text) if len(text) <= _SHARED_LENGTH else text


def share_map(given: dict[str, str | None] | None) -> dict[str, str]:
    """`share_text`, for the keys and values of a map: half of what a node costs is its labels."""
    if len(_pool) > _POOL_LIMIT:
        _pool.clear()
    if not given:
        return {}
    share = _pool.setdefault
    return {
        share(k, k): share(v, v) if v and len(v) <= _SHARED_LENGTH else v or ""
        for k, v in given.items()
    }


@functools.lru_cache(maxsize=4096)
def unix_seconds(text: str | None) -> float:
    """Unix seconds of an RFC 3339 time; 0.0 when there is none or it cannot be read."""
    if not text:
        return 0.0
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
