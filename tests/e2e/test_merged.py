"""One incident of several runs, and a cluster with another clock, with real processes."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest
from tests.e2e.live import CHAIN, Live

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def _report(live: Live, wanted: str, *args: str) -> dict[str, Any]:
    file = live.folder / f"report-{wanted}.json"
    shown = await live.done("report", wanted, *args, "-o", "json", "--file", str(file))
    assert shown.process.returncode == 0, shown.err
    report: dict[str, Any] = json.loads(file.read_text())
    return report


async def test_a_failed_run_and_its_successor_are_one_incident(live: Live) -> None:
    """The first run fails in the drain, a second one goes on: merged there is one time to repair,
    from the fault to the end of the quarantine, the failed run is told with its cause, and a run
    of another node is left out."""
    live.project.script("runbooks/hooks/t/hook.sh", NOTIFY)
    limited = [s | ({"timeout": "1s"} if s["id"] == "drain" else {}) for s in CHAIN]
    live.project.runbook(limited, "first")
    noted = [s | ({"hook": "hooks/t/hook.sh"} if s["id"] == "recover" else {}) for s in CHAIN]
    live.project.runbook(noted, "second")
    live.project.runbook([{"id": "preflight"}], "other")
    live.steps.hold("drain_pickup", "reboot")
    first = await live.run("first")
    await first.until("stage_begin", stage="detect")
    elsewhere = next(n for n in ("gpu-node-a1", "gpu-node-a2") if n != live.node)
    other = await live.done("run", "other", "--target-node", elsewhere)
    assert other.process.returncode == 0, other.err
    await live.inject()
    assert await first.end() == 1
    second = await live.run("second")
    await second.until("stage_begin", stage="drain")
    live.steps.go("drain_pickup")
    live.steps.go("reboot")
    assert await second.end() == 0
    merged = await _report(live, first.run_id, "--since", "1h")
    by_node = await _report(live, live.node, "--since", "1h")
    alone = await _report(live, second.run_id)
    assert [(p["run_id"], p["status"]) for p in merged["parts"]] == [
        (first.run_id, "failed"),
        (second.run_id, "passed"),
    ]
    assert by_node["parts"] == merged["parts"]
    assert by_node["measures"] == merged["measures"]
    marks = {m["name"]: m["at"] for m in merged["marks"]}
    figures = {m["key"]: m["seconds"] for m in merged["measures"]}
    whole = marks["unquarantined"] - marks["generated"]
    assert figures["time_to_repair"] == pytest.approx(whole, abs=2e-3)
    assert marks["unquarantined"] == {m["name"]: m["at"] for m in alone["marks"]}["unquarantined"]
    assert merged["status"] == "passed"
    assert [t["target"] for t in merged["told"]] == ["oncall"]
    assert "drain" in "".join(f for f in merged["failures"] if f.startswith(first.run_id)), merged[
        "failures"
    ]


NOTIFY = 'echo "notify target=oncall" >>"$NVSX_REPORT_FILE"'


@pytest.mark.kubectl
@pytest.mark.parametrize("ahead", [3600, -90])
async def test_a_cluster_with_another_clock_is_noticed_through_kubectl(
    live: Live, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API server's dates are an hour ahead, or a minute and a half behind: they come through
    `kubectl proxy`, and the report says by how much at least, and to which side."""
    monkeypatch.setattr(  # what the API server writes into each answer, streams too
        "aiohttp.web_response.rfc822_formatted_time",
        lambda: formatdate(time.time() + ahead, usegmt=True),
    )
    run = await live.run(live.project.one_hook("true"))
    assert await run.end() == 0
    report = await _report(live, run.run_id)
    assert 0 <= abs(ahead) - abs(report["clock_ahead_s"]) < 15
    assert report["clock_ahead_s"] * ahead > 0
    shown = await live.done("report", run.run_id)
    side = "ahead of" if ahead > 0 else "behind"
    assert "The cluster's clock is at least" in shown.out
    assert f"{side} nvsx's" in shown.out
