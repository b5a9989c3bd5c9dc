"""What bounds the daemon: ages, windows, and how many at once. All times in seconds."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """`dedupe_horizon` is how long a delivery is remembered; the longest retry horizon of a
    sender nvsx knows is PagerDuty's 48 hours. `throttle_runs` is None for no throttle.
    `grace` is how long running scripts may go on when the daemon stops."""

    max_concurrent_runs: int = 200
    max_event_age: float = 900.0
    storm_nodes: int = 8
    storm_window: float = 120.0
    storm_domain: str = "nvidia.com/gpu.clique"
    throttle_runs: int | None = None
    throttle_window: float = 3600.0
    dedupe_horizon: float = 3 * 86400.0
    keep_events: float = 30 * 86400.0
    grace: float = 25.0
