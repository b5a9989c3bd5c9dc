"""Where nvsx is run from: a fresh home, a read-only project, the starters of the package."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.live import HOOK, Project
from tests.e2e.sandboxed import Seen
from tests.patience import patience

from nvsx.commands.run.by_hand import run_by_hand
from nvsx.commands.run.run_options import RunOptions
from nvsx.project import locate
from nvsx.project.home import Home

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.timeout(240)


async def test_fresh_home_needs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new HOME, no NVSX_STATE_DIR: the state goes to ~/.local/state/nvsx, mode 0700."""
    monkeypatch.delenv("NVSX_STATE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    project = Project(tmp_path / "project")
    book = project.one_hook(HOOK)
    finish = await run_by_hand(Home(str(project.root)), RunOptions(book, sandbox=True), [Seen()])
    assert finish.ok
    state = tmp_path / "home" / ".local" / "state" / "nvsx"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert (state / "nvsx.db").exists()


async def test_read_only_project_keeps_artifacts_in_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project folder nobody may write to: the run passes, its artifacts are in the state."""
    project = Project(tmp_path / "project")
    book = project.one_hook('echo kept >"$NVSX_ARTIFACT_DIR/mine"')
    monkeypatch.setattr(locate.Project, "writable", property(lambda _: False))
    seen = Seen()
    finish = await run_by_hand(Home(str(project.root)), RunOptions(book, sandbox=True), [seen])
    assert (finish.ok, finish.degraded) == (True, False)
    kept = list(Path(os.environ["NVSX_STATE_DIR"]).glob("nvsx-artifacts/*/mine"))
    assert len(kept) == 1
    assert not (project.root / "nvsx-artifacts").exists()


@pytest.mark.slow
@pytest.mark.parametrize("runbook", ["thermal-throttle"])
async def test_starters_of_the_package_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runbook: str
) -> None:
    """Outside any project the packaged starters run on the sandbox, artifacts in the state."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(locate, "source_checkout", lambda: None)
    monkeypatch.setattr(locate, "packaged_root", lambda: ROOT)
    home = Home()
    assert home.project.kind == "packaged"
    seen = Seen()
    finish = await run_by_hand(home, RunOptions(runbook, sandbox=True, speed=8.0), [seen])
    assert finish.ok, finish.reason
    state = Path(os.environ["NVSX_STATE_DIR"])
    assert list(state.glob("nvsx-artifacts/*/run.json"))


def test_dry_run_needs_no_state_and_no_cluster(tmp_path: Path) -> None:
    """--dry-run works without kubectl, kubeconfig or a folder for state, and makes none."""
    project = Project(tmp_path / "project")
    book = project.chain()
    (project.root / "runbooks" / "hooks" / "t" / "hook.sh").unlink()
    env = {"PATH": str(tmp_path), "HOME": "/nonexistent", "NVSX_STATE_DIR": str(tmp_path / "s")}
    env |= {k: v for k, v in os.environ.items() if k in ("PYTHONPATH", "COVERAGE_PROCESS_START")}
    command = [sys.executable, "-m", "nvsx", "--project", str(project.root), "run", book]
    done = subprocess.run(
        [*command, "--dry-run"],
        env=env,
        capture_output=True,
        text=True,
        timeout=patience(30),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "hooks/t/hook.sh (missing)" in done.stdout
    assert done.stderr == ""
    assert not (tmp_path / "s").exists()
    assert not (project.root / "nvsx-artifacts").exists()
