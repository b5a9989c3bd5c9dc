"""What was stored at a time that has not come yet: the wall clock has been set back since.

How long ago that was nobody knows, and it cannot be less than nothing: its age counts from the
moment at which this process read it.

    Monday 12:00 an alert alone, on record · 12:05 nvsx ends, and the clock is set back a day
    Sunday 12:06 nvsx reads it: the day after which nobody has confirmed it begins now, and not
    in a day
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from nvsx.core.incident.incident_state import NodeStory, Stamp

T = TypeVar("T")


def hold_in_the_past(story: NodeStory, at: float, mono: float) -> NodeStory:
    """The story with every stamp from after `at`, which is now, aged from now; `mono` is the
    monotonic clock."""
    return _hold_stamps(story, at, mono)


def _hold_stamps(value: T, at: float, mono: float) -> T:
    if isinstance(value, Stamp):
        late = value.mono is None and value.at > at
        return Stamp(value.at, mono) if late else value  # type: ignore[return-value]
    if isinstance(value, tuple):
        held = tuple(_hold_stamps(one, at, mono) for one in value)
        return held if any(a is not b for a, b in zip(held, value, strict=True)) else value  # type: ignore[return-value]
    if not isinstance(value, msgspec.Struct):
        return value
    fields = {name: getattr(value, name) for name in value.__struct_fields__}
    changed = {n: h for n, v in fields.items() if (h := _hold_stamps(v, at, mono)) is not v}
    return msgspec.structs.replace(value, **changed) if changed else value
