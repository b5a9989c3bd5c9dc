"""Every starter against every fault it is for, on the sandbox: it follows to the end."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from tests.e2e.sandboxed import Seen, end_soon

from nvsentinel_sandbox.world.faults import FAULTS
from nvsentinel_sandbox.world.reports import UNRULED
from nvsx.commands.run.by_hand import run_by_hand
from nvsx.commands.run.run_options import RunOptions
from nvsx.core.journal.fold import RunState
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.lint.coverage import find_coverage
from nvsx.nvsentinel.reportable_faults import REPORTABLE_FAULTS
from nvsx.project import cel, loader
from nvsx.project.home import Home

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SPEED = 8.0
#: Rehearsals that NVSentinel's own rules do not lead to.
DRILLS = ("drill-no-drain", "drill-forced")
#: XID 144 and 148 decode to sub-codes that ask for nothing, as do XIDs of applications.
_BOOKS = [e.runbook for e in loader.discover(ROOT) if isinstance(e, LoadedRunbook)]
_FIRED = {
    (c.fault.check, c.fault.code): c.runbook
    for c in find_coverage(_BOOKS, REPORTABLE_FAULTS, cel.evaluate)
    if c.fault.calls_for_runbook
}


@pytest.fixture(autouse=True)
def _end_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    end_soon(monkeypatch)


def _list_pairs(*, ruled: bool) -> list[tuple[str, str]]:
    """(fault, runbook it fires), by whether a rule set of NVSentinel's quarantines for it."""
    found = []
    for name, fault in FAULTS.items():
        report = fault.reports[-1] if fault.reports[-1].agent in UNRULED else fault.reports[0]
        key = (report.check, " ".join(report.codes))
        book = _FIRED.get(key) or _FIRED.get((report.check, ""))
        acted_on = report.fatal and report.strategy == "EXECUTE_REMEDIATION"
        if book and acted_on and name not in DRILLS and (report.agent not in UNRULED) is ruled:
            found.append((name, book))
    return found


async def _play(folder: Path, runbook: str, fault: str, *, limit: str = "") -> RunState:
    """The starter as it ships, with `fault` for its drill; `limit` is one for quarantine."""
    shutil.copytree(ROOT / "runbooks" / "hooks", folder / "runbooks" / "hooks")
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    text = (ROOT / "runbooks" / f"{runbook}.yaml").read_text()
    changed, number = re.subn(r"(?m)^drill: .*$", f"drill: {{fault: {fault}}}", text)
    assert number == 1
    if limit:
        changed = changed.replace("- id: quarantine\n", f"- id: quarantine\n    timeout: {limit}\n")
    (folder / "runbooks" / f"{runbook}.yaml").write_text(changed)
    seen = Seen()
    options = RunOptions(runbook, sandbox=True, speed=SPEED)
    await run_by_hand(Home(str(folder)), options, [seen])
    return seen.state


@pytest.mark.parametrize(("fault", "runbook"), _list_pairs(ruled=True))
async def test_a_starter_follows_its_fault_to_the_end(
    tmp_path: Path, fault: str, runbook: str
) -> None:
    """From the fault to the release: the run passes and no hook fails. What NVSentinel repairs is
    never handed to people; the rest is, unless it is over before the hook can look."""
    state = await _play(tmp_path, runbook, fault)
    finish = state.finish
    assert finish is not None
    assert (finish.status, finish.reason, finish.degraded) == ("passed", "", False)
    if runbook != "csp-maintenance":  # whose end may come before the drain's
        assert {s.status for s in state.stages} == {"pass"}
    asked = [asked for _, asked in state.asked.values()]
    called = [each for each in asked if each.kind == "page" and each.severity == "critical"]
    if FAULTS[fault].reports[0].action != "CONTACT_SUPPORT":
        assert not called
    elif runbook != "thermal-throttle":  # which has no chain to follow
        assert called or "NVSentinel has done its part" in " ".join(each.title for each in asked)
    assert "resolve" in {each.kind for each in asked}


async def test_a_fault_that_nothing_quarantines_is_told(tmp_path: Path) -> None:
    """The catch-all for a fault without a rule set ends in quarantine and says what to do."""
    assert ("slurm-drain", "any-fault") in _list_pairs(ruled=False)
    state = await _play(tmp_path, "any-fault", "slurm-drain", limit="6s")
    assert state.finish is not None
    assert state.finish.status == "failed"
    ((_, page), _) = [each for each in state.asked.values() if each[1].stage == "quarantine"]
    assert (page.kind, page.severity) == ("page", "critical")
    assert page.title.endswith("quarantine did not pass")
    assert page.text


async def test_planned_maintenance_pages_nobody(tmp_path: Path) -> None:
    """From its announcement to the release no hook reaches for the pager."""
    state = await _play(tmp_path, "csp-maintenance", "csp-maintenance")
    asked = [asked for _, asked in state.asked.values()]
    assert asked
    assert all("Planned maintenance" in each.title for each in asked if each.kind != "resolve")
    assert "page" not in {each.kind for each in asked}


def test_every_fault_has_a_starter() -> None:
    """With all starters in a project, no fatal fault that NVSentinel can report is nobody's."""
    assert [key for key, book in _FIRED.items() if not book] == []
