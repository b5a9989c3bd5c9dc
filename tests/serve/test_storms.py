"""Which faults are one storm: the same thing, near in fault time, in one domain or over many."""

from __future__ import annotations

from typing import Any

import pytest

from nvsx.core.routing.inbox import StormFault
from nvsx.serve.limits import Limits
from nvsx.serve.storms import Joining, find_storm

LIMITS = Limits()


def fault(number: int, at: float, **more: Any) -> StormFault:
    """XID 79 on node n<number> at a time, seen at once."""
    fields: dict[str, Any] = {
        "node": f"n{number}",
        "run_id": f"r{number}",
        "check": "SysLogsXIDError",
        "codes": ("79",),
        "fatal": True,
        "at": at,
        "seen": at,
    }
    return StormFault(**fields | more)


def joined(known: list[StormFault], new: StormFault, **more: Any) -> Joining:
    """What becomes of a new fault."""
    fields: dict[str, Any] = {"now": max(new.at, new.seen), "gpu_nodes": 1000} | more
    return find_storm(new, known, limits=LIMITS, **fields)


def racked(count: int, spacing: float = 4.0, **more: Any) -> list[StormFault]:
    """So many nodes of one rack, some seconds apart."""
    return [fault(n, n * spacing, domain="rack-1", **more) for n in range(count)]


def test_three_of_one_domain_are_a_storm_and_two_are_none() -> None:
    """The first two page; the third makes the storm, and who was first is shown."""
    assert joined(racked(1), fault(1, 4.0, domain="rack-1")) == Joining()
    assert joined(racked(2), fault(2, 8.0, domain="rack-1")) == Joining("r0", ("r0", "r1"), 3)


@pytest.mark.parametrize(
    ("nodes", "before", "storm"),
    [(1000, 6, False), (1000, 7, True), (4000, 7, True), (5000, 8, False), (5000, 9, True)],
)
def test_without_a_domain_eight_or_two_per_mille_are_needed(
    nodes: int, before: int, storm: bool
) -> None:
    """In 4,000 GPU nodes eight are enough; in 5,000 ten are needed."""
    known = [fault(n, float(n)) for n in range(before)]
    found = joined(known, fault(before, float(before)), gpu_nodes=nodes)
    assert bool(found.leader) == storm


def test_three_unrelated_faults_in_a_large_cluster_are_no_storm() -> None:
    """Different checks within two minutes, and the same one in three domains, are chance."""
    others = [
        fault(1, 0.0, check="GpuNvlinkWatch", codes=()),
        fault(2, 30.0, check="GpuMemWatch", codes=("48",)),
    ]
    assert joined(others, fault(3, 60.0)) == Joining()
    apart = [fault(n, n * 10.0, domain=f"rack-{n}") for n in (1, 2)]
    assert joined(apart, fault(3, 30.0, domain="rack-3")) == Joining()


@pytest.mark.parametrize(("at", "storm"), [(120.0, True), (121.0, False)])
def test_fault_time_counts_and_never_when_it_was_seen(at: float, storm: bool) -> None:
    """What a restart finds at once is one storm only if it broke within two minutes."""
    known = [fault(n, n * 10.0, domain="rack-1", seen=5000.0) for n in range(2)]
    found = joined(known, fault(2, at, domain="rack-1", seen=5000.0))
    assert bool(found.leader) == storm


def test_a_fault_that_is_heard_of_late_still_makes_the_storm() -> None:
    """The node whose fault was the first is heard of last: its window reaches the others."""
    known = [fault(n, 100.0 + n, domain="rack-1") for n in (1, 2)]
    assert joined(known, fault(0, 90.0, domain="rack-1", seen=110.0)).size == 3


def test_a_warning_never_speaks_for_a_fault() -> None:
    """Two warnings and a fault of the same check are no storm."""
    assert joined(racked(2, fatal=False), fault(2, 8.0, domain="rack-1")) == Joining()


@pytest.mark.parametrize(("after", "joins"), [(600.0, True), (601.0, False)])
def test_joining_closes_ten_minutes_after_the_last_one(after: float, joins: bool) -> None:
    """A rack of 18: whoever comes within ten minutes joins quietly; later it is a new trouble."""
    storm = racked(3, leader="r0")
    at = storm[-1].seen + after
    found = joined(storm, fault(9, at, domain="rack-1"))
    assert (found.leader, found.members) == (("r0", ()) if joins else ("", ()))


def test_a_storm_goes_on_when_the_first_has_recovered_and_ends_with_the_last() -> None:
    """Nothing depends on who was first."""
    storm = racked(4, leader="r0")
    first_over = [fault(0, 0.0, domain="rack-1", leader="r0", open=False), *storm[1:]]
    assert joined(first_over, fault(9, 60.0, domain="rack-1")).leader == "r0"
    all_over = racked(4, leader="r0", open=False)
    assert joined(all_over, fault(9, 60.0, domain="rack-1")) == Joining()


def test_another_rack_does_not_join_the_storm_of_one() -> None:
    """A storm of one NVLink domain is told as that rack's."""
    assert joined(racked(4, leader="r0"), fault(9, 20.0, domain="rack-2")) == Joining()


def test_one_node_counts_once() -> None:
    """Three faults on one node are no storm."""
    known = [fault(1, t, domain="rack-1", run_id=f"r{t}") for t in (0.0, 1.0)]
    assert joined(known, fault(2, 2.0, domain="rack-1")) == Joining()
