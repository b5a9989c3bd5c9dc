"""Lengths of time in scenario files: `5s`, `2m`, `1h30m`, and 0. Values are seconds as float."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])", re.ASCII)
_WHOLE = re.compile(rf"0|(?:{_PART.pattern})+", re.ASCII)


def read_seconds(value: object) -> float:
    """The seconds in a text; ValueError says what to write. A bare number is refused: whoever
    writes 30 may mean minutes."""
    if isinstance(value, str) and _WHOLE.fullmatch(text := value.strip()):
        return float(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))
    if value == 0 and not isinstance(value, bool):
        return 0.0
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"'{value}' has no unit: write {value}s, {value}m or {value}h")
    raise ValueError(f"'{value}' is not a length of time: write one such as 30s, 15m or 1h30m")


def write_seconds(seconds: float) -> str:
    """The shortest text that `read_seconds` reads back: `1h30m`, `45s`, `2.5s`, `0s`.

    | seconds | text    |
    |---------|---------|
    | 0       | `0s`    |
    | 2.5     | `2.5s`  |
    | 90      | `1m30s` |
    | 7200    | `2h`    |
    """
    left, text = round(seconds, 3), ""
    for unit, size in _UNITS.items():
        count = left if unit == "s" else left // size
        left = round(left - count * size, 3)
        if count:
            text += f"{count:g}{unit}"
    return text or "0s"


Seconds = Annotated[float, BeforeValidator(read_seconds)]
