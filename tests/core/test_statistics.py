from __future__ import annotations

from nvsx.core.journal.past_runs import Hit, Sample
from nvsx.core.journal.statistics import Spread, find_repeats, measure_spread, summarise_groups
from nvsx.core.runbook.schema import STAGE_ORDER

HOUR = 3600.0


def _hit(run: str, at: float, *, session: str = "", node: str = "n1", gpu: str = "") -> Hit:
    return Hit(run, node, "c", session, at * HOUR, (("gpu", gpu),) if gpu else ())


def _lengths(**known: float) -> tuple[float | None, ...]:
    return tuple(known.get(stage) for stage in STAGE_ORDER)


def test_percentiles_are_values_that_were_measured() -> None:
    """Nearest rank: of ten values p50 is the fifth and p90 the ninth."""
    assert measure_spread(float(n) for n in range(1, 11)) == Spread(10, 5.0, 9.0)
    assert measure_spread([7.0]) == Spread(1, 7.0, 7.0)
    assert measure_spread([]) is None


def test_a_group_counts_outcomes_and_leaves_unknown_repairs_out() -> None:
    """Runs without a time to repair count as runs and not in its percentiles."""
    runs = [
        Sample("a", "gpu-off-bus", "passed", False, 10.0, 8.0, _lengths(detect=1.0, drain=3.0)),
        Sample("b", "gpu-off-bus", "failed", True, 30.0, None, _lengths()),
        Sample("c", "nvlink-fault", "passed", False, 5.0, None, _lengths()),
    ]
    first, second = summarise_groups(runs)
    assert (first.name, first.runs, first.degraded) == ("gpu-off-bus", 2, 1)
    assert first.outcomes == {"failed": 1, "passed": 1}
    assert first.repair == Spread(1, 8.0, 8.0)
    assert first.stages == {"detect": Spread(1, 1.0, 1.0), "drain": Spread(1, 3.0, 3.0)}
    assert second.repair is None


def test_the_same_node_within_the_window_is_a_repeat() -> None:
    """Two incidents 71 hours apart repeat, 73 hours apart they do not."""
    assert [r.count for r in find_repeats([_hit("a", 0), _hit("b", 71)])] == [2]
    assert find_repeats([_hit("a", 0), _hit("b", 73)]) == []


def test_runs_of_one_session_are_one_incident() -> None:
    """A second run on the same quarantine is no repeat."""
    assert find_repeats([_hit("a", 0, session="s"), _hit("b", 1, session="s")]) == []


def test_a_gpu_is_followed_from_node_to_node() -> None:
    """The same UUID on another node repeats, though neither node does."""
    (found,) = find_repeats([_hit("a", 0, gpu="GPU-1"), _hit("b", 5, node="n2", gpu="GPU-1")])
    assert (found.kind, found.name, found.node, found.run_ids) == ("gpu", "GPU-1", "n2", ("a", "b"))


def test_a_pci_address_belongs_to_its_node() -> None:
    """The same address on two nodes are two slots."""
    slot = "0000:b3:00"
    hits = [
        Hit(run, node, "c", "", at, (("pci", slot),))
        for at, (run, node) in enumerate([("a", "n1"), ("b", "n2")])
    ]
    assert find_repeats(hits) == []


def test_the_fullest_window_is_told() -> None:
    """Of five incidents over weeks the three that fell together are the repeat."""
    (found,) = find_repeats([_hit(str(n), at) for n, at in enumerate((0, 200, 210, 220, 500))])
    assert (found.count, found.first, found.last) == (3, 200 * HOUR, 220 * HOUR)
