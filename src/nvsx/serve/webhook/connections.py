"""What one peer may take of the daemon: places for connections, and requests a second.

Pure bookkeeping over open sockets, and over times that come in. A connection waits until a
request has come whose caller was let in; then it is being answered, and nobody takes its place.
Those that wait give theirs up, the one that has waited longest first, so connections that send
nothing or send it slowly cost a flood its own places and nobody else's. Of very many peers the
rates of the ones not seen for longest are forgotten, which only does them good.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from typing import Protocol

import msgspec

LOOPBACK = ("127.0.0.1", "::1")
_ONE_CUSTOMER = 64
"""Bits of an IPv6 address that one customer usually has to herself: she could call from a
new address each time."""


def plain_address(address: str) -> str:
    """::ffff:127.0.0.1 is 127.0.0.1, on a socket for both families; "" for what is none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


class Places(msgspec.Struct, frozen=True):
    """How many connections there may be: `in_all`, of one peer, and beyond them for probes."""

    in_all: int = 512
    per_peer: int = 256
    reserve: int = 16


def places_within(descriptors: int) -> Places:
    """What a process that may open so many files can give: at most half of them, since the
    journal, the cluster and hooks need some too."""
    usual = Places()
    in_all = max(usual.reserve, min(usual.in_all, descriptors // 2))
    return Places(in_all, min(usual.per_peer, in_all // 2), usual.reserve)


class OpenSocket(Protocol):
    """What is needed of a connection: its number while it is open, -1 after; and its end."""

    def fileno(self) -> int: ...

    def abort(self) -> None: ...


class Guest:
    """A connection that has a place. `reserved` when it is one of those for probes."""

    __slots__ = ("connection", "number", "peer", "reserved")

    def __init__(self, connection: OpenSocket, peer: str, *, reserved: bool) -> None:
        self.connection = connection
        self.number = connection.fileno()
        self.peer = peer
        self.reserved = reserved


def peer_group(address: str) -> str:
    """Whose connections count together: one IPv4 address, one /64 of IPv6."""
    plain = plain_address(address)
    if ":" not in plain:
        return plain
    parsed = ipaddress.IPv6Address(plain)
    if parsed.is_loopback or parsed.is_link_local:
        return plain
    return str(ipaddress.IPv6Network((int(parsed), _ONE_CUSTOMER), strict=False))


class Connections:
    """All connections of one listener, by the number of their socket.

    in_all 4, per_peer 2, reserve 1; all send a slow head but where it says so:
      b1 a1 a2 | a3 comes      a1 is closed: a has its two, and b is not touched
      b1 a2 a3 b2 | c1 comes   all four are taken: b1, which has waited longest, is closed
      a3 b2 b3 c1 are being answered | d1 comes   nobody waits: d1 has the reserve, for a probe
      and e1 comes             d1 has waited longest in the reserve: it is closed
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        # Each in order: whoever is first has waited longest.
        self._waiting: dict[int, Guest] = {}
        self._answered: dict[int, Guest] = {}
        self._of_peer: Counter[str] = Counter()
        self._reserved = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._answered)

    def admit(self, connection: OpenSocket, peer: str) -> bool:
        """Whether it may stay; another that waits may have been closed for it."""
        number = connection.fileno()
        self._forget_number(number)  # closed, and its number was given again
        if not self._is_room(peer):
            self._forget_closed()
        if self._of_peer[peer] >= self._places.per_peer:
            self._evict_oldest(peer=peer)
        elif not self._is_room(peer):
            self._evict_oldest()
        reserved = not self._is_room(peer)
        if reserved and self._reserved >= self._places.reserve:
            self._evict_oldest(reserved=True)
            if self._reserved >= self._places.reserve:
                return False
        self._waiting[number] = Guest(connection, peer, reserved=reserved)
        if reserved:
            self._reserved += 1
        else:
            self._of_peer[peer] += 1
        return True

    def find(self, number: int) -> Guest | None:
        """Who has the socket of this number."""
        return self._waiting.get(number) or self._answered.get(number)

    def keep(self, guest: Guest | None) -> None:
        """Its caller was let in: nobody takes its place until it has waited again."""
        if guest is not None and self._waiting.get(guest.number) is guest:
            self._answered[guest.number] = self._waiting.pop(guest.number)

    def release(self, guest: Guest | None) -> None:
        """It was answered, and waits for its next request."""
        if guest is not None and self._answered.get(guest.number) is guest:
            self._waiting[guest.number] = self._answered.pop(guest.number)

    def shed(self) -> None:
        """Close the one that has waited longest, wherever it has its place."""
        for guest in self._waiting.values():
            self._close_guest(guest)
            break

    def _is_room(self, peer: str) -> bool:
        ordinary = len(self) - self._reserved
        return ordinary < self._places.in_all and self._of_peer[peer] < self._places.per_peer

    def _evict_oldest(self, *, peer: str = "", reserved: bool = False) -> None:
        for guest in self._waiting.values():
            if guest.reserved == reserved and peer in ("", guest.peer):
                self._close_guest(guest)
                return

    def _close_guest(self, guest: Guest) -> None:
        self._forget_number(guest.number)
        guest.connection.abort()
        self.evicted += 1

    def _forget_number(self, number: int) -> None:
        guest = self._waiting.pop(number, None) or self._answered.pop(number, None)
        if guest is None:
            return
        if guest.reserved:
            self._reserved -= 1
            return
        self._of_peer[guest.peer] -= 1
        if not self._of_peer[guest.peer]:
            del self._of_peer[guest.peer]

    def _forget_closed(self) -> None:
        for number, guest in [*self._waiting.items(), *self._answered.items()]:
            if guest.connection.fileno() != number:
                self._forget_number(number)


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
