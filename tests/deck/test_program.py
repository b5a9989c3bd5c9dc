"""The real program on a terminal: `nvsx run --sandbox` typed in tmux, the screen read back."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest
from tests.deck.desk import Desk
from tests.patience import patience

pytestmark = [pytest.mark.server("tmux", "bash"), pytest.mark.slow, pytest.mark.timeout(240)]

RUNBOOK = """\
apiVersion: nvsx/v1
kind: Runbook
metadata: {name: try-me, nickname: sleepy-seal, title: Never quarantined}
drill: {fault: xid-79, variant: breaker-tripped}
stages:
  - {id: preflight, hook: hooks/try-me/lines.sh}
  - {id: detect, watch: [{kind: node-condition, type: SysLogsXIDError}]}
  - {id: quarantine, watch: [{kind: nvsentinel-state, state: quarantined}]}
  - {id: postmortem, hook: hooks/try-me/last.sh}
"""
HOOKS = {"lines": "seq -f 'line number %g' 60", "last": "echo collected"}
NVSX = f"{sys.executable} -m nvsx"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A runbook that waits for a quarantine which never comes: the breaker is tripped."""
    hooks = tmp_path / "runbooks" / "hooks" / "try-me"
    hooks.mkdir(parents=True)
    (tmp_path / "nvsx.yaml").touch()
    (tmp_path / "runbooks" / "try-me.yaml").write_text(RUNBOOK)
    for name, text in HOOKS.items():
        (hooks / f"{name}.sh").write_text(f"#!/bin/sh\n{text}\n")
        (hooks / f"{name}.sh").chmod(0o755)
    return tmp_path


def _run(desk: Desk, project: Path) -> None:
    """Start the run and wait until it waits."""
    desk.runs(f"{NVSX} --project {project} run sleepy-seal --sandbox")
    desk.sees("quarantine awaits: NVSentinel's state has reached quarantined")
    desk.sees("circuit breaker is TRIPPED")


def _ended(desk: Desk) -> int:
    """The exit code of what ran last."""
    desk.runs("echo ended with $?.")
    screen = desk.until(lambda s: "\nended with " in s, "the exit code")
    return int(screen.rpartition("\nended with ")[2].partition(".")[0])


def test_run_filter_resize_suspend_and_cancel(desk: Desk, project: Path) -> None:
    """A whole visit: the output is filtered, the window resized, nvsx suspended and brought
    back, the run cancelled; the summary, the exit code and the shell are in order."""
    _run(desk, project)
    assert "#sleepy-seal" in desk.screen()
    desk.types("/", "number 17", "Enter")
    desk.until(lambda s: "/number 17 1 matching" in s and "number 16" not in s, "line 17 alone")
    desk.resize(80, 24)
    desk.until(lambda s: " 2 of 4 ─┬" in s and "1 matching" in s, "the rail at 80 columns")
    desk.types("Escape")
    desk.until(lambda s: "line number 60" in s, "all of the output")
    desk.resize(160, 40)
    desk.sees("─ facts ─")
    desk.types("C-z")
    desk.sees("Stopped")
    desk.is_plain_again()
    desk.runs("fg")
    desk.until(lambda s: "RUNNING" in s and "j/k stage" in s, "the deck again")
    desk.types("c")
    desk.sees("Cancel this run on gpu-node-")
    desk.types("y")
    desk.sees("status       cancelled after")
    assert _ended(desk) == 130
    history = desk.history()
    assert "  ■ quarantine   cancelled" in history
    assert "hook last.sh (postmortem: " in history
    (artifacts,) = (project / "nvsx-artifacts").iterdir()
    assert f"artifacts    {artifacts}" in history
    desk.is_plain_again()


def test_ctrl_c_and_kill_9_leave_a_usable_terminal(desk: Desk, project: Path) -> None:
    """Ctrl-C ends the run with its postmortem and 130. After kill -9 the terminal is restored,
    and nothing that nvsx started lives on."""
    _run(desk, project)
    desk.types("C-c")
    desk.sees("status       cancelled after")
    assert _ended(desk) == 130
    assert "hook last.sh (postmortem: " in desk.history()
    desk.is_plain_again()
    desk.runs("clear")
    _run(desk, project)
    program = desk.program("nvsx")
    family = program.children(recursive=True)
    program.kill()
    desk.sees("nvsx was killed; the terminal is restored.")
    assert _ended(desk) == 137
    desk.is_plain_again()
    _, alive = psutil.wait_procs(family, timeout=patience(30))
    assert alive == []
    desk.runs(f"clear; {NVSX} --project {project} runs list")
    desk.sees("interrupted")
