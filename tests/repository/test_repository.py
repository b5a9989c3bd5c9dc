"""Promises the repository makes to contributors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]


def lend_suite(folder: Path) -> None:
    """Give a folder what every test of the project gets: conftest.py, what that needs, settings."""
    shutil.copy(REPO / "tests" / "conftest.py", folder)
    shutil.copy(REPO / "pyproject.toml", folder)
    (folder / "tests").mkdir()
    shutil.copy(REPO / "tests" / "patience.py", folder / "tests")


MARKED = """
import pytest

@pytest.mark.server("no-such-server")
def test_needs_a_server():
    raise AssertionError("ran without its server")

@pytest.mark.server("sh")
def test_skips_itself():
    pytest.skip("no cluster")

@pytest.mark.skip(reason="unmarked")
def test_other_skip(): ...
"""


@pytest.mark.parametrize(
    "path",
    [
        "runbooks/my-fault.yaml",
        "runbooks/hooks/my-fault/on-detect.sh",
        "runbooks/hooks/build/on-detect.sh",
        "runbooks/hooks/dist/on-detect.sh",
    ],
)
def test_git_does_not_ignore_a_new_runbook(tmp_path: Path, path: str) -> None:
    """A runbook and its hooks can be added to git, whatever their name."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    shutil.copy(REPO / ".gitignore", tmp_path)
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.touch()
    subprocess.run(["git", "add", path], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    ("ci", "summary"),
    [("", "3 skipped"), ("true", "1 failed, 1 skipped, 1 error")],
)
def test_marked_tests_cannot_skip_in_ci(tmp_path: Path, ci: str, summary: str) -> None:
    """A missing server is a skip on a laptop and a failure in CI, with its name either way."""
    lend_suite(tmp_path)
    (tmp_path / "test_marked.py").write_text(MARKED)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "test_marked.py"],
        cwd=tmp_path,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    last = ended.stdout.splitlines()[-1]
    assert summary in last, ended.stdout
    assert "needs no-such-server, not installed here" in ended.stdout


def test_tests_do_not_see_the_developers_environment(tmp_path: Path) -> None:
    """The home, kubeconfig, state folder and webhooks of whoever runs pytest are out of reach."""
    lend_suite(tmp_path)
    (tmp_path / "test_env.py").write_text(
        "import os\n"
        "def test_env():\n"
        "    assert 'SLACK_WEBHOOK_URL' not in os.environ\n"
        "    assert 'NVSX_PROJECT_ROOT' not in os.environ\n"
        "    assert not [v for v in os.environ.values() if v.startswith('/mine')]\n"
    )
    mine = {
        "SLACK_WEBHOOK_URL": "https://example.com/hook",
        "NVSX_PROJECT_ROOT": "/mine/project",
        "NVSX_STATE_DIR": "/mine/state",
        "KUBECONFIG": "/mine/config",
        "XDG_STATE_HOME": "/mine/state",
    }
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_env.py"],
        cwd=tmp_path,
        env={**os.environ, **mine},
        check=True,
    )


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_is_left_out_is_said(tmp_path: Path, workers: str) -> None:
    """A run of some tests counts the others by their marker, with pytest-xdist and without."""
    lend_suite(tmp_path)
    (tmp_path / "test_marked.py").write_text(MARKED)
    (tmp_path / "serve").mkdir()
    (tmp_path / "serve" / "test_daemon.py").write_text("def test_one(): ...\ndef test_two(): ...\n")
    chosen = ["-m", "not (kubectl or server or processes)", "."]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", workers, *chosen],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "left out: 2 that need a server or another program, 2 with" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("=")
