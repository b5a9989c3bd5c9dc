"""The command in this process: its exit code, standard output and standard error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from nvsx.commands.main import main


class Said(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def nvsx(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `nvsx ARGS`."""

    def run(*args: str) -> Said:
        code = main(list(args))
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Said(code, out, err)

    return run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder, which is the current one."""
    root = tmp_path / "project"
    (root / "runbooks" / "hooks" / "t").mkdir(parents=True)
    (root / "nvsx.yaml").write_text("apiVersion: nvsx/v1\nkind: Project\n")
    monkeypatch.chdir(root)
    return root
