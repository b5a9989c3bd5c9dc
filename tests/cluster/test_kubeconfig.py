"""kubectl's configuration, as the real kubectl reads it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from nvsx.cluster import kubeconfig
from nvsx.core.errors import ClusterError, UsageError

pytestmark = pytest.mark.kubectl


def config(path: Path, name: str, user: dict[str, Any], current: str = "") -> Path:
    """A kubeconfig with one cluster, user and context, all called `name`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current,
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.test:6443"}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "ml"}}],
    }
    path.write_text(json.dumps(body))
    return path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """KUBECONFIG with two files; the second says which context is current."""
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./bin/login",
        "interactiveMode": "IfAvailable",
    }
    one = config(tmp_path / "one" / "config", "blue", {"exec": plugin})
    two = config(tmp_path / "two" / "config", "green", {"tokenFile": "token"}, "green")
    return {**os.environ, "KUBECONFIG": f"{one}{os.pathsep}{two}"}


def test_contexts_of_several_files(environ: dict[str, str]) -> None:
    """All files of KUBECONFIG count, and the current context is marked."""
    found = {c.name: c for c in kubeconfig.list_contexts(environ)}
    assert set(found) == {"blue", "green"}
    assert found["green"].current
    assert not found["blue"].current
    assert found["blue"].plugin == "./bin/login"
    assert found["green"].server == "https://green.test:6443"
    assert found["green"].namespace == "ml"


@pytest.mark.parametrize("context", ["blue", "green", None])
def test_a_pinned_file_has_one_context(
    environ: dict[str, str], tmp_path: Path, context: str | None
) -> None:
    """Only this run's context is in it, it is current, and only its owner can read it."""
    path = kubeconfig.write_pinned_kubeconfig(context, tmp_path / "pinned", environ)
    found = kubeconfig.list_contexts({**os.environ, "KUBECONFIG": str(path)})
    assert [(c.name, c.current) for c in found] == [(context or "green", True)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "pinned", "two"]


def test_relative_paths_survive_the_move(environ: dict[str, str], tmp_path: Path) -> None:
    """A token file and a plug-in named relative to their file are found from anywhere."""
    blue = kubeconfig.write_pinned_kubeconfig("blue", tmp_path / "b", environ).read_text()
    green = kubeconfig.write_pinned_kubeconfig("green", tmp_path / "g", environ).read_text()
    assert json.loads(blue)["users"][0]["user"]["exec"]["command"] == str(
        tmp_path / "one" / "bin" / "login"
    )
    assert json.loads(green)["users"][0]["user"]["tokenFile"] == str(tmp_path / "two" / "token")


def test_an_unknown_context_names_the_known(environ: dict[str, str], tmp_path: Path) -> None:
    """A wrong --context is a usage error that lists what there is, and writes nothing."""
    with pytest.raises(UsageError, match="no context red") as caught:
        kubeconfig.write_pinned_kubeconfig("red", tmp_path / "pinned", environ)
    assert "blue, green" in caught.value.hint
    assert not (tmp_path / "pinned").exists()


def test_no_current_context(tmp_path: Path) -> None:
    """Without a current context the next step is said."""
    path = config(tmp_path / "config", "blue", {})
    with pytest.raises(ClusterError, match="no current context") as caught:
        kubeconfig.find_context(None, {**os.environ, "KUBECONFIG": str(path)})
    assert "--context" in caught.value.hint


def test_a_kubeconfig_that_is_not_yaml(tmp_path: Path) -> None:
    """A broken file is one clear error in kubectl's words."""
    (tmp_path / "config").write_text("{ not: [ yaml")
    with pytest.raises(ClusterError, match="configuration cannot be read") as caught:
        kubeconfig.list_contexts({**os.environ, "KUBECONFIG": str(tmp_path / "config")})
    assert caught.value.exit_code == 3


def test_no_kubectl(tmp_path: Path) -> None:
    """Without kubectl on PATH the message says so and what to do."""
    with pytest.raises(ClusterError, match="kubectl is not on PATH") as caught:
        kubeconfig.list_contexts({"PATH": str(tmp_path)})
    assert "--sandbox" in caught.value.hint
