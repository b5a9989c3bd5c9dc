"""Storms: the same fault on many nodes at once, told as one story.

A storm is the same check or code on at least 3 nodes of one NVLink domain, or on at least
max(8, 0.2 % of the GPU nodes), within 2 minutes of *fault* time: never of the time at which
somebody saw it, which bunches what a restart or a poll finds at once. Who was first is shown, and
nothing depends on it.

    12:00:00 XID 79 on n1, 12:00:20 on n2 of its rack: two runs, each pages
    12:00:40 XID 79 on n3 of the rack: three of one domain; n1's run is shown as the first
    12:06:00 n4 of the rack: joins quietly, the last joined less than 10 minutes ago
    12:20:00 n5: no one joined for more than 10 minutes; it is a trouble of its own
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from nvsx.core.routing.inbox import StormFault, StormMark
from nvsx.serve.limits import Limits

#: Nodes of one NVLink domain that make a storm: they share switches, power and cooling.
OF_ONE_DOMAIN = 3
#: The share of a cluster's GPU nodes that makes a storm, where that is more than the set number:
#: in a cluster of 10,000 nodes eight faults in two minutes can be chance.
SHARE = 0.002
#: Joining closes so long after the last one joined; what comes then is told by itself.
JOINING_CLOSES = 600.0


class Joining(msgspec.Struct, frozen=True):
    """How a new run joins a storm: `leader` is "" when there is none; `members` are the
    earlier runs that make the storm now, the first of them first; `size` counts the new one."""

    leader: str = ""
    members: tuple[str, ...] = ()
    size: int = 0


def is_alike(one: StormFault, other: StormFault) -> bool:
    """The same check or code; and a warning never speaks for a fault."""
    if one.fatal != other.fatal:
        return False
    same_check = bool(one.check) and one.check == other.check
    return same_check or bool(set(one.codes) & set(other.codes))


def find_storm(
    fault: StormFault, known: Sequence[StormFault], now: float, gpu_nodes: int, limits: Limits
) -> Joining:
    """Whether a new fault belongs to a storm; `known` are those before it, `now` Unix seconds."""
    others = [k for k in known if is_alike(fault, k) and k.node != fault.node]
    return _open_storm(fault, others, known, now) or _new_storm(fault, others, gpu_nodes, limits)


def _open_storm(
    fault: StormFault, others: Sequence[StormFault], known: Sequence[StormFault], now: float
) -> Joining | None:
    for leader in dict.fromkeys(k.leader for k in reversed(others) if k.leader):
        members = [k for k in known if k.leader == leader]
        last = max(k.seen for k in members)
        if now - last > JOINING_CLOSES or not any(k.open for k in members):
            continue
        domains = {k.domain for k in members}
        if len(domains) == 1 and "" not in domains and fault.domain not in domains:
            continue  # it is one rack's, and this is another
        return Joining(leader, (), len({*(k.node for k in members), fault.node}))
    return None


def _new_storm(
    fault: StormFault, others: Sequence[StormFault], gpu_nodes: int, limits: Limits
) -> Joining:
    free = [k for k in others if not k.leader and k.open]
    near = [k for k in free if fault.domain and k.domain == fault.domain]
    needed = max(limits.storm_nodes, math.ceil(SHARE * gpu_nodes))
    for group, least in ((free, needed), (near, OF_ONE_DOMAIN)):
        together = _joined_within(fault, group, limits.storm_window)
        if len(together) + 1 >= least:
            runs = tuple(k.run_id for k in together)
            return Joining(runs[0], runs, len(runs) + 1)
    return Joining()


def _joined_within(
    fault: StormFault, group: Iterable[StormFault], window: float
) -> list[StormFault]:
    """The most nodes whose faults lie within one window with this one, by time, one a node."""
    first_of: dict[str, StormFault] = {}
    for one in sorted(group, key=lambda k: (k.at, k.run_id)):
        if abs(one.at - fault.at) <= window:
            first_of.setdefault(one.node, one)
    near = list(first_of.values())
    best: list[StormFault] = []
    end = 0
    for begin, one in enumerate(near):
        while end < len(near) and near[end].at <= one.at + window:
            end += 1
        if one.at <= fault.at <= one.at + window and end - begin > len(best):
            best = near[begin:end]
    after = [k for k in near if k.at >= fault.at]  # the window that begins with this one
    return after if len(after) > len(best) else best


class StormBook:
    """Which of the runs in this process belong to which storm, and how big it is by now."""

    def __init__(self) -> None:
        self._leader: dict[str, str] = {}
        self._runs: dict[str, set[str]] = {}
        self._size: dict[str, int] = {}

    def join(self, leader: str, runs: Iterable[str], size: int) -> None:
        """These runs belong to the storm of `leader`, which has `size` nodes now."""
        for run_id in runs:
            self._leader[run_id] = leader
            self._runs.setdefault(leader, set()).add(run_id)
        self._size[leader] = max(size, self._size.get(leader, 0))

    def know(self, run_id: str, mark: StormMark | None) -> None:
        """What the store says of a run that is taken up."""
        if mark is not None:
            self.join(mark.leader, (run_id,), mark.size)

    def forget(self, run_id: str) -> None:
        """The run is over here."""
        leader = self._leader.pop(run_id, "")
        if leader:
            self._runs[leader].discard(run_id)
            if not self._runs[leader]:
                del self._runs[leader], self._size[leader]

    def facts(self, run_id: str) -> Mapping[str, str]:
        """The storm variables of a hook of this run; none without a storm."""
        leader = self._leader.get(run_id)
        if leader is None:
            return {}
        role = "leader" if leader == run_id else "member"
        return {"NVSX_STORM_ROLE": role, "NVSX_STORM_SIZE": str(self._size[leader])}
