"""The error boundary: nobody sees a traceback, and readers may leave."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Command

SECRET = "s3cret-value-0123456789"


def test_internal_error_goes_to_the_crash_log(
    nvsx: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours: exit 1, one message that names the log; the traceback is in the log,
    which is private and without secrets."""
    monkeypatch.setenv("SLACK_BOT_TOKEN", SECRET)

    def broken(*_: object) -> None:
        raise ZeroDivisionError(f"no way, {SECRET}")

    monkeypatch.setattr("nvsx.project.loader.discover", broken)
    said = nvsx("list")
    log = Path(os.environ["NVSX_STATE_DIR"]) / "crash.log"
    assert said.code == 1
    assert said.err.splitlines() == [
        "nvsx: internal error: ZeroDivisionError: no way, ***",
        f"  details are in {log}; please report it with them",
    ]
    text = log.read_text()
    assert "Traceback (most recent call last)" in text
    assert "in broken" in text
    assert SECRET not in text
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_internal_error_without_a_state_folder(
    nvsx: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nowhere to write the details, the message still comes, and nothing else breaks."""
    monkeypatch.setenv("NVSX_STATE_DIR", "/proc/nowhere")
    monkeypatch.setattr("nvsx.project.loader.discover", lambda *_: 1 / 0)
    said = nvsx("list")
    assert said.code == 1
    assert said.err == "nvsx: internal error: ZeroDivisionError: division by zero\n"


@pytest.mark.parametrize("command", [("list",), ("schema",), ("show", "gpu-off-bus"), ("--help",)])
def test_reader_that_left(command: tuple[str, ...]) -> None:
    """`nvsx … | true`: no message, no traceback, whatever was being printed."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "nvsx", *command],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (0, 1)
