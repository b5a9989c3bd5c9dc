from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """A folder with an `nvsx` command in it, to be put on PATH."""
    command = tmp_path / "nvsx"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m nvsx "$@"\n')
    command.chmod(0o755)
    return tmp_path


def _script(folder: Path, shell: str) -> Path:
    """What `nvsx --show-completion` prints in that shell, as a file."""
    env = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "nvsx", "--show-completion", shell],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    path = folder / f"completion.{shell}"
    path.write_text(done.stdout)
    return path


def _run(folder: Path, *command: str) -> str:
    env = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.server("bash")
@pytest.mark.parametrize(
    ("words", "expected"), [(("nvsx", "san"), "sandbox"), (("nvsx", "run", "--sand"), "--sandbox")]
)
def test_bash_completes_commands_and_options(
    folder: Path, words: tuple[str, ...], expected: str
) -> None:
    """The function that bash is given fills COMPREPLY with what fits."""
    line = " ".join(words)
    code = (
        f"source {_script(folder, 'bash')}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
        '_nvsx_completion nvsx; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    assert _run(folder, "bash", "-c", code).split() == [expected]


@pytest.mark.server("zsh")
def test_zsh_completes_commands(folder: Path) -> None:
    """The function that zsh is given offers what fits, with what it does."""
    code = (
        "compdef() { :; }; _arguments() { print -r -- $@; }; "
        f"source {_script(folder, 'zsh')}; words=(nvsx san); CURRENT=2; _nvsx_completion"
    )
    told = _run(folder, "zsh", "-f", "-c", code)
    assert '"sandbox":"A cluster in a process' in told


@pytest.mark.server("fish")
def test_fish_completes_commands(folder: Path) -> None:
    """fish itself, asked what `nvsx san` completes to, says sandbox."""
    code = f"source {_script(folder, 'fish')}; complete -C 'nvsx san'"
    told = _run(folder, "fish", "--no-config", "-c", code)
    assert told.splitlines()[0].split("\t")[0] == "sandbox"
