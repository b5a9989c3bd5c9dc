"""Statistics over past runs: how many, how they ended, how long they took, what comes back.

Pure. Percentiles are nearest rank: p90 of ten runs is the ninth, a time that was really
measured. Runs without a time to repair do not count in its percentiles.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from operator import attrgetter

import msgspec

from nvsx.core.journal.past_runs import Hit, Sample
from nvsx.core.runbook.stage_order import STAGE_ORDER

#: Seconds. A node that breaks again within three days was not really repaired.
REPEAT_WINDOW = 72 * 3600.0


class Spread(msgspec.Struct, frozen=True):
    """Seconds; `count` says over how many."""

    count: int
    p50: float
    p90: float


class Group(msgspec.Struct, frozen=True):
    """`outcomes` counts statuses; `degraded` the runs in which a hook failed."""

    name: str
    runs: int
    outcomes: dict[str, int]
    degraded: int
    total: Spread | None
    repair: Spread | None
    stages: dict[str, Spread]


class Repeat(msgspec.Struct, frozen=True):
    """Something that was struck `count` times within the window. `kind` is node, gpu or pci."""

    kind: str
    name: str
    node: str
    count: int
    first: float
    last: float
    run_ids: tuple[str, ...]


class Stats(msgspec.Struct, frozen=True):
    groups: tuple[Group, ...]
    repeats: tuple[Repeat, ...]


def measure_spread(seconds: Iterable[float]) -> Spread | None:
    """The percentiles; None without a value."""
    ordered = sorted(seconds)
    if not ordered:
        return None
    return Spread(len(ordered), _pick_percentile(ordered, 0.5), _pick_percentile(ordered, 0.9))


def _pick_percentile(ordered: Sequence[float], share: float) -> float:
    return round(ordered[math.ceil(share * len(ordered)) - 1], 3)


def summarise_groups(samples: Iterable[Sample]) -> list[Group]:
    """One group for each name, most runs first."""
    runs: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        runs[sample.group].append(sample)
    found = [_summarise_group(name, mine) for name, mine in runs.items()]
    return sorted(found, key=lambda g: (-g.runs, g.name))


def _summarise_group(name: str, runs: Sequence[Sample]) -> Group:
    columns = zip(*(r.lengths for r in runs), strict=True)
    spreads = {
        stage: measure_spread(s for s in seconds if s is not None)
        for stage, seconds in zip(STAGE_ORDER, columns, strict=True)
    }
    return Group(
        name=name,
        runs=len(runs),
        outcomes=dict(sorted(Counter(r.status for r in runs).items())),
        degraded=sum(r.degraded for r in runs),
        total=measure_spread(r.total_s for r in runs),
        repair=measure_spread(r.mttr_s for r in runs if r.mttr_s is not None),
        stages={stage: found for stage, found in spreads.items() if found is not None},
    )


def find_repeats(hits: Iterable[Hit], window: float = REPEAT_WINDOW) -> list[Repeat]:
    """What was struck more than once within `window` seconds, the most often first.

    Runs of one quarantine session are one incident. A PCI address names a GPU only
    together with its node; a GPU's UUID goes with it from node to node.
    """
    struck: dict[tuple[str, ...], list[Hit]] = defaultdict(list)
    for hit in sorted(hits, key=attrgetter("created")):
        struck["node", hit.cluster, hit.node].append(hit)
        for kind, name in hit.gpus:
            key = (kind, name) if kind == "gpu" else (kind, hit.cluster, hit.node, name)
            struck[key].append(hit)
    windows = (_find_densest(key, _keep_first_runs(mine), window) for key, mine in struck.items())
    found = [repeat for repeat in windows if repeat is not None]
    return sorted(found, key=lambda r: (-r.count, -r.last, r.kind, r.name))


def count_strikes(
    hits: Iterable[Hit], run_id: str, window: float = REPEAT_WINDOW
) -> tuple[int, str]:
    """How many incidents struck the same as this run's, its own among them, and which GPU.

    The GPU is the one that was struck most: its UUID, or its PCI address where only the slot
    is the same. Without one that was struck before, "" and the count of the node. `hits` are
    of the window that ends with the run. Of other runs only those that saw a quarantine session
    count: of the rest nobody can say that they were not of this very incident.
    """
    known = [h for h in hits if h.run_id == run_id or h.session_key]
    mine = [h for h in known if h.run_id == run_id]
    if not mine:
        return 1, ""
    own = {gpu for h in mine for gpu in h.gpus}
    again = [
        r
        for r in find_repeats(known, window)
        if ((r.kind, r.name) in own and (r.kind == "gpu" or r.node == mine[0].node))
        or (r.kind == "node" and r.name == mine[0].node)
    ]
    cards = [r for r in again if r.kind != "node"]
    if cards:
        worst = max(cards, key=lambda r: (r.count, r.kind == "gpu"))
        return worst.count, worst.name
    return max((r.count for r in again), default=1), ""


def _keep_first_runs(hits: Sequence[Hit]) -> list[Hit]:
    """The first run of each incident, in the order of `hits`."""
    first: dict[str, Hit] = {}
    for hit in hits:
        first.setdefault(hit.session_key or hit.run_id, hit)
    return list(first.values())


def _find_densest(key: tuple[str, ...], incidents: Sequence[Hit], window: float) -> Repeat | None:
    """The fullest window of `incidents`, oldest first, the latest of equally full ones; None
    with fewer than two.

    | a node was struck on day | window of 3 days | count |
    |--------------------------|------------------|-------|
    | 1, 3, 5, 6, 9            | 3, 5, 6          | 3     |
    | 1, 4, 20, 22             | 20, 22           | 2     |
    | 1, 5, 9                  | none             |       |
    """
    begun = [h.created for h in incidents]
    first, start, most = 0, 0, 0
    for last, at in enumerate(begun):
        while at - begun[first] > window:
            first += 1
        count = last - first + 1
        if count >= most:
            start, most = first, count
    if most < 2:
        return None
    best = incidents[start : start + most]
    return Repeat(
        kind=key[0],
        name=key[-1],
        node=best[-1].node,
        count=len(best),
        first=best[0].created,
        last=best[-1].created,
        run_ids=tuple(h.run_id for h in best),
    )
