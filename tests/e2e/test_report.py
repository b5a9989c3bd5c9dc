from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.live import CHAIN, Live, living
from tests.e2e.sandboxed import play

from nvsx.core.journal.past_runs import RunFilter
from nvsx.project.home import Home
from nvsx.screens.report import past_reports
from nvsx.store.run_list import list_runs


@pytest.mark.slow
async def test_a_sandbox_incident_is_reported_as_it_was() -> None:
    """The report's figures are the differences of the marks the run saw, its files are listed
    with hashes, it says that it is a sandbox run, and history keeps it apart."""
    state = await play("gpu-off-bus")
    home = Home()
    report = await past_reports.report(home, state.run_id)
    times = state.times
    assert times.generated is not None
    assert times.unquarantined is not None
    figures = {m.key: m.seconds for m in report.measures}
    assert figures["time_to_repair"] == pytest.approx(
        times.unquarantined - times.generated, abs=1e-3
    )
    assert report.kind == "sandbox"
    assert report.status == "passed"
    assert [f.check for f in report.faults] == ["SysLogsXIDError"]
    assert "run.json" in {a.path for a in report.artifacts}
    folder = home.artifacts_dir / state.run_id
    assert "run.json" in Path(folder / "report.md").read_text("utf-8")
    assert Path(folder / "report.html").is_file()
    assert list_runs(home.state_dir, RunFilter(), None) == []
    (row,) = list_runs(home.state_dir, RunFilter(kind="sandbox", tag="xid-79"), None)
    assert row.run_id == state.run_id


@pytest.mark.slow
async def test_a_refused_signal_is_reported_as_the_failure_it_is() -> None:
    """No time to repair, with the reason, and the stage's cause among what failed."""
    state = await play("gpu-off-bus", "signal-refused")
    report = await past_reports.report(Home(), state.run_id)
    measure = next(m for m in report.measures if m.key == "time_to_repair")
    assert measure.seconds is None
    assert "still in quarantine" in measure.why
    assert any(line.startswith("stage remediate failed") for line in report.failures)


class ByHand:
    """The marks of one incident, worked out from the objects as the API server stored them."""

    def __init__(self, live: Live) -> None:
        self.marks: dict[str, float] = {}
        self._node = live.node
        live.sandbox.store.subscribe(self._hear)

    def _hear(self, change: Any) -> None:
        now, obj = time.time(), change.entry.decode()
        plural, name = change.entry.resource.plural, change.entry.key[1]
        if plural == "nodes" and name == self._node:
            self._node_changed(now, obj)
        elif plural == "rebootnodes" and obj["spec"]["nodeName"] == self._node:
            self._first("remediation_created", _unix(obj["metadata"]["creationTimestamp"]))
            if done := obj.get("status", {}).get("completionTime"):
                self._first("node_ready", _unix(done))

    def _node_changed(self, now: float, node: dict[str, Any]) -> None:
        notes = node["metadata"].get("annotations", {})
        state = node["metadata"].get("labels", {}).get("dgxc.nvidia.com/nvsentinel-state", "")
        for c in node["status"]["conditions"]:
            if c["type"] == "SysLogsXIDError" and c["status"] == "True":
                self._first("condition_seen", _unix(c["lastTransitionTime"]))
            elif c["type"] == "SysLogsXIDError" and "condition_seen" in self.marks:
                self._first("healthy", _unix(c["lastTransitionTime"]))
        if held := notes.get("quarantineHealthEvent"):
            event = json.loads(held)[0]
            event = event.get("healthEvent", event)
            self._first("generated", _unix(event["generatedTimestamp"]))
            self._first("quarantined", now)
        elif "quarantined" in self.marks and not state:
            self._first("unquarantined", now)
        if state == "draining":
            self._first("drain_began", now)
        elif state in ("drain-succeeded", "drain-failed"):
            self._first("drain_finished", now)

    def _first(self, mark: str, at: float) -> None:
        self.marks.setdefault(mark, at)


