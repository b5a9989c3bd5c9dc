"""Completion as bash, zsh and fish ask for it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.patience import patience

from nvsx.core.journal.run_rows import NewRun
from nvsx.store import glimpse, open_store


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
        timeout=patience(30),
    )
    path = folder / f"completion.{shell}"
    path.write_text(done.stdout)
    return path


def _run(folder: Path, *command: str) -> str:
    env = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=patience(30)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(name="journal")
async def _journal(state: Path) -> str:
    """A journal with one run; its id."""
    store = open_store(state)
    made = await store.create(
        NewRun(runbook="gpu-off-bus", cluster="c", node="gpu-node-a1", sandbox=True)
    )
    store.close()
    return made.run_id


@pytest.fixture(name="state")
def _state() -> Path:
    """This test's state folder."""
    folder = Path(os.environ["NVSX_STATE_DIR"])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@pytest.fixture(name="project")
def _project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a project with two runbooks, one as hostile as a file can be."""
    root = folder / "project"
    (root / "runbooks").mkdir(parents=True)
    (root / "runbooks" / "gpu-off-bus.yaml").write_text(
        "apiVersion: nvsx/v1\nkind: Runbook\nmetadata:\n  name: gpu-off-bus\n"
        "  nickname: rogue-moose\n  title: GPU fell off the bus\nstages: [{id: detect}]\n"
    )
    (root / "runbooks" / "hostile.yaml").write_text(
        f"apiVersion: nvsx/v1\nmetadata: {{name: hostile, title: $(touch {folder}/t) `touch "
        f"{folder}/t` ' \"}}\nstages: []\n"
    )
    (root / "runbooks" / f"$(touch {folder.name}).yaml").write_text("apiVersion: nvsx/v1\n")
    monkeypatch.chdir(root)
    return root


def _bash(folder: Path, *words: str) -> list[str]:
    """What bash would offer for the last of the words."""
    line = shlex.join(words)
    code = (
        f"source {_script(folder, 'bash')}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
        '_nvsx_completion nvsx; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return _run(folder, "bash", "-c", code).split()


@pytest.mark.server("bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["san"], ["sandbox"]),
        (["run", "--sand"], ["--sandbox"]),
        (["run", "gpu"], ["gpu-off-bus"]),
        (["--context", "c", "show", "rog"], ["rogue-moose"]),
        (["report", "r-"], ["RUN"]),
        (["run", "gpu-off-bus", "--target-node", ""], ["gpu-node-a1", "cheerful-cobra"]),
        (["run", "gpu-off-bus", "--target-node", "=", "che"], ["cheerful-cobra"]),
        (["silence", "gpu"], ["gpu-node-a1"]),
        (["sandbox", "inject", "xid-79"], ["xid-79"]),
        (["run", "gpu-off-bus", ""], []),
    ],
    ids=" ".join,
)
def test_bash_completes_what_can_be_named(
    folder: Path, project: Path, journal: str, words: list[str], expected: list[str]
) -> None:
    """Commands, options, runbooks, nicknames, runs, nodes, aliases and faults."""
    assert _bash(folder, "nvsx", *words) == [w.replace("RUN", journal) for w in expected]


@pytest.mark.server("zsh")
def test_zsh_completes_with_a_few_words_about_each(folder: Path, project: Path) -> None:
    """zsh's function offers commands and runbooks with what they are, and runs nothing that a
    runbook's file says."""
    code = (
        "compdef() { :; }; _arguments() { print -r -- $@; }; "
        f"source {_script(folder, 'zsh')}; words=(nvsx san); CURRENT=2; _nvsx_completion; "
        "words=(nvsx show ''); CURRENT=3; _nvsx_completion"
    )
    told = _run(folder, "zsh", "-f", "-c", code)
    assert '"sandbox":"A cluster in a process' in told
    assert '"gpu-off-bus":"GPU fell off the bus"' in told
    assert '"hostile":' in told
    assert not (folder / "t").exists()
    assert not (project / folder.name).exists()


@pytest.mark.server("fish")
def test_fish_completes_commands_and_runbooks(folder: Path, project: Path) -> None:
    """fish itself, asked what a line completes to, says so."""
    script = _script(folder, "fish")
    for line, first in [("nvsx san", "sandbox"), ("nvsx run gpu", "gpu-off-bus")]:
        told = _run(folder, "fish", "--no-config", "-c", f"source {script}; complete -C '{line}'")
        assert told.splitlines()[0].split("\t")[0] == first


def test_an_answer_costs_no_library_and_no_cluster(folder: Path, project: Path) -> None:
    """Completing a node loads neither Typer nor pydantic, nor a database library or an event
    loop, and makes no state folder."""
    env = {
        **os.environ,
        "NVSX_STATE_DIR": str(folder / "none"),
        "_NVSX_COMPLETE": "complete_bash",
        "COMP_WORDS": "nvsx\nrun\n--target-node\n",
        "COMP_CWORD": "3",
    }
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "nvsx"],
        env=env, capture_output=True, text=True, check=True, timeout=patience(30),
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "nvsx.screens.shell.quick_names" in loaded
    assert loaded & {"typer", "pydantic", "sqlalchemy", "asyncio", "yaml", "textual"} == set()
    assert not (folder / "none").exists()


def test_a_broken_journal_offers_nothing(folder: Path, project: Path, state: Path) -> None:
    """A journal that cannot be read is no error, and no name."""
    (state / "nvsx.db").write_text("not a database")
    assert glimpse.newest(state) == []
