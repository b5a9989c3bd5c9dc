"""What a run's hooks learn of the incident before it, with real processes on a sandbox."""

from __future__ import annotations

import pytest
from tests.e2e.live import CHAIN, Live, Nvsx

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

HOOK = """
echo "$NVSX_STAGE ${NVSX_REPEAT_COUNT-unset} ${NVSX_REPEAT_GPU-unset}" >>"$NVSX_PROJECT_ROOT/log"
"""


async def _incident(live: Live) -> Nvsx:
    run = await live.run("t")
    await run.until("stage_begin", stage="detect")
    await live.inject(live.node)
    assert await run.end() == 0
    return run


def _struck(run: Nvsx) -> set[str]:
    """The GPUs of the incident, by UUID and address, as the session's events name them."""
    events = [e for seen in run.of("session") for e in seen["session"]["events"]]
    return {value for e in events for kind, value in e["entities"] if kind in ("GPU_UUID", "PCI")}


async def test_the_second_incident_within_the_window_says_so(live: Live) -> None:
    """The first run's hooks are told 1; those of the second, on the same node, 2, and the GPU
    when it is the same one. Stats names the node as struck again."""
    live.project.script("runbooks/hooks/t/hook.sh", HOOK)
    stages = [s | {"hook": "hooks/t/hook.sh"} if s["id"] == "recover" else s for s in CHAIN]
    live.project.runbook(stages)
    first, second = await _incident(live), await _incident(live)
    again = _struck(first) & _struck(second)
    told = [line.split(" ") for line in live.project.log_file.read_text().splitlines()]
    assert told[0] == ["recover", "1", ""]
    assert told[1][:2] == ["recover", "2"]
    assert (told[1][2] in again) if again else (told[1][2] == "")
    stats = await live.done("stats")
    assert "struck again within 3d" in stats.out
    assert live.node in stats.out
