"""What a watch is looked at with: the snapshot, the moment, and what NVSentinel's marks mean.

Shared by the functions of all kinds in `conditions` and `happenings`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import msgspec

from nvsx.core import patterns, selectors
from nvsx.core.incident.session import HealthEvent
from nvsx.core.watches import kinds
from nvsx.core.watches.chain_port import Chain
from nvsx.core.watches.snapshot import Snapshot
from nvsx.core.watches.verdict import Verdict, pending, satisfied, unknown

#: How far clocks of cluster and nvsx, and whole-second timestamps, may be apart.
TOLERANCE = 120.0


class Scope(msgspec.Struct, frozen=True):
    """What a verdict depends on besides the watch and the snapshot. Times: Unix seconds.

    `pace` is how much of a `for` has to pass: 1 in life, less where time runs faster.
    """

    now: float
    stage: str
    run_began: float
    stage_began: float
    trigger: HealthEvent | None = None
    boot_id: str = ""
    pace: float = 1.0


class Look(NamedTuple):
    """What a kind's function looks at."""

    snap: Snapshot
    scope: Scope
    chain: Chain


def earliest(watch: kinds.WatchBase, snap: Snapshot, scope: Scope) -> float:
    """The time from which a happening counts for `watch`."""
    since = watch.since or "incident"
    if since == "ever":
        return 0.0
    if since == "run":
        return math.floor(scope.run_began)
    if since == "stage":
        return math.floor(scope.stage_began)
    began = snap.session.began
    if began is None and scope.trigger is not None:
        began = scope.trigger.generated_at or None
    begin = math.floor(began if began is not None else scope.run_began) - TOLERANCE
    return max(begin, snap.session.previous_end or 0.0)


def unread(snap: Snapshot, source: str) -> Verdict | None:
    why = snap.unread.get(source)
    return unknown(why) if why else None


def as_expected(holds: bool, detail: str) -> Verdict:
    """Satisfied or pending, with the same words."""
    return satisfied(detail) if holds else pending(detail)


def search(pattern: str, text: str) -> bool:
    """Raises TooSlow, which `conditions.evaluate` makes a verdict of."""
    return patterns.search(pattern, text) is not None


selector = lru_cache(maxsize=512)(selectors.parse)
