"""Starter runbooks on the sandbox, for the branches of NVSentinel's lifecycle.

The tables are the promise: what ends (exit code, status, reason), and what waits for people,
with the words nvsx has for it.
"""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple

import pytest
from tests.e2e.sandboxed import SPEED, Seen, play
from tests.patience import patience

from nvsx.commands.run.by_hand import run_by_hand
from nvsx.commands.run.run_options import RunOptions
from nvsx.core.journal import entries as j
from nvsx.core.journal.fold import RunState
from nvsx.project.home import Home

OFF_BUS, ECC = "gpu-off-bus", "ecc-double-bit"


class Case(NamedTuple):
    """How a runbook ends with a variant. `repaired`: whether there is a time to repair."""

    runbook: str
    variant: str
    code: int
    status: str
    reason: str
    repaired: bool


ENDS = [
    Case(OFF_BUS, "monitor-only", 3, "failed", r"^prerequisites not met: fault-quarantine", False),
    Case(OFF_BUS, "manual-mode", 0, "passed", r"^$", True),
    Case(OFF_BUS, "cordoned-before", 0, "passed", r"^$", True),
    Case(OFF_BUS, "partial-recovery", 0, "passed", r"^$", True),
    Case(OFF_BUS, "breaker-trips", 0, "passed", r"^$", True),
    Case(OFF_BUS, "immediate-drain", 0, "passed", r"^$", True),
    Case(OFF_BUS, "delete-after-timeout", 0, "passed", r"^$", True),
    Case(OFF_BUS, "external-repair", 0, "passed", r"^$", True),
    Case(OFF_BUS, "log-collector", 0, "passed", r"^$", True),
    Case(OFF_BUS, "validated", 0, "passed", r"^$", True),
    Case(ECC, "gpu-reset", 0, "passed", r"^$", True),
    Case(
        OFF_BUS,
        "drain-failed",
        1,
        "failed",
        r"^drain: NVSentinel reports that the drain failed",
        False,
    ),
    # On a busy machine the hand can be quicker than the look at the quarantine.
    Case(OFF_BUS, "manual-untaint", 1, "failed", r"^\w+: cancelled by hand: .*untaint", False),
    Case(OFF_BUS, "terminate-node", 0, "passed", r"^the node was replaced, not repaired$", False),
    Case(ECC, "gpu-reset-fails", 0, "passed", r"^$", True),
    Case(ECC, "partial-drain", 0, "passed", r"^$", True),
    Case(OFF_BUS, "custom-drain", 0, "passed", r"^$", True),
    Case(OFF_BUS, "custom-action", 0, "passed", r"^$", True),
]
WAITS = [
    (OFF_BUS, "opted-out", "quarantine", r"label \S+=false keeps NVSentinel away"),
    (OFF_BUS, "breaker-tripped", "quarantine", r"circuit breaker is TRIPPED"),
    (OFF_BUS, "dry-run", "remediate", r"runs dry"),
    (OFF_BUS, "validation-fails", "recover", r"validation \S+ has failed, which is final"),
    (OFF_BUS, "repair-refused", "remediate", r"could not ask for a repair"),
    (OFF_BUS, "custom-unmapped", "remediate", r"is CUSTOM: .*people have to act"),
    (OFF_BUS, "store-only", "detect", r"none of NVSentinel's conditions on the node is True"),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", ENDS, ids=[case.variant for case in ENDS])
async def test_branches_end_as_promised(case: Case) -> None:
    """Each branch has its exit code, status and reason, and a time to repair only if repaired."""
    finish = (await play(case.runbook, case.variant)).finish
    assert finish is not None
    assert (finish.exit_code, finish.status) == (case.code, case.status)
    assert re.search(case.reason, finish.reason)
    assert (finish.mttr_s is not None) == case.repaired


class _UntilSaid(Seen):
    """A view that notices a note of one stage."""

    def __init__(self, stage: str, pattern: str) -> None:
        super().__init__()
        self._stage, self._pattern = stage, pattern
        self.said = asyncio.Event()

    def show(self, entry: j.Entry, *, replayed: bool = False) -> None:
        super().show(entry, replayed=replayed)
        notes = [n.text for _, n in self.state.notes if n.stage == self._stage]
        if any(re.search(self._pattern, text) for text in notes):
            self.said.set()


async def waiting(runbook: str, variant: str, stage: str, pattern: str) -> RunState:
    """The run when it has said why it waits; it is ended then."""
    view = _UntilSaid(stage, pattern)
    # Where people step in after a while, the fast story leaves no time to say that they must.
    speed = 1.0 if variant == "custom-unmapped" else SPEED
    options = RunOptions(runbook=runbook, sandbox=True, variant=variant, speed=speed)
    run = asyncio.create_task(run_by_hand(Home(), options, [view]))
    try:
        async with asyncio.timeout(patience(50)):
            await view.said.wait()
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    return view.state


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runbook", "variant", "stage", "pattern"), WAITS, ids=[w[1] for w in WAITS]
)
async def test_branches_that_wait_say_why(
    runbook: str, variant: str, stage: str, pattern: str
) -> None:
    """What NVSentinel will not do by itself is said, in the stage that waits for it."""
    state = await waiting(runbook, variant, stage, pattern)
    assert [s.id for s in state.stages if s.status == "fail"] == []
