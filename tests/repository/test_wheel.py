"""What the wheel carries."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with one runbook, its hook, a script and an example."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPO / name, source)
    shutil.copytree(REPO / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name, mode in (
        ("runbooks/one.yaml", 0o644),
        ("runbooks/hooks/one/on-detect.sh", 0o755),
        ("scripts/helper.sh", 0o755),
        ("examples/sample.md", 0o644),
    ):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text\n")
        path.chmod(mode)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel built from that folder."""
    built = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", built, source],
        check=True,
        capture_output=True,
    )
    return zipfile.ZipFile(next(built.glob("*.whl")))


def test_starter_files_travel_with_their_modes(wheel: zipfile.ZipFile) -> None:
    """Runbooks, hooks, scripts and examples are in the wheel, and hooks stay executable."""
    starter = {
        i.filename.removeprefix("nvsx/_starter/"): (i.external_attr >> 16) & 0o777
        for i in wheel.infolist()
        if i.filename.startswith("nvsx/_starter/")
    }
    assert starter == {
        "runbooks/one.yaml": 0o644,
        "runbooks/hooks/one/on-detect.sh": 0o755,
        "scripts/helper.sh": 0o755,
        "examples/sample.md": 0o644,
    }


def test_every_module_is_in_the_wheel(source: Path, wheel: zipfile.ZipFile) -> None:
    """The wheel has each file of the package, the typing marker included."""
    here = {
        str(p.relative_to(source / "src"))
        for package in ("nvsx", "nvsentinel_sandbox")
        for p in (source / "src" / package).rglob("*")
        if p.is_file()
    }
    assert here <= set(wheel.namelist())
    assert "nvsx/py.typed" in here


def test_nothing_else_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    """Tests, caches and the launcher stay out of site-packages."""
    roots = {name.split("/")[0] for name in wheel.namelist()}
    assert {r for r in roots if not r.endswith(".dist-info")} == {"nvsx", "nvsentinel_sandbox"}
    assert not [name for name in wheel.namelist() if "__pycache__" in name]
