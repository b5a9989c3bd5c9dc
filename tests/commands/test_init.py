"""`nvsx init` as it is typed, in folders of every kind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nvsx.commands import main


def nvsx(cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """The real program."""
    return subprocess.run(
        [sys.executable, "-m", "nvsx", *args],
        cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_init_lint_run(tmp_path: Path) -> None:
    """`nvsx init my-fault && nvsx lint my-fault && nvsx run my-fault --sandbox`, unchanged."""
    (tmp_path / "nvsx.yaml").touch()
    began = nvsx(tmp_path, "init", "my-fault")
    assert began.returncode == 0, began.stderr
    assert "runbooks/hooks/my-fault/preflight.sh" in began.stdout
    linted = nvsx(tmp_path, "lint", "my-fault")
    assert (linted.returncode, linted.stdout) == (0, "")
    ran = nvsx(tmp_path, "run", "my-fault", "--sandbox", "-o", "jsonl")
    assert ran.returncode == 0, ran.stderr
    finish = json.loads(ran.stdout.splitlines()[-1])
    assert (finish["event"], finish["status"], finish["degraded"]) == ("finish", "passed", False)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["My Fault"], 2, "try my-fault"),
        (["ours", "--fault", "xid-97"], 2, "did you mean"),
        (["ours", "-o", "yaml"], 2, "-o json"),
        ([], 2, "--help"),
    ],
)
def test_mistakes_are_explained(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    code: int,
    words: str,
) -> None:
    """A wrong call exits 2 with what would be right, and writes nothing."""
    monkeypatch.setenv("NVSX_PROJECT_ROOT", str(tmp_path))
    assert main.main(["init", *args]) == code
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_second_time_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is there is never overwritten: exit 2."""
    assert main.main(["--project", str(tmp_path), "init", "ours"]) == 0
    (tmp_path / "runbooks" / "ours.yaml").write_text("mine")
    assert main.main(["--project", str(tmp_path), "init", "ours"]) == 2
    assert "nothing was written" in capsys.readouterr().err
    assert (tmp_path / "runbooks" / "ours.yaml").read_text() == "mine"


def test_json_lists_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`-o json` names the files, which exist, and the runbooks the fault belongs to."""
    root = ["--project", str(tmp_path)]
    assert main.main([*root, "init", "one", "--fault", "xid-48", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert all((tmp_path / f).is_file() for f in told["files"])
    assert told["fired_already_by"] == []
    assert main.main([*root, "init", "two", "--fault", "xid-48", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["fired_already_by"] == ["one"]


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a file is in the way of a folder, one sentence and exit 2; nothing stays behind."""
    (tmp_path / "runbooks").write_text("not a folder")
    assert main.main(["--project", str(tmp_path), "init", "ours"]) == 2
    assert "nothing was written" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["runbooks"]
