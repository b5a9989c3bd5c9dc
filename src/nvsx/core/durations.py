"""Lengths of time as people write them: `30s`, `15m`, `1h30m`, `2d`.

Runbooks, `nvsx.yaml` and the command line all read them through here, and every view
writes them through `format`. Values are seconds as float. No other unit is understood:
`M` or `ms` is refused rather than guessed at.
"""

from __future__ import annotations

import re

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
PATTERN = r"^(0|(\d+(\.\d+)?[smhd])+)$"
#: More than a year; what is longer is a slip of the pen.
MAX_SECONDS = 400 * 86400.0

_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])", re.ASCII)
_WHOLE = re.compile(PATTERN, re.ASCII)


def parse(text: str) -> float:
    """Seconds in `text`, a sum of numbers with the units s, m, h and d.

    Raises ValueError with a message for the person who wrote it.
    """
    stripped = text.strip()
    if stripped == "0":
        return 0.0
    if not _WHOLE.match(stripped):
        raise ValueError(explain_refusal(stripped))
    parts = _PART.findall(stripped)
    units = [unit for _, unit in parts]
    if len(set(units)) != len(units):
        raise ValueError(f"'{stripped}' names a unit twice: write each of d, h, m, s once")
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if seconds > MAX_SECONDS:
        raise ValueError(f"'{stripped}' is longer than {format(MAX_SECONDS)}")
    return seconds


def explain_refusal(text: str) -> str:
    if not text:
        return "a duration is empty: write one such as 30s, 15m or 1h30m"
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return f"'{text}' has no unit: write {text}s, {text}m or {text}h"
    if text.startswith("-"):
        return f"'{text}' is negative: a duration is zero or more"
    return f"'{text}' is not a duration: use s, m, h, d and sums such as 1h30m"


def format(seconds: float) -> str:
    """The shortest text `parse` reads back: `1h30m`, `45s`, `0s`; tenths below a minute."""
    if seconds < 0:
        return "-" + format(-seconds)
    if seconds < 60:
        tenths = round(seconds, 1)
        if tenths < 60:
            return f"{tenths:g}s"
    left = round(seconds)
    out = ""
    for unit, size in UNITS.items():
        count, left = divmod(left, size)
        if count:
            out += f"{count}{unit}"
    return out or "0s"
