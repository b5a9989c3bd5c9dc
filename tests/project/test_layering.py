"""The import contracts can fail: each refuses an import it was written against."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says about a copy of the empty packages with forbidden imports added."""
    root = tmp_path_factory.mktemp("layers")
    shutil.copy(REPO / "pyproject.toml", root)
    for init in (REPO / "src" / "nvsx").glob("*/__init__.py"):
        package = root / "nvsx" / init.parent.name
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
    (root / "nvsx" / "__init__.py").touch()
    for name, imports in {
        "engine/bad.py": "aiohttp, sqlalchemy, textual, prompt_toolkit, typer, rich, nvsx.cluster",
        "tui/bad.py": "nvsx.cli",
        "ops/bad.py": "nvsx.testing",
        "core/bad.py": "time",
        "triggers/good.py": "aiohttp, nvsx.cluster, nvsx.core",
        "nvsentinel/good.py": "nvsx.cluster",
        "newcomer/__init__.py": "nvsx.core",
    }.items():
        path = root / "nvsx" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"import {imports}\n")
    ended = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(
    "finding",
    [
        "nvsx.tui.bad -> nvsx.cli",
        "nvsx.engine.bad -> nvsx.cluster",
        "nvsx.ops.bad -> nvsx.testing",
        "nvsx.core.bad -> time",
        "nvsx.engine.bad -> aiohttp",
        "nvsx.engine.bad -> sqlalchemy",
        "nvsx.engine.bad -> textual",
        "nvsx.engine.bad -> prompt_toolkit",
        "nvsx.engine.bad -> typer",
        "nvsx.engine.bad -> rich",
        "nvsx.newcomer",
    ],
)
def test_forbidden_import_is_found(verdict: str, finding: str) -> None:
    """An import against the layering is named in the linter's report."""
    assert finding in verdict


def test_allowed_imports_are_not_reported(verdict: str) -> None:
    """triggers and nvsentinel may read the cluster, and triggers may speak HTTP."""
    assert ".good" not in verdict
