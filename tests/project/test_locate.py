from pathlib import Path

import pytest

from nvsx.core.errors import UsageError
from nvsx.project import locate


def project(folder: Path) -> Path:
    """A folder that is a project."""
    (folder / "runbooks").mkdir(parents=True)
    (folder / "runbooks" / "a.yaml").write_text("# one\napiVersion: nvsx/v1\n")
    return folder


def test_the_flag_goes_first(tmp_path: Path) -> None:
    """`--project` wins over everything, and may be relative."""
    project(tmp_path / "one")
    env = {"NVSX_PROJECT_ROOT": str(project(tmp_path / "two"))}
    found = locate.find_project("one", env, tmp_path)
    assert (found.root, found.kind) == (tmp_path / "one", "flag")


def test_the_variable_goes_before_the_working_directory(tmp_path: Path) -> None:
    """`NVSX_PROJECT_ROOT` wins over the project one stands in."""
    env = {"NVSX_PROJECT_ROOT": str(project(tmp_path / "two"))}
    found = locate.find_project(None, env, project(tmp_path / "one"))
    assert (found.root, found.kind) == (tmp_path / "two", "env")


@pytest.mark.parametrize("marker", ["nvsx.yaml", "runbooks"])
def test_the_nearest_parent_is_taken(tmp_path: Path, marker: str) -> None:
    """From any folder below, the nearest project around it is found."""
    project(tmp_path)
    inner = tmp_path / "inner"
    inner.mkdir()
    if marker == "nvsx.yaml":
        (inner / "nvsx.yaml").write_text("")
    else:
        project(inner)
    deep = inner / "a" / "b"
    deep.mkdir(parents=True)
    assert locate.find_project(None, {}, deep) == locate.Project(inner, "cwd")


def test_runbooks_of_other_tools_are_no_project(tmp_path: Path) -> None:
    """A `runbooks` folder counts only with a file of ours in it."""
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "a.yaml").write_text("apiVersion: v1\n")
    assert not locate.is_project(tmp_path)


def test_a_named_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """A project that was named is never silently replaced by another one."""
    project(tmp_path)
    with pytest.raises(UsageError, match="--project names"):
        locate.find_project("nowhere", {}, tmp_path)
    with pytest.raises(UsageError, match="NVSX_PROJECT_ROOT names"):
        locate.find_project(None, {"NVSX_PROJECT_ROOT": str(tmp_path / "no")}, tmp_path)


def test_then_the_config_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside any project and checkout, `~/.config/nvsx` is used when it is a project."""
    monkeypatch.setattr(locate, "source_checkout", lambda: None)
    config = project(tmp_path / "home" / ".config" / "nvsx")
    outside = tmp_path / "outside"
    outside.mkdir()
    found = locate.find_project(None, {"HOME": str(tmp_path / "home")}, outside)
    assert (found.root, found.kind) == (config, "config")


def test_last_the_packaged_starter_runbooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no project at all, the package's own runbooks can be used, but not written to."""
    starter = tmp_path / "site" / "_starter"
    (starter / "runbooks").mkdir(parents=True)
    monkeypatch.setattr(locate, "source_checkout", lambda: None)
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path / "site")
    found = locate.find_project(None, {"HOME": str(tmp_path)}, tmp_path)
    assert (found.root, found.kind, found.writable) == (starter, "packaged", False)
    assert found.artifacts_dir(tmp_path / "state") == tmp_path / "state" / "nvsx-artifacts"


def test_artifacts_stay_in_a_project(tmp_path: Path) -> None:
    """A run's artifacts go into the project it belongs to."""
    found = locate.find_project(None, {}, project(tmp_path))
    assert found.artifacts_dir(Path("/nowhere")) == tmp_path / "nvsx-artifacts"


@pytest.mark.parametrize(
    ("env", "path"),
    [
        ({"NVSX_STATE_DIR": "{}/a", "XDG_STATE_HOME": "{}/b", "HOME": "{}"}, "a"),
        ({"XDG_STATE_HOME": "{}/b", "HOME": "{}"}, "b/nvsx"),
        ({"HOME": "{}"}, ".local/state/nvsx"),
    ],
)
def test_state_folder(tmp_path: Path, env: dict[str, str], path: str) -> None:
    """The state folder follows its variables and is private."""
    folder = locate.state_dir({k: v.format(tmp_path) for k, v in env.items()})
    assert folder == tmp_path / path
    assert folder.stat().st_mode & 0o777 == 0o700


def test_an_open_state_folder_is_closed(tmp_path: Path) -> None:
    """A state folder others can read is made private."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    locate.state_dir({"NVSX_STATE_DIR": str(folder)})
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_state_folder_that_cannot_be_made_is_one_message(tmp_path: Path) -> None:
    """A file in the way is a usage error with the way out, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="set NVSX_STATE_DIR"):
        locate.state_dir({"NVSX_STATE_DIR": str(tmp_path / "file" / "state")})
