"""Which folder a command writes to, and who agreed to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.commands.conftest import Command

from nvsx.commands import agreeing
from nvsx.core.errors import NvsxError
from nvsx.project import locate
from nvsx.project.locate import Project, ProjectKind


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that takes nvsx's own clone's place; the working directory is another one."""
    root, elsewhere = tmp_path / "clone", tmp_path / "elsewhere"
    (root / "runbooks").mkdir(parents=True)
    elsewhere.mkdir()
    monkeypatch.setattr(locate, "source_checkout", lambda: root)
    monkeypatch.chdir(elsewhere)
    return root


def files_in(folder: Path) -> list[str]:
    """The names of the YAML files under a folder."""
    return [path.name for path in folder.rglob("*.yaml")]


def test_init_does_not_write_to_the_clone_unasked(clone: Path, nvsx: Command) -> None:
    """From a folder without a project, with nobody to ask: exit 2, both folders stay as they
    are, and the message names the clone and what to do."""
    said = nvsx("init", "my-fault")
    assert said.code == 2
    assert str(clone) in said.err
    assert "--project" in said.err
    assert files_in(clone) == files_in(Path.cwd()) == []


def test_init_writes_to_the_clone_with_yes(clone: Path, nvsx: Command) -> None:
    """--yes agrees, and what was written is told with the folder."""
    said = nvsx("init", "my-fault", "--yes")
    assert said.code == 0
    assert f"in {clone}:" in said.out
    assert files_in(clone) == ["my-fault.yaml"]


def test_init_in_the_clone_asks_nothing(
    clone: Path, nvsx: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever works in the clone means it: nothing is asked."""
    (clone / "nvsx.yaml").touch()
    monkeypatch.chdir(clone)
    assert nvsx("init", "my-fault").code == 0


@pytest.mark.parametrize("agrees", [True, False])
def test_a_person_decides(agrees: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the folder is named in a question; a no ends the command."""
    asked: list[str] = []

    def answer(question: str, **_: object) -> bool:
        asked.append(question)
        return agrees

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", answer)
    project = Project(tmp_path, "clone")
    if agrees:
        agreeing.agree_to_clone(project, yes=False)
    else:
        with pytest.raises(NvsxError, match="nothing was written"):
            agreeing.agree_to_clone(project, yes=False)
    [question] = asked
    assert str(tmp_path) in question


@pytest.mark.parametrize("kind", ["flag", "env", "cwd", "config", "packaged"])
def test_other_projects_are_not_asked_about(kind: ProjectKind, tmp_path: Path) -> None:
    """A folder that was named or is around the working directory is agreed to already."""
    agreeing.agree_to_clone(Project(tmp_path, kind), yes=False)
    assert agreeing.name_folder(Project(tmp_path, kind)) == str(tmp_path)


def test_silence_names_its_state_folder(
    project: Path, nvsx: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon with another state folder does not learn of a silence: the folder is told."""
    state = tmp_path / "state"
    monkeypatch.setenv("NVSX_STATE_DIR", str(state))
    monkeypatch.setenv("KUBECONFIG", "/dev/null")
    said = nvsx("silence", "gpu-node-a1", "--for", "2h", "--reason", "riser")
    assert said.code == 0
    assert str(state) in said.err
