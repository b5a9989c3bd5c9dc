from __future__ import annotations

from nvsx.core.pastruns import Hit, Sample
from nvsx.ops.stats import Spread, groups, repeats, spread

HOUR = 3600.0


def _hit(run: str, at: float, *, session: str = "", node: str = "n1", gpu: str = "") -> Hit:
    return Hit(run, node, "c", session, at * HOUR, "gpu" if gpu else "", gpu)


def test_percentiles_are_values_that_were_measured() -> None:
    """Nearest rank: of ten values p50 is the fifth and p90 the ninth."""
    assert spread(float(n) for n in range(1, 11)) == Spread(10, 5.0, 9.0)
    assert spread([7.0]) == Spread(1, 7.0, 7.0)
    assert spread([]) is None


def test_a_group_counts_outcomes_and_leaves_unknown_repairs_out() -> None:
    """Runs without a time to repair count as runs and not in its percentiles."""
    runs = [
        Sample("a", "gpu-off-bus", "passed", False, 10.0, 8.0),
        Sample("b", "gpu-off-bus", "failed", True, 30.0, None),
        Sample("c", "nvlink-fault", "passed", False, 5.0, None),
    ]
    first, second = groups(runs, [("gpu-off-bus", "drain", 3.0), ("gpu-off-bus", "detect", 1.0)])
    assert (first.name, first.runs, first.degraded) == ("gpu-off-bus", 2, 1)
    assert first.outcomes == {"failed": 1, "passed": 1}
    assert first.repair == Spread(1, 8.0, 8.0)
    assert list(first.stages) == ["detect", "drain"]
    assert second.repair is None


def test_the_same_node_within_the_window_is_a_repeat() -> None:
    """Two incidents 71 hours apart repeat, 73 hours apart they do not."""
    assert [r.count for r in repeats([_hit("a", 0), _hit("b", 71)])] == [2]
    assert repeats([_hit("a", 0), _hit("b", 73)]) == []


def test_runs_of_one_session_are_one_incident() -> None:
    """A second run on the same quarantine is no repeat."""
    assert repeats([_hit("a", 0, session="s"), _hit("b", 1, session="s")]) == []


def test_a_gpu_is_followed_from_node_to_node() -> None:
    """The same UUID on another node repeats, though neither node does."""
    (found,) = repeats([_hit("a", 0, gpu="GPU-1"), _hit("b", 5, node="n2", gpu="GPU-1")])
    assert (found.kind, found.name, found.node, found.run_ids) == ("gpu", "GPU-1", "n2", ("a", "b"))


def test_a_pci_address_belongs_to_its_node() -> None:
    """The same address on two nodes are two slots."""
    slot = "0000:b3:00"
    hits = [Hit("a", "n1", "c", "", 0, "pci", slot), Hit("b", "n2", "c", "", 1, "pci", slot)]
    assert repeats(hits) == []


def test_the_fullest_window_is_told() -> None:
    """Of five incidents over weeks the three that fell together are the repeat."""
    (found,) = repeats([_hit(str(n), at) for n, at in enumerate((0, 200, 210, 220, 500))])
    assert (found.count, found.first, found.last) == (3, 200 * HOUR, 220 * HOUR)
