"""The import contracts can fail: each refuses an import it was written against."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
#: Each has one home, and `follow` is none of them.
LIBRARIES = ("aiohttp", "sqlalchemy", "textual", "prompt_toolkit", "typer", "rich")


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says about a copy of the empty packages with forbidden imports added."""
    root = tmp_path_factory.mktemp("layers")
    shutil.copy(REPO / "pyproject.toml", root)
    for init in (REPO / "src").rglob("__init__.py"):
        package = root / init.parent.relative_to(REPO / "src")
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
    for name, imports in {
        "nvsx/follow/bad.py": ", ".join((*LIBRARIES, "nvsx.serve")),
        "nvsx/screens/deck/bad.py": "nvsx.commands",
        "nvsx/core/bad.py": "time",
        "nvsx/core/watches/bad.py": "nvsx.core.runbook",
        "nvsx/cluster/egg.py": "nvsx.cluster.hen",
        "nvsx/cluster/hen.py": "nvsx.cluster.egg",
        "nvsentinel_sandbox/kube/bad.py": "nvsx.core",
        "nvsx/serve/good.py": "aiohttp, nvsx.cluster, nvsx.core",
        "nvsx/nvsentinel/good.py": "nvsx.cluster",
        "nvsx/newcomer/__init__.py": "nvsx.core",
    }.items():
        path = root / name
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
        "nvsx.screens.deck.bad -> nvsx.commands",
        "nvsx.follow.bad -> nvsx.serve",
        "nvsx.core.bad -> time",
        "nvsx.core.watches.bad -> nvsx.core.runbook",
        "No cycles are allowed in nvsx.cluster.",
        "nvsentinel_sandbox.kube.bad -> nvsx.core",
        *(f"nvsx.follow.bad -> {library}" for library in LIBRARIES),
        "nvsx.newcomer",
    ],
)
def test_forbidden_import_is_found(verdict: str, finding: str) -> None:
    """An import against the layering is named in the linter's report."""
    assert finding in verdict


def test_allowed_imports_are_not_reported(verdict: str) -> None:
    """serve and nvsentinel may read the cluster, and serve may speak HTTP."""
    assert ".good" not in verdict
