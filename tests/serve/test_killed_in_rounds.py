"""kill -9 of a real daemon in rounds, at drawn moments, while hooks of 4 to 8 s run."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import stat
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.patience import patience
from tests.serve.conftest import until

if TYPE_CHECKING:
    from tests.serve.conftest import Site

#: Few by default, since each takes about six seconds: `make kills` makes sixty.
ROUNDS = int(os.environ.get("KILL_ROUNDS", "6"))
SEED = os.environ.get("KILL_SEED", "19")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240 + 20 * ROUNDS)]

#: Rounds between two faults: hooks of several incidents run at every kill.
FAULT_EVERY = 3
#: How long a life lasts, in seconds from where it is ready; a hook outlives some and not others.
LIFE = (0.0, 5.0)
#: One life in four is not ready when it ends, but somewhere in its start, which takes a second.
DIES_EARLY, START = 0.25, (0.2, 1.5)

HOOK = """#!/usr/bin/env bash
say() { echo "$1 $NVSX_RUN_ID $NVSX_STAGE $NVSX_IDEMPOTENCY_KEY $$" >>"$NVSX_PROJECT_ROOT/log"; }
say begin
sleep "$((4 + RANDOM % 4)).$((RANDOM % 10))"
say end
"""


class Said(NamedTuple):
    """One line of a hook: `what` is `begin` or `end`, `pid` the process that said it."""

    what: str
    run_id: str
    stage: str
    key: str
    pid: str


async def test_killed_in_rounds_while_hooks_run_nothing_is_lost_repeated_or_doubled(
    site: Site,
) -> None:
    """A fault on another node every third round: each is one incident with one run in the end; no
    hook that had ended began again, no two tries of one hook overlapped, and each has ended."""
    chance = random.Random(SEED)
    _use_slow_hooks(site)
    await site.has_served_before()
    nodes = [f"gpu-node-a{n}" for n in range(1, 5)]
    faults = Counter[str]()
    for number in range(ROUNDS):
        early = chance.random() < DIES_EARLY
        daemon = await site.serve("--mode", "watch", "--port", "0", ready=False)
        if not early:
            await daemon.said("ready", within=60)
        if number % FAULT_EVERY == 0:
            node = nodes[number // FAULT_EVERY % len(nodes)]
            # A node is hit again only after its last incident: else the fault joins that one.
            before = [i.how for i in await site.incidents() if i.node == node]
            if all(before) and len(before) == faults[node]:
                await site.sandbox.inject("xid-79", node=node, variant="drain-waits")
                faults[node] += 1
        await asyncio.sleep(chance.uniform(*(START if early else LIFE)))
        await daemon.kill()
    last = await site.serve("--mode", "watch", "--port", "0")
    await _all_over(site, faults.total())
    assert await last.stop() == 0

    incidents = await site.incidents()
    assert Counter(i.node for i in incidents) == faults
    assert {i.how for i in incidents} == {"recovered"}
    assert {len(i.runs) for i in incidents} == {1}
    rows = await site.rows()
    assert {row.status for row in rows} == {"passed"}
    assert len(rows) == faults.total()
    log = [Said(*line.split()) for line in (site.project / "log").read_text().splitlines()]
    by_hook = defaultdict[str, list[Said]](list)
    for said in log:
        by_hook[said.key].append(said)
    assert [hook for hook, told in by_hook.items() if not _ran_once_to_its_end(told)] == []
    tries = sum(said.what == "begin" for said in log)
    logging.getLogger(__name__).info(
        "%d rounds, seed %s: %d incidents, %d hooks ended once each, in %d tries",
        *(ROUNDS, SEED, faults.total(), len(by_hook), tries),
    )


def _ran_once_to_its_end(told: list[Said]) -> bool:
    """All lines are of one key. Nothing begins after an end. A try that never ends was stopped: the
    one after it begins when that is dead, which its own lines show by their order."""
    words = [s.what for s in told]
    return (
        words[-1] == "end"
        and words.count("end") == 1
        and words[-2] == "begin"
        and told[-1].pid == told[-2].pid
    )


async def _all_over(site: Site, count: int) -> None:
    async def look() -> bool | None:
        incidents = await site.incidents()
        over = len(incidents) >= count and all(i.how for i in incidents)
        return True if over and all(row.finished for row in await site.rows()) else None

    await until(look, patience(180))


def _use_slow_hooks(site: Site) -> None:
    for path in (site.project / "runbooks/hooks/gpu-off-bus").glob("*.sh"):
        path.write_text(HOOK, encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
