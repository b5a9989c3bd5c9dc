"""Rate limits: one token bucket for each peer, and one for all together.

Pure but for what it remembers; the time comes in. It bounds its own memory: of very many
peers the ones not seen for longest are forgotten, which only does them good.
"""

from __future__ import annotations

from collections import OrderedDict


class Bucket:
    """Up to `burst` at once, `rate` a second in the long run."""

    __slots__ = ("_burst", "_level", "_rate", "_seen")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._seen: float | None = None

    def take(self, now: float) -> bool:
        """Whether one more is allowed at `now` (seconds on any clock)."""
        if self._seen is not None:
            passed = max(0.0, now - self._seen)
            self._level = min(self._burst, self._level + passed * self._rate)
        self._seen = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True


class RateLimit:
    """First the peer's own limit, then everyone's: one peer cannot use up the others' share
    faster than its own."""

    def __init__(
        self, per_peer: tuple[float, float], in_all: tuple[float, float], peers: int = 4096
    ) -> None:
        self._per_peer = per_peer
        self._in_all = Bucket(*in_all)
        self._peers: OrderedDict[str, Bucket] = OrderedDict()
        self._most = peers

    def take(self, peer: str, now: float) -> bool:
        bucket = self._peers.get(peer)
        if bucket is None:
            bucket = self._peers[peer] = Bucket(*self._per_peer)
            if len(self._peers) > self._most:
                self._peers.popitem(last=False)
        else:
            self._peers.move_to_end(peer)
        return bucket.take(now) and self._in_all.take(now)
