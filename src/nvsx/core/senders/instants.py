"""Times as senders write them: RFC 3339 with any number of decimals, and Unix times whose
unit only their size tells. Both give Unix seconds; None for no time, for Go's zero time
(which Alertmanager sends for "not ended") and for what is no time at all.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,18}))?(?:[Zz]|([+-])(\d\d):?(\d\d))",
    re.ASCII,
)


def read_rfc3339(text: object) -> float | None:
    """https://www.rfc-editor.org/rfc/rfc3339#section-5.6; Go writes nine decimals."""
    found = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    *numbers, decimals, sign, hours, minutes = found.groups()
    year, month, day, hour, minute, second = (int(n) for n in numbers)
    if year <= 1:
        return None
    try:  # a leap second is the second after :59
        at = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            at = at - offset if sign == "+" else at + offset
    except (ValueError, OverflowError):
        return None
    extra = 1.0 if second == 60 else 0.0
    return at.timestamp() + extra + (float(f"0.{decimals}") if decimals else 0.0)


def read_unix_time(value: object) -> float | None:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970, by magnitude."""
    if isinstance(value, str) and re.fullmatch(r"\d{9,19}", value, re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    for unit in (1e9, 1e6, 1e3, 1.0):
        if 1e8 <= value / unit < 1e11:
            return value / unit
    return None


def read_time(value: object) -> float | None:
    """A time of either kind."""
    return read_rfc3339(value) or read_unix_time(value)


def name_instant(text: object) -> object:
    """The same text for the same instant, exact to the last decimal: senders write one time with
    Z and with +00:00. What is no time is its own name.

    2026-11-20T03:13:52.100Z and 2026-11-20T04:13:52.1+01:00 are one.
    """
    found = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    at = read_rfc3339(text)
    if found is None or at is None:
        return text
    decimals = (found[7] or "").rstrip("0")
    return f"{int(at)}.{decimals}"
