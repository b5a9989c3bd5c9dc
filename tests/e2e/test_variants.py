"""gpu-off-bus on the sandbox, for every way NVSentinel's chain can go.

The table is the promise: variant, exit code, run status, and the one-sentence reason.
"""

from __future__ import annotations

import re

import pytest
from tests.e2e.sandboxed import SPEED, play, said

from nvsx.core.journal.fold import RunState

pytestmark = pytest.mark.timeout(240)

TABLE = [
    ("", 0, "passed", r"^$"),
    ("stale-cr", 0, "passed", r"^$"),
    ("idle-node", 0, "passed", r"^$"),
    ("three-checks", 0, "passed", r"^$"),
    ("no-ids", 0, "passed", r"^$"),
    ("drain-waits", 0, "passed", r"^$"),
    ("reboot-timeout", 1, "failed", r"^(remediate|recover): RebootNode \S+: timed out"),
    ("signal-refused", 1, "failed", r"^(remediate|recover): RebootNode \S+: signal refused"),
    ("manual-uncordon", 1, "failed", r"^\w+: cancelled by hand: a person uncordoned the node"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "code", "status", "reason"), TABLE)
async def test_variant_ends_as_promised(variant: str, code: int, status: str, reason: str) -> None:
    """Each variant has its exit code, run status and reason; a failure has no time to repair."""
    state = await play("gpu-off-bus", variant)
    finish = state.finish
    assert finish is not None
    assert (finish.exit_code, finish.status) == (code, status)
    assert re.search(reason, finish.reason)
    assert (finish.mttr_s is None) == (status == "failed")
    _stages_fit(state, passed=status == "passed")


def _stages_fit(state: RunState, *, passed: bool) -> None:
    """All seven stages pass; or one fails, the rest are skipped, and postmortem still ran."""
    by_status = [s.status for s in state.stages]
    if passed:
        assert by_status == ["pass"] * 7
        return
    assert by_status[-1] == "pass"
    assert by_status.count("fail") == 1


@pytest.mark.slow
async def test_a_long_drain_is_overdue_and_names_the_pod() -> None:
    """drain-waits: the drain goes overdue, its hook fires, and a note names the pod."""
    state = await play("gpu-off-bus", "drain-waits", speed=3.0)
    drain = state.stage("drain")
    assert drain is not None
    assert drain.overdue
    assert [s.purpose for s in drain.scripts] == ["overdue", "hook"]
    assert said(state, r"drain waits for pod ml/train-\d")
    assert state.finish is not None
    assert state.finish.ok


@pytest.mark.slow
async def test_stale_reboot_is_not_taken_for_this_one() -> None:
    """stale-cr: the request that satisfied remediate was made in this incident, and is its only
    attempt."""
    state = await play("gpu-off-bus", "stale-cr")
    remediate = state.stage("remediate")
    assert remediate is not None
    assert state.times.remediation_created is not None
    assert state.times.remediation_created >= state.began - 1
    assert state.finish is not None
    assert state.finish.attempts == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "speed", "words"),
    [
        (
            "budget-blocks",
            0.5,
            r"PodDisruptionBudget ml/train allows no disruption now, so the eviction .* is refused",
        ),
        ("drain-failed", SPEED, r"the drain failed, and goes no further by itself"),
    ],
)
async def test_what_stands_in_the_way_is_named(variant: str, speed: float, words: str) -> None:
    """18: the note of the run is the incident's cause, with the object's name, and no other text
    stands beside it."""
    state = await play("gpu-off-bus", variant, speed=speed)
    assert said(state, words)
