"""Ages and durations as kubectl shows them: 45s, 3m20s, 5h12m, 2d4h, 34d.

Used by tables. The steps are those of apimachinery's HumanDuration: two units while they
matter, then one.
"""

from __future__ import annotations

from datetime import datetime


def parse_time(timestamp: str) -> float:
    """Unix seconds of an RFC 3339 timestamp; ValueError when it is not one."""
    return datetime.fromisoformat(timestamp).timestamp()


def age(timestamp: str | None, now: float) -> str:
    """How long ago `timestamp` (RFC 3339) was, or `<unknown>`."""
    if not timestamp:
        return "<unknown>"
    try:
        return human_duration(now - parse_time(timestamp))
    except ValueError:
        return "<invalid>"


def human_duration(duration: float) -> str:
    """A duration in seconds, in the one or two units a reader needs."""
    if duration < -1:
        return "<invalid>"
    seconds = max(0, int(duration))
    minutes, hours = seconds // 60, seconds // 3600
    days, years = hours // 24, hours // 24 // 365
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two_units(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two_units(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two_units(days, "d", hours % 24, "h")
    if years < 2:
        return f"{days}d"
    return _two_units(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two_units(big: int, unit: str, small: int, part: str) -> str:
    return f"{big}{unit}{small}{part}" if small else f"{big}{unit}"
