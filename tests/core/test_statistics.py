from __future__ import annotations

from collections.abc import Iterable

import pytest

from nvsx.core.journal.past_runs import Hit, Sample
from nvsx.core.journal.statistics import (
    Spread,
    count_strikes,
    find_repeats,
    measure_spread,
    summarise_groups,
)
from nvsx.core.runbook.stage_order import STAGE_ORDER

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


def test_the_window_includes_its_end() -> None:
    """Exactly 72 hours apart is a repeat; a second more is none."""
    assert [r.count for r in find_repeats([_hit("a", 0), _hit("b", 72)])] == [2]
    assert find_repeats([_hit("a", 0), _hit("b", 72 + 1 / 3600)]) == []


def test_of_equally_full_windows_the_latest_is_told() -> None:
    """The news is what fell together last."""
    (found,) = find_repeats([_hit(str(n), at) for n, at in enumerate((0, 1, 500, 501))])
    assert (found.count, found.first, found.run_ids) == (2, 500 * HOUR, ("2", "3"))
    (first,) = find_repeats([_hit(str(n), at) for n, at in enumerate((0, 1, 2, 500, 501))])
    assert (first.count, first.first, first.last) == (3, 0.0, 2 * HOUR)


def test_a_later_incident_of_another_session_counts() -> None:
    """Of one session the first run counts, whatever order the runs come in."""
    hits = [_hit("c", 9, session="t"), _hit("b", 1, session="s"), _hit("a", 0, session="s")]
    (found,) = find_repeats(hits)
    assert (found.count, found.run_ids) == (2, ("a", "c"))


def test_the_most_frequent_repeat_comes_first() -> None:
    """Then the latest, then by kind and name."""
    hits = [
        *(_hit(f"x{n}", n, node="x") for n in (0, 1, 2)),
        *(_hit(f"y{n}", n, node="y") for n in (5, 6)),
        *(_hit(f"z{n}", n, node="z") for n in (7, 8)),
        *(_hit(f"w{n}", n, node="w", gpu="GPU-1") for n in (7, 8)),
    ]
    found = [(r.kind, r.name) for r in find_repeats(hits)]
    assert found == [("node", "x"), ("gpu", "GPU-1"), ("node", "w"), ("node", "z"), ("node", "y")]


def test_nodes_of_different_clusters_are_different() -> None:
    """Though they have one name."""
    there = Hit("b", "n1", "other", "", HOUR)
    assert find_repeats([_hit("a", 0), there]) == []


def test_groups_with_most_runs_come_first() -> None:
    """Then by name; a group has the spread of its whole lengths."""
    runs = [
        Sample(str(n), name, "passed", False, float(n), None, _lengths())
        for n, name in enumerate(("b", "a", "c", "c"))
    ]
    found = summarise_groups(runs)
    assert [(g.name, g.runs) for g in found] == [("c", 2), ("a", 1), ("b", 1)]
    assert found[0].total == Spread(2, 2.0, 3.0)


@pytest.mark.parametrize(
    ("values", "p50", "p90"),
    [((1, 2), 1, 2), ((1, 2, 3), 2, 3), (range(1, 12), 6, 10), ((0.12345,), 0.123, 0.123)],
)
def test_ranks_round_up(values: Iterable[float], p50: float, p90: float) -> None:
    """The nearest rank at or above the share, to a thousandth of a second."""
    spread = measure_spread(values)
    assert spread is not None
    assert (spread.p50, spread.p90) == (p50, p90)


MINE = _hit("me", 10, session="s", gpu="GPU-1")


@pytest.mark.parametrize(
    ("others", "strikes"),
    [
        ((), (1, "")),
        ((_hit("a", 1, session="r"),), (2, "")),
        ((_hit("a", 1, session="r", gpu="GPU-1"),), (2, "GPU-1")),
        ((_hit("a", 1, session="r", gpu="GPU-1", node="n2"),), (2, "GPU-1")),
        ((_hit("a", 1, session="r", gpu="GPU-2"),), (2, "")),
        ((_hit("a", 1, session="r", node="n2"), _hit("b", 2, session="q", node="n2")), (1, "")),
        ((_hit("a", 1),), (1, "")),
        ((_hit("a", 1, session="s", gpu="GPU-1"),), (1, "")),
        ((_hit("a", -63, session="r"),), (1, "")),
        ((_hit("a", -62, session="r"),), (2, "")),
        (
            (
                _hit("a", 1, session="r"),
                _hit("b", 2, session="q"),
                _hit("c", 3, session="p", gpu="GPU-1"),
            ),
            (2, "GPU-1"),
        ),
    ],
)
def test_strikes_are_counted_on_the_same_gpu_or_node(
    others: tuple[Hit, ...], strikes: tuple[int, str]
) -> None:
    """The GPU goes before its node; runs without a session, and of this one, do not count."""
    assert count_strikes([*others, MINE], "me") == strikes


def test_a_uuid_goes_before_the_slot() -> None:
    """Where both were struck as often; the slot where it was struck more often."""
    gpus = (("pci", "b3"), ("gpu", "GPU-1"))
    me = Hit("me", "n1", "c", "s", 10 * HOUR, gpus)
    before = Hit("a", "n1", "c", "r", HOUR, gpus)
    assert count_strikes([before, me], "me") == (2, "GPU-1")
    slot = Hit("b", "n1", "c", "q", 2 * HOUR, (("pci", "b3"),))
    assert count_strikes([before, slot, me], "me") == (3, "b3")
    elsewhere = [Hit(r, "n2", "c", r, HOUR, (("pci", "b3"),)) for r in ("x", "y")]
    assert count_strikes([*elsewhere, me], "me") == (1, "")


def test_an_unknown_run_was_struck_once() -> None:
    """Nothing is known to compare with."""
    assert count_strikes([_hit("a", 1, session="r"), _hit("b", 2, session="q")], "me") == (1, "")


def test_a_run_without_a_session_is_counted_with_itself() -> None:
    """Its own hit counts, though nobody saw its quarantine."""
    assert count_strikes([_hit("a", 1, session="r"), _hit("me", 2)], "me") == (2, "")
