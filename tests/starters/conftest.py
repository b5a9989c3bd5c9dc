"""A way to run the starters' hooks as nvsx would, and to read what they ask."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.patience import patience

from nvsx.core.notify.spool_format import SpooledCall
from nvsx.follow.processes.nvsx_on_path import install_nvsx
from nvsx.notify.spool import read_calls

ROOT = Path(__file__).resolve().parents[2]
HOOKS = ROOT / "runbooks" / "hooks"


@dataclass(frozen=True)
class Hook:
    """Runs hooks of one run: same spool, same facts."""

    folder: Path
    bin: Path

    @property
    def asked(self) -> list[SpooledCall]:
        """What the hooks have asked so far, in order."""
        return [call for _, call in read_calls(self.folder)]

    def run(self, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
        runbook, _, script = name.partition("/")
        facts = {
            "NVSX_RUNBOOK": runbook,
            "NVSX_STAGE": script.removeprefix("on-"),
            "NVSX_TARGET_NODE": "gpu-07",
            "NVSX_RUN_ID": "01JRUN",
            "NVSX_IDEMPOTENCY_KEY": f"01JRUN:{script}",
            "NVSX_ATTEMPT": "1",
            "NVSX_NOTIFY_DIR": str(self.folder),
        }
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [HOOKS / f"{name}.sh"],
            env={**os.environ, "PATH": path, **facts, **variables},
            capture_output=True,
            text=True,
            timeout=patience(35),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done


def executable(path: Path, script: str) -> None:
    """Write `script`, a bash body, as a program."""
    path.write_text(f"#!/usr/bin/env bash\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def hook(tmp_path: Path) -> Hook:
    """Hooks of one run, with a spool."""
    made = Hook(tmp_path / "spool", install_nvsx(tmp_path))
    made.folder.mkdir()
    return made
