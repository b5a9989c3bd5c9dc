from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.sandboxed import play

from nvsx.bootstrap import pastruns
from nvsx.bootstrap.home import Home
from nvsx.core.pastruns import RunFilter


@pytest.mark.slow
async def test_a_sandbox_incident_is_reported_as_it_was() -> None:
    """The report's figures are the differences of the marks the run saw, its files are listed
    with hashes, it says that it is a sandbox run, and history keeps it apart."""
    state = await play("gpu-off-bus")
    home = Home()
    report = await pastruns.report(home, state.run_id)
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
    assert await pastruns.history(home, RunFilter(), None) == []
    (row,) = await pastruns.history(home, RunFilter(kind="sandbox", tag="xid-79"), None)
    assert row.run_id == state.run_id


@pytest.mark.slow
async def test_a_refused_signal_is_reported_as_the_failure_it_is() -> None:
    """No time to repair, with the reason, and the stage's cause among what failed."""
    state = await play("gpu-off-bus", "signal-refused")
    report = await pastruns.report(Home(), state.run_id)
    measure = next(m for m in report.measures if m.key == "time_to_repair")
    assert measure.seconds is None
    assert "still in quarantine" in measure.why
    assert any(line.startswith("stage remediate failed") for line in report.failures)