def _unix(told: Any) -> float:
    if isinstance(told, dict):  # protobuf, as JSON of Go writes it
        return float(told["seconds"]) + float(told.get("nanos", 0)) / 1e9
    return datetime.fromisoformat(str(told)).timestamp()


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_the_figures_are_those_of_the_clusters_own_log(live: Live) -> None:
    """Worked out by hand from what the API server stored, each mark is the report's to the second
    that Kubernetes cuts off and nvsx needs to see a label on a busy machine; and each figure is
    the difference of its marks."""
    hand = ByHand(live)
    live.project.runbook(CHAIN)
    run = await live.run("t")
    await run.until("stage_begin", stage="detect")
    await live.inject()
    assert await run.end() == 0
    shown = live.folder / "report.json"
    await live.done("report", run.run_id, "-o", "json", "--file", str(shown))
    report = json.loads(shown.read_text())
    marks = {m["name"]: m["at"] for m in report["marks"]}
    assert set(marks) == set(hand.marks)
    assert {n: at for n, at in marks.items() if abs(at - hand.marks[n]) > SLACK} == {}
    figures = {m["key"]: m["seconds"] for m in report["measures"]}
    whole = marks["unquarantined"] - marks["generated"]
    drain = marks["drain_finished"] - marks["drain_began"]
    assert figures["time_to_repair"] == pytest.approx(whole, abs=2e-3)
    assert figures["drain"] == pytest.approx(drain, abs=2e-3)
    assert figures["time_to_repair_without_drain"] == pytest.approx(whole - drain, abs=2e-3)
    assert figures["time_to_first_notice"] is None


SLACK = 2.5
"""Seconds; the chain is 12 times as fast as in life, and still takes more than this in all."""


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("variant", "why"),
    [
        ("terminate-node", "replaced, not repaired"),
        ("manual-uncordon", "cancelled: a person uncordoned"),
    ],
)
async def test_without_a_repair_there_is_no_time_to_repair(variant: str, why: str) -> None:
    """Replaced, and taken out of quarantine by hand: the report has no time to repair in any form,
    and says why."""
    state = await play("gpu-off-bus", variant)
    report = await past_reports.report(Home(), state.run_id)
    repair = {m.key: (m.seconds, m.why) for m in report.measures if "time_to_repair" in m.key}
    assert [seconds for seconds, _ in repair.values()] == [None, None]
    assert all(why in reason for _, reason in repair.values())
    page = (Home().artifacts_dir / state.run_id / "report.html").read_text()
    assert "</b><span>time to repair" not in page
    row = list_runs(Home().state_dir, RunFilter(kind="sandbox"), 1)
    assert row[0].mttr_s is None


@pytest.mark.slow
async def test_all_faults_of_an_incident_are_reported() -> None:
    """Three checks saw the fault: the report names three, and one time to repair."""
    state = await play("gpu-off-bus", "three-checks")
    report = await past_reports.report(Home(), state.run_id)
    assert len({f.check for f in report.faults}) == 3
    assert state.finish is not None
    figures = {m.key: m.seconds for m in report.measures}
    assert figures["time_to_repair"] == state.finish.mttr_s is not None


@pytest.mark.slow
async def test_monitors_alone_tell_when_the_condition_cleared(tmp_path: Path) -> None:
    """Where NVSentinel quarantines nothing there is no repair, but the time until the condition
    was gone."""
    async with living(tmp_path, variant="monitor-only") as live:
        live.project.runbook([s for s in CHAIN if s["id"] == "detect"] + [CLEARED])
        run = await live.nvsx("run", "t")
        await run.until("armed")
        await live.inject()
        assert await run.end() == 0
        shown = live.folder / "report.json"
        await live.done("report", run.run_id, "-o", "json", "--file", str(shown))
    report = json.loads(shown.read_text())
    marks = {m["name"]: m["at"] for m in report["marks"]}
    figures = {m["key"]: m["seconds"] for m in report["measures"]}
    assert figures["time_to_repair"] is figures["time_to_repair_without_drain"] is None
    assert "quarantined" not in marks
    cleared = max(0.0, marks["healthy"] - marks["generated"])
    assert figures["condition_cleared"] == pytest.approx(cleared, abs=2e-3)


CLEARED = {
    "id": "recover",
    "watch": [{"kind": "node-condition", "type": "SysLogsXIDError", "absent": True}],
}
